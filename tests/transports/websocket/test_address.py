"""Addresses of WebSockets."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.transports.websocket.address import parse_address


class AddressTests(SynchronousTestCase):
    """What people write, and what becomes of it."""

    def test_forms(self) -> None:
        """Scheme, host, port and path may each be left out."""
        for text, shown, authority, target in (
            ("dtu", "ws://dtu/live", "dtu", "/live"),
            ("dtu:8080", "ws://dtu:8080/live", "dtu:8080", "/live"),
            ("http://DTU.example", "ws://dtu.example/live", "dtu.example", "/live"),
            ("http://dtu/", "ws://dtu/live", "dtu", "/live"),
            ("HTTPS://dtu", "wss://dtu/live", "dtu", "/live"),
            ("https://dtu:80/", "wss://dtu:80/live", "dtu:80", "/live"),
            ("wss://dtu:443/other", "wss://dtu/other", "dtu", "/other"),
            ("ws://192.0.2.1:81/a/b", "ws://192.0.2.1:81/a/b", "192.0.2.1:81", "/a/b"),
            ("ws://[2001:db8::1]:81/x", "ws://[2001:db8::1]:81/x", "[2001:db8::1]:81", "/x"),
            ("dtu/x?token=s3cr3t", "ws://dtu/x", "dtu", "/x?token=s3cr3t"),
            ("dtu?token=s3cr3t", "ws://dtu/live", "dtu", "/live?token=s3cr3t"),
            ("dtu/x?mail=a@b", "ws://dtu/x", "dtu", "/x?mail=a@b"),
            ("dtu/größe", "ws://dtu/gr%C3%B6%C3%9Fe", "dtu", "/gr%C3%B6%C3%9Fe"),
            ("dtu/a%20b", "ws://dtu/a%20b", "dtu", "/a%20b"),
        ):
            address = parse_address(text, "/live")
            self.assertEqual(
                (str(address), address.authority, address.target), (shown, authority, target), text
            )

    def test_what_cannot_be_one(self) -> None:
        """Each fault says what was got and what was expected."""
        for text, words in (
            ("", "expected a URL such as http://host:port/live"),
            ("mqtt://dtu", "got the scheme 'mqtt', expected one of ws://, http://, wss://, https"),
            ("http://dtu:0", "got the port 0, expected 1 to 65535"),
            ("http://dtu:70000", "got the port 70000"),
            ("http://dtu:port", "expected a URL"),
            ("http://[::x]", "expected"),
            ("http://[1:2]", "expected an IPv6 address"),
            ("http://a b", "got a space or a control character"),
            ("http://dtu/\x07", "got a space or a control character"),
            ("http://dtu/x#y", "got a # in the address"),
            ("http://" + "a" * 64, "expected a name or an IP address"),
            ("http://" + "a." * 200, "expected a name or an IP address"),
            ("http://${DTU}", "got the host '${DTU}', expected a name or an IP address"),
        ):
            fault = self.assertRaises(ValueError, parse_address, text, "/live")
            self.assertIn(words, str(fault))

    def test_a_login_is_never_shown(self) -> None:
        """A login in the address is refused, wherever it is, and not shown."""
        for text in ("ws://admin:s3cr3t@dtu/live", "admin:s3/cr3t@dtu", "http://s3cr3t@dtu"):
            fault = self.assertRaises(ValueError, parse_address, text)
            self.assertIn("use the settings username and password", str(fault))
            self.assertNotIn("s3", str(fault))
