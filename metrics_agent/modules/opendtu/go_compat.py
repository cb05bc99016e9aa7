"""``field_names = "original"``: what the Go agent wrote, so that dashboards need no change.

It wrote one point of electricity for each inverter. Strings, the total and what OpenDTU-OnBattery
adds are left out of that measurement: a dashboard that sums over it would count twice. The units
are those the DTU sends: the yield of the day in Wh, the total in kWh, the current in A.
"""

from __future__ import annotations

from collections.abc import Collection
from types import MappingProxyType
from typing import Final

from metrics_agent.catalogue import ELECTRICITY
from metrics_agent.metric import Metric
from metrics_agent.modules.go_fields import go_fields

__all__ = ["to_original"]

# Our name: the Go agent's, and what our value is multiplied with. Unlike for Tasmota devices, its
# total is in kWh and its current in A.
_TABLE: Final = MappingProxyType(
    {
        ELECTRICITY.key("energy_today"): ("sum_power_today", 1000.0),
        ELECTRICITY.key("energy_total"): ("sum_power_total", 1.0),
    }
)
_DIGITS: Final = 3


def to_original(metrics: list[Metric], inverters: Collection[str]) -> list[Metric]:
    """Rename, rescale and leave out.

    Args:
        metrics: of one message.
        inverters: the serial numbers that are known.
    """
    return [
        metric._replace(fields=go_fields(metric, _TABLE, _DIGITS))
        if metric.series.measurement == ELECTRICITY.name
        else metric
        for metric in metrics
        if metric.series.measurement != ELECTRICITY.name or _is_inverter(metric, inverters)
    ]


def _is_inverter(metric: Metric, inverters: Collection[str]) -> bool:
    tags = metric.series.tags
    return "channel" not in tags and tags["device"] in inverters
