"""Nothing piles up: restarts and messages leave an agent as they found it.

The short form of ``python -m benchmarks.leaks``, whose figures are in docs/robustness.md.
"""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import TestCase

from benchmarks.endurance.stage import Stage
from benchmarks.leaks import LIMITS, after_messages, after_restarts


class LeakTests(TestCase):
    """An agent with live connections, devices and a DTU."""

    timeout = 180

    def stage(self, **how) -> Stage:
        directory = Path(self.mktemp()).absolute()
        directory.mkdir()
        return Stage(self, directory, **how)

    async def test_restarts_and_messages(self) -> None:
        """Sixty restarts of all modules, then 50,000 messages: everything is flat, nothing lost."""
        stage = self.stage(judge_every=20)
        await stage.start()
        restarts = await after_restarts(stage, 60, 20)
        messages = await after_messages(stage, 50_000, 25_000)
        await stage.parent.stop()
        self.assertEqual((restarts.wrong, messages.wrong), ([], []))
        ledger = stage.ledger
        lost = (ledger.holes(), ledger.missing("plug"), ledger.missing("bulk"))
        self.assertEqual((lost, ledger.invalid), ((0, 0, 0), []))
        self.assertEqual((stage.parent.starts, stage.parent.exits), (1, [0]))

    async def test_leaks_are_seen(self) -> None:
        """A module that leaves something of each kind behind fails each of the limits."""
        stage = self.stage(more_modules={"leaky": "tests.faults.leaky:LEAKY"})
        await stage.start()
        course = await after_restarts(stage, 16, 8)
        await stage.parent.stop()
        grown = [name for name, _before, _after, flat in course.growth() if not flat]
        self.assertEqual(grown, [*LIMITS], course.wrong)
