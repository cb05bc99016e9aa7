"""The agent's own metrics: a row for the whole, for each module and for each MQTT connection."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from attrs import frozen
from twisted.application.service import Service

from metrics_agent.catalogue import METRICS_AGENT
from metrics_agent.metric import FieldValue, Metric, Series
from metrics_agent.supervision.counters import Counters
from metrics_agent.supervision.guard import Guard
from metrics_agent.timer import Timer

__all__ = [
    "CONFIG_ERROR",
    "ConnectionReport",
    "ModuleReport",
    "SelfMetrics",
    "agent_row",
    "connection_row",
    "module_row",
]

_TAGS: Final = ("module", "broker", "client_id", "module_instance")
CONFIG_ERROR: Final = (5, "config_error")
"""Number and word of a module whose settings are wrong; it has no supervisor."""


@frozen
class ModuleReport:
    """What there is to say of one module.

    Attributes:
        name: of the module, ``tasmota`` or ``tasmota:garage``.
        state: number and word, see `lifecycle.State`.
        counters: its counters.
    """

    name: str
    state: tuple[int, str]
    counters: Counters


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
    """

    broker: str
    client_id: str
    module_instance: str
    state: tuple[int, str]
    counters: Counters


def module_row(report: ModuleReport, series: Series, time_ns: int) -> Metric:
    """Return the row of a module."""
    code, word = report.state
    fields: dict[str, FieldValue] = {"state": code, "state_text": word}
    fields.update(_counts(report.counters))
    fields["restarts"] = report.counters.restarts
    fields["metrics"] = report.counters.metrics
    return Metric(series, fields, time_ns)


def connection_row(report: ConnectionReport, series: Series, time_ns: int) -> Metric:
    """Return the row of an MQTT connection."""
    code, word = report.state
    fields: dict[str, FieldValue] = {"state": code, "state_text": word}
    fields.update(_dropped(report.counters))
    return Metric(series, fields, time_ns)


def agent_row(
    values: Mapping[str, FieldValue], counters: Counters, series: Series, time_ns: int
) -> Metric:
    """Return the row of the whole agent."""
    return Metric(series, {**dict(_counts(counters)), **values}, time_ns)


def _counts(counters: Counters) -> Iterator[tuple[str, FieldValue]]:
    yield "errors", sum(counters.errors.values())
    for place, count in counters.errors.items():
        yield f"errors_{place}", count
    yield from _dropped(counters)


def _dropped(counters: Counters) -> Iterator[tuple[str, FieldValue]]:
    yield "dropped", sum(counters.dropped.values())
    for reason, count in counters.dropped.items():
        yield f"dropped_{reason}", count


class SelfMetrics(Service):
    """Writes the rows each interval; the interval is asked for each time.

    Args:
        clock: provides seconds and callLater.
        now_ns: the wall clock.
        interval_s: gives the seconds between two rounds, 0 for none.
        modules: gives the reports of all modules.
        connections: gives the reports of all MQTT connections.
        agent: gives values and counters of the whole.
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
        agent: Callable[[], tuple[Mapping[str, FieldValue], Counters]],
        emit: Callable[[Iterable[Metric]], None],
        guard: Guard,
    ) -> None:
        self._now_ns = now_ns
        self._interval_s = interval_s
        self._modules = modules
        self._connections = connections
        self._agent = agent
        self._emit = emit
        self._guard = guard
        self._series: dict[tuple[str, ...], Series] = {}
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
        yield agent_row(values, counters, self._series_of("agent"), time_ns)
        for report in self._modules():
            yield module_row(report, self._series_of(report.name), time_ns)
        for each in self._connections():
            series = self._series_of("mqtt", each.broker, each.client_id, each.module_instance)
            yield connection_row(each, series, time_ns)

    def _series_of(self, *values: str) -> Series:
        """Return the series of these tags: module, broker, client id, module of the connection."""
        series = self._series.get(values)
        if series is None:
            tags = dict(zip(_TAGS, values, strict=False))
            series = self._series[values] = Series(METRICS_AGENT.name, tags)
        return series
