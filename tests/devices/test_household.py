"""Simulated weeks: silence is reported soon, and not where there is none.

`python -m tests.devices.months` simulates 20 months of 500 devices.
"""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from tests.devices.household import DAY_S, Household, make_plans


class HouseholdTests(SynchronousTestCase):
    """Some devices for some days; the numbers of many months are in docs/robustness.md."""

    def test_weeks(self) -> None:
        """All that fall silent are reported within three intervals, and nothing else is."""
        random = Random(4)
        plans = make_plans(10, random)
        for plan in plans[3:5]:
            plan.ends_s = random.uniform(8, 9) * DAY_S
        plans[0].ends_s = 14 * DAY_S
        household = Household(
            plans,
            random,
            restarts=(2.3 * DAY_S,),
            deaf=((3 * DAY_S, 3 * DAY_S + 7200), (9 * DAY_S, 9 * DAY_S + 60)),
        )
        household.run(18 * DAY_S)
        self.assertEqual((household.false_alarms, household.together), ([], []))
        late = [
            (plan.reported_s - plan.due_s) / plan.interval_s
            for plan in plans
            if plan.ends_s < 20 * DAY_S
        ]
        self.assertEqual(len(late), 3)
        self.assertLess(max(late), 3)
