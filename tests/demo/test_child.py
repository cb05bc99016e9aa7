"""The child process: what it says, how it ends."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.logger import Logger, LogLevel, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.config import load
from metrics_agent.demo import child
from metrics_agent.demo.child import DemoError, Simulation
from metrics_agent.demo.configuration import TRIGGER_FILE, demo_configuration
from metrics_agent.errors import MissingDependency
from metrics_agent.modules.demo import MODULE as DEMO
from metrics_agent.modules.hadiscovery import MODULE as HADISCOVERY
from metrics_agent.modules.opendtu import MODULE as OPENDTU
from metrics_agent.modules.tasmota import MODULE as TASMOTA
from tests.demo.fakes import FakeProcess, ProcessClock


class Life(SynchronousTestCase):
    """From the start to the end."""

    def setUp(self) -> None:
        self.patch(child, "find_spec", lambda _name: object())
        self.reactor = ProcessClock()
        self.events: list[dict[str, Any]] = []
        self.ends: list[str] = []
        self.simulation = Simulation(
            self.reactor, Logger(observer=self.events.append), self.ends.append, python="/python"
        )
        self.addCleanup(self._no_timer_left)

    def test_start_fires_with_the_ports_when_the_simulation_is_ready(self) -> None:
        started = self.simulation.start()
        (process,) = self.reactor.processes
        self.assertEqual(
            process.command, ["/python", "-W", "ignore", "-m", "metrics_agent.demo.simulation"]
        )
        for number in (signal.SIGINT, signal.SIGTERM):
            self.assertIn(number, process.blocked)
            self.assertNotIn(number, signal.pthread_sigmask(signal.SIG_BLOCK, ()))
        process.say("ready 40")
        self.assertNoResult(started)
        process.say("123 40124\n")
        self.assertEqual(self.successResultOf(started), (40123, 40124))
        self.assertEqual(self.events, [])
        self._end()

    def test_what_it_says_is_logged_line_by_line(self) -> None:
        process = self._ready()
        process.say("one\n\ntwo, beg")
        process.protocol.outReceived(b"un\n")
        process.say("ready 1\n")
        self.assertEqual(
            [formatEvent(event) for event in self.events],
            [
                "The demo's simulation: one",
                "The demo's simulation: two, begun",
                "The demo's simulation: ready 1",
            ],
        )
        self.assertEqual({event["log_level"] for event in self.events}, {LogLevel.warn})
        self._end()

    def test_what_it_says_when_all_ends_is_not_logged(self) -> None:
        """A library's traceback about a handshake that we have cut is nothing to look at."""
        process = self._ready()
        self.simulation.ignore_messages()
        process.say("opening handshake failed\nTraceback (most recent call last):\n")
        self._end()
        self.assertEqual(self.events, [])

    def test_a_line_without_end_is_bounded(self) -> None:
        process = self._ready()
        for _ in range(100):
            process.say("x" * 1000)
        self.assertEqual(len(self.events), 20)
        self.assertLess(max(len(event["line"]) for event in self.events), 6000)
        self._end()

    def test_an_unexpected_end_is_reported(self) -> None:
        """With the status; the last line is logged also where it was not ended."""
        process = self._ready()
        process.say("last")
        process.end(status=3)
        self.assertEqual(self.ends, ["the demo's simulation ended with exit status 3"])
        self.assertEqual(formatEvent(self.events[-1]), "The demo's simulation: last")
        self.successResultOf(self.simulation.stop())
        self.assertEqual(process.signals, [])

    def test_an_end_by_a_signal_names_it(self) -> None:
        self._ready().end(by=9)
        self.assertEqual(self.ends, ["the demo's simulation ended with signal SIGKILL"])

    def test_a_child_that_ends_at_once_fails_the_start(self) -> None:
        started = self.simulation.start()
        (process,) = self.reactor.processes
        process.say("MemoryError\n")
        process.end(status=1)
        error = self.failureResultOf(started, DemoError).value
        self.assertEqual(str(error), "the demo's simulation ended with exit status 1")
        self.assertEqual(formatEvent(self.events[-1]), "The demo's simulation: MemoryError")
        self.assertEqual(self.ends, [])
        self.successResultOf(self.simulation.stop())

    def test_a_child_that_is_not_ready_in_time_fails_the_start(self) -> None:
        started = self.simulation.start()
        (process,) = self.reactor.processes
        self.reactor.advance(29.9)
        self.assertNoResult(started)
        self.reactor.advance(0.2)
        error = self.failureResultOf(started, DemoError).value
        self.assertEqual(str(error), "the demo's simulation was not ready after 30 s")
        process.say("ready 1 2\n")
        self._end()

    def test_a_process_that_cannot_be_made_fails_the_start(self) -> None:
        self.reactor.refuse = True
        self.failureResultOf(self.simulation.start(), OSError)
        self.successResultOf(self.simulation.stop())

    def test_stop_kills_and_waits(self) -> None:
        """It has nothing to save; done when it is gone, also for a second stop."""
        process = self._ready()
        stopped = self.simulation.stop()
        self.assertEqual(process.signals, ["KILL"])
        self.assertNoResult(stopped)
        process.end(by=9)
        self.assertIsNone(self.successResultOf(stopped))
        self.assertIsNone(self.successResultOf(self.simulation.stop()))
        self.assertEqual(self.ends, [])
        self.assertEqual(self.events, [])

    def test_stop_during_the_start(self) -> None:
        """The start is cancelled, whatever the child still says."""
        started = self.simulation.start()
        (process,) = self.reactor.processes
        stopped = self.simulation.stop()
        process.say("ready 1 2\n")
        self.assertNoResult(started)
        process.end(by=9)
        self.failureResultOf(started, CancelledError)
        self.successResultOf(stopped)
        self.assertEqual(self.ends, [])

    def test_stop_before_the_start(self) -> None:
        self.successResultOf(self.simulation.stop())
        self.failureResultOf(self.simulation.start(), CancelledError)
        self.assertEqual(self.reactor.processes, [])

    def test_a_child_that_has_just_exited_takes_no_signal(self) -> None:
        process = self._ready()
        process.exited = True
        stopped = self.simulation.stop()
        process.end()
        self.successResultOf(stopped)

    def _ready(self) -> FakeProcess:
        started = self.simulation.start()
        (process,) = self.reactor.processes
        process.say("ready 40123 40124\n")
        self.successResultOf(started)
        return process

    def _end(self) -> None:
        stopped = self.simulation.stop()
        self.reactor.processes[0].end(by=9)
        self.successResultOf(stopped)

    def _no_timer_left(self) -> None:
        self.assertEqual(self.reactor.getDelayedCalls(), [])


class Requirements(SynchronousTestCase):
    """Without amqtt or websockets there is no demo."""

    def test_missing_package(self) -> None:
        """The start fails at once and says what to install; nothing is started."""
        for package in ("amqtt", "websockets"):
            reactor = ProcessClock()
            self.patch(child, "find_spec", lambda name: name != package or None)  # noqa: B023 - now
            started = Simulation(reactor, Logger(observer=[].append), [].append).start()
            error = self.failureResultOf(started, MissingDependency).value
            self.assertIn(f"needs the package {package}, which is not inst", str(error))
            self.assertIn("in a checkout, run pip install '.[demo]'", str(error))
            self.assertEqual(reactor.processes, [])


class Configuration(SynchronousTestCase):
    """What the demo runs with."""

    def test_it_loads(self) -> None:
        """Without fault or warning, whatever characters the directory's name has."""
        directory = Path(self.mktemp()).resolve() / 'a "quoted\\" nämé\x7f'
        directory.mkdir(parents=True)
        path = directory / "demo.toml"
        path.write_text(demo_configuration(40123, 40124, 40125, directory), "utf-8")
        kinds = {
            "tasmota": TASMOTA,
            "hadiscovery": HADISCOVERY,
            "opendtu": OPENDTU,
            "demo": DEMO,
        }
        config = load(path, kinds.get, lambda: list(kinds))
        self.assertEqual((config.faults, config.warnings), ((), ()))
        self.assertEqual(config.settings.state_dir, str(directory / "state"))
        tasmota, hadiscovery, opendtu, demo = config.modules
        self.assertTrue(all(each.enabled for each in config.modules))
        self.assertEqual(str(opendtu.settings.address), "ws://127.0.0.1:40124/livedata")
        for module in (tasmota, hadiscovery):
            (address,) = module.settings.brokers
            self.assertEqual((address.host, address.port), ("127.0.0.1", 40123))
        self.assertEqual(tasmota.settings.friendly_name_overrides, {})
        self.assertEqual(demo.settings.interval, 1)
        self.assertEqual(demo.settings.trigger_file, str(directory / TRIGGER_FILE))
        self.assertEqual(config.settings.output, "stdout")
        self.assertEqual(config.settings.status.listen, "tcp:40125:interface=127.0.0.1")

    def test_without_lines(self) -> None:
        """The metrics go nowhere."""
        directory = Path(self.mktemp()).resolve()
        directory.mkdir()
        path = directory / "demo.toml"
        path.write_text(demo_configuration(1, 2, 3, directory, lines=False), "utf-8")
        kinds = {"tasmota": TASMOTA, "hadiscovery": HADISCOVERY, "opendtu": OPENDTU, "demo": DEMO}
        self.assertEqual(load(path, kinds.get, lambda: list(kinds)).settings.output, "/dev/null")
