"""The stages are those of the agent: what comes out is a line a message."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.stages import Way, stages


class StagesTests(SynchronousTestCase):
    """The path of a message in one process."""

    def test_every_message_becomes_a_line(self) -> None:
        way = Way(devices=3)
        before = way.counters.metrics
        way.take(way.frames)
        self.assertEqual(way.counters.metrics - before, 3)
        self.assertEqual(way.counters.errors, {})

    def test_every_stage_works_on_every_message(self) -> None:
        way = Way(devices=3)
        for name, call in stages(way).items():
            made = call()
            if isinstance(made, list):
                self.assertEqual(len(made), 3, name)
