"""What a settings object shows of itself: an error's text may contain it."""

from __future__ import annotations

from attrs import frozen
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.config import Secret, setting
from metrics_agent.transports.mqtt.settings import MqttSettings


@frozen
class Nested:
    """Settings in settings."""

    urls: tuple[str, ...] = setting(default=(), doc="")
    table: dict[str, str] = setting(default={}, doc="")
    broker: MqttSettings | None = setting(default=None, doc="")


class ReprTests(SynchronousTestCase):
    """No secret is in it, wherever it was written."""

    def test_addresses(self) -> None:
        """Of an address the login and the query are hidden, and nothing else."""
        for text, shown in (
            ("tcp://host:1883", "tcp://host:1883"),
            ("wss://host/mqtt?token=hunter2", "wss://host/mqtt?***"),
            ("wss://user:hunter2@host/mqtt", "wss://***@host/mqtt"),
            ("ws://user:a/hunter2 b@host?x=hunter2@y?z", "ws://***@y?***"),
            ("a plain text?", "a plain text?"),
        ):
            self.assertIn(f"broker={shown!r},", repr(MqttSettings(broker=text)))

    def test_everywhere(self) -> None:
        """In lists, tables and nested settings too."""
        url = "ws://u:hunter2@host?hunter2"
        inner = MqttSettings(broker=(url, url), password=Secret("hunter2"))
        text = repr(Nested(urls=(url,), table={"a": url}, broker=inner))
        self.assertNotIn("hunter2", text)
        self.assertEqual(text.count("ws://***@host?***"), 4)
