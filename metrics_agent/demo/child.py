"""The demo's child process: started, watched, ended.

By its standard error it says that it is ready, and what is odd, which becomes a line of our log.
Its standard input ends with us, however we end, and then so does the child.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from typing import Any, Final, NoReturn

from twisted.internet.defer import CancelledError, Deferred, execute, succeed
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from metrics_agent.demo.configuration import READY
from metrics_agent.errors import MetricsAgentError, MissingDependency, how_to_install

__all__ = ["DemoError", "Simulation"]

READY_TIMEOUT_S: Final = 30.0

_MAX_LINE: Final = 4096
_OURS: Final = {signal.SIGINT, signal.SIGTERM}
"""Signals that are for us; we end the child ourselves."""
_NEEDED: Final = {"amqtt": "MQTT broker", "websockets": "DTU"}


class DemoError(MetricsAgentError):
    """The simulation cannot be started."""


class Simulation(ProcessProtocol):
    """Starts the broker and the devices in a child process, and ends them.

    Args:
        reactor: IReactorProcess and IReactorTime; it must handle SIGCHLD, as ``run`` does.
        log: takes what the child says.
        on_end: called with a sentence when the child was ready and ends without being stopped.
        python: the interpreter.
    """

    def __init__(
        self,
        reactor: Any,
        log: Logger,
        on_end: Callable[[str], object],
        python: str = sys.executable,
    ) -> None:
        self._reactor = reactor
        self._log = log
        self._on_end = on_end
        self._python = python
        self._ready: Deferred[tuple[int, int]] = Deferred()
        self._gone: Deferred[None] = Deferred()
        self._begun = b""
        self._logs_messages = True
        self._stopping = False

    def start(self) -> Deferred[tuple[int, int]]:
        """Start it; call it once.

        Returns:
            Fires with the ports of broker and DTU once every device is there. Fails with
            MissingDependency, with DemoError where the child ended or was not ready in time, with
            OSError where none can be made, with CancelledError after ``stop``.
        """
        return execute(self._spawn).addCallback(lambda _none: self._ready)

    def _spawn(self) -> None:
        if self._stopping:
            raise CancelledError
        for package, part in _NEEDED.items():
            if find_spec(package) is None:
                raise MissingDependency(
                    f"the demo's {part} needs the package {package}, which is not installed: "
                    f"{how_to_install('demo')}"
                )
        # Warnings of the libraries are for those who write them.
        command = [self._python, "-W", "ignore", "-m", "metrics_agent.demo.simulation"]
        # Ctrl-C reaches every process of a terminal, and a supervisor's SIGTERM every one of its
        # group; we stop in order, and the child must not end before. That a signal is blocked
        # outlasts exec; that it is ignored does not.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _OURS)
        try:
            self._reactor.spawnProcess(self, self._python, command, env=dict(os.environ))
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def ignore_messages(self) -> None:
        """Log nothing more of what it says: it will see its connections end, some half made."""
        self._logs_messages = False

    def stop(self) -> Deferred[None]:
        """End it at once, it has nothing to save. Harmless before the start and twice.

        Returns:
            Fires when it is gone and has been waited for.
        """
        self._stopping = True
        if self.transport is None:
            return succeed(None)
        with suppress(ProcessExitedAlready):  # its pipes are about to close
            self.transport.signalProcess("KILL")
        return self._gone

    # Called by the reactor.

    def connectionMade(self) -> None:
        """Give it time to get ready."""

        def too_slow(*_: object) -> NoReturn:
            raise DemoError(f"the demo's simulation was not ready after {READY_TIMEOUT_S:g} s")

        self._ready.addTimeout(READY_TIMEOUT_S, self._reactor, too_slow)

    def errReceived(self, data: bytes) -> None:
        """Take lines."""
        *lines, self._begun = (self._begun + data).split(b"\n")
        if len(self._begun) > _MAX_LINE:
            lines.append(self._begun)
            self._begun = b""
        for line in lines:
            self._take(line.decode("utf-8", "replace").rstrip())

    outReceived = errReceived

    def processEnded(self, reason: Failure) -> None:
        """Say how it ended; all its pipes are closed."""
        self._take(self._begun.decode("utf-8", "replace").rstrip())
        self._gone.callback(None)
        sentence = f"the demo's simulation ended with {_status_of(reason.value)}"
        if not self._ready.called:
            self._ready.errback(CancelledError() if self._stopping else DemoError(sentence))
        elif not self._stopping:
            self._on_end(sentence)

    def _take(self, line: str) -> None:
        word, *ports = line.split(" ")
        if word == READY and not self._ready.called:
            if not self._stopping:
                mqtt_port, dtu_port = map(int, ports)
                self._ready.callback((mqtt_port, dtu_port))
        elif line and self._logs_messages:
            self._log.warn("The demo's simulation: {line}", line=line)


def _status_of(reason: BaseException | None) -> str:
    """Return what waiting for a process gave: ProcessDone or ProcessTerminated."""
    number = getattr(reason, "signal", None)
    if number is not None:
        return f"signal {signal.Signals(number).name}"
    return f"exit status {getattr(reason, 'exitCode', None)}"
