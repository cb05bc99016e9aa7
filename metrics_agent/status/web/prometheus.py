"""The agent's own metrics in Prometheus' text format, version 0.0.4. Pure.

The names are those of the measurement `metrics_agent` in VictoriaMetrics, so that one dashboard
serves both. Families of fields, such as `errors_<place>`, are one metric with a label: a place may
be any text, and so may a label.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from metrics_agent.catalogue import METRICS_AGENT, Field
from metrics_agent.logs.events import AGENT

__all__ = ["COUNTERS", "exposition"]

_PREFIX: Final = METRICS_AGENT.name
_FAMILIES: Final = {
    "errors_": ("errors_by_place", "place"),
    "dropped_": ("dropped_by_reason", "reason"),
}
COUNTERS: Final = frozenset(
    {
        "cpu",
        "cut",
        "dropped",
        "dropped_<reason>",
        "errors",
        "errors_<place>",
        "left_out",
        "log_suppressed",
        "messages",
        "metrics",
        "reloads",
        "reloads_rejected",
        "replaced",
        "restarts",
    }
)
"""Fields that only grow; all others are gauges."""

_NUMBERS: Final = {int, float}

_Row = tuple[Mapping[str, str], Mapping[str, Any]]


def exposition(whole: Mapping[str, Any]) -> Iterator[str]:
    """Yield lines, each with its newline.

    Args:
        whole: see `snapshot.whole`.
    """
    agent = whole["agent"]
    about = {"version": str(agent["version"]), "name": str(agent["instance"])}
    yield from _metric("info", "this agent: its version, and the setting `instance`", "gauge")
    yield f"{_series('info', about)} 1\n"
    rows = list(_rows(whole))
    for field in METRICS_AGENT.fields:
        if field.kind != "str":
            yield from _field(field, rows)


def _rows(whole: Mapping[str, Any]) -> Iterator[_Row]:
    """Yield labels and fields, as the rows of the measurement have them."""
    yield {"module": AGENT}, whole["agent"]
    for each in whole["modules"]:
        yield {"module": each["module"]}, each
    for each in whole["connections"]:
        tags = {name: each[name] for name in ("broker", "client_id", "module_instance")}
        yield {"module": "mqtt", **tags}, each
    for each in whole["outputs"]:
        yield {"module": "output", "output": each["output"]}, each


def _field(field: Field, rows: list[_Row]) -> Iterator[str]:
    """Yield a metric; nothing if no row has the field."""
    stem = field.name.partition("<")[0]
    name, label = _FAMILIES.get(stem, (field.name, ""))
    # Twice the same labels would make the whole answer invalid.
    samples: dict[str, float] = {}
    for labels, fields in rows:
        for key, value in fields.items():
            if type(value) in _NUMBERS and field.covers(key):
                more = {label: key.removeprefix(stem)} if label else {}
                samples.setdefault(_series(name, {**labels, **more}), value)
    if samples:
        kind = "counter" if field.name in COUNTERS else "gauge"
        unit = f" ({field.unit})" if field.unit else ""
        yield from _metric(name, f"{field.doc or field.name}{unit}", kind)
        yield from (f"{series} {value}\n" for series, value in samples.items())


def _metric(name: str, text: str, kind: str) -> Iterator[str]:
    text = text.replace("\\", r"\\").replace("\n", r"\n")
    yield f"# HELP {_PREFIX}_{name} {text}\n"
    yield f"# TYPE {_PREFIX}_{name} {kind}\n"


def _series(name: str, labels: Mapping[str, str]) -> str:
    inside = ",".join(f'{key}="{_escaped(value)}"' for key, value in labels.items())
    return f"{_PREFIX}_{name}{{{inside}}}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
