"""What the rows have in common: a broker, a subject, a load, and what became of it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Final, TypeVar

import attrs
from attrs import field, frozen

from benchmarks import fleet
from benchmarks.broker import Broker, Mailbox, free_port
from benchmarks.child import Child, Memory, cpu_s_of
from benchmarks.clients import REPORT_TOPIC
from benchmarks.collector import Collector, Piece, Tally, tally
from benchmarks.generator import Load, Sent
from benchmarks.subjects import Agent, Setup, Subject
from benchmarks.system_calls import SystemCalls

__all__ = ["ROOT", "Bench", "Options", "Outcome", "Running", "scratch"]

ROOT: Final = Path(__file__).resolve().parent.parent
"""What children need on their path of modules."""

_T = TypeVar("_T")

_WARM_UP_LIMIT_S: Final = 60.0
_START_LIMIT_S: Final = 20.0
_IDLE_S: Final = 3.0
"""When nothing has come for this time nothing more will: what is missing then is lost."""


@frozen
class Options:
    """What the command line asks for.

    Attributes:
        agent: the agent, the subject of every row.
        peers: whom to compare it with.
        repeat: repetitions of each measurement; None: each row's own.
        quick: smaller loads and two repetitions, to see that all works.
        mosquitto: the path of the broker.
    """

    agent: Agent = field(factory=Agent)
    peers: tuple[Subject, ...] = ()
    repeat: int | None = None
    quick: bool = False
    mosquitto: str = "mosquitto"


@frozen
class Outcome:
    """What became of a load.

    Attributes:
        load: what was sent.
        sent: what the load generator tells.
        arrived: messages that the subject has handed on, or counted.
        asked: messages beside these that have asked it for its count.
        seconds: from the first message sent to the last one read from the subject.
        cpu_s: CPU time of the subject for it.
        broker_cpu_s: that of the broker.
        wakeups: how often the subject has waited and been woken up.
        pieces: what was read from the subject.
        before, after: memory of the subject.
    """

    load: Load
    sent: Sent
    arrived: int
    asked: int
    seconds: float
    cpu_s: float
    broker_cpu_s: float
    wakeups: int
    pieces: Sequence[Piece]
    before: Memory
    after: Memory

    @property
    def cpu_us(self) -> float:
        """CPU time of the subject for one message, us."""
        return self.cpu_s / self.taken * 1e6

    @property
    def taken(self) -> int:
        """Messages that have cost the subject something; at least 1."""
        return max(1, self.arrived + self.asked)

    @property
    def rate(self) -> float:
        """Messages a second, from the first sent to the last read."""
        return self.arrived / max(1e-9, self.seconds)

    @property
    def missing(self) -> int:
        """Messages that did not arrive, by count."""
        return self.sent.messages - self.arrived

    @property
    def lost(self) -> int:
        """Messages of which there is no line, by a look at every line."""
        return self.sent.messages - self.tally().distinct

    def tally(self) -> Tally:
        """Look at every line."""
        return tally(
            self.pieces,
            devices=self.load.devices,
            rounds=self.load.rounds,
            first_round=self.load.first_round,
            origin_us=self.load.origin_us,
        )


class Bench:
    """Runs loads; made once for a run.

    Args:
        options: see there.
        say: tells a user what is going on.
    """

    def __init__(self, options: Options, say: Callable[[str], None]) -> None:
        self.options = options
        self.say = say

    @property
    def agent(self) -> Agent:
        """The agent."""
        return self.options.agent

    def repeat(self, usual: int) -> int:
        """Return how often to repeat a measurement that is usually repeated so often."""
        if self.options.repeat is not None:
            return self.options.repeat
        return 2 if self.options.quick else usual

    def size(self, full: _T, quick: _T) -> _T:
        """Return one of two sizes."""
        return quick if self.options.quick else full

    def broker(self, settings: Sequence[str] = ()) -> Broker:
        """Make the broker of a measurement; it is not started."""
        return Broker(self.options.mosquitto, settings)

    @contextmanager
    def running(
        self,
        subject: Subject,
        *,
        devices: int,
        qos: int = 0,
        mixed: bool = False,
        broker_settings: Sequence[str] = (),
        to_database: bool = False,
    ) -> Iterator[Running]:
        """Start a broker and a subject that knows its devices and has taken a message of each.

        With a database the subject writes there, and what that has taken counts.
        """
        with ExitStack() as stack:
            broker = stack.enter_context(self.broker(broker_settings))
            directory = stack.enter_context(scratch())
            broker.retain(fleet.announcement(index) for index in range(devices))
            database = None
            if to_database:
                port = free_port()
                receiver = [sys.executable, "-m", "benchmarks.receiver", str(port)]
                database = stack.enter_context(
                    Child(receiver, directory, environment(), "receiver")
                )
                _wait_for(port)
            url = f"http://127.0.0.1:{port}" if to_database else ""
            setup = Setup(broker.port, directory, qos=qos, database=url)
            child = stack.enter_context(Child(subject.command(setup), directory, environment()))
            collector = stack.enter_context(Collector([database or child], subject.count))
            run = Running(subject, broker, child, collector, devices, qos=qos, mixed=mixed)
            run.database = database
            run.warm_up()
            yield run


class Running:
    """A subject under measurement, ready to take loads.

    Args:
        subject: what runs.
        broker: its broker.
        child: its process.
        collector: reads its output.
        devices: that it knows.
        qos: of the messages.
        mixed: several kinds of devices.
    """

    def __init__(
        self,
        subject: Subject,
        broker: Broker,
        child: Child,
        collector: Collector,
        devices: int,
        *,
        qos: int,
        mixed: bool,
    ) -> None:
        self.subject = subject
        self.broker = broker
        self.child = child
        self.collector = collector
        self.devices = devices
        self.qos = qos
        self.mixed = mixed
        self.database: Child | None = None
        self._next_round = 0
        self._asked = 0

    def warm_up(self) -> None:
        """Send rounds until one has arrived in whole: the subject is connected and knows all.

        Raises:
            RuntimeError: that did not happen.
        """
        end_s = time.monotonic() + _WARM_UP_LIMIT_S
        while True:
            self.collector.begin()
            load = self.load(1, rate=min(20_000.0, 4.0 * self.devices + 200))
            generate(load, self.collector)
            if self._await(load.messages, idle_s=0.5, limit_s=10):
                break
            if not self.child.alive or time.monotonic() > end_s:
                raise self.child.explain(
                    f"{self.subject.name} took {self.collector.total} of {load.messages} messages "
                    "of its warm-up"
                )
        self.collector.drain(self.subject.quiet_s)
        # A second one, so that what is made at the first message of a kind is there.
        self.send(self.load(2, rate=min(20_000.0, 4.0 * self.devices + 200)))

    def load(
        self,
        rounds: int,
        *,
        rate: float = 0,
        backlog: int = 0,
        limit_s: float = 180.0,
        only: int = 0,
    ) -> Load:
        """Make a load of the devices; sequence numbers go on where they stopped."""
        first = self._next_round
        self._next_round += rounds
        return Load(
            port=self.broker.port,
            devices=self.devices,
            rounds=rounds,
            qos=self.qos,
            rate=rate,
            only=only,
            first_round=first,
            origin_us=time.monotonic_ns() // 1000,
            mixed=self.mixed,
            progress=self.collector.progress_path if backlog else "",
            backlog=backlog,
            limit_s=limit_s,
        )

    def load_for(self, seconds: float, *, rate: float) -> Load:
        """Make a load of so many seconds; it may end within a round."""
        messages = max(1, round(seconds * rate))
        return self.load(-(-messages // self.devices), rate=rate, only=messages)

    def send(
        self,
        load: Load,
        meanwhile: Callable[[float], None] = lambda _elapsed_s: None,
        *,
        calls: SystemCalls | None = None,
    ) -> Outcome:
        """Send a load, and wait for what comes of it.

        Args:
            load: made by `load`.
            meanwhile: called again and again with the seconds since the start.
            calls: counts the subject's system calls.
        """
        collector, child = self.collector, self.child
        collector.drain(self.subject.quiet_s)
        self._asked = 0
        collector.begin()
        before = child.memory
        cpu_s, broker_cpu_s = child.cpu_s, cpu_s_of(self.broker.pid)
        wakeups = child.wakeups
        with calls or nullcontext():
            sent = generate(load, collector, meanwhile)
            self._await(load.messages, idle_s=_IDLE_S, limit_s=load.limit_s)
        if not child.alive:
            raise child.explain(f"{self.subject.name} ended under load")
        last_ns = max(collector.last_ns, sent.ended_ns)
        return Outcome(
            load=load,
            sent=sent,
            arrived=collector.total,
            asked=self._asked,
            seconds=(last_ns - sent.started_ns) / 1e9,
            cpu_s=child.cpu_s - cpu_s,
            broker_cpu_s=cpu_s_of(self.broker.pid) - broker_cpu_s,
            wakeups=child.wakeups - wakeups,
            pieces=list(collector.pieces[0]),
            before=before,
            after=child.memory,
        )

    def idle(self, seconds: float) -> tuple[float, float]:
        """Send nothing for so long; return the share of a core used, and wake-ups a second."""
        wakeups = self.child.wakeups
        cpu_s, started_s = self.child.cpu_s, time.monotonic()
        while time.monotonic() < started_s + seconds:
            self.collector.read(1.0)
        used_s = self.child.cpu_s - cpu_s
        passed_s = time.monotonic() - started_s
        return used_s / passed_s, (self.child.wakeups - wakeups) / passed_s

    def _await(self, expected: int, *, idle_s: float, limit_s: float) -> bool:
        if not self.subject.asks:
            return self.collector.until(expected, idle_s=idle_s, limit_s=limit_s)
        # What was sent before has its place before the question, so the answer counts all.
        end_s = time.monotonic() + limit_s
        quiet_s = time.monotonic() + idle_s
        with Mailbox(self.broker.port) as box:
            while self.collector.total < expected:
                before = self.collector.total
                box.publish(REPORT_TOPIC, b"")
                self._asked += 1
                self.collector.until(expected, idle_s=0.2, limit_s=0.2)
                now_s = time.monotonic()
                if self.collector.total > before:
                    quiet_s = now_s + idle_s
                if now_s > min(end_s, quiet_s):
                    return False
        return True


def generate(
    load: Load,
    collector: Collector,
    meanwhile: Callable[[float], None] = lambda _elapsed_s: None,
) -> Sent:
    """Run the load generator while the collector reads.

    Raises:
        RuntimeError: it failed.
    """
    started_s = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.generator", json.dumps(attrs.asdict(load))],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **environment()},
    )
    try:
        while process.poll() is None:
            collector.read(0.01)
            meanwhile(time.monotonic() - started_s)
        out, err = process.communicate()
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    if process.returncode:
        raise RuntimeError(f"the load generator failed:\n{err.decode(errors='replace')}")
    return Sent(**json.loads(out))


def _wait_for(port: int) -> None:
    """Wait until something listens there."""
    end_s = time.monotonic() + _START_LIMIT_S
    while time.monotonic() < end_s:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        time.sleep(0.02)
    raise RuntimeError(f"nothing listens on port {port} after {_START_LIMIT_S:g} s")


def environment() -> dict[str, str]:
    """Return what children need beside our own environment.

    They keep their bytecode, as what is installed does: else a start would compile the agent again.
    """
    before = os.environ.get("PYTHONPATH")
    return {
        "PYTHONPATH": f"{ROOT}{os.pathsep}{before}" if before else str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONUNBUFFERED": "",
    }


@contextmanager
def scratch() -> Iterator[Path]:
    """Make a directory that goes away again."""
    directory = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
