"""The table `[status]`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.config import Secret, structure
from metrics_agent.config.status import Listen, StatusSettings, read_listen

TOKEN = "0123456789abcdef"


class ListenTests(SynchronousTestCase):
    """Descriptions of servers, as Twisted writes them."""

    def test_right_ones(self) -> None:
        for text, expected in (
            ("tcp:8686", Listen("tcp", port=8686)),
            ("tcp:8686:interface=127.0.0.1", Listen("tcp", "127.0.0.1", 8686)),
            ("tcp:port=0:interface=0.0.0.0", Listen("tcp", "0.0.0.0", 0)),
            (r"tcp:8686:interface=\:\:1", Listen("tcp", "::1", 8686)),
            ("unix:/run/a.sock", Listen("unix", path="/run/a.sock")),
            (r"unix:address=/a\:b:mode=660", Listen("unix", path="/a:b", mode=0o660)),
        ):
            self.assertEqual(read_listen(text), expected)

    def test_wrong_ones(self) -> None:
        """The error shows what was got and what to write."""
        for text, reason in (
            ("8686", "expected tcp:PORT"),
            ("http://0.0.0.0:8686", "expected tcp:PORT"),
            ("tcp", "expected tcp:PORT"),
            ("tcp:", "expected tcp:PORT"),
            ("tcp:http", "expected tcp:PORT"),
            ("tcp:127.0.0.1:8686", "expected tcp:PORT"),
            ("tcp:8686:127.0.0.1", "expected tcp:PORT"),
            ("tcp:65536", "a port of at most 65535"),
            ("tcp:²", "expected tcp:PORT"),
            ("tcp:1:interface=localhost", "an address of this machine"),
            ("tcp:1:interface=::1", "a backslash before each colon"),
            ("tcp:1:interface=fd00::1:2", "a backslash before each colon"),
            ("tcp:1:backlog=5", "backlog has no effect"),
            ("ssl:8686", "expected tcp:PORT"),
            ("systemd:domain=INET:index=0", "expected tcp:PORT"),
            ("unix:", "the absolute path of a socket"),
            ("unix:a.sock", "the absolute path of a socket"),
            ("unix:/run/", "the absolute path of a socket"),
            ("unix:/a:mode=999", "octal digits"),
            ("unix:/a:lockfile=0", "lockfile has no effect"),
        ):
            error = self.assertRaises(ValueError, read_listen, text)
            self.assertIn(reason, str(error), text)
            self.assertTrue(str(error).startswith("got '"), text)

    def test_which_are_local(self) -> None:
        for text, is_local in (
            ("tcp:1", False),
            ("tcp:1:interface=0.0.0.0", False),
            ("tcp:1:interface=192.0.2.1", False),
            (r"tcp:1:interface=\:\:", False),
            ("tcp:1:interface=127.0.0.1", True),
            ("tcp:1:interface=127.0.0.2", True),
            (r"tcp:1:interface=\:\:1", True),
            ("unix:/a", True),
        ):
            self.assertEqual(read_listen(text).is_local, is_local, text)

    def test_urls(self) -> None:
        for text, url in (
            ("tcp:1", "http://0.0.0.0:1/"),
            (r"tcp:1:interface=\:\:1", "http://[::1]:1/"),
            ("tcp:0:interface=127.0.0.1", "http://127.0.0.1:7/"),
        ):
            listen = read_listen(text)
            self.assertEqual(listen.url(listen.port or 7), url)


class SettingsTests(SynchronousTestCase):
    """What the settings say of each other."""

    def faults(self, **raw: object) -> list[str]:
        return [str(each) for each in structure(StatusSettings, raw, "status").faults]

    def test_off_by_default(self) -> None:
        self.assertEqual((StatusSettings().listen, StatusSettings().needs), ("", ()))
        self.assertEqual(self.faults(), [])

    def test_token_beyond_loopback(self) -> None:
        """Without one the configuration is refused, and the fault says what to do."""
        for listen in ("tcp:8686", "tcp:8686:interface=192.0.2.1"):
            for token in ({}, {"token": ""}):
                [fault] = self.faults(listen=listen, **token)
                self.assertIn("status.token: got nothing, expected a token", fault)
                self.assertIn("openssl rand", fault)
            self.assertEqual(self.faults(listen=listen, token=TOKEN), [])
        self.assertEqual(self.faults(listen="tcp:8686:interface=127.0.0.1"), [])
        self.assertEqual(self.faults(listen="unix:/run/a.sock:mode=666"), [])

    def test_tokens(self) -> None:
        """Long enough not to be guessed, and of what an address and a header can carry."""
        for token, got in (
            ("short", "5 characters"),
            ("x" * 15, "15 characters"),
            ("x" * 129, "129 characters"),
            ("with space in it ok", "a text with other characters"),
            ("ü" * 16, "a text with other characters"),
            ("a&b=c" * 4, "a text with other characters"),
        ):
            [fault] = self.faults(listen="tcp:1:interface=127.0.0.1", token=token)
            self.assertIn(f"status.token: got {got}, expected 16 to 128 letters", fault)
            self.assertNotIn(token, fault)
        self.assertEqual(self.faults(token=TOKEN), [])
        self.assertNotIn(TOKEN, repr(StatusSettings(token=Secret(TOKEN))))

    def test_hosts(self) -> None:
        self.assertEqual(self.faults(hosts=["pi", "pi.local", "a-b.example."]), [])
        for host in ("http://pi", "pi:8686", "*", "", "a b"):
            [fault] = self.faults(hosts=["pi", host])
            self.assertIn("status.hosts[1]: got", fault)

    def test_listen(self) -> None:
        [fault] = self.faults(listen="8686")
        self.assertIn("status.listen: got '8686', expected tcp:PORT", fault)
