"""Half an hour of SIGKILL: `python -m benchmarks.soak kills`.

The agent, its broker and Telegraf are killed (-9) at random moments and started again, under
numbered messages at QoS 1 of devices that announce themselves, of devices that do not, and of a
second module that fails now and then. A plain paho client at the same broker is killed with the
agent. At the end each number that the broker has accepted is accounted for:

- written by Telegraf,
- read by Telegraf, which was killed before it wrote it,
- never acknowledged by the subscriber, so the broker had to deliver it and did not,
- acknowledged and not handed on: that is the agent's loss, and there may be none.

aedes and mochi keep no session over a kill, so the devices wait there until both have subscribed.

Status 0 if the agent has lost nothing itself and the broker no more for it than for paho, but for
what is on its way at a kill.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from attrs import define, field

from benchmarks.endurance.accounts import Fate, account, complete, missing, ranges
from benchmarks.endurance.brokers import BROKERS, make_broker
from benchmarks.endurance.devices import Devices
from benchmarks.endurance.fragile import TOPIC
from benchmarks.endurance.ledger import Ledger
from benchmarks.endurance.peer import Peer
from benchmarks.endurance.stage import Cleanups, run
from benchmarks.endurance.tap import Notes, Tap
from metrics_agent.describe import update
from tests.integration.case import install_modules, logged
from tests.integration.telegraf import TelegrafParent
from tests.integration.watching import argv, pause, python_path, until

__all__ = ["Kills", "Outcome", "main", "table"]

_CONFIG: Final = """
state_dir = "{directory}/state"
restart_backoff_min = "100ms"
restart_backoff_max = "2s"
module_restart_limit = 0
[modules.tasmota]
enabled = true
broker = "tcp://127.0.0.1:{port}"
reconnect_min = "100ms"
reconnect_max = "1s"
[modules.fragile]
enabled = true
broker = "tcp://127.0.0.1:{port}"
reconnect_min = "100ms"
reconnect_max = "1s"
"""
_TELEMETRY: Final = "tele/+/SENSOR"
_RATE: Final = 50.0
"""Messages a second of each of three loads."""
_BETWEEN_S: Final = (0.5, 20)
_SHORT_S: Final = 1.0
"""From the end of the agent or of Telegraf until its parent starts it again."""

_IN_FLIGHT: Final = 5
"""What is between a broker that dies and one of two subscribers differs by chance, by so many."""

_LIMIT_S: Final = 60.0
_END_LIMIT_S: Final = 90.0


@define
class Outcome:
    """One run.

    Attributes:
        broker: its name.
        seed: of the moments.
        seconds: how long it took.
        kills: how many of each.
        failures: starts of the second module after the first.
        sent: numbers that the broker has accepted, by load.
        agent, paho: what became of them.
        in_telegraf: numbers that Telegraf had read and not written when it was killed.
        invalid: lines that are not line protocol.
    """

    broker: str
    seed: int
    seconds: float = 0.0
    kills: dict[str, int] = field(factory=dict)
    failures: int = 0
    sent: dict[str, int] = field(factory=dict)
    agent: Fate = field(factory=Fate)
    paho: Fate = field(factory=Fate)
    in_telegraf: int = 0
    invalid: int = 0

    @property
    def wrong(self) -> list[str]:
        """What should not be."""
        found = []
        if self.agent.by_subject:
            found.append(f"acknowledged and not handed on: {ranges(self.agent.by_subject)}")
        deaths = sum(count for name, count in self.kills.items() if "broker" in name)
        if self.agent.lost_by_broker > self.paho.lost_by_broker + _IN_FLIGHT * deaths:
            found.append(
                f"the broker lost {ranges(self.agent.by_broker)} for the agent and "
                f"{ranges(self.paho.by_broker)} for paho"
            )
        if self.invalid:
            found.append(f"{self.invalid} lines are not line protocol")
        return found


class Kills:
    """A run.

    Args:
        cleanups: end all of it.
        broker: one of `BROKERS`.
        seed: of the moments.
    """

    def __init__(self, cleanups: Cleanups, broker: str, seed: int) -> None:
        self.outcome = Outcome(broker, seed)
        self._chance = random.Random(seed)
        self._directory = cleanups.directory()
        self._broker = make_broker(cleanups, broker)
        self._notes, self._paho_notes = Notes(), Notes()
        self._taps = [
            Tap(cleanups, self._broker.port, notes) for notes in (self._notes, self._paho_notes)
        ]
        self._loads = [
            Devices(
                cleanups, [self._broker.port], name=name, topic=topic, rate=_RATE, announced=known
            )
            for name, topic, known in (
                ("plug", "tele/{device}/SENSOR", True),
                ("bare", "tele/{device}/SENSOR", False),
                ("own", TOPIC, False),
            )
        ]
        filters = f"{_TELEMETRY},{TOPIC.format(device='+')}"
        self._paho = Peer(cleanups, self._directory / "paho", [self._taps[1].port], filters)
        self._taken_path = self._directory / "taken"
        self._pid_path = self._directory / "pid"
        self._taken, self._written = Ledger(judge_every=100), Ledger(judge_every=100)
        self._taken_bytes = self._written_bytes = 0
        self.parent = self._make_parent(cleanups)

    def _make_parent(self, cleanups: Cleanups) -> TelegrafParent:
        config = self._directory / "agent.toml"
        text = _CONFIG.format(directory=self._directory, port=self._taps[0].port)
        config.write_text(text, "utf-8")
        config.chmod(0o640)
        packages = self._directory / "packages"
        install_modules(packages, {"fragile": "benchmarks.endurance.fragile:MODULE"})
        recorder = [sys.executable, "-m", "benchmarks.endurance.recorder"]
        command = [
            *recorder,
            str(self._taken_path),
            str(self._pid_path),
            *argv("metrics-agent", "-c", str(config)),
        ]
        return TelegrafParent(
            cleanups,
            command,
            restart_delay_s=_SHORT_S,
            env={"PYTHONPATH": python_path(packages, Path.cwd())},
        )

    async def run(self, minutes: float) -> Outcome:
        """Do it."""
        began_s = time.monotonic()
        self._broker.start()
        for load in self._loads:
            await load.connect()
        self.parent.start()
        self._paho.start()
        await self._both_subscribed()
        await pause(2)
        for load in self._loads:
            load.start()
        acts: list[Callable[[], object]] = [
            self._kill_agent,
            self._kill_telegraf,
            self._kill_broker,
            self._kill_agent_and_broker,
        ]
        while time.monotonic() - began_s < 60 * minutes:
            await pause(self._chance.uniform(*_BETWEEN_S))
            await self._chance.choice(acts)()
            print(self._progress(), file=sys.stderr, flush=True)
        for load in self._loads:
            load.stop()
        await self._finish()
        self.outcome.seconds = time.monotonic() - began_s
        return self.outcome

    def keep(self, directory: Path) -> None:
        """Copy the logs to a directory."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "telegraf.log").write_text(self.parent.whole_log, "utf-8")
        (directory / "broker.log").write_text(self._broker.log, "utf-8")

    # The kills.

    async def _kill_agent(self) -> None:
        self._count("agent")
        self._end_agent()
        await pause(_SHORT_S)
        self._paho.start()

    async def _kill_telegraf(self) -> None:
        self._count("Telegraf")
        self.parent.kill()
        self._paho.kill()
        self._forget_subscriptions()
        await pause(_SHORT_S)
        self.parent.start()
        self._paho.start()

    async def _kill_broker(self) -> None:
        if not self._broker.keeps_sessions:
            await self._both_subscribed()
        self._count("broker")
        await self._broker_away(self._chance.uniform(0.1, 3))

    async def _kill_agent_and_broker(self) -> None:
        if not self._broker.keeps_sessions:
            await self._both_subscribed()
        self._count("agent and broker")
        self._end_agent()
        await self._broker_away(_SHORT_S)
        self._paho.start()

    def _count(self, what: str) -> None:
        self.outcome.kills[what] = self.outcome.kills.get(what, 0) + 1

    def _end_agent(self) -> None:
        self._paho.kill()
        self._forget_subscriptions()
        try:
            os.kill(int(self._pid_path.read_text("ascii")), signal.SIGKILL)
        except (OSError, ValueError):
            print("no agent to kill", file=sys.stderr, flush=True)

    async def _broker_away(self, seconds: float) -> None:
        """Kill the broker, and start it after a while.

        One that keeps no session takes with it what waits for a subscriber that is away, and knows
        of no subscription afterwards. That is nothing to judge a subscriber by, so the devices
        wait.
        """
        self._broker.kill()
        for tap in self._taps:
            await tap.close()
        if not self._broker.keeps_sessions:
            for load in self._loads:
                load.stop()
        self._forget_subscriptions()
        await pause(seconds)
        self._broker.start()
        for tap in self._taps:
            tap.open()
        if not self._broker.keeps_sessions:
            self._paho.start()
            await self._both_subscribed()
            for load in self._loads:
                load.start()

    def _forget_subscriptions(self) -> None:
        for notes in (self._notes, self._paho_notes):
            notes.subscribed.clear()

    async def _both_subscribed(self) -> None:
        """Wait until both have subscribed to all that is sent."""
        await until(
            lambda: all(
                any(topic_filter.startswith(prefix) for topic_filter in notes.subscribed)
                for notes in (self._notes, self._paho_notes)
                for prefix in ("tele/", "own/")
            ),
            lambda: f"both to subscribe: {logged(self.parent.log)}",
            _LIMIT_S,
        )
        await pause(1)

    # The end.

    def _take(self) -> None:
        """Read what is new in all outputs."""
        if self._taken_path.exists():
            with self._taken_path.open("rb") as file:
                file.seek(self._taken_bytes)
                data = file.read()
            self._taken_bytes += len(data)
            self._taken.take(data)
        output = self.parent.output
        self._written.take(bytes(output[self._written_bytes :]))
        self._written_bytes = len(output)
        self._paho.take()

    def _sent(self) -> dict[str, int]:
        return {device: last for load in self._loads for device, last in load.sent.items()}

    async def _finish(self) -> None:
        outcome = self.outcome
        for load in self._loads:
            await load.all_accepted()
        outcome.sent = {load.name: load.total for load in self._loads}
        sent = self._sent()

        def look() -> tuple[Fate, Fate]:
            self._take()
            outcome.agent = account(sent, self._notes, self._taken.devices)
            outcome.paho = account(sent, self._paho_notes, self._paho.ledger.devices)
            return outcome.agent, outcome.paho

        await complete(look, _END_LIMIT_S)
        await self.parent.stop()
        look()
        for device, last in sent.items():
            not_taken = missing(self._taken.devices.get(device), last)
            not_written = missing(self._written.devices.get(device), last)
            outcome.in_telegraf += len(not_written - not_taken)
        outcome.failures = max(
            0, sum("[fragile] Started" in said.text for said in self.parent.log) - 1
        )
        outcome.invalid = len(self._taken.invalid) + len(self._written.invalid)

    def _progress(self) -> str:
        self._take()
        kills = ", ".join(f"{count} {name}" for name, count in self.outcome.kills.items())
        return f"{sum(load.total for load in self._loads):,} sent; killed: {kills}"


def table(outcomes: Sequence[Outcome]) -> str:
    """Return a row for each broker."""
    head = (
        "| broker | minutes | kills | messages | lost by the agent | lost by the broker: for the "
        "agent, for paho | died with Telegraf | twice: agent, paho |"
    )
    lines = [head, "|---|---:|---|---:|---:|---:|---:|---:|"]
    for outcome in outcomes:
        cells = [
            outcome.broker,
            f"{outcome.seconds / 60:.0f}",
            ", ".join(f"{count} {name}" for name, count in sorted(outcome.kills.items())),
            f"{sum(outcome.sent.values()):,}",
            str(outcome.agent.lost_by_subject),
            f"{outcome.agent.lost_by_broker}, {outcome.paho.lost_by_broker}",
            str(outcome.in_telegraf),
            f"{outcome.agent.again:,}, {outcome.paho.again:,}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it and print what came of it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak kills", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30, help="for each broker (%(default)s)")
    parser.add_argument(
        "--brokers", default="mosquitto", help=f"by commas, of {', '.join(BROKERS)} (%(default)s)"
    )
    parser.add_argument("--seed", type=int, help="of the moments; by chance by default")
    parser.add_argument("--keep", type=Path, help="put the logs of each run into this directory")
    parser.add_argument("--update", type=Path, help="put the table into a document")
    given = parser.parse_args(arguments)
    seed = given.seed if given.seed is not None else random.randrange(1_000_000)
    print(f"seed {seed}", file=sys.stderr, flush=True)

    async def work(cleanups: Cleanups) -> int:
        outcomes = []
        for broker in given.brokers.split(","):
            kills = Kills(cleanups, broker, seed)
            outcomes.append(await kills.run(given.minutes))
            for name, fate in (("the agent", outcomes[-1].agent), ("paho", outcomes[-1].paho)):
                lost = f"{ranges(fate.by_broker)}, {fate.delivered} of them delivered once"
                print(f"lost by the broker for {name}: {lost}", file=sys.stderr)
            for text in outcomes[-1].wrong:
                print(f"wrong, {broker}, seed {seed}: {text}", file=sys.stderr)
                print(logged(kills.parent.log), file=sys.stderr)
            if given.keep:
                kills.keep(given.keep / broker)
            await cleanups.clean_up()
        block = table(outcomes)
        sys.stdout.write(f"{block}\n")
        if given.update:
            given.update.write_text(
                update(given.update.read_text("utf-8"), "kills", block), "utf-8"
            )
        return 1 if any(outcome.wrong for outcome in outcomes) else 0

    return run(work)
