"""`twistd metrics-agent`: from its options to the agent, or to a code."""

from __future__ import annotations

from typing import Any
from unittest import mock

from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher
from twisted.python import usage

from metrics_agent import assembly
from metrics_agent.commands import reactor as reactor_of_plan
from metrics_agent.config import Fault
from metrics_agent.errors import ConfigError
from metrics_agent.logs import capture, observer
from metrics_agent.process.boot import Process
from tests.commands.case import FAULTY, GOOD, CommandCase

with mock.patch("metrics_agent.process.boot.boot", Process):
    # Importing it installs handlers, which the tests' own process does not want.
    from metrics_agent import tap
from metrics_agent.tap import Options, makeService


class FakeObserver:
    """Represents the log."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, event: Any) -> None:
        self.lines.append(f"{event['log_level'].name}: {formatEvent(event)}")

    closed = False

    def final_flush(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Note that stderr is closed."""
        self.closed = True


class TwistdReactor(Clock):
    """Keeps what is to be done when it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.when_running: list[Any] = []

    def callWhenRunning(self, call: Any) -> None:
        """Keep it."""
        self.when_running.append(call)


class MakeServiceTests(CommandCase):
    """With everything of the process replaced by fakes."""

    def setUp(self) -> None:
        super().setUp()
        self.seen: list[Any] = []
        self.at_exit: list[Any] = []
        self.log = FakeObserver()
        self.reactor = TwistdReactor()
        self.use_reactor(self.reactor)
        self.patch(observer, "StderrObserver", lambda: self.log)
        self.patch(
            reactor_of_plan, "use_monotonic_clock", lambda _reactor: self.seen.append("clock")
        )
        self.patch(reactor_of_plan, "leave_out_openssl", lambda: None)
        self.patch(assembly, "assemble", self.assemble)
        self.patch(capture, "bridge_logging", self.bridge)
        self.patch(capture, "contain_observers", lambda: self.seen.append("contain"))
        self.patch(tap, "atexit", self)

    def register(self, call: Any, *args: Any) -> None:
        """Stand for atexit's."""
        self.at_exit.append((call, *args))

    def bridge(self, log: Any, **to: Any) -> None:
        """Stand for the bridge from Python's logging."""
        self.assertIs(log, self.log)
        self.seen.append(to or "bridge")

    def assemble(
        self, process: Any, reactor: Any, plan: Any, load: Any, log: Any, *, log_with: Any
    ) -> Any:
        self.assertEqual((process, reactor, log), (tap.PROCESS, self.reactor, self.log))
        self.assertEqual(load().path, plan.config.path)
        self.seen.append(([module.name for module in plan.modules], log_with))
        return "agent"

    def make(self, text: str = GOOD, **twistd: Any) -> Any:
        options = Options()
        options.parseOptions(["-c", self.write(text)])
        options.parent = {"nodaemon": True, **twistd}
        return makeService(options)

    def ends(self, *args: Any, **twistd: Any) -> list[str]:
        """Check that it ends with 78; return what was reported."""
        with self.assertRaises(SystemExit) as caught:
            self.make(*args, **twistd)
        self.assertEqual(caught.exception.code, 78)
        self.assertIs(type(caught.exception.code), int)
        return self.log.lines

    def test_agent(self) -> None:
        """In the foreground: the agent, and twistd logs with our observer."""
        self.assertEqual(self.make(), "agent")
        self.assertEqual(self.seen, ["clock", (["demo"], self.log), "contain", "bridge"])
        self.assertEqual([call for call, *_args in self.at_exit], [self.log.final_flush])
        self.assertEqual(self.reactor.when_running, [])

    def test_without_twistd(self) -> None:
        """Options that twistd did not parse count as those of the foreground."""
        options = Options()
        options.parseOptions(["--config", self.write(GOOD)])
        self.assertEqual(makeService(options), "agent")

    def test_log_of_somebody_else(self) -> None:
        """Whoever asks twistd for another log gets it."""
        for name in ("logfile", "syslog", "logger"):
            self.seen.clear()
            self.make(**{name: "x"})
            self.assertEqual(self.seen[1], (["demo"], None))

    def test_log_to_stdout(self) -> None:
        """There it would be among the metrics; where they go elsewhere it may."""
        self.make(logfile="-")
        self.assertEqual(self.seen[1], (["demo"], self.log))
        self.seen.clear()
        self.make('output = "/tmp/x.lp"\n' + GOOD, logfile="-")
        self.assertEqual(self.seen[1], (["demo"], None))

    def test_wrong_configuration(self) -> None:
        """Reported on stderr, line by line, and 78; nothing is made."""
        lines = self.ends(FAULTY)
        self.assertIn("agent.toml:3: modules.demo.interval: got", lines[0])
        self.assertRegex(
            lines[-1], r"\Aerror: Not started: the configuration /\S+ cannot be used\.\Z"
        )
        self.assertEqual(self.seen, [])

    def test_background_without_an_output(self) -> None:
        """A daemon has no stdout: refused, with what to do instead."""
        lines = self.ends(nodaemon=False)
        self.assertEqual(len(lines), 1)
        self.assertIn("twistd -n metrics-agent", lines[0])
        self.assertEqual(self.seen, [])

    def test_background_with_an_output(self) -> None:
        """With another output it may be one; the log is twistd's, and stderr is closed then."""
        self.assertEqual(self.make('output = "/tmp/x.lp"\n' + GOOD, nodaemon=False), "agent")
        self.assertEqual(self.seen[1], (["demo"], None))
        self.assertEqual(self.seen[3], {"to": globalLogPublisher})
        self.assertFalse(self.log.closed)
        for call in self.reactor.when_running:
            call()
        self.assertTrue(self.log.closed)

    def test_wrong_output(self) -> None:
        """An output that cannot be used is reported like a fault of the configuration."""

        def assemble(*_args: Any, **_named: Any) -> Any:
            raise ConfigError([Fault("output", "'x:' is not right")])

        self.patch(assembly, "assemble", assemble)
        self.assertEqual(self.ends()[0], "error: output: 'x:' is not right")

    def test_options(self) -> None:
        """The only option is the file; anything else is a usage error."""
        options = Options()
        options.parseOptions([])
        self.assertIsNone(options["config"])
        with self.assertRaises(usage.UsageError):
            Options().parseOptions(["--walk"])
        with self.assertRaises(usage.UsageError):
            Options().parseOptions(["extra"])


class PluginTests(CommandCase):
    """What twistd finds."""

    def test_found(self) -> None:
        """The plugin is found by its name, and leads to this module."""
        from twisted.application.service import IServiceMaker
        from twisted.plugin import getPlugins

        found = [each for each in getPlugins(IServiceMaker) if each.tapname == "metrics-agent"]
        self.assertEqual([each.module for each in found], ["metrics_agent.tap"])
