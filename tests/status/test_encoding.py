"""The state as JSON."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.status.encoding import encoded, encoded_by_stdlib

PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(), max_size=20),
)
VALUES = st.recursive(PLAIN, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))


class EncodingTests(SynchronousTestCase):
    """By orjson, and by the standard library."""

    @given(st.dictionaries(st.text(max_size=9), VALUES, max_size=5))
    def test_any_values(self, values: dict[str, object]) -> None:
        """Both give one line, which is read as the same values."""
        for data in (encoded(values), encoded_by_stdlib(values)):
            self.assertNotIn(b"\n", data)
            self.assertEqual(json.loads(data), values)

    def test_half_a_pair(self) -> None:
        """What orjson refuses is encoded nevertheless."""
        self.assertEqual(json.loads(encoded({"\ud800": 2**70})), {"\ud800": 2**70})
