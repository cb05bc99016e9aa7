"""What the demo's DTU publishes by MQTT: its messages, a topic for each value; pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from metrics_agent.demo.opendtu import Dtu
from metrics_agent.demo.sent import Sent

__all__ = ["DTU_ONLINE", "as_published"]

_BASE: Final = "solar"
DTU_ONLINE: Final = Sent(f"{_BASE}/dtu/status", b"online", retain=True)
"""What the DTU publishes when it has connected."""

_BATTERY: Final = {
    "soc": "stateOfCharge",
    "voltage": "voltage",
    "current": "current",
    "power": "instantaneousPower",
}

Json = dict[str, Any]


def as_published(dtu: Dtu, now_s: float) -> Iterator[Sent]:
    """Yield what the DTU publishes of the messages that are due; to be called once a second."""
    for message in map(json.loads, dtu.messages(now_s)):
        for inverter in message.get("inverters", ()):
            yield from _inverter(inverter, now_s)
        for key, leaf in message.get("total", {}).items():
            yield _value(f"ac/{key.lower()}", leaf)
        for key, topic in _BATTERY.items() if "battery" in message else ():
            yield _value(f"battery/{topic}", message["battery"][key])
        if "power_meter" in message:
            yield _value("powermeter/powertotal", message["power_meter"]["Power"])


def _inverter(inverter: Json, now_s: float) -> Iterator[Sent]:
    base = inverter["serial"]
    yield Sent(f"{_BASE}/{base}/name", inverter["name"].encode(), retain=True)
    for key in ("reachable", "producing"):
        yield _text(f"{base}/status/{key}", int(inverter[key]))
    for key in ("limit_relative", "limit_absolute"):
        yield _text(f"{base}/status/{key}", inverter[key])
    yield _text(f"{base}/status/last_update", int(now_s - inverter["data_age"]))
    for key, count in inverter["radio_stats"].items():
        yield _text(f"{base}/radio/{key}", count)
    for group in ("AC", "INV"):
        yield from _values(f"{base}/0", inverter[group]["0"])
    for index, string in inverter["DC"].items():
        channel = f"{base}/{int(index) + 1}"
        yield Sent(f"{_BASE}/{channel}/name", string["name"]["u"].encode(), retain=True)
        yield from _values(channel, string)


def _values(base: str, leaves: Json) -> Iterator[Sent]:
    for key, leaf in leaves.items():
        if "v" in leaf:
            yield _value(f"{base}/{key.replace(' ', '').lower()}", leaf)


def _value(topic: str, leaf: Json) -> Sent:
    return _text(topic, f"{leaf['v']:.{leaf['d']}f}")


def _text(topic: str, value: object) -> Sent:
    return Sent(f"{_BASE}/{topic}", str(value).encode())
