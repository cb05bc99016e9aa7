"""What devices may take of memory, announced or not, and what their series may."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from sys import getsizeof
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.bounded import BoundedCache
from metrics_agent.limits import (
    SERIES_CACHE_BYTES,
    TASMOTA_DEVICE_BYTES,
    TASMOTA_LONG_NAMES_BYTES,
    TASMOTA_STRANGERS,
)
from metrics_agent.line_protocol import Encoder
from metrics_agent.metric import Metric
from metrics_agent.modules.tasmota import registry as registry_module
from metrics_agent.modules.tasmota.device import Device, DeviceNaming
from metrics_agent.modules.tasmota.discovery import DeviceConfig
from metrics_agent.modules.tasmota.registry import Registry
from metrics_agent.modules.tasmota.topics import DEFAULT_PREFIXES, TopicShape

WIDE = "\N{SNOWMAN}"


def config(number: int, names: int = 1, name: str = "Plug ") -> DeviceConfig:
    """Make an announcement as the parser would: texts that no other device shares."""
    return DeviceConfig(
        f"tasmota_{number:06X}",
        f"{name}{number}",
        tuple(f"{name}{number}.{index}" for index in range(names)),
        mac=f"{number:012X}",
    )


def memory_of(fill: Callable[[], object]) -> int:
    """Return the bytes that are in use after something and were not before."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    kept = fill()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert kept is not None
    return after - before


class RoomTests(SynchronousTestCase):
    """The bounds on devices, in bytes."""

    def setUp(self) -> None:
        self.registry = Registry(
            DeviceNaming({}), [TopicShape.of("%prefix%/%topic%/", DEFAULT_PREFIXES)]
        )

    def discover(self, number: int, *args: object) -> Device | None:
        return self.registry.discover(f"{number:012X}", config(number, *args))  # type: ignore[arg-type]

    def test_an_ordinary_device_takes_no_more_than_its_share(self) -> None:
        """That is the share of a plug with the series of its first message."""
        encoder = Encoder(series_per_device=0)

        def fill() -> object:
            for number in range(3000):
                device = self.discover(number)
                assert device is not None
                encoder.encode(Metric(device.series("electricity"), {"power": 1.0}, 1))
            return self.registry

        self.assertLessEqual(memory_of(fill) / 3000, TASMOTA_DEVICE_BYTES)

    def test_devices_with_long_names_are_bounded_together(self) -> None:
        """What they take beyond their share has a limit, by measurement too."""
        known = 0

        def fill() -> object:
            nonlocal known
            for number in range(2000):
                known += self.discover(number, 32, 100 * WIDE) is not None
            return self.registry

        size = memory_of(fill)
        self.assertLess(known, 400)
        self.assertLess(size, 1.1 * (TASMOTA_LONG_NAMES_BYTES + known * TASMOTA_DEVICE_BYTES))

    def test_ordinary_devices_are_taken_beside_them(self) -> None:
        """A hostile device must not keep out others."""
        for number in range(2000):
            self.discover(number, 32, 100 * WIDE)
        known = len(self.registry)
        for number in range(5000, 6000):
            self.assertIsNotNone(self.discover(number))
        self.assertEqual(len(self.registry), known + 1000)

    def test_room_is_given_back(self) -> None:
        """By a device that is removed, and by one that announces fewer names."""
        for number in range(200):
            self.discover(number, 5)
        for number in range(100):
            self.discover(number)
            self.registry.remove(f"{number:012X}")
        for number in range(100, 200):
            self.discover(number, 9)
            self.discover(number)
        self.assertEqual(
            self.registry._size_bytes,
            sum(registry_module._size_of(config(number)) for number in range(100, 200)),
        )

    def test_a_change_without_room_leaves_the_device_as_it_was(self) -> None:
        """Its series keep their tags."""
        before = self.discover(1)
        with mock.patch.object(registry_module, "TASMOTA_LONG_NAMES_BYTES", 0):
            self.assertIsNone(self.discover(1, 32, 100 * WIDE))
        self.assertIs(self.registry.find("tele/tasmota_000001"), before)

    def test_strangers_are_bounded_in_bytes(self) -> None:
        """With topics as long as can be, fewer of them are remembered."""
        most = TASMOTA_STRANGERS * TASMOTA_DEVICE_BYTES

        def fill() -> object:
            for number in range(8000):
                self.registry.stranger(f"tele/{200 * WIDE}{number}")
                self.registry.stranger(f"stat/{200 * WIDE}{number}")
            return self.registry

        self.assertLess(memory_of(fill), 1.1 * most)
        self.assertGreater(len(self.registry._strangers), 1000)
        total = sum(each.size_bytes for each in self.registry._strangers.values())
        self.assertEqual(self.registry._strangers_bytes, total)
        for number in range(7900, 8000):
            base = f"tele/{200 * WIDE}{number}"
            self.registry.discover("A", DeviceConfig(base.removeprefix("tele/")))
        total = sum(each.size_bytes for each in self.registry._strangers.values())
        self.assertEqual(self.registry._strangers_bytes, total)


class SeriesTests(SynchronousTestCase):
    """Series of devices beyond the first of each share one bound."""

    def test_stranger_on_thousands_of_bases(self) -> None:
        """Each further base costs the same; what all take is counted, and given back."""
        registry = Registry(DeviceNaming({}), [])
        bases = [
            "/".join(("tele", "stat")[number >> level & 1] for level in range(10)) + "/x"
            for number in range(1024)
        ]
        with mock.patch.object(registry_module, "getsizeof", wraps=getsizeof) as measured:
            devices = {id(registry.stranger(base)) for base in bases}
        self.assertEqual(len(devices), 1)
        self.assertLess(measured.call_count, 3 * len(bases))
        self.assertGreater(registry._strangers_bytes, sum(map(getsizeof, bases)))
        for number, base in enumerate(bases):
            registry.discover(f"{number}", DeviceConfig("x", full_topic=base, mac=f"{number}"))
        self.assertEqual((registry._strangers_bytes, registry._strangers), (0, {}))

    def test_series_that_payloads_make_up_are_bounded(self) -> None:
        """As of thousands of devices, each with hundreds of sensors with the longest names."""
        naming = DeviceNaming({})
        encoder = Encoder(series_per_device=0)

        def fill() -> object:
            devices = [Device(f"tasmota_{number}", naming) for number in range(100)]
            for number in range(40_000):
                series = devices[number % 100].series("climate", sensor=f"{number:0128}")
                encoder.encode(Metric(series, {"temperature": 1.0}, 1))
            return devices

        self.assertLess(memory_of(fill), 1.1 * SERIES_CACHE_BYTES)

    def test_a_large_first_series_counts_too(self) -> None:
        """Else the share of a device would depend on its first payload."""
        naming = DeviceNaming({})
        device = Device("plug", naming)
        device.series("climate", sensor=128 * WIDE)
        self.assertGreater(naming.series.size_bytes, 500)
        self.assertIs(
            device.series("climate", sensor=128 * WIDE),
            device.series("climate", sensor=128 * WIDE),
        )

    def test_devices_do_not_share_series(self) -> None:
        """Not even with what the same device was before its last announcement."""
        naming = DeviceNaming({}, series=BoundedCache(100_000))
        one, other = Device("one", naming), Device("one", naming, DeviceConfig("one", "Named"))
        for _ in range(2):
            for device, friendly in ((one, None), (other, "Named")):
                for channel in ("", "1", "2"):
                    series = device.series("switch", channel)
                    self.assertEqual(series.tags.get("friendly"), friendly)
                    self.assertIs(device.series("switch", channel), series)
