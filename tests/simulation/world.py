"""Devices, brokers, an agent and its reader, with random faults in all of them."""

from __future__ import annotations

import gc
from collections import Counter, deque
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from random import Random
from traceback import format_exception
from typing import Any, Final

from twisted.logger import globalLogPublisher

from metrics_agent.errors import ConfigError
from metrics_agent.supervision.lifecycle import State
from tests.simulation.accounting import FORGOTTEN, NO_RETAINED, Accounting
from tests.simulation.awaiting import check_qos
from tests.simulation.broker import ModelBroker, Publication
from tests.simulation.broker_packets import matches
from tests.simulation.broker_session import choose_options
from tests.simulation.calm import Calm
from tests.simulation.clock import SimClock
from tests.simulation.configuration import (
    DEVICES,
    KNOWN_DEVICES,
    PORTS,
    ConfigFile,
    module_of,
)
from tests.simulation.devices import TOPICS, Devices
from tests.simulation.disk import SimDisk
from tests.simulation.http_device import DEVICE_PORT, HttpDevice
from tests.simulation.invariants import LogPairs, small_limits
from tests.simulation.last_stop import last_stop
from tests.simulation.modules import is_odd, numbered_kind
from tests.simulation.moments import Moment
from tests.simulation.network import Connection
from tests.simulation.process import AgentProcess, make_observer
from tests.simulation.reader import Reader
from tests.simulation.readers import choose_reader
from tests.simulation.recovery import await_recovery, client_ids
from tests.simulation.rival import share_messages
from tests.simulation.schedule import Faults, Scope
from tests.simulation.seams import SeamChecks
from tests.simulation.signals import SimSignals
from tests.simulation.steps import Steps

__all__ = ["Violation", "World"]

READING_S: Final = 5.0
"""How long the reader has to read what the agent has left."""
DELIVERY_S: Final = 10.0
"""How long a message may take where all works; one may wait for announcements."""
_SOME_TURNS: Final = 4
"""From one look to the next at what lasts for longer: memory beyond a bound, a missing module."""
_JUST_NOW_S: Final = 1.0
"""What a module was given since then may still be on its way."""


class Violation(AssertionError):  # noqa: N818 - what it is
    """Something must not happen and did."""


class World:
    """One run of the simulation.

    Args:
        seed: decides everything.
        directory: for the configuration file.
        without: kinds of faults that do not happen.
        only: the numbers of the faults that happen; None for all.

    Attributes:
        episodes: faults so far, by kind.
        pairs: the same by kind and by what the agent was doing, see `states`.
        ledger: what happened to the messages.
        trace: what happened last.
        heals: no fault begins any more.
    """

    def __init__(
        self,
        seed: int,
        directory: Path,
        without: Collection[str] = (),
        only: Collection[int] | None = None,
    ) -> None:
        self.seed = seed
        self.without: Collection[str] = without
        self._only = only
        self.chance = Random(seed)
        self.plan: list[tuple[int, float, str]] = []
        self.random = Random(seed)
        self.clock = clock = SimClock(self.random)
        self.trace: deque[str] = deque(maxlen=400)
        self.violations: list[str] = []
        self.calm = Calm()
        self.accounting = Accounting(clock, self.violate, lambda: self.calm.last_s)
        self.ledger = self.accounting.ledger
        self.ledger.dropped_metrics = self._dropped_metrics
        self.excuse = self.accounting.excuse
        self.episodes: Counter[str] = Counter()
        self.pairs: Counter[tuple[str, str]] = Counter()
        self.disk = SimDisk(Random(f"{seed} disk"), self.boundary)
        self.listeners: dict[int, Any] = {}
        self._output = Random(f"{seed} output")
        self.reader = choose_reader(self, self._output)
        self.config = ConfigFile(
            directory / f"agent-{seed}.toml",
            Random(f"{seed} configuration"),
            self.reader.setting,
        )
        self.brokers = {
            port: ModelBroker(clock, choose_options(Random(f"{seed} broker {port}")))
            for port in sorted(set(PORTS.values()))
        }
        share_messages(self.brokers, self.config, Random(f"{seed} share"))
        self.scope = Scope.choose(Random(f"{seed} scope"))
        self.scoped_brokers = [self.brokers[port] for port in self.scope.ports]
        # With a window of one message a burst takes seconds in any case.
        self.ledger.bystanders = {
            module
            for module in self.scope.bystanders
            if self.brokers[PORTS[module]].options.max_inflight > 1
        }
        self._listen()
        self.device = HttpDevice(clock, Random(f"{seed} device"), self.violate)
        self.listeners[DEVICE_PORT] = self.device.accept
        self.seams = SeamChecks(self)
        self._kind = numbered_kind(self._module_step, self._looked_at, self.seams)
        self.steps = Steps(self.violate, self.excuse, lambda: clock.now_s)
        self.devices = Devices(clock, self.brokers, self.ledger)
        self.send = self.devices.send
        self.ledger.may_repeat = self.reader.repeats
        self._observer = make_observer(clock, lambda line: self.note(f"log: {line[:300]}"))
        self.process: AgentProcess | None = None
        self.signals: SimSignals | None = None
        self.early_signals: list[int] = []
        self._restart: Any = None
        self._ending = False
        self.heals = False
        self._pairs = LogPairs(self.violate)
        self._faults: Faults | None = None
        self._has_ended = False
        self._swaps_in_stop = False
        self._turns = 0
        clock.on_turn = self._turn
        clock.boundary = self.boundary

    def _listen(self) -> None:
        """Have brokers take connections, and take note of what they see."""
        for port, broker in self.brokers.items():
            self.listeners[port] = partial(self._accept, broker)
            broker.on_drop = self.ledger.dropped
            broker.on_sent = self._given
            broker.on_ack = self._acknowledged
            broker.on_transmit = self.ledger.transmit
            broker.on_subscribe = partial(check_qos, self.violate)
            broker.on_unsubscribe = self._unsubscribed
            broker.on_fault = self.violate
            broker.on_publish = self._published

    # -- the run -----------------------------------------------------------------------------

    def note(self, text: str) -> None:
        """Add to the trace."""
        self.trace.append(f"{self.clock.now_s - 1000:10.4f} {text}")

    def violate(self, text: str) -> None:
        """Record a violation and end the run."""
        if not self.violations:
            self.note(f"VIOLATION {text}")
            self.violations.append(text)
            self.clock.stopped = True

    def run(self, seconds: float) -> None:
        """Simulate, heal everything, and account for every message.

        Raises:
            Violation: something must not happen and did.
        """
        observe = self._observe
        globalLogPublisher.addObserver(observe)
        collects = gc.isenabled()
        gc.disable()
        try:
            with small_limits(Random(f"{self.seed} limits")):
                self._run(seconds)
        except RuntimeError as error:
            self.violate(str(error))
        except (Exception, SystemExit) as error:
            self.violate(f"the simulation fails: {''.join(format_exception(error)[-4:])}")
        finally:
            # Twisted reports an unhandled failure when its Deferred is collected.
            gc.collect()
            if collects:
                gc.enable()
            globalLogPublisher.removeObserver(observe)
            self.config.remove()
        if self.violations:
            raise Violation(self.violations[0])

    def _run(self, seconds: float) -> None:
        faults = self._faults = Faults(self, seconds, self._only)
        self.plan = faults.plan
        self.devices.announce()
        self.start_agent()
        self.clock.run(self.random.choice((0.0, 0.05, 1.0)))
        self.devices.begin()
        faults.begin()
        self.clock.run(seconds)
        self.devices.publishing = False
        self.heals = True
        faults.heal()
        self.steps.heal()
        if self.violations:
            return
        await_recovery(self)
        if self.violations:
            return
        self.devices.announced.settle()
        sent, process = len(self.ledger.sent), self.process
        self.devices.send_each()
        self.clock.run(DELIVERY_S)
        # Of a database the agent may have to find out first which lines it does not take.
        late = [
            key
            for key in list(self.ledger.sent)[sent:]
            if key not in self.ledger.delivered and not is_odd(key[2])
            if self.ledger.sent[key] < self.clock.now_s - _JUST_NOW_S
        ]
        if process is self.process and self.devices.last_total not in self.ledger.delivered:
            late.append(self.devices.last_total)
        if late:
            self.violate(f"all works again, but {late[:5]} came to nothing in {DELIVERY_S:g} s")
            return
        self._ending = True
        process = self.process
        assert process is not None
        ids = client_ids(process)
        last_stop(self, process)
        if self.violations:
            return
        self.clock.run(READING_S)
        kinds = self.accounting.beside | set(self.episodes)
        if not all(each.options.retained_for_wildcards for each in self.brokers.values()):
            kinds.add(NO_RETAINED)
        self.reader.check_rejected(self.accounting.rejected)
        self.accounting.close(self.brokers.values(), kinds, ids)

    # -- the agent ---------------------------------------------------------------------------

    def start_agent(self) -> None:
        """Start a process, as the parent does."""
        self._restart = None
        if not self.reader.alive:
            self.reader = self._next_reader()
        self.note("agent starts")
        self._pairs = LogPairs(self.violate)
        self.steps.process_starts()
        self.seams.process_starts()
        signals = self.signals = SimSignals(self.clock, self.kill_agent, self.violate)
        for number in self.early_signals:
            signals.send(number)
        self.early_signals.clear()
        try:
            process = AgentProcess(
                self.clock,
                self.listeners,
                self.reader,
                self._kind,
                self.config,
                self._observer,
                self.disk,
                self.brokers,
                signals=signals,
                violation=self.violate,
                on_log=self._logged,
            )
        except ConfigError as error:
            self.note(f"agent cannot start: {error}")
            self._later_again()
            return
        self.process = process
        process.reactor.on_end = self._ended
        process.on_stop = partial(self._stop_begins, process)
        process.start()

    def kill_agent(self) -> None:
        """Send SIGKILL."""
        if self.process is not None and self.process.alive:
            self.excuse("", 0.1)
            if not self._are_names_saved():
                self.accounting.beside.add(FORGOTTEN)
            self._has_ended = True
            self.process.reactor.kill()

    def _are_names_saved(self) -> bool:
        """Say whether a new process knows each device that announces itself."""
        known = self.disk.contents(KNOWN_DEVICES)
        names = (name for names in DEVICES.values() for name in names if name.startswith("d"))
        return all(f"Name_{name}".encode() in known for name in names)

    def lose_power(self) -> None:
        """End the agent and its reader, with what was not on the disk."""
        self.excuse("", 20.0)
        if self.reader.loses:
            self.reader.die()
        self.kill_agent()
        # The end of a database would reach the agent amid its turn.
        self.reader.die()
        self.disk.lose_power(self.chance)
        self.seams.values.lose_power()

    def _stop_begins(self, process: AgentProcess) -> None:
        """Excuse what a stop leaves unread."""
        self.seams.values.stop_begins()
        if process.swaps_modules:
            self._swaps_in_stop = True
        else:
            process.last_plan = process.agent.plan
        self.excuse_unconnected(process, 1.0)
        for each in process.agent.supervisors:
            if each.state is not State.RUNNING:
                # Nothing is read for it.
                self.excuse(module_of(each.module_name), 1.0)

    def _look_at_swap(self, process: AgentProcess) -> None:
        """Excuse what is lost of modules that a swap leaves out, since a stop has come."""
        if process.alive and process.swaps_modules:
            return
        self._swaps_in_stop = False
        parts = process.agent._parts
        for instance, _connection in parts.connections.named():
            if not process.alive or instance not in parts.connections._running:
                self.excuse(module_of(instance), 30.0)

    def excuse_unconnected(self, process: AgentProcess, for_s: float) -> None:
        """Excuse what a broker sends with its CONNACK on connections that are being made.

        A stop does not wait for them, and a process that was frozen may give them up.
        """
        for instance, connection in process.agent._parts.connections.named():
            if not connection.connected:
                self.excuse(module_of(instance), for_s)

    def _ended(self) -> None:
        self.note("agent has ended")
        assert self.process is not None
        if self.process.check_end():
            self.seams.values.stop_ends()
        process = self.process
        self.accounting.ended(
            dropped=process.dropped, rejected=process.rejected, unread=process.unread
        )
        self.reader.end_of_stream()
        if not self._ending:
            self._later_again()

    def _later_again(self) -> None:
        if self._restart is None:
            self._restart = self.clock.later(self.random.choice((0.05, 0.5, 3.0)), self.start_agent)

    def mark_reader_death(self) -> None:
        """Take note that what goes to the pipe is lost with its reader, until the agent knows."""
        if self.reader.loses:
            self.excuse("", 20.0)

    def _next_reader(self) -> Reader:
        return type(self.reader)(self.clock, self._output, self.take_line, self.violate)

    @property
    def acts(self) -> bool:
        """Whether there is a process that may be amid a turn."""
        return self.process is not None and self.process.alive

    def is_stopping(self) -> bool:
        return self.process is None or self.process.agent.stopping

    # -- seams -------------------------------------------------------------------------------

    def _module_step(self, instance: str, step: str) -> str:
        self.boundary("module")
        if self._has_ended:
            return ""
        return self.steps.take(instance, step)

    def _looked_at(self, name: str, payload: bytes, _why: str) -> None:
        if not self._has_ended:
            self.ledger.looked_at(name, payload)

    def _unsubscribed(self, name: str) -> None:
        """What an enabled module wants must not be given up, not even for a moment."""
        announced = self.devices.announced
        wanted = {each.topic for each in announced.devices} - {*announced.given_up()}
        for module, topic in (*TOPICS, *(("hadiscovery", each) for each in sorted(wanted))):
            has_subscriber = self.brokers[PORTS[module]].has_subscriber
            is_wanted = self.config.modules[module] and matches(name, topic)
            if is_wanted and not has_subscriber(topic):
                self.violate(f"{name} is given up although {module} wants it")

    def _published(self, topic: str, payload: bytes) -> None:
        if topic.startswith("out/"):
            self.seams.publish(topic, payload)

    def _acknowledged(self, publication: Publication) -> None:
        self.accounting.acknowledged(publication, self._dropped_metrics())
        if self.process is not None:
            self.process.awaiting.acknowledged(publication)
        self.boundary("acknowledgement")

    def _dropped_metrics(self) -> int:
        process = self.process
        now = process.dropped if process is not None and process.alive else 0
        return self.accounting.dropped + now

    def _given(self, publication: Publication, delivered: Callable[[], bool]) -> None:
        # A stop takes what was sent before it; what comes during it is not judged.
        if self.process is not None and not self.process.agent.stopping:
            self.accounting.given(publication, delivered)

    def _observe(self, event: Any) -> None:
        if not self._has_ended:
            self._pairs.take(event)

    def boundary(self, name: str) -> None:
        """Note a boundary, where a fault may strike; whatever follows a kill has not happened."""
        if self._faults is not None and not self._has_ended:
            self._faults.passed(name)

    def stop_in_moment(self, moment: Moment) -> None:
        """Have a stop begin in the next turn of a moment."""
        assert self._faults is not None
        self._faults.await_moment(moment, 1, len(self.plan), "sigterm")

    def _turn(self) -> None:
        self._check_bounds()
        if self._faults is not None:
            self._faults.turn()
        self._has_ended = False

    def _accept(self, broker: ModelBroker, connection: Connection) -> None:
        broker.accept(connection)
        connection.outlives = True
        process = self.process
        assert process is not None
        connection.from_peer.waits_until_s = lambda: process.waits_for_brokers_until_s
        receive = connection.from_peer.receive

        def received(data: bytes) -> None:
            receive(data)
            self.boundary("message")

        connection.from_peer.receive = received
        self.boundary("connect")

    def _logged(self, event: Any) -> None:
        self.seams.logged(event)
        if event["log_format"].startswith("The state in {path} is damaged"):
            path = event["path"]
            if not self.disk.may_be_damaged(path):
                self.violate(f"the state in {path} is damaged, although it was synced")

    def take_line(self, line: bytes) -> None:
        self.ledger.line(line)
        self.boundary("line")

    def _check_bounds(self) -> None:
        self._turns += 1
        process = self.process
        if process is not None and self._swaps_in_stop:
            self._look_at_swap(process)
        if process is not None and process.alive:
            if self._turns % _SOME_TURNS == 0:
                process.bounds.check(process.agent)
            if process.last_plan is not None and process.last_plan is not process.agent.plan:
                self.violate("a reload replaces what runs although a stop has begun")
            self.calm.look(self)
            self.seams.look()
            process.reading.look(process.agent)
            if not process.reactor.is_frozen:
                process.links.look(process.agent)
                process.check_stop()
                if self._turns % _SOME_TURNS == 0 or process.reactor.attempts:
                    process.look_at_modules()
                process.signals.look(process.agent, process.ran_s)
            process.awaiting.look(process.agent, self.clock.now_s, process.reactor.stood_s)
            process.writing.look(process.agent, runs=not process.reactor.is_frozen)
