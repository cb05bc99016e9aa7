"""The settings of a WebSocket connection."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.config import Secret
from metrics_agent.transports.websocket.settings import WebSocketSettings


class SettingsTests(SynchronousTestCase):
    """What is checked across settings."""

    def faults(self, **settings) -> list[str]:
        made = WebSocketSettings(**{"url": "http://dtu", **settings})
        return [str(fault) for fault in made.check_connection()]

    def test_good(self) -> None:
        """Without a fault, with and without login and TLS."""
        self.assertEqual(self.faults(), [])
        self.assertEqual(self.faults(username="admin", password=Secret("x")), [])
        self.assertEqual(self.faults(url="https://dtu", tls_ca="/ca.pem"), [])
        self.assertEqual(str(WebSocketSettings(url="dtu").address), "ws://dtu/")

    def test_faults(self) -> None:
        """Each is reported with its key."""
        secret = Secret("s3cr3t\n")
        for key, settings in (
            ("url", {"url": ""}),
            ("url", {"url": "ws://a:b@dtu"}),
            ("tls_ca", {"tls_ca": "/ca.pem"}),
            ("tls_insecure", {"tls_insecure": True}),
            ("tls_key", {"url": "https://dtu", "tls_certificate": "/c.pem"}),
            ("tls_certificate", {"url": "https://dtu", "tls_key": "/k.pem"}),
            ("username", {"password": Secret("x")}),
            ("username", {"username": "a:b"}),
            ("username", {"username": "a\r\nX: y"}),
            ("password", {"username": "a", "password": secret}),
            ("reconnect_max", {"reconnect_min": 10, "reconnect_max": 1}),
        ):
            [fault] = self.faults(**settings)
            self.assertEqual(fault.partition(":")[0], key, settings)
            self.assertNotIn("s3cr3t", fault)
