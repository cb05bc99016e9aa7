"""Faults inside a module: one test a row of `inside.INSIDE`."""

from __future__ import annotations

import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from metrics_agent.supervision.lifecycle import State
from metrics_agent.supervision.self_metrics import CONFIG_ERROR
from tests.faults.breakages import BAD_METRICS
from tests.faults.case import HEALTHY_NAMES, FaultCase, Point
from tests.faults.faulty import strikes
from tests.faults.inside import INSIDE, Scenario
from tests.faults.messages import Receiver
from tests.faults.numbered import PLACE
from tests.faults.peers import PEERS
from tests.integration.broker import DEBIAN_13
from tests.integration.watching import pause, until

OBSERVE_S = 0.4
ANNOUNCED = 5
_ROWS = [f"test_{scenario.row.name}" for scenario in INSIDE]
AT_PEERS = {"faulty": "tests.faults.faulty_peers:FAULTY"}


class InsideTests(FaultCase):
    """The tests are added below, one for each scenario."""

    def setUp(self) -> None:
        # By turns: all of these rows with both would take minutes more.
        if _ROWS.index(self._testMethodName) % 2:
            self.mosquitto_program = DEBIAN_13
        super().setUp()
        self.reload_file = self.directory / "reload"

    async def play(self, scenario: Scenario) -> None:
        """Run the agent, let it break, and see what becomes of it and of the others."""
        struck = self.directory / "strikes"
        places = (scenario.place,) if scenario.message else (PLACE,)
        self.beside.add(Receiver("faulty", "faulty", places))
        self.healthy_beside(self.faulty(scenario, struck))
        if scenario.announced:
            await self.announce()
        parent = await self.start_beside(modules=AT_PEERS if scenario.peer else {})
        if scenario.hup:
            await pause(OBSERVE_S)
            self.assertFalse(strikes(struck), "it struck before the reload")
            self.reload_file.touch()
            parent.signal_agent(signal.SIGHUP)
        await until(lambda: strikes(struck), "the fault", 20)
        recovered_ms = await self.recovered(parent, scenario, struck)
        await pause(OBSERVE_S)
        self.check_log(parent, scenario)
        await self.check_counts(parent, scenario)
        self.check_result(parent, scenario)
        if scenario.hup:
            lives = {module: len(self.lives(parent, module)) for module in HEALTHY_NAMES}
            self.assertEqual(lives, dict.fromkeys(HEALTHY_NAMES, 2), "of the healthy modules")
        if scenario.refused:
            await self.starts_after_reload(parent)
        if scenario.lasts_s:
            await self.outlasts(parent, scenario, struck)
        if scenario.announced:
            await self.check_learned(parent)
        if scenario.peer:
            await self.check_numbers(parent, scenario.place)
        await self.delivered(parent)
        took_s = await parent.stop()
        self.assertLess(took_s, 5)
        self.assertEqual((parent.exits, parent.starts), ([0], 1))
        counted = int(scenario.message)
        await self.judge(scenario.row, parent, recovered_ms=recovered_ms, counted=counted)

    def faulty(self, scenario: Scenario, struck: Path) -> str:
        """Return the table of the faulty module."""
        # At the first start there is nothing to see of a fault at a reload.
        after = f'after = "{self.reload_file}"' if scenario.hup else ""
        peer = f'peer = "{PEERS[scenario.place](self)}"' if scenario.peer else ""
        url = self.beside.broker.url
        mqtt = f'uses_mqtt = true\nbroker = "{url}"\nclient_id = "faulty"'
        return (
            f'[modules.faulty]\nenabled = true\nplace = "{scenario.place}"\n'
            f'fault = "{scenario.fault}"\nstrikes = "{struck}"\n{mqtt}\n{after}\n{peer}\n'
        )

    async def announce(self) -> None:
        """Have the broker retain messages that name a topic each."""
        publisher = self.beside.publisher
        await publisher.connected()
        for number in range(1, ANNOUNCED + 1):
            learned = f"learned/{number}".encode()
            publisher.publish(f"discovery/{number}", learned, qos=1, retain=True)
        await publisher.settle()

    async def recovered(self, parent: Any, scenario: Scenario, struck: Path) -> float | None:
        """Wait until the faulty module works again; return how long that took, in ms."""
        if scenario.refused:
            return None
        at_ns = strikes(struck)[0]

        def after() -> list[Point]:
            points = self.points(parent, "faulty")
            return [point for point in points if point.time_ns > at_ns]

        if scenario.restarts:
            await self.said(parent, "[faulty] Started again", "I")
            at_restart = len(after())
            await until(lambda: len(after()) > at_restart, "a metric of the new instance")
            return (after()[at_restart].time_ns - at_ns) / 1e6
        await until(after, "a metric after the fault", 15)
        if not scenario.hup:
            self.assert_one_life(parent)
            return (after()[0].time_ns - at_ns) / 1e6
        old = {p.tags for p in self.points(parent, "faulty") if p.time_ns < at_ns}

        def new() -> list[Point]:
            return [point for point in after() if point.tags not in old]

        await until(new, "the new instance of the reload")
        return (new()[0].time_ns - at_ns) / 1e6

    def assert_one_life(self, parent: Any) -> None:
        lives = {point.tags for point in self.points(parent, "faulty")}
        self.assertEqual(len(lives), 1, "it was restarted")

    async def starts_after_reload(self, parent: Any) -> None:
        """Reload once nothing breaks any more: the module that was refused runs."""
        self.assertEqual(self.points(parent, "faulty"), [])
        parent.signal_agent(signal.SIGHUP)
        await self.said(parent, "[faulty] Started.", "I")
        await until(lambda: self.points(parent, "faulty"), "a metric of the module")

    async def outlasts(self, parent: Any, scenario: Scenario, struck: Path) -> None:
        """Watch until the fault is over, and beyond: the module goes on all the time."""
        over_ns = strikes(struck)[0] + scenario.lasts_s * 1e9

        def beyond() -> bool:
            return any(point.time_ns > over_ns for point in self.points(parent, "faulty"))

        await until(beyond, "the end of the fault", scenario.lasts_s + 20)
        await pause(OBSERVE_S)
        self.assert_one_life(parent)
        await self.check_counts(parent, scenario)

    def check_log(self, parent: Any, scenario: Scenario) -> None:
        """The fault is in the log, in a line that says what the agent can know of it."""
        parts = [part for part in scenario.said.split("|") if part]
        if not parts:
            return
        lines = [said.text for said in parent.log if said.level in {"E", "W"}]
        logged = [line for line in lines if all(part in line for part in parts)]
        self.assertTrue(logged, "\n".join(lines))

    async def check_counts(self, parent: Any, scenario: Scenario) -> None:
        """The self-metrics have counted the fault once, for this module and no other."""
        wanted = {
            "errors": 1 if scenario.counted else 0,
            "restarts": 1 if scenario.restarts else 0,
            "dropped": scenario.dropped,
            "state": CONFIG_ERROR[0] if scenario.refused else State.RUNNING.code,
        }
        if scenario.counted:
            wanted[f"errors_{scenario.counted}"] = 1

        def counts() -> dict[str, Any]:
            row = self.self_metrics(parent, "faulty")
            return {name: row.get(name) for name in wanted}

        await until(lambda: counts() == wanted, lambda: f"{wanted}, got {counts()}", 5)
        for module in HEALTHY_NAMES:
            row = self.self_metrics(parent, f"steady:{module}")
            seen = {name: row[name] for name in ("errors", "restarts", "dropped")}
            self.assertEqual(seen, {"errors": 0, "restarts": 0, "dropped": 0}, module)

    def check_result(self, parent: Any, scenario: Scenario) -> None:
        """What the fault itself has to leave in the output."""
        if scenario.fault == "flood":
            numbers = [point.number for point in self.points(parent, "flood")]
            self.assertEqual(numbers, list(range(100_000)))
        if scenario.fault == "bad_metrics":
            names = [line.replace(b" ", b",").split(b",")[0] for line in parent.lines()]
            self.assertEqual((names.count(b"bad"), names.count(b"good")), (0, 1))
            self.assertEqual(len(self.lines_with(parent, " refused: ", "W")), BAD_METRICS)

    async def check_learned(self, parent: Any) -> None:
        """Only the topic that the first announcement names may be missing."""
        wanted = list(range(2, ANNOUNCED + 1))
        for number in range(1, ANNOUNCED + 1):
            self.beside.publisher.publish(f"learned/{number}", b"%d" % number, qos=1)

        def numbers() -> list[int]:
            return [point.number for point in self.points(parent, "learned")]

        await until(lambda: numbers() == wanted, lambda: f"{wanted}, got {numbers()}")

    async def check_numbers(self, parent: Any, measurement: str) -> None:
        """Only the first number of a peer, the one that struck, may be missing."""

        def numbers() -> list[int]:
            return [point.number for point in self.points(parent, measurement)]

        await until(lambda: len(numbers()) >= ANNOUNCED, lambda: f"numbers, got {numbers()}")
        self.assertEqual(numbers(), list(range(2, 2 + len(numbers()))))


def _test_of(scenario: Scenario) -> Callable[[InsideTests], Coroutine[Any, Any, None]]:
    async def test(self: InsideTests) -> None:
        await self.play(scenario)

    row = scenario.row
    test.__doc__ = f"{row.fault} in {row.place}: {row.must}."
    return test


for _scenario in INSIDE:
    setattr(InsideTests, f"test_{_scenario.row.name}", _test_of(_scenario))
