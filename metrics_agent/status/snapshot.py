"""The state of an agent as plain values, under the names of docs/metrics.md. Pure.

What serves a page or a socket makes JSON of these values; nothing else looks at the parts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import inf
from typing import Any, Final, TypeAlias

from attrs import asdict

from metrics_agent.catalogue import DEVICE, MEASUREMENTS
from metrics_agent.devices.book import SWEEP_S
from metrics_agent.devices.device import Device
from metrics_agent.reload_report import ReloadReport
from metrics_agent.status.lines import read_line
from metrics_agent.supervision.lifecycle import State
from metrics_agent.supervision.reports import Reports
from metrics_agent.supervision.self_metrics import (
    CONFIG_ERROR,
    ConnectionReport,
    ModuleReport,
    OutputReport,
    agent_fields,
    connection_fields,
    module_fields,
    output_fields,
)

__all__ = ["Values", "device", "devices", "whole"]

Values: TypeAlias = dict[str, Any]
"""What JSON can carry."""

_WRONG: Final = {State.PARKED.value, State.BACKING_OFF.value, State.CLEARING.value, CONFIG_ERROR}


class _Places(dict[str, int]):
    """The place of each field, where one is looked at first; unknown ones come last."""

    def __missing__(self, name: str) -> int:
        return len(self)


_ORDER: Final[Mapping[str, tuple[int, _Places]]] = {
    each.name: (
        # What a device measures comes before how it is itself.
        len(MEASUREMENTS) + 1 if each is DEVICE else number,
        _Places((field.name, place) for place, field in enumerate(each.fields)),
    )
    for number, each in enumerate(MEASUREMENTS)
}
_UNKNOWN: Final = (len(_ORDER), _Places())
_OF_THE_DEVICE: Final = frozenset({"device", "vendor", "friendly"})


def whole(reports: Reports) -> Values:
    """Return the state of everything but devices.

    Returns:
        ``problems``, a list of objects with ``module`` and ``text``, empty if all is well;
        ``agent``, an object; ``modules``, ``connections`` and ``outputs``, lists of objects.
    """
    modules = list(reports.of_modules())
    connections = [*reports.of_connections(), *reports.of_own_connections()]
    output = reports.of_output()
    return {
        "problems": list(_problems(modules, connections, output, reports.page_problem())),
        "agent": _agent(reports),
        "modules": [{"module": each.name, **module_fields(each)} for each in modules],
        "connections": [_connection(each) for each in connections],
        "outputs": [{"output": output.output, **output_fields(output)}],
    }


def devices(
    reports: Reports, module: str | None = None, name: str | None = None
) -> Iterator[Values]:
    """Yield devices, one after the other: there may be thousands.

    Args:
        reports: of the agent.
        module: whose devices; None for those of all.
        name: of the device, or its friendly name; None for all.
    """
    for owner, book in reports.books().items():
        if module in {None, owner}:
            for each in list(book.devices.values()):
                if name in {None, each.name, each.friendly}:
                    now_s, now_ns = reports.clock.seconds(), reports.now_ns()
                    yield {"module": owner, **device(each, now_s, now_ns)}


def device(known: Device, now_s: float, now_ns: int) -> Values:
    """Return what is known of a device, with the last values of each of its series."""
    return {
        "device": known.name,
        "friendly": known.friendly,
        "vendor": known.vendor,
        "last_seen": _last_seen_s(known, now_s, now_ns),
        "online": known.online,
        "stale": known.is_stale,
        "interval": known.rhythm.known_interval_s or None,
        "series": list(_series(kept.line for kept in known.lines)),
    }


def _agent(reports: Reports) -> Values:
    found: Values = agent_fields(*reports.of_agent())
    agent = reports.agent
    found["config"] = str(agent.plan.config.path)
    found["stopping"] = agent.stopping
    report = agent.last_reload
    if report is not None:
        found["last_reload"] = _reload(report, reports.clock.seconds())
    return found


def _reload(report: ReloadReport, now_s: float) -> Values:
    values = asdict(report)
    del values["at_s"]
    return {"since": round(now_s - report.at_s, 1), "accepted": not report.reasons, **values}


def _connection(report: ConnectionReport) -> Values:
    return {
        "module_instance": report.module_instance,
        "broker": report.broker,
        "client_id": report.client_id,
        **connection_fields(report),
    }


def _problems(
    modules: Iterable[ModuleReport],
    connections: Iterable[ConnectionReport],
    output: OutputReport,
    page_problem: str,
) -> Iterator[Values]:
    for module in modules:
        if module.state in _WRONG:
            text = f"is {module.state[1].replace('_', ' ')}"
            if module.last_error:
                text += f": {module.last_error[1]}"
            yield {"module": module.name, "text": text}
    for each in connections:
        # Without a problem it has not been answered yet.
        if each.problem and each.state != State.RUNNING.value:
            text = f"is not connected to {each.broker}: {each.problem}"
            yield {"module": each.module_instance, "text": text}
    if output.problem:
        yield {"module": "output", "text": f"{output.output} is not written to: {output.problem}"}
    if page_problem:
        yield {"module": "status", "text": f"page cannot listen at {page_problem}"}


def _last_seen_s(known: Device, now_s: float, now_ns: int) -> float | None:
    if known.heard_ns != known.noted_ns:  # since the last sweep
        return round(min(max((now_ns - known.heard_ns) / 1e9, 0.0), SWEEP_S), 1)
    return None if known.heard_s == -inf else round(max(now_s - known.heard_s, 0.0), 1)


def _series(lines: Iterable[bytes]) -> Iterator[Values]:
    read = sorted(filter(None, map(read_line, lines)), key=lambda each: _order(each.measurement)[0])
    for each in read:
        names = sorted(each.fields, key=_order(each.measurement)[1].__getitem__)
        yield {
            "measurement": each.measurement,
            "tags": {
                name: value for name, value in each.tags.items() if name not in _OF_THE_DEVICE
            },
            "fields": {name: each.fields[name] for name in names},
            "time": each.time_ns,
        }


def _order(measurement: str) -> tuple[int, _Places]:
    """Return the place of a measurement, and of its fields, where one is looked at first."""
    return _ORDER.get(measurement, _UNKNOWN)
