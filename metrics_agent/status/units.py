"""The units of the catalogue, for those who show values; not loaded where no one looks."""

from __future__ import annotations

from typing import Final

from metrics_agent.catalogue import MEASUREMENTS

__all__ = ["UNITS"]

UNITS: Final = {
    each.name: {field.name: field.unit for field in each.fields if field.unit}
    for each in MEASUREMENTS
}
"""By measurement and field."""
