"""The filters that announcements lead to: an index of them, and the file that keeps them."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.modules.tasmota import filter_set
from metrics_agent.modules.tasmota.filter_set import FilterSet
from metrics_agent.modules.tasmota.filters import MAX_SHAPES
from metrics_agent.topic_filters import covers
from tests.modules.tasmota.support import announcement, config_topic, make

LEVELS = st.lists(st.sampled_from(("a", "b", "+")), min_size=1, max_size=4)
FILTERS = st.one_of(LEVELS, LEVELS.map(lambda levels: [*levels, "#"])).map("/".join)


class Sets(SynchronousTestCase):
    """Filters and which of them cover which."""

    @settings(max_examples=300)
    @given(st.lists(FILTERS, unique=True, max_size=12), st.lists(FILTERS, max_size=4), FILTERS)
    def test_same_as_comparing_each(self, added: list[str], removed: list[str], new: str) -> None:
        """The index answers as a comparison with every filter does."""
        filters = FilterSet()
        for each in added:
            filters.add(each)
        for each in {*removed} & {*added}:
            filters.remove(each)
        left = [each for each in added if each not in removed]
        self.assertEqual(filters.covers(new), any(covers(wide, new) for wide in left))
        self.assertEqual(
            sorted(filters.covered_by(new)), sorted(each for each in left if covers(new, each))
        )

    def test_dollar(self) -> None:
        """A wildcard does not cover the topics of the broker itself."""
        filters = FilterSet()
        filters.add("+/a")
        self.assertFalse(filters.covers("$SYS/a"))

    def test_work(self) -> None:
        """300 announcements with a FullTopic each: few comparisons for each."""
        for full_topic in (
            "r%d/%%topic%%/",
            "%%topic%%/%%prefix%%/r%d/",
            "r%d/%%prefix%%/%%topic%%/",
        ):
            _, context = make()
            count = 0

            def counting(wide: str, narrow: str) -> bool:
                nonlocal count
                count += 1
                return covers(wide, narrow)

            self.patch(filter_set, "covers", counting)
            for index in range(300):
                mac = f"{index:012X}"
                context.deliver(config_topic(mac), announcement(mac=mac, ft=full_topic % index))
            self.assertLess(count, 20 * MAX_SHAPES)
            self.assertGreater(len(context.filters()), 2000)


class StateFile(SynchronousTestCase):
    """The shapes that are kept."""

    def setUp(self) -> None:
        self.state = Path(self.mktemp())
        self.state.mkdir()
        self.file = self.state / "topics.json"

    def kept(self) -> int:
        return len(json.loads(self.file.read_text("utf-8"))) if self.file.exists() else 0

    def test_shapes_are_kept(self) -> None:
        """Those that were announced; how often they are written is the state directory's affair."""
        _, context = make(state_dir=self.state)
        for index in range(10):
            context.deliver(config_topic(f"{index}"), announcement(ft=f"r{index}/%topic%/"))
        self.assertEqual(self.kept(), 11)

    def test_bounded(self) -> None:
        """Only what is subscribed to is kept."""
        _, context = make(state_dir=self.state)
        for index in range(MAX_SHAPES + 50):
            mac = f"{index:012X}"
            context.deliver(config_topic(mac), announcement(mac=mac, ft=f"r{index}/%topic%/"))
        context.advance(61)
        self.assertEqual(self.kept(), MAX_SHAPES - 1)

    def test_invalid_shapes(self) -> None:
        """What an earlier version kept is checked as an announcement is."""
        long = "/".join("x" * 220)
        bad = ("te\ufdd0le", long, "$share/g/x", "x" * 300, "#", "a#", "")
        shapes = [["cmnd/+", "stat/+", base] for base in bad]
        self.file.write_text(json.dumps([*shapes, ["h/cmnd/+", "h/stat/+", "h/tele/+"]]), "utf-8")
        _, context = make(state_dir=self.state)
        names = [each.topic_filter for each in context.subscriptions]
        self.assertEqual(len([name for name in names if name.startswith("h/")]), 12)
        self.assertEqual(context.dropped, {"bad_topic": len(bad) - 1})
        for text in ("\ufdd0", "$share", "x/x", "xx", "#"):
            self.assertNotIn(text, " ".join(names))
        self.assertLess(max(map(len, context.logged("warn"))), 300)
