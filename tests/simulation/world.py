"""Devices, brokers, an agent and its reader, where everything goes wrong by chance."""

from __future__ import annotations

import errno
from collections import Counter, deque
from collections.abc import Callable, Collection
from pathlib import Path
from random import Random
from typing import Any, Final

from twisted.logger import globalLogPublisher

from metrics_agent.errors import ConfigError
from tests.simulation.broker import BrokerOptions, ModelBroker, Publication
from tests.simulation.clock import SimClock
from tests.simulation.disk import SimDisk
from tests.simulation.ledger import Key, Ledger, key_of
from tests.simulation.modules import numbered_kind
from tests.simulation.process import AgentProcess, make_observer
from tests.simulation.reader import Reader

__all__ = ["Violation", "World"]

_PORTS: Final = {"a": 1883, "b": 1883, "c": 1884, "tasmota": 1884}
DEVICES: Final = ("d0q0", "d1q1", "u0q0", "u1q1")
"""Tasmota devices: those with a d announce themselves; the last digit is the QoS they send at."""
_ANNOUNCEMENT: Final = (
    '{"ip":"192.0.2.9","dn":"Name_%s","fn":["Name_%s",null],"hn":"h","mac":"%s","md":"Plug","ty":0,'
    '"if":0,"ofln":"Offline","onln":"Online","state":["OFF","ON","TOGGLE","HOLD"],"sw":"14.4.1",'
    '"t":"%s","ft":"%%prefix%%/%%topic%%/","tp":["cmnd","stat","tele"],"rl":[1,0],"so":{"4":0},"ver":1}'
)
_HEADER: Final = """\
watchdog_dump = "0s"
watchdog_exit = "0s"
state_dir = "/simulated/state"
self_metrics_interval = "10s"
drain_timeout = "5s"
module_start_timeout = "3s"
module_stop_timeout = "1s"
module_restart_limit = 3
module_restart_window = "60s"
restart_backoff_max = "5s"
park_interval = "20s"
"""
_MAY_COST_NAMES: Final = frozenset(
    {
        "stream_stalls",
        "broker_silent",
        "broker_cuts",
        "broker_version",
        "filter_refused",
        "disk",
        "broker_restart",
        "freeze",
    }
)
"""With these an announcement may come later than it is waited for, or not at all."""
STOP_LIMIT_S: Final = 7.0
RECOVERY_S: Final = 150.0
_STALLED_S: Final = 30.0
"""How long a message may be on its way: two faults that last the longest."""


class Violation(AssertionError):  # noqa: N818 - what it is
    """Something happened that must not."""


class World:
    """One run of the simulation.

    Args:
        seed: decides everything.
        directory: for the configuration file.
        without: kinds of faults that do not happen.
        only: the numbers of the faults that do; None for all.

    Attributes:
        episodes: faults so far, by kind.
        ledger: what became of the messages.
        trace: what happened last.
    """

    def __init__(
        self,
        seed: int,
        directory: Path,
        without: Collection[str] = (),
        only: Collection[int] | None = None,
    ) -> None:
        self.seed = seed
        self.without = without
        self._only = only
        self.chance = random = Random(seed)
        self.plan: list[tuple[int, float, str]] = []
        self.random = Random(seed)
        self.clock = clock = SimClock(self.random)
        self.trace: deque[str] = deque(maxlen=400)
        self.violations: list[str] = []
        self.ledger = Ledger(self.violate)
        self.episodes: Counter[str] = Counter()
        self.disk = SimDisk()
        self._config = directory / f"agent-{seed}.toml"
        self.brokers = {
            port: ModelBroker(
                clock,
                BrokerOptions(
                    speaks_v5=random.random() < 0.7,
                    max_inflight=random.choice((1, 20, 20, 1000)),
                    max_queued=random.choice((1000, 10_000_000)),
                    queue_qos0=random.random() < 0.3,
                    suback_first=random.random() < 0.5,
                ),
            )
            for port in sorted(set(_PORTS.values()))
        }
        self._listeners: dict[int, Any] = {}
        for port, broker in self.brokers.items():
            self._listeners[port] = broker.accept
            broker.on_drop = self.ledger.dropped
            broker.on_sent = self._given
            broker.on_ack = self._acknowledged
            broker.on_fault = self.violate
        self._kind = numbered_kind(self._module_plan, self._looked_at)
        self._wrong: dict[tuple[str, str], list[str]] = {}
        self._numbers: Counter[tuple[str, int]] = Counter()
        self.reader = self._make_reader()
        self._observer = make_observer(clock, lambda line: self.note(f"log: {line[:300]}"))
        self.process: AgentProcess | None = None
        self._restart: Any = None
        self._dropped = 0
        self.modules = dict.fromkeys(_PORTS, True)
        self._variants: dict[str, str] = {}
        self._publishing = True
        self._ending = False
        self._excuses: list[tuple[str, float, float]] = []
        self._given_s: dict[Key, float] = {}
        self._running: dict[str, object] = {}
        high = random.choice((1 << 16, 1 << 20))
        self._header = (
            f'{_HEADER}queue_limit = "{random.choice((high * 2, 1 << 24)) >> 10}KiB"\n'
            f'queue_high_mark = "{high >> 10}KiB"\n'
            f'queue_low_mark = "{random.choice((high >> 1, high - 1024)) >> 10}KiB"\n'
        )
        self.write_config()

    # -- the run -----------------------------------------------------------------------------

    def note(self, text: str) -> None:
        """Add to the trace."""
        self.trace.append(f"{self.clock.now_s - 1000:10.4f} {text}")

    def violate(self, text: str) -> None:
        """Take note of something that must not happen, and end the run."""
        if not self.violations:
            self.note(f"VIOLATION {text}")
            self.violations.append(text)
            self.clock.stopped = True

    def run(self, seconds: float) -> None:
        """Simulate, heal everything, and account for every message.

        Raises:
            Violation: something was not as it must be.
        """
        globalLogPublisher.addObserver(self._observe)
        try:
            self._run(seconds)
        except RuntimeError as error:
            self.violate(str(error))
        finally:
            globalLogPublisher.removeObserver(self._observe)
            self._config.unlink(missing_ok=True)
        if self.violations:
            raise Violation(self.violations[0])

    def _run(self, seconds: float) -> None:
        from tests.simulation.faults import Faults

        self._announce()
        self.start_agent()
        self.clock.run(self.random.choice((0.0, 0.05, 1.0)))
        for module in _PORTS:
            self.clock.later(self.random.random(), self._publish, module)
        faults = Faults(self, seconds, self._only)
        self.plan = faults.plan
        faults.begin()
        self.clock.run(seconds)
        self._publishing = False
        faults.heal()
        self._wrong.clear()
        if self.violations:
            return
        deadline_s = self.clock.now_s + RECOVERY_S
        while self.clock.now_s < deadline_s and not self._is_settled():
            self.clock.run(1.0)
        if not self._is_settled():
            self.violate(f"not recovered {RECOVERY_S:g} s after the last fault: {self._state()}")
            return
        self._ending = True
        assert self.process is not None
        process = self.process
        process.terminate()
        self.clock.run(STOP_LIMIT_S)
        if process.alive:
            self.violate("a stop took longer than drain_timeout + 2 s")
            return
        self._account()

    def _is_settled(self) -> bool:
        """Whether the agent runs, and no broker has anything for it."""
        process = self.process
        if process is None or not process.alive or process.agent.stopping:
            return False
        states = {each.state.word for each in process.agent.supervisors}
        if states != {"running"} or len(process.agent.supervisors) != len(_PORTS):
            return False
        return not any(
            session.client is None or list(session.unacknowledged())
            for broker in self.brokers.values()
            for session in broker.sessions.values()
        )

    def _state(self) -> str:
        process = self.process
        if process is None or not process.alive:
            return "no agent runs"
        states = {each.module_name: each.state.word for each in process.agent.supervisors}
        left = {
            f"{session.client_id} at {port}": (
                session.client is not None,
                len(session.inflight),
                len(session.waiting),
            )
            for port, broker in self.brokers.items()
            for session in broker.sessions.values()
        }
        return f"modules {states}, sessions (connected, in flight, waiting) {left}"

    def _account(self) -> None:
        at_broker = {
            key_of(publication)
            for broker in self.brokers.values()
            for session in broker.sessions.values()
            for publication in session.unacknowledged()
        }
        missing = self.ledger.missing(1, at_broker)
        dropped = self._dropped
        if len(missing) > dropped:
            self.violate(
                f"{len(missing)} messages at QoS 1 are lost, {dropped} were dropped and counted: "
                f"{missing[:5]}"
            )
        if self.ledger.nameless and not _MAY_COST_NAMES & set(self.episodes):
            self.violate(f"{self.ledger.nameless} lines of announced devices have no name")
        missing = self.ledger.missing(0, at_broker)
        lost = [key for key in missing if self._was_delivered(key) and not self._is_excused(key)]
        if len(lost) > dropped:
            self.violate(f"{len(lost)} messages at QoS 0 that were received are lost: {lost[:5]}")

    def _was_delivered(self, key: Any) -> bool:
        delivered = self.ledger.on_socket.get(key)
        return delivered is not None and delivered()

    # -- devices -----------------------------------------------------------------------------

    def _publish(self, module: str) -> None:
        if not self._publishing:
            return
        random = self.random
        for _ in range(
            random.choice((1, 1, 1, 1, 1, 1, 2, 5, 40)) if random.random() > 0.01 else 600
        ):
            self.send(module, random.randint(0, 1))
        self.clock.later(random.expovariate(10.0), self._publish, module)

    def send(self, module: str, qos: int) -> None:
        """Publish the next number."""
        topic, name = f"{module}/x", module
        if module == "tasmota":
            name = self.random.choice(DEVICES)
            topic, qos = f"tele/{name}/SENSOR", int(name[-1])
        number = self._numbers[name, qos]
        self._numbers[name, qos] += 1
        payload = b"%d:%d" % (qos, number)
        if module == "tasmota":
            payload = b'{"Time":"2026-01-01T00:00:00","ENERGY":{"Total":%d}}' % number
        broker = self.brokers[_PORTS[module]]
        if broker.up and broker.publish(topic, payload, qos):
            self.ledger.sent[name, qos, number] = None

    def _announce(self) -> None:
        for number, name in enumerate(DEVICES):
            if name.startswith("d"):
                mac = f"A4CF{number:08X}"
                text = _ANNOUNCEMENT % (name, name, mac, name)
                broker = self.brokers[_PORTS["tasmota"]]
                broker.publish(f"tasmota/discovery/{mac}/config", text.encode(), 0, retain=True)

    # -- the agent ---------------------------------------------------------------------------

    def start_agent(self) -> None:
        """Start a process, as the parent does."""
        self._restart = None
        if not self.reader.alive:
            self.reader = self._make_reader()
        self.note("agent starts")
        self._running.clear()
        try:
            process = AgentProcess(
                self.clock,
                self._listeners,
                self.reader,
                self._kind,
                self._config,
                self._observer,
                self.disk,
                self.violate,
            )
        except ConfigError as error:
            self.note(f"agent cannot start: {error}")
            self._later_again()
            return
        self.process = process
        process.reactor.on_end = self._ended

    def kill_agent(self) -> None:
        """Send SIGKILL."""
        if self.process is not None and self.process.alive:
            self.excuse("", 0.1)
            self.process.reactor.kill()

    def _ended(self) -> None:
        self.note("agent has ended")
        assert self.process is not None
        self._dropped += self.process.dropped
        self.reader.end_of_stream()
        if not self._ending:
            self._later_again()

    def _later_again(self) -> None:
        if self._restart is None:
            self._restart = self.clock.later(self.random.choice((0.05, 0.5, 3.0)), self.start_agent)

    def excuse(self, module: str, for_s: float) -> None:
        """Excuse the loss of what is given to a module at QoS 0 about now; to all without one.

        What is read for a module that does not run, or is in a pipe without a reader, is lost.
        """
        now_s = self.clock.now_s
        self._excuses.append((module, now_s - _STALLED_S, now_s + for_s))

    def _is_excused(self, key: Key) -> bool:
        module = key[0] if key[0] in _PORTS else "tasmota"
        given_s = self._given_s[key]
        return any(
            name in {"", module} and from_s <= given_s <= to_s
            for name, from_s, to_s in self._excuses
        )

    def mark_reader_death(self) -> None:
        """Take note that what goes to the pipe is lost with its reader, until the agent knows."""
        self.excuse("", 20.0)

    def _make_reader(self) -> Reader:
        return Reader(self.clock, self.ledger.line, self.violate)

    # -- seams -------------------------------------------------------------------------------

    def _module_plan(self, name: str, step: str) -> str:
        if step == "start":
            if name in self._running:
                self.violate(f"two instances of {name} run")
            self._running[name] = name
        elif step == "stop":
            self._running.pop(name, None)
        plan = self._wrong.get((name, step))
        wrong = plan.pop(0) if plan else ""
        if wrong:
            self.excuse(name.partition(":")[2], 45.0)
        return wrong

    def plan_module(self, name: str, step: str, wrong: str, times: int) -> None:
        """Have a step of a module go wrong the next times."""
        if name != "tasmota":
            self._wrong[f"numbered:{name}", step] = [wrong] * times

    def _looked_at(self, name: str, payload: bytes, _why: str) -> None:
        self.ledger.looked_at(name, payload)

    def _acknowledged(self, publication: Publication) -> None:
        if not self.ledger.may_be_acknowledged(publication):
            process = self.process
            if not self._dropped and not (process and process.alive and process.dropped):
                self.violate(
                    f"{publication.topic} {publication.payload!r} was acknowledged before the "
                    "reader had it"
                )

    def _given(self, publication: Publication, delivered: Callable[[], bool]) -> None:
        # A stop takes what was sent before it; what comes while it goes on is nobody's.
        if self.process is not None and not self.process.agent.stopping:
            self.ledger.given(publication, delivered)
            self._given_s[key_of(publication)] = self.clock.now_s

    def _observe(self, event: Any) -> None:
        failure = event.get("log_failure")
        if failure is not None and self.process is not None:
            self.violate(f"logged outside any module: {failure.getTraceback()[-1500:]}")

    # -- the configuration -------------------------------------------------------------------

    def write_config(self, broken: str = "") -> None:
        """Write the file as `modules` and the variants say; or a broken one."""
        text = self._header
        for module, port in _PORTS.items():
            table, topic = f"numbered:{module}", f'topic = "{module}"\n'
            if module == "tasmota":
                table, topic = "tasmota", 'silent_after = "0s"\nrequest_channel_totals = false\n'
            text += (
                f'[modules."{table}"]\nenabled = {str(self.modules[module]).lower()}\n'
                f'broker = "tcp://192.0.2.1:{port}"\n{topic}'
                f'keepalive = "{self._variants.get(module, "10s")}"\nreconnect_max = "5s"\n'
            )
        self._config.write_text(text + broken, "utf-8")

    def vary(self, module: str) -> None:
        """Change a setting of a module's connection."""
        self._variants[module] = self.chance.choice(("5s", "10s", "12s", "30s"))

    def disk_error(self) -> None:
        """Have the disk fail."""
        self.disk.error = self.chance.choice((errno.ENOSPC, errno.EROFS, errno.EIO))
