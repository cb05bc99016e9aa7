"""Fields under the names and in the units of the Go agent, for the go_compat of a module."""

from __future__ import annotations

from collections.abc import Mapping

from metrics_agent.metric import FieldValue, Metric

__all__ = ["go_fields"]


def go_fields(
    metric: Metric, table: Mapping[str, tuple[str, float]], digits: int
) -> dict[str, FieldValue]:
    """Return the fields renamed and rescaled.

    Args:
        metric: under our names.
        table: the Go agent's name and our factor to its unit, by our name; others stay as they are.
        digits: decimals of a value in another unit.
    """
    fields: dict[str, FieldValue] = {}
    for name, value in metric.fields.items():
        original, scale = table.get(name, (name, 1.0))
        if scale != 1 and isinstance(value, float):
            value = round(value * scale, digits)  # noqa: PLW2901 - the same value in another unit
        fields[original] = value
    return fields
