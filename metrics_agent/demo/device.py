"""A simulated Tasmota device: what it says about itself, and its messages; pure.

The messages are those of the firmware 15.2: topics, keys, their order, and what is left out.
"""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any, Final, Protocol

from attrs import field, frozen

from metrics_agent.demo.waves import Wave

__all__ = ["Content", "Device", "Sent"]

VERSION: Final = "15.2.0"
KEEPALIVE_S: Final = 30

_NAMES: Final = 8
_RELAYS: Final = 32
_SWITCHES: Final = 28
_PREFIXES: Final = {"cmnd": "cmnd", "stat": "stat", "tele": "tele"}
_MINUTE_S: Final = 60
_HOUR_S: Final = 60 * _MINUTE_S
_DAY_S: Final = 24 * _HOUR_S

# Each wake of a sleeper is a boot; it takes this long until it has sent.
_BOOT_S: Final = 3


class Content(Protocol):
    """What a device measures; a pure function of time."""

    def sensor(self, now_s: float, period_s: float | None) -> dict[str, Any]:
        """Return the content of SENSOR, without ``Time``.

        Args:
            now_s: seconds since the epoch.
            period_s: time since the last regular message; None for a message out of turn.
        """
        ...

    def energy_total(self, now_s: float) -> dict[str, Any]:
        """Return the answer to the command EnergyTotal, empty where there is no such command."""
        ...


@frozen
class Sent:
    """A message of a device."""

    topic: str
    payload: bytes
    retain: bool = False


@frozen
class Device:
    """A device.

    Attributes:
        mac: 12 upper-case hexadecimal digits.
        module: what the firmware calls this kind of hardware.
        name: DeviceName.
        friendly_names: FriendlyName1 and following, at least one.
        content: what it measures.
        signal: of the radio at its place, in dBm.
        started_s: when it was booted, seconds since the epoch; of no effect for a sleeper.
        relays: how many it has; all are on.
        switches: how many inputs it has.
        full_topic: FullTopic.
        utc: SetOption52 and TimeFormat are 1: its times carry offset and epoch.
        battery: a device on a battery; it sleeps between two wakes (``dslp``).
    """

    mac: str
    module: str
    name: str
    friendly_names: tuple[str, ...]
    content: Content
    signal: Wave
    started_s: float
    relays: int = 0
    switches: int = 0
    full_topic: str = "%prefix%/%topic%/"
    utc: bool = False
    battery: Wave | None = None
    topic: str = field(init=False)

    @topic.default
    def _default_topic(self) -> str:
        return f"tasmota_{self.mac[-6:]}"

    # Who it is.

    @property
    def client_id(self) -> str:
        """The client id at the broker."""
        return f"DVES_{self.mac[-6:]}"

    @property
    def hostname(self) -> str:
        """The name in the network: the last digits are 13 bits of the chip's id."""
        chip = self.mac[-6:]
        return f"tasmota-{chip}-{int(chip, 16) & 0x1FFF:04d}"

    @property
    def address(self) -> str:
        """An address of the range for documentation; nobody is to connect to it."""
        return f"192.0.2.{int(self.mac[-2:], 16)}"

    @property
    def sleeps(self) -> bool:
        """It is offline between two wakes."""
        return self.battery is not None

    def topic_of(self, prefix: str, subtopic: str) -> str:
        """Return a topic: ``cmnd``, ``stat`` or ``tele``, and what stands behind the base."""
        base = self.full_topic.replace("%prefix%", _PREFIXES[prefix])
        return base.replace("%topic%", self.topic) + subtopic

    # What it sends on its own.

    def availability(self, *, online: bool) -> Sent:
        """Return the retained LWT; the offline one is the will, too."""
        payload = b"Online" if online else b"Offline"
        return Sent(self.topic_of("tele", "LWT"), payload, retain=True)

    def announcement(self, now_s: float) -> tuple[Sent, Sent]:
        """Return the retained discovery messages, ``config`` and ``sensors``."""
        base = f"tasmota/discovery/{self.mac}"
        sensors = {"sn": self._sensor(now_s, None), "ver": 1}
        return (
            Sent(f"{base}/config", _json(self._config()), retain=True),
            Sent(f"{base}/sensors", _json(sensors), retain=True),
        )

    def telemetry(self, now_s: float, period_s: float) -> tuple[Sent, Sent]:
        """Return STATE and SENSOR, in the firmware's order."""
        return (
            Sent(self.topic_of("tele", "STATE"), _json(self._state(now_s))),
            Sent(self.topic_of("tele", "SENSOR"), _json(self._sensor(now_s, period_s))),
        )

    # What it answers.

    def answer(self, command: str, argument: bytes, now_s: float) -> Sent:
        """Return the reply to a command.

        Args:
            command: what stands behind the base of the topic, in any case.
            argument: the payload.
            now_s: seconds since the epoch.
        """
        found = command.upper()
        if found == "ENERGYTOTAL" and (counters := self.content.energy_total(now_s)):
            if argument:
                # It would set the counters, which these devices compute.
                return self._reply("RESULT", {"Command": "Error"})
            return self._reply("RESULT", {"EnergyTotal": counters})
        if found == "STATUS" and argument in {b"8", b"10"}:
            sensors = self._sensor(now_s, None)
            return self._reply(f"STATUS{argument.decode()}", {"StatusSNS": sensors})
        if found == "STATUS" and argument == b"11":
            return self._reply("STATUS11", {"StatusSTS": self._state(now_s)})
        return self._reply("RESULT", {"Command": "Unknown"})

    def _reply(self, subtopic: str, document: dict[str, Any]) -> Sent:
        return Sent(self.topic_of("stat", subtopic), _json(document))

    # Payloads.

    def _config(self) -> dict[str, Any]:
        return {
            "ip": self.address,
            "dn": self.name,
            "fn": _filled(self.friendly_names, _NAMES, None),
            "hn": self.hostname,
            "mac": self.mac,
            "md": self.module,
            "ty": 0,
            "if": 0,
            "cam": 0,
            "ofln": "Offline",
            "onln": "Online",
            "state": ["OFF", "ON", "TOGGLE", "HOLD"],
            "sw": VERSION,
            "t": self.topic,
            "ft": self.full_topic,
            "tp": list(_PREFIXES.values()),
            "rl": _filled([1] * self.relays, _RELAYS, 0),
            "swc": _filled([0] * self.switches, _SWITCHES, -1),
            "swn": [None] * _SWITCHES,
            "btn": [0] * _RELAYS,
            "so": dict.fromkeys(
                ("4", "11", "13", "17", "20", "30", "68", "73", "82", "114", "117"), 0
            ),
            "lk": 0,
            "lt_st": 0,
            "bat": int(self.sleeps),
            "dslp": int(self.sleeps),
            "sho": [],
            "sht": [],
            "ver": 1,
        }

    def _time(self, now_s: float) -> dict[str, Any]:
        stamp = datetime.fromtimestamp(now_s, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
        return {"Time": f"{stamp}+00:00", "Epoch": int(now_s)} if self.utc else {"Time": stamp}

    def _sensor(self, now_s: float, period_s: float | None) -> dict[str, Any]:
        return {**self._time(now_s), **self.content.sensor(now_s, period_s)}

    def _state(self, now_s: float) -> dict[str, Any]:
        uptime_s = _BOOT_S if self.sleeps else max(0, int(now_s - self.started_s))
        signal = round(self.signal.at(now_s))
        battery = (
            {} if self.battery is None else {"BatteryPercentage": round(self.battery.at(now_s))}
        )
        names = ["POWER"] if self.relays == 1 else [f"POWER{n + 1}" for n in range(self.relays)]
        return {
            **self._time(now_s),
            "Uptime": _duration(uptime_s),
            "UptimeSec": uptime_s,
            **battery,
            "Heap": 24 + uptime_s % 3,
            "SleepMode": "Dynamic",
            "Sleep": 50,
            "LoadAvg": 19 + uptime_s % 5,
            "MqttCount": 1,
            **dict.fromkeys(names, "ON"),
            "Wifi": {
                "AP": 1,
                "SSId": "demo",
                "BSSId": "02:00:5E:10:00:01",
                "Channel": 6,
                "Mode": "11n",
                # The firmware's scale: -50 dBm and more are 100 %.
                "RSSI": min(100, max(0, 2 * (signal + 100))),
                "Signal": signal,
                "LinkCount": 1,
                "Downtime": "0T00:00:03",
            },
            "Hostname": self.hostname,
            "IPAddress": self.address,
        }


def _filled(values: Any, length: int, filler: object) -> list[Any]:
    return [*values, *[filler] * (length - len(values))]


def _duration(seconds: int) -> str:
    days, seconds = divmod(seconds, _DAY_S)
    hours, seconds = divmod(seconds, _HOUR_S)
    minutes, seconds = divmod(seconds, _MINUTE_S)
    return f"{days}T{hours:02d}:{minutes:02d}:{seconds:02d}"


def _json(document: dict[str, Any]) -> bytes:
    # Without spaces, as the firmware writes it.
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
