"""Lines of our encoder, read back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from line_protocol_parser import parse_line
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.errors import MetricRefused
from metrics_agent.line_protocol import Encoder
from metrics_agent.metric import Metric, Series
from metrics_agent.status.lines import Line, device_filter, read_line

TEXT = st.text(max_size=20)
VALUES = st.one_of(
    st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), TEXT
)


class ReadTests(SynchronousTestCase):
    """From bytes to values."""

    def test_all_kinds(self) -> None:
        """Numbers, booleans and texts, with what has to be escaped."""
        line = rb'a\ b,device=x\,y\=z p=1.5,n=-3i,on=true,off=false,t="say \"a, b\\" 17' + b"\n"
        self.assertEqual(
            read_line(line),
            Line(
                "a b",
                {"device": "x,y=z"},
                {"p": 1.5, "n": -3, "on": True, "off": False, "t": 'say "a, b\\'},
                17,
            ),
        )

    def test_no_time(self) -> None:
        """A line may have none."""
        self.assertEqual(read_line(b"m f=1i\n"), Line("m", {}, {"f": 1}, None))

    def test_no_line(self) -> None:
        """Whatever else it is."""
        for data in (b"", b"\n", b"m", b"m,a", b"m,a=b", b"m f", b"m f=", b"m f=x 1", b"m f=1i x"):
            self.assertIsNone(read_line(data), data)

    @given(st.binary(max_size=60))
    def test_any_bytes(self, data: bytes) -> None:
        """Nothing raises."""
        read_line(data)

    @given(TEXT, st.dictionaries(TEXT, TEXT, max_size=3), st.dictionaries(TEXT, VALUES, min_size=1))
    def test_as_another_parser(self, name: str, tags: dict[str, str], fields: dict) -> None:
        """What the encoder writes is read as an independent parser reads it."""
        try:
            line = Encoder().encode(Metric(Series(name, tags), fields, 17))
        except MetricRefused:
            return
        found, judge = read_line(line), parse_line(line.decode())
        assert found is not None, line
        self.assertEqual(
            (found.measurement, found.tags, found.fields, found.time_ns),
            (judge["measurement"], judge["tags"], judge["fields"], judge["time"]),
        )


class FilterTests(SynchronousTestCase):
    """Lines of one device."""

    @given(TEXT.filter(bool), TEXT.filter(bool))
    def test_names(self, name: str, other: str) -> None:
        """By its tag `device` or `friendly`, as the encoder writes it; no other device's."""
        series = Series("m", {"device": name, "z": other})
        try:
            line = Encoder().encode(Metric(series, {"f": 1.0}, 17))
        except MetricRefused:
            return
        written = parse_line(line.decode())["tags"].get("device")
        if written is None:
            return
        self.assertTrue(device_filter(written).match(line), line)
        self.assertFalse(device_filter(written + "x").match(line))
        self.assertFalse(device_filter(written[:-1] or "y").match(line) if len(written) > 1 else 0)

    def test_not_in_a_text(self) -> None:
        """What looks like a tag within a field does not count."""
        self.assertIsNone(device_filter("a").match(b'm,device=b t="x ,device=a " 1'))
        self.assertTrue(device_filter("b").match(b"m,x=y,friendly=b t=1 1"))
