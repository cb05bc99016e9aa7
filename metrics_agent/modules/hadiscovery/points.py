"""The points of one message: values with equal tags share one."""

from __future__ import annotations

from metrics_agent.metric import FieldValue, Metric, Series

__all__ = ["Points"]


class Points:
    """Collects values by series and time."""

    __slots__ = ("_fields",)

    def __init__(self) -> None:
        self._fields: dict[tuple[int, int], tuple[Series, dict[str, FieldValue]]] = {}

    def add(self, series: Series, field: str, value: FieldValue, time_ns: int) -> None:
        """Add a value."""
        found = self._fields.get((id(series), time_ns))
        if found is None:
            self._fields[id(series), time_ns] = (series, {field: value})
        else:
            found[1][field] = value

    def metrics(self) -> list[Metric]:
        """Return the points."""
        return [
            Metric(series, fields, time_ns)
            for (_, time_ns), (series, fields) in self._fields.items()
        ]
