"""Fakes for the demo's parts: a reactor that starts processes."""

from __future__ import annotations

import signal
from typing import Any

from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.task import Clock
from twisted.python.failure import Failure

__all__ = ["FakeProcess", "ProcessClock"]


class FakeProcess:
    """The transport of a child; the test is the child."""

    def __init__(self, protocol: Any, command: list[str]) -> None:
        self.protocol = protocol
        self.command = command
        self.signals: list[str] = []
        self.exited = False
        self.blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())

    def signalProcess(self, name: str) -> None:
        if self.exited:
            raise ProcessExitedAlready
        self.signals.append(name)

    # The child's side.

    def say(self, text: str) -> None:
        self.protocol.errReceived(text.encode())

    def end(self, status: int = 0, by: int | None = None) -> None:
        self.exited = True
        done = ProcessDone(0) if not status and by is None else None
        self.protocol.processEnded(Failure(done or ProcessTerminated(status or None, by)))


class ProcessClock(Clock):
    """A Clock that starts processes."""

    def __init__(self) -> None:
        super().__init__()
        self.processes: list[FakeProcess] = []
        self.refuse = False

    def spawnProcess(
        self, protocol: Any, executable: str, args: list[str], env: dict[str, str]
    ) -> FakeProcess:
        if self.refuse:
            raise OSError("no more processes")
        assert executable == args[0]
        assert env.get("PATH")
        process = FakeProcess(protocol, args)
        self.processes.append(process)
        protocol.makeConnection(process)
        return process
