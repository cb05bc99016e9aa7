"""`metrics-agent demo`: the agent at work, with a broker and devices of its own."""

from __future__ import annotations

import os
import socket
import tempfile
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, ensureDeferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from metrics_agent.agent import Agent
from metrics_agent.assembly import assemble
from metrics_agent.commands.demo_summary import Summary
from metrics_agent.commands.loading import load_from
from metrics_agent.demo.child import Simulation
from metrics_agent.demo.configuration import HOST, TRIGGER_FILE, demo_configuration
from metrics_agent.errors import MetricsAgentError
from metrics_agent.logs.capture import (
    begin_logging,
    bridge_logging,
    contain_observers,
    redirect_stdout,
)
from metrics_agent.logs.descriptor import Descriptor
from metrics_agent.logs.logger import make_logger
from metrics_agent.logs.observer import StderrObserver
from metrics_agent.plan import build
from metrics_agent.process.boot import Process
from metrics_agent.process.descriptors import STDOUT
from metrics_agent.process.exit import ExitCode
from metrics_agent.process.running import run_service, use_monotonic_clock
from metrics_agent.supervision.reports import Reports
from metrics_agent.timer import Timer

__all__ = ["demo", "free_port"]

REMIND_S: Final = 3.0
"""By then the agent has started, has connected and has found the devices."""
SUMMARY_S: Final = 5.0


def demo(process: Process, for_s: float | None, *, lines: bool = False) -> ExitCode:
    """Run the demo until it is asked to stop.

    A terminal shows a summary every few seconds; scripts that read stdout get the metrics.

    Args:
        process: what `boot` made.
        for_s: stop in order after so many seconds; None: run until asked to stop.
        lines: write the metrics to a terminal too.
    """
    from twisted.internet import reactor

    use_monotonic_clock(reactor)

    observer = StderrObserver()
    begin_logging(observer)
    bridge_logging(observer)
    contain_observers()
    redirect_stdout()
    terminal = Descriptor(STDOUT) if os.isatty(STDOUT) and not lines else None
    try:
        with tempfile.TemporaryDirectory(prefix="metrics-agent-demo-") as directory:
            service = DemoService(
                process, reactor, observer, Path(directory), make_logger(), terminal
            )
            if for_s is not None:
                reactor.callLater(for_s, service.request_stop, f"{for_s:g} s are over")
            run_service(reactor, service)
    finally:
        observer.final_flush()
    return process.exit_status.code


class DemoService(Service):
    """The simulation, and the agent once that is ready.

    Args:
        process: signals and exit code.
        reactor: the reactor.
        observer: the log.
        directory: for the configuration, state and the trigger file.
        log: of the demo itself.
        terminal: shows a summary; None: the metrics go to stdout.
    """

    def __init__(
        self,
        process: Process,
        reactor: Any,
        observer: StderrObserver,
        directory: Path,
        log: Logger,
        terminal: Descriptor | None = None,
    ) -> None:
        self._process = process
        self._reactor = reactor
        self._observer = observer
        self._directory = directory
        self._log = log
        self._simulation = Simulation(reactor, log, self._simulation_ended)
        self._agent: Agent | None = None
        self._terminal = terminal
        self._summary = Summary()
        self._reports: Reports | None = None
        self._page_port = free_port()
        self._reminder = Timer(reactor, self._remind)
        self._summaries = Timer(reactor, self._summarise)

    @property
    def _page(self) -> str:
        return f"http://{HOST}:{self._page_port}/"

    @property
    def _trigger(self) -> Path:
        return self._directory / TRIGGER_FILE

    def startService(self) -> None:
        """Start the simulation, then the agent."""
        super().startService()
        self._observer.attach(self._reactor)
        self._process.signals.attach(
            self._reactor, lambda name: self.request_stop(f"got {name}"), lambda: None
        )
        self._log.info("The status page will be at {page} in a few seconds.", page=self._page)
        self._log.info(
            "Starting a broker, eight devices and a DTU with three inverters, all simulated."
        )
        self._simulation.start().addCallback(self._ready).addErrback(self._failed)

    def request_stop(self, reason: str, code: ExitCode = ExitCode.STOPPED) -> None:
        """Stop all in order."""
        if self._agent is not None:
            self._agent.request_stop(reason, code)
        elif self.running:
            self._process.exit_status.set(code)
            self._reactor.stop()

    def stopService(self) -> Any:
        """Stop the agent, then the simulation."""
        super().stopService()
        self._simulation.ignore_messages()
        return ensureDeferred(self._stop())

    async def _stop(self) -> None:
        self._reminder.stop()
        self._summaries.stop()
        if self._agent is not None:
            await maybeDeferred(self._agent.stopService)
        await self._simulation.stop()

    def _ready(self, ports: tuple[int, int]) -> None:
        if not self.running:
            return
        path = self._directory / "metrics-agent.toml"
        lines = self._terminal is None
        text = demo_configuration(*ports, self._page_port, self._directory, lines=lines)
        path.write_text(text, encoding="utf-8")
        load = partial(load_from, path)
        agent = assemble(
            self._process,
            self._reactor,
            build(load()),
            load,
            self._observer,
            reported=self._take_reports,
        )
        self._agent = agent
        shown = "Metrics go to stdout, this log to stderr" if lines else "--lines shows the metrics"
        self._log.info(
            "{shown}; Ctrl-C ends it. The configuration is {path}. To see a failure contained: "
            "touch {trigger}",
            shown=shown,
            path=str(path),
            trigger=str(self._trigger),
        )
        agent.startService()
        self._reminder.start(REMIND_S)

    def _take_reports(self, reports: Reports) -> None:
        self._reports = reports

    def _remind(self) -> None:
        """Say once more, below all that the start logs, what to look at and to try."""
        if self._agent is None or self._agent.stopping:
            return
        self._log.info(
            "Open {page} in a browser. To see a failure contained: touch {trigger}",
            page=self._page,
            trigger=str(self._trigger),
        )
        if self._terminal is not None:
            self._summaries.start(SUMMARY_S)

    def _summarise(self) -> float | None:
        if self._agent is None or self._agent.stopping:
            return None
        from metrics_agent.status import snapshot

        assert self._reports is not None
        assert self._terminal is not None
        devices = list(snapshot.devices(self._reports))
        lines = self._summary.lines(snapshot.whole(self._reports), devices)
        text = "".join(f"{line}\n" for line in lines)
        # A terminal that was stopped with Ctrl-S, or is gone, misses this one.
        with suppress(OSError):
            self._terminal.write(text.encode())
        return SUMMARY_S

    def _failed(self, failure: Failure) -> None:
        if isinstance(failure.value, CancelledError):
            return
        if isinstance(failure.value, (MetricsAgentError, OSError)):
            self._log.error("The demo cannot run: {reason}", reason=failure.value)
        else:
            self._log.failure("The demo cannot run", failure)
        self.request_stop("the demo cannot run", ExitCode.FAILED)

    def _simulation_ended(self, sentence: str) -> None:
        self._log.error("{sentence}.", sentence=sentence)
        self.request_stop("a part of the demo is gone", ExitCode.FAILED)


def free_port() -> int:
    """Return a port that nothing listens on; another program could take it meanwhile."""
    with socket.socket() as found:
        found.bind((HOST, 0))
        port: int = found.getsockname()[1]
        return port
