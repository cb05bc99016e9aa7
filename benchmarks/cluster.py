"""A real cluster of brokers whose nodes are killed: `python -m benchmarks.cluster`.

Three nodes of nats-server, each message on all three. The agent has all three addresses, and the
node that it is connected to is killed (-9) again and again and started again, under numbered
messages at QoS 1. A plain paho client with the same addresses runs beside it. A number counts as
accepted once a node has sent its PUBACK; the devices send again what has none.

Status 0 if the agent has lost nothing that it acknowledged. What the cluster has lost, for each of
the two, is in the table.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Final

from attrs import define, field

from benchmarks.endurance.accounts import Fate, account, complete, ranges
from benchmarks.endurance.devices import Devices
from benchmarks.endurance.ledger import Ledger
from benchmarks.endurance.nats import Nats
from benchmarks.endurance.peer import Peer
from benchmarks.endurance.stage import Cleanups, run
from benchmarks.endurance.tap import Notes, Tap
from tests.integration.case import logged
from tests.integration.parent import HarnessParent
from tests.integration.watching import argv, pause, until

__all__ = ["Outcome", "main", "table"]

_CONFIG: Final = """
state_dir = "{directory}/state"
[modules.tasmota]
enabled = true
broker = [{brokers}]
client_id = "agent"
"""
_SETTLE_S: Final = 2.0
_IN_FLIGHT_S: Final = 0.1
_LIMIT_S: Final = 60.0
_REDELIVERY_LIMIT_S: Final = 120.0
"""nats-server sends again what is not acknowledged after 30 s (ack_wait)."""


@define
class Outcome:
    """One run.

    Attributes:
        seed: of the moments.
        sent: numbers, each accepted by the cluster.
        repeated: that the devices had to send again.
        gaps_s: after each kill, the time without new numbers from the agent.
        agent, paho: what became of the numbers.
        paho_gaps_s: the same of paho, where it was connected to the same node.
    """

    seed: int
    sent: int = 0
    repeated: int = 0
    gaps_s: list[float] = field(factory=list)
    agent: Fate = field(factory=Fate)
    paho: Fate = field(factory=Fate)
    paho_gaps_s: list[float] = field(factory=list)

    @property
    def wrong(self) -> list[str]:
        """What should not be."""
        if self.agent.by_subject:
            return [f"acknowledged and not written: {ranges(self.agent.by_subject)}"]
        return []


class _Run:
    """The cluster with its devices, the agent and paho."""

    def __init__(self, cleanups: Cleanups, given: argparse.Namespace, seed: int) -> None:
        self.outcome = Outcome(seed)
        self._chance = random.Random(seed)
        self._kills = given.kills
        directory = cleanups.directory()
        self._nats = Nats(cleanups, directory, given.nats_server)
        ports = [node.port for node in self._nats.nodes]
        self._devices = Devices(cleanups, ports, name="plug", devices=10, rate=given.rate)
        self._agent, self._paho = _Subject(cleanups, ports), _Subject(cleanups, ports)
        config = directory / "agent.toml"
        brokers = ", ".join(f'"tcp://127.0.0.1:{tap.port}"' for tap in self._agent.taps)
        text = _CONFIG.format(directory=directory, brokers=brokers)
        protocol = f'protocol = "{given.protocol}"\n' if given.protocol else ""
        config.write_text(text + protocol, "utf-8")
        config.chmod(0o640)
        self.parent = HarnessParent(cleanups, argv("metrics-agent", "-c", str(config)))
        self._peer = Peer(cleanups, directory / "paho", [tap.port for tap in self._paho.taps])
        self._ledgers = Ledger(judge_every=100), self._peer.ledger

    async def run(self) -> Outcome:
        """Do it."""
        self._nats.start()
        await self._nats.all_healthy()
        await self._devices.connect()
        self.parent.start()
        self._peer.start()
        await until(
            lambda: self._agent.notes.subscribed and self._paho.notes.subscribed,
            lambda: f"both to subscribe: {logged(self.parent.log)}",
            _LIMIT_S,
        )
        await pause(_SETTLE_S)
        self._devices.start()
        await until(self._take, "the first lines", _LIMIT_S)
        for _ in range(self._kills):
            await self._kill()
        self._devices.stop()
        await self._devices.all_accepted()
        await complete(self._look, _REDELIVERY_LIMIT_S)
        self.outcome.sent = self._devices.total
        self.outcome.repeated = self._devices.repeated
        await self.parent.stop()
        return self.outcome

    async def _kill(self) -> None:
        """Kill the node that the agent is connected to, and start it again after a while."""
        await pause(self._chance.uniform(1, 3))
        index = self._agent.at()
        together = self._paho.at() == index
        before, node = self._devices.total, self._nats.nodes[index]
        node.kill()
        for subject in (self._agent, self._paho):
            await subject.taps[index].close()
        killed_s = time.monotonic()
        # What the pipe still held is no sign of life.
        await pause(_IN_FLIGHT_S)
        self._take()
        gaps = [0.0, 0.0]
        lines = [ledger.lines for ledger in self._ledgers]

        def both_again() -> bool:
            self._take()
            for number, ledger in enumerate(self._ledgers):
                if ledger.lines > lines[number] and not gaps[number]:
                    gaps[number] = time.monotonic() - killed_s
            return all(gaps)

        await until(both_again, lambda: f"lines again: {logged(self.parent.log)}", _LIMIT_S)
        self.outcome.gaps_s.append(gaps[0])
        if together:
            self.outcome.paho_gaps_s.append(gaps[1])
        await pause(self._chance.uniform(0, 2))
        node.start()
        await self._nats.all_healthy()
        for subject in (self._agent, self._paho):
            subject.taps[index].open()
        print(
            f"node {node.number} killed after {before:,} messages, paho's too: {together}; lines "
            f"again after {gaps[0]:.1f} s, paho's after {gaps[1]:.1f} s",
            file=sys.stderr,
            flush=True,
        )

    def _take(self) -> bool:
        """Read what both have written; return whether the agent has written anything yet."""
        ledger = self._ledgers[0]
        ledger.take(bytes(self.parent.output))
        self.parent.output.clear()
        self._peer.take()
        return bool(ledger.lines)

    def _look(self) -> tuple[Fate, Fate]:
        self._take()
        sent, outcome = self._devices.sent, self.outcome
        outcome.agent = account(sent, self._agent.notes, self._ledgers[0].devices)
        outcome.paho = account(sent, self._paho.notes, self._ledgers[1].devices)
        return outcome.agent, outcome.paho


class _Subject:
    """What a subscriber is connected by."""

    def __init__(self, cleanups: Cleanups, ports: Sequence[int]) -> None:
        self.notes = Notes()
        self.taps = [Tap(cleanups, port, self.notes) for port in ports]

    def at(self) -> int:
        """Return the index of the node that it is connected to, -1 for none."""
        return next((index for index, tap in enumerate(self.taps) if tap.in_use), -1)


def table(outcomes: Sequence[Outcome]) -> str:
    """Return a row for each run."""
    head = (
        "| seed | kills | messages | lost by the agent | lost by the cluster: for the agent, "
        "for paho | twice: agent, paho | "
        "without data, median and longest: agent, paho |"
    )
    lines = [head, "|---:|---:|---:|---:|---:|---:|---:|"]
    for outcome in outcomes:
        cells = [
            str(outcome.seed),
            f"{len(outcome.gaps_s)}, {len(outcome.paho_gaps_s)} of paho's node",
            f"{outcome.sent:,}",
            str(outcome.agent.lost_by_subject),
            f"{outcome.agent.lost_by_broker}, {outcome.paho.lost_by_broker}",
            f"{outcome.agent.again}, {outcome.paho.again}",
            f"{_gaps(outcome.gaps_s)}; {_gaps(outcome.paho_gaps_s)}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _gaps(gaps_s: Sequence[float]) -> str:
    if not gaps_s:
        return "-"
    return f"{statistics.median(gaps_s):.1f} s, {max(gaps_s):.1f} s"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it and print what came of it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster", description=__doc__)
    parser.add_argument(
        "--nats-server", default="", help="its path; by default from PATH or ~/go/bin"
    )
    parser.add_argument("--runs", type=int, default=1, help="one after the other (%(default)s)")
    parser.add_argument("--kills", type=int, default=10, help="in each run (%(default)s)")
    parser.add_argument("--rate", type=float, default=300.0, help="messages a second (%(default)s)")
    parser.add_argument("--seed", type=int, help="of the moments; by chance by default")
    parser.add_argument("--protocol", default="", help="of the agent, as in its configuration")
    parser.add_argument("--log", action="store_true", help="the agent's last lines after each run")
    given = parser.parse_args(arguments)
    seed = given.seed if given.seed is not None else random.randrange(1_000_000)

    async def work(cleanups: Cleanups) -> int:
        outcomes = []
        for number in range(given.runs):
            measured = _Run(cleanups, given, seed + number)
            outcome = await measured.run()
            outcomes.append(outcome)
            await cleanups.clean_up()
            for name, fate in (("the agent", outcome.agent), ("paho", outcome.paho)):
                lost = f"{ranges(fate.by_broker)}, {fate.delivered} of them delivered once"
                print(f"lost by the cluster for {name}: {lost}", file=sys.stderr)
            for text in outcome.wrong:
                print(f"wrong, seed {outcome.seed}: {text}", file=sys.stderr)
            if given.log:
                print(logged(measured.parent.log), file=sys.stderr)
        sys.stdout.write(f"{table(outcomes)}\n")
        return 1 if any(outcome.wrong for outcome in outcomes) else 0

    return run(work)


if __name__ == "__main__":
    sys.exit(main())
