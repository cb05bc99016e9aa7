"""Devices that fall silent, with a real broker: what an agent has learned before counts at once."""

from __future__ import annotations

import json
import re
import time
from typing import Any, Final

from line_protocol_parser import parse_line

from tests.integration.broker import Mosquitto
from tests.integration.mqtt_agent import MqttCase, publish
from tests.integration.watching import until

_INTERVAL_S: Final = 10
_WEEK_S: Final = 7 * 24 * 3600
_STALE: Final = 1
_REGULAR: Final = 4
_SENSOR: Final = b'{"Time":"2026-01-01T00:00:00","ENERGY":{"Power":42}}'
_WELL: Final = [f"plug{number}" for number in range(8)]
_FLEET: Final = [f"lamp{number}" for number in range(8)]


def row(name: str, silent_s: float, flags: int = _REGULAR) -> list[Any]:
    """Return what an agent that was stopped knows of a device, see `devices.stored`.

    Args:
        name: its own.
        silent_s: for so long it had sent nothing when the agent stopped.
        flags: whether it keeps its interval, and was overdue.
    """
    learned = [_INTERVAL_S, _WEEK_S, _WEEK_S, _WEEK_S, 0]
    return [name, "tasmota", "", time.time() - silent_s, silent_s, flags, 0, *learned]


class LivenessTests(MqttCase):
    """All in one run, since a sweep comes every ten seconds only."""

    timeout = 60

    def remembers(self, directory: str, *rows: list[Any]) -> None:
        """Have the agent know devices from before."""
        state = self.directory / "state" / directory
        state.mkdir(parents=True, mode=0o700)
        text = json.dumps({"version": 1, "devices": rows})
        (state / "liveness.json").write_text(text, "utf-8")

    def stale(self, parent: Any) -> dict[str, list[Any]]:
        """Return what was written of `stale`, by device."""
        found: dict[str, list[Any]] = {}
        for line in map(parse_line, parent.lines()):
            if "stale" in line["fields"]:
                found.setdefault(line["tags"]["device"], []).append(line["fields"]["stale"])
        return found

    async def test_silent_and_back(self) -> None:
        """One is overdue, one is back, others are offline, irregular or well; a fleet is silent.

        The fleet is that of another module.
        """
        broker, other = Mosquitto.start(self), Mosquitto.start(self)
        self.remembers(
            "tasmota",
            row("silent", 61),
            row("back", 300, _REGULAR + _STALE),
            row("off", 61),
            row("on_events", 3600, 0),
            *(row(name, 5) for name in _WELL),
        )
        self.remembers("tasmota@fleet", *(row(name, 61) for name in _FLEET))
        await publish(broker, "tele/off/LWT", b"Offline", "-r")
        fleet = f'[modules."tasmota:fleet"]\nenabled = true\nbroker = "{other.url}"\n'
        parent = await self.run_at(broker, top='last_seen_interval = "10s"', more=fleet)
        await self.said(parent, "Connected to", times=2)
        for name in ("back", *_WELL):
            await publish(broker, f"tele/{name}/SENSOR", _SENSOR)
        expected = {"silent": [True], "back": [False], **{name: [True] for name in _FLEET}}
        await until(
            lambda: self.stale(parent) == expected,
            lambda: f"{expected}, got {self.stale(parent)}",
            30,
        )
        await parent.stop()
        self.assertEqual(self.stale(parent), expected)
        seen = [
            line["tags"]["device"]
            for line in map(parse_line, parent.lines())
            if line["fields"].get("last_seen", 0) > 50
        ]
        self.assertTrue({"silent", "off", "on_events"} <= set(seen), seen)
        warnings = sorted(
            re.sub(r"\d+ s", "N s", said.text) for said in parent.log if said.level == "W"
        )
        together = (
            "[tasmota:fleet] 8 of 8 devices that send regularly fell silent together, N s ago:"
        )
        alone = (
            "[tasmota] Device silent is silent: nothing came for N s, it usually sends every N s."
        )
        self.assertEqual([*warnings[0].split(" likely")[:1], *warnings[1:]], [together, alone])
        self.assertEqual(len(self.lines_with(parent, "Device back is back after 5 min", "I")), 1)
        kept = json.loads((self.directory / "state/tasmota/liveness.json").read_text("utf-8"))
        flags = {name: flag for name, _, _, _, _, flag, *_ in kept["devices"]}
        self.assertEqual((flags["silent"] & _STALE, flags["back"] & _STALE), (_STALE, 0))
