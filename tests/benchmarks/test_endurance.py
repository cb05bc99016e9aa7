"""What leaks and soak judge by: numbers that are missing, vital signs that grow."""

from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from benchmarks.endurance.faults import FAULTS
from benchmarks.endurance.ledger import Ledger, Series
from benchmarks.endurance.vitals import Reading, parse
from benchmarks.leaks import Course
from benchmarks.leaks import table as leaks_table
from benchmarks.soak import Minute, Soak
from benchmarks.soak import table as soak_table

READING = Reading(descriptors=13, threads=4, delayed_calls=8, objects=50_000, rss=58_000_000)


class LedgerTests(SynchronousTestCase):
    """What has come, and what has not."""

    def test_series(self) -> None:
        """A number that is left out is missing until it comes; one that comes again is counted."""
        series = Series()
        for number in (1, 2, 5, 4, 5):
            series.take(number)
        self.assertEqual((series.highest, series.missing, series.again), (5, {3}, 1))

    def test_lines(self) -> None:
        """Lines are put together over reads, judged, and followed by device and by life."""
        ledger = Ledger()
        text = (
            b"electricity,device=plug01,vendor=tasmota energy_total=1.0 1\n"
            b"electricity,device=plug01,vendor=tasmota energy_total=3.0,power=1.0 2\n"
            b"steady,life=7,module=steady:one number=1i 3\n"
            b"steady,life=7,module=steady:one number=4i 4\n"
            b"device,device=dtu,module=x online=true 5\n"
            b"device,device=dtu,module=x online=false 6\n"
            b"vitals delayed_calls=8i,descriptors=13i,number=2i,objects=5i,threads=4i 7\n"
            b"no line\n"
        )
        for index in range(len(text)):
            ledger.take(text[index : index + 1])
        self.assertEqual(
            (ledger.missing("plug"), ledger.missing("meter"), ledger.holes()), (1, 0, 2)
        )
        self.assertEqual((ledger.lines, ledger.invalid), (8, [b"no line"]))
        self.assertEqual(ledger.measurements[b"dtu"], 1)
        self.assertEqual(
            ledger.answers,
            {2: {"delayed_calls": 8, "descriptors": 13, "objects": 5, "threads": 4}},
        )
        self.assertIsNone(parse(b"electricity value=1"))


class CourseTests(SynchronousTestCase):
    """What is flat and what is not."""

    def course(self, **last) -> Course:
        return Course("restarts", ((0, READING), (10, READING), (20, evolve(READING, **last))))

    def test_flat(self) -> None:
        """A little more memory, or a call that is pending just now, is not a leak."""
        course = self.course(rss=READING.rss + 1_000_000, delayed_calls=11, objects=50_100)
        self.assertEqual(course.wrong, [])
        self.assertIn("| 20 restarts | 13 | 4 | 11 | 50,100 | 59.0 MB |", leaks_table([course]))

    def test_grown(self) -> None:
        """One descriptor more is a leak, and so is each of the others."""
        for name, value in (
            ("descriptors", 14),
            ("threads", 5),
            ("delayed_calls", 13),
            ("objects", 51_000),
            ("rss", 61_000_000),
        ):
            with self.subTest(name=name):
                [wrong] = self.course(**{name: value}).wrong
                self.assertTrue(wrong.startswith(f"{name} grew from "), wrong)

    def test_warming_up(self) -> None:
        """Objects and memory are held against the time after the first portion."""
        cold = evolve(READING, objects=40_000, rss=50_000_000)
        course = Course("messages", ((0, cold), (10, READING), (20, READING)))
        self.assertEqual(course.wrong, [])


class SoakTests(SynchronousTestCase):
    """What an hour must have been like."""

    def soak(self, last: Reading = READING, **changes) -> Soak:
        minutes = [
            Minute(fault.name, 20.0, (0, 0), 0, last if number == 2 else READING)
            for number in range(3)
            for fault in FAULTS
        ]
        soak = Soak(minutes, lines=10, messages=9, starts=1, exits=[0])
        for name, value in changes.items():
            setattr(soak, name, value)
        return soak

    def test_well(self) -> None:
        """Nothing is wrong, and the page says so."""
        soak = self.soak()
        self.assertEqual(soak.wrong, [])
        self.assertIn("| descriptors | 13 | 13 | yes |", soak_table(soak))
        self.assertIn("| SIGHUP | 3 | 20 ms | 0 | 0 |", soak_table(soak))

    def test_wrong(self) -> None:
        """Growth, holes, invalid lines, and an agent that was started again."""
        self.assertIn("rss grew", self.soak(evolve(READING, rss=90_000_000)).wrong[0])
        self.assertIn("not line protocol", self.soak(invalid=1).wrong[0])
        self.assertIn("are missing", self.soak(holes=2).wrong[0])
        self.assertIn("started 2 times", self.soak(starts=2, exits=[1, 0]).wrong[0])

    def test_a_fault_that_did_damage(self) -> None:
        """What was lost without need, and what did not come back."""
        soak = self.soak()
        soak.minutes[0] = Minute(FAULTS[0].name, None, (5, 0), 0, READING)
        soak.minutes[1] = Minute(FAULTS[1].name, 1500.0, (0, 3), 3, READING)
        lost, never = soak.wrong
        self.assertIn("3 messages lost that need not be", lost)
        self.assertIn("it did not all work again", never)
        self.assertIn(f"| {FAULTS[0].name} | 3 | never | 5 | 0 |", soak_table(soak))
        self.assertIn(f"| {FAULTS[1].name} | 3 | 1.5 s | 0 | 3 |", soak_table(soak))
