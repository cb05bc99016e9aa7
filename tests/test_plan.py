"""From a configuration to what shall run, whatever a module's own code does meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from attrs import evolve, frozen
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.config import AgentConfig, AgentSettings, Fault, ModuleConfig, setting
from metrics_agent.config.output import OutputSettings
from metrics_agent.module_kind import Collected, ModuleKind
from metrics_agent.plan import Plan, build
from metrics_agent.transports.mqtt.settings import MqttSettings
from tests.supervision.fakes import FAULTS, raiser

BROKER = MqttSettings(broker="tcp://one.test")
OTHER = MqttSettings(broker="tcp://two.test")
FAULT = Fault("modules.bad.interval", "0", "more than 0")


@frozen
class Settings:
    """Settings of a module."""

    interval: float = setting(default=1.0, doc="An interval.")


def kind(
    brokers: Callable[[Any], Sequence[MqttSettings]] = lambda _settings: (), **more: Any
) -> ModuleKind:
    """Make a kind; nothing in here makes a module."""
    return ModuleKind("kind", Settings, raiser(AssertionError("made")), brokers=brokers, **more)


def module(
    name: str,
    of: ModuleKind | None = None,
    *,
    enabled: bool = True,
    faults: tuple[Fault, ...] = (),
) -> ModuleConfig:
    """Make a module's part of a configuration."""
    settings = None if faults else Settings()
    return ModuleConfig(name, of or kind(), enabled, None, settings, faults)


def planned(*modules: ModuleConfig, **settings: Any) -> Plan:
    """Plan a configuration of these."""
    return build(AgentConfig(Path("agent.toml"), AgentSettings(**settings), modules, ()))


class CollectedTests(SynchronousTestCase):
    """What a module finds that others collect."""

    def test_of_others_at_the_same_address(self) -> None:
        """Not its own, nor that of a module which cannot run or is at another broker."""

        def collects(broker: MqttSettings) -> ModuleKind:
            found = Collected(broker, frozenset({"x"}), takes=bool)
            return evolve(kind(), collects=lambda _settings: (found,))

        two = evolve(BROKER, broker=("tcp://one.test", "tcp://spare.test"))
        plan = planned(
            module("asks", collects(BROKER)),
            module("same", collects(two)),
            module("elsewhere", collects(OTHER)),
            module("faulty", collects(BROKER), faults=(FAULT,)),
            module("off", collects(BROKER), enabled=False),
        )
        self.assertEqual(
            [each.module for each in plan.collected_elsewhere("asks", BROKER)], ["same"]
        )

    def test_what_raises_is_a_fault_of_its_own(self) -> None:
        """The other modules run."""
        broken = evolve(kind(), collects=raiser(ZeroDivisionError()))
        plan = planned(module("broken", broken), module("good"))
        self.assertEqual([each.name for each in plan.modules], ["good"])
        self.assertEqual([name for name, _ in plan.faulty], ["broken"])


class BuildTests(SynchronousTestCase):
    """What runs and what cannot."""

    def test_nothing(self) -> None:
        """A configuration without modules is a plan without any."""
        plan = planned()
        self.assertEqual((plan.modules, plan.faulty, plan.faults), ((), (), ()))
        self.assertFalse(plan.nothing_can_run)
        self.assertEqual(plan.connections, ())

    def test_in_the_order_of_the_file(self) -> None:
        """Enabled modules whose settings are right, with what makes them."""
        of = kind(lambda _settings: [BROKER])
        plan = planned(module("b", of), module("a"), module("off", enabled=False))
        self.assertEqual([each.name for each in plan.modules], ["b", "a"])
        first = plan.modules[0]
        self.assertEqual((first.kind, first.settings), (of, Settings()))
        self.assertEqual(first.brokers, (BROKER,))

    def test_wrong_settings(self) -> None:
        """An enabled module with faults is faulty, the others run."""
        plan = planned(module("bad", faults=(FAULT,)), module("good"))
        self.assertEqual([each.name for each in plan.modules], ["good"])
        self.assertEqual(plan.faulty, (("bad", (FAULT,)),))
        self.assertEqual(plan.faults, (FAULT,))
        self.assertFalse(plan.nothing_can_run)

    def test_unknown_kind(self) -> None:
        """So is one of no known kind."""
        unknown = ModuleConfig("x", None, True, None, None, (FAULT,))
        self.assertEqual(planned(unknown).faulty, (("x", (FAULT,)),))

    def test_nothing_can_run(self) -> None:
        """Enabled modules of which none is right; one that is off does not count."""
        self.assertTrue(planned(module("bad", faults=(FAULT,))).nothing_can_run)
        off = planned(module("bad", faults=(FAULT,), enabled=False))
        self.assertEqual((off.nothing_can_run, off.faults), (False, ()))

    def test_brokers(self) -> None:
        """All connections of all modules, each with the name of its module."""
        plan = planned(
            module("a", kind(lambda _settings: [BROKER])),
            module("b", kind(lambda _settings: iter([OTHER, BROKER]))),  # type: ignore[arg-type,return-value]
        )
        self.assertEqual(plan.connections, (("a", BROKER), ("b", OTHER), ("b", BROKER)))


class ClientIdTests(SynchronousTestCase):
    """No two connections have one client id."""

    def faults(self, *brokers: Sequence[MqttSettings]) -> list[str]:
        """Plan modules ``m0``, ``m1`` ... with these brokers, and return what is wrong."""
        modules = [
            module(f"m{number}", kind(lambda _settings, each=each: each))  # type: ignore[misc]
            for number, each in enumerate(brokers)
        ]
        return [str(fault) for fault in planned(*modules).faults]

    def test_what_is_no_fault(self) -> None:
        """Several modules at a broker, several brokers of a module, the same broker twice."""
        same = evolve(BROKER, broker=("mqtt://one.test:1883/",))
        self.assertEqual(self.faults([BROKER, OTHER, same], [BROKER], [BROKER]), [])

    def test_in_two_modules(self) -> None:
        """At whatever broker: the state of the session is kept by the id alone."""
        mine = [evolve(each, client_id="mine") for each in (BROKER, OTHER)]
        self.assertEqual(
            self.faults(mine[:1], [OTHER], mine[1:]),
            [
                (
                    'modules.m2: got "mine", which module m0 has too, expected a client id of '
                    "its own for each connection; or remove it"
                )
            ],
        )

    def test_twice_in_one_module(self) -> None:
        """So for two connections of a module to one broker, with and without an id."""
        expected = "expected a client id of its own for each connection"
        for client_id, got in (
            ("mine", '"mine" for two connections, expected a'),
            ("", "two connections to tcp://one.test:1883 without one, expected a"),
        ):
            one = evolve(BROKER, client_id=client_id)
            (fault,) = self.faults([one, evolve(one, keepalive=99.0)], [OTHER])
            self.assertIn(f"modules.m0: got {got}", fault)
            self.assertIn(expected, fault)

    def test_a_faulty_module_takes_no_id(self) -> None:
        """What does not run is in no one's way."""
        one = evolve(BROKER, client_id="mine")
        self.assertEqual(len(self.faults([one, evolve(one, keepalive=99.0)], [one])), 1)


class OutputTests(SynchronousTestCase):
    """An output that publishes at a broker, where modules read."""

    def test_topic_that_a_module_reads(self) -> None:
        """At whatever broker: one broker has many names."""
        settings = {"output": "mqtt://three.test/telegraf/house"}
        for filters, wrong in (
            (["a", "telegraf/house"], "telegraf/house"),
            (["$share/g/telegraf/+"], "$share/g/telegraf/+"),
            (["a", "#"], "#"),
            (["a", "telegraf", "telegraf/house/+", "$SYS/#"], ""),
        ):
            of = kind(lambda _settings: [BROKER], filters=lambda _settings, each=filters: each)
            plan = planned(module("m", of), module("good"), **settings)
            fault = (
                f'output: got the topic "telegraf/house", which module m reads: it subscribes to '
                f'"{wrong}", expected a topic that no module reads; change one of them'
            )
            self.assertEqual([str(each) for each in plan.faults], [fault] if wrong else [])
            self.assertEqual(len(plan.modules), 1 if wrong else 2)
            self.assertEqual(planned(module("m", of)).faults, (), "with another output")

    def test_client_id(self) -> None:
        """A broker would throw one of the two out."""
        mine = evolve(BROKER, client_id="mine")
        [fault] = planned(
            module("m", kind(lambda _settings: [mine])),
            output="mqtt://one.test/t",
            output_settings=OutputSettings(client_id="mine"),
        ).faults
        self.assertIn('modules.m: got "mine", which output_settings has too, expected', str(fault))

    def test_module_that_raises(self) -> None:
        """It is faulty, the others run."""
        for error in FAULTS:
            bad = module("bad", kind(filters=raiser(error("why"))))
            plan = planned(bad, module("good"), output="mqtt://one.test/t")
            self.assertEqual([each.name for each in plan.modules], ["good"])
        odd = module("odd", kind(filters=lambda _settings: [None]))
        self.assertEqual(len(planned(odd, output="mqtt://one.test/t").faults), 1)


class HostileTests(SynchronousTestCase):
    """A module of another package may do anything where it is asked for its brokers."""

    def fault(self, brokers: Any) -> Fault:
        plan = planned(module("odd:one", kind(brokers)), module("good"))
        self.assertEqual([each.name for each in plan.modules], ["good"])
        ((name, (fault,)),) = plan.faulty
        self.assertEqual((name, fault.path), ("odd:one", "modules.odd:one"))
        return fault

    def test_every_fault(self) -> None:
        """Whatever it raises: it is faulty, the others run."""
        for error in FAULTS:
            self.assertEqual(
                str(self.fault(raiser(error("why")))),
                f"modules.odd:one: got {error.__name__}: why, "
                "expected settings that name its brokers",
            )

    def test_what_are_no_brokers(self) -> None:
        """What is not a list of broker settings is found out now, not when connections are made."""
        for brokers in (None, 5, "tcp://one.test", ["tcp://one.test"], [BROKER, None], [[]]):
            fault = self.fault(lambda _settings, brokers=brokers: brokers)
            self.assertIn("expected settings that name its brokers", str(fault))
