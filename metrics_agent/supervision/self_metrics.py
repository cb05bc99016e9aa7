"""The agent's own metrics: a row for the whole, each module, each MQTT connection and the output.

The fields are made here once, for these rows and for `status`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from attrs import frozen
from twisted.application.service import Service

from metrics_agent.catalogue import METRICS_AGENT
from metrics_agent.logs.events import AGENT
from metrics_agent.metric import FieldValue, Metric, Series
from metrics_agent.supervision.counters import LONGEST_ERROR, Counters
from metrics_agent.supervision.guard import Guard
from metrics_agent.timer import Timer

__all__ = [
    "CONFIG_ERROR",
    "ConnectionReport",
    "ModuleReport",
    "OutputReport",
    "SelfMetrics",
    "agent_fields",
    "connection_fields",
    "module_fields",
    "output_fields",
]

CONFIG_ERROR: Final = (5, "config_error")
"""Number and word of a module whose settings are wrong; it has no supervisor."""


@frozen
class ModuleReport:
    """What there is to say of one module.

    Attributes:
        name: of the module, ``tasmota`` or ``tasmota:garage``.
        state: number and word, see `lifecycle.State`.
        counters: its counters.
        state_since: seconds in this state; None where there is no supervisor.
        restarts_recent: restarts within the window of the restart policy.
        last_metric: seconds since its last metric; None if it has had none.
        last_error: place and text of its last error; None if it has had none.
        last_error_since: seconds since then.
    """

    name: str
    state: tuple[int, str]
    counters: Counters
    state_since: float | None = None
    restarts_recent: int = 0
    last_metric: float | None = None
    last_error: tuple[str, str] | None = None
    last_error_since: float | None = None


@frozen
class ConnectionReport:
    """What there is to say of one MQTT connection.

    Attributes:
        broker: the address, without secrets; the first one where several are set, so that the
            series stays the same when another one takes over.
        client_id: unique among the connections of this process.
        module_instance: the module whose connection it is.
        state: number and word, see `lifecycle.State`.
        counters: of this connection.
        problem: why it does not work, a clause; empty while it does, or nothing is known yet.
    """

    broker: str
    client_id: str
    module_instance: str
    state: tuple[int, str]
    counters: Counters
    problem: str = ""


@frozen
class OutputReport:
    """What there is to say of the output.

    Attributes:
        output: the setting, without what may be secret.
        state: number and word: running, or backing off while it cannot be written to.
        problem: why it cannot, a clause; empty if it can.
        metrics: that its reader has taken.
        dropped: metrics, by reason.
    """

    output: str
    state: tuple[int, str]
    problem: str
    metrics: int
    dropped: Mapping[str, int]


def module_fields(report: ModuleReport) -> dict[str, FieldValue]:
    """Return the fields of a module's row."""
    code, word = report.state
    counters = report.counters
    fields: dict[str, FieldValue] = {"state": code, "state_text": word}
    fields.update(_counts(counters))
    fields["restarts"] = counters.restarts
    fields["restarts_recent"] = report.restarts_recent
    fields["messages"] = counters.messages
    fields["metrics"] = counters.metrics
    fields.update(_last_error(report.last_error))
    for name in ("state_since", "last_metric", "last_error_since"):
        value = getattr(report, name)
        if value is not None:
            fields[name] = round(value, 1)
    return fields


def connection_fields(report: ConnectionReport) -> dict[str, FieldValue]:
    """Return the fields of an MQTT connection's row."""
    code, word = report.state
    fields: dict[str, FieldValue] = {"state": code, "state_text": word}
    fields.update(_dropped(report.counters.dropped))
    if report.problem:
        fields["last_error"] = report.problem[:LONGEST_ERROR]
    return fields


def output_fields(report: OutputReport) -> dict[str, FieldValue]:
    """Return the fields of the output's row."""
    code, word = report.state
    fields: dict[str, FieldValue] = {"state": code, "state_text": word}
    fields["metrics"] = report.metrics
    fields.update(_dropped(report.dropped))
    if report.problem:
        fields["last_error"] = report.problem[:LONGEST_ERROR]
    return fields


def agent_fields(
    values: Mapping[str, FieldValue | None], counters: Counters
) -> dict[str, FieldValue]:
    """Return the fields of the row of the whole agent, without those that are None."""
    known = {name: value for name, value in values.items() if value is not None}
    return {**dict(_counts(counters)), **_last_error(counters.last_error), **known}


def _last_error(error: tuple[str, str] | None) -> dict[str, FieldValue]:
    return {} if error is None else {"last_error_place": error[0], "last_error": error[1]}


def _counts(counters: Counters) -> Iterator[tuple[str, FieldValue]]:
    yield "errors", sum(counters.errors.values())
    for place, count in counters.errors.items():
        yield f"errors_{place}", count
    yield from _dropped(counters.dropped)


def _dropped(dropped: Mapping[str, int]) -> Iterator[tuple[str, FieldValue]]:
    yield "dropped", sum(dropped.values())
    for reason, count in dropped.items():
        yield f"dropped_{reason}", count


class SelfMetrics(Service):
    """Writes the rows every interval; the interval is asked for each time.

    Args:
        clock: provides seconds and callLater.
        now_ns: the wall clock.
        interval_s: gives the seconds between two rounds, 0 for none.
        modules: gives the reports of all modules.
        connections: gives the reports of all MQTT connections.
        agent: gives values and counters of the whole.
        output: gives the report of the output.
        emit: takes metrics; does not raise.
        guard: contains a fault of our own.
    """

    def __init__(
        self,
        clock: Any,
        *,
        now_ns: Callable[[], int],
        interval_s: Callable[[], float],
        modules: Callable[[], Iterable[ModuleReport]],
        connections: Callable[[], Iterable[ConnectionReport]],
        agent: Callable[[], tuple[Mapping[str, FieldValue | None], Counters]],
        output: Callable[[], OutputReport],
        emit: Callable[[Iterable[Metric]], None],
        guard: Guard,
    ) -> None:
        self._now_ns = now_ns
        self._interval_s = interval_s
        self._modules = modules
        self._connections = connections
        self._agent = agent
        self._output = output
        self._emit = emit
        self._guard = guard
        self._series: dict[tuple[tuple[str, str], ...], Series] = {}
        self._timer = Timer(clock, self._tick, lambda error: guard.caught("self_metrics", error))

    def startService(self) -> None:
        """Write the first rows after an interval."""
        super().startService()
        self._set()

    def stopService(self) -> None:
        """Write no more; safe before start and twice."""
        super().stopService()
        self._timer.stop()

    def reschedule(self) -> None:
        """Take a new interval into account."""
        if self.running:
            self._set()

    def _set(self) -> None:
        self._timer.stop()
        if interval_s := self._interval_s():
            self._timer.start(interval_s)

    def _tick(self) -> float | None:
        rows = self._guard.run("self_metrics", lambda: list(self._rows()))
        self._emit(rows or ())
        return self._interval_s() or None

    def _rows(self) -> Iterator[Metric]:
        time_ns = self._now_ns()
        values, counters = self._agent()
        yield Metric(self._of(module=AGENT), agent_fields(values, counters), time_ns)
        for report in self._modules():
            yield Metric(self._of(module=report.name), module_fields(report), time_ns)
        for each in self._connections():
            series = self._of(
                module="mqtt",
                broker=each.broker,
                client_id=each.client_id,
                module_instance=each.module_instance,
            )
            yield Metric(series, connection_fields(each), time_ns)
        output = self._output()
        series = self._of(module="output", output=output.output)
        yield Metric(series, output_fields(output), time_ns)

    def _of(self, **tags: str) -> Series:
        """Return the series of these tags, the same each time."""
        key = tuple(tags.items())
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = Series(METRICS_AGENT.name, tags)
        return series
