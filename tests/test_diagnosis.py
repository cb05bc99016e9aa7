"""The rule for commands that look: what they connect with, listen to, read and leave behind."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.diagnosis import Diagnosis
from metrics_agent.supervision.connection_problems import ConnectionProblems
from metrics_agent.transports.mqtt.listen_only import ListenOnly
from metrics_agent.transports.mqtt.settings import MqttSettings
from metrics_agent.transports.mqtt.topics import SubscriptionTable
from tests.supervision.fakes import FakeConnection


def deliver(_message: object, _lines: list[bytes]) -> None:
    """Take a message."""


class RuleTests(SynchronousTestCase):
    """What an agent that follows it does at a broker."""

    def test_settings(self) -> None:
        """No session, and another id each time; all else is as it was."""
        rule = Diagnosis(Path("/copy"), "stdout")
        settings = MqttSettings(broker="tcp://b:1883", username="anna", session_expiry=60)
        one, two = rule.connection_settings(settings), rule.connection_settings(settings)
        self.assertIs(one.persistent_session, False)
        self.assertRegex(one.client_id, r"\Ametrics-agent-[0-9a-f]{8}\Z")
        self.assertNotEqual(one.client_id, two.client_id)
        self.assertEqual((one.broker, one.username), (settings.broker, "anna"))

    def test_configured_client_id(self) -> None:
        """It stays the beginning: brokers may have rules for it."""
        rule = Diagnosis(Path("/copy"), "stdout")
        name = rule.connection_settings(MqttSettings(client_id="house")).client_id
        self.assertRegex(name, r"\Ahouse-[0-9a-f]{8}\Z")

    def test_plain_filters(self) -> None:
        """A share of a group's messages is not taken: the filter is subscribed to as it is."""
        connection = FakeConnection()
        listening = ListenOnly(cast("Any", connection))
        for asked in ("$share/house/tele/+/SENSOR", "$queue/tele/#", "tele/+/LWT", "$SYS/#"):
            listening.subscribe(asked, 1, deliver)
        self.assertEqual(
            [each.topic_filter for each in connection.subscriptions],
            ["tele/+/SENSOR", "tele/#", "tele/+/LWT", "$SYS/#"],
        )

    @given(st.lists(st.sampled_from(["$share", "$queue", "a", "+", "#", ""])).map("/".join))
    def test_any_filter(self, text: str) -> None:
        """Whatever a module asks for, a shared subscription does not come of it."""
        table = SubscriptionTable()
        connection: Any = SimpleNamespace(subscribe=table.add)
        try:
            ListenOnly(connection).subscribe(text, 0, deliver)
        except ValueError:
            return
        [wanted] = table.wanted()
        self.assertNotIn(wanted.split("/")[0], {"$share", "$queue"})

    def test_publishes_nothing(self) -> None:
        """As if the broker was away, which modules have to expect."""
        connection = FakeConnection()
        self.assertFalse(ListenOnly(cast("Any", connection)).publish("a", b"b"))
        self.assertEqual(connection.published, [])


class ConnectionProblemsTests(SynchronousTestCase):
    """What is known of connections."""

    def test_the_last_counts(self) -> None:
        """By module and address."""
        problems = ConnectionProblems()
        problems.note("one", "tcp://a", None)
        problems.note("one", "tcp://a", "refused")
        problems.note("one", "tcp://b", "")
        self.assertEqual(problems.of("one"), {"tcp://a": "refused", "tcp://b": ""})
        self.assertEqual(problems.of("two"), {})

    def test_module_whose_connections_never_worked(self) -> None:
        """One that has none, or had one for a while, is another case."""
        problems = ConnectionProblems()
        self.assertFalse(problems.only_failed("one"))
        problems.note("one", "tcp://a", None)
        problems.note("one", "tcp://a", "refused")
        self.assertTrue(problems.only_failed("one"))
        problems.note("one", "tcp://a", "")
        problems.note("one", "tcp://a", "lost")
        self.assertFalse(problems.only_failed("one"))
