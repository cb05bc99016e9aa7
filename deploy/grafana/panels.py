"""Panels and queries of the dashboard; `build` puts them together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from grafana_foundation_sdk.builders.bargauge import Panel as BarGauge
from grafana_foundation_sdk.builders.common import (
    ReduceDataOptions,
    StackingConfig,
    VizLegendOptions,
    VizTooltipOptions,
)
from grafana_foundation_sdk.builders.dashboard import ThresholdsConfig
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.builders.stat import Panel as Stat
from grafana_foundation_sdk.builders.statetimeline import Panel as StateTimeline
from grafana_foundation_sdk.builders.table import Panel as Table
from grafana_foundation_sdk.builders.timeseries import Panel as TimeSeries
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.common import (
    GraphDrawStyle,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    DataTransformerConfig,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from metrics_agent.catalogue import ELECTRICITY, Measurement

SOURCE: Final = DataSourceRef(type_val="prometheus", uid="${datasource}")
UNITS: Final = {
    "": "short",
    "%": units.Percent,
    "B": units.BytesIEC,
    "W": units.Watt,
    "ppm": "ppm",
    "kWh": units.KiloWattHour,
    "s": units.Seconds,
    "°C": units.Celsius,
}
"""Grafana's units by those of the catalogue."""

NARROW, THIRD, HALF = 6, 8, 12
LOW, HIGH = 4, 9

GREEN: Final = ((None, "green"),)

Query = Callable[[str], str]
"""Returns a query for a selector."""
Steps = tuple[tuple[float | None, str], ...]
"""Colours by value: each from its value on, None for the lowest."""


def series(measurement: Measurement, field: str, over: str = "") -> Query:
    """Return queries for a field, by its name in VictoriaMetrics.

    Raises:
        LookupError: the catalogue has no such field.
    """
    name = f"{measurement.name}_{measurement.key(field)}"
    return lambda selector="": f"{name}{{{selector}}}{over}" if selector else f"{name}{over}"


def unit(measurement: Measurement, field: str) -> str:
    """Return Grafana's unit of a field."""
    return UNITS[measurement.field(field).unit]


def apply(function: str, query: Query) -> Query:
    """Return the queries with a function around them."""
    return lambda selector="": f"{function}({query(selector)})"


def named(query: str) -> str:
    """Give each series the label ``name``: what people call the device, else its id."""
    return f'label_copy({query}, "device", "name", "friendly", "name")'


def per_device(query: Query, selector: str) -> str:
    """Return a value for each device: that of the whole, else the sum of its channels."""
    by = "sum by (device, friendly, sensor)"
    whole, parts = (query(f"{selector},channel{operator}") for operator in ('=""', '!=""'))
    return named(f"{by} ({whole}) or on (device, sensor) {by} ({parts})")


def target(query: str, legend: str) -> Dataquery:
    """Return a query over the time that is shown."""
    return _query(query, legend).range()


def latest(query: str, legend: str) -> Dataquery:
    """Return a query for the values of now."""
    return _query(query, legend).instant()


def _query(query: str, legend: str) -> Dataquery:
    return Dataquery().ref_id("A").expr(query).legend_format(legend).datasource(SOURCE)


LETTERS: Final = "ABC"
"""How Grafana tells the queries of a panel apart."""
DEVICE_LEGEND: Final = "{{name}} {{sensor}}"


def colours(steps: Steps) -> ThresholdsConfig:
    """Make Grafana's thresholds."""
    made = [Threshold(value=value, color=colour) for value, colour in steps]
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(made)


def place(panel: Any, title: str, about: str, width: int, height: int) -> Any:
    """Give a panel its title, description and size."""
    return panel.title(title).description(about).datasource(SOURCE).span(width).height(height)


def graph(
    title: str, about: str, of: str, *queries: str, legend: str = DEVICE_LEGEND, width: int = HALF
) -> Any:
    """Return lines over time, of values with Grafana's unit ``of``."""
    shown = (
        VizLegendOptions()
        .display_mode(LegendDisplayMode.TABLE)
        .placement(LegendPlacement.RIGHT)
        .show_legend(True)
        .calcs(["lastNotNull", "max"])
    )
    tooltip = VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING)
    panel = place(TimeSeries(), title, about, width, HIGH).unit(of).legend(shown).tooltip(tooltip)
    panel = panel.fill_opacity(8).span_nulls(True).thresholds(colours(GREEN))
    for letter, query in zip(LETTERS, queries, strict=False):
        panel = panel.with_target(target(query, legend).ref_id(letter))
    return panel


def days(title: str, about: str, query: str) -> Any:
    """Return a bar a day for the last two weeks; the query is for the day that begins at a time."""
    panel = graph(title, about, unit(ELECTRICITY, "energy_total"))
    panel = panel.draw_style(GraphDrawStyle.BARS).fill_opacity(70).span_nulls(False)
    panel = panel.stacking(StackingConfig().mode(StackingMode.NORMAL)).time_from("14d")
    return panel.interval("1d").with_target(target(query, DEVICE_LEGEND).interval("1d"))


def number(title: str, about: str, query: str, of: str, steps: Steps = GREEN) -> Any:
    """Return one number, of now."""
    panel = place(Stat(), title, about, NARROW, LOW).unit(of).thresholds(colours(steps))
    return panel.with_target(latest(query, title))


def bars(title: str, about: str, of: str, *queries: str, steps: Steps, width: int) -> Any:
    """Return a bar for each device, of now."""
    panel = place(BarGauge(), title, about, width, HIGH).unit(of).thresholds(colours(steps))
    shown = ReduceDataOptions().calcs(["lastNotNull"]).values(False)
    panel = panel.orientation(VizOrientation.HORIZONTAL).reduce_options(shown)
    for letter, query in zip(LETTERS, queries, strict=False):
        panel = panel.with_target(latest(query, DEVICE_LEGEND).ref_id(letter))
    return panel


def table(title: str, about: str, column: str, of: str, query: str, *, steps: Steps) -> Any:
    """Return the values of now as a table."""
    panel = place(Table(), title, about, HALF, HIGH).unit(of).thresholds(colours(steps))
    options = {
        "excludeByName": {"Time": True, "friendly": True},
        "renameByName": {"Value": column},
    }
    panel = panel.with_target(latest(query, "").format(PromQueryFormat.TABLE))
    return panel.with_transformation(DataTransformerConfig(id_val="organize", options=options))


def timeline(
    title: str, about: str, query: str, legend: str, states: tuple[tuple[str, str], ...]
) -> Any:
    """Return states over time, by their names and colours from 0 on."""
    mapping = ValueMap(
        options={
            str(number): ValueMappingResult(text=text, color=colour, index=number)
            for number, (text, colour) in enumerate(states)
        }
    )
    panel = place(StateTimeline(), title, about, HALF, HIGH).mappings([mapping])
    return panel.with_target(target(query, legend))
