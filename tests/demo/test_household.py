"""The devices' messages, read by the module that is to read them."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.demo.household import make_household
from metrics_agent.demo.sent import Sent
from metrics_agent.demo.tasmota import WAKE_EVERY, SimulatedDevice
from metrics_agent.metric import Metric
from metrics_agent.modules.tasmota.config import TasmotaSettings
from metrics_agent.modules.tasmota.service import TasmotaModule
from metrics_agent.testing import FakeContext

NOW_S = 1_770_000_000.0
PLUG, LAUNDRY, HOUSE, GREENHOUSE, METER, CISTERN = make_household(NOW_S)
DEVICES = (PLUG, LAUNDRY, HOUSE, GREENHOUSE, METER, CISTERN)

# The firmware's order; what is not there in a device's message may be left out.
ENERGY_ORDER = [
    *("TotalStartTime", "Total", "Yesterday", "Today", "TodaySumImport", "TodaySumExport"),
    *("ExportActive", "Power", "ApparentPower", "ReactivePower", "Factor"),
    *("Frequency", "Voltage", "Current"),
]
AIR = {"dew_point", "humidity", "temperature"}


def decoded(
    device: SimulatedDevice, *more: Sent, now_s: float = NOW_S
) -> tuple[list[Metric], FakeContext]:
    """Give a module what a device sends after it has connected."""
    context = FakeContext()
    TasmotaModule(TasmotaSettings(), context).startService()
    messages = (device.announcement(), *device.telemetry(now_s), *more)
    for message in messages:
        context.deliver(message.topic, message.payload, retain=message.retain)
    return context.metrics, context


def series(metric: Metric) -> tuple[str, ...]:
    """Return measurement, channel and sensor of a metric."""
    tags = metric.series.tags
    return (metric.series.measurement, tags.get("channel", ""), tags.get("sensor", ""))


def fields(device: SimulatedDevice, *more: Sent) -> dict[tuple[str, ...], dict[str, Any]]:
    """Return the fields of what a device's messages become, by series."""
    metrics, _ = decoded(device, *more)
    return {series(metric): dict(metric.fields) for metric in metrics}


def sensor(device: SimulatedDevice, now_s: float = NOW_S) -> dict[str, Any]:
    """Return the SENSOR message of a device."""
    document: dict[str, Any] = json.loads(device.telemetry(now_s)[1].payload)
    return document


class Decoded(SynchronousTestCase):
    """Each device becomes the measurements it is there to show."""

    def test_plug(self) -> None:
        """One channel, without a tag for it."""
        found = fields(PLUG)
        self.assertEqual(
            set(found), {("electricity", "", ""), ("device", "", ""), ("switch", "1", "")}
        )
        self.assertEqual(
            set(found["electricity", "", ""]),
            {
                *("energy_total", "energy_yesterday", "energy_today", "power", "power_factor"),
                *("apparent_power", "reactive_power", "voltage", "current"),
            },
        )

    def test_two_channels(self) -> None:
        """The sum of the counters has no channel; the module asks for them, the device answers."""
        metrics, context = decoded(LAUNDRY)
        (asked,) = context.published
        self.assertEqual(asked.topic, "cmnd/tasmota_0A0E02/EnergyTotal")
        command = asked.topic.rpartition("/")[2]
        answer = LAUNDRY.answer(command, asked.payload, NOW_S)
        self.assertEqual(answer.topic, "stat/tasmota_0A0E02/RESULT")
        context.deliver(answer.topic, answer.payload)
        found = {series(metric): metric.fields for metric in metrics}
        whole = found["electricity", "", ""]
        channels = [found["electricity", number, ""] for number in "12"]
        self.assertEqual(set(whole), {"energy_total", "energy_today", "energy_yesterday"})
        for field, total in whole.items():
            self.assertApproximates(total, sum(channel[field] for channel in channels), 0.002)
        self.assertIn(("switch", "2", ""), found)
        self.assertIn(("climate", "", "ANALOG"), found)

    def test_three_phases(self) -> None:
        """Counters for each phase, and a power that is negative while the sun shines."""
        found = fields(HOUSE)
        for phase in "123":
            self.assertGreaterEqual(
                set(found["electricity", phase, ""]),
                {"power", "voltage", "frequency", "energy_total", "energy_exported_total"},
            )
        self.assertEqual(
            set(found["electricity", "", ""]), {"energy_imported_today", "energy_exported_today"}
        )
        powers = [sensor(HOUSE, NOW_S + second)["ENERGY"]["Power"][1] for second in range(180)]
        self.assertLess(min(powers), -500)
        self.assertGreater(max(powers), 200)

    def test_greenhouse(self) -> None:
        """Many sensors; Fahrenheit and mmHg become Celsius and hPa, the dead one gives nothing."""
        found = fields(GREENHOUSE)
        self.assertEqual(
            {key for key in found if key[0] == "climate"},
            {
                ("climate", "", name)
                for name in ("DS18B20-1", "DS18B20-2", "BME280", "SCD40", "BH1750", "PMS5003")
            },
        )
        air = found["climate", "", "BME280"]
        self.assertEqual(set(air), {*AIR, "pressure"})
        self.assertApproximates(air["temperature"], 24, 3.1)
        self.assertApproximates(air["pressure"], 1009, 6.1)
        self.assertLess(air["dew_point"], air["temperature"])
        self.assertEqual(set(found["climate", "", "SCD40"]), {*AIR, "co2", "eco2"})
        self.assertLessEqual({"pm1", "pm25", "pm10"}, set(found["climate", "", "PMS5003"]))
        self.assertEqual(set(found["switch", "", "Switch1"]), {"state"})
        _, context = decoded(GREENHOUSE)
        self.assertEqual(context.dropped, {"null_value": 3})

    def test_smart_meter(self) -> None:
        """Power by phase, both counters; it both draws and feeds."""
        found = fields(METER)
        whole = found["electricity", "", "MT175"]
        self.assertEqual(set(whole), {"energy_total", "energy_exported_total", "power"})
        phases = [found["electricity", number, "MT175"]["power"] for number in "123"]
        self.assertAlmostEqual(sum(phases), whole["power"], places=2)
        powers = [sensor(METER, NOW_S + second)["MT175"]["P"] for second in range(240)]
        self.assertLess(min(powers), -400)
        self.assertGreater(max(powers), 700)

    def test_cistern(self) -> None:
        """Awake for moments: online counts, offline does not; it was just booted."""
        found = fields(CISTERN, CISTERN.availability(online=True))
        self.assertEqual(set(found["climate", "", "SHT3X"]), AIR)
        self.assertEqual(set(found["climate", "", "SR04"]), {"distance"})
        _, context = decoded(CISTERN)
        self.assertIn("battery", str(context.lines()))
        online = CISTERN.availability(online=True)
        (metric,) = context.deliver(online.topic, online.payload, retain=True)
        self.assertEqual(dict(metric.fields), {"online": True})
        offline = CISTERN.availability(online=False)
        self.assertEqual(context.deliver(offline.topic, offline.payload, retain=True), [])

    def test_nothing_else_is_dropped_or_unknown(self) -> None:
        """The module has no complaint about any device."""
        for device in DEVICES:
            if device is not GREENHOUSE:
                _, context = decoded(device)
                self.assertEqual(context.dropped, {}, device.names[0])
                self.assertEqual(context.logged("warn"), [], device.names[0])

    def test_names_come_from_the_announcement(self) -> None:
        """The first friendly name; of a channel its own."""
        names = {
            (metric.series.tags["friendly"], series(metric)[1])
            for device in DEVICES
            for metric in decoded(device)[0]
            if metric.series.measurement == "electricity"
        }
        self.assertIn(("Fridge", ""), names)
        self.assertIn(("Washing machine", "1"), names)
        self.assertIn(("Dryer", "2"), names)
        self.assertIn(("House", "3"), names)


class Firmware(SynchronousTestCase):
    """The messages are those of the firmware."""

    def test_times(self) -> None:
        """Local time without zone by default; with SetOption52 and TimeFormat 1 both others."""
        self.assertEqual(sensor(PLUG)["Time"], "2026-02-02T02:40:00")
        self.assertNotIn("Epoch", sensor(PLUG))
        self.assertEqual(sensor(HOUSE)["Time"], "2026-02-02T02:40:00+00:00")
        self.assertEqual(sensor(HOUSE)["Epoch"], 1_770_000_000)

    def test_energy_keys_stand_in_the_firmware_s_order(self) -> None:
        for device in (PLUG, LAUNDRY, HOUSE):
            keys = list(sensor(device)["ENERGY"])
            self.assertEqual(keys, [key for key in ENERGY_ORDER if key in keys])

    def test_shapes(self) -> None:
        """Scalars, arrays, and what the channels share."""
        one, two, three = (sensor(device)["ENERGY"] for device in (PLUG, LAUNDRY, HOUSE))
        self.assertFalse([key for key, value in one.items() if isinstance(value, list)])
        self.assertEqual(
            {key for key, value in two.items() if isinstance(value, list)},
            {"Power", "ApparentPower", "ReactivePower", "Factor", "Current"},
        )
        self.assertEqual(
            {key for key, value in three.items() if not isinstance(value, list)},
            {"TotalStartTime", "TodaySumImport", "TodaySumExport"},
        )

    def test_quantities_fit_each_other(self) -> None:
        for second in range(0, 300, 7):
            energy = sensor(PLUG, NOW_S + second)["ENERGY"]
            apparent = energy["Voltage"] * energy["Current"]
            self.assertApproximates(apparent, energy["ApparentPower"], 1)
            self.assertApproximates(apparent * energy["Factor"], energy["Power"], 1, str(energy))

    def test_counters_follow_the_power(self) -> None:
        """What a counter gains in an hour is the mean of the power; today ends at midnight."""
        before, after = (sensor(HOUSE, NOW_S + second)["ENERGY"] for second in (0, 3600))
        gained_wh = 1000 * (after["Total"][0] - before["Total"][0])
        powers = [sensor(HOUSE, NOW_S + second)["ENERGY"]["Power"][0] for second in range(3600)]
        self.assertApproximates(gained_wh, sum(powers) / 3600, 2)
        midnight_s = NOW_S - NOW_S % 86400 + 86400
        last, first = (sensor(PLUG, midnight_s + second)["ENERGY"] for second in (-1, 1))
        self.assertApproximates(last["Today"], first["Yesterday"], 0.002)
        self.assertLess(first["Today"], 0.001)
        self.assertGreaterEqual(first["Total"], last["Total"])

    def test_unit_keys_are_there_only_if_needed(self) -> None:
        for device in DEVICES:
            message = sensor(device)
            if device is not LAUNDRY:
                self.assertEqual("TempUnit" in message, '"Temperature"' in json.dumps(message))
        self.assertEqual(sensor(GREENHOUSE)["PressureUnit"], "mmHg")

    def test_the_dead_sensor_is_null(self) -> None:
        self.assertEqual(
            sensor(GREENHOUSE)["AM2301-05"],
            {"Temperature": None, "Humidity": None, "DewPoint": None},
        )

    def test_announcement(self) -> None:
        """It is retained, and has the names and what sleeps."""
        announced = CISTERN.announcement()
        self.assertEqual(announced.topic, "tasmota/discovery/02DE400A0E06/config")
        self.assertTrue(announced.retain)
        content = json.loads(announced.payload)
        self.assertEqual((content["dslp"], content["ver"]), (1, 1))
        self.assertEqual(content["fn"], ["Cistern", None])
        self.assertEqual(json.loads(PLUG.announcement().payload)["dslp"], 0)

    def test_topics_follow_the_full_topic(self) -> None:
        state, _ = HOUSE.telemetry(NOW_S)
        self.assertEqual(state.topic, "tasmota_0A0E03/tele/STATE")
        self.assertFalse(state.retain)
        self.assertEqual(HOUSE.availability(online=False).topic, "tasmota_0A0E03/tele/LWT")
        self.assertEqual(PLUG.topic_of("cmnd", "#"), "cmnd/tasmota_0A0E01/#")

    def test_topics_and_names_of_devices_differ(self) -> None:
        for name in ("mac", "topic", "names"):
            self.assertEqual(len({getattr(device, name) for device in DEVICES}), 6, name)

    def test_commands(self) -> None:
        """A counter is never set; what a device has not got is unknown."""
        self.assertEqual(PLUG.answer("EnergyTotal", b"7", NOW_S).payload, b'{"Command":"Error"}')
        for device in (GREENHOUSE, METER, CISTERN):
            answer = device.answer("EnergyTotal", b"", NOW_S)
            self.assertEqual(answer.payload, b'{"Command":"Unknown"}')
        self.assertEqual(PLUG.answer("Power9", b"\xff", NOW_S).payload, b'{"Command":"Unknown"}')
        scalars = json.loads(PLUG.answer("energytotal", b"", NOW_S).payload)["EnergyTotal"]
        self.assertEqual(list(scalars), ["Total", "Yesterday", "Today"])
        self.assertFalse([value for value in scalars.values() if isinstance(value, list)])


class Schedule(SynchronousTestCase):
    """What a device sends at which interval."""

    def sent(self, device: SimulatedDevice, interval: int) -> list[tuple[str, bool]]:
        """Return the ends of the topics, and whether the messages are retained."""
        return [
            (message.topic.rpartition("/")[2], message.retain)
            for message in device.due(interval, NOW_S)
        ]

    def test_first_interval_announces_the_device(self) -> None:
        """Online, announcement, telemetry, in this order."""
        for device in DEVICES:
            self.assertEqual(
                self.sent(device, 0),
                [("LWT", True), ("config", True), ("STATE", False), ("SENSOR", False)],
            )
            self.assertEqual(next(device.due(0, NOW_S)).payload, b"Online")

    def test_later_intervals_are_telemetry_alone(self) -> None:
        for interval in range(1, 2 * WAKE_EVERY):
            self.assertEqual(self.sent(PLUG, interval), [("STATE", False), ("SENSOR", False)])

    def test_sleeping_device_goes_offline_and_wakes_again(self) -> None:
        (offline,) = CISTERN.due(1, NOW_S)
        self.assertEqual((offline.payload, offline.retain), (b"Offline", True))
        for interval in range(2, WAKE_EVERY):
            self.assertEqual(self.sent(CISTERN, interval), [])
        self.assertEqual(self.sent(CISTERN, WAKE_EVERY), self.sent(CISTERN, 0))


class Simulation(SynchronousTestCase):
    """The values are functions of time and seed."""

    def test_the_same_seed_gives_the_same_messages(self) -> None:
        for device, twin in zip(DEVICES, make_household(NOW_S), strict=True):
            self.assertEqual(device.telemetry(NOW_S), twin.telemetry(NOW_S))

    def test_another_seed_gives_others(self) -> None:
        for device, other in zip(DEVICES, make_household(NOW_S, seed=1), strict=True):
            self.assertEqual(device.mac, other.mac)
            self.assertNotEqual(device.telemetry(NOW_S)[1], other.telemetry(NOW_S)[1])

    def test_values_change_within_seconds(self) -> None:
        for device in DEVICES:
            seen = {
                json.dumps({**sensor(device, NOW_S + second), "Time": 0, "Epoch": 0})
                for second in range(30)
            }
            self.assertGreater(len(seen), 3, device.names[0])
