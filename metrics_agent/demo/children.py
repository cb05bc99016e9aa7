"""The demo's child processes: started in order, watched, ended together.

Each child holds one end of three pipes. By its standard error it says that it is ready, and what
is odd, which becomes a line of our log. Its standard input ends with us, however we end, and then
so does the child. Nothing is restarted here.
"""

from __future__ import annotations

import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred, DeferredList, ensureDeferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from metrics_agent.demo.broker import READY
from metrics_agent.demo.requirements import check_requirements
from metrics_agent.errors import MetricsAgentError

__all__ = ["DemoChildren", "DemoError", "Ended"]

READY_TIMEOUT_S: Final = 30.0
KILL_AFTER_S: Final = 1.0

_LAST_LINES: Final = 5
_MAX_LINE: Final = 4096


class DemoError(MetricsAgentError):
    """A child of the demo cannot be started."""


@frozen
class Ended:
    """How a child ended.

    Attributes:
        name: ``broker``, ``fleet`` or ``opendtu``.
        status: ``exit status 1``, ``signal SIGKILL``.
        last_lines: the last it said on standard error, at most five.
    """

    name: str
    status: str
    last_lines: tuple[str, ...]

    def __str__(self) -> str:
        """Return a sentence without its full stop."""
        said = f": {' | '.join(self.last_lines)}" if self.last_lines else ""
        return f"the demo's {self.name} ended with {self.status}{said}"


class DemoChildren:
    """Starts the broker, then the devices at it, then the DTU; ends them all.

    Args:
        reactor: IReactorProcess and IReactorTime; it must handle SIGCHLD, as ``run`` does.
        log: takes what the children say.
        on_end: called with an `Ended` when a child ends that was ready and not told to end.
        interval_s: between two messages of a device.
        python: the interpreter.

    Attributes:
        port: where the broker listens; 0 until it is ready.
        dtu_port: where the DTU listens; 0 until it is ready.
    """

    def __init__(
        self,
        reactor: Any,
        log: Logger,
        on_end: Callable[[Ended], object],
        *,
        interval_s: float = 1.0,
        python: str = sys.executable,
    ) -> None:
        self.port = 0
        self.dtu_port = 0
        self._reactor = reactor
        self._log = log
        self._on_end = on_end
        self._interval_s = interval_s
        self._python = python
        self._children: list[_Child] = []
        self._stopping = False

    def start(self) -> Deferred[int]:
        """Start all; call it once.

        Returns:
            Fires with the broker's port once every device is there. Fails with
            MissingDependency, with DemoError where a child ended or was not ready in time, with
            OSError where none can be made, with CancelledError after ``stop``. After a failure
            ``stop`` ends what was started.
        """
        return ensureDeferred(self._start())

    async def _start(self) -> int:
        check_requirements()
        self.port = await self._spawn("broker", "--port", "0")
        await self._spawn("fleet", "--port", str(self.port), "--interval", str(self._interval_s))
        self.dtu_port = await self._spawn("opendtu", "--port", "0")
        return self.port

    def stop(self) -> Deferred[None]:
        """End all: SIGTERM, after a second SIGKILL. Harmless before the start and twice.

        Returns:
            Fires when all are gone and have been waited for.
        """
        self._stopping = True
        waiting = [child.end(KILL_AFTER_S) for child in self._children]
        return DeferredList(waiting).addCallback(lambda _results: None)

    def _spawn(self, name: str, *arguments: str) -> Deferred[int]:
        if self._stopping:
            raise CancelledError
        child = _Child(self._reactor, name, self._relay, self._ended)
        module = f"metrics_agent.demo.{name}"
        # Warnings of the libraries are for those who write them.
        command = [self._python, "-W", "ignore", "-m", module, *arguments]
        with _interrupt_blocked():
            self._reactor.spawnProcess(child, self._python, command, env=dict(os.environ))
        self._children.append(child)
        return child.ready

    def _relay(self, name: str, line: str) -> None:
        # What they say of each other's end is expected once they end.
        tell = self._log.debug if self._stopping else self._log.warn
        tell("The demo's {child}: {line}", child=name, line=line)

    def _ended(self, ended: Ended) -> None:
        if not self._stopping:
            self._on_end(ended)


class _Child(ProcessProtocol):
    """One child.

    Args:
        reactor: for timers.
        name: which.
        relay: takes its name and a line of its standard error.
        on_end: called when it has ended after being ready.

    Attributes:
        ready: fires with the port that it names.
    """

    def __init__(
        self,
        reactor: Any,
        name: str,
        relay: Callable[[str, str], object],
        on_end: Callable[[Ended], object],
    ) -> None:
        self.ready: Deferred[int] = Deferred()
        self._reactor = reactor
        self._name = name
        self._relay = relay
        self._on_end = on_end
        self._begun = b""
        self._last_lines: deque[str] = deque(maxlen=_LAST_LINES)
        self._told_to_end = False
        self._gone = False
        self._waiting: list[Deferred[None]] = []
        self._timer: IDelayedCall | None = None

    def end(self, kill_after_s: float) -> Deferred[None]:
        """Tell it to end; fires when it has."""
        done: Deferred[None] = Deferred()
        if self._gone:
            done.callback(None)
            return done
        self._waiting.append(done)
        if not self._told_to_end:
            self._told_to_end = True
            self._signal("TERM")
            self._set_timer(kill_after_s, self._signal, "KILL")
        return done

    # Called by the reactor.

    def connectionMade(self) -> None:
        """Give it time to get ready."""
        self._set_timer(READY_TIMEOUT_S, self._too_slow)

    def outReceived(self, data: bytes) -> None:
        """Take what should not be there like the rest."""
        self.errReceived(data)

    def errReceived(self, data: bytes) -> None:
        """Take lines."""
        *lines, self._begun = (self._begun + data).split(b"\n")
        if len(self._begun) > _MAX_LINE:
            lines.append(self._begun)
            self._begun = b""
        for line in lines:
            self._take(line.decode("utf-8", "replace").rstrip())

    def processEnded(self, reason: Failure) -> None:
        """Tell how it ended; all its pipes are closed."""
        self._gone = True
        self._set_timer(None)
        if self._begun:
            self._take(self._begun.decode("utf-8", "replace").rstrip())
        ended = Ended(self._name, _status_of(reason.value), tuple(self._last_lines))
        waiting, self._waiting = self._waiting, []
        for done in waiting:
            done.callback(None)
        if not self.ready.called:
            error = CancelledError() if self._told_to_end else DemoError(str(ended))
            self.ready.errback(error)
        elif not self._told_to_end:
            self._on_end(ended)

    def _take(self, line: str) -> None:
        word, _, address = line.partition(" ")
        if word == READY and not self.ready.called:
            if not self._told_to_end:
                self._set_timer(None)
                self.ready.callback(int(address.rpartition(":")[2]))
        elif line:
            self._last_lines.append(line)
            self._relay(self._name, line)

    def _too_slow(self) -> None:
        if not self.ready.called:
            said = f": {' | '.join(self._last_lines)}" if self._last_lines else ""
            self.ready.errback(
                DemoError(
                    f"the demo's {self._name} was not ready after {READY_TIMEOUT_S:g} s{said}"
                )
            )

    def _signal(self, name: str) -> None:
        try:
            self.transport.signalProcess(name)  # type: ignore[union-attr]  # a process has one
        except ProcessExitedAlready:
            # Its pipes are about to close.
            return

    def _set_timer(self, delay_s: float | None, *call: Any) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None if delay_s is None else self._reactor.callLater(delay_s, *call)


@contextmanager
def _interrupt_blocked() -> Iterator[None]:
    """Have a process made in here never see SIGINT.

    Ctrl-C may come at any time, and would show a traceback of the interpreter's own start. That a
    signal is blocked outlasts exec; that it is ignored does not, spawnProcess sees to it.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _status_of(reason: BaseException | None) -> str:
    """Return what waiting for a process gave: ProcessDone or ProcessTerminated."""
    number = getattr(reason, "signal", None)
    if number is not None:
        return f"signal {signal.Signals(number).name}"
    return f"exit status {getattr(reason, 'exitCode', None)}"
