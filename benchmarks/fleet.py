"""The devices of the benchmarks: what they announce and what they send.

The payloads have the shape of Tasmota's SENSOR messages. Two numbers in each are set while it is
sent, at fixed width so that packets can be prepared: a sequence number of the device, by which
the reader counts loss, and a stamp, by which it measures latency. Both are numbers that the
subject carries from the payload to the line as they are.
"""

from __future__ import annotations

import json
from typing import Final

from attrs import frozen

__all__ = [
    "FIELDS",
    "FIRST_SEQUENCE",
    "FIRST_STAMP",
    "KINDS",
    "MIX",
    "SEQUENCE",
    "STAMP",
    "TELEMETRY",
    "Kind",
    "announcement",
    "device_name",
    "kind_of",
    "payload",
    "sensor_topic",
]

SEQUENCE: Final = b"@SEQNO@"
STAMP: Final = b"@STAMP_US@"
"""Placeholders; what replaces them has the same width."""

FIRST_SEQUENCE: Final = 1_000_000
FIRST_STAMP: Final = 1_000_000_000
"""Where the numbers start: above what has fewer digits, since JSON knows no leading zeros."""

TELEMETRY: Final = "tele/+/SENSOR"
"""What a subject subscribes to."""

FIELDS: Final = {
    "ApparentPower": "apparent_power",
    "Current": "current",
    "Factor": "power_factor",
    "Frequency": "frequency",
    "Power": "power",
    "ReactivePower": "reactive_power",
    "Today": "energy_today",
    "Total": "energy_total",
    "Voltage": "voltage",
    "Yesterday": "energy_yesterday",
}
"""Keys of ENERGY in a plug's payload that become fields, and the fields' names."""


@frozen
class Kind:
    """A kind of device.

    Attributes:
        name: for the report.
        template: its payload with the placeholders, and ``%(w)d`` and the like for values that
            differ from device to device but never in length.
        mark: the field with the sequence number as it stands in a line; once a message.
    """

    name: str
    template: str
    mark: bytes


_PLUG: Final = Kind(
    "plug",
    '{"Time":"2025-02-11T07:30:00","ENERGY":{"TotalStartTime":"2023-06-01T08:12:44",'
    '"Total":@SEQNO@.207,"Yesterday":3.915,"Today":@STAMP_US@,"Period":41,"Power":%(watt)d,'
    '"ApparentPower":501,"ReactivePower":94,"Factor":0.98,"Frequency":49.98,"Voltage":%(volt)d,'
    '"Current":2.%(milliampere)d}}',
    b"energy_total=",
)
_DUAL: Final = Kind(
    "dual relay",
    '{"Time":"2025-02-11T07:30:00","ENERGY":{"TotalStartTime":"2023-06-01T08:12:44",'
    '"Total":@SEQNO@.207,"Yesterday":3.915,"Today":@STAMP_US@,"Period":[41,0],'
    '"Power":[%(watt)d,0],"ApparentPower":[501,0],"ReactivePower":[94,0],"Factor":[0.98,0.00],'
    '"Frequency":50,"Voltage":%(volt)d,"Current":[2.%(milliampere)d,0.000]},"ESP32":{"Temperature":46.1},"TempUnit":"C"}',
    b"energy_total=",
)
_CLIMATE: Final = Kind(
    "climate",
    '{"Time":"2025-02-11T07:30:00","Switch1":"OFF","AM2301":{"Temperature":21.4,"Humidity":48.1,'
    '"DewPoint":10.0},"DS18B20":{"Id":"0316A279C1FF","Temperature":61.2},'
    '"BH1750":{"Illuminance":@SEQNO@},"SGP30":{"eCO2":@STAMP_US@,"TVOC":%(watt)d,'
    '"aHumidity":9.1},"TempUnit":"C"}',
    b"illuminance=",
)
KINDS: Final = (_PLUG, _DUAL, _CLIMATE)

MIX: Final = (_PLUG, _PLUG, _DUAL, _PLUG, _CLIMATE)
"""The order of kinds in a mixed fleet: three plugs, a dual relay and a climate sensor of five."""


def kind_of(index: int, *, mixed: bool) -> Kind:
    """Return the kind of a device."""
    return MIX[index % len(MIX)] if mixed else _PLUG


def device_name(index: int) -> str:
    """Return the name of a device in its topics."""
    return f"bench_{index:05d}"


def sensor_topic(index: int) -> str:
    """Return the topic a device sends its SENSOR messages on."""
    return f"tele/{device_name(index)}/SENSOR"


def payload(index: int, *, mixed: bool = False) -> bytes:
    """Return the payload of a device with the placeholders in it."""
    values = {
        "watt": 100 + index % 900,
        "volt": 225 + index % 11,
        "milliampere": 100 + index * 7 % 900,
    }
    return (kind_of(index, mixed=mixed).template % values).encode()


def announcement(index: int) -> tuple[str, bytes]:
    """Return topic and payload of a device's (retained) discovery message."""
    mac = f"A4CF{index:08X}"
    name = device_name(index)
    config = {
        "ip": f"10.{index >> 16 & 255}.{index >> 8 & 255}.{index & 255}",
        "dn": f"Device {index}",
        "fn": [f"Plug {index}", None, None, None, None, None, None, None],
        "hn": f"{name}-{index % 8192:04d}",
        "mac": mac,
        "md": "Nous A1T",
        "ty": 0,
        "if": 0,
        "cam": 0,
        "ofln": "Offline",
        "onln": "Online",
        "state": ["OFF", "ON", "TOGGLE", "HOLD"],
        "sw": "14.4.1",
        "t": name,
        "ft": "%prefix%/%topic%/",
        "tp": ["cmnd", "stat", "tele"],
        "rl": [1, 0, 0, 0, 0, 0, 0, 0],
        "swc": [-1, -1, -1, -1],
        "swn": [None, None, None, None],
        "btn": [0, 0, 0, 0],
        "so": dict.fromkeys(("4", "11", "13", "17", "20", "30", "68", "73", "82", "114", "117"), 0),
        "lk": 0,
        "lt_st": 0,
        "bat": 0,
        "dslp": 0,
        "sho": [],
        "sht": [],
        "ver": 1,
    }
    text = json.dumps(config, separators=(",", ":"))
    return f"tasmota/discovery/{mac}/config", text.encode()
