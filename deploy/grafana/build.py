"""Builds dashboard.json, a dashboard for Grafana over what the agent writes to VictoriaMetrics.

Run it in a checkout after ``pip install -e '.[test]'``::

    python deploy/grafana/build.py > deploy/grafana/dashboard.json

Names and units come from the catalogue of metrics. Tests check that the file is up to date, and run
every query against a real VictoriaMetrics that the simulated devices have filled.
"""

from __future__ import annotations

import sys
from itertools import count
from typing import Any, Final

from grafana_foundation_sdk.builders.dashboard import Dashboard, DatasourceVariable, Row
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync
from panels import (
    HALF,
    THIRD,
    apply,
    bars,
    days,
    graph,
    named,
    number,
    per_device,
    series,
    table,
    timeline,
    unit,
)

from metrics_agent.catalogue import BATTERY, CLIMATE, DEVICE, ELECTRICITY, METRICS_AGENT

RECENT: Final = "[15m]"
"""Devices may report every 5 minutes only, which is as far as an instant query sees back."""
LONG: Final = "[1d]"
"""Sensors on batteries may report a few times a day only."""
OVER: Final = "[5m]"
"""The span of rates; the agent reports about itself every minute."""

STATES: Final = (
    ("stopped", "text"),
    ("starting", "blue"),
    ("works", "green"),
    ("waiting to try again", "orange"),
    ("parked", "red"),
    ("wrong settings", "red"),
)
"""Names and colours of the values of `metrics_agent_state`, from 0 on."""

TOTAL: Final = 'vendor="opendtu",device=~"(.+_)?total"'
INVERTERS: Final = 'vendor="opendtu",channel="",device=~"[0-9a-f]{10,16}"'
CONSUMERS: Final = 'vendor!="opendtu"'
MODULES: Final = 'module!~"agent|mqtt|output"'


def overview() -> list[Any]:
    """Return what one looks at first."""
    last_seen = apply("last_over_time", series(DEVICE, "last_seen", RECENT))()
    watts = series(ELECTRICITY, "power")
    return [
        number(
            "Solar power",
            "All inverters together.",
            f"sum(last_over_time({watts(TOTAL)}{RECENT}))",
            unit(ELECTRICITY, "power"),
        ),
        number(
            "Devices heard in the last hour",
            "Of those that send regularly; see the table of silent devices below.",
            f"count({last_seen} < 3600)",
            "short",
        ),
        number(
            "Modules that do not run",
            "Starting, waiting to try again, parked, or with wrong settings.",
            f"sum({series(METRICS_AGENT, 'state')(MODULES)} != bool 2)",
            "short",
            ((None, "green"), (1, "red")),
        ),
        number(
            "Oldest line that waits",
            "How long the oldest line that the database has not taken has waited.",
            f"max({series(METRICS_AGENT, 'delivery_lag')()})",
            unit(METRICS_AGENT, "delivery_lag"),
            ((None, "green"), (30, "orange"), (300, "red")),
        ),
    ]


def energy() -> list[Any]:
    """Return what is drawn, and what the sun gives."""
    watts = series(ELECTRICITY, "power")
    now = apply("last_over_time", series(ELECTRICITY, "power", RECENT))
    of_day = apply("increase", series(ELECTRICITY, "energy_total", "[1d] offset -1d"))
    power = unit(ELECTRICITY, "power")
    return [
        bars(
            "Power now",
            "Of each device that has reported in the last 15 minutes.",
            power,
            f"sort_desc({per_device(now, CONSUMERS)})",
            steps=((None, "green"), (1000, "orange"), (2000, "red")),
            width=HALF,
        ),
        graph("Power", "Negative is fed into the grid.", power, per_device(watts, CONSUMERS)),
        days("Energy per day", "By the devices' counters.", per_device(of_day, CONSUMERS)),
        graph("Solar power", "Each inverter.", power, named(watts(INVERTERS))),
        days("Solar yield per day", "Each inverter.", named(of_day(INVERTERS))),
    ]


def climate() -> list[Any]:
    """Return the rooms."""
    return [
        graph(title, about, unit(CLIMATE, field), named(series(CLIMATE, field)()), width=THIRD)
        for title, about, field in (
            ("Temperature", "All sensors.", "temperature"),
            ("Humidity", "Relative.", "humidity"),
            ("CO2", "In ppm; air the room from 1,000 on.", "co2"),
        )
    ]


def devices() -> list[Any]:
    """Return batteries, and who is silent."""
    by = "max by (device, friendly, vendor)"
    silent = apply("last_over_time", series(DEVICE, "last_seen", RECENT))()
    stored = apply("last_over_time", series(BATTERY, "charge", RECENT))()
    cells = apply("last_over_time", series(DEVICE, "battery", LONG))()
    return [
        table(
            "Silent devices first",
            "When something last came from each device that sends regularly.",
            "last seen",
            unit(DEVICE, "last_seen"),
            f"sort_desc({named(f'{by} ({silent})')})",
            steps=((None, "green"), (3600, "orange"), (86_400, "red")),
        ),
        bars(
            "Batteries",
            "Those of sensors, and those that store energy.",
            unit(DEVICE, "battery"),
            f"sort({named(cells)})",
            named(stored),
            steps=((None, "red"), (15, "orange"), (30, "green")),
            width=HALF,
        )
        .min(0)
        .max(100),
    ]


def agent() -> list[Any]:
    """Return how the agent itself is doing."""

    def field(name: str, selector: str = "", over: str = "") -> str:
        return series(METRICS_AGENT, name, over)(selector)

    return [
        timeline(
            "State",
            "Of modules, connections and the output.",
            field("state"),
            "{{module}} {{module_instance}}",
            STATES,
        ),
        graph(
            "Metrics",
            "Per second, by module.",
            "short",
            f"rate({field('metrics', MODULES, OVER)})",
            legend="{{module}}",
        ),
        graph(
            "Queue",
            "Lines that wait for the database.",
            unit(METRICS_AGENT, "queue_metrics"),
            field("queue_metrics"),
            legend="lines",
            width=THIRD,
        ),
        graph(
            "Lag",
            "How long the oldest line has waited; by how much timers were late.",
            unit(METRICS_AGENT, "delivery_lag"),
            f'union(alias({field("delivery_lag")}, "delivery"), '
            f'alias({field("reactor_lag_max")}, "reactor, at most"))',
            legend="{{__name__}}",
            width=THIRD,
        ),
        graph(
            "Errors and what was dropped",
            "In 5 minutes, by module.",
            "short",
            f'union(label_set(increase({field("errors", over=OVER)}), "what", "errors"), '
            f'label_set(increase({field("dropped", over=OVER)}), "what", "dropped"))',
            legend="{{module}} {{what}}",
            width=THIRD,
        ),
        graph(
            "Memory",
            "Resident.",
            unit(METRICS_AGENT, "memory"),
            field("memory"),
            legend="memory",
        ),
        graph(
            "CPU",
            "Of one core.",
            units.PercentUnit,
            f"rate({field('cpu', over=OVER)})",
            legend="CPU",
        ),
    ]


def dashboard() -> str:
    """Return the dashboard as Grafana imports it."""
    made = (
        Dashboard("metrics-agent")
        .uid("metrics-agent")
        .description("Built by deploy/grafana/build.py of metrics-agent from its catalogue.")
        .tags(["metrics-agent"])
        .editable()
        .refresh("30s")
        .time("now-6h", "now")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(DatasourceVariable("datasource").label("Database").type("prometheus"))
    )
    ids = count(1)
    for title, panels in (
        ("Now", overview()),
        ("Energy", energy()),
        ("Climate", climate()),
        ("Devices", devices()),
        ("The agent", agent()),
    ):
        made = made.with_row(Row(title).id(next(ids)))
        for panel in panels:
            made = made.with_panel(panel.id(next(ids)))
    return JSONEncoder(sort_keys=True, indent=2, ensure_ascii=False).encode(made.build()) + "\n"


if __name__ == "__main__":
    sys.stdout.write(dashboard())
