"""The setting of a database, and the login and certificates that go with it."""

from __future__ import annotations

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.config import AgentSettings, Secret
from metrics_agent.config.output import OutputSettings, needs_tls, read_output, without_query
from metrics_agent.errors import OutputError
from metrics_agent.output.http.writer import HttpWriter
from metrics_agent.output.target import make_output
from metrics_agent.platform import Platform
from tests.output.http.fakes import FakeSource


class AddressTests(SynchronousTestCase):
    """The URL as the user has it."""

    def test_addresses(self) -> None:
        """Path and query are kept as they are; the port has a default."""
        for setting, url, secure in (
            ("http://db:8086/write?db=a%20b", "http://db:8086/write?db=a%20b", False),
            ("HTTPS://DB/api/v2/write?org=a@b", "https://db:443/api/v2/write?org=a@b", True),
            ("http://[::1]:8428/write", "http://[::1]:8428/write", False),
            ("http://192.0.2.1/influx/write", "http://192.0.2.1:80/influx/write", False),
        ):
            target = read_output(setting)
            self.assertEqual((target.url, target.is_database), (url, True))
            self.assertEqual(needs_tls(setting), secure)

    def test_wrong(self) -> None:
        """What is wrong is said, and nothing that may be secret is shown."""
        for setting, expected in (
            ("http://db:8086", "without a path, expected /write?db=NAME or /api/v2/write?org="),
            ("http://db:8086/?db=s3cret", "without a path"),
            ("http://db?db=s3cret", "without a path"),
            ("http://me:s3cret@db/write", "output_settings.password"),
            ("http://db:99999/write?p=s3cret", "got the port 99999"),
            ("http://:8086/write?p=s3cret", "expected http://host:port/write"),
            ("http://$DB/write?p=s3cret", "expected a name or an IP address"),
            ("http://db/write?db=a b s3cret", "percent-encoded"),
            ("http://db/write?db=ä s3cret", "percent-encoded"),
            ("http://db/write#s3cret", "percent-encoded"),
        ):
            error = str(self.assertRaises(OutputError, read_output, setting))
            self.assertIn(expected, error)
            self.assertNotIn("s3cret", error)

    def test_name(self) -> None:
        """A log shows no query."""
        self.assertEqual(without_query("http://db/write?p=x"), "http://db/write")
        self.assertEqual(without_query("/a?b"), "/a?b")


class SettingsTests(SynchronousTestCase):
    """The login, and what does not fit."""

    def test_authorization(self) -> None:
        """A token, or name and password."""
        for settings, expected in (
            (OutputSettings(), ""),
            (OutputSettings(token=Secret("")), ""),
            (OutputSettings(token=Secret("abc")), "Token abc"),
            (OutputSettings(username="a", password=Secret("b:c")), "Basic YTpiOmM="),
            (OutputSettings(username="a"), "Basic YTo="),
        ):
            self.assertEqual(settings.authorization(), expected)

    def test_faults(self) -> None:
        """Each is reported with its path."""
        http, https, tcp = "http://db/write", "https://db/write", "tcp://db:1"
        for output, settings, faults in (
            (https, {"token": "x", "tls_ca": "/ca.pem"}, []),
            ("tls://db:1", {"tls_ca": "/ca.pem"}, []),
            (http, {"username": "a", "password": "b"}, []),
            ("stdout", {"token": "", "password": ""}, []),
            ("stdout", {"token": "x"}, ["token"]),
            (tcp, {"username": "x"}, ["username"]),
            (tcp, {"tls_insecure": True}, ["tls_insecure"]),
            (http, {"tls_ca": "/ca.pem"}, ["tls_ca"]),
            (https, {"tls_key": "/key.pem"}, ["tls_certificate"]),
            (http, {"token": "x", "username": "a"}, ["username"]),
            (http, {"password": "x"}, ["username"]),
            (http, {"username": "a:b"}, ["username"]),
            (http, {"token": "a\nb"}, ["token"]),
            (http, {"token": "ä"}, ["token"]),
        ):
            secret = {"token", "password"}
            values = {key: Secret(v) if key in secret else v for key, v in settings.items()}
            found = AgentSettings(output=output, output_settings=OutputSettings(**values)).check()
            paths = [fault.path for fault in found]
            self.assertEqual(paths, [f"output_settings.{key}" for key in faults], settings)

    def test_tags(self) -> None:
        """Names that a database reserves, and empty values, are refused."""
        settings = AgentSettings(tags={"host": "pi", "time": "x", "_a": "b", "empty": ""})
        self.assertEqual(
            [fault.path for fault in settings.check()], ["tags.time", "tags._a", "tags.empty"]
        )

    def test_writer(self) -> None:
        """The setting makes the writer, which connects when it has something to send."""
        reactor = MemoryReactorClock()
        made = make_output(
            Platform(), reactor, "http://127.0.0.1:8086/write?db=x", lambda: self.fail("no stdout")
        )
        source = FakeSource()
        writer = made(source)
        self.assertIsInstance(writer, HttpWriter)
        self.assertEqual(reactor.tcpClients, [])
        source.data = b"m a=1 1\n"
        writer.wake()
        self.assertEqual([call[:2] for call in reactor.tcpClients], [("127.0.0.1", 8086)])
        self.successResultOf(writer.close())
        self.assertEqual(reactor.getDelayedCalls(), [])
