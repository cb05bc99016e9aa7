"""The client id is stable, unique and fit for every broker."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.config import Secret
from metrics_agent.transports.mqtt.client_id import client_id
from metrics_agent.transports.mqtt.settings import MqttSettings


class ClientIdTests(SynchronousTestCase):
    """What an id depends on."""

    def test_form(self) -> None:
        """It is short enough for a broker that keeps to the minimum of MQTT 3.1.1."""
        made = client_id(MqttSettings(), "a very long host name " * 20, "", "demo")
        self.assertTrue(re.fullmatch("metrics-agent-[0-9a-f]{8}", made), made)
        self.assertLessEqual(len(made), 23)

    def test_stable(self) -> None:
        """It never changes: sessions at brokers hang on it, so the value is written here."""
        self.assertEqual(client_id(MqttSettings(), "host", "", "demo"), "metrics-agent-d20be681")

    def test_unique(self) -> None:
        """Another host, instance, broker, user or module gives another id."""
        ids = [
            client_id(MqttSettings(), "host", "", "demo"),
            client_id(MqttSettings(), "host2", "", "demo"),
            client_id(MqttSettings(), "host", "2", "demo"),
            client_id(MqttSettings(), "hos", "t", "demo"),
            client_id(MqttSettings(broker="other"), "host", "", "demo"),
            client_id(MqttSettings(broker=("localhost", "other")), "host", "", "demo"),
            client_id(MqttSettings(username="u"), "host", "", "demo"),
            client_id(MqttSettings(), "host", "", "demo:b"),
        ]
        self.assertEqual(len(set(ids)), len(ids))

    def test_independent(self) -> None:
        """It does not hang on the way an address is written, nor on other settings."""
        expected = client_id(MqttSettings(), "host", "", "demo")
        for same in (
            MqttSettings(broker="localhost"),
            MqttSettings(broker=("mqtt://LOCALHOST:1883/",)),
            MqttSettings(username="", password=Secret("x")),
            MqttSettings(keepalive="90s", protocol="5", max_payload="2MiB"),
            MqttSettings().connection_settings(),
        ):
            self.assertEqual(client_id(same, "host", "", "demo"), expected)

    def test_instance_stands_for_the_host(self) -> None:
        """In a container the host's name is another at each start."""
        self.assertEqual(
            client_id(MqttSettings(), "4f1c", "kitchen", "demo"),
            client_id(MqttSettings(), "", "kitchen", "demo"),
        )

    def test_explicit(self) -> None:
        """An id in the settings wins as it is."""
        self.assertEqual(client_id(MqttSettings(client_id="mine"), "host", "", "demo"), "mine")
