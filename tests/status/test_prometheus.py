"""What `/metrics` says, as Prometheus' own parser reads it."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.catalogue import METRICS_AGENT
from metrics_agent.status.web.prometheus import COUNTERS, exposition
from tests.status.page_case import whole

Found = dict[tuple[str, frozenset[tuple[str, str]]], float]


def parsed(state: dict[str, Any]) -> tuple[Found, dict[str, tuple[str, str]]]:
    """Return the samples by name and labels, and type and help by name."""
    samples: Found = {}
    about = {}
    for family in text_string_to_metric_families("".join(exposition(state))):
        about[family.name] = (family.type, family.documentation)
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in samples, key
            samples[key] = sample.value
    return samples, about


def key(name: str, /, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    """Return how a sample is found; the parser names counters as OpenMetrics does."""
    return f"metrics_agent_{name}", frozenset(labels.items())


class ExpositionTests(SynchronousTestCase):
    """Rows, labels, types."""

    def test_rows(self) -> None:
        """Agent, modules, connections and output, told apart by the tags of their rows."""
        connection = {
            "module_instance": "tasmota",
            "broker": "tcp://a:1883",
            "client_id": "x",
            "state": 3,
        }
        samples, about = parsed(whole(connections=[connection]))
        tags = {"broker": "tcp://a:1883", "client_id": "x", "module_instance": "tasmota"}
        for name, labels, value in (
            ("info", {"version": "1", "name": "pi"}, 1),
            ("uptime", {"module": "agent"}, 3.0),
            ("metrics_total", {"module": "demo"}, 7),
            ("metrics_total", {"module": "output", "output": "stdout"}, 7),
            ("state", {"module": "mqtt", **tags}, 3),
        ):
            self.assertEqual(samples[key(name, **labels)], value, name)
        self.assertEqual(about["metrics_agent_metrics"][0], "counter")
        self.assertEqual(about["metrics_agent_uptime"], ("gauge", "uptime (s)"))

    def test_the_names_are_as_they_are_written(self) -> None:
        """Those of the measurement in VictoriaMetrics, without a suffix."""
        lines = list(exposition(whole()))
        self.assertIn('metrics_agent_metrics{module="demo"} 7\n', lines)
        self.assertIn("# TYPE metrics_agent_metrics counter\n", lines)

    def test_families(self) -> None:
        """A place and a reason are labels, since they may be any text."""
        module = {"module": "demo", "errors": 3, "errors_tick": 2, "errors_a b": 1, "dropped_x": 4}
        samples, _ = parsed(whole(modules=[module]))
        for name, labels, value in (
            ("errors_total", {}, 3),
            ("errors_by_place_total", {"place": "tick"}, 2),
            ("errors_by_place_total", {"place": "a b"}, 1),
            ("dropped_by_reason_total", {"reason": "x"}, 4),
        ):
            self.assertEqual(samples[key(name, module="demo", **labels)], value, name)

    def test_counters(self) -> None:
        """Each is a field of the catalogue."""
        fields = {each.name for each in METRICS_AGENT.fields}
        self.assertEqual(COUNTERS - fields, set())

    def test_twice_the_same(self) -> None:
        """Prometheus would refuse all for two samples with the same labels."""
        row = {"module": "demo", "metrics": 7}
        samples, _ = parsed(whole(modules=[row, {**row, "metrics": 8}]))
        self.assertEqual(samples[key("metrics_total", module="demo")], 7)

    def test_values(self) -> None:
        """Any number is one; what is not, such as a text, is left out."""
        agent = {"version": "1", "instance": "pi", "uptime": 1e300, "cpu": True, "memory": "x"}
        samples, about = parsed(whole(agent=agent))
        self.assertEqual(samples[key("uptime", module="agent")], 1e300)
        self.assertEqual({"metrics_agent_memory", "metrics_agent_cpu"} & {*about}, set())

    @given(st.text(), st.text())
    def test_any_text(self, name: str, reason: str) -> None:
        """Texts of devices and settings cannot forge a line."""
        module = {"module": name, "metrics": 1, f"dropped_{reason}": 2}
        output = {"output": name, "metrics": 5}
        samples, _ = parsed(whole(modules=[module], outputs=[output]))
        self.assertEqual(samples[key("metrics_total", module=name)], 1)
        self.assertEqual(samples[key("metrics_total", module="output", output=name)], 5)
        if reason:
            labels = {"module": name, "reason": reason}
            self.assertEqual(samples[key("dropped_by_reason_total", **labels)], 2)
