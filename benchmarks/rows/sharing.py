"""Several agents that share the load of one broker, one of them killed in the middle."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from attrs import define

from benchmarks import fleet
from benchmarks.bench import Bench, environment, generate, scratch
from benchmarks.broker import Broker
from benchmarks.child import Child
from benchmarks.collector import Collector, tally
from benchmarks.generator import Load, Sent
from benchmarks.rows.base import Notebook, Row
from benchmarks.subjects import Setup

__all__ = ["ROW"]

_DEVICES: Final = 500
_COUNTS: Final = (1, 2, 4)
_BACKLOG: Final = 20_000
_WINDOW: Final = 20
"""mosquitto's max_inflight_messages: what may be unacknowledged at one agent."""
_KILL_PACE: Final = 6000.0
_RESTART_AFTER_S: Final = 1.0
_WARM_UP_S: Final = 60.0
_IDLE_S: Final = 5.0


def measure(bench: Bench, notebook: Notebook) -> None:
    """Measure the rate of 1, 2 and 4 agents at QoS 1; kill one of four and start it again."""
    for repetition in range(bench.repeat(3)):
        for count in _COUNTS:
            bench.say(f"sharing: {count} agents, repetition {repetition + 1}")
            _rate(bench, notebook, count)
        bench.say(f"sharing: one of four killed, repetition {repetition + 1}")
        _kill(bench, notebook)
    for count in _COUNTS[1:]:
        notebook.ratio(
            f"rate of {count} agents against 1",
            ("rate, QoS 1", _agents(count)),
            ("rate, QoS 1", _agents(1)),
            more_is_better=True,
        )
    notebook.note(
        "Broker, load generator, reader and agents share the cores of this machine: with as many "
        "agents as cores or more the rate cannot grow any further here."
    )


def _agents(count: int) -> str:
    return "1 agent" if count == 1 else f"{count} agents"


@define
class _Group:
    """Agents of one group at one broker."""

    bench: Bench
    broker: Broker
    directory: Path
    children: list[Child]
    collector: Collector
    next_round: int = 0

    def setup(self, number: int) -> Setup:
        """Return the setup of one of them."""
        return Setup(self.broker.port, self.directory, qos=1, shared_group="bench", number=number)

    def start(self, number: int) -> Child:
        """Start one of them, or start it again."""
        argv = self.bench.agent.command(self.setup(number))
        return Child(argv, self.directory, environment(), f"agent-{number}")

    def load(self, rounds: int, *, rate: float = 0, backlog: int = 0) -> Load:
        """Make a load; sequence numbers go on where they stopped."""
        first = self.next_round
        self.next_round += rounds
        return Load(
            port=self.broker.port,
            devices=_DEVICES,
            rounds=rounds,
            qos=1,
            rate=rate,
            first_round=first,
            origin_us=time.monotonic_ns() // 1000,
            progress=self.collector.progress_path if backlog else "",
            backlog=backlog,
        )

    def warm_up(self) -> None:
        """Send rounds until one has arrived in whole, and every agent has written something."""
        end_s = time.monotonic() + _WARM_UP_S
        while True:
            self.collector.begin()
            load = self.load(1, rate=2000)
            generate(load, self.collector)
            whole = self.collector.until(load.messages, idle_s=1.0, limit_s=10)
            if whole and all(self.collector.pieces):
                break
            for child in self.children:
                if not child.alive or time.monotonic() > end_s:
                    raise child.explain("an agent of the group took no messages")
        self.collector.drain(0.5)
        self.collector.begin()


@contextmanager
def _group(bench: Bench, count: int) -> Iterator[_Group]:
    with ExitStack() as stack:
        broker = stack.enter_context(bench.broker([f"max_inflight_messages {_WINDOW}"]))
        directory = stack.enter_context(scratch())
        broker.retain(fleet.announcement(index) for index in range(_DEVICES))
        collector = stack.enter_context(Collector([]))
        group = _Group(bench, broker, directory, [], collector)
        for number in range(count):
            child = stack.enter_context(group.start(number))
            group.children.append(child)
            collector.add(child)
        group.warm_up()
        yield group


def _rate(bench: Bench, notebook: Notebook, count: int) -> None:
    with _group(bench, count) as group:
        collector = group.collector
        before_s = [child.cpu_s for child in group.children]
        load = group.load(bench.size(300, 60), backlog=_BACKLOG)
        sent = generate(load, collector)
        collector.until(load.messages, idle_s=_IDLE_S, limit_s=60)
        cpu_s = sum(child.cpu_s for child in group.children) - sum(before_s)
        seconds = (max(collector.last_ns, sent.ended_ns) - sent.started_ns) / 1e9
        shares = [
            100 * arrived / max(1, collector.total) for arrived in _arrived_of_load(collector)
        ]
        _check(notebook, group, load, sent, _agents(count), duplicates_allowed=0)
    notebook.add("rate, QoS 1", _agents(count), load.messages / seconds, "msg/s")
    notebook.add("CPU per message, all agents", _agents(count), cpu_s / load.messages * 1e6, "us")
    if count > 1:
        notebook.add("smallest share of an agent", _agents(count), min(shares), "%")


def _arrived_of_load(collector: Collector) -> list[int]:
    return [
        sum(data.count(b"energy_total=") for _when, data in pieces) for pieces in collector.pieces
    ]


def _kill(bench: Bench, notebook: Notebook) -> None:
    subject = "4 agents, one killed"
    rounds = bench.size(72, 36)
    seconds = rounds * _DEVICES / _KILL_PACE
    with _group(bench, 4) as group, ExitStack() as stack:
        done: list[str] = []

        def meanwhile(elapsed_s: float) -> None:
            if not done and elapsed_s > seconds / 3:
                done.append("killed")
                group.children[0].signal(signal.SIGKILL)
            elif done == ["killed"] and elapsed_s > seconds / 3 + _RESTART_AFTER_S:
                done.append("started again")
                child = stack.enter_context(group.start(0))
                group.children.append(child)
                group.collector.add(child)

        load = group.load(rounds, rate=_KILL_PACE)
        sent = generate(load, group.collector, meanwhile)
        # What is sent to the killed one while it is away waits in its session.
        group.collector.until(load.messages + _WINDOW, idle_s=_IDLE_S, limit_s=60)
        if len(done) < 2:
            raise RuntimeError("the load was over before an agent could be killed and restarted")
        _check(notebook, group, load, sent, subject, duplicates_allowed=_WINDOW)


def _check(
    notebook: Notebook,
    group: _Group,
    load: Load,
    sent: Sent,
    subject: str,
    *,
    duplicates_allowed: int,
) -> None:
    found = tally(
        [piece for pieces in group.collector.pieces for piece in pieces],
        devices=load.devices,
        rounds=load.rounds,
        first_round=load.first_round,
        origin_us=load.origin_us,
    )
    notebook.add("lost, QoS 1", subject, sent.taken - found.distinct, target=0, floor=0)
    notebook.add(
        "duplicates",
        subject,
        found.duplicates,
        target=duplicates_allowed,
        floor=duplicates_allowed,
    )


ROW: Final = Row("sharing", "1, 2 and 4 agents of one shared_group", measure)
