"""Faults that only the next layer can heal: one test a row of `next_layer.NEXT_LAYER`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from tests.faults.case import HEALTHY_NAMES, TOP, FaultCase
from tests.faults.faulty import STEADY_INTERVAL_S, strikes
from tests.faults.messages import Receiver
from tests.faults.next_layer import NEXT_LAYER, Fatal
from tests.integration.broker import with_both_mosquittos
from tests.integration.watching import pause, until

PAUSE_S = 1.0
"""So long all goes well."""

JUST_NOW_S = 0.2
RESTART_DELAY_S = 1.0
WATCHDOG = 'watchdog_dump = "1s"\nwatchdog_exit = "3s"\n'
PATIENT = 'watchdog_dump = "1s"\nwatchdog_exit = "60s"\n'


@with_both_mosquittos
class NextLayerTests(FaultCase):
    """The tests are added below, one for each row."""

    async def play(self, fatal: Fatal) -> None:
        """Let it break, and see who heals it."""
        struck = self.directory / "strikes"
        self.beside.add(Receiver("faulty", "faulty"))
        self.healthy_beside(
            f'[modules.faulty]\nenabled = true\nplace = "tick"\nfault = "{fatal.fault}"\n'
            f'strikes = "{struck}"\npause = "{PAUSE_S:g}s"\nuses_mqtt = true\n'
            f'broker = "{self.beside.broker.url}"\nclient_id = "faulty"\n',
            TOP + (WATCHDOG if fatal.exits else PATIENT),
        )
        parent = await self.start_beside(restart_delay_s=RESTART_DELAY_S)
        await until(lambda: strikes(struck), "the fault", 20)
        at_ns = strikes(struck)[0]
        await until(
            lambda: all(self.parted(parent, module, fatal, at_ns)[1] for module in HEALTHY_NAMES),
            "both healthy modules after the fault",
            60,
        )
        recovered_ms = max(
            self.recovered_ms(parent, module, fatal, at_ns) for module in HEALTHY_NAMES
        )
        await pause(0.3)
        if fatal.exits:
            self.assertIn(parent.exits[0], fatal.exits)
        self.assertEqual(parent.starts, 2 if fatal.exits else 1)
        self.assertGreater(recovered_ms, fatal.at_least_s * 1000)
        self.assertGreater(max(self.gaps_ms(parent)), fatal.at_least_s * 1000)
        logged = "\n".join(said.text for said in parent.log)
        for part in filter(None, fatal.said.split("|")):
            self.assertIn(part, logged)
        await self.delivered(parent)
        await parent.stop()
        await self.judge(fatal.row, parent, recovered_ms=recovered_ms)

    def parted(
        self, parent: Any, module: str, fatal: Fatal, at_ns: int
    ) -> tuple[list[int], list[int]]:
        """Return when a healthy module wrote before the fault, and when after it."""
        lives = self.lives(parent, module)
        times = [[point.time_ns for point in life] for life in lives]
        if not fatal.exits:
            self.assertEqual(len(lives), 1, "it was restarted")
            return (
                [each for each in times[0] if each <= at_ns],
                [each for each in times[0] if each > at_ns],
            )
        self.assertLessEqual(len(lives), 2, "more than one restart")
        return times[0], [each for life in times[1:] for each in life]

    def recovered_ms(self, parent: Any, module: str, fatal: Fatal, at_ns: int) -> float:
        """See that a module was well at work before; return the time to its first metric after."""
        before, after = self.parted(parent, module, fatal, at_ns)
        self.assertGreater(len(before), PAUSE_S / STEADY_INTERVAL_S / 2)
        # What was collected before the fault was written, but for what was just on its way.
        self.assertGreater(before[-1], at_ns - JUST_NOW_S * 1e9)
        return (after[0] - at_ns) / 1e6


def _test_of(fatal: Fatal) -> Callable[[NextLayerTests], Coroutine[Any, Any, None]]:
    async def test(self: NextLayerTests) -> None:
        await self.play(fatal)

    row = fatal.row
    test.__doc__ = f"{row.fault} in {row.place}: {row.must}; healed by {row.next_layer}."
    return test


for _fatal in NEXT_LAYER:
    setattr(NextLayerTests, f"test_{_fatal.row.name}", _test_of(_fatal))
