"""What is logged of Netatmo and of devices: each fault once while it lasts, and its end."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from metrics_agent.cause import Cause
from metrics_agent.interfaces import ModuleContext
from metrics_agent.logs.once import Once
from metrics_agent.logs.status_log import StatusLog
from metrics_agent.modules.netatmo.decode import StationReading

__all__ = ["Status"]

_MOST_OFFLINE: Final = 1000
_FAILED: Final = "No {subject}: {cause}. It is tried again."


class Status:
    """Logs, and notes for the self-metrics, what can be read.

    Args:
        context: the module's.
        seconds: the reactor's clock.
    """

    def __init__(self, context: ModuleContext, seconds: Callable[[], float]) -> None:
        self._context = context
        self._seconds = seconds
        self._failing: dict[str, StatusLog] = {}
        self._offline = Once(_MOST_OFFLINE)

    def failed(self, what: str, cause: Cause) -> None:
        """Report that something cannot be read."""
        self._context.note_connection(what, cause.text)
        if what not in self._failing:
            restored = f"{what[:1].upper()}{what[1:]} again after {{minutes:.0f}} min."
            self._failing[what] = StatusLog(self._context.log, self._seconds, _FAILED, restored)
        self._failing[what].failed(what, cause)

    def recovered(self, what: str) -> None:
        """Report that it can be read."""
        self._context.note_connection(what, "")
        failing = self._failing.pop(what, None)
        if failing is not None:
            failing.restored(what)

    def devices(self, readings: Iterable[StationReading]) -> None:
        """Report which devices came or went."""
        log = self._context.log
        state = {reading.device: reading for reading in readings}
        for device, reading in state.items():
            name = _name(reading)
            if reading.online:
                if self._offline.forget(device):
                    log.info("{name} is back.", name=name, fold=("name",))
            elif self._offline.first(device, "offline"):
                text = "{name} cannot be reached, or sends nothing new."
                log.warn(text, name=name, fold=("name",))


def _name(reading: StationReading) -> str:
    return f"{reading.friendly!r} ({reading.device})" if reading.friendly else reading.device
