"""Faults that only the next layer can heal: one test a row of `next_layer.NEXT_LAYER`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from tests.faults.case import TOP, FaultCase
from tests.faults.faulty import strikes
from tests.faults.next_layer import NEXT_LAYER, Fatal
from tests.integration.watching import pause, until

RESTART_DELAY_S = 1.0
WATCHDOG = 'watchdog_dump = "1s"\nwatchdog_exit = "3s"\n'
PATIENT = 'watchdog_dump = "1s"\nwatchdog_exit = "60s"\n'


class NextLayerTests(FaultCase):
    """The tests are added below, one for each row."""

    async def play(self, fatal: Fatal) -> None:
        """Let it break, and see who heals it."""
        struck = self.directory / "strikes"
        self.healthy_beside(
            f'[modules.faulty]\nenabled = true\nplace = "tick"\nfault = "{fatal.fault}"\n'
            f'strikes = "{struck}"\n',
            TOP + (WATCHDOG if fatal.exits else PATIENT),
        )
        parent = await self.start_beside(restart_delay_s=RESTART_DELAY_S)
        await until(lambda: strikes(struck), "the fault", 20)
        at_ns = strikes(struck)[0]

        def after() -> list[int]:
            points = self.points(parent, "steady")
            return [point.time_ns for point in points if point.time_ns > at_ns + 1e8]

        await until(after, "a healthy module after the fault", 60)
        recovered_ms = (min(after()) - at_ns) / 1e6
        await pause(0.3)
        if fatal.exits:
            self.assertIn(parent.exits[0], fatal.exits)
            self.assertEqual(parent.starts, 2)
        else:
            self.assertEqual(parent.starts, 1)
        told = "\n".join(said.text for said in parent.log)
        for part in filter(None, fatal.said.split("|")):
            self.assertIn(part, told)
        await parent.stop()
        await self.judge(fatal.row, parent, recovered_ms=recovered_ms)


def _test_of(fatal: Fatal) -> Callable[[NextLayerTests], Coroutine[Any, Any, None]]:
    async def test(self: NextLayerTests) -> None:
        await self.play(fatal)

    row = fatal.row
    test.__doc__ = f"{row.fault} in {row.place}: {row.must}; healed by {row.next_layer}."
    return test


for _fatal in NEXT_LAYER:
    setattr(NextLayerTests, f"test_{_fatal.row.name}", _test_of(_fatal))
