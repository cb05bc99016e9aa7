"""What every module keeps to, whatever it collects: the same tests over all that are built in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, get_args

from attrs import fields, has
from line_protocol_parser import parse_line
from twisted.application.service import IService
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from metrics_agent.config.setting import hints, spec_of
from metrics_agent.config.structure import structure
from metrics_agent.interfaces import IModule, Message
from metrics_agent.module_kind import ModuleKind
from metrics_agent.modules import BUILT_IN, find_kind, known_kinds
from metrics_agent.supervision.context import Context, Resources
from metrics_agent.supervision.ticker import as_deferred
from metrics_agent.topic_filters import inner_filter
from tests.supervision.fakes import ContextCase, FakeConnection, FakeThreads

NEEDED: Final[dict[str, dict[str, object]]] = {
    "netatmo": {"client_id": "id", "client_secret": "secret"},
    "opendtu": {"url": "http://127.0.0.1"},
}
"""Settings that have no default, by module."""

GARBAGE: Final = (
    b"",
    b"\x00",
    b"\xff\xfe\xfd",
    b"null",
    b"true",
    b"0",
    b"NaN",
    b"Infinity",
    b"1e999",
    b'"text"',
    b"[]",
    b"{}",
    b"{",
    b'{"":""}',
    b'{"ENERGY":null}',
    b'{"ENERGY":{"Power":"x","Total":[null,{}]}}',
    b'{"sn":{"Time":5,"A":{"B":{"C":[[]]}}}}',
    b'{"t":1,"ft":[],"tp":{},"mac":null}',
    b"[" * 5000,
    b'{"a":' * 5000 + b"1" + b"}" * 5000,
    b'{"a":1' + b"0" * 5000 + b"}",
    b"x" * 200_000,
    "{'ü': '\U0001f4a9'}".encode(),
)
"""Payloads that no device sends on purpose."""

LEVELS: Final = ("x", "SENSOR", "LWT", "config", "0", "$SYS", "ü" * 40)
"""What stands for a wildcard."""


class ContractReactor(MemoryReactorClock):
    """Memory for everything a module may ask of a reactor."""

    def __init__(self) -> None:
        super().__init__()
        self.threads = FakeThreads()

    def getThreadPool(self) -> FakeThreads:
        return self.threads

    def callFromThread(self, call: Any, *args: Any) -> None:
        self.callLater(0, call, *args)


def texts(cls: type[Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the settings that are a text, those of nested tables too, with their paths."""
    for attribute in fields(cls):
        hint = hints(cls)[attribute.name]
        where = f"{path}.{attribute.name}"
        for part in (hint, *get_args(hint)):
            if isinstance(part, type) and has(part):
                yield from texts(part, where)
        if str in {hint, *get_args(hint)}:
            yield where, attribute


class AnyBroker(dict[Any, FakeConnection]):
    """A connection for whatever broker a module names."""

    def __missing__(self, settings: Any) -> FakeConnection:
        connection = self[settings] = FakeConnection()
        return connection


class Contract(ContextCase):
    """The contract; the classes below have it for one module each."""

    module_name: str

    def setUp(self) -> None:
        super().setUp()
        self.clock: ContractReactor = ContractReactor()  # type: ignore[assignment]  # with more in it
        self.brokers = AnyBroker()

        def connection_of(_name: str, settings: Any) -> FakeConnection:
            return self.brokers[settings]

        kept = {
            name: getattr(self.resources, name)
            for name in ("now_ns", "encode", "write", "state", "limits", "threads")
        }
        self.resources = Resources(reactor=self.clock, connection=connection_of, **kept)
        kind = find_kind(self.module_name)
        assert kind is not None
        self.kind: ModuleKind = kind
        found = structure(kind.settings, NEEDED.get(self.module_name, {}), self.module_name)
        self.assertEqual([str(fault) for fault in found.faults], [], "add it to NEEDED")
        self.settings: Any = found.value

    def test_every_setting_that_names_a_file_says_what_it_is(self) -> None:
        """`check` opens the files that are declared, so none may be forgotten."""
        for path, attribute in texts(self.kind.settings, self.module_name):
            spec = spec_of(attribute)
            text = f"{attribute.name} {spec.doc}".replace("_", " ")
            if re.search(r"\b(file|PEM|directory)\b", text):
                self.assertIsNotNone(spec.file, f"{path}: declare it with setting(file=...)")

    def test_the_filters_of_its_settings_are_known(self) -> None:
        """`check` knows them before it runs, see `ModuleKind.filters`."""
        self.start()
        found = {
            inner_filter(each.topic_filter)
            for connection in self.brokers.values()
            for each in connection.subscriptions
            if not each.learned
        }
        self.assertLessEqual(found, set(self.kind.filters(self.settings)))

    # -- one instance ------------------------------------------------------------------------

    def make(self, name: str = "") -> tuple[Any, Context]:
        context = self.make_context()
        context.name = name or self.module_name
        return self.kind.make(self.settings, context), context

    def start(self, name: str = "") -> tuple[Any, Context]:
        """Make and start one, as far as a start goes when nobody answers."""
        module, context = self.make(name)
        started = self.over(module.startService())
        self.clock.pump([0, 0.1])
        self.assertEqual([str(failure) for failure in started], [])
        self.assertEqual((self.faults(), self.failures), ([], []))
        return module, context

    def stop(self, module: Any, context: Context) -> None:
        """Stop one as its supervisor does."""
        failures = self.over(module.stopService())
        self.clock.pump([0.1] * 25)
        self.assertEqual(failures, [])
        context.close()

    def over(self, result: Any) -> list[Any]:
        """Return a list into which the failure goes if the result, now or later, is one."""
        failures: list[Any] = []
        if isinstance(result, Deferred) or hasattr(result, "__await__"):
            as_deferred(result).addErrback(failures.append)
        return failures

    def faults(self) -> list[str]:
        """Return what was contained; a line that asks a person for something is no fault."""
        return [repr(event["log_failure"].value) for event in self.events if "log_failure" in event]

    def left(self) -> tuple[list[str], list[Any], list[Any]]:
        """Return what is left behind: timers, readers, subscriptions."""
        active = [
            subscription.topic_filter
            for connection in self.brokers.values()
            for subscription in connection.subscriptions
            if not subscription.cancelled
        ]
        return (
            [str(call) for call in self.clock.getDelayedCalls()],
            self.clock.getReaders(),
            active,
        )

    # -- the contract ------------------------------------------------------------------------

    def test_kind(self) -> None:
        """It is listed, its constant has its name, its settings are frozen."""
        self.assertIn(self.module_name, known_kinds())
        self.assertEqual(self.kind.name, self.module_name)
        with self.assertRaises(AttributeError):
            self.settings.anything_at_all = 1

    def test_brokers(self) -> None:
        """Its brokers can be told apart, and are the ones that it then asks for."""
        brokers = set(self.kind.brokers(self.settings))
        self.stop(*self.start())
        self.assertLessEqual(
            {broker.connection_settings() for broker in self.brokers},
            {broker.connection_settings() for broker in brokers},
        )

    def test_made_without_side_effects(self) -> None:
        """Making it does nothing that would have to be undone."""
        module, _context = self.make()
        self.assertTrue(verifyObject(IService, module))
        self.assertTrue(IModule.providedBy(module), "it does not say that it is an IModule")
        self.assertEqual(self.left(), ([], [], []))
        self.assertEqual((self.clock.tcpClients, self.clock.threads.waiting), ([], []))

    def test_stop_without_start(self) -> None:
        """It may be stopped without having been started."""
        module, context = self.make()
        self.stop(module, context)
        self.assertEqual((self.left(), self.faults()), (([], [], []), []))

    def test_start_and_stop(self) -> None:
        """After a stop nothing is left, and nothing went wrong."""
        self.stop(*self.start())
        self.assertEqual((self.left(), self.faults()), (([], [], []), []))

    def test_stop_at_once(self) -> None:
        """So where the stop comes in the same turn as the start."""
        module, context = self.make()
        self.over(module.startService())
        self.stop(module, context)
        self.assertEqual((self.left(), self.faults()), (([], [], []), []))

    def test_stop_twice(self) -> None:
        """A second stop is harmless."""
        module, context = self.start()
        self.over(module.stopService())
        self.stop(module, context)
        self.over(module.stopService())
        self.assertEqual((self.left(), self.faults()), (([], [], []), []))

    def test_second_instance(self) -> None:
        """A second instance, after the first, asks for the same."""
        self.stop(*self.start())
        asked = [each.topic_filter for one in self.brokers.values() for each in one.subscriptions]
        self.brokers.clear()
        module, context = self.start()
        again = [each.topic_filter for one in self.brokers.values() for each in one.subscriptions]
        self.assertEqual(again, asked)
        self.stop(module, context)
        self.assertEqual(self.left(), ([], [], []))

    def test_two_at_a_time(self) -> None:
        """Two instances do not share anything that a stop of one would take from the other."""
        first, second = self.start(), self.start(f"{self.module_name}:two")
        timers = len(self.clock.getDelayedCalls())
        self.stop(*first)
        self.assertEqual(bool(self.clock.getDelayedCalls()), bool(timers))
        self.stop(*second)
        self.assertEqual((self.left(), self.faults()), (([], [], []), []))

    def test_garbage(self) -> None:
        """Garbage on every subscription: no fault, no invalid line, and it goes on."""
        module, context = self.start()
        lines: list[bytes] = []
        for number, (deliver, topic) in enumerate(self.subscribed()):
            for payload in GARBAGE:
                retain = number % 3 == 0
                deliver(Message(topic, payload, number % 2, retain, 10**18 + number), lines)
            self.clock.advance(0.5)
        self.clock.pump([1] * 10)
        self.assertEqual((self.faults(), self.counters.errors, self.failures), ([], {}, []))
        for line in [*b"".join(lines).decode().splitlines(), *self.lines()]:
            parse_line(line)
        self.stop(module, context)
        self.assertEqual(self.left(), ([], [], []))

    def subscribed(self) -> Iterator[tuple[Any, str]]:
        """Give every subscription some topics that it matches, also those it makes meanwhile."""
        for connection in list(self.brokers.values()):
            for subscription in connection.subscriptions:
                for level in LEVELS:
                    text = subscription.topic_filter
                    text = text.replace("+", level).replace("#", f"{level}/{level}")
                    yield subscription.deliver, text

    def test_nobody_answers_for_a_day(self) -> None:
        """A day in which nothing answers: it does not ask more and more, and it can be stopped."""
        module, context = self.start()
        for _ in range(24 * 60):
            self.clock.advance(60)
            self.nobody_answers()
        self.assertLess(len(self.clock.getDelayedCalls()), 50)
        self.assertLess(len(context._owned), 200)
        self.stop(module, context)
        self.assertEqual(self.left(), ([], [], []))

    def nobody_answers(self) -> None:
        """Fail every attempt to connect that was made meanwhile."""
        clients = list(zip(self.clock.tcpClients, self.clock.connectors, strict=True))
        self.clock.tcpClients.clear()
        self.clock.connectors.clear()
        for (_host, _port, factory, *_more), connector in clients:
            factory.clientConnectionFailed(connector, Failure(TimeoutError("nobody there")))


for _name in BUILT_IN:
    _class = f"{_name.title()}ContractTests"
    globals()[_class] = type(
        _class,
        (Contract,),
        {"module_name": _name, "__doc__": f"Of {_name}.", "__module__": __name__},
    )

# Not a case of its own.
del Contract
