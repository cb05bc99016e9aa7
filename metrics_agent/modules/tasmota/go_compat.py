"""``field_names = "original"``: what the Go agent wrote, so that dashboards need no change.

The tags (``device=<t>.<i>``) come from the device's naming. Here fields get the Go agent's names
and scales by the catalogue's table, and the sum beside channels, which it did not write, is left
out: under its tags a dashboard would count everything twice.
"""

from __future__ import annotations

from typing import Final

from metrics_agent.catalogue import ELECTRICITY
from metrics_agent.metric import Metric
from metrics_agent.modules.go_fields import go_fields
from metrics_agent.modules.tasmota.device import Device

__all__ = ["to_original"]

_TABLE: Final = ELECTRICITY.originals()
_DIGITS: Final = 6
"""Decimals, as the Go agent wrote them."""


def to_original(metrics: list[Metric], device: Device) -> list[Metric]:
    """Rename and rescale the electricity of one message."""
    whole = device.series(ELECTRICITY.name)
    split = any(
        metric.series.measurement == ELECTRICITY.name
        and metric.series.tags["device"] != device.topic
        for metric in metrics
    )
    return [
        metric._replace(fields=go_fields(metric, _TABLE, _DIGITS))
        if metric.series.measurement == ELECTRICITY.name
        else metric
        for metric in metrics
        if not (split and metric.series is whole)
    ]
