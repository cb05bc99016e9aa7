"""Every measurement, tag and field this agent writes: name, unit, type, and the Go agent's name.

Decoders take their names from here when they are imported, so that a misspelled field is an error
at import and not a new column in a user's database; at run time they hold plain strings::

    POWER = ELECTRICITY.key("power")

``docs/metrics.md`` is generated from here: ``python -m metrics_agent.catalogue > docs/metrics.md``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Final, Literal

from attrs import field, frozen

__all__ = [
    "BATTERY",
    "CLIMATE",
    "COUNTER",
    "DEMO",
    "DEVICE",
    "ELECTRICITY",
    "INVERTER",
    "MEASUREMENTS",
    "METRICS_AGENT",
    "OTHER",
    "STATE",
    "SWITCH",
    "TEXT",
    "Field",
    "Kind",
    "Measurement",
    "Tag",
    "as_markdown",
]

Kind = Literal["float", "int", "bool", "str"]
"""The type that a field keeps; every measured number is a float."""

_NAME = re.compile(r"[a-z][a-z0-9_]*(?:<[a-z]+>)?|<[a-z]+>")
_PLACEHOLDER = re.compile(r"<[a-z]+>\Z")


@frozen
class Field:
    """What one field means.

    Attributes:
        name: lower_snake_case; with ``<what>`` at its end it names a family of fields, and
            ``<what>`` alone any field that the measurement does not name.
        unit: as people write it; empty for a plain number.
        kind: its type, which never changes.
        original_name: what the Go agent called it (for Tasmota), None if it did not write it.
        original_scale: our value times this is the Go agent's.
        doc: what the name does not say.
        written: whether a module writes it today; its name is reserved if not.
    """

    name: str
    unit: str = ""
    kind: Kind = "float"
    original_name: str | None = field(default=None, kw_only=True)
    original_scale: float = field(default=1.0, kw_only=True)
    doc: str = field(default="", kw_only=True)
    written: bool = field(default=True, kw_only=True)

    def covers(self, name: str) -> bool:
        """Return whether a name is this field's or one of its family's."""
        stem = _PLACEHOLDER.sub("", self.name)
        return name == self.name or (stem != self.name and name.startswith(stem) and name != stem)


@frozen
class Tag:
    """What one tag means and when it is there."""

    name: str
    doc: str


@frozen
class Measurement:
    """A set of fields with one meaning and one set of units, whatever the vendor.

    Raises:
        ValueError: a name is not lower_snake_case or there twice.
    """

    name: str
    doc: str
    tags: tuple[Tag, ...]
    fields: tuple[Field, ...]

    def __attrs_post_init__(self) -> None:
        for described in (self.tags, self.fields):
            names = [each.name for each in described]
            for name in names:
                if not _NAME.fullmatch(name) or names.count(name) > 1:
                    raise ValueError(f"{self.name}: {name!r} is an invalid or duplicate field name")

    def field(self, name: str) -> Field:
        """Return the description of a field.

        Raises:
            LookupError: there is none of that name; the text names the nearest.
        """
        for each in self.fields:
            if each.covers(name):
                return each
        from difflib import get_close_matches

        near = get_close_matches(name, [each.name for each in self.fields], n=1)
        hint = f", did you mean {near[0]!r}?" if near else ""
        raise LookupError(f"{self.name} has no field {name!r}{hint}")

    def key(self, name: str) -> str:
        """Return the name itself if there is such a field; for use at import.

        Raises:
            LookupError: there is none of that name.
        """
        self.field(name)
        return sys.intern(name)

    def originals(self) -> dict[str, tuple[str, float]]:
        """Return the Go agent's name and scale by our name, where it wrote the field."""
        return {
            each.name: (each.original_name, each.original_scale)
            for each in self.fields
            if each.original_name is not None
        }


_VENDOR = Tag("vendor", "the family: `tasmota`, `opendtu`, `netatmo` ...")
_DEVICE = Tag("device", "the device's stable id: topic, serial number or hardware address")
_FRIENDLY = Tag("friendly", "the name people gave it; absent until it is known")
_CHANNEL = Tag("channel", "from 1, where the device reports several alike; absent on their sum")
_SENSOR = Tag("sensor", "the sensor within the device, such as `BME280` or `DS18B20-1`")
_COMMON = (_VENDOR, _DEVICE, _FRIENDLY)

_WH_PER_KWH: Final = 1000.0
_MA_PER_A: Final = 1000.0


def _alike(
    unit: str, *names: str, kind: Kind = "float", doc: str = "", written: bool = True
) -> Iterator[Field]:
    """Describe fields that differ in nothing but their names."""
    return (Field(name, unit, kind, doc=doc, written=written) for name in names)


def _energy(name: str, original_name: str, doc: str = "") -> Field:
    """Describe energy in kWh, which the Go agent wrote in Wh."""
    return Field(name, "kWh", original_name=original_name, original_scale=_WH_PER_KWH, doc=doc)


ELECTRICITY: Final = Measurement(
    "electricity",
    "Power and energy of plugs, meters, inverters and sensor chips.",
    (
        *_COMMON,
        Tag("channel", f"{_CHANNEL.doc}; `l1_l2`, `l2_l3`, `l3_l1` for what is between two phases"),
        Tag("sensor", "a meter or chip beside the device's own; `phase` of a three-phase inverter"),
    ),
    (
        Field("power", "W", original_name="power", doc="negative when fed into the grid"),
        Field("voltage", "V", original_name="voltage"),
        Field("current", "A", original_name="current", original_scale=_MA_PER_A),
        Field("frequency", "Hz", original_name="frequency"),
        Field("power_factor", original_name="power_factor", doc="-1 to 1"),
        Field("apparent_power", "VA", original_name="apparent_power"),
        Field("reactive_power", "var", original_name="reactive_power"),
        _energy("energy_today", "sum_power_today", "since midnight of the device"),
        _energy("energy_yesterday", "sum_power_yesterday"),
        _energy(
            "energy_total",
            "sum_power_total",
            "taken from the grid, or produced; devices reset it and it may jump",
        ),
        _energy("energy_exported_total", "sum_power_total_out", "fed into the grid"),
        *_alike("kWh", "energy_total_t1", "energy_exported_total_t1", doc="first tariff"),
        *_alike("kWh", "energy_total_t2", "energy_exported_total_t2", doc="second tariff"),
        *_alike("kWh", "energy_total_t3", "energy_exported_total_t3", doc="third tariff"),
        *_alike("kWh", "energy_total_t4", "energy_exported_total_t4", doc="fourth tariff"),
        *_alike(
            "kWh", "energy_imported_today", "energy_exported_today", doc="balanced over the phases"
        ),
        Field("energy_imported_total", "kWh", doc="where a meter counts it beside its total"),
        *_alike("kvarh", "reactive_energy_imported_total", "reactive_energy_exported_total"),
        Field("current_neutral", "A"),
        Field("phase_angle", "°"),
        Field("power_max", "W", doc="since the device's last reset of it"),
        Field("energy", "kWh", doc="in a span of time that the device does not tell from others"),
        Field("reactive_energy", "kvarh"),
        Field("reactive_energy_total", "kvarh"),
        Field("energy_distance", "kWh/100km", doc="that a vehicle takes"),
        *_alike("W", "power_imported", "power_exported", "power_dc"),
        Field("efficiency", "%"),
        Field("irradiation", "%", doc="of the power the panel is rated for"),
    ),
)

CLIMATE: Final = Measurement(
    "climate",
    "What sensors report about their surroundings: air, light, weather, soil, distance.",
    (*_COMMON, _SENSOR, _CHANNEL),
    (
        Field("temperature", "°C", original_name="temperature"),
        *_alike("°C", "temperature_min", "temperature_max", doc="today"),
        Field("object_temperature", "°C", doc="of what an infrared thermometer looks at"),
        *_alike("°C", "dew_point", "heat_index"),
        Field("temperature_delta", "K", doc="between two temperatures"),
        Field("target_temperature", "°C", doc="that a thermostat is set to"),
        Field("humidity", "%", original_name="humidity", doc="relative"),
        Field("heating_demand", "%", doc="how much a thermostat asks for"),
        Field("target_humidity", "%", doc="that a humidifier is set to"),
        Field("active", kind="bool", doc="a thermostat heats, cools or does else than wait"),
        Field("absolute_humidity", "g/m3"),
        Field("pressure", "hPa", original_name="pressure", doc="as the device gives it first"),
        Field("absolute_pressure", "hPa", doc="at the station, beside a `pressure` at sea level"),
        Field("sea_pressure", "hPa", doc="at sea level, beside a `pressure` at the station"),
        Field("co2", "ppm", original_name="co2"),
        Field("eco2", "ppm", doc="estimated from other gases"),
        Field("tvoc", "ppb"),
        Field("co", "ppm"),
        *_alike("ug/m3", "voc", "no", "no2", "n2o", "ozone", "so2"),
        Field("radon", "Bq/m3"),
        Field("voc_index", doc="100 is the average of the last day"),
        Field("nox_index", doc="1 is the average of the last day"),
        *_alike("", "voc_raw", "nox_raw"),
        Field("formaldehyde", "mg/m3", written=False),
        Field("hcho", "ppb", doc="formaldehyde, as a part of the air"),
        Field("gas", "ppm"),
        Field("gas_lel", "%", doc="of the lower explosive limit"),
        *_alike("ppm", "ammonia", "butane", "carbon_monoxide", "ethanol", "hydrogen", "methane"),
        *_alike("ppm", "nitrogen_dioxide", "propane"),
        Field("oxygen", "%"),
        Field("oxygen_pressure", "hPa", doc="its part of the air's"),
        Field("gas_resistance", "kOhm"),
        Field("air_quality", doc="the sensor's own index"),
        Field("air_quality_epa", doc="by the method of 2024 of the US EPA"),
        Field("health_index", doc="0 healthy to 4 unhealthy"),
        *_alike("ug/m3", "pm1", "pm25", "pm4", "pm10"),
        *_alike("ug/m3", "pm1_cf", "pm25_cf", "pm10_cf", doc="calibrated for a factory's air"),
        *_alike(
            "1/dl",
            *("particles_03", "particles_05", "particles_1"),
            *("particles_25", "particles_5", "particles_10"),
            doc="particles larger than 0.3, 0.5, 1, 2.5, 5, 10 um",
        ),
        *_alike("1/cm3", "number_pm05", "number_pm1", "number_pm25", "number_pm4", "number_pm10"),
        Field("particle_size", "um", doc="typical"),
        Field("noise", "dB", original_name="noise"),
        Field("noise_a_weighted", "dBA", doc="as people hear it"),
        Field("illuminance", "lx"),
        *_alike(
            "",
            *("illuminance_infrared", "illuminance_broadband", "illuminance_white", "darkness"),
            doc="the sensor's own unit",
        ),
        Field("uv_index"),
        Field("uv_level", doc="the sensor's own unit"),
        Field("uv_power", "W/m2"),
        Field("irradiance", "W/m2"),
        Field("rain", "mm", doc="since the message before"),
        *_alike("mm", "rain_event", "rain_total", doc="as the sensor counts it"),
        Field("rain_rate", "mm/h"),
        Field("rain_1h", "mm", doc="in the last hour"),
        Field("rain_24h", "mm", doc="in the last day"),
        Field("precipitation", "mm", doc="in a span of time that the device does not say"),
        *_alike("km/h", "wind_speed", "wind_speed_avg", "wind_speed_min", "wind_speed_max"),
        Field("wind_angle", "°", doc="where it comes from; absent when calm"),
        Field("wind_angle_avg", "°"),
        Field("wind_angle_max", "°", doc="of `wind_speed_max`"),
        Field("gust_speed", "km/h"),
        Field("gust_angle", "°"),
        Field("lightning_distance", "km"),
        Field("lightning_energy", doc="the sensor's own unit"),
        Field("soil_moisture", "%"),
        Field("soil_moisture_raw"),
        Field("soil_fertility", "uS/cm"),
        Field("ph"),
        Field("redox", "mV"),
        Field("conductivity", "uS/cm"),
        *_alike("mg/l", "dissolved_oxygen", "chlorine"),
        Field("hydrolysis", "%", doc="of what a pool's cell can do"),
        Field("hydrolysis_rate", "g/h", doc="of chlorine, by a pool's cell"),
        Field("water_depth", "cm"),
        Field("flow_rate", "l/min"),
        *_alike("°C", "flow_temperature", "return_temperature", doc="of a heating system"),
        *_alike("°C", "hot_water_temperature", "outdoor_temperature", doc="of a heating system"),
        Field("exhaust_temperature", "°C", doc="of a boiler"),
        Field("modulation", "%", doc="of a burner"),
        Field("radiation", "uSv/h", doc="average of ten minutes"),
        Field("radiation_1min", "uSv/h", doc="average of one minute"),
        Field("distance", "cm"),
        Field("area", "m2"),
        Field("speed", "km/h", doc="of anything but wind"),
        Field("weight", "kg"),
        Field("blood_glucose", "mg/dl"),
        Field("people", doc="how many are seen"),
        Field("analog", doc="raw value of an analogue input"),
    ),
)

DEVICE: Final = Measurement(
    "device",
    "How a device itself is doing.",
    (*_COMMON, Tag("sensor", "a chip or battery sensor within it; absent on the device's own row")),
    (
        Field("online", kind="bool", doc="by the device's last will or its availability topic"),
        Field(
            "last_seen",
            "s",
            doc="since anything came from the device; by the agent, every `last_seen_interval`",
        ),
        Field(
            "stale",
            kind="bool",
            doc="true once when the device is overdue, false once when it is back; by the agent",
        ),
        Field("uptime", "s"),
        Field("signal_quality", "%", doc="of the radio link, 100 is best"),
        Field("signal", "dBm"),
        Field("signal_relative", "dB", doc="against a level that only the device knows"),
        Field("link_quality", doc="Zigbee: 0 to 255"),
        Field("wifi_status", doc="Netatmo: lower is better, 86 bad, 56 good"),
        Field("rf_status", doc="Netatmo: lower is better, 90 bad, 60 good"),
        Field("wifi_reconnects"),
        Field("wifi_downtime", "s"),
        Field("mqtt_count", doc="connections to the broker since the device's start"),
        Field("battery", "%"),
        Field("battery_voltage", "V"),
        Field("battery_low", kind="bool"),
        Field("voltage", "V", doc="the chip's supply"),
        Field("temperature", "°C", doc="the chip's, not the room's"),
        Field("heap", "KiB", doc="free memory"),
        Field("load_average"),
        Field("data_rate", "B/s", doc="of a network or a disk"),
        Field("data_size", "B", doc="of files, memory or what a network has carried"),
        Field("data_age", "s", doc="since the device last heard of what it reports about"),
    ),
)

SWITCH: Final = Measurement(
    "switch",
    "What a device has switched, and its own switches.",
    (*_COMMON, _CHANNEL, Tag("sensor", "an input such as `Switch1`; absent on outputs")),
    (
        Field("state", kind="bool", doc="true is on"),
        Field("dimmer", "%"),
        Field("position", "%", doc="of a shutter, 100 is open"),
        Field("white", "%", doc="of a lamp's white channel"),
        Field("fan_speed"),
        Field("color_temperature", "mired"),
    ),
)

STATE: Final = Measurement(
    "state",
    "What a detector says.",
    (*_COMMON, _SENSOR),
    (
        Field("contact", kind="bool", doc="true is closed"),
        Field("locked", kind="bool", doc="true is locked"),
        *_alike(
            "",
            *("occupancy", "presence", "vibration", "tamper", "smoke", "water_leak", "motion"),
            *("moving", "gas", "carbon_monoxide", "cold", "heat", "light", "sound"),
            *("glass_break", "problem", "running", "unsafe", "plugged_in", "power", "charging"),
            *("connected", "update_available"),
            kind="bool",
        ),
        *_alike("", "overpower", "overtemperature", kind="bool", written=False),
        Field("<object>", kind="bool", doc="what the module `hadiscovery` has no name for"),
    ),
)

COUNTER: Final = Measurement(
    "counter",
    "Counting inputs; water and gas meters; durations and sums of money.",
    (*_COMMON, _CHANNEL, _SENSOR),
    (
        Field("count", doc="pulses; some devices begin again at each message"),
        Field("duration", "s", doc="of an input, a run or whatever the device measures in time"),
        Field("monetary", doc="in the currency and per the quantity that the publisher has"),
        Field("volume", "m3"),
        Field("volume_today", "m3"),
        *_alike("m3", "gas", "water", doc="counted"),
        Field("stored_volume", "m3", doc="in a tank"),
        Field("flow", "m3/h"),
    ),
)

INVERTER: Final = Measurement(
    "inverter",
    "How a solar inverter and the radio link to it are doing; its power is in `electricity`.",
    _COMMON,
    (
        *_alike("", "reachable", "producing", kind="bool"),
        Field("temperature", "°C"),
        Field("limit_relative", "%"),
        Field("limit_absolute", "W"),
        Field("data_age", "s", doc="since the inverter was last heard"),
        Field("events", doc="in its log"),
        Field("signal", "dBm"),
        *_alike("", "tx_request", "tx_re_request", "rx_success", doc="radio messages"),
        *_alike("", "rx_fail_nothing", "rx_fail_partial", "rx_fail_corrupt", doc="radio messages"),
    ),
)

BATTERY: Final = Measurement(
    "battery",
    "A battery that stores energy; the one that feeds a device is in `device`.",
    (*_COMMON, _CHANNEL, _SENSOR),
    (
        Field("charge", "%"),
        Field("voltage", "V"),
        Field("current", "A", doc="negative when it is discharged"),
        Field("power", "W", doc="negative when it is discharged"),
        *_alike(
            "W", "charge_power", "discharge_power", doc="where each is measured; never negative"
        ),
        Field("output_power", "W", doc="to the house, of a battery with an inverter's input"),
        Field("health", "%", doc="of its capacity when it was new"),
        Field("cycles", doc="of charging, since it was made"),
        Field("temperature", "°C"),
        Field("capacity", "Ah", doc="when it is full"),
        Field("capacity_available", "Ah", doc="what is left"),
        Field("charge_consumed", "Ah", doc="since it was full, negative"),
        *_alike("kWh", "energy_charged_total", "energy_discharged_total"),
        *_alike("V", "cell_voltage_min", "cell_voltage_avg", "cell_voltage_max"),
        *_alike("°C", "cell_temperature_min", "cell_temperature_max"),
        Field("energy", "kWh", doc="stored"),
    ),
)

OTHER: Final = Measurement(
    "other",
    "Numbers of the module `hadiscovery` whose class has no place elsewhere.",
    (*_COMMON, _SENSOR),
    (Field("<object>", doc="named by its object id, in the unit of the publisher"),),
)

TEXT: Final = Measurement(
    "text",
    "Texts of the module `hadiscovery`, if its setting `texts` is true.",
    (*_COMMON, _SENSOR),
    (Field("<object>", kind="str", doc="named by its object id"),),
)

METRICS_AGENT: Final = Measurement(
    "metrics_agent",
    "This agent itself, every `self_metrics_interval`. Counters begin at 0 with the process.",
    (
        Tag(
            "module",
            "the module, `tasmota` or `tasmota:garage`; `agent` for the whole; `mqtt` for a "
            "connection to an MQTT broker; `output` for the output",
        ),
        Tag("broker", "of an MQTT connection: its address, the first one if several are set"),
        Tag("client_id", "of an MQTT connection: the id by which the broker knows it"),
        Tag("module_instance", "of an MQTT connection: the module that it belongs to"),
        Tag("output", "of the output: the setting, of an address without its query"),
    ),
    (
        Field(
            "state",
            kind="int",
            doc="0 stopped, 1 starting, 2 running, 3 backing off, 4 parked, 5 wrong settings; "
            "of an MQTT connection 2 connected, 3 not connected; of the output 2 works, 3 cannot "
            "be written to",
        ),
        Field(
            "state_text",
            kind="str",
            doc="the same as a word, which also has `new`, `stopping` (0) and `clearing` (3)",
        ),
        Field("state_since", "s", doc="how long the module has been in this state"),
        Field("uptime", "s"),
        Field("restarts", kind="int", doc="of the module, all of them"),
        Field("restarts_recent", kind="int", doc="those within `module_restart_window`"),
        Field(
            "messages",
            kind="int",
            doc="that the module was given, of MQTT brokers and WebSockets",
        ),
        Field(
            "metrics",
            kind="int",
            doc="accepted; of the whole, written; of the output, taken by its reader",
        ),
        Field("last_metric", "s", doc="since the module's last metric"),
        Field(
            "last_error",
            kind="str",
            doc="the last one; of a connection and the output why it does not work",
        ),
        Field("last_error_place", kind="str", doc="where in the module: `message`, `tick` ..."),
        Field("last_error_since", "s", doc="since the module's last error"),
        Field("errors", kind="int", doc="all of them"),
        Field("errors_<place>", kind="int", doc="by the place in the module: `errors_message` ..."),
        Field("dropped", kind="int", doc="metrics and messages that were left, all of them"),
        Field("dropped_<reason>", kind="int", doc="by reason: `dropped_invalid_json` ..."),
        Field("replaced", kind="int", doc="characters, names and numbers the format cannot carry"),
        Field("cut", kind="int", doc="values of tags, to 256 bytes"),
        Field("left_out", kind="int", doc="fields without a finite value"),
        Field("queue_metrics", kind="int", doc="waiting for the reader"),
        Field("queue_bytes", "B", "int", doc="waiting for the reader"),
        Field("delivery_lag", "s", doc="how long the oldest line that was not taken has waited"),
        Field(
            "reactor_lag_p99",
            "s",
            doc="by how much timers were late in the last interval (10 min at most): the 99th "
            "percentile",
        ),
        Field("reactor_lag_max", "s", doc="the same: the latest one"),
        Field("cpu", "s", doc="processor time, user and system"),
        Field("memory", "B", "int", doc="resident; Linux only"),
        Field("open_files", kind="int", doc="descriptors; Linux only"),
        Field("reloads", kind="int", doc="that put a configuration into force"),
        Field("reloads_rejected", kind="int", doc="that changed nothing"),
        Field("log_suppressed", kind="int", doc="log lines folded or not written"),
        Field("version", kind="str", doc="of the agent"),
        Field("instance", kind="str", doc="the setting `instance`, else the host's name"),
    ),
)

DEMO: Final = Measurement(
    "demo",
    "The module `demo`.",
    (Tag("module", "the module's name"),),
    (
        Field("sequence", kind="int", doc="from 1 at each start"),
        Field("value", doc="a sine wave"),
    ),
)

MEASUREMENTS: Final = (
    ELECTRICITY,
    CLIMATE,
    DEVICE,
    SWITCH,
    STATE,
    COUNTER,
    INVERTER,
    BATTERY,
    OTHER,
    TEXT,
    METRICS_AGENT,
    DEMO,
)
"""All of them, in the order of docs/metrics.md."""

_NOT_WRITTEN: Final = "not written yet"

_INTRODUCTION: Final = """\
# Metrics

Generated by `python -m metrics_agent.catalogue`; do not edit.

Every measured number is a float, also where a device sends 230: a field never changes its type.
What a device does not know (null, not a number, a value that means "no reading") is left out; a
true 0 is a value. The time, in nanoseconds, is that of receipt, or that of the measurement where
the device gives it in a form that can be relied on (see *Time* in the module's README). One
measurement has one set of units, whatever the vendor.

Tag values that come from devices are made safe: control characters become `_`, zero-width, bidi and
other invisible characters are taken away, and what is longer than 256 bytes is cut. Two devices
whose names are equal after that share a series if nothing else distinguishes them.

*Not written yet*: the name is reserved, no module writes the field today.

`field_names = "original"` writes the names and units of the Go agent instead. The column
*original* gives them: our value times the factor. Where a module differs, its README says so.
"""


def _rows(measurement: Measurement) -> Iterator[str]:
    yield f"\n## `{measurement.name}`\n\n{measurement.doc}\n\n| tag | meaning |\n|---|---|\n"
    for tag in measurement.tags:
        yield f"| `{tag.name}` | {tag.doc} |\n"
    yield "\n| field | unit | type | meaning | original |\n|---|---|---|---|---|\n"
    for each in measurement.fields:
        original = f"`{each.original_name}`" if each.original_name else ""
        if each.original_scale != 1:
            original += f" x {each.original_scale:g}"
        doc = each.doc if each.written else "; ".join(filter(None, (_NOT_WRITTEN, each.doc)))
        yield f"| `{each.name}` | {each.unit} | {each.kind} | {doc} | {original} |\n"


def as_markdown() -> str:
    """Return the text of docs/metrics.md."""
    return _INTRODUCTION + "".join(row for each in MEASUREMENTS for row in _rows(each))


if __name__ == "__main__":
    sys.stdout.write(as_markdown())
