"""A real cluster of brokers whose nodes are killed: `python -m benchmarks.cluster`.

Three nodes of nats-server, each message on all three. The agent has all three addresses, and the
node that it is connected to is killed (-9) again and again and started again, under numbered
messages at QoS 1. A plain paho client with the same addresses runs beside it. A number counts as
accepted once a node has sent its PUBACK; the devices send again what has none.

Status 0 if the agent has lost nothing that it acknowledged, and no more than paho of the rest.
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

from benchmarks.endurance.accounts import Fate, account
from benchmarks.endurance.devices import Devices
from benchmarks.endurance.ledger import Ledger
from benchmarks.endurance.nats import Nats, Node
from benchmarks.endurance.peer import Peer
from benchmarks.endurance.stage import Cleanups, run
from benchmarks.endurance.tap import Notes, Tap
from tests.integration.case import told
from tests.integration.parent import HarnessParent
from tests.integration.watching import argv, pause, until

__all__ = ["Outcome", "main", "table"]

_CONFIG: Final = """
state_dir = "{directory}/state"
[modules.tasmota]
enabled = true
broker = [{brokers}]
client_id = "agent"
keepalive = "5s"
connect_timeout = "3s"
reconnect_min = "200ms"
reconnect_max = "2s"
"""
_SETTLE_S: Final = 2.0
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
        paho_hit: kills of the node that paho was connected to as well.
    """

    seed: int
    sent: int = 0
    repeated: int = 0
    gaps_s: list[float] = field(factory=list)
    agent: Fate = field(factory=Fate)
    paho: Fate = field(factory=Fate)
    paho_hit: int = 0

    @property
    def wrong(self) -> list[str]:
        """What should not be."""
        found = []
        if self.agent.by_subject:
            found.append(f"acknowledged and not written: {self.agent.by_subject}")
        if self.agent.lost_by_broker > self.paho.lost_by_broker:
            found.append(
                f"not delivered to the agent: {self.agent.by_broker}; to paho: {self.paho.by_broker}"
            )
        return found


async def measure(
    cleanups: Cleanups, path: str, *, kills: int, rate: float, seed: int, protocol: str
) -> Outcome:
    """Run once."""
    chance = random.Random(seed)
    outcome = Outcome(seed)
    directory = cleanups.directory()
    nats = Nats(cleanups, directory, path)
    nats.start()
    await nats.all_healthy()
    ports = [node.port for node in nats.nodes]
    devices = Devices(cleanups, ports, name="plug", devices=10, rate=rate)
    await devices.connect()
    subjects = [_Subject(cleanups, ports) for _ in range(2)]
    agent, paho = subjects
    config = directory / "agent.toml"
    brokers = ", ".join(f'"tcp://127.0.0.1:{tap.port}"' for tap in agent.taps)
    text = _CONFIG.format(directory=directory, brokers=brokers)
    config.write_text(text + (f'protocol = "{protocol}"\n' if protocol else ""), "utf-8")
    config.chmod(0o640)
    parent = HarnessParent(cleanups, argv("metrics-agent", "-c", str(config)))
    parent.start()
    peer = Peer(cleanups, directory / "paho", [tap.port for tap in paho.taps])
    peer.start()
    await until(
        lambda: all(subject.notes.subscribed for subject in subjects),
        lambda: f"both to subscribe: {told(parent.log)}",
        _LIMIT_S,
    )
    await pause(_SETTLE_S)
    ledger = Ledger(judge_every=100)

    def take() -> bool:
        data = bytes(parent.output)
        parent.output.clear()
        ledger.take(data)
        return bool(data)

    devices.start()
    await until(take, "the first lines", _LIMIT_S)
    for _ in range(kills):
        await pause(chance.uniform(1, 3))
        take()
        index = agent.at()
        outcome.paho_hit += paho.at() == index
        await _kill(nats.nodes[index], index, subjects)
        killed_s = time.monotonic()
        # What the pipe still held is no sign of life.
        await pause(0.05)
        take()
        await until(take, lambda: f"lines after a kill: {told(parent.log)}", _LIMIT_S)
        outcome.gaps_s.append(time.monotonic() - killed_s)
        await pause(chance.uniform(0, 2))
        nats.nodes[index].start()
        await nats.all_healthy()
        for subject in subjects:
            subject.taps[index].open()
        print(f"node {index + 1} killed: {outcome.gaps_s[-1]:.2f} s", file=sys.stderr, flush=True)
    devices.stop()
    await devices.all_accepted()

    def both_have_all() -> bool:
        take()
        peer.take()
        fates = _fates(devices, agent, ledger), _fates(devices, paho, peer.ledger)
        outcome.agent, outcome.paho = fates
        return not any(fate.lost_by_subject or fate.lost_by_broker for fate in fates)

    try:
        await until(both_have_all, "all numbers", _REDELIVERY_LIMIT_S)
    except AssertionError as late:
        print(late, file=sys.stderr, flush=True)
    outcome.sent, outcome.repeated = devices.total, devices.repeated
    await parent.stop()
    if outcome.wrong:
        print(told(parent.log), file=sys.stderr, flush=True)
    return outcome


class _Subject:
    """What a subscriber is connected by."""

    def __init__(self, cleanups: Cleanups, ports: Sequence[int]) -> None:
        self.notes = Notes()
        self.taps = [Tap(cleanups, port, self.notes) for port in ports]

    def at(self) -> int:
        """Return the index of the node that it is connected to, -1 for none."""
        return next((index for index, tap in enumerate(self.taps) if tap.in_use), -1)


async def _kill(node: Node, index: int, subjects: Sequence[_Subject]) -> None:
    node.kill()
    for subject in subjects:
        await subject.taps[index].close()


def _fates(devices: Devices, subject: _Subject, ledger: Ledger) -> Fate:
    return account(devices.sent, subject.notes, ledger.devices)


def table(outcomes: Sequence[Outcome]) -> str:
    """Return a row for each run."""
    lines = [
        "| seed | kills | messages | lost by the agent | lost by paho | twice, agent and paho | "
        "without data, median and longest |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for outcome in outcomes:
        lost = [
            fate.lost_by_subject + fate.lost_by_broker for fate in (outcome.agent, outcome.paho)
        ]
        cells = [
            str(outcome.seed),
            f"{len(outcome.gaps_s)}, {outcome.paho_hit} of paho's node",
            f"{outcome.sent:,}",
            *map(str, lost),
            f"{outcome.agent.again}, {outcome.paho.again}",
            f"{statistics.median(outcome.gaps_s):.1f} s, {max(outcome.gaps_s):.1f} s",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


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
    given = parser.parse_args(arguments)
    seed = given.seed if given.seed is not None else random.randrange(1_000_000)

    async def work(cleanups: Cleanups) -> int:
        outcomes = []
        for number in range(given.runs):
            outcome = await measure(
                cleanups,
                given.nats_server,
                kills=given.kills,
                rate=given.rate,
                seed=seed + number,
                protocol=given.protocol,
            )
            outcomes.append(outcome)
            await cleanups.clean_up()
            for text in outcome.wrong:
                print(f"wrong, seed {outcome.seed}: {text}", file=sys.stderr)
        sys.stdout.write(f"{table(outcomes)}\n")
        return 1 if any(outcome.wrong for outcome in outcomes) else 0

    return run(work)


if __name__ == "__main__":
    sys.exit(main())
