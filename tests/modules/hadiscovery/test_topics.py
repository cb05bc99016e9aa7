"""Which filters have topics in common."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.modules.hadiscovery.topics import overlaps
from metrics_agent.testing import topic_matches

LEVELS = st.sampled_from(["a", "b", "+"])
FILTERS = st.builds(
    lambda levels, last: "/".join([*levels, *last]),
    st.lists(LEVELS, min_size=1, max_size=3),
    st.sampled_from([[], ["#"]]),
)
TOPICS = st.lists(st.sampled_from("ab"), min_size=1, max_size=4).map("/".join)


class OverlapTests(SynchronousTestCase):
    """`overlaps` agrees with the topics that filters match."""

    @given(FILTERS, FILTERS, TOPICS)
    def test_a_common_topic_means_an_overlap(self, one: str, other: str, topic: str) -> None:
        """Whatever topic both match shows it."""
        if topic_matches(one, topic) and topic_matches(other, topic):
            self.assertTrue(overlaps(one, other))

    @given(FILTERS, FILTERS)
    def test_an_overlap_has_a_topic(self, one: str, other: str) -> None:
        """And the other way round: of all short topics one is matched by both."""
        from itertools import product

        found = any(
            topic_matches(one, topic) and topic_matches(other, topic)
            for count in range(1, 6)
            for topic in map("/".join, product("ab", repeat=count))
        )
        self.assertIs(overlaps(one, other), found)
        self.assertIs(overlaps(other, one), found)
