"""What a person is told: each fault once while it lasts, and its end."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from twisted.logger import Logger

from metrics_agent.cause import Cause
from metrics_agent.interfaces import ModuleContext
from metrics_agent.logs.once import Once
from metrics_agent.modules.netatmo.decode import Reading

__all__ = ["Telling"]

_MOST_OFFLINE: Final = 1000


class Telling:
    """Writes the lines, and remembers what was said.

    Args:
        context: whose log and counters.
        seconds: the reactor's clock.
    """

    def __init__(self, context: ModuleContext, seconds: Callable[[], float]) -> None:
        self._log: Logger = context.log
        self._note = context.note_connection
        self._seconds = seconds
        self._said: dict[str, set[str]] = {}
        self._since_s: dict[str, float] = {}
        self._offline = Once(_MOST_OFFLINE)

    # Netatmo as a whole, and each kind of devices.

    def trouble(self, what: str, cause: Cause) -> None:
        """Tell that something cannot be had."""
        kind, text = cause.kind, cause.text
        self._note(what, text)
        self._since_s.setdefault(what, self._seconds())
        said = self._said.setdefault(what, set())
        if kind in said:
            self._log.debug("No {what}: {text}.", what=what, text=text)
            return
        said.add(kind)
        tell = self._log.error if cause.needs_user_action else self._log.warn
        tell("No {what}: {text}. It is tried again.", what=what, text=text, fold=("what", "text"))

    def well(self, what: str) -> None:
        """Tell that it can be had again."""
        self._note(what, "")
        since_s = self._since_s.pop(what, None)
        if self._said.pop(what, None) and since_s is not None:
            self._log.info(
                "{what} again after {minutes:.0f} min.",
                what=what[:1].upper() + what[1:],
                minutes=(self._seconds() - since_s) / 60,
            )

    # Devices.

    def devices(self, readings: Iterable[Reading]) -> None:
        """Tell which devices came or went."""
        state = {reading.device: reading for reading in readings}
        for device, reading in state.items():
            if not reading.online and self._offline.first(device, "offline"):
                self._log.warn(
                    "{name} cannot be reached, or sends nothing new.",
                    name=_name(reading),
                    fold=("name",),
                )
            elif reading.online and self._offline.forget(device):
                self._log.info("{name} is back.", name=_name(reading), fold=("name",))


def _name(reading: Reading) -> str:
    return f"{reading.friendly!r} ({reading.device})" if reading.friendly else reading.device
