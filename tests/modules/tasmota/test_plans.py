"""Messages read by a plan of their shape give what ``decode_document`` gives."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.metric import Metric
from metrics_agent.modules.tasmota import plans
from metrics_agent.modules.tasmota.decode import decode_document
from metrics_agent.modules.tasmota.device import Device, DeviceNaming
from metrics_agent.modules.tasmota.discovery import DeviceConfig
from metrics_agent.modules.tasmota.plans import Plans
from tests.modules.tasmota.test_decode import OBJECTS

DUAL = (
    '{"Time":"2025-02-11T07:30:00","ENERGY":{"TotalStartTime":"2023-06-01T08:12:44","Total":7.2,'
    '"Period":[41,0],"Power":[12,0],"Factor":[0.98,0.00],"Voltage":231,"Current":[2.1,0.000]},'
    '"ESP32":{"Temperature":46.1},"TempUnit":"C"}'
)
CLIMATE = (
    '{"Time":"2025-02-11T07:30:00","Switch1":"OFF","AM2301":{"Temperature":21.4,"Humidity":48.1},'
    '"DS18B20":{"Id":"0316A279C1FF","Temperature":61.2},"BH1750":{"Illuminance":12}}'
)
DOCUMENTS = [document for _, document in OBJECTS if len(document) > plans._FEW_MEMBERS]
"""All messages of the golden cases; replies and states are objects as well."""
SPECIAL = [0, 1, 2, 85, 85.0, -127.0, -273.15, 100.5, 1e6, 255, 65535, 1e999, -0.0, 2**63]
NUMBERS = st.one_of(
    st.sampled_from(SPECIAL), st.integers(-1000, 100_000), st.floats(-300, 1e7, width=32)
)
OTHERS = st.one_of(
    NUMBERS,
    st.none(),
    st.booleans(),
    st.sampled_from(["", "ON", "OFF", "12.5", "F", "0x5ADF"]),
    st.lists(NUMBERS, max_size=3),
    st.dictionaries(st.sampled_from(["Temperature", "Power"]), NUMBERS, max_size=1),
)


def numbers_changed(value: object, draw: Any, kind: Any) -> object:
    """Return a value with other numbers."""
    if isinstance(value, dict):
        return {key: numbers_changed(item, draw, kind) for key, item in value.items()}
    if isinstance(value, list):
        return [numbers_changed(item, draw, kind) for item in value]
    return draw(kind) if type(value) in (int, float) else value


class SameAsTheGeneralWay(SynchronousTestCase):
    """The general way, ``decode_document``, is the judge."""

    def setUp(self) -> None:
        self.plans = Plans({})
        self.device = Device("plug", DeviceNaming({}), DeviceConfig("plug", states=("AUS", "AN")))
        self.general = 0

        def decode(*what: Any) -> list[Metric]:
            self.general += 1
            return decode_document(*what)

        self.patch(plans, "decode_document", decode)

    def check(self, document: dict[str, object]) -> bool:
        """Compare both ways; return whether a plan was used."""
        self.general = 0
        found: list[tuple[str, str]] = []
        metrics = self.plans.decode(document, self.device, 7, lambda *what: found.append(what))
        used = not self.general
        wanted: list[tuple[str, str]] = []
        judge = decode_document(document, self.device, 7, lambda *what: wanted.append(what), {})
        self.assertEqual(metrics, judge)
        self.assertEqual(found, wanted)
        for metric, other in zip(metrics, judge, strict=True):
            for name, value in metric.fields.items():
                self.assertEqual(repr(value), repr(other.fields[name]))
        return used

    def learn(self, text: str) -> dict[str, Any]:
        """Send a message until there is a plan."""
        document: dict[str, Any] = json.loads(text)
        self.assertFalse(self.check(document), "a shape is new")
        self.check(document)
        self.assertTrue(self.check(document), "there is no plan")
        return document

    @settings(max_examples=300, deadline=None)
    @given(st.data())
    def test_any_message_with_any_numbers(self, data: st.DataObject) -> None:
        """A plan made of any message of the golden cases reads others of its shape."""
        document = data.draw(st.sampled_from(DOCUMENTS))
        self.check(document)
        self.check(document)
        for kind in (NUMBERS, OTHERS):
            self.check(numbers_changed(document, data.draw, kind))  # type: ignore[arg-type]

    def test_every_message_is_read_the_same(self) -> None:
        """So is each with each special number in all its places."""
        used = 0
        for document in DOCUMENTS:
            self.check(document)
            self.check(document)
            used += self.check(document)
            for number in SPECIAL:
                other = numbers_changed(document, lambda each: each, number)
                self.check(other)  # type: ignore[arg-type]
        self.assertGreater(used, 30, "shapes without a plan compare nothing")

    def test_usual_devices(self) -> None:
        """A dual relay and several sensors have a plan; other numbers and another Id use it."""
        document = self.learn(DUAL)
        document["ENERGY"]["Power"] = [-130.5, 85]
        self.assertTrue(self.check(document))
        document = self.learn(CLIMATE)
        document["DS18B20"] = {"Id": "0316A2790A12", "Temperature": 5}
        document["AM2301"]["Temperature"] = -0.0
        self.assertTrue(self.check(document))

    def test_what_does_not_fit(self) -> None:
        """A null, an array of another length, no answer of a sensor, an infinite number."""
        for path, value in (
            (("ENERGY", "Total"), None),
            (("ENERGY", "Total"), float("inf")),
            (("ENERGY", "Total"), True),
            (("ENERGY", "Power"), [1, 2, 3]),
            (("ENERGY", "Power"), 12),
            (("ENERGY", "Power"), [1, None]),
            (("ESP32", "Temperature"), -300),
            (("ENERGY", "TotalStartTime"), 3),
        ):
            document = self.learn(DUAL) if value is None else json.loads(DUAL)
            self.assertTrue(self.check(json.loads(DUAL)))
            document[path[0]][path[1]] = value
            self.assertFalse(self.check(document), f"{path} {value}")
        document = self.learn(CLIMATE)
        for value in (85, 85.0, -127):
            document["DS18B20"]["Temperature"] = value
            self.assertFalse(self.check(document), str(value))

    def test_switches(self) -> None:
        """Each state is a shape, and so are a device's own words for them."""
        document = self.learn(CLIMATE)
        for text in ("ON", "AN", "AUS", "other"):
            document["Switch1"] = text
            for _ in range(3):
                self.check(document)
        other = Device("lamp", DeviceNaming({}), DeviceConfig("lamp", states=("ON", "OFF")))
        document["Switch1"] = "OFF"
        self.check(document)
        self.device = other
        for _ in range(3):
            self.check(document)

    def test_a_text_that_changes(self) -> None:
        """No plan is made where a text at the top is another each time."""
        made: list[object] = []
        self.patch(plans, "_Model", lambda *what: made.append(what))
        document = json.loads(CLIMATE)
        for number in range(100):
            document["Card"] = f"{number}"
            self.check(document)
        self.assertEqual(made, [])

    def test_time_of_the_device(self) -> None:
        """A message that waited has its own time."""
        document = self.learn('{"Epoch":1700000000,"A":{"Temperature":1},"B":{"Temperature":2}}')
        (metric, _) = self.plans.decode(document, self.device, 1_800_000_000 * 10**9, print)
        self.assertEqual(metric.time_ns, 1_700_000_000 * 10**9)
