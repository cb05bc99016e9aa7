"""What every source of readings needs on the way to the points."""

from __future__ import annotations

from metrics_agent.interfaces import ModuleContext
from metrics_agent.metric import Metric
from metrics_agent.modules.opendtu.complaints import Complaints
from metrics_agent.modules.opendtu.config import OpenDtuSettings
from metrics_agent.modules.opendtu.go_compat import to_original
from metrics_agent.modules.opendtu.naming import Naming
from metrics_agent.modules.opendtu.tracker import Tracker

__all__ = ["Points"]


class Points:
    """What sources share: complaints, what is known of the inverters, and the way out.

    Args:
        settings: checked ones.
        context: the door to the agent.

    Attributes:
        naming: of the series.
        tracker: readings to points.
        drop: tells and counts what is left out.
    """

    def __init__(self, settings: OpenDtuSettings, context: ModuleContext) -> None:
        self._context = context
        self._original = settings.field_names == "original"
        self._found: set[str] = set()
        self.drop = Complaints(context).drop
        self.naming = Naming(settings.friendly_name_overrides, context.name)
        self.tracker = Tracker(self.naming, self.drop)

    def emit(self, metrics: list[Metric]) -> None:
        """Send points on their way, under the names that were asked for."""
        for serial in self.tracker.serials:
            if serial not in self._found:
                self._found.add(serial)
                self._context.log.info("Found inverter {serial}.", serial=serial)
        if self._original:
            metrics = to_original(metrics, self._found)
        self._context.emit(metrics)
