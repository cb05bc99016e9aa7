"""Whatever a message has and no point gets is counted by its reason and named in the log."""

from __future__ import annotations

from collections import Counter

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.json_payload import loads
from metrics_agent.metric import FieldValue
from metrics_agent.modules.tasmota.decode import decode_document
from metrics_agent.modules.tasmota.device import Device, DeviceNaming
from metrics_agent.modules.tasmota.discovery import DeviceConfig

RECEIVED_NS = 1_700_000_000_000_000_000
Fields = dict[str, FieldValue]


def decode(
    payload: str, states: tuple[str, str] = ("OFF", "ON")
) -> tuple[Fields, list[tuple[str, str]]]:
    """Return all fields of a message's points, and reason and place of what is left out."""
    drops: list[tuple[str, str]] = []
    document = loads(payload.encode())
    assert isinstance(document, dict)
    metrics = decode_document(
        document,
        Device("plug", DeviceNaming({}), DeviceConfig("plug", states=states)),
        RECEIVED_NS,
        lambda reason, where: drops.append((reason, where)),
        {},
    )
    return {name: value for each in metrics for name, value in each.fields.items()}, drops


class SecondValueTests(SynchronousTestCase):
    """Two values of one field: the first is taken, the other counted."""

    def check(self, payload: str, fields: Fields, named: str) -> None:
        """Check what is taken, and that one second value is named by its key."""
        found, drops = decode(payload)
        self.assertEqual(found, fields)
        self.assertEqual([reason for reason, _ in drops], ["same_field_twice"])
        self.assertTrue(drops[0][1].startswith(f"{named}, which is "), drops)

    def test_energy(self) -> None:
        self.check('{"ENERGY":{"Total":5,"Total_in":7}}', {"energy_total": 5.0}, "ENERGY.Total_in")

    def test_zigbee(self) -> None:
        for first, second, field in (
            ("OccupiedHeatingSetpoint", "CurrentTemperatureSetPoint", "target_temperature"),
            ("Temperature", "LocalTemperature", "temperature"),
        ):
            self.check(
                f'{{"ZbReceived":{{"0x5ADF":{{"Device":"0x5ADF","{first}":21,"{second}":22}}}}}}',
                {field: 21.0},
                f"0x5ADF.{second}",
            )

    def test_sensor(self) -> None:
        self.check('{"PMS5003":{"PM1":3,"PM1_0":4}}', {"pm1": 3.0}, "PMS5003.PM1_0")

    def test_detectors(self) -> None:
        """An alarm is not hidden by another detector's silence, in whatever order they come."""
        for keys in ('"Smoke":0,"Fire":1', '"Smoke":1,"Fire":0'):
            found, drops = decode(
                f'{{"ZbReceived":{{"0x5ADF":{{"Device":"0x5ADF",{keys}}}}}}}',
            )
            self.assertEqual((found, drops), ({"smoke": True}, []))


class UnknownTests(SynchronousTestCase):
    """Readings that no table knows."""

    def test_numbers_as_text(self) -> None:
        """A number in quotes is a reading too; a text that is none says nothing."""
        for name, content in (
            ("BME280", '"Temperature":21.5,"Odd":"12.5","Serial":"AB12"'),
            ("ENERGY", '"Power":1,"Odd":"12.5","Serial":"AB12"'),
            ("SM", '"1_8_0":1,"Odd":"12.5","Serial":"AB12"'),
        ):
            drops = decode(f'{{"{name}":{{{content}}}}}')[1]
            self.assertEqual(drops, [("unmapped_key", f"{name}.Odd")])

    def test_values_at_the_top(self) -> None:
        """Numbers in quotes and items of an array are named there too; states are not numbers."""
        drops = decode('{"Odd":"12.5","Serial":"AB12","Switch1":"ON","X":[{"Temperature":1},5]}')[1]
        self.assertEqual(drops, [("unmapped_key", "X-2"), ("unmapped_key", "Odd")])
        self.assertEqual(decode('{"Switch1":"1"}', states=("0", "1")), ({"state": True}, []))

    def test_keys_of_an_unknown_object(self) -> None:
        """The object is named and each of its readings, up to a limit."""
        drops = decode('{"Foo":{"Bar":1,"Baz":"2","Serial":"AB12"}}')[1]
        self.assertEqual(
            drops,
            [("unknown_object", "Foo"), ("unmapped_key", "Foo.Bar"), ("unmapped_key", "Foo.Baz")],
        )
        many = ",".join(f'"Odd {key}":{key}' for key in range(500))
        counts = Counter(reason for reason, _ in decode(f'{{"Foo":{{{many}}}}}')[1])
        self.assertEqual(counts, {"unknown_object": 1, "unmapped_key": 32, "too_many_keys": 1})

    def test_keys_of_a_current_transformer(self) -> None:
        drops = decode('{"ANALOG":{"CTEnergy1":{"Energy":1,"Foo":7}}}')[1]
        self.assertEqual(drops, [("unmapped_key", "ANALOG.CTEnergy1.Foo")])

    def test_long_arrays(self) -> None:
        """What is behind the last item that is taken is counted, wherever the array is."""
        many = ",".join(["1"] * 33)
        objects = ",".join(['{"Temperature":1}'] * 33)
        for payload, where in (
            (f'{{"INA3221":{{"Voltage":[{many}]}}}}', "INA3221.Voltage"),
            (f'{{"Probe":[{objects}]}}', "Probe"),
            ('{"ENERGY":{"Power":1,"TotalTariff":[1,2,3]}}', "ENERGY.TotalTariff"),
        ):
            self.assertEqual(decode(payload)[1], [("too_many_channels", where)])


class RawCurrentTests(SynchronousTestCase):
    """A Zigbee plug's current that its bridge has not divided yet."""

    def test_power_shows_that_it_is_raw(self) -> None:
        for others in (
            '"RMSVoltage":231,"RMSCurrent":60,"ActivePower":13',
            '"RMSCurrent":60,"ActivePower":13',
        ):
            found, drops = decode(f'{{"ZbReceived":{{"0x5ADF":{{"Device":"0x5ADF",{others}}}}}}}')
            self.assertNotIn("current", found)
            self.assertEqual([reason for reason, _ in drops], ["unit_not_known"])

    def test_amperes(self) -> None:
        """Poor power factors, a power that is fed in, and no power at all leave it as it is."""
        for others, current in (
            ('"RMSVoltage":231,"RMSCurrent":0.4,"ActivePower":0', 0.4),
            ('"RMSVoltage":231,"RMSCurrent":10,"ActivePower":-2300', 10.0),
            ('"RMSVoltage":231,"RMSCurrent":60', 60.0),
        ):
            found, drops = decode(f'{{"ZbReceived":{{"0x5ADF":{{"Device":"0x5ADF",{others}}}}}}}')
            self.assertEqual((found["current"], drops), (current, []))
