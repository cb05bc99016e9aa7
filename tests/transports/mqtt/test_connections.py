"""One connection for each distinct broker setting."""

from __future__ import annotations

from attrs import evolve, frozen
from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.config import Secret
from metrics_agent.transports.mqtt.connections import Connections
from metrics_agent.transports.mqtt.settings import MqttSettings

ONE = MqttSettings(broker="tcp://one")
TWO = MqttSettings(broker="tcp://two")


@frozen
class ModuleSettings(MqttSettings):
    """Settings of a module: more than the connection's."""

    more: int = 0


class FakeConnection(Service):
    """Notes what it is told."""

    def __init__(self, settings: MqttSettings, client_id: str) -> None:
        self.settings = settings
        self.client_id = client_id
        self.calls: list[str] = []
        self.reasons: set[str] = set()
        self.stopped: Deferred | None = None
        self.settled = succeed(True)

    def stopService(self) -> Deferred:
        super().stopService()
        self.calls.append("stop")
        return self.stopped or succeed(None)

    def pause_reading(self, reason: str) -> None:
        self.reasons.add(reason)

    def resume_reading(self, reason: str) -> None:
        self.reasons.discard(reason)

    def reconcile(self) -> None:
        self.calls.append("reconcile")

    def settle(self, timeout_s: float) -> Deferred:
        self.calls.append(f"settle {timeout_s}")
        return self.settled

    def flush_acknowledgements(self) -> None:
        self.calls.append("flush")


class ConnectionsTests(SynchronousTestCase):
    """What a reload changes, and what it leaves alone."""

    def setUp(self) -> None:
        self.events: list = []
        self.connections = Connections(
            FakeConnection,
            lambda settings, ordinal: settings.client_id or f"id-{ordinal}",
            Logger(observer=self.events.append),
        )

    def reconcile(self, *wanted: MqttSettings) -> None:
        self.successResultOf(self.connections.reconcile(wanted))

    def test_equal_settings_share_a_connection(self) -> None:
        """What does not concern the connection, or is written differently, does not matter."""
        first = ModuleSettings(broker="one", more=1)
        second = ModuleSettings(broker=("mqtt://one:1883",), more=2)
        self.reconcile(first, second, ONE)
        self.assertEqual(len(self.connections.all()), 1)
        self.assertIs(self.connections.get(first), self.connections.get(second))
        self.assertRaises(KeyError, self.connections.get, TWO)

    def test_only_the_difference_is_touched(self) -> None:
        """An equal setting keeps its connection; gone ones stop, new ones start."""
        self.connections.startService()
        self.reconcile(ONE, TWO)
        one, two = self.connections.get(ONE), self.connections.get(TWO)
        self.assertTrue(one.running and two.running)
        self.reconcile(evolve(TWO, keepalive=99.0), ONE)
        self.assertIs(self.connections.get(ONE), one)
        self.assertEqual(one.calls, [])
        self.assertFalse(two.running)
        self.assertEqual(len(list(self.connections)), 2)

    def test_the_old_is_gone_before_the_new_starts(self) -> None:
        """The client id may be the same: the broker must see one of them at a time."""
        self.connections.startService()
        self.reconcile(ONE)
        old = self.connections.get(ONE)
        old.stopped = Deferred()
        done = self.connections.reconcile([TWO])
        self.assertNoResult(done)
        self.assertEqual(self.connections.all(), ())
        old.stopped.callback(None)
        self.successResultOf(done)
        self.assertEqual(self.connections.get(TWO).client_id, "id-0")

    def test_client_ids_differ(self) -> None:
        """Settings of the same identity get ids of their own, the same ones at each start."""
        settings = [evolve(ONE, keepalive=float(number)) for number in (10, 20, 30)]
        self.reconcile(*settings)
        ids = [self.connections.get(each).client_id for each in settings]
        self.assertEqual(sorted(ids), ["id-0", "id-1", "id-2"])
        self.setUp()
        self.reconcile(*reversed(settings))
        self.assertEqual([self.connections.get(each).client_id for each in settings], ids)

    def test_a_fixed_client_id_is_used_once(self) -> None:
        """The same id for two connections would be an endless fight."""
        settings = [evolve(ONE, client_id="me", keepalive=float(each)) for each in (10, 20, 30)]
        self.reconcile(*settings)
        ids = sorted(connection.client_id for connection in self.connections.all())
        self.assertEqual(ids, ["me", "me-2", "me-3"])

    def test_one_that_cannot_be_made_takes_no_other_with_it(self) -> None:
        """It is named, without what is secret in its address, and made when a module asks again."""
        secret = MqttSettings(broker="ws://one/mqtt?token=s3cret")
        broken = [True]

        def make(settings: MqttSettings, client_id: str) -> FakeConnection:
            if broken and settings.brokers[0].websocket:
                raise OSError(36, "File name too long")
            return FakeConnection(settings, client_id)

        self.connections._make = make
        self.connections.startService()
        self.reconcile(secret, ONE, TWO)
        self.assertTrue(self.connections.get(ONE).running)
        self.assertTrue(self.connections.get(TWO).running)
        self.assertRaises(OSError, self.connections.get, secret)
        (line,) = map(formatEvent, self.events)
        self.assertIn("ws://one:80/mqtt cannot be made: OSError: [Errno 36] File name", line)
        broken.clear()
        self.assertTrue(self.connections.get(secret).running)
        self.reconcile(ONE)
        error = self.assertRaises(KeyError, self.connections.get, secret)
        self.assertIn("no connection to ws://one:80/mqtt", str(error))
        for text in (line, repr(error), repr(secret)):
            self.assertNotIn("s3cret", text)

    def test_passwords_alone_tell_connections_apart(self) -> None:
        """Settings that a log shows the same way keep their ids from start to start."""
        settings = [evolve(ONE, username="u", password=Secret(each)) for each in "abcdefgh"]
        self.reconcile(*settings)
        ids = [self.connections.get(each).client_id for each in settings]
        self.assertEqual(ids, [f"id-{number}" for number in range(8)])

    def test_pause_holds_for_new_connections(self) -> None:
        """A connection made during a pause is paused."""
        self.reconcile(ONE)
        self.connections.pause("reload")
        self.reconcile(ONE, TWO)
        self.assertEqual([each.reasons for each in self.connections.all()], [{"reload"}] * 2)
        self.connections.resume("reload")
        self.assertEqual([each.reasons for each in self.connections.all()], [set()] * 2)
        self.reconcile(TWO, MqttSettings(broker="three"))
        self.assertEqual([each.reasons for each in self.connections.all()], [set()] * 2)

    def test_all_are_told(self) -> None:
        """Settling, reconciling and flushing reach each connection."""
        self.reconcile(ONE, TWO)
        self.connections.reconcile_subscriptions()
        self.connections.flush_acknowledgements()
        self.successResultOf(self.connections.settle(3.0))
        for connection in self.connections.all():
            self.assertEqual(connection.calls, ["reconcile", "flush", "settle 3.0"])

    def test_one_fault_does_not_hide_the_others(self) -> None:
        """A connection that fails to settle is logged, the others are waited for."""
        self.reconcile(ONE, TWO)
        first, second = self.connections.all()
        first.settled = fail(ValueError("broken"))
        second.settled = Deferred()
        done = self.connections.settle(3.0)
        self.assertNoResult(done)
        second.settled.callback(True)
        self.successResultOf(done)
        self.assertEqual(len(self.events), 1)

    def test_stop_waits_for_all(self) -> None:
        """Stopping fires when each connection is closed, and may be asked for twice."""
        self.successResultOf(self.connections.stopService())
        self.connections.startService()
        self.reconcile(ONE, TWO)
        waiting = [Deferred(), Deferred()]
        for connection, stopped in zip(self.connections.all(), waiting, strict=True):
            connection.stopped = stopped
        done = self.connections.stopService()
        waiting[0].callback(None)
        self.assertNoResult(done)
        waiting[1].callback(None)
        self.successResultOf(done)
        self.successResultOf(self.connections.stopService())
