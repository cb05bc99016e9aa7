"""The cache that is bounded in bytes."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.bounded import BoundedCache


class BoundedCacheTests(SynchronousTestCase):
    """What is kept and what is forgotten."""

    def test_forgets_everything_rather_than_growing(self) -> None:
        """An entry that would exceed the limit takes the place of all before it."""
        cache: BoundedCache[str, int] = BoundedCache(100)
        for name in "abc":
            cache.put(name, 1, 40)
            self.assertLessEqual(cache.size_bytes, 100)
        self.assertEqual([cache.get(name) for name in "abc"], [None, None, 1])
        self.assertEqual((len(cache), cache.size_bytes), (1, 40))

    def test_entry_larger_than_limit_is_not_kept(self) -> None:
        """It costs the others nothing."""
        cache: BoundedCache[str, int] = BoundedCache(100)
        cache.put("a", 1, 40)
        cache.put("b", 2, 101)
        self.assertEqual((cache.get("a"), cache.get("b")), (1, None))

    def test_clear(self) -> None:
        """Nothing is left and there is room again."""
        cache: BoundedCache[str, int] = BoundedCache(100)
        cache.put("a", 1, 100)
        cache.clear()
        self.assertEqual((len(cache), cache.size_bytes, cache.get("a")), (0, 0, None))
