"""The agent's own rows: what they hold, when they come."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from metrics_agent.catalogue import METRICS_AGENT
from metrics_agent.line_protocol import Encoder
from metrics_agent.metric import FieldValue, Metric
from metrics_agent.supervision.counters import Counters
from metrics_agent.supervision.lifecycle import State
from metrics_agent.supervision.self_metrics import (
    CONFIG_ERROR,
    ConnectionReport,
    ModuleReport,
    OutputReport,
    SelfMetrics,
)
from tests.supervision.fakes import SupervisionCase, raiser


class SelfMetricsTests(SupervisionCase):
    """With one module and the agent."""

    def setUp(self) -> None:
        super().setUp()
        self.interval_s = 60.0
        self.reports = [ModuleReport("demo", State.RUNNING.value, self.counters)]
        self.connections: list[ConnectionReport] = []
        self.values: dict[str, FieldValue | None] = {"uptime": 1.5, "metrics": 7, "memory": None}
        self.output = OutputReport("stdout", State.RUNNING.value, "", 5, {})
        self.agent_counters = Counters()
        self.emitted: list[Metric] = []
        self.service = SelfMetrics(
            self.clock,
            now_ns=lambda: 17,
            interval_s=lambda: self.interval_s,
            modules=lambda: iter(self.reports),
            connections=lambda: iter(self.connections),
            agent=lambda: (self.values, self.agent_counters),
            output=lambda: self.output,
            emit=self.emit,
            guard=self.guard,
        )
        self.addCleanup(self.service.stopService)

    def emit(self, metrics: Iterable[Metric]) -> None:
        self.emitted.extend(metrics)

    def lines(self) -> list[str]:
        encoder = Encoder()
        return [encoder.encode(each).decode().rstrip("\n") for each in self.emitted]

    def test_rows(self) -> None:
        """One of the whole, one of each module, counters by place and reason and their sums."""
        self.counters.restarts, self.counters.metrics = 2, 9
        self.counters.error("tick")
        self.counters.error("tick")
        self.counters.error("message")
        self.counters.drop("oversized", 4)
        self.agent_counters.drop("queue_full", 5)
        self.service.startService()
        self.clock.advance(60)
        agent, demo, output = self.lines()
        self.assertEqual(
            agent,
            "metrics_agent,module=agent dropped=5i,dropped_queue_full=5i,errors=0i,"
            "metrics=7i,uptime=1.5 17",
        )
        self.assertEqual(
            demo,
            "metrics_agent,module=demo dropped=4i,dropped_oversized=4i,errors=3i,"
            "errors_message=1i,errors_tick=2i,messages=0i,metrics=9i,restarts=2i,"
            'restarts_recent=0i,state=2i,state_text="running" 17',
        )
        self.assertEqual(
            output,
            "metrics_agent,module=output,output=stdout dropped=0i,metrics=5i,state=2i,"
            'state_text="running" 17',
        )

    def test_health_of_a_module(self) -> None:
        """Since when it is in its state, its last metric, and its last error with the place."""
        self.reports = [
            ModuleReport(
                "demo",
                State.BACKING_OFF.value,
                self.counters,
                state_since=3.21,
                restarts_recent=2,
                last_metric=70.0,
                last_error=("tick", "ValueError('x')"),
                last_error_since=4.0,
            )
        ]
        self.service.startService()
        self.clock.advance(60)
        self.assertEqual(
            self.lines()[1],
            "metrics_agent,module=demo dropped=0i,errors=0i,last_error=\"ValueError('x')\","
            'last_error_place="tick",last_error_since=4.0,last_metric=70.0,messages=0i,metrics=0i,'
            'restarts=0i,restarts_recent=2i,state=3i,state_since=3.2,state_text="backing_off" 17',
        )

    def test_an_output_that_cannot_be_written_to(self) -> None:
        """Why, and what was dropped meanwhile."""
        state = State.BACKING_OFF.value
        self.output = OutputReport("tcp://a:1", state, "refused", 5, {"queue_full": 2})
        self.service.startService()
        self.clock.advance(60)
        self.assertEqual(
            self.lines()[2],
            "metrics_agent,module=output,output=tcp://a:1 dropped=2i,dropped_queue_full=2i,"
            'last_error="refused",metrics=5i,state=3i,state_text="backing_off" 17',
        )

    def test_last_error_of_the_agent(self) -> None:
        """A fault of its own is there like one of a module."""
        self.agent_counters.note_error("load", "OSError(5)")
        self.service.startService()
        self.clock.advance(60)
        self.assertIn('last_error="OSError(5)",last_error_place="load"', self.lines()[0])

    def test_a_row_for_each_connection(self) -> None:
        """Each with its broker, client id, module, state and its own counters."""
        counters = Counters()
        counters.drop("oversized", 2)
        self.connections = [
            ConnectionReport("tcp://a:1883", "id-1", "a", State.RUNNING.value, Counters()),
            ConnectionReport("tcp://a:1883", "id-2", "b", State.BACKING_OFF.value, counters),
        ]
        self.service.startService()
        self.clock.advance(60)
        self.assertEqual(
            self.lines()[2:-1],
            [
                (
                    "metrics_agent,broker=tcp://a:1883,client_id=id-1,module=mqtt,"
                    "module_instance=a dropped=0i,"
                    'state=2i,state_text="running" 17'
                ),
                (
                    "metrics_agent,broker=tcp://a:1883,client_id=id-2,module=mqtt,"
                    "module_instance=b dropped=2i,"
                    'dropped_oversized=2i,state=3i,state_text="backing_off" 17'
                ),
            ],
        )

    def test_in_the_catalogue(self) -> None:
        """Every field of a row is one that docs/metrics.md describes, with its type."""
        self.counters.error("tick")
        self.counters.drop("oversized")
        self.reports = [
            ModuleReport(
                "demo",
                State.RUNNING.value,
                self.counters,
                state_since=1.0,
                last_metric=1.0,
                last_error=("tick", "x"),
                last_error_since=1.0,
            )
        ]
        self.service.startService()
        self.clock.advance(60)
        for row in self.emitted:
            for name, value in row.fields.items():
                kinds = [each.kind for each in METRICS_AGENT.fields if each.covers(name)]
                self.assertIn(type(value).__name__, kinds, name)

    def test_states(self) -> None:
        """Each state has its number and word, a module with wrong settings too."""
        self.reports = [
            ModuleReport("a", State.PARKED.value, Counters()),
            ModuleReport("b", CONFIG_ERROR, Counters()),
        ]
        self.service.startService()
        self.clock.advance(60)
        fields = [dict(each.fields) for each in self.emitted[1:-1]]
        self.assertEqual(
            [(each["state"], each["state_text"]) for each in fields],
            [(4, "parked"), (5, "config_error")],
        )

    def test_interval(self) -> None:
        """The first round comes after an interval, then one every interval."""
        self.service.startService()
        self.assertEqual(self.emitted, [])
        self.clock.pump([59, 1, 60, 60])
        self.assertEqual(len(self.emitted), 9)

    def test_off(self) -> None:
        """With an interval of 0 there are none."""
        self.interval_s = 0
        self.service.startService()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_reschedule(self) -> None:
        """A new interval counts from when it comes into force; so do off and on."""
        self.service.startService()
        self.clock.advance(50)
        for interval_s, rounds in ((10.0, 1), (0.0, 0), (20.0, 1)):
            self.emitted.clear()
            self.interval_s = interval_s
            self.service.reschedule()
            self.clock.advance(interval_s)
            self.assertEqual(len(self.emitted), 3 * rounds)

    def test_reschedule_when_it_does_not_run(self) -> None:
        """Before the start and after the stop a new interval starts nothing."""
        self.service.reschedule()
        self.service.startService()
        self.service.stopService()
        self.service.reschedule()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop(self) -> None:
        """Safe before start and twice; nothing is written afterwards."""
        self.service.stopService()
        self.service.startService()
        self.service.stopService()
        self.service.stopService()
        self.clock.advance(600)
        self.assertEqual(self.emitted, [])

    def test_own_fault(self) -> None:
        """A fault in making the rows costs one round."""
        reports: Any = self.service._modules
        self.service._modules = raiser(RecursionError("deep"))
        self.service.startService()
        self.clock.advance(60)
        self.assertEqual((self.emitted, self.counters.errors), ([], {"self_metrics": 1}))
        self.service._modules = reports
        self.clock.advance(60)
        self.assertEqual(len(self.emitted), 3)
