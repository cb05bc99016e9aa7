"""The decoders: what they give, and that nothing a DTU sends makes them raise."""

from __future__ import annotations

import json
import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from line_protocol_parser import parse_line
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.catalogue import MEASUREMENTS
from metrics_agent.errors import PayloadError
from metrics_agent.line_protocol import Encoder
from metrics_agent.metric import Metric
from metrics_agent.modules.opendtu.decode import MAX_INVERTERS, MAX_STRINGS, decode_frame
from metrics_agent.modules.opendtu.naming import InverterNames
from metrics_agent.modules.opendtu.quantities import DC, METER_PART, WHOLE, read_leaf, read_value
from metrics_agent.modules.opendtu.topics import Gathering
from metrics_agent.modules.opendtu.tracker import Tracker
from metrics_agent.testing import START_NS
from tests.modules.opendtu.support import SERIAL, frame, inverter, leaf

BY_NAME = {measurement.name: measurement for measurement in MEASUREMENTS}

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from([0, -1, 65535, 6553.5, 655.35, "", "W", "Wh", "kWh", "°C", "V"])
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["v", "u", "d", "0", "1", "99", "Power", "YieldTotal", "AC", "name"])
            | st.text(max_size=5),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


def places(document: Any, path: tuple = ()) -> list[tuple]:
    """Return the path of every value in a document."""
    found = [path]
    if isinstance(document, dict):
        for key, value in document.items():
            found += places(value, (*path, key))
    elif isinstance(document, list):
        for index, value in enumerate(document):
            found += places(value, (*path, index))
    return found


WHOLE_FRAME = json.loads(
    frame(
        inverter(),
        total={"Power": leaf(1, "W"), "YieldTotal": leaf(2, "kWh", 3)},
        battery={"enabled": True, "soc": leaf(71, "%", 0)},
        solarcharger={"enabled": True, "power": leaf(5, "W"), "yieldTotal": leaf(1, "kWh", 2)},
    )
)
PLACES = places(WHOLE_FRAME)


LEVELS = (
    *("status", "0", "1", "99", "power", "yieldtotal", "yieldday", "name", "rssi"),
    *("last_update", "reachable", "is_valid", "voltage ph1-n", "heap", "free"),
    *("HQ2132ABCDE", "PPV", "H19", "MpptTemperature", "data_age", "dataAge", "input_power"),
)


@st.composite
def mutated(draw) -> Any:
    """Draw a real message with some values replaced or taken out."""
    document = json.loads(json.dumps(WHOLE_FRAME))
    for _ in range(draw(st.integers(1, 4))):
        path = draw(st.sampled_from(PLACES[1:]))
        parent = document
        try:
            for key in path[:-1]:
                parent = parent[key]
            if draw(st.booleans()):
                del parent[path[-1]]
            else:
                parent[path[-1]] = draw(JSON)
        except (KeyError, IndexError, TypeError):
            continue  # a mutation before this one took the place away
    return document


class Checked:
    """A tracker whose points are checked against the catalogue and the line protocol."""

    def __init__(self, case: SynchronousTestCase) -> None:
        self.case = case
        self.dropped: list[str] = []
        self.tracker = Tracker(InverterNames({}, "opendtu"), self.drop)
        self.encoder = Encoder()

    def drop(self, _device: str, reason: str, _where: str) -> None:
        self.case.assertRegex(reason, r"\A[a-z0-9_]+\Z")
        self.dropped.append(reason)

    def frame(self, payload: bytes, received_ns: int = START_NS) -> list[Metric]:
        try:
            metrics = self.tracker.frame(decode_frame(payload, self.drop), received_ns)
        except PayloadError:
            return []
        self.check(metrics)
        return metrics

    def check(self, metrics: list[Metric]) -> None:
        for metric in metrics:
            measurement = BY_NAME[metric.series.measurement]
            for name, value in metric.fields.items():
                kind = {"float": float, "bool": bool}[measurement.field(name).kind]
                self.case.assertIs(type(value), kind, name)
                self.case.assertTrue(math.isfinite(value))
                self.case.assertNotEqual(str(value), "-0.0")
            parse_line(self.encoder.encode(metric).decode().rstrip("\n"))


class AnythingTests(SynchronousTestCase):
    """Whatever comes: points that the catalogue and the line protocol allow, or none."""

    @settings(max_examples=300)
    @given(st.lists(mutated(), min_size=1, max_size=4))
    def test_mutated_frames(self, documents: list) -> None:
        """Real messages with some of their values replaced, one after the other."""
        checked = Checked(self)
        for index, document in enumerate(documents):
            payload = json.dumps(document).encode()
            checked.frame(payload, START_NS + index * 5_000_000_000)

    @settings(max_examples=200)
    @given(JSON)
    def test_any_json(self, document: Any) -> None:
        """JSON of any other shape, alone and in the places that are looked at."""
        checked = Checked(self)
        for each in (
            document,
            {"inverters": document},
            {"inverters": [document]},
            {"total": document, "battery": document, "inverters": []},
            {"inverters": [{"serial": SERIAL, "AC": document, "DC": document, "INV": document}]},
            [{"serial": SERIAL, "0": document, "1": {"Power": document}}],
        ):
            checked.frame(json.dumps(each).encode())

    @settings(max_examples=200)
    @given(st.binary(max_size=60))
    def test_any_bytes(self, payload: bytes) -> None:
        """Bytes that may be no JSON at all."""
        Checked(self).frame(payload)

    @settings(max_examples=200)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(
                    [
                        *("dtu", "ac", "dc", "battery", "powermeter", SERIAL, "x"),
                        *("victron", "huawei"),
                    ]
                )
                | st.text(st.characters(codec="utf-8", exclude_characters="/+#\0"), max_size=4),
                st.lists(
                    st.sampled_from(LEVELS),
                    max_size=3,
                ),
                st.binary(max_size=8) | st.sampled_from([b"1", b"0", b"nan", b"6553.5", b"1e400"]),
            ),
            max_size=12,
        )
    )
    def test_any_topics(self, messages: list) -> None:
        """Topics and payloads of MQTT in any combination."""
        checked = Checked(self)
        gathering = Gathering("solar/", checked.drop)
        for first, rest, payload in messages:
            topic = "/".join(["solar", first, *rest])
            gathering.is_name(topic)
            gathering.add(topic, payload)
        burst = gathering.take(START_NS)
        for reading in burst.inverters:
            checked.check(checked.tracker.inverter(reading, START_NS))
        if burst.total is not None:
            checked.check(checked.tracker.total(burst.total, START_NS, complete=True))
        for part in burst.parts:
            checked.check(checked.tracker.part(part, START_NS))

    @settings(max_examples=300)
    @given(
        st.floats(allow_nan=False, allow_infinity=False),
        st.sampled_from([*WHOLE.values(), *DC.values(), *METER_PART.values()]),
        st.none() | st.integers(0, 9),
    )
    def test_values_are_plausible(self, value: float, quantity, digits: int | None) -> None:
        """A value is within its limits, or left out with one reason."""
        reasons: list[str] = []
        for unit in quantity.units:
            read = read_value(value, quantity, reasons.append, unit, digits)
            self.assertEqual(read is None, bool(reasons))
            if read is not None:
                self.assertTrue(quantity.low <= read <= quantity.high)
            reasons.clear()


class LeafTests(SynchronousTestCase):
    """Values of the socket."""

    def read(self, key: str, content: object) -> tuple[float | None, list[str]]:
        reasons: list[str] = []
        return read_leaf(content, WHOLE[key], reasons.append), reasons

    def test_rounding(self) -> None:
        """A float32 is rounded to its decimals, or to what a float32 can hold."""
        for key, content, expected in (
            ("voltage", leaf(231.699997, "V", 1), 231.7),
            ("voltage", leaf(231.699997, "V", 0), 232.0),
            ("voltage", {"v": 231.699997, "u": "V"}, 231.7),
            ("voltage", leaf(231.699997, "V", -1), 231.7),
            ("voltage", leaf(231.699997, "V", True), 231.7),
            ("yieldtotal", {"v": 1209.276001, "u": "kWh"}, 1209.276),
            ("yieldday", leaf(951, "Wh", 0), 0.951),
            ("reactivepower", leaf(-0.04, "var", 1), 0.0),
        ):
            value, reasons = self.read(key, content)
            self.assertEqual((value, reasons), (expected, []), content)
            self.assertEqual(math.copysign(1, value), 1)

    def test_left_out(self) -> None:
        """Each with its reason."""
        for key, content, reason in (
            ("power", None, "not_a_leaf"),
            ("power", {"u": "W"}, "not_a_leaf"),
            ("power", leaf(None, "W"), "null_value"),
            ("power", leaf("5", "W"), "not_a_number"),
            ("power", leaf(True, "W"), "not_a_number"),
            ("power", {"v": 5}, "unknown_unit"),
            ("power", leaf(5, "VA"), "unknown_unit"),
            ("power", {"v": 5, "u": ["W"]}, "unknown_unit"),
            ("power", leaf(6553.5, "W"), "sentinel"),
            ("voltage", leaf(-1, "V"), "implausible"),
            ("temperature", leaf(-273, "°C"), "implausible"),
            ("current", leaf(204.84, "A", 2), "implausible"),
            ("yieldday", leaf(64300, "Wh", 0), "implausible"),
            ("yieldtotal", leaf(0, "kWh", 3), "zero_total"),
            ("yieldtotal", leaf(0.0004, "kWh", 3), "zero_total"),
        ):
            self.assertEqual(self.read(key, content), (None, [reason]), content)


class FrameTests(SynchronousTestCase):
    """Bounds of a message."""

    def test_more_inverters_than_there_can_be(self) -> None:
        """The rest of a list that is too long is counted and left."""
        reasons: list[str] = []
        found = decode_frame(
            frame(*(inverter(serial=f"{index:012x}") for index in range(100))).encode(),
            lambda _device, reason, _where: reasons.append(reason),
        )
        self.assertEqual((len(found.inverters), reasons), (MAX_INVERTERS, ["too_many_devices"]))

    def test_more_strings_than_there_can_be(self) -> None:
        """So are strings."""
        channels = {str(index): {"Power": leaf(1, "W")} for index in range(100)}
        reasons: list[str] = []
        found = decode_frame(
            frame(inverter(DC=channels)).encode(),
            lambda _device, reason, _where: reasons.append(reason),
        )
        self.assertEqual(len(found.inverters[0].strings), MAX_STRINGS)
        self.assertEqual(set(reasons), {"unknown_channel"})

    def test_serial_numbers(self) -> None:
        """They are lower case; one that cannot be a serial number costs its inverter."""
        found = decode_frame(
            frame(
                inverter(serial="114182AB0001"),
                inverter(serial=""),
                inverter(serial="x" * 33),
                inverter(serial=5),
            ).encode(),
            lambda *_what: None,
        )
        self.assertEqual([each.serial for each in found.inverters], ["114182ab0001"])

    def test_age(self) -> None:
        """Milliseconds win over seconds; an age that cannot be is not known."""
        for changes, age_s in (
            ({"data_age": 2, "data_age_ms": 2413}, 2.413),
            ({"data_age": 2, "data_age_ms": None}, 2.0),
            ({"data_age": -1, "data_age_ms": -1}, None),
            ({"data_age": "2", "data_age_ms": True}, None),
            ({"data_age_ms": -0.0}, 0.0),
            ({"data_age": 1e308, "data_age_ms": None}, None),
        ):
            found = decode_frame(frame(inverter(**changes)).encode(), lambda *_what: None)
            self.assertEqual(str(found.inverters[0].age_s), str(age_s))
