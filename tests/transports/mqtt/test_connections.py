"""One connection for each module instance and broker setting, and when it is read."""

from __future__ import annotations

from collections.abc import Callable, Collection

from attrs import evolve, frozen
from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.transports.mqtt.connections import NOT_RUNNING, Connections, Wanted
from metrics_agent.transports.mqtt.settings import MqttSettings

ONE = MqttSettings(broker="tcp://one")
TWO = MqttSettings(broker="tcp://two")
DRAIN_S = 7.0


@frozen
class ModuleSettings(MqttSettings):
    """Settings of a module: more than the connection's."""

    more: int = 0


class FakeConnection(Service):
    """Notes what it is asked."""

    def __init__(self, module: str, settings: MqttSettings, client_id: str) -> None:
        self.module = module
        self.settings = settings
        self.client_id = client_id
        self.calls: list[str] = []
        self.reasons: set[str] = set()
        self.lifted: Collection[str] | None = None
        self.on_resume: Callable[[], object] = list
        self.stopped: Deferred | None = None
        self.settled = succeed(True)
        self.rest = succeed(None)
        self.all_acknowledged = succeed(True)

    def stopService(self) -> Deferred:
        super().stopService()
        self.calls.append("stop")
        return self.stopped or succeed(None)

    def pause_reading(self, reason: str) -> None:
        self.reasons.add(reason)

    def resume_reading(self, reason: str) -> None:
        self.reasons.discard(reason)
        if not self.reasons:
            self.on_resume()

    def unsubscribe_unwanted(self) -> None:
        self.calls.append("unsubscribe")

    def handle_delivered(self, timeout_s: float, *, comes_back: bool) -> Deferred:
        self.calls.append(f"deliveries {timeout_s}{' comes back' * comes_back}")
        return self.settled

    def read_no_more(self, rest_s: float, lifted: Collection[str]) -> Deferred:
        self.calls.append(f"rest {rest_s}")
        self.lifted = lifted
        return self.rest

    def acknowledged(self, timeout_s: float) -> Deferred:
        self.calls.append(f"acknowledged {timeout_s}")
        return self.all_acknowledged


class ConnectionsCase(SynchronousTestCase):
    """Has connections that are fakes, with an id of instance and broker."""

    def setUp(self) -> None:
        self.events: list = []
        self.connections = Connections(
            FakeConnection,
            lambda instance, settings: (
                settings.client_id or f"{instance}@{settings.brokers[0].host}"
            ),
            Logger(observer=self.events.append),
        )

    def reconcile(self, *wanted: MqttSettings | Wanted) -> None:
        """Want these; settings alone are those of module ``a``."""
        pairs = [each if isinstance(each, tuple) else ("a", each) for each in wanted]
        self.successResultOf(self.connections.reconcile(pairs, DRAIN_S))

    def follow(self, *running: str, parked: Collection[str] = ()) -> None:
        self.connections.follow(running=running, parked=parked)

    def reasons(self) -> list[set[str]]:
        return [each.reasons for each in self.connections.all()]


class ConnectionsTests(ConnectionsCase):
    """What a reload changes, and what it leaves alone."""

    def test_equal_settings_of_a_module_are_one_connection(self) -> None:
        """What does not concern the connection, or is written differently, does not matter."""
        first = ModuleSettings(broker="one", more=1)
        second = ModuleSettings(broker=("mqtt://one:1883",), more=2)
        self.reconcile(first, second, ONE)
        self.assertEqual(len(self.connections.all()), 1)
        self.assertIs(self.connections.get("a", first), self.connections.get("a", second))
        self.assertRaises(KeyError, self.connections.get, "a", TWO)

    def test_each_module_has_its_own(self) -> None:
        """Two modules at one broker have a connection each, and know nothing of the other's."""
        self.reconcile(("a", ONE), ("b", ONE), ("b", TWO))
        names = [(name, each.client_id) for name, each in self.connections.named()]
        self.assertEqual(names, [("a", "a@one"), ("b", "b@one"), ("b", "b@two")])
        self.assertIsNot(self.connections.get("a", ONE), self.connections.get("b", ONE))
        self.assertRaises(KeyError, self.connections.get, "a", TWO)

    def test_only_the_difference_is_touched(self) -> None:
        """An equal setting keeps its connection; gone ones stop, new ones start."""
        self.connections.startService()
        self.reconcile(ONE, TWO)
        one, two = self.connections.get("a", ONE), self.connections.get("a", TWO)
        self.assertTrue(one.running and two.running)
        self.reconcile(evolve(TWO, keepalive=99.0), ONE)
        self.assertIs(self.connections.get("a", ONE), one)
        self.assertEqual(one.calls, [])
        self.assertFalse(two.running)
        self.assertEqual(len(list(self.connections)), 2)

    def test_the_old_is_gone_before_the_new_starts(self) -> None:
        """The client id is the same: the broker must see one of them at a time."""
        self.connections.startService()
        self.reconcile(ONE)
        old = self.connections.get("a", ONE)
        old.stopped = Deferred()
        changed = evolve(ONE, keepalive=99.0)
        done = self.connections.reconcile([("a", changed)], DRAIN_S)
        new = self.connections.get("a", changed)
        self.assertNoResult(done)
        self.assertEqual((new.client_id, bool(new.running)), (old.client_id, False))
        old.stopped.callback(None)
        self.successResultOf(done)
        self.assertTrue(new.running)

    def test_a_third_waits_for_the_first(self) -> None:
        """So where the one in between never started; and what is not wanted never starts."""
        self.connections.startService()
        self.reconcile(ONE)
        first = self.connections.get("a", ONE)
        first.stopped = Deferred()
        between, last = evolve(ONE, keepalive=99.0), evolve(ONE, keepalive=66.0)
        self.connections.reconcile([("a", between)], DRAIN_S)
        second = self.connections.get("a", between)
        self.connections.reconcile([("a", last)], DRAIN_S)
        third = self.connections.get("a", last)
        self.assertFalse(third.running)
        first.stopped.callback(None)
        self.assertEqual((bool(second.running), bool(third.running)), (False, True))

    def test_one_that_cannot_be_made_takes_no_other_with_it(self) -> None:
        """It is named, without what is secret in its address, and made when a module asks again."""
        secret = MqttSettings(broker="ws://one/mqtt?token=s3cret")
        broken = [True]

        def make(module: str, settings: MqttSettings, client_id: str) -> FakeConnection:
            if broken and settings.brokers[0].websocket:
                raise OSError(36, "File name too long")
            return FakeConnection(module, settings, client_id)

        self.connections._make = make
        self.connections.startService()
        self.reconcile(secret, ONE, TWO)
        self.assertTrue(self.connections.get("a", ONE).running)
        self.assertTrue(self.connections.get("a", TWO).running)
        self.assertRaises(OSError, self.connections.get, "a", secret)
        (line,) = map(formatEvent, self.events)
        self.assertIn("of module a to ws://one:80/mqtt cannot be made: OSError: [Errno 36]", line)
        broken.clear()
        self.assertTrue(self.connections.get("a", secret).running)
        self.reconcile(ONE)
        error = self.assertRaises(KeyError, self.connections.get, "a", secret)
        self.assertIn("no broker ws://one:80/mqtt", str(error))
        for text in (line, repr(error), repr(secret)):
            self.assertNotIn("s3cret", text)

    def test_stop_waits_for_all(self) -> None:
        """Stopping fires when each connection is closed, and may be asked for twice."""
        self.successResultOf(self.connections.stopService())
        self.connections.startService()
        self.reconcile(ONE, TWO, ("parked", ONE))
        waiting = [Deferred(), Deferred(), Deferred()]
        for connection, stopped in zip(self.connections.all(), waiting, strict=True):
            connection.stopped = stopped
        self.follow("a", parked=("parked",))
        done = self.connections.stopService()
        for stopped in waiting:
            self.assertNoResult(done)
            stopped.callback(None)
        self.successResultOf(done)
        self.successResultOf(self.connections.stopService())


class ReadingTests(ConnectionsCase):
    """When a connection is read."""

    def test_only_for_modules_that_run(self) -> None:
        """A module that starts or waits for its restart has not looked at its messages."""
        self.reconcile(("a", ONE), ("b", ONE), ("b", TWO))
        self.assertEqual(self.reasons(), [{NOT_RUNNING}] * 3)
        self.follow("a")
        self.assertEqual(self.reasons(), [set(), {NOT_RUNNING}, {NOT_RUNNING}])
        self.follow("a", "b")
        self.assertEqual(self.reasons(), [set()] * 3)
        self.follow("b")
        self.assertEqual(self.reasons(), [{NOT_RUNNING}, set(), set()])

    def test_one_made_late(self) -> None:
        """A connection that a running module got only now is read at once."""
        self.reconcile(ONE)
        self.follow("a")
        self.connections._connections.clear()
        connection = self.connections.get("a", ONE)
        self.assertEqual(connection.reasons, set())
        # What a former process left at the broker may be given up.
        self.assertEqual(connection.calls, ["unsubscribe"])

    def test_given_up_filters(self) -> None:
        """They are given up once the module has started again, each time, and not before."""
        self.reconcile(("a", ONE), ("b", ONE))
        a, b = self.connections.all()
        self.follow("a")
        self.follow("a")
        self.assertEqual((a.calls, b.calls), (["unsubscribe"], []))
        self.follow()
        self.follow("a", "b")
        self.assertEqual((a.calls, b.calls), (["unsubscribe"] * 2, ["unsubscribe"]))

    def test_a_parked_module_has_no_connection(self) -> None:
        """It ends in order, so that the broker keeps the messages, and is made at the next try."""
        self.connections.startService()
        self.reconcile(("a", ONE), ("b", ONE))
        self.follow("b", parked=("a",))
        (b,) = self.connections.all()
        self.assertEqual((b.module, b.calls), ("b", ["unsubscribe"]))
        again = self.connections.get("a", ONE)
        self.assertTrue(again.running)
        self.assertEqual(again.reasons, {NOT_RUNNING})

    def test_parked_and_tried_again_while_it_closes(self) -> None:
        """The new connection waits until the broker has seen the end of the old one."""
        self.connections.startService()
        self.reconcile(ONE)
        (old,) = self.connections.all()
        old.stopped = Deferred()
        self.follow(parked=("a",))
        self.assertEqual(old.calls[:2], [f"acknowledged {DRAIN_S}", "stop"])
        new = self.connections.get("a", ONE)
        self.assertFalse(new.running)
        old.stopped.callback(None)
        self.assertTrue(new.running)

    def test_pause_holds_for_new_connections(self) -> None:
        """A connection made during a pause is paused."""
        self.reconcile(ONE)
        self.follow("a")
        self.connections.pause("reload")
        self.reconcile(ONE, TWO)
        self.assertEqual(self.reasons(), [{"reload"}] * 2)
        self.connections.resume("reload")
        self.assertEqual(self.reasons(), [set()] * 2)
        self.reconcile(TWO, MqttSettings(broker="three"))
        self.assertEqual(self.reasons(), [set()] * 2)

    def test_pressure_that_comes_back_while_it_is_lifted(self) -> None:
        """What one connection held fills the output again: no other is read then."""
        self.reconcile(ONE, TWO)
        self.follow("a")
        self.connections.pause("pressure")
        self.connections.all()[0].on_resume = lambda: self.connections.pause("pressure")
        self.connections.resume("pressure")
        self.assertEqual(self.reasons(), [{"pressure"}] * 2)
        self.connections.all()[0].on_resume = list
        self.connections.resume("pressure")
        self.assertEqual(self.reasons(), [set()] * 2)

    def test_pressure_that_comes_and_goes_while_it_is_lifted(self) -> None:
        """All are read in the end."""
        self.reconcile(ONE, TWO)
        self.follow("a")
        self.connections.pause("pressure")
        first = self.connections.all()[0]

        def come_and_go() -> None:
            first.on_resume = list
            self.connections.pause("pressure")
            self.connections.resume("pressure")

        first.on_resume = come_and_go
        self.connections.resume("pressure")
        self.assertEqual(self.reasons(), [set()] * 2)

    def test_a_module_that_stops_while_another_is_read(self) -> None:
        """Each connection follows the latest that is known of its module."""
        self.reconcile(("a", ONE), ("b", ONE))
        first = self.connections.all()[0]

        def b_stops() -> None:
            first.on_resume = list
            self.follow("a")

        first.on_resume = b_stops
        self.follow("a", "b")
        self.assertEqual(self.reasons(), [set(), {NOT_RUNNING}])

    def test_settle(self) -> None:
        """Only what is read for a module that runs can be waited for."""
        self.reconcile(("a", ONE), ("b", ONE))
        self.follow("b")
        self.successResultOf(self.connections.handle_delivered(3.0, 1.0))
        a, b = self.connections.all()
        self.assertEqual(
            (a.calls, b.calls), ([], ["unsubscribe", "deliveries 3.0 comes back", "rest 1.0"])
        )
        self.successResultOf(self.connections.handle_delivered(2.0, 1.0, ()))
        self.assertEqual(b.calls[3:], ["deliveries 2.0", "rest 1.0"])

    def test_settle_what_ends(self) -> None:
        """Before a reload only what it ends is waited for; a session may go on after it."""
        self.reconcile(("a", ONE), ("a", TWO), ("b", ONE))
        self.follow("a", "b")
        kept = [("a", ModuleSettings(broker="one", more=1)), ("b", evolve(ONE, keepalive=99.0))]
        self.successResultOf(self.connections.handle_delivered(3.0, 1.0, kept))
        settled = [each.calls[1:] for each in self.connections.all()]
        self.assertEqual(
            settled,
            [
                [],
                ["deliveries 3.0", "rest 1.0"],
                ["deliveries 3.0 comes back", "rest 1.0"],
            ],
        )

    def test_a_full_output(self) -> None:
        """What was read of a connection that ends is handed on all the same."""
        self.reconcile(("a", ONE), ("b", ONE))
        self.follow("a", "b")
        self.connections.pause("pressure")
        self.successResultOf(self.connections.handle_delivered(3.0, 1.0, [("a", ONE)]))
        self.assertEqual([each.lifted for each in self.connections.all()], [None, ("pressure",)])

    def test_stop_in_a_reload(self) -> None:
        """What the stop waits for is read until it is over, though the reload's wait is over."""
        self.reconcile(ONE, TWO)
        self.follow("a")
        first, second = self.connections.all()
        for each in (first, second):
            each.settled = Deferred()
        of_reload = self.connections.handle_delivered(3.0, 1.0, [("a", ONE)])
        reloads, second.settled = second.settled, Deferred()
        of_stop = self.connections.handle_delivered(3.0, 1.0)
        reloads.callback(True)
        self.successResultOf(of_reload)
        self.assertNotIn("rest 1.0", second.calls)
        first.settled.callback(True)
        self.assertNoResult(of_stop)
        second.settled.callback(True)
        self.successResultOf(of_stop)
        self.assertEqual((first.calls[-1], second.calls[-1]), ("rest 1.0", "rest 1.0"))

    def test_one_fault_does_not_hide_the_others(self) -> None:
        """A connection that fails to settle is logged, the others are waited for."""
        self.reconcile(ONE, TWO)
        self.follow("a")
        first, second = self.connections.all()
        first.settled = fail(ValueError("broken"))
        second.settled = Deferred()
        done = self.connections.handle_delivered(3.0, 1.0)
        self.assertNoResult(done)
        second.settled.callback(True)
        self.successResultOf(done)
        self.assertEqual(len(self.events), 1)


class EndingTests(ConnectionsCase):
    """A connection that is not wanted any more, or whose module gave up, stays for a moment."""

    def setUp(self) -> None:
        super().setUp()
        self.connections.startService()
        self.reconcile(ONE, TWO)
        self.follow("a")
        self.old = self.connections.get("a", ONE)
        self.old.all_acknowledged = Deferred()

    def test_it_waits_for_its_last_acknowledgements(self) -> None:
        """Nothing more is read on it; it ends when they are out."""
        self.connections.pause("reload")
        done = self.connections.reconcile([("a", TWO)], DRAIN_S)
        self.connections.resume("reload")
        self.follow("a")
        self.assertIn(NOT_RUNNING, self.old.reasons)
        self.assertTrue(self.old.running)
        self.assertNoResult(done)
        self.old.all_acknowledged.callback(True)
        self.successResultOf(done)
        self.assertFalse(self.old.running)
        self.assertEqual(list(self.connections), [self.connections.get("a", TWO)])

    def test_the_next_one_of_its_id_waits_for_it(self) -> None:
        """Also where it cannot be said any more what was acknowledged."""
        changed = evolve(ONE, keepalive=99.0)
        self.connections.reconcile([("a", changed)], DRAIN_S)
        new = self.connections.get("a", changed)
        self.assertFalse(new.running)
        self.old.all_acknowledged.errback(ValueError("broken"))
        self.assertTrue(new.running)

    def test_of_a_module_that_gave_up(self) -> None:
        """What it had handled is acknowledged before its connection ends."""
        self.follow(parked=("a",))
        self.assertTrue(self.old.running)
        self.assertEqual(self.connections.all(), ())
        self.old.all_acknowledged.callback(True)
        self.assertFalse(self.old.running)

    def test_a_stop_does_not_wait(self) -> None:
        """It has waited for the reader itself: all connections end."""
        self.connections.reconcile([], DRAIN_S)
        done = self.connections.stopService()
        self.assertFalse(self.old.running)
        self.old.all_acknowledged.callback(False)
        self.successResultOf(done)
