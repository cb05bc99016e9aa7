"""Addresses of brokers are read in all their forms."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given, settings
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.broker_address import BrokerAddress, parse_address


class ParseTests(SynchronousTestCase):
    """What is taken and what is refused."""

    def test_forms(self) -> None:
        """Every form gives kind, host, port and path."""
        for text, *expected in (
            ("localhost", "tcp", "localhost", 1883, ""),
            ("Broker.Example:1884", "tcp", "broker.example", 1884, ""),
            ("10.0.0.7", "tcp", "10.0.0.7", 1883, ""),
            ("[::1]", "tcp", "::1", 1883, ""),
            ("[::1]:1884", "tcp", "::1", 1884, ""),
            ("tls://[fe80::1%eth0]:8884", "tls", "fe80::1%eth0", 8884, ""),
            ("tcp://h", "tcp", "h", 1883, ""),
            ("mqtt://h:1", "tcp", "h", 1, ""),
            ("MQTT://h/", "tcp", "h", 1883, ""),
            ("host_1.example.:1", "tcp", "host_1.example.", 1, ""),
            ("b\xfccher.example", "tcp", "b\xfccher.example", 1883, ""),
            ("ssl://h", "tls", "h", 8883, ""),
            ("tls://h", "tls", "h", 8883, ""),
            ("mqtts://h:65535/", "tls", "h", 65535, ""),
            ("ws://h", "ws", "h", 80, "/mqtt"),
            ("ws://h:8083/", "ws", "h", 8083, "/mqtt"),
            ("ws://h:8083/my/path?token=x", "ws", "h", 8083, "/my/path?token=x"),
            ("wss://h/mqtt", "wss", "h", 443, "/mqtt"),
            ("unix:///run/mosquitto/m.sock", "unix", "", 0, "/run/mosquitto/m.sock"),
            ("unix:///run/a%20b@c", "unix", "", 0, "/run/a b@c"),
        ):
            with self.subTest(text=text):
                self.assertEqual(parse_address(text), BrokerAddress(*expected))

    def test_refused(self) -> None:
        """A wrong address is refused with what was got and what was expected."""
        for text, part in (
            ("", "expected host, host:port, or a URL"),
            ("tcp://", "expected host, host:port, or a URL"),
            ("h:", "expected host"),
            ("h:x", "expected host"),
            ("h:0", "got the port 0, expected 1 to 65535"),
            ("h:65536", "got the port 65536, expected 1 to 65535"),
            ("::1", "expected host"),
            ("[::g]", "expected host"),
            ("[1.2.3.4]", "expected an IPv6 address in []"),
            ("a b", "a space or a control character"),
            ("a\nb", "a space or a control character"),
            ("http://h", "got the scheme 'http', expected one of tcp://"),
            ("tcp://h/path", "got the path '/path', expected none for tcp://"),
            ("h/path", "got the path"),
            ("tcp:///h", "expected host"),
            ("ws://h/a#b", "got a #"),
            ("ws://h?x", "expected host"),
            ("unix://run/m.sock", "expected unix:// with an absolute path"),
            ("unix:///", "expected unix:// with an absolute path"),
            ("unix:///a%00b", "expected unix:// with an absolute path"),
            ("h" * 254, "expected a name or an IP address"),
            ("tcp://a..b:1883", "got the host 'a..b', expected a name or an IP address"),
            ("tcp://$BROKER:1883", "got the host '$BROKER', expected a name or an IP address"),
            ("\xfc..b", "expected a name or an IP address"),
            ("h" * 64, "expected a name or an IP address"),
        ):
            with self.subTest(text=text):
                self.assertIn(part, str(self.assertRaises(ValueError, parse_address, text)))

    def test_logins(self) -> None:
        """A login in an address is refused without showing any of it."""
        for text in (
            "tcp://user:S3cret@h",
            "user:S3cret@h:1883",
            "mqtts://user:S3/cret@h",
            "wss://user:S3 cret@h/mqtt",
            "unix://user:S3cret@h",
            "tcp://S3cret@[",
        ):
            with self.subTest(text=text):
                sentence = str(self.assertRaises(ValueError, parse_address, text))
                self.assertIn("use the settings username and password", sentence)
                self.assertNotIn("S3", sentence)

    def test_long_text_is_cut(self) -> None:
        """An error shows no more than a piece of a very long text."""
        sentence = str(self.assertRaises(ValueError, parse_address, "[" * 10_000))
        self.assertLess(len(sentence), 250)

    @settings(max_examples=300, derandomize=True)
    @given(st.text(max_size=30) | st.from_regex(r"(ws|unix|tls)://[a-z\[\]:./%?]{0,20}"))
    def test_any_text(self, text: str) -> None:
        """Any text is an address that reads back from its URL, or a ValueError."""
        try:
            address = parse_address(text)
        except ValueError:
            return
        self.assertEqual(parse_address(address.url), address)


class BrokerAddressTests(SynchronousTestCase):
    """What is shown of an address, and what it says of itself."""

    def test_text(self) -> None:
        """The text is fit for a log: one form, no query, which may hold a token."""
        for text, shown in (
            ("h", "tcp://h:1883"),
            ("ssl://[::1]", "tls://[::1]:8883"),
            ("ws://h/a?token=S3cret", "ws://h:80/a"),
            ("unix:///run/a%20b", "unix:///run/a b"),
        ):
            self.assertEqual(str(parse_address(text)), shown)

    def test_kinds(self) -> None:
        """An address knows whether it takes TLS and a WebSocket."""
        seen = {
            kind: (address.secure, address.websocket)
            for kind in ("tcp", "tls", "ws", "wss", "unix")
            for address in [BrokerAddress(kind, "h", 1)]
        }
        self.assertEqual(
            seen,
            {
                "tcp": (False, False),
                "tls": (True, False),
                "ws": (False, True),
                "wss": (True, True),
                "unix": (False, False),
            },
        )
