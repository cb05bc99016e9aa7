"""The children: their order, what they say, how they end."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any
from unittest import mock

from twisted.internet.defer import CancelledError
from twisted.logger import Logger, LogLevel, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.config import load
from metrics_agent.demo import children, requirements
from metrics_agent.demo.children import DemoChildren, DemoError, Ended
from metrics_agent.demo.configuration import TRIGGER_FILE, demo_configuration
from metrics_agent.errors import MissingDependency
from metrics_agent.modules.demo import MODULE as DEMO
from metrics_agent.modules.opendtu import MODULE as OPENDTU
from metrics_agent.modules.tasmota import MODULE as TASMOTA
from tests.demo.fakes import FakeProcess, ProcessClock


class Life(SynchronousTestCase):
    """From the start to the end."""

    def setUp(self) -> None:
        self.patch(children, "check_requirements", lambda: None)
        self.reactor = ProcessClock()
        self.events: list[dict[str, Any]] = []
        self.ends: list[Ended] = []
        self.children = DemoChildren(
            self.reactor,
            Logger(observer=self.events.append),
            self.ends.append,
            interval_s=0.5,
            python="/python",
        )
        self.addCleanup(self._no_timer_left)

    def test_the_devices_start_when_the_broker_is_ready(self) -> None:
        started = self.children.start()
        (broker,) = self.reactor.processes
        self.assertEqual(
            broker.command,
            ["/python", "-W", "ignore", "-m", "metrics_agent.demo.broker", "--port", "0"],
        )
        self.assertTrue(broker.interrupt_blocked)
        self.assertNotIn(signal.SIGINT, signal.pthread_sigmask(signal.SIG_BLOCK, ()))
        broker.say("ready 127.0.0.1:40")
        self.assertEqual(len(self.reactor.processes), 1)
        broker.say("123\n")
        self.assertEqual(self.children.port, 40123)
        _, fleet = self.reactor.processes
        self.assertEqual(
            fleet.command[4:],
            ["metrics_agent.demo.fleet", "--port", "40123", "--interval", "0.5"],
        )
        fleet.say("ready 127.0.0.1:40123\n")
        self.assertNoResult(started)
        *_, dtu = self.reactor.processes
        self.assertEqual(dtu.command[4:], ["metrics_agent.demo.opendtu", "--port", "0"])
        dtu.say("ready 127.0.0.1:40124\n")
        self.assertEqual(self.successResultOf(started), 40123)
        self.assertEqual(self.children.dtu_port, 40124)
        self.assertEqual(self.events, [])
        self._end_all()

    def test_what_they_say_is_logged_line_by_line(self) -> None:
        broker, _ = self._ready()
        broker.say("one\n\ntwo, beg")
        broker.protocol.outReceived(b"un\n")
        broker.say("ready 1\n")
        self.assertEqual(
            [formatEvent(event) for event in self.events],
            [
                "The demo's broker: one",
                "The demo's broker: two, begun",
                "The demo's broker: ready 1",
            ],
        )
        self.assertEqual({event["log_level"] for event in self.events}, {LogLevel.warn})
        self._end_all()

    def test_a_line_without_end_is_bounded(self) -> None:
        broker, _ = self._ready()
        for _ in range(100):
            broker.say("x" * 1000)
        self.assertEqual(len(self.events), 20)
        self.assertLess(max(len(event["line"]) for event in self.events), 6000)
        self._end_all()

    def test_an_unexpected_end_is_told(self) -> None:
        """With the status and the last five lines, also one that was not ended."""
        broker, fleet = self._ready()
        broker.say("".join(f"line {number}\n" for number in range(9)) + "last")
        broker.end(status=3)
        self.assertEqual(
            self.ends,
            [Ended("broker", "exit status 3", ("line 5", "line 6", "line 7", "line 8", "last"))],
        )
        self.assertIn("broker ended with exit status 3: line 5 | line 6", str(self.ends[0]))
        fleet.end(by=9)
        self.assertEqual(str(self.ends[1]), "the demo's fleet ended with signal SIGKILL")
        self._end_all()
        self.assertEqual(broker.signals + fleet.signals, [])

    def test_a_child_that_ends_at_once_fails_the_start(self) -> None:
        started = self.children.start()
        (broker,) = self.reactor.processes
        broker.say("Cannot listen on 127.0.0.1:1883: Address already in use\n")
        broker.end(status=1)
        error = self.failureResultOf(started, DemoError).value
        self.assertEqual(
            str(error),
            "the demo's broker ended with exit status 1: "
            "Cannot listen on 127.0.0.1:1883: Address already in use",
        )
        self.assertEqual(self.ends, [])
        self.successResultOf(self.children.stop())

    def test_a_child_that_is_not_ready_in_time_fails_the_start(self) -> None:
        started = self.children.start()
        (broker,) = self.reactor.processes
        broker.say("thinking\n")
        self.reactor.advance(29.9)
        self.assertNoResult(started)
        self.reactor.advance(0.2)
        error = self.failureResultOf(started, DemoError).value
        self.assertEqual(str(error), "the demo's broker was not ready after 30 s: thinking")
        broker.say("ready 127.0.0.1:1\n")
        self.assertEqual(len(self.reactor.processes), 1)
        self._end_all()

    def test_a_process_that_cannot_be_made_fails_the_start(self) -> None:
        self.reactor.refuse = True
        self.failureResultOf(self.children.start(), OSError)
        self.successResultOf(self.children.stop())

    def test_stop_terminates_and_then_kills(self) -> None:
        """SIGTERM to both, a second later SIGKILL to those left; done when both are gone."""
        broker, fleet = self._ready()
        stopped = self.children.stop()
        again = self.children.stop()
        self.assertEqual((broker.signals, fleet.signals), (["TERM"], ["TERM"]))
        fleet.say("Lost the broker\n")
        fleet.end()
        self.assertNoResult(stopped)
        self.reactor.advance(0.9)
        self.assertEqual(broker.signals, ["TERM"])
        self.reactor.advance(0.2)
        self.assertEqual((broker.signals, fleet.signals), (["TERM", "KILL"], ["TERM"]))
        broker.end(by=9)
        self.assertNoResult(stopped)
        self.reactor.processes[-1].end()
        self.assertIsNone(self.successResultOf(stopped))
        self.assertIsNone(self.successResultOf(again))
        self.assertEqual(self.ends, [])
        self.assertEqual([event["log_level"] for event in self.events], [LogLevel.debug])

    def test_stop_during_the_start(self) -> None:
        """The start is cancelled, whatever the child still says; no other child is started."""
        started = self.children.start()
        (broker,) = self.reactor.processes
        stopped = self.children.stop()
        broker.say("ready 127.0.0.1:1\n")
        self.assertNoResult(started)
        broker.end(by=15)
        self.failureResultOf(started, CancelledError)
        self.successResultOf(stopped)
        self.assertEqual(len(self.reactor.processes), 1)
        self.assertEqual(self.ends, [])

    def test_stop_before_the_start(self) -> None:
        self.successResultOf(self.children.stop())
        self.failureResultOf(self.children.start(), CancelledError)
        self.assertEqual(self.reactor.processes, [])

    def test_a_child_that_has_just_exited_takes_no_signal(self) -> None:
        broker, _ = self._ready()
        broker.exited = True
        stopped = self.children.stop()
        for process in self.reactor.processes:
            process.end()
        self.successResultOf(stopped)

    def _ready(self) -> list[FakeProcess]:
        started = self.children.start()
        for index in (0, 1, 2):
            self.reactor.processes[index].say("ready 127.0.0.1:40123\n")
        self.successResultOf(started)
        return self.reactor.processes[:2]

    def _end_all(self) -> None:
        stopped = self.children.stop()
        for process in self.reactor.processes:
            process.end(by=15)
        self.successResultOf(stopped)

    def _no_timer_left(self) -> None:
        self.assertEqual(self.reactor.getDelayedCalls(), [])


class Requirements(SynchronousTestCase):
    """Without amqtt there is no demo."""

    def test_missing_broker(self) -> None:
        """The start fails at once and says what to install; nothing is started."""
        reactor = ProcessClock()
        with mock.patch.object(requirements, "find_spec", return_value=None):
            started = DemoChildren(reactor, Logger(observer=[].append), [].append).start()
        error = self.failureResultOf(started, MissingDependency).value
        self.assertIn("in a checkout, run pip install '.[demo]'", str(error))
        self.assertEqual(reactor.processes, [])


class Configuration(SynchronousTestCase):
    """What the demo runs with."""

    def test_it_loads(self) -> None:
        """Without fault or warning, whatever characters the directory's name has."""
        directory = Path(self.mktemp()).resolve() / 'a "quoted\\" nämé\x7f'
        directory.mkdir(parents=True)
        path = directory / "demo.toml"
        path.write_text(demo_configuration(40123, 40124, directory), "utf-8")
        kinds = {"tasmota": TASMOTA, "opendtu": OPENDTU, "demo": DEMO}
        config = load(path, kinds.get, list(kinds))
        self.assertEqual((config.faults, config.warnings), ((), ()))
        self.assertEqual(config.settings.state_dir, str(directory / "state"))
        tasmota, opendtu, demo = config.modules
        self.assertTrue(tasmota.enabled and opendtu.enabled and demo.enabled)
        self.assertEqual(str(opendtu.settings.address), "ws://127.0.0.1:40124/livedata")
        (address,) = tasmota.settings.brokers
        self.assertEqual((address.host, address.port), ("127.0.0.1", 40123))
        self.assertEqual(tasmota.settings.friendly_name_overrides, {})
        self.assertEqual(demo.settings.interval, 1)
        self.assertEqual(demo.settings.trigger_file, str(directory / TRIGGER_FILE))
