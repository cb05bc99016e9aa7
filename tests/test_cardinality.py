"""The limit on series a device."""

from __future__ import annotations

from unittest import mock

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent import cardinality
from metrics_agent.cardinality import Cardinality
from metrics_agent.errors import MetricRefused
from metrics_agent.line_protocol import Encoder
from metrics_agent.metric import Metric, Series, metric

BOILER = {"vendor": "tasmota", "device": "boiler"}


class CardinalityTests(SynchronousTestCase):
    """What is admitted, and what is remembered of it."""

    @given(st.lists(st.integers(0, 12), max_size=60))
    def test_a_series_that_was_admitted_always_is(self, numbers: list[int]) -> None:
        """The first few distinct series pass, whatever comes between, and no others."""
        counted = Cardinality(5)
        first = list(dict.fromkeys(numbers))[:5]
        for number in numbers:
            self.assertEqual(counted.admit(BOILER, b"%d" % number), number in first)

    def test_devices_do_not_share_a_limit(self) -> None:
        """One that has too many costs no other anything, not even one of another vendor."""
        counted = Cardinality(1)
        for tags in (BOILER, {**BOILER, "device": "lamp"}, {**BOILER, "vendor": "netatmo"}, {}):
            self.assertTrue(counted.admit(tags, b"first"))
            self.assertFalse(counted.admit(tags, b"second"))

    def test_zero_is_no_limit(self) -> None:
        """Then nothing is counted either."""
        counted = Cardinality(0)
        self.assertTrue(all(counted.admit(BOILER, b"%d" % number) for number in range(5000)))

    def test_what_is_remembered_is_bounded(self) -> None:
        """Beyond the bound it is forgotten, which lets more pass and refuses nothing."""
        counted = Cardinality(1000)
        with mock.patch.object(cardinality, "COUNTED_SERIES_BYTES", 10_000):
            for number in range(3000):
                tags = {**BOILER, "device": str(number % 30)}
                self.assertTrue(counted.admit(tags, b"%d" % number))
                self.assertLessEqual(counted._size_bytes, 10_300)
                self.assertLessEqual(len(counted._marks), 50)


class EncoderTests(SynchronousTestCase):
    """The encoder asks, for each series that it has not written yet."""

    def series(self, number: int) -> Series:
        return Series("sensor", {**BOILER, "sensor": f"probe{number}"})

    def test_series_beyond_the_limit_are_refused(self) -> None:
        """They are refused each time; the reason names device, limit and setting once."""
        encoder = Encoder(series_per_device=3)
        admitted = [self.series(number) for number in range(3)]
        for each in admitted * 2:
            encoder.encode(Metric(each, {"value": 1.0}, 1))
        refusals = []
        for number in (3, 4, 3):
            one = Metric(self.series(number), {"value": 1.0}, 1)
            refusals.append(self.assertRaises(MetricRefused, encoder.encode, one))
        self.assertEqual({each.reason for each in refusals}, {"too_many_series"})
        self.assertEqual([each.known for each in refusals], [False, True, True])
        for words in ("'boiler'", "3 series", "probe3", "series_per_device"):
            self.assertIn(words, str(refusals[0]))

    def test_a_series_made_for_each_point_counts_once(self) -> None:
        """As of modules that make one a message, and devices that announce themselves again."""
        encoder = Encoder(series_per_device=2)
        for number in range(100):
            tags = {**BOILER, "channel": str(number % 2)}
            encoder.encode(metric("electricity", tags, {"power": 1.0}, number))
