"""When code blocks the reactor for good: say where it hangs, then end the process.

Nothing in the process can heal that, only a new process can; the parent starts one. Three layers,
each for what the one before cannot reach:

1. **The stacks**, after ``dump_after_s``. A Python thread that looks every second for a sign of
   life of the reactor writes those of the other threads to stderr. What the reactor does regularly
   anyway is such a sign (`Watchdog.show_life`), so that it is woken up for one only where there was
   none for two seconds. faulthandler's own thread
   (``dump_traceback_later``) does not help: it reads the frames of threads that run on, which
   ends in a segmentation fault now and then. For C code that holds the interpreter's lock there is
   a timer of the kernel that counts CPU time: SIGPROF has faulthandler write the stack of the
   thread that it interrupts. Only C code that holds the lock and sleeps is ended without its stack.
2. **The end**, after ``exit_after_s``: the thread ends the process with status 70. It counts its
   own ticks, not time: a process that was stopped (SIGSTOP, a frozen container) or a machine that
   slept is not a reactor that hangs, and a clock that jumps means nothing. The reactor is asked by
   ``callFromThread``, since its timers follow the wall clock and a jump back would silence them.
3. **The last resort** some seconds later, for code that holds the GIL: SIGALRM from the kernel,
   whose default action ends the process (a shell shows status 142).

The kernel's timer runs on while a process is stopped, so a first SIGALRM must not kill: its handler
is the C library's own ``alarm``, installed for one delivery. Called with the number of the
signal, it sets the next alarm in 14 (SIGALRM) seconds, and that one meets the default action,
unless the reactor has shown a sign of life in between. No Python code runs in this.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Final, Protocol

from twisted.application.service import Service
from twisted.logger import Logger

from metrics_agent.logs.descriptor import Descriptor
from metrics_agent.logs.logger import make_logger
from metrics_agent.process.bounded_thread import BoundedThread
from metrics_agent.process.exit import ExitCode
from metrics_agent.process.last_words import say

__all__ = ["LastResort", "StackDump", "Watchdog"]

_FRAMES: Final = 100
"""Of a stack: a recursion has a thousand."""
_LONGEST_TICK_S: Final = 1.0
_TICKS_A_LIMIT: Final = 5
_QUIET_TICKS: Final = 2
"""Of the longest kind: after these without a sign of life the reactor is asked for one."""
_WORTH_TELLING_S: Final = 5.0
"""A block that long is logged afterwards where no stack is dumped."""


class StackDump:
    """Writes stacks to stderr, and never waits for its reader.

    Args:
        fd: stderr.
        after_s: seconds of CPU time without ``arm`` after which the stack of the thread that uses
            them is written.
    """

    def __init__(self, fd: int, after_s: float) -> None:
        self._after_s = after_s
        self._stderr = Descriptor(fd)
        # The thread of the watchdog must not set a timer that is no longer handled.
        self._lock = threading.Lock()
        self._handles = False

    def arm(self) -> None:
        """Count CPU time from zero; any thread may call this."""
        stderr = self._stderr
        with self._lock:
            # faulthandler writes by a plain write(2), which may block where there is no private
            # description: a socket is used only while it has room.
            if stderr.fd >= 0 and (stderr.never_blocks or stderr.wait(0)):
                if not self._handles:
                    faulthandler.register(signal.SIGPROF, file=stderr.fd, all_threads=False)
                    self._handles = True
                signal.setitimer(signal.ITIMER_PROF, self._after_s)
            elif self._handles:
                signal.setitimer(signal.ITIMER_PROF, 0)

    def write(self, headline: str) -> None:
        """Write the stacks of all threads but the caller's, as far as there is room."""
        text = "\n".join((headline, *_stacks(), "")).encode("utf-8", "backslashreplace")
        with self._lock, contextlib.suppress(OSError):
            while text:
                text = text[self._stderr.write(text) :]

    def disarm(self) -> None:
        """Write nothing any more, and close our descriptor; harmless twice."""
        with self._lock:
            if self._handles:
                signal.setitimer(signal.ITIMER_PROF, 0)
                faulthandler.unregister(signal.SIGPROF)
                self._handles = False
            self._stderr.close()


def _stacks() -> Iterator[str]:
    """Yield lines; no source text, since reading files may be what hangs."""
    main, own = threading.main_thread().ident, threading.get_ident()
    for ident, top in sys._current_frames().items():  # noqa: SLF001 - documented, for debuggers
        if ident == own:
            continue
        name = "Main thread" if ident == main else f"Thread {ident:#x}"
        yield f"{name} (most recent call first):"
        for frame, line in islice(traceback.walk_stack(top), _FRAMES):
            yield f'  File "{frame.f_code.co_filename}", line {line} in {frame.f_code.co_name}'


class LastResort:
    """Has the kernel end the process by SIGALRM.

    Args:
        after_s: seconds without ``arm`` until the first alarm; the second ends the process.
    """

    def __init__(self, after_s: float) -> None:
        self._after_s = after_s
        self._handle_by = _one_shot_handler()

    def arm(self, after_s: float = 0.0) -> None:
        """Set the timer again, and the harmless first delivery.

        Args:
            after_s: another time than the usual one.
        """
        # In this order: an alarm between the two must not find the default action.
        self._handle_by(one_shot=True)
        signal.setitimer(signal.ITIMER_REAL, after_s or self._after_s)

    def disarm(self) -> None:
        """Stop the timer and leave SIGALRM as it was: with its default action."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        self._handle_by(one_shot=False)


class _HandleBy(Protocol):
    def __call__(self, *, one_shot: bool) -> object: ...


def _one_shot_handler() -> _HandleBy:
    """Return what installs ``alarm`` for one delivery of SIGALRM, or the default action."""
    try:
        import ctypes

        libc = ctypes.CDLL(None)
        install, alarm = libc["__sysv_signal"], libc["alarm"]
    except (ImportError, OSError, AttributeError):
        # Another C library, such as musl: the first alarm ends the process. One that was stopped
        # for longer ends too and is started again, which is better than to hang forever.
        return lambda one_shot: None  # noqa: ARG005 - nothing to install
    install.restype = ctypes.c_void_p
    return lambda one_shot: install(int(signal.SIGALRM), alarm if one_shot else None)


class Watchdog(Service):
    """Ends the process when the reactor makes no progress.

    Args:
        reactor: provides callFromThread.
        dump_after_s: block after which the stacks are written to stderr; 0 = never.
        exit_after_s: block after which the process ends; 0 = never, by no layer.
        stderr_fd: where the stacks go.
        exit: ends the process at once.
        log: takes the line about a block that ended, or about the end.
        last_resort_margin_s: how long after ``exit_after_s`` the first alarm comes; the second, 14
            seconds later, ends the process.
        clock: monotonic seconds that stand still while the machine sleeps.
        cpu_clock: seconds of CPU time of this process.
        start_thread: runs a callable in a daemon thread.
    """

    def __init__(
        self,
        reactor: Any,
        *,
        dump_after_s: float = 5.0,
        exit_after_s: float = 60.0,
        stderr_fd: int = 2,
        exit: Callable[[int], object] = os._exit,  # noqa: A002 - what it is
        log: Logger | None = None,
        last_resort_margin_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
        cpu_clock: Callable[[], float] = time.process_time,
        start_thread: Callable[[Callable[[], None]], object] | None = None,
    ) -> None:
        self._reactor = reactor
        self._dump_after_s = dump_after_s
        self._exit_after_s = exit_after_s
        self._stderr_fd = stderr_fd
        self._exit = exit
        self._log = make_logger() if log is None else log
        self._last_resort_s = exit_after_s + last_resort_margin_s
        self._clock = clock
        self._cpu_clock = cpu_clock
        self._start_thread = _start_daemon if start_thread is None else start_thread
        limits = [limit / _TICKS_A_LIMIT for limit in (dump_after_s, exit_after_s) if limit]
        self._tick_s = min([_LONGEST_TICK_S, *limits])
        self._quiet_ticks = _QUIET_TICKS if self._tick_s == _LONGEST_TICK_S else 0
        self._told_after_s = dump_after_s or min(exit_after_s, _WORTH_TELLING_S)
        self._stacks: StackDump | None = None
        self._last_resort: LastResort | None = None
        self._stopped = threading.Event()
        self._asked = False
        self._ticks = 0
        self._dumped = False
        self._pulse_s = 0.0
        self._pulse_cpu_s = 0.0

    def startService(self) -> None:
        """Arm everything; the reactor must run soon."""
        super().startService()
        if not (self._dump_after_s or self._exit_after_s):
            return
        if self._dump_after_s:
            self._stacks = StackDump(self._stderr_fd, self._dump_after_s)
            self._stacks.arm()
        if self._exit_after_s:
            self._last_resort = LastResort(self._last_resort_s)
        self._begin()
        stopped = self._stopped = threading.Event()

        def run() -> None:
            while not stopped.wait(self._tick_s):
                self._tick()

        self._start_thread(run)

    def stopService(self) -> None:
        """Disarm everything."""
        super().stopService()
        self._stopped.set()
        stacks, self._stacks = self._stacks, None
        last_resort, self._last_resort = self._last_resort, None
        if stacks is not None:
            stacks.disarm()
        if last_resort is not None:
            last_resort.disarm()

    def show_life(self) -> None:
        """Take what the reactor does for a sign of life, when something else has woken it up."""
        if self.running and (self._dump_after_s or self._exit_after_s):
            self._pulse()

    def end_within(self, seconds: float) -> None:
        """Have the kernel end the process by SIGALRM, whatever becomes of it.

        The first alarm comes after that long, the one that ends it 14 seconds later, so that a
        process that stood still has time to end by itself.
        """
        # Not armed again at the next sign of life, and not disarmed at the end of a stop.
        last_resort, self._last_resort = self._last_resort, None
        if last_resort is not None:
            last_resort.arm(seconds)
        else:
            signal.setitimer(signal.ITIMER_REAL, seconds)

    def _begin(self) -> None:
        self._ticks = 0
        self._pulse_s = self._clock()
        self._pulse_cpu_s = self._cpu_clock()
        self._dumped = False
        if self._last_resort is not None:
            self._last_resort.arm()

    # -- in the thread -----------------------------------------------------------------------

    def _tick(self) -> None:
        """Count how often there was no sign of life, and ask the reactor for one."""
        self._ticks += 1
        if not self._asked and self._ticks > self._quiet_ticks:
            self._asked = True
            try:
                self._reactor.callFromThread(self._pulse)
            except OSError as error:
                # Its descriptors were closed: it will never run again.
                self._end(f"The reactor cannot be woken ({error.strerror})")
                return
        # Nothing that goes wrong with the words may keep the end from coming.
        with contextlib.suppress(BaseException):
            self._show()
        if self._exit_after_s and self._ticks * self._tick_s >= self._exit_after_s:
            self._end(f"The reactor made no progress for {self._exit_after_s:g} s")

    def _show(self) -> None:
        """Write the stacks, once a block."""
        stacks = self._stacks
        if stacks is None:
            return
        # This thread runs, so no C code holds the interpreter's lock.
        stacks.arm()
        if not self._dumped and self._ticks * self._tick_s >= self._dump_after_s:
            self._dumped = True
            stacks.write(f"No progress for {self._dump_after_s:g} s. What the threads do:")

    def _end(self, why: str) -> None:
        def last_words() -> None:
            self._log.critical(
                "{why}: this process ends with status {status}, only a new one can go on.",
                why=why,
                status=int(ExitCode.HUNG),
            )

        # Memory may be what is missing; the end must come all the same.
        try:
            say(last_words)
        finally:
            self._exit(ExitCode.HUNG)

    # -- in the reactor ----------------------------------------------------------------------

    def _pulse(self) -> None:
        """Show a sign of life: start again, and log a block that has ended."""
        self._asked = False
        gap_s = self._clock() - self._pulse_s
        ran_s = max(self._ticks * self._tick_s, self._cpu_clock() - self._pulse_cpu_s)
        self._begin()
        if gap_s < self._told_after_s + self._tick_s:
            return
        if ran_s >= gap_s / 2:
            self._log.warn("The reactor was blocked for {seconds:.1f} s.", seconds=gap_s)
        else:
            self._log.info(
                "The process stood still for {seconds:.1f} s (stopped by a signal, or frozen).",
                seconds=gap_s,
            )


def _start_daemon(run: Callable[[], None]) -> None:
    BoundedThread(run, "watchdog", daemon=True).start()
