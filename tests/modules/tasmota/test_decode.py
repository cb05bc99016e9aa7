"""Decoding of whatever may come: properties that hold for every payload."""

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
from metrics_agent.json_payload import loads
from metrics_agent.line_protocol import Encoder
from metrics_agent.metric import Metric
from metrics_agent.modules.tasmota import go_compat, meter_keys, meters, sensor_table, zigbee
from metrics_agent.modules.tasmota.device import Device, DeviceNaming
from metrics_agent.modules.tasmota.discovery import DeviceConfig
from metrics_agent.modules.tasmota.energy import decode_energy, decode_energy_fully
from metrics_agent.modules.tasmota.values import PointBuilder, Units, duration_s, point_time
from tests.modules.tasmota.support import announcement, config_topic, make
from tests.modules.tasmota.test_cases import CASES

RECEIVED_NS = 1_700_000_000_000_000_000
CATALOGUE = {each.name: each for each in MEASUREMENTS}
KINDS = {"float": float, "int": int, "bool": bool, "str": str}


def payloads() -> list[tuple[str, str]]:
    """Return subtopic and payload of every message in the golden cases."""
    found = []
    for folder in CASES.iterdir():
        for line in (folder / "messages.txt").read_text("utf-8").splitlines():
            topic, _, payload = line.partition(" ")[2].partition(" ")
            if payload:
                found.append((topic.rpartition("/")[2], payload))
    return sorted(set(found))


def is_object(payload: str) -> bool:
    """Whether a payload is one of the valid ones."""
    try:
        return isinstance(loads(payload.encode()), dict)
    except PayloadError:
        return False


PAYLOADS = payloads()
OBJECTS = [(subtopic, json.loads(payload)) for subtopic, payload in PAYLOADS if is_object(payload)]

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(min_value=-(10**30), max_value=10**30),
    st.floats(allow_nan=False),
    st.text(max_size=12),
    st.sampled_from(["ON", "OFF", "12.5", "NaN", "1e999", "C", "F", "2023-11-14T22:00:00+02:00"]),
)
KEYS = st.one_of(
    st.sampled_from(
        [
            *sensor_table.READINGS,
            *sensor_table.NESTED,
            *(key for key, _ in meter_keys.TABLE),
            *zigbee._TABLE,
            *("Device", "0x5ADF", "Power", "Dimmer", "EnergyTotal", "ADS1115", "Endpoint"),
            *("Total_in", "1-0:1.8.0*255", "Volt_L1", "1_7_0", "L1"),
            *("ENERGY", "Total", "Today", "Time", "Epoch", "TempUnit", "SpeedUnit", "PressureUnit"),
            *("Wifi", "UptimeSec", "POWER1", "EnergyTotal", "StatusSNS", "StatusSTS", "Switch1"),
            *("ANALOG", "COUNTER", "A0", "CTEnergy1", "C1", "ZbReceived", "Name", "Id", "BL09XX"),
        ]
    ),
    st.text(max_size=10),
)
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(KEYS, inner, max_size=6)),
    max_leaves=25,
)


def mutated(draw: Any, value: Any) -> Any:
    """Replace some places of a document by something else."""
    if draw(st.integers(0, 9)) == 0:
        return draw(DOCUMENTS)
    if isinstance(value, dict):
        return {
            (draw(KEYS) if draw(st.integers(0, 19)) == 0 else key): mutated(draw, each)
            for key, each in value.items()
        }
    if isinstance(value, list):
        kept = value[: draw(st.integers(0, len(value)))]
        return [mutated(draw, each) for each in kept]
    return value


@st.composite
def near_real(draw: Any) -> tuple[str, Any]:
    """A real message with some of its places replaced."""
    subtopic, document = draw(st.sampled_from(OBJECTS))
    return subtopic, mutated(draw, document)


class Robust(SynchronousTestCase):
    """No payload raises anything, and all that comes out can be written."""

    def setUp(self) -> None:
        self.encoder = Encoder()

    def feed(self, subtopic: str, payload: bytes, **configuration: Any) -> list[Metric]:
        """Give a message to a module that knows the device, and check what comes out."""
        module, context = make(**configuration)
        context.deliver(config_topic(), announcement())
        metrics = context.deliver(
            config_topic("B")
            if subtopic == "config"
            else f"tele/plug/{subtopic}"
            if subtopic in {"STATE", "LWT", "ZbReceived"}
            else f"stat/plug/{subtopic}"
            if subtopic in {"RESULT", "ENERGYTOTAL", "STATUS8", "STATUS10", "STATUS11"}
            else "tele/plug/SENSOR",
            payload,
        )
        module.stopService()
        context.stop()
        for metric in metrics:
            self.check(metric, original_names=bool(configuration))
        return metrics

    def check(self, metric: Metric, *, original_names: bool) -> None:
        measurement = CATALOGUE[metric.series.measurement]
        if not original_names:
            for name, value in metric.fields.items():
                self.assertIs(type(value), KINDS[measurement.field(name).kind], name)
        finite = [
            value
            for value in metric.fields.values()
            if not isinstance(value, float) or math.isfinite(value)
        ]
        if finite:
            parse_line(self.encoder.encode(metric).decode())

    @settings(max_examples=150)
    @given(st.sampled_from(["SENSOR", "STATE", "RESULT", "STATUS10", "LWT", "config"]), DOCUMENTS)
    def test_any_json(self, subtopic: str, document: object) -> None:
        """Arbitrary JSON."""
        self.feed(subtopic, json.dumps(document).encode())

    @settings(max_examples=300)
    @given(near_real(), st.sampled_from(["standard", "original"]))
    def test_nearly_real(self, message: tuple[str, Any], names: str) -> None:
        """Real messages with places replaced, under both kinds of names."""
        subtopic, document = message
        configuration = {} if names == "standard" else {"field_names": names}
        self.feed(subtopic, json.dumps(document).encode(), **configuration)

    @settings(max_examples=150)
    @given(st.sampled_from(PAYLOADS), st.data())
    def test_damaged_bytes(self, message: tuple[str, str], data: Any) -> None:
        """Real messages cut and with bytes replaced."""
        subtopic, text = message
        payload = bytearray(text.encode()[: data.draw(st.integers(0, len(text)))])
        for _ in range(data.draw(st.integers(0, 3))):
            if payload:
                index = data.draw(st.integers(0, len(payload) - 1))
                payload[index] = data.draw(st.integers(0, 255))
        self.feed(subtopic, bytes(payload))

    def test_absurd_numbers(self) -> None:
        """Numbers beyond a double are left out, the rest of the message is kept."""
        for absurd in (b"1e999", b"-1e999", b"1" + b"0" * 400):
            metrics = self.feed(
                "SENSOR",
                b'{"Epoch":%b,"ENERGY":{"Power":1,"Voltage":%b,"Current":[%b,2]},'
                b'"BME280":{"Temperature":%b,"Humidity":40}}' % (absurd, absurd, absurd, absurd),
            )
            values_found = [value for metric in metrics for value in metric.fields.values()]
            self.assertEqual(sorted(values_found), [1.0, 2.0, 40.0], absurd[:5])

    def test_what_is_beside_several_sensors_in_an_object_is_named(self) -> None:
        """One sensor in an object does not hide what else is in it."""
        _, context = make()
        context.deliver(
            "tele/plug/SENSOR",
            b'{"Foo":{"A":{"Temperature":1.5},"B":{"Odd":2},"x":5,"Type":"any"}}',
        )
        context.advance(2)
        self.assertEqual(len(context.metrics), 1)
        self.assertEqual(context.dropped, {"unknown_object": 1, "unmapped_key": 1})
        named = " ".join(context.logged("info"))
        self.assertIn("Foo.B (unknown_object)", named)
        self.assertIn("Foo.x (unmapped_key)", named)

    def test_many_items(self) -> None:
        """The number of channels a payload can make has a bound, per array."""
        many = b",".join([b"1"] * 10_000)
        self.assertEqual(len(self.feed("SENSOR", b'{"ENERGY":{"Power":[%b]}}' % many)), 32)
        self.assertEqual(len(self.feed("SENSOR", b'{"INA3221":{"Voltage":[%b]}}' % many)), 32)


ENERGY_VALUES = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(min_value=-(2**63), max_value=2**64 - 1),
    st.booleans(),
    st.text(max_size=3),
    st.none(),
    st.lists(st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.none()), max_size=4),
)
ENERGY_KEYS = st.sampled_from(
    ["TotalStartTime", "Total", "Today", "Period", "Power", "Voltage", "Factor", "BL", "Id"]
)


class FastPath(SynchronousTestCase):
    """The short way for one channel is the general one's twin."""

    @settings(max_examples=300)
    @given(st.dictionaries(ENERGY_KEYS, ENERGY_VALUES))
    def test_same_as_the_general_way(self, energy: dict[str, object]) -> None:
        device = Device("plug", DeviceNaming({}), DeviceConfig("plug"))
        units = Units({})
        slow: list[tuple[str, str]] = []
        points = PointBuilder(lambda *what: slow.append(what))
        decode_energy_fully(energy, points, lambda *what: slow.append(what), units)
        fast: list[tuple[str, str]] = []
        metrics = decode_energy(energy, device, 1, lambda *what: fast.append(what), {})
        self.assertEqual(metrics, points.metrics(device, 1))
        self.assertEqual(fast, slow)

    def test_an_infinite_number(self) -> None:
        """The one difference: it is the encoder that leaves it out."""
        energy = {"Power": 1.0, "Voltage": float("inf")}
        metrics = decode_energy(energy, Device("plug", DeviceNaming({})), 1, self.fail, {})
        encoder = Encoder()
        self.assertEqual(
            encoder.encode(*metrics), b"electricity,device=plug,vendor=tasmota power=1.0 1\n"
        )
        self.assertEqual(encoder.left_out, 1)


class Tables(SynchronousTestCase):
    """What the tables say is in the catalogue."""

    def test_fields_are_catalogued(self) -> None:
        """Every reading's field exists, with the kind of its value."""
        readings: list[Any] = [
            *sensor_table.READINGS.values(),
            *(r for table in sensor_table.OVERRIDES.values() for r in table.values() if r),
            *(r for table in sensor_table.NESTED.values() for r in table.values()),
            *(r for table in sensor_table.NUMBERED.values() for r in table.values()),
            *zigbee._TABLE.values(),
            *zigbee._SWITCHED.values(),
            *meter_keys.TABLE.values(),
        ]
        for reading in readings:
            kind = "bool" if getattr(reading, "flag", False) else "float"
            self.assertEqual(CATALOGUE[reading.measurement].field(reading.field).kind, kind)

    def test_original_names_are_the_catalogue_s(self) -> None:
        """The Go agent's names come from one table, with its scales."""
        self.assertEqual(go_compat._TABLE["energy_total"], ("sum_power_total", 1000.0))
        self.assertEqual(go_compat._TABLE["energy_exported_total"], ("sum_power_total_out", 1000.0))
        self.assertEqual(go_compat._TABLE["current"], ("current", 1000.0))

    def test_meter_fields_as_written(self) -> None:
        """A field, a phase, a unit; anything else says what was expected."""
        for text, expected in (
            ("power", ("electricity", "power", "", 1.0)),
            ("power@3 kW", ("electricity", "power", "3", 1000.0)),
            ("energy_total Wh", ("electricity", "energy_total", "", 0.001)),
            ("volume m3", ("counter", "volume", "", 1.0)),
        ):
            found = meters.parse_meter_field(text)
            self.assertEqual(
                (found.measurement, found.field, found.channel, found.factor), expected
            )
        for text in ("", "Power", "power@0", "power kg", "powr", "power  kW"):
            self.assertRaises(ValueError, meters.parse_meter_field, text)


class UnknownUnits(SynchronousTestCase):
    """Units that scripts do not agree on."""

    def test_the_setting_and_all_keys_are_named(self) -> None:
        """The one line in the log names the setting, an example and each of the keys."""
        _, context = make()
        context.deliver("tele/plug/SENSOR", b'{"SM":{"1_7_0":412,"2_7_0":0,"1_8_0":12.5}}')
        context.deliver("tele/plug/SENSOR", b'{"SM":{"1_7_0":412,"2_7_0":0,"1_8_0":12.5}}')
        self.assertEqual(context.dropped, {"unit_not_known": 4})
        (where,) = [event["where"] for event in context.events if "where" in event]
        for text in ('[modules.tasmota.meters."SM"]', '"1_7_0" = "power W"', '"2_7_0"'):
            self.assertIn(text, where)

    def test_each_meter_and_plug_has_its_line(self) -> None:
        """One meter's question does not hide those of the others behind the same device."""
        _, context = make()
        for _ in range(2):
            context.deliver("tele/plug/SENSOR", b'{"SM":{"1_7_0":412},"HT":{"1_7_0":9}}')
            for name in (b"Lamp", b"Fan"):
                context.deliver(
                    "tele/plug/SENSOR",
                    b'{"ZbReceived":{"0x0A11":{"Device":"0x0A11","Name":"%b",'
                    b'"CurrentSummationDelivered":48213}}}' % name,
                )
        self.assertEqual(context.dropped, {"unit_not_known": 8})
        lines = context.logged("warn")
        self.assertEqual(len(lines), 4)
        for name, line in zip(("SM", "HT", "Lamp", "Fan"), lines, strict=True):
            self.assertIn(f'[modules.tasmota.meters."{name}"]', line)

    def test_many_keys_are_all_named(self) -> None:
        """A line names sixteen keys at most; no key is cut off or left out."""
        _, context = make()
        keys = [f"{code}_7_0" for code in (1, 2, 21, 41, 61)]
        keys += [f"C{part}_{key}" for part in range(1, 5) for key in keys]
        context.deliver("tele/plug/SENSOR", json.dumps({"SM": dict.fromkeys(keys, 1)}).encode())
        lines = "".join(context.logged("warn"))
        self.assertEqual([key for key in keys if f'"{key}"' not in lines], [])

    def test_no_number_is_counted(self) -> None:
        """A null or a text in place of such a value does not vanish without a count."""
        payload = b'{"SM":{"1_7_0":null,"2_7_0":"3","E_in":1},"ENERGY":{"1_7_0":null}}'
        _, context = make()
        context.deliver("tele/plug/SENSOR", payload)
        self.assertEqual(context.dropped, {"null_value": 2, "not_a_number": 1})

    def test_keys_of_energy_are_asked_for(self) -> None:
        """A script may call its meter ENERGY: its keys get the question, not just a remark."""
        payload = b'{"ENERGY":{"Power":412,"1_7_0":3,"E_in":12.5,"Odd":1}}'
        _, context = make()
        context.deliver("tele/plug/SENSOR", payload)
        self.assertEqual(context.dropped, {"unit_not_known": 1, "unmapped_key": 1})
        self.assertIn('[modules.tasmota.meters."ENERGY"]', context.logged("warn")[0])
        _, context = make(meters={"ENERGY": {"1_7_0": "power_imported kW"}})
        context.deliver("tele/plug/SENSOR", payload)
        self.assertEqual(context.dropped, {"unmapped_key": 1})
        self.assertEqual(context.metrics[0].fields["power_imported"], 3000.0)

    def test_values_at_the_top_are_mapped_by_an_empty_name(self) -> None:
        """The setting that the log names works for a meter without an object of its own."""
        payload = b'{"1_7_0":412,"1_8_0":12.5}'
        _, context = make()
        context.deliver("tele/plug/SENSOR", payload)
        self.assertIn('[modules.tasmota.meters.""]', context.logged("warn")[0])
        _, context = make(meters={"": {"1_7_0": "power"}})
        context.deliver("tele/plug/SENSOR", payload)
        self.assertEqual(context.metrics[0].fields, {"energy_total": 12.5, "power": 412.0})


class Values(SynchronousTestCase):
    """Times and durations."""

    def test_duration(self) -> None:
        for text, expected in (
            ("12T03:04:05", 1_047_845.0),
            ("0T00:00:00", 0.0),
            ("3:04", None),
            (5, None),
            (None, None),
        ):
            self.assertEqual(duration_s(text), expected)

    def test_own_time_only_if_unambiguous_and_old(self) -> None:
        """Anything that cannot be trusted gives the time of receipt."""
        now_s = RECEIVED_NS // 10**9
        for document, expected_s in (
            ({}, now_s),
            ({"Time": None}, now_s),
            ({"Time": "2023-11-14T00:00:00"}, now_s),
            ({"Time": "2023-11-14"}, now_s),
            ({"Time": "nonsense+02:00"}, now_s),
            ({"Time": "0001-01-01T00:00:00+14:00"}, now_s),
            ({"Epoch": now_s - 299}, now_s),
            ({"Epoch": now_s - 301}, now_s - 301),
            ({"Epoch": now_s + 86_400}, now_s),
            ({"Epoch": "1699990000"}, now_s),
            ({"Epoch": True, "Time": 1_699_990_000}, 1_699_990_000),
            ({"Epoch": 0}, now_s),
            ({"Epoch": 10**25}, now_s),
        ):
            self.assertEqual(point_time(document, RECEIVED_NS), expected_s * 10**9, document)
