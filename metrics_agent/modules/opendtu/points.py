"""What every source of readings needs on the way to the points."""

from __future__ import annotations

from typing import Final

from metrics_agent.interfaces import ModuleContext
from metrics_agent.metric import Metric
from metrics_agent.modules.opendtu.config import OpenDtuSettings
from metrics_agent.modules.opendtu.go_compat import to_original
from metrics_agent.modules.opendtu.naming import InverterNames
from metrics_agent.modules.opendtu.tracker import Tracker

__all__ = ["DtuPoints"]

# Odd or as it should be: logged so that the user can find it, not as a warning.
_HARMLESS: Final = frozenset(
    {
        "lower_today",
        "never_heard",
        "unknown_channel",
        "unknown_object",
        "unmapped_key",
        "zero_total",
    }
)


class DtuPoints:
    """What sources share: what is known of the inverters, and the way out.

    Args:
        settings: checked ones.
        context: the door to the agent.

    Attributes:
        naming: of the series.
        tracker: readings to points.
    """

    def __init__(self, settings: OpenDtuSettings, context: ModuleContext) -> None:
        self._context = context
        self._original = settings.field_names == "original"
        self._found: set[str] = set()
        self.naming = InverterNames(settings.friendly_name_overrides, context.name)
        self.tracker = Tracker(self.naming, self.drop)

    def drop(self, device: str, reason: str, where: str) -> None:
        """Count what was left out, and log it once for each device and reason.

        Args:
            device: whose it was, empty for the DTU's.
            reason: a snake_case word, the counter's name.
            where: its place in the message.
        """
        harmless = reason in _HARMLESS
        self._context.left_out(device or "OpenDTU", reason, where, harmless=harmless)

    def emit(self, metrics: list[Metric]) -> None:
        """Send points on their way, under the names that were asked for."""
        for serial in self.tracker.serials:
            if serial not in self._found:
                self._found.add(serial)
                self._context.log.info("Found inverter {serial}.", serial=serial)
        if self._original:
            metrics = to_original(metrics, self._found)
        self._context.emit(metrics)
