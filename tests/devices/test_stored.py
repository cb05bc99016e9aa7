"""What is kept over a restart."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from metrics_agent.devices import stored
from metrics_agent.devices.book import DeviceBook
from metrics_agent.limits import STATE_FILE_BYTES
from tests.devices.test_book import DAY_S, LEARN_S, BookCase

JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=13), st.dictionaries(st.text(), inner)),
    max_leaves=20,
)


class StoredTests(BookCase):
    """Written and read back."""

    def restart(self, away_s: float = 0.0) -> None:
        """End the agent, and start it again after a while: its monotonic clock begins again."""
        data = stored.whole(stored.rows(self.book, self.now_s, self.now_ns()))
        now_ns = self.now_ns() + int(away_s * 1e9)
        self.book = DeviceBook()
        self.jump_ns = now_ns - START_AGAIN_NS
        self.now_s = 900.0
        self.assertEqual(self.restore(json.loads(data)), 0)

    def restore(self, document: object) -> int:
        """Read a document; returns the number of faults."""

        def work() -> Generator[None, None, None]:
            found.append((yield from restoring))

        found: list[int] = []
        restoring = stored.restore(self.book, document, self.now_s, self.now_ns())
        list(work())
        return found[0]

    def test_learned(self) -> None:
        """After a restart a device is watched at once, with its names and its silence."""
        self.live(LEARN_S, "a")
        before = self.device("a")
        self.live(600)
        self.restart(away_s=7200)
        after = self.device("a")
        self.assertEqual(after.vendor, before.vendor)
        self.assertEqual(after.rhythm.interval_s, before.rhythm.interval_s)
        self.assertEqual(after.overdue_s(after.rhythm), before.overdue_s(before.rhythm))
        self.assert_near(self.now_s - after.heard_s, 7800, delta=1)
        self.assertEqual(self.stale(self.live(350)), [])
        self.assertEqual(self.stale(self.live(50)), ["a"])

    def test_restart_is_not_silence(self) -> None:
        """A restart that takes long costs the gap around it, a short one not even that."""
        self.live(LEARN_S, "a")
        clean_s = self.device("a").rhythm.clean_s
        for away_s in (2.0, 7200.0):
            self.restart(away_s)
            self.assertEqual(self.stale(self.live(3000, "a")), [])
            self.assertEqual(self.device("a").rhythm.strikes, 0)
        self.assertGreater(self.device("a").rhythm.clean_s, clean_s)

    def test_stale_and_offline(self) -> None:
        """A device that was reported is not reported again, and one that is offline not at all."""
        self.live(LEARN_S, "a", "b")
        self.note("b", "device", online=False)
        self.assertEqual(self.stale(self.live(3600)), ["a"])
        self.restart()
        self.assertTrue(self.device("a").is_stale)
        self.assertEqual(self.stale(self.live(DAY_S)), [])
        self.assertEqual(self.back(self.live(600, "a")), ["a"])

    def test_heard_before_it_was_read(self) -> None:
        """What was heard while the file is read counts, and what was learned comes to it."""
        self.live(LEARN_S, "a")
        data = stored.whole(stored.rows(self.book, self.now_s, self.now_ns()))
        clean_s = self.device("a").rhythm.clean_s
        self.book = DeviceBook()
        self.note("a")
        self.sweep()
        self.now_s += 100
        self.assertEqual(self.restore(json.loads(data)), 0)
        self.assertEqual(self.device("a").rhythm.clean_s, clean_s)
        self.assertEqual(self.now_s - self.device("a").heard_s, 100)

    def test_clock_that_is_not_set(self) -> None:
        """A device cannot have been heard in the future."""
        self.live(LEARN_S, "a")
        self.live(90)
        self.restart(away_s=-(10**9))
        self.assert_near(self.now_s - self.device("a").heard_s, 90, delta=1)

    def test_size(self) -> None:
        """The file has a limit; who was heard last is in it."""
        for number in range(4000):
            self.note(f"{number:0200}")
        self.sweep()
        self.now_s += 50
        self.note("last")
        self.sweep()
        data = stored.whole(stored.rows(self.book, self.now_s, self.now_ns()))
        self.assertLessEqual(len(data), STATE_FILE_BYTES)
        self.book = DeviceBook()
        self.restore(json.loads(data))
        self.assertIn("last", self.book.devices)
        self.assertGreater(len(self.book.devices), 3000)

    def test_faults(self) -> None:
        """Rows that cannot be used are counted, the others are used."""
        self.note("a")
        self.sweep()
        document = json.loads(stored.whole(stored.rows(self.book, self.now_s, self.now_ns())))
        good = document["devices"][0]
        bad: list[Any] = [
            *(None, [], good[:-1], [1, *good[1:]], ["", *good[1:]], ["x" * 300, *good[1:]]),
            *([*good[:-1], -1], [*good[:-1], 1e300], [*good[:-1], True], [*good[:-1], "1"]),
            [*good[:6], 99, *good[7:]],
        ]
        self.book = DeviceBook()
        document["devices"] = [*bad, good]
        self.assertEqual(self.restore(document), len(bad))
        self.assertEqual(list(self.book.devices), ["a"])
        others: list[Any] = [{}, {"version": 2}, {"version": 1}, [], 5]
        for other in others:
            self.assertEqual(self.restore(other), 1)
        self.assertEqual(self.restore(None), 0)

    @given(JSON)
    def test_any_json(self, document: Any) -> None:
        """Nothing that the file may hold raises, then or later."""
        rows = document if isinstance(document, list) else [document]
        for each in (document, {"version": 1, "devices": rows}):
            self.restore(each)
            self.sweep()
            self.assertLess(len(self.book.devices), 10)


START_AGAIN_NS = 1_700_000_000 * 10**9 + 900 * 10**9
