"""When to ask a device for the counters of its channels.

With SetOption129 off, a device with several channels sends only the sum of their energy. The
command EnergyTotal with an empty payload (anything else would set the counter) is answered with
one number a channel.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from metrics_agent.json_payload import number
from metrics_agent.modules.tasmota.device import Device

__all__ = ["ANSWER_S", "ASK_EVERY_S", "refuses", "should_ask", "sum_of"]

ASK_EVERY_S: Final = 60.0
ANSWER_S: Final = 10.0


def sum_of(energy: object) -> float | None:
    """Return the sum of the channels' energy if the message does not say how it is made up."""
    if not isinstance(energy, dict) or not isinstance(energy.get("Power"), list):
        return None
    return number(energy.get("Total"))


def should_ask(device: Device, total: float, now_s: float) -> bool:
    """Say whether to ask now: the sum changed, and the last time is long enough ago."""
    if device.never_ask or not device.command_base or total == device.asked_for:
        return False
    return device.asked_at_s is None or now_s - device.asked_at_s >= ASK_EVERY_S


def refuses(document: Mapping[str, object], device: Device, now_s: float) -> bool:
    """Say whether a reply means that the device does not know the command (before 9.5.0.5).

    ``{"Command":"Unknown"}`` does not name the command, so it counts only right after asking.
    """
    return (
        document.get("Command") == "Unknown"
        and device.asked_at_s is not None
        and now_s - device.asked_at_s <= ANSWER_S
    )
