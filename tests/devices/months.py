"""Simulates months of a fleet: ``python -m tests.devices.months [seeds] [devices] [days]``.

20 months of 500 devices, the default, take an hour; the figures are in docs/robustness.md.
"""

from __future__ import annotations

import math
import sys
from random import Random

from tests.devices.household import DAY_S, Household, make_plans

__all__ = ["month"]

DEAF = ((3.0, 3.08), (9.0, 9.001), (14.2, 14.22))
"""Days at which the broker is away: for two hours, for a minute and for half an hour."""
RESTARTS = (5.3, 11.0, 17.01)


def month(seed: int, devices: int, days: int) -> tuple[int, list[float], int]:
    """Simulate; a tenth of the devices with an interval falls silent in the second half.

    Returns:
        The false alarms; for each device that was reported the intervals since its first missing
        message; how many were not reported.
    """
    random = Random(seed)
    plans = make_plans(devices, random)
    for plan in plans:
        if plan.interval_s and random.random() < 0.1:
            plan.ends_s = random.uniform(0.5, 0.8) * days * DAY_S
    household = Household(
        plans,
        random,
        restarts=tuple(day * DAY_S for day in RESTARTS),
        deaf=tuple((begin * DAY_S, end * DAY_S) for begin, end in DEAF),
    )
    household.run(days * DAY_S)
    late = [
        (plan.reported_s - plan.due_s) / plan.interval_s for plan in plans if plan.ends_s < math.inf
    ]
    reported = [each for each in late if each < math.inf]
    return len(household.false_alarms), reported, len(late) - len(reported)


def main() -> None:
    """Simulate months, and print what was found."""
    seeds, devices, days = (*map(int, sys.argv[1:]), *(20, 500, 30)[len(sys.argv) - 1 :])
    total = 0
    for seed in range(seeds):
        false_alarms, late, unreported = month(seed, devices, days)
        total += false_alarms
        print(  # noqa: T201 - a command
            f"seed {seed}: {false_alarms} false alarms; {len(late)} reported, the last "
            f"{max(late, default=0):.2f} intervals after its first missing message; "
            f"{unreported} not reported; false alarms a month so far {total / (seed + 1):.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
