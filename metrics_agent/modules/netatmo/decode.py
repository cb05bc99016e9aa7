"""From the API's devices to metrics. Pure.

Each device and module has its own time and is read by itself: one that is lost, or odd, costs no
other anything. What may be missing is missing often: the names, the list of modules, the whole
``dashboard_data`` of a module out of reach.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from attrs import frozen

from metrics_agent.catalogue import CLIMATE, DEVICE
from metrics_agent.json_payload import number
from metrics_agent.metric import FieldValue, Metric, Series

__all__ = ["Drop", "StationNames", "StationReading", "decode"]

Drop = Callable[[str, str, str], None]
"""Takes what was left out: the device, a snake_case reason, and the key."""

_ACCOUNT: Final = "Netatmo"
"""Whose it is where no device is known."""

_NS_PER_S: Final = 1_000_000_000
_EARLIEST_S: Final = 1_325_376_000
"""The stations are sold since 2012: an older time is none."""

_DAY_S: Final = 24 * 3600
_MAX_ID: Final = 64
_MAX_DEVICES: Final = 10_000


@frozen
class _Quantity:
    """How one key is read.

    Attributes:
        key: of the payload.
        field: ours.
        scale: from the payload's unit to ours.
        digits: to round to; the sums of a rain gauge carry the noise of floats.
        none_below: such values mean that there is no reading.
        none: the value that means so.
    """

    key: str
    field: str
    scale: float = 1.0
    digits: int | None = None
    none_below: float | None = None
    none: float | None = None


_climate = CLIMATE.key
_device = DEVICE.key

_CLIMATE: Final = (
    _Quantity("Temperature", _climate("temperature")),
    _Quantity("min_temp", _climate("temperature_min")),
    _Quantity("max_temp", _climate("temperature_max")),
    _Quantity("Humidity", _climate("humidity")),
    _Quantity("Pressure", _climate("pressure")),
    _Quantity("AbsolutePressure", _climate("absolute_pressure")),
    _Quantity("CO2", _climate("co2")),
    _Quantity("Noise", _climate("noise")),
    _Quantity("health_idx", _climate("health_index")),
    _Quantity("Rain", _climate("rain"), digits=3),
    _Quantity("sum_rain_1", _climate("rain_1h"), digits=3),
    _Quantity("sum_rain_24", _climate("rain_24h"), digits=3),
    _Quantity("WindStrength", _climate("wind_speed")),
    _Quantity("WindAngle", _climate("wind_angle"), none_below=0),
    _Quantity("GustStrength", _climate("gust_speed")),
    _Quantity("GustAngle", _climate("gust_angle"), none_below=0),
    _Quantity("max_wind_str", _climate("wind_speed_max")),
    _Quantity("max_wind_angle", _climate("wind_angle_max"), none_below=0),
)
_STATE: Final = (
    _Quantity("wifi_status", _device("wifi_status"), none=255),
    _Quantity("rf_status", _device("rf_status"), none=255),
    _Quantity("battery_percent", _device("battery")),
    _Quantity("battery_vp", _device("battery_voltage"), scale=0.001, digits=3, none=65535),
)
_ONLINE: Final = _device("online")
_DATA_AGE: Final = _device("data_age")


@frozen
class StationNames:
    """What devices are called.

    Attributes:
        overrides: names by hardware address, lower case without blanks.
        original: as the Go agent named stations.
    """

    overrides: Mapping[str, str]
    original: bool = False

    @classmethod
    def of(cls, overrides: Mapping[str, str], *, original: bool = False) -> StationNames:
        """Make it of overrides as the user wrote them."""
        return cls({_plain_id(key): name for key, name in overrides.items()}, original)

    def friendly(self, device_id: str, device: Mapping[str, Any]) -> str:
        """Return the name of a device, empty if it has none."""
        override = self.overrides.get(device_id)
        if override is not None:
            return override
        keys = ("module_name", "station_name", "home_name")
        if self.original:
            keys = ("station_name", "module_name", "home_name")
        for key in keys:
            name = device.get(key)
            if isinstance(name, str) and name.strip():
                return name.strip()
        return ""


@frozen
class StationReading:
    """What one device said.

    Attributes:
        device: its hardware address.
        friendly: its name, or empty.
        time_s: of the reading; None where it is about now, and never a repetition.
        online: it can be reached, and its reading is not old.
        metrics: its points.
    """

    device: str
    friendly: str
    time_s: float | None
    online: bool
    metrics: tuple[Metric, ...]


def decode(
    document: Mapping[str, Any],
    naming: StationNames,
    *,
    received_ns: int,
    stale_after_s: float,
    drop: Drop,
) -> Iterator[StationReading]:
    """Read an answer of getstationsdata or gethomecoachsdata.

    Args:
        document: the JSON object, see `answers.judge`.
        naming: what devices are called.
        received_ns: the time of receipt.
        stale_after_s: how old a reading may be.
        drop: takes what was left out.

    Yields:
        A reading for each device and module; for one that can no longer be reached, and still has
        a fresh reading, one for that and one for its state.
    """
    decoder = _Decoder(naming, received_ns, _server_time_s(document), stale_after_s, drop)
    for count, device in enumerate(_devices(document, drop)):
        if count == _MAX_DEVICES:
            drop(_ACCOUNT, "too_many_devices", "devices")
            return
        yield from decoder.read(device)


def _devices(document: Mapping[str, Any], drop: Drop) -> Iterator[Mapping[str, Any]]:
    """Yield stations, each followed by its modules."""
    for station in _objects(document["body"].get("devices"), "devices", drop):
        yield station
        yield from _objects(station.get("modules"), "modules", drop)


def _objects(value: object, where: str, drop: Drop) -> Iterator[Mapping[str, Any]]:
    if not isinstance(value, list):
        return
    for each in value:
        if isinstance(each, dict):
            yield each
        else:
            drop(_ACCOUNT, "not_an_object", where)


def _server_time_s(document: Mapping[str, Any]) -> float | None:
    server_s = number(document.get("time_server"))
    return server_s if server_s is not None and server_s > _EARLIEST_S else None


def _plain_id(text: str) -> str:
    """Return a hardware address without the blanks that have been seen in some."""
    return "".join(text.split()).lower()


class _Decoder:
    """Reads the devices of one answer."""

    def __init__(
        self,
        naming: StationNames,
        received_ns: int,
        server_time_s: float | None,
        stale_after_s: float,
        drop: Drop,
    ) -> None:
        self._naming = naming
        self._received_ns = received_ns
        # The server's clock is the one that its times are to be held against.
        self._now_s = server_time_s if server_time_s is not None else received_ns / _NS_PER_S
        self._stale_after_s = stale_after_s
        self._drop = drop

    def read(self, device: Mapping[str, Any]) -> Iterator[StationReading]:
        """Read a device."""
        raw_id = device.get("_id")
        device_id = _plain_id(raw_id)[:_MAX_ID] if isinstance(raw_id, str) else ""
        if not device_id:
            self._drop(_ACCOUNT, "no_id", "a device without _id")
            return
        if device.get("last_seen") == 0 and device.get("last_message") == 0:
            # It was set up and never heard; what else is said of it are fillings.
            self._drop(device_id, "never_seen", "all values")
            return
        friendly = self._naming.friendly(device_id, device)
        tags = {"vendor": "netatmo", "device": device_id, "friendly": friendly}
        dashboard = device.get("dashboard_data")
        time_s = self._time_s(device, dashboard)
        has_reading = isinstance(dashboard, dict) and bool(dashboard)
        if has_reading and time_s is not None and self._now_s - time_s > self._stale_after_s:
            self._drop(device_id, "stale_reading", "all values")
            has_reading = False
        online = has_reading and device.get("reachable") is not False
        if has_reading:
            points = self._points(device_id, device, tags, time_s, online)
            yield StationReading(device_id, friendly, time_s, online, tuple(points))
        if not online:
            # About now, whatever the time of its last reading was.
            yield StationReading(device_id, friendly, None, online, (self._offline(tags, time_s),))

    def _time_s(self, device: Mapping[str, Any], dashboard: object) -> float | None:
        """Return the time of a device's reading, or the nearest to it that is known."""
        own = dashboard.get("time_utc") if isinstance(dashboard, dict) else None
        for value in (own, device.get("last_seen"), device.get("last_status_store")):
            time_s = number(value)
            if time_s is not None and _EARLIEST_S < time_s <= self._now_s + _DAY_S:
                return time_s
        return None

    def _offline(self, tags: Mapping[str, str], time_s: float | None) -> Metric:
        fields: dict[str, FieldValue] = {_ONLINE: False}
        if time_s is not None:
            fields[_DATA_AGE] = max(0.0, float(self._now_s - time_s))
        return Metric(Series(DEVICE.name, tags), fields, self._received_ns)

    def _points(
        self,
        device_id: str,
        device: Mapping[str, Any],
        tags: Mapping[str, str],
        time_s: float | None,
        online: bool,
    ) -> Iterator[Metric]:
        time_ns = self._received_ns if time_s is None else round(time_s * 1000) * 1_000_000
        climate = self._fields(_CLIMATE, device["dashboard_data"], device_id)
        if device.get("co2_calibrating") is True and climate.pop("co2", None) is not None:
            self._drop(device_id, "co2_calibrating", "CO2")
        if climate:
            kind = device.get("type")
            sensor = kind if isinstance(kind, str) and kind else "unknown"
            yield Metric(Series(CLIMATE.name, {**tags, "sensor": sensor}), climate, time_ns)
        if online:
            state = self._fields(_STATE, device, device_id)
            yield Metric(Series(DEVICE.name, tags), {_ONLINE: True, **state}, time_ns)

    def _fields(
        self, quantities: tuple[_Quantity, ...], source: Mapping[str, Any], device_id: str
    ) -> dict[str, FieldValue]:
        fields: dict[str, FieldValue] = {}
        for quantity in quantities:
            if quantity.key not in source:
                continue
            raw = source[quantity.key]
            value = number(raw)
            if value is None:
                reason = "null_value" if raw is None else "not_a_number"
                self._drop(device_id, reason, quantity.key)
            elif value == quantity.none or (
                quantity.none_below is not None and value < quantity.none_below
            ):
                self._drop(device_id, "sentinel", quantity.key)
            else:
                # Adding zero makes -0.0 what it is.
                value = value * quantity.scale + 0.0
                fields[quantity.field] = (
                    value if quantity.digits is None else round(value, quantity.digits)
                )
        return fields
