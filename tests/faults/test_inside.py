"""Faults inside a module: one test a row of `inside.INSIDE`."""

from __future__ import annotations

import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from tests.faults.case import FaultCase, Point
from tests.faults.faulty import strikes
from tests.faults.inside import INSIDE, Scenario
from tests.integration.broker import Mosquitto
from tests.integration.load import Load
from tests.integration.watching import pause, until

OBSERVE_S = 0.4
MESSAGES = 5


class InsideTests(FaultCase):
    """The tests are added below, one for each scenario."""

    async def play(self, scenario: Scenario) -> None:
        """Run the agent, let it break, and see what becomes of it and of the others."""
        struck = self.directory / "strikes"
        broker = Mosquitto.start(self) if scenario.message else None
        self.healthy_beside(self.faulty(scenario, struck, broker))
        parent = await self.start_beside()
        if broker is not None:
            await self.send(broker, scenario)
        if scenario.hup:
            await pause(OBSERVE_S)
            parent.signal_agent(signal.SIGHUP)
        await until(lambda: strikes(struck), "the fault", 20)
        recovered_ms = await self.recovered(parent, scenario, struck)
        await pause(OBSERVE_S)
        self.check_log(parent, scenario)
        self.check_result(parent, scenario)
        lost = await self.lost_messages(parent, scenario) if scenario.message else 0
        took_s = await parent.stop()
        self.assertLess(took_s, 5)
        self.assertEqual((parent.exits, parent.starts), ([0], 1))
        await self.judge(scenario.row, parent, recovered_ms=recovered_ms, lost=lost)

    def faulty(self, scenario: Scenario, struck: Path, broker: Mosquitto | None) -> str:
        """Return the table of the faulty module."""
        mqtt = f'uses_mqtt = true\nbroker = "{broker.url}"' if broker is not None else ""
        return (
            f'[modules.faulty]\nenabled = true\nplace = "{scenario.place}"\n'
            f'fault = "{scenario.fault}"\nstrikes = "{struck}"\n{mqtt}\n'
        )

    async def send(self, broker: Mosquitto, scenario: Scenario) -> None:
        """Send numbered messages, the first of which strikes."""
        load = await Load.connect(self, broker.port, devices=1)
        await until(lambda: broker.log.count("SUBACK") >= 1, "a subscription")
        for number in range(1, MESSAGES + 1):
            load.publish(f"{scenario.message}/x", b"%d" % number, qos=1)
        await load.barrier()

    async def recovered(self, parent: Any, scenario: Scenario, struck: Path) -> float | None:
        """Wait until the faulty module works again; return how long that took, in ms."""
        if scenario.place == "settings":
            return None
        at_ns = strikes(struck)[0]

        def after() -> list[Point]:
            points = self.points(parent, "faulty")
            return [point for point in points if point.time_ns > at_ns]

        if scenario.restarts:
            await self.said(parent, "Started again", "I")
            at_restart = len(after())
            await until(lambda: len(after()) > at_restart, "a metric of the new instance")
            return (after()[at_restart].time_ns - at_ns) / 1e6
        await until(after, "a metric after the fault", 15)
        lives = {point.tags for point in self.points(parent, "faulty")}
        old = {p.tags for p in self.points(parent, "faulty") if p.time_ns < at_ns}
        if scenario.hup:
            await until(
                lambda: {point.tags for point in after()} - old, "the new instance of the reload"
            )
        else:
            self.assertEqual(len(lives), 1, "it was restarted")
        return (after()[0].time_ns - at_ns) / 1e6

    def check_log(self, parent: Any, scenario: Scenario) -> None:
        """The fault is in the log, with the module and the place."""
        parts = [part for part in scenario.said.split("|") if part]
        if not parts:
            return
        lines = [said.text for said in parent.log if said.level in {"E", "W"}]
        told = [line for line in lines if all(part in line for part in parts)]
        self.assertTrue(told, "\n".join(lines))

    def check_result(self, parent: Any, scenario: Scenario) -> None:
        """What the fault itself has to leave in the output."""
        if scenario.fault == "flood":
            numbers = [point.number for point in self.points(parent, "flood")]
            self.assertEqual(numbers, list(range(100_000)))
        if scenario.fault == "bad_metrics":
            self.assertTrue([line for line in parent.lines() if line.startswith(b"good,")])
            self.assertFalse([line for line in parent.lines() if line.startswith(b"bad,")][1:])

    async def lost_messages(self, parent: Any, scenario: Scenario) -> int:
        """Only the message that struck may be missing."""
        wanted = list(range(2, MESSAGES + 1))

        def numbers() -> list[int]:
            return [point.number for point in self.points(parent, scenario.message)]

        await until(lambda: numbers() == wanted, lambda: f"{wanted}, got {numbers()}")
        return 1


def _test_of(scenario: Scenario) -> Callable[[InsideTests], Coroutine[Any, Any, None]]:
    async def test(self: InsideTests) -> None:
        await self.play(scenario)

    row = scenario.row
    test.__doc__ = f"{row.fault} in {row.place}: {row.must}."
    return test


for _scenario in INSIDE:
    setattr(InsideTests, f"test_{_scenario.row.name}", _test_of(_scenario))
