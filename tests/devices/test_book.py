"""The book of a module: who was heard, who is overdue, who is silent together."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from metrics_agent.devices import book as book_module
from metrics_agent.devices.book import DeviceBook, News
from metrics_agent.devices.device import Device
from metrics_agent.line_protocol import Encoder
from metrics_agent.metric import Metric, Series
from tests.devices import DevicesCase

START_NS = 1_700_000_000 * 10**9
DAY_S = 24 * 3600.0
LEARN_S = DAY_S + 3600
STEP_S = 30.0
"""Three sweeps of the agent: the book takes that for one that is late."""


class BookCase(DevicesCase):
    """A book and a clock."""

    def setUp(self) -> None:
        self.book = DeviceBook()
        self.encode = Encoder(series_per_device=0).encode
        self.now_s = 0.0
        self.hears = True
        self.jump_ns = 0
        self.series: dict[str, Series] = {}
        self.sweep()

    def now_ns(self) -> int:
        return START_NS + int(self.now_s * 1e9) + self.jump_ns

    def note(self, name: str, measurement: str = "climate", **fields: Any) -> None:
        """Have a device send a point."""
        series = self.series.setdefault(
            f"{measurement} {name}", Series(measurement, {"device": name, "vendor": "v"})
        )
        metric = Metric(series, fields or {"temperature": 1.5}, self.now_ns())
        self.book.note(metric, self.encode(metric), self.now_ns())

    def sweep(self) -> News:
        return self.book.sweep(self.now_s, self.now_ns(), hears=self.hears)

    def live(self, seconds: float, *names: str, interval_s: float = 300.0) -> list[News]:
        """Let time pass in which some devices send; returns what was found."""
        found = []
        for _ in range(round(seconds / STEP_S)):
            self.now_s += STEP_S
            if self.now_s % interval_s == 0:
                for name in names:
                    self.note(name)
            found.append(self.sweep())
        return found

    def stale(self, found: list[News]) -> list[str]:
        return [device.name for news in found for device, _silent_s in news.stale]

    def alone(self, found: list[News]) -> list[str]:
        return [device.name for news in found for device, _silent_s in news.alone]

    def back(self, found: list[News]) -> list[str]:
        return [device.name for news in found for device, _silent_s in news.back]

    def device(self, name: str) -> Device:
        return self.book.devices[name]


class SilenceTests(BookCase):
    """One device."""

    def test_once(self) -> None:
        """A device that falls silent is overdue once, and back once."""
        self.assertEqual(self.stale(self.live(LEARN_S, "a")), [])
        self.assertEqual(self.stale(self.live(900)), [])
        (news,) = (each for each in self.live(300) if each.stale)
        ((device, silent_s),) = news.stale
        self.assertEqual((device.name, device.is_stale, news.alone), ("a", True, news.stale))
        self.assert_near(silent_s, 980, delta=STEP_S)
        self.assertEqual(self.stale(self.live(DAY_S)), [])
        self.assertEqual(self.back(self.live(900, "a")), ["a"])
        self.assertFalse(self.device("a").is_stale)
        self.assertEqual(self.stale(self.live(1500)), ["a"])

    def test_comes_and_goes(self) -> None:
        """After three silences it is left alone: it is not as regular as it seemed."""
        self.live(LEARN_S, "a")
        for _ in range(3):
            self.assertEqual(self.stale(self.live(1500)), ["a"])
            self.assertEqual(self.back(self.live(600, "a")), ["a"])
        self.assertEqual(self.stale(self.live(1500)), [])

    def test_last_will(self) -> None:
        """A device that is known to be offline is not overdue, nor is that silence learned."""
        self.live(LEARN_S, "a")
        self.note("a", "device", online=False)
        self.assertEqual(self.stale(self.live(DAY_S)), [])
        self.assertIs(self.device("a").online, False)
        self.note("a", "device", online=True)
        self.assertEqual(self.stale(self.live(900)), [])
        self.assertEqual(self.stale(self.live(300)), ["a"])
        self.assert_near(self.device("a").rhythm.interval_s, 300, delta=1)

    def test_last_will_is_not_a_message(self) -> None:
        """What the broker says of a device does not mean that it was heard."""
        self.note("a", "device", online=True)
        self.sweep()
        self.assertEqual(self.device("a").heard_s, -float("inf"))
        self.note("a", "device", online=True, uptime=5.0)
        self.sweep()
        self.assertEqual(self.device("a").heard_s, self.now_s)

    def test_what_comes_after_the_last_will(self) -> None:
        """A device that sends is not offline, whatever its last will said."""
        self.live(LEARN_S, "a")
        self.note("a", "device", online=False)
        self.sweep()
        self.live(600, "a")
        self.assertIsNone(self.device("a").online)
        self.assertEqual(self.stale(self.live(1200)), ["a"])

    def test_announced(self) -> None:
        """What a device announces counts before what is learned, and without it."""
        self.live(LEARN_S, "a")
        self.book.expect("a", 3600.0, 7200.0)
        self.book.expect("b", 600.0, 1800.0)
        self.assertEqual(self.stale(self.live(3500)), [])
        self.assertEqual(self.stale(self.live(200)), ["a"])
        self.assertEqual(self.stale(self.live(DAY_S)), [])  # b was never heard
        self.note("b")
        self.assertEqual(self.stale(self.live(1770)), [])
        self.assertEqual(self.stale(self.live(90)), ["b"])
        self.note("b")
        self.live(30)
        self.book.expect("b", 0.0, 0.0)
        self.assertEqual(self.stale(self.live(7200)), [])

    def test_bursts(self) -> None:
        """Messages that come together are one, wherever the sweep falls between them."""
        for number in range(300):
            self.live(270)
            self.now_s += 29
            self.note("a")
            if number % 3:
                self.sweep()
            self.now_s += 0.3
            self.note("a", "electricity", power=1.5)
            self.now_s += 0.7
            self.sweep()
        self.assert_near(self.device("a").rhythm.interval_s, 300, delta=2)
        self.assertTrue(self.device("a").rhythm.is_regular)


class DeafTests(BookCase):
    """When the agent cannot hear."""

    def test_connection_is_down(self) -> None:
        """Silence does not count while the module cannot hear, nor as long again after that."""
        self.live(LEARN_S, "a")
        self.hears = False
        self.assertEqual(self.stale(self.live(3600)), [])
        self.hears = True
        self.assertEqual(self.stale(self.live(600 + 900)), [])
        self.assertEqual(self.stale(self.live(200)), ["a"])

    def test_connection_that_comes_and_goes(self) -> None:
        """Nothing can be concluded from silence on one."""
        self.live(LEARN_S, "a")
        for _ in range(50):
            self.hears = not self.hears
            self.assertEqual(self.stale(self.live(300)), [])

    def test_gap_is_not_learned(self) -> None:
        """A gap in which messages may have come does not count; a short pause does not matter."""
        self.live(LEARN_S, "a")
        before = self.device("a").rhythm
        self.hears = False
        self.live(4 * 3600)
        self.hears = True
        self.live(3600, "a")
        after = self.device("a").rhythm
        self.assertEqual((after.strikes, after.is_regular), (0, True))
        self.assert_near(after.interval_s, before.interval_s, delta=1)
        self.assertGreater(after.clean_s, before.clean_s)

    def test_standstill(self) -> None:
        """A process that did not run was deaf."""
        self.live(LEARN_S, "a")
        self.now_s += 7 * 3600
        self.assertEqual(self.stale([self.sweep()]), [])
        self.assertEqual(self.stale(self.live(1200)), [])

    def test_wall_clock_jumps(self) -> None:
        """It does not matter what the wall clock says."""
        self.live(LEARN_S, "a")
        for jump_s in (-(10**6), 10**9, -3600):
            self.jump_ns += jump_s * 10**9
            self.assertEqual(self.stale(self.live(3000, "a")), [])
            self.assert_near(self.device("a").rhythm.interval_s, 300, delta=31)


class TogetherTests(BookCase):
    """Many that fall silent."""

    def setUp(self) -> None:
        super().setUp()
        self.names = [f"d{number}" for number in range(20)]
        self.live(LEARN_S, *self.names)

    def test_all(self) -> None:
        """All are marked, and one thing is reported."""
        found = self.live(1500)
        self.assertEqual(sorted(self.stale(found)), sorted(self.names))
        self.assertEqual(self.alone(found), [])
        (together,) = (news.together for news in found if news.together is not None)
        self.assertEqual((together.silent, together.of), (20, 20))
        self.assert_near(together.silent_s, 980, delta=20)
        self.assertEqual(len(self.back(self.live(600, *self.names))), 20)

    def test_half(self) -> None:
        """Half of them is together; those of a slower half that fell silent then are not alone."""
        slow = [f"s{number}" for number in range(5)]
        for _ in range(200):
            self.live(3000, *self.names)
            for name in slow:
                self.note(name)
        found = self.live(4 * 3000, *self.names[:8])
        self.assertEqual(len(self.stale(found)), 17)
        self.assertEqual(self.alone(found), [])
        self.assertEqual(sum(news.together is not None for news in found), 1)
        # One that falls silent later is alone with it.
        self.assertEqual(self.alone(self.live(1500, *self.names[1:8])), ["d0"])

    def test_few(self) -> None:
        """Four of twenty are reported one by one."""
        found = self.live(1500, *self.names[4:])
        self.assertEqual(sorted(self.alone(found)), ["d0", "d1", "d2", "d3"])
        self.assertEqual([news.together for news in found if news.together], [])


class BoundTests(BookCase):
    """What is kept, and for how long."""

    def test_full(self) -> None:
        """Devices beyond the bound are left out; those that are known go on."""
        self.book = DeviceBook(most_bytes=10_000)
        for number in range(100):
            self.note(f"d{number}")
        self.sweep()
        self.assertTrue(self.book.left_out)
        self.assertEqual(len(self.book.devices), 18)
        self.assertNotIn("", self.book.devices)

    def test_forgotten(self) -> None:
        """A device that was silent for a month is gone, and known again when it sends."""
        self.patch(book_module, "FORGET_AFTER_S", 2 * DAY_S)
        self.note("a")
        self.sweep()
        device = self.device("a")
        self.live(2 * DAY_S - 100)
        self.assertIn("a", self.book.devices)
        self.live(200)
        self.assertNotIn("a", self.book.devices)
        self.note("a")
        self.assertIsNot(self.device("a"), device)

    def test_room_of_the_forgotten(self) -> None:
        """What is forgotten makes room, that of its lines too."""
        self.patch(book_module, "FORGET_AFTER_S", 2 * DAY_S)
        self.book.keeps_lines = True
        before = (self.book._room, self.book._lines_room)
        self.note("a")
        self.note("a", "electricity", power=1.5)
        self.sweep()
        self.live(2 * DAY_S + 200)
        self.assertEqual((self.book._room, self.book._lines_room), before)

    def test_lines(self) -> None:
        """The last line of each series is kept where that is wanted, within a bound."""
        self.note("a")
        self.assertEqual(self.device("a").lines, [])
        self.book = DeviceBook(lines_bytes=900)
        self.book.keeps_lines = True
        for _ in range(3):
            self.now_s += 1
            self.note("a")
            self.note("a", "electricity", power=1.5)
        self.assertEqual(
            [kept.line.split(b",")[0] for kept in self.device("a").lines],
            [b"climate", b"electricity"],
        )
        kept = self.device("a").line_of(b"climate,device=a,vendor=v ")
        assert kept is not None
        self.assertIn(b"%d" % self.now_ns(), kept.line)
        for length in (100, 4, 90):
            text = "x" * length
            self.note("a", text=text)
            self.assertIn(text.encode(), kept.line)
            self.assertGreaterEqual(kept.room, len(kept.line))
        self.note("a", text="y" * 1000)
        self.assertIn(b"x" * 90, kept.line)
        for number in range(10):
            self.note("a", f"m{number}")
        self.assertEqual(len(self.device("a").lines), 2)
        self.assertGreaterEqual(self.book._lines_room, 0)

    def test_lines_of_two_books(self) -> None:
        """A series that two instances share has its last line with whoever writes it."""
        self.book.keeps_lines = True
        self.note("a", temperature=1.5)
        other, self.book = self.book, DeviceBook()
        self.book.keeps_lines = True
        self.note("a", temperature=2.5)
        for book, value in ((other, b"1.5"), (self.book, b"2.5")):
            [kept] = book.devices["a"].lines
            self.assertIn(value, kept.line)

    def test_series_of_two_books(self) -> None:
        """A series that two instances of a module share counts for whoever uses it."""
        self.note("a")
        other, self.book = self.book, DeviceBook()
        self.note("a")
        self.sweep()
        self.assertEqual((list(self.book.devices), self.device("a").heard_s), (["a"], self.now_s))
        self.assertIsNot(other.devices["a"], self.device("a"))

    def test_names(self) -> None:
        """The device's own series names it, a part of it only where nothing else does."""
        for tags in (
            {"friendly": "Part", "channel": "1"},
            {"friendly": "Whole"},
            {"friendly": "Other part", "sensor": "x"},
        ):
            series = Series("climate", {"device": "a", "vendor": "v", **tags})
            metric = Metric(series, {"temperature": 1.0}, 1)
            self.book.note(metric, self.encode(metric), 1)
        self.assertEqual(self.device("a").describe(), "Whole (a)")
        self.assertEqual(self.device("a").vendor, "v")

    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["a", "b", "", "x" * 1000]),
                st.sampled_from(["device", "climate"]),
                st.dictionaries(
                    st.sampled_from(["online", "uptime", "power"]),
                    st.one_of(st.booleans(), st.floats(), st.integers(-5, 5), st.text()),
                    max_size=2,
                ),
                st.integers(-(2**63), 2**63 - 1),
                st.floats(0, 1e6),
                st.booleans(),
            ),
            max_size=30,
        )
    )
    def test_never_raises(self, steps: list[Any]) -> None:
        """Any points at any times of any clocks."""
        book = DeviceBook(most_bytes=3000)
        book.keeps_lines = True
        now_s = 0.0
        for name, measurement, fields, now_ns, passed_s, hears in steps:
            now_s += passed_s
            book.note(Metric(Series(measurement, {"device": name}), fields, None), b"x", now_ns)
            book.expect(name, passed_s, passed_s)
            book.sweep(now_s, now_ns, hears=hears)
            self.assertLessEqual(len(book.devices), 3)
