"""A simulated Tasmota device: its messages in the shapes of firmware 15.2; pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import Any, Final

from attrs import frozen

from metrics_agent.demo.curves import Curve
from metrics_agent.demo.sent import Sent, to_json

__all__ = ["WAKE_EVERY", "SimulatedDevice"]

WAKE_EVERY: Final = 5
"""How many intervals a device on a battery has from one wake to the next."""

_BOOT_S: Final = 3
"""How long a device that slept has run when it sends: each wake is a boot."""

Json = dict[str, Any]


@frozen
class SimulatedDevice:
    """A device.

    Attributes:
        mac: 12 upper-case hexadecimal digits.
        names: FriendlyName1 and following; the first is the DeviceName too.
        signal: of the radio at its place, in dBm.
        started_s: when it was booted, seconds since the epoch; of no effect while it sleeps.
        sensor: the content of SENSOR at a time, without ``Time``.
        energy_total: the answer to the command EnergyTotal; None: there is no such command.
        full_topic: FullTopic.
        relays: how many it has; all are on.
        utc: SetOption52 and TimeFormat are 1: its times carry offset and epoch.
        battery: the charge in percent of a device that sleeps between two wakes.
    """

    mac: str
    names: tuple[str, ...]
    signal: Curve
    started_s: float
    sensor: Callable[[float], Json]
    energy_total: Callable[[float], Json] | None = None
    full_topic: str = "%prefix%/%topic%/"
    relays: int = 0
    utc: bool = False
    battery: Curve | None = None

    @property
    def topic(self) -> str:
        """The device's name in its topics."""
        return f"tasmota_{self.mac[-6:]}"

    def topic_of(self, prefix: str, subtopic: str) -> str:
        """Return a topic: ``cmnd``, ``stat`` or ``tele``, and the part behind the base."""
        base = self.full_topic.replace("%prefix%", prefix)
        return base.replace("%topic%", self.topic) + subtopic

    def due(self, interval: int, now_s: float) -> Iterator[Sent]:
        """Yield what it sends at an interval: 0 is the first.

        A device that sleeps connects, announces itself and sends once in `WAKE_EVERY` intervals,
        and goes offline an interval later.
        """
        step = interval if self.battery is None else interval % WAKE_EVERY
        if step == 0:
            yield self.availability(online=True)
            yield self.announcement()
        if step == 0 or self.battery is None:
            yield from self.telemetry(now_s)
        elif step == 1:
            yield self.availability(online=False)

    def availability(self, *, online: bool) -> Sent:
        """Return the retained LWT."""
        return Sent(self.topic_of("tele", "LWT"), b"Online" if online else b"Offline", retain=True)

    def announcement(self) -> Sent:
        """Return the retained discovery message."""
        return Sent(f"tasmota/discovery/{self.mac}/config", to_json(self._config()), retain=True)

    def telemetry(self, now_s: float) -> tuple[Sent, Sent]:
        """Return STATE and SENSOR, in the firmware's order."""
        times = self._times(now_s)
        return (
            Sent(self.topic_of("tele", "STATE"), to_json(times | self._state(now_s))),
            Sent(self.topic_of("tele", "SENSOR"), to_json(times | self.sensor(now_s))),
        )

    def answer(self, command: str, argument: bytes, now_s: float) -> Sent:
        """Return the reply to a command, in any case; its argument is the payload."""
        reply: Json = {"Command": "Unknown"}
        if command.upper() == "ENERGYTOTAL" and self.energy_total is not None:
            # With an argument it would set the counters, which are computed here.
            reply = {"Command": "Error"} if argument else {"EnergyTotal": self.energy_total(now_s)}
        return Sent(self.topic_of("stat", "RESULT"), to_json(reply))

    def _times(self, now_s: float) -> Json:
        stamp = datetime.fromtimestamp(now_s, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
        return {"Time": f"{stamp}+00:00", "Epoch": int(now_s)} if self.utc else {"Time": stamp}

    def _config(self) -> Json:
        return {
            "dn": self.names[0],
            "fn": [*self.names, None],
            "mac": self.mac,
            "ofln": "Offline",
            "onln": "Online",
            "state": ["OFF", "ON", "TOGGLE", "HOLD"],
            "t": self.topic,
            "ft": self.full_topic,
            "tp": ["cmnd", "stat", "tele"],
            "dslp": int(self.battery is not None),
            "ver": 1,
        }

    def _state(self, now_s: float) -> Json:
        uptime_s = _BOOT_S if self.battery else max(0, int(now_s - self.started_s))
        signal = round(self.signal.at(now_s))
        battery = {"BatteryPercentage": round(self.battery.at(now_s))} if self.battery else {}
        names = ["POWER"] if self.relays == 1 else [f"POWER{n + 1}" for n in range(self.relays)]
        return {
            "UptimeSec": uptime_s,
            **battery,
            "Heap": 24 + uptime_s % 3,
            "LoadAvg": 19 + uptime_s % 5,
            "MqttCount": 1,
            **dict.fromkeys(names, "ON"),
            "Wifi": {
                # The firmware's scale: -50 dBm and more are 100 %.
                "RSSI": min(100, max(0, 2 * (signal + 100))),
                "Signal": signal,
                "LinkCount": 1,
                "Downtime": "0T00:00:03",
            },
        }
