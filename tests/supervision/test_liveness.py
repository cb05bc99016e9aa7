"""The devices of all modules: sweeps, log lines, points, state files."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

from twisted.internet.defer import succeed

from metrics_agent.catalogue import DEVICE
from metrics_agent.devices.book import SWEEP_S, DeviceBook
from metrics_agent.devices.rhythm import Rhythm
from metrics_agent.line_protocol import Encoder
from metrics_agent.metric import Metric, Series
from metrics_agent.state.directory import Pace, StateDirectory
from metrics_agent.supervision.liveness import Liveness
from tests.supervision.fakes import SupervisionCase, raiser

START_NS = 1_700_000_000 * 10**9


class LivenessCase(SupervisionCase):
    """With one module, whose devices have sent every five minutes for a day."""

    def setUp(self) -> None:
        super().setUp()
        self.path = Path(self.mktemp())
        self.interval_s = 0.0
        self.planned = {"demo"}
        self.hearing = {"demo"}
        self.points: list[Metric] = []
        self.encode = Encoder().encode
        self.liveness = self.make()
        self.book = self.liveness.book("demo")
        self.run_for(0)

    def make(self) -> Liveness:
        """Make one, as at a start of the process."""

        def in_thread(call: Any) -> Any:
            return succeed(call())

        self.state = StateDirectory(self.path, self.log, Pace(self.clock, in_thread))
        liveness = Liveness(
            self.clock,
            now_ns=self.now_ns,
            file=self.state.file,
            make_logger=lambda _name: self.log,
            planned=lambda: self.planned,
            hearing=lambda: self.hearing,
            interval_s=lambda: self.interval_s,
            emit=self.emit,
            guard=self.guard,
        )
        liveness.startService()
        self.addCleanup(self.stop, liveness)
        return liveness

    def stop(self, liveness: Liveness) -> None:
        liveness.stopService()
        self.state.finish()
        for call in self.clock.getDelayedCalls():
            call.cancel()

    def emit(self, metrics: Iterable[Metric]) -> None:
        self.points.extend(metrics)

    def now_ns(self) -> int:
        return START_NS + int(self.clock.seconds() * 1e9)

    def run_for(self, seconds: float, *names: str) -> None:
        """Let time pass; the devices send at each sweep."""
        for _ in range(round(seconds / SWEEP_S) or 1):
            for name in names:
                self.note(name)
            self.clock.advance(SWEEP_S if seconds else 0)

    def note(self, name: str, book: DeviceBook | None = None, **tags: str) -> None:
        series = Series("climate", {"device": name, "vendor": "v", **tags})
        metric = Metric(series, {"temperature": 1.5}, self.now_ns())
        (book or self.book).note(metric, self.encode(metric), self.now_ns())

    def teach(self, *names: str) -> None:
        """Have devices known that send every minute."""
        rhythm = Rhythm()
        for _ in range(1500):
            rhythm.learn(60.0)
        for name in names:
            self.note(name, friendly=name.upper())
            self.book.devices[name].learned = rhythm.packed()
        self.run_for(SWEEP_S)

    def lines(self) -> list[str]:
        return [self.encode(each).decode().rpartition(" ")[0] for each in self.points]


class ReportTests(LivenessCase):
    """What is logged and written."""

    def test_stale_and_back(self) -> None:
        """One line and one point when a device is overdue, one of each when it is back."""
        self.teach("a")
        self.run_for(190)
        self.assertEqual(self.lines(), [])
        self.run_for(60)
        self.assertEqual(
            self.lines(), ["device,device=a,friendly=A,vendor=v last_seen=200.0,stale=true"]
        )
        self.assertEqual(
            self.logged("warn"),
            ["Device A (a) is silent: nothing came for 3 min, it usually sends every 60 s."],
        )
        self.points.clear()
        self.run_for(3600)
        self.assertEqual(self.lines(), [])
        self.note("a", friendly="A")
        self.run_for(60)
        (line,) = self.lines()
        self.assertTrue(line.endswith("stale=false"), line)
        self.assertEqual(self.logged("info")[-1:], ["Device A (a) is back after 64 min."])

    def test_together(self) -> None:
        """A fleet that falls silent is one line; each has its point."""
        names = [f"d{number}" for number in range(500)]
        self.teach(*names)
        self.run_for(300)
        self.assertEqual(len(self.lines()), 500)
        (line,) = self.logged("warn")
        self.assertTrue(
            line.startswith("500 of 500 devices that send regularly fell silent together"), line
        )
        self.run_for(60, *names)
        self.assertEqual(len(self.logged("info")), 1)

    def test_announced(self) -> None:
        """The line says by what a device is overdue."""
        self.note("a")
        self.book.expect("a", 100.0, 100.0)
        self.run_for(200)
        self.assertIn("it announced at least one message every 100 s", self.logged("warn")[0])

    def test_last_seen(self) -> None:
        """Each device has a point every interval; one that was never heard has none."""
        self.note("a")
        self.book.expect("never", 100.0, 100.0)
        self.run_for(SWEEP_S)
        self.interval_s = 300.0
        self.run_for(600)
        self.assertEqual(
            self.lines(),
            [
                "device,device=a,vendor=v last_seen=290.0",
                "device,device=a,vendor=v last_seen=590.0",
            ],
        )
        self.assertLessEqual(set(self.points[0].fields), {each.name for each in DEVICE.fields})

    def test_full(self) -> None:
        """That devices are left out is logged once."""
        self.book._room = 100
        self.note("a")
        self.run_for(60)
        self.assertEqual(len(self.logged("warn")), 1)
        self.assertIn("0 are watched", self.logged("warn")[0])


class HearingTests(LivenessCase):
    """When silence means nothing."""

    def test_module_does_not_run(self) -> None:
        """A module that is restarted, or whose broker is away, hears nothing."""
        self.teach("a")
        self.hearing = set()
        self.run_for(3600)
        self.assertEqual(self.lines(), [])

    def test_connection_of_its_own(self) -> None:
        """A module says itself that a connection is down; the next instance has new ones."""
        self.teach("a")
        for problem, hears in (("refused", False), (None, True), ("refused", False), ("", True)):
            self.liveness.note_connection("demo", "api.test", problem)
            self.assertEqual(not self.liveness._watched["demo"].problems, hears)
        self.liveness.note_connection("demo", "api.test", "refused")
        self.liveness.note_connection("other", "api.test", "refused")
        self.run_for(3600)
        self.assertEqual(self.lines(), [])
        self.assertIs(self.liveness.book("demo"), self.book)
        self.run_for(3600)
        self.assertEqual(len(self.lines()), 1)

    def test_reactor_that_hangs(self) -> None:
        """A sweep that comes late says that the process stood still."""
        self.teach("a")
        self.clock.advance(3600)
        self.run_for(300)
        self.assertEqual(self.lines(), [])


class StateTests(LivenessCase):
    """What outlives the process."""

    def document(self) -> Any:
        return json.loads((self.path / "demo" / "liveness.json").read_bytes())

    def test_restart(self) -> None:
        """At the stop it is written, at the start read; what was reported is not reported again."""
        self.teach("a", "b")
        self.run_for(300, "b")
        self.stop(self.liveness)
        self.points.clear()
        self.liveness = self.make()
        self.book = self.liveness.book("demo")
        self.run_for(1200, "b")
        self.assertEqual(self.lines(), [])
        self.assertTrue(self.book.devices["a"].is_stale)
        self.assertGreater(self.book.devices["b"].rhythm.overdue_s, 0)

    def test_written_each_hour(self) -> None:
        """A process that is killed loses an hour."""
        self.teach("a")
        self.run_for(3500, "a")
        self.assertFalse(self.path.exists())
        self.run_for(200, "a")
        self.assertEqual(self.document()["devices"][0][0], "a")

    def test_no_devices(self) -> None:
        """A module without devices has no file."""
        self.run_for(3700)
        self.stop(self.liveness)
        self.assertFalse(self.path.exists())

    def test_removed_module(self) -> None:
        """A module that a reload removes is saved and forgotten."""
        self.teach("a")
        self.planned = set()
        self.run_for(SWEEP_S)
        self.assertEqual(self.liveness.books, {})
        self.clock.advance(2)
        self.assertEqual(self.document()["devices"][0][0], "a")

    def test_damaged(self) -> None:
        """What cannot be used is counted in one line."""
        self.stop(self.liveness)
        self.path.joinpath("demo").mkdir(parents=True, exist_ok=True)
        self.path.joinpath("demo", "liveness.json").write_text('{"version":1,"devices":[5]}')
        self.liveness = self.make()
        self.liveness.book("demo")
        self.run_for(0)
        self.assertIn("1 devices in ", self.logged("warn")[0])

    def test_not_read_yet(self) -> None:
        """A file that was not read yet is not replaced at a stop."""
        self.teach("a")
        self.stop(self.liveness)
        self.liveness = self.make()
        self.note("b", self.liveness.book("demo"))
        self.stop(self.liveness)
        self.assertEqual(self.document()["devices"][0][0], "a")

    def test_stop(self) -> None:
        """Twice is harmless, nothing is done after it."""
        self.stop(self.liveness)
        self.liveness.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class FaultTests(LivenessCase):
    """Our own."""

    def test_contained(self) -> None:
        """A fault costs a sweep."""
        self.teach("a")
        self.patch(self, "hearing", None)
        self.run_for(SWEEP_S)
        self.assertEqual(list(self.counters.errors), ["devices"])
        self.hearing = {"demo"}
        self.forget()
        self.run_for(600)
        self.assertEqual(len(self.lines()), 1)

    def test_slices(self) -> None:
        """A large fleet is swept and saved in several turns."""
        self.teach(*[f"d{number}" for number in range(1100)])
        job = self.liveness._sweep(
            self.liveness._watched["demo"], 0.0, START_NS, hears=True, writes=False
        )
        self.assertEqual(len(list(islice(job, 10))), 2)
        self.assertEqual(len(list(self.liveness._save(self.liveness._watched["demo"]))), 6)

    def test_job_that_raises(self) -> None:
        """It is gone; the others are done."""
        self.patch(self.liveness._watched["demo"].book, "sweep_in_turns", raiser(ValueError))
        self.planned.add("other")
        self.hearing.add("other")
        other = self.liveness.book("other")
        self.run_for(0)
        self.note("x", other)
        self.run_for(60)
        self.assertGreater(other.devices["x"].heard_s, 0)
