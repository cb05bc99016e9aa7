"""The cache that is bounded in bytes."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.bounded import BoundedCache


class BoundedCacheTests(SynchronousTestCase):
    """What is kept and what is forgotten."""

    def test_keeps_what_it_has_when_full(self) -> None:
        """A new entry is turned away, so that those who come again and again are found."""
        cache: BoundedCache[str, int] = BoundedCache(100)
        for name in "abcd":
            cache.put(name, 1, 40)
            self.assertLessEqual(cache.size_bytes, 100)
        self.assertEqual([cache.get(name) for name in "abcd"], [1, 1, None, None])

    def test_forgets_everything_when_as_much_was_turned_away_as_it_holds(self) -> None:
        """What is no longer used must not keep out what is."""
        cache: BoundedCache[str, int] = BoundedCache(100)
        for name in "abcde":
            cache.put(name, 1, 40)
        self.assertEqual([cache.get(name) for name in "abcde"], [None, None, None, None, 1])
        self.assertEqual((len(cache), cache.size_bytes), (1, 40))

    def test_more_in_use_than_there_is_room_for(self) -> None:
        """Most of it is found all the same."""
        cache: BoundedCache[int, int] = BoundedCache(1000)
        found = 0
        for turn in range(100):
            for number in range(120):
                if cache.get(number) is not None:
                    found += 1
                else:
                    cache.put(number, turn, 10)
        self.assertGreater(found, 0.6 * 100 * 120)

    def test_entry_larger_than_limit_is_not_kept(self) -> None:
        """It costs the others nothing."""
        cache: BoundedCache[str, int] = BoundedCache(100)
        cache.put("a", 1, 40)
        for _ in range(3):
            cache.put("b", 2, 101)
        self.assertEqual((cache.get("a"), cache.get("b")), (1, None))

    def test_clear(self) -> None:
        """Nothing is left and there is room again."""
        cache: BoundedCache[str, int] = BoundedCache(100)
        cache.put("a", 1, 100)
        cache.clear()
        self.assertEqual((len(cache), cache.size_bytes, cache.get("a")), (0, 0, None))
