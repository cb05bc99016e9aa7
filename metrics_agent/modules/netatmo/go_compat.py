"""``field_names = "original"``: climate as the Go agent wrote it, for dashboards that are there.

It had no tag ``sensor``, and three of its fields were integers: an InfluxDB that holds them as such
refuses the same names as floats.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from metrics_agent.catalogue import CLIMATE
from metrics_agent.metric import FieldValue, Metric, Series

__all__ = ["to_original"]

_TABLE: Final = CLIMATE.originals()
_INTEGERS: Final = frozenset({"humidity", "co2", "noise"})


def to_original(metrics: Iterable[Metric]) -> Iterator[Metric]:
    """Rename, retag and retype the climate among some metrics."""
    for metric in metrics:
        if metric.series.measurement != CLIMATE.name:
            yield metric
            continue
        tags = {name: value for name, value in metric.series.tags.items() if name != "sensor"}
        fields = dict(_renamed(name, value) for name, value in metric.fields.items())
        yield Metric(Series(CLIMATE.name, tags), fields, metric.time_ns)


def _renamed(name: str, value: FieldValue) -> tuple[str, FieldValue]:
    original, scale = _TABLE.get(name, (name, 1.0))
    if isinstance(value, float):
        value = round(value) if name in _INTEGERS else value * scale
    return original, value
