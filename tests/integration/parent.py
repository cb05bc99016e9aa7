"""A parent for the agent with the manners of Telegraf's inputs.execd, for tests in seconds.

It does what Telegraf does: three pipes, a line of stderr has the level of its prefix, to stop it
closes stdin, sends SIGTERM after 5 s and SIGKILL after 10 s, it starts the agent again after any
exit, and what is unread when the agent has ended is lost. Besides it can read slowly, not at all,
or be gone.
"""

from __future__ import annotations

import os
import signal
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen
from twisted.internet import fdesc, reactor
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from metrics_agent.process.descriptors import ask_kernel
from tests.integration.watching import Said, environment, is_alive, until

__all__ = ["FAST", "SLOW", "HarnessParent", "Pace"]

STOP_LIMIT_S = 20.0


@frozen
class Pace:
    """How stdout is read: so many bytes, then a pause."""

    chunk_bytes: int
    pause_s: float


FAST = Pace(64 * 1024, 0.0)
SLOW = Pace(4096, 0.003)
"""A busy Telegraf: some forty lines, then something else for three milliseconds."""


@implementer(IReadDescriptor)
class _Reader:
    """The parent's end of a pipe that the agent writes to."""

    def __init__(self, fd: int, take: Any, pace: Pace) -> None:
        self._fd = fd
        self._take = take
        self._call: Any = None
        self._reading = False
        self.pace = pace
        fdesc.setNonBlocking(fd)

    def fileno(self) -> int:
        return self._fd

    def logPrefix(self) -> str:
        return "pipe of the agent"

    def start(self) -> None:
        self._reading = True
        if self._fd >= 0 and self._call is None:
            reactor.addReader(self)

    def stop(self) -> None:
        self._reading = False
        reactor.removeReader(self)
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def close(self) -> None:
        self.stop()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def doRead(self) -> None:
        try:
            data = os.read(self._fd, self.pace.chunk_bytes)
        except BlockingIOError:
            return
        if not data:
            self.close()
            return
        self._take(data)
        if self.pace.pause_s:
            reactor.removeReader(self)
            self._call = reactor.callLater(self.pace.pause_s, self._go_on)

    def _go_on(self) -> None:
        self._call = None
        if self._reading:
            reactor.addReader(self)

    def connectionLost(self, _reason: Failure) -> None:
        self.close()


class _Child(ProcessProtocol):
    """One run of the agent."""

    def __init__(self, parent: HarnessParent, stdout: _Reader, stderr: _Reader) -> None:
        self.parent = parent
        self.stdout = stdout
        self.stderr = stderr
        self.ended = False
        self.timers: list[Any] = []

    def processExited(self, reason: Failure) -> None:
        self.ended = True
        # As Go's Cmd.Wait: what has not been read by now never will be.
        self.stdout.close()
        self.stderr.close()
        for timer in self.timers:
            if timer.active():
                timer.cancel()
        self.transport.loseConnection()
        status = reason.value
        code = -status.signal if status.signal else status.exitCode
        self.parent.child_ended(code)

    def after(self, seconds: float, number: signal.Signals) -> None:
        self.timers.append(reactor.callLater(seconds, self.send, number))

    def send(self, number: signal.Signals) -> None:
        if not self.ended:
            os.kill(self.transport.pid, number)


class HarnessParent:
    """Runs the agent; ends with the test.

    Args:
        case: whose cleanup ends everything.
        command: the agent and its arguments.
        restart_delay_s: from the end of the agent to its next start.
        env: added to the environment.
        cwd: where it runs.

    Attributes:
        output: all that was read of the agent's stdout, over restarts.
        log: its stderr, line by line.
        exits: the status of each run, negative for a signal.
        starts: how often it was started.
    """

    sigterm_after_s = 5.0
    sigkill_after_s = 10.0

    def __init__(
        self,
        case: TestCase,
        command: Sequence[str],
        *,
        restart_delay_s: float = 1.0,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self._cwd = cwd
        self._command = list(command)
        self._env = environment(env)
        self._restart_delay_s = restart_delay_s
        self._restart: Any = None
        self._stopping = False
        self._child: _Child | None = None
        self._pace = FAST
        self._log_pace = FAST
        self._half_line = b""
        self._frozen = False
        self.output = bytearray()
        self.log: list[Said] = []
        self.exits: list[int] = []
        self.starts = 0
        case.addCleanup(self._clean_up)

    # What Telegraf can do too.

    @property
    def agent_pid(self) -> int:
        """The process id of the agent that runs; 0 if none does."""
        child = self._child
        return 0 if child is None or child.ended else int(child.transport.pid)

    def lines(self) -> list[bytes]:
        """Return the whole lines that were read."""
        return bytes(self.output).split(b"\n")[:-1]

    def start(self) -> None:
        """Start the agent, and again whenever it ends."""
        self._restart = None
        self.starts += 1
        (mine, its), (my_log, its_log) = os.pipe(), os.pipe()
        self._half_line = b""
        stdout = _Reader(mine, self.output.extend, self._pace)
        stderr = _Reader(my_log, self._take_log, self._log_pace)
        self._child = _Child(self, stdout, stderr)
        reactor.spawnProcess(
            self._child,
            self._command[0],
            self._command,
            env=self._env,
            path=None if self._cwd is None else str(self._cwd),
            childFDs={0: "w", 1: its, 2: its_log},
        )
        os.close(its)
        os.close(its_log)
        stderr.start()
        if not self._frozen:
            stdout.start()

    async def stop(self) -> float:
        """Stop for good, as when Telegraf is stopped.

        Returns:
            The seconds until the agent was gone.
        """
        began_s = time.monotonic()
        self.begin_stop()
        await until(lambda: not self.agent_pid, "the agent's end", STOP_LIMIT_S)
        return time.monotonic() - began_s

    def begin_stop(self) -> None:
        """Begin what `stop` waits for."""
        self._stopping = True
        if self._restart is not None:
            self._restart.cancel()
            self._restart = None
        if self.agent_pid:
            self._child.transport.closeStdin()
            self._child.after(self.sigterm_after_s, signal.SIGTERM)
            self._child.after(self.sigkill_after_s, signal.SIGKILL)

    def kill(self) -> None:
        """Vanish: all pipes are closed, and nothing is started any more."""
        self._stopping = True
        self._child.stdout.close()
        self._child.stderr.close()
        self._child.transport.loseConnection()

    def freeze(self) -> None:
        """Read no more metrics; Telegraf reads the log in another thread, so that goes on."""
        self._frozen = True
        self._child.stdout.stop()

    def thaw(self) -> None:
        """Read again."""
        self._frozen = False
        self._child.stdout.start()

    def signal_agent(self, number: signal.Signals) -> None:
        """Send the agent a signal."""
        os.kill(self.agent_pid, number)

    # What only the harness can do.

    def read_at(self, pace: Pace) -> None:
        """Read stdout at that pace, from now on and over restarts."""
        self._pace = pace
        if self._child is not None:
            self._child.stdout.pace = pace

    def read_log_at(self, pace: Pace) -> None:
        """Read stderr at that pace, from now on and over restarts."""
        self._log_pace = pace
        if self._child is not None:
            self._child.stderr.pace = pace

    def close_output(self) -> None:
        """Let the reader of stdout be gone."""
        self._child.stdout.close()

    def write_stdin(self, data: bytes) -> None:
        """Write to the agent's stdin, as Telegraf does with ``signal = "STDIN"``."""
        self._child.transport.writeToChild(0, data)

    def stdin_is_empty(self) -> bool:
        """Return whether the agent has read all that was written to its stdin."""
        pipe = self._child.transport.pipes[0]
        unsent = len(pipe.dataBuffer) - pipe.offset + pipe._tempDataLen
        return not unsent and not ask_kernel(pipe.fd, termios.FIONREAD)

    # Inside.

    def _take_log(self, data: bytes) -> None:
        *lines, self._half_line = (self._half_line + data).split(b"\n")
        self.log += [_understood(line.decode("utf-8", "replace")) for line in lines]

    def child_ended(self, code: int) -> None:
        """Take note of an exit, and plan the next start; called by the child."""
        self.exits.append(code)
        # Telegraf reads each run with a new parser: a line that was cut by a kill is discarded.
        del self.output[self.output.rfind(b"\n") + 1 :]
        if not self._stopping:
            self._restart = reactor.callLater(self._restart_delay_s, self.start)

    async def _clean_up(self) -> None:
        self._stopping = True
        if self._restart is not None and self._restart.active():
            self._restart.cancel()
        pid = self.agent_pid
        if pid:
            os.kill(pid, signal.SIGKILL)
            await until(lambda: not self.agent_pid and not is_alive(pid), "the end of a child")
        if self._child is not None:
            self._child.stdout.close()
            self._child.stderr.close()


def _understood(line: str) -> Said:
    """Return a line of stderr as Telegraf reads it."""
    if line[1:3] == "! " and line[0] in "EWIDT":
        return Said(line[0], line[3:])
    return Said("E", f"stderr: {line!r}")
