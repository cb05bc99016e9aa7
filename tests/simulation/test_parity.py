"""The model of a broker does what mosquitto does: random conversations with both."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.broker import Mosquitto, with_both_mosquittos
from tests.needs import find, missing
from tests.simulation.broker import BrokerOptions, ModelBroker
from tests.simulation.broker_session import MOSQUITTO_2_0_11
from tests.simulation.clock import SimClock
from tests.simulation.conversation import Conversation, Setup
from tests.simulation.raw_client import ModelPipe, Pipe, RawClient, SocketPipe

SEEDS = 6
ANY_PACKET = 268_435_455
"""That `Mosquitto` sets."""
RULES = (
    *(
        "topic readwrite b/#",
        "topic readwrite +/c/d",
        "topic readwrite e/f",
        "topic readwrite other",
    ),
    *("topic readwrite a/b", "topic readwrite a/c", "topic readwrite will/#"),
    *("topic write a/hidden", "topic read a/fixed"),
)


def plugin_of(program: str) -> Path | None:
    """Return the plugin of dynamic security that belongs to a mosquitto."""
    trees = (Path("/"), Path(program).parent.parent / "tree")
    pattern = "usr/lib/*/mosquitto_dynamic_security.so"
    return next((path for tree in reversed(trees) for path in tree.glob(pattern)), None)


def version_of(program: str) -> tuple[int, ...]:
    """Return the version of a mosquitto."""
    said = subprocess.run([find(program), "-h"], capture_output=True, text=True, check=False).stdout
    [version] = re.findall(r"^mosquitto version ([0-9.]+)", said, re.MULTILINE)
    return tuple(map(int, version.split(".")))


class RealBroker:
    """mosquitto, set up for one conversation."""

    def __init__(self, case: SynchronousTestCase, setup: Setup) -> None:
        settings = [
            f"max_inflight_messages {setup.max_inflight}",
            f"max_queued_messages {setup.max_queued}",
            f"max_queued_bytes {setup.max_queued_bytes}",
            f"max_packet_size {setup.max_packet or ANY_PACKET}",
            "allow_zero_length_clientid false",
            # Otherwise the second of two small packets waits for 40 ms.
            "set_tcp_nodelay true",
        ]
        if setup.max_keepalive_s:
            settings.append(f"max_keepalive {setup.max_keepalive_s}")
        self._broker = Mosquitto(
            settings=settings,
            persistent=setup.persistent,
            program=case.mosquitto_program,  # type: ignore[attr-defined]  # of the decorator
        )
        case.addCleanup(self._broker.remove)
        self._rules = self._broker.directory / "rules"
        if setup.hides:
            self.write_rules(readable=True)
            self._broker.configure("per_listener_settings false")
            self._broker.configure(f"acl_file {self._rules}")
        self._broker.start_again()

    def connect(self) -> Pipe:
        return SocketPipe(self._broker.port)

    def restart(self) -> None:
        self._broker.stop()
        self._broker.start_again()

    def set_readable(self, topic: str, *, readable: bool) -> None:
        self.write_rules(readable=readable)
        self._broker.reload()

    def write_rules(self, *, readable: bool) -> None:
        right = "readwrite" if readable else "write"
        self._rules.write_text("\n".join((*RULES, f"topic {right} a/changes", "")))
        self._rules.chmod(0o600)

    def remove(self) -> None:
        self._broker.remove()


class SimulatedBroker:
    """The model, set up for one conversation."""

    def __init__(self, seed: int, setup: Setup, options: BrokerOptions) -> None:
        self._setup = setup
        self._clock = SimClock(Random(seed))
        options.max_inflight = setup.max_inflight
        options.max_queued = setup.max_queued
        options.max_queued_bytes = setup.max_queued_bytes
        options.max_packet = setup.max_packet or ANY_PACKET
        options.max_keepalive_s = setup.max_keepalive_s
        self._broker = ModelBroker(self._clock, options)
        if setup.hides:
            self._broker.unreadable.add("a/hidden")
            self._broker.unwritable.add("a/fixed")

    def connect(self) -> Pipe:
        return ModelPipe(self._clock, self._broker)

    def restart(self) -> None:
        self._broker.stop(persistent=self._setup.persistent, in_order=True)
        self._clock.run(0.1)
        self._broker.start()

    def set_readable(self, topic: str, *, readable: bool) -> None:
        change = self._broker.unreadable.discard if readable else self._broker.unreadable.add
        change(topic)


def answers(
    broker: Mosquitto | ModelBroker, clock: SimClock, v5: bool, **connect: Any
) -> list[Any]:
    """Return what a broker says to a CONNECT and to requests to subscribe."""
    if isinstance(broker, Mosquitto):
        client = RawClient(SocketPipe(broker.port), v5=v5)
    else:
        client = RawClient(ModelPipe(clock, broker), v5=v5)
    said = client.connect("agent", **{"clean": False, **connect})
    if ("closed",) not in said:
        said += client.subscribe("mine", 1)
        client.cut()
    return said


@with_both_mosquittos
class ParityTests(SynchronousTestCase):
    """Each seed has 120 steps."""

    mosquitto_program = "mosquitto"
    skip = missing("mosquitto")

    def options(self) -> BrokerOptions:
        """Return those of this version."""
        old = version_of(self.mosquitto_program) < (2, 0, 21)
        return BrokerOptions(**MOSQUITTO_2_0_11 if old else {})

    def compare(self, *, v5: bool) -> None:
        version = version_of(self.mosquitto_program)
        if version >= (2, 1):
            newer = ".".join(map(str, version))
            raise SkipTest(f"the model of a broker is of mosquitto 2.0, this is {newer}")
        for seed in range(SEEDS):
            setup = Setup(Random(seed))
            real = RealBroker(self, setup)
            expected = Conversation(Random(seed), real, setup, v5=v5).run()
            real.remove()
            model = SimulatedBroker(seed, setup, self.options())
            got = Conversation(Random(seed), model, setup, v5=v5).run()
            self.assert_equal(seed, got, expected)

    def assert_equal(self, seed: int, got: list[Any], expected: list[Any]) -> None:
        for number, answers in enumerate(zip(got, expected, strict=False)):
            before = "\n".join(map(str, expected[max(number - 12, 0) : number]))
            self.assertEqual(*answers, f"seed {seed}, answer {number}, after\n{before}")
        self.assertEqual(len(got), len(expected))

    def test_3_1_1(self) -> None:
        """MQTT 3.1.1."""
        self.compare(v5=False)

    def test_5(self) -> None:
        """MQTT 5."""
        self.compare(v5=True)

    def both(
        self, *, v5: bool, settings: Sequence[str] = (), listener: Sequence[str] = (), model: Any
    ) -> list[Any]:
        """Compare what both say to one client; return it."""
        clock = SimClock(Random(1))
        simulated = ModelBroker(clock, self.options())
        simulated.options.max_packet = ANY_PACKET
        model(simulated)
        real = Mosquitto(settings=settings, listener=listener, program=self.mosquitto_program)
        self.addCleanup(real.remove)
        real.start_again()
        expected = answers(real, clock, v5)
        real.remove()
        self.assertEqual(answers(simulated, clock, v5), expected)
        return expected

    def test_not_authorised(self) -> None:
        """A CONNECT without a login, where one is needed."""
        for v5, code in ((False, 5), (True, 0x87)):
            said = self.both(
                v5=v5,
                settings=["allow_anonymous false"],
                model=lambda broker: setattr(broker, "refusal", "not_authorised"),
            )
            self.assertEqual(said, [("connack", 0, code, []), ("closed",)])

    def test_server_keep_alive(self) -> None:
        """A broker that wants a shorter one says so, or refuses MQTT 3.1.1."""
        for v5 in (False, True):
            self.both(
                v5=v5,
                settings=["max_keepalive 30"],
                model=lambda broker: setattr(broker.options, "max_keepalive_s", 30),
            )

    def test_maximum_qos(self) -> None:
        """A broker that grants no more than QoS 0 says so."""
        for v5 in (False, True):
            said = self.both(
                v5=v5,
                listener=["max_qos 0"],
                model=lambda broker: setattr(broker.options, "max_qos", 0),
            )
            self.assertIn(("suback", b"\0\0" if v5 else b"\0"), said)

    def test_refused_filter(self) -> None:
        """A role may forbid to subscribe; by its rules mosquitto's plugin answers so."""
        plugin = plugin_of(find(self.mosquitto_program))
        if plugin is None:
            raise SkipTest(str(missing("mosquitto-dynamic-security")))
        rules = Path(self.mktemp())
        rules.write_text('{"defaultACLAccess": {"subscribe": false}}')
        for v5, code in ((False, b"\x80"), (True, b"\0\x87")):
            said = self.both(
                v5=v5,
                settings=[f"plugin {plugin}", f"plugin_opt_config_file {rules.resolve()}"],
                model=lambda broker: broker.refused_filters.add("mine"),
            )
            self.assertIn(("suback", code), said)

    def test_session_expiry(self) -> None:
        """A session of MQTT 5 ends after the time that was asked for."""
        real = Mosquitto(program=self.mosquitto_program)
        self.addCleanup(real.remove)
        real.start_again()
        clock = SimClock(Random(1))
        simulated = ModelBroker(clock, self.options())
        for broker in (real, simulated):
            answers(broker, clock, v5=True, expiry_s=1)
        # mosquitto looks once a second, and counts whole ones.
        time.sleep(3.1)
        clock.run(3.1)
        for broker in (real, simulated):
            self.assertEqual(answers(broker, clock, v5=True, expiry_s=1)[0][1], 0)
            self.assertEqual(answers(broker, clock, v5=True, expiry_s=1)[0][1], 1)
