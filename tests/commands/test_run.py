"""`metrics-agent run`: the log, the plan, the reactor, the code."""

from __future__ import annotations

from typing import Any

from twisted.internet.testing import MemoryReactorClock

from metrics_agent import assembly
from metrics_agent.commands import reactor as reactor_of_plan
from metrics_agent.commands import run as run_module
from metrics_agent.commands.run import run
from metrics_agent.config import Fault
from metrics_agent.errors import ConfigError
from metrics_agent.process.boot import Process
from metrics_agent.process.exit import ExitCode
from tests.commands.case import FAULTY, GOOD, CommandCase


class FakeAgent:
    """Records what it is asked for; ends the reactor like the real one."""

    def __init__(self, seen: list[Any]) -> None:
        self.seen = seen

    def startService(self) -> None:
        self.seen.append("started")

    def stopService(self) -> None:
        self.seen.append("stopped")

    def request_stop(self, reason: str) -> None:
        self.seen.append(reason)


class RunTests(CommandCase):
    """With everything of the process replaced by fakes."""

    def setUp(self) -> None:
        super().setUp()
        self.seen: list[Any] = []
        self.reactor = MemoryReactorClock()
        self.process = Process()
        self.agent = FakeAgent(self.seen)
        self.use_reactor(self.reactor)
        self.patch(
            reactor_of_plan, "use_monotonic_clock", lambda _reactor: self.seen.append("clock")
        )
        self.patch(reactor_of_plan, "leave_out_openssl", lambda: None)
        self.patch(assembly, "assemble", self.assemble)
        self.patch(run_module, "StderrObserver", lambda: self)
        for name in ("begin_logging", "bridge_logging", "contain_observers", "redirect_stdout"):
            self.patch(run_module, name, lambda *_args, name=name: self.seen.append(name))
        self.logging = ["begin_logging", "bridge_logging", "contain_observers", "redirect_stdout"]

    def assemble(
        self,
        process: Process,
        reactor: Any,
        plan: Any,
        load: Any,
        observer: Any,
        *,
        diagnosis: object,
    ) -> Any:
        self.assertEqual((process, reactor, observer), (self.process, self.reactor, self))
        self.assertIsNone(diagnosis)
        self.seen.append([module.name for module in plan.modules])
        return self.agent

    def final_flush(self) -> None:
        """Stand for the observer's."""
        self.seen.append("flushed")

    def test_run(self) -> None:
        """The log first, the plan, the agent in the reactor; the log is flushed at the end."""
        self.assertEqual(run(self.process, self.write(GOOD)), 0)
        self.assertEqual(self.seen, [*self.logging, "clock", ["demo"], "started", "flushed"])
        self.assertIn("shutdown", self.reactor.triggers["before"])

    def test_code(self) -> None:
        """The code is the one that the agent has set."""
        self.process.exit_status.set(ExitCode.FAILED)
        self.assertEqual(run(self.process, self.write(GOOD)), 1)

    def test_cannot_be_used(self) -> None:
        """With a configuration that cannot be used there is no agent; the log is flushed."""
        self.assertEqual(run(self.process, self.write(FAULTY)), 78)
        self.assertEqual(self.seen, [*self.logging, "flushed"])
        self.assertFalse(self.reactor.hasRun)
        self.flushLoggedErrors()

    def test_wrong_output(self) -> None:
        """An output that cannot be used is a fault of the configuration."""

        def assemble(*_args: object, **_named: object) -> Any:
            raise ConfigError([Fault("output", "'x:' is not right")])

        self.patch(assembly, "assemble", assemble)
        self.assertEqual(run(self.process, self.write(GOOD)), 78)
        self.assertFalse(self.reactor.hasRun)

    def test_flushed_whatever_happens(self) -> None:
        """The last words are written also where the agent cannot be made at all."""
        self.patch(assembly, "assemble", lambda *_args, **_named: 1 / 0)
        with self.assertRaises(ZeroDivisionError):
            run(self.process, self.write(GOOD))
        self.assertEqual(self.seen[-1], "flushed")
