"""The setting of a topic at a broker, and the login and certificates that go with it."""

from __future__ import annotations

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.config import AgentSettings, Secret
from metrics_agent.config.output import OutputSettings, needs_tls, read_output
from metrics_agent.errors import OutputError
from metrics_agent.output.mqtt.settings import broker_settings
from metrics_agent.output.mqtt.writer import MqttWriter
from metrics_agent.output.target import make_output
from metrics_agent.platform import Platform
from tests.output.http.fakes import FakeSource


class AddressTests(SynchronousTestCase):
    """The address of the broker, and the topic after it."""

    def test_addresses(self) -> None:
        """The ports have defaults, and the topic may have any number of levels."""
        for setting, url, topic, secure in (
            ("mqtt://b/telegraf/house", "tcp://b:1883", "telegraf/house", False),
            ("MQTTS://B:8884/t", "tls://b:8884", "t", True),
            ("mqtt://[::1]/t/", "tcp://[::1]:1883", "t/", False),
            ("mqtt://b//t", "tcp://b:1883", "/t", False),
            ("mqtt://b/a%20b%40c%25", "tcp://b:1883", "a b@c%", False),
            ("ws://b#t/x", "ws://b:80/mqtt", "t/x", False),
            ("ws://b:9001/ws#t/x", "ws://b:9001/ws", "t/x", False),
            ("wss://b/mqtt?key=1#t/x", "wss://b:443/mqtt?key=1", "t/x", True),
        ):
            target = read_output(setting)
            assert target.broker is not None
            self.assertEqual((target.kind, target.broker.url, target.topic), ("mqtt", url, topic))
            self.assertEqual((target.secure, needs_tls(setting)), (secure, secure))

    def test_wrong(self) -> None:
        """What is wrong is said, and nothing that may be secret is shown."""
        for setting, expected in (
            ("mqtt://b", "got 'mqtt://b' without a topic, expected mqtt://host:port/topic"),
            ("MQTT://B:1/", "got 'MQTT://B:1/' without a topic"),
            ("mqtt://b/", "without a topic"),
            (
                "ws://b/mqtt",
                "got 'ws://b/mqtt' without a topic, expected ws://host:port/mqtt#topic",
            ),
            ("ws://b/mqtt?key=s3cret", "got 'ws://b/mqtt?...' without a topic"),
            ("ws://b/mqtt?key=s3cret#+", "got 'ws://b/mqtt?...#+': a topic has no wildcard"),
            ("mqtt://me:s3cret@b/t", "output_settings.password"),
            ("mqtt://me:s3/cret@b/t", "output_settings.password"),
            ("mqtt://b/a/#", "a topic has no wildcard"),
            ("mqtt://b/+/a", "a topic has no wildcard"),
            ("ws://b#a/%23", "a topic has no wildcard"),
            ("mqtt://b/$SYS/a", "topics that begin with $ belong to the broker"),
            ("mqtt://b/%24share/g/a", "topics that begin with $ belong to the broker"),
            ("mqtt://b/t?x", "got 'mqtt://b/t?...', expected mqtt://host:port/topic, percent-enc"),
            ("mqtt://b/t?password=s3cret", "got 'mqtt://b/t?...', expected mqtt://host"),
            ("ws://b#t?password=s3cret", "got 'ws://b#t?...', expected ws://host:port/mqtt#topic"),
            ("mqtt://b/a b", "got 'mqtt://b/a b', expected mqtt://host:port/topic, percent-enc"),
            ("mqtt://b/%00", "forbidden character U+0000"),
            ("mqtt://b/%ff", "not UTF-8"),
            ("mqtt://b:99999/t", "got the port 99999"),
            ("mqtt://:1883/t", "expected host, host:port"),
            ("mqtt://$HOST/t", "expected a name or an IP address"),
            ("mqtt:b:1883", "Unknown endpoint type: 'mqtt'"),
        ):
            error = self.assertRaises(
                OutputError, make_output, Platform(), MemoryReactorClock(), setting, self.no_stdout
            )
            self.assertIn(expected, str(error), setting)
            self.assertNotIn("s3cret", str(error))

    def no_stdout(self) -> int:
        raise AssertionError("stdout is not asked for")


class SettingsTests(SynchronousTestCase):
    """The login, and what does not fit."""

    def test_faults(self) -> None:
        """Each is reported with its path."""
        mqtt, mqtts, http = "mqtt://b/t", "mqtts://b/t", "http://db/write"
        for output, settings, faults in (
            (mqtt, {"username": "a:b", "password": "ä", "client_id": "x"}, []),
            (mqtts, {"tls_ca": "/ca.pem", "tls_insecure": True}, []),
            ("wss://b#t", {"tls_ca": "/ca.pem"}, []),
            (mqtt, {"tls_ca": "/ca.pem"}, ["tls_ca"]),
            (mqtt, {"token": "x"}, ["token"]),
            (mqtt, {"token": "x", "username": "a"}, ["token"]),
            (mqtt, {"password": "x"}, ["username"]),
            (mqtt, {"username": "a\0"}, ["username"]),
            (mqtt, {"client_id": "a\nb"}, ["client_id"]),
            (http, {"client_id": "x"}, ["client_id"]),
            ("stdout", {"client_id": "x"}, ["client_id"]),
        ):
            secret = {"token", "password"}
            values = {key: Secret(v) if key in secret else v for key, v in settings.items()}
            found = AgentSettings(output=output, output_settings=OutputSettings(**values)).check()
            paths = [fault.path for fault in found]
            self.assertEqual(paths, [f"output_settings.{key}" for key in faults], settings)

    def test_broker_settings(self) -> None:
        """They are those of a connection with MQTT 5 that leaves no session behind."""
        password = Secret("p")
        given = OutputSettings(
            username="me", password=password, client_id="c", tls_ca="/ca.pem", timeout=7
        )
        made = broker_settings(read_output("mqtts://b/t"), given)
        self.assertEqual([str(each) for each in made.brokers], ["tls://b:8883"])
        self.assertEqual((made.username, made.password, made.client_id), ("me", password, "c"))
        self.assertEqual((made.protocol, made.persistent_session), ("5", False))
        self.assertEqual((made.tls_ca, made.connect_timeout), ("/ca.pem", 7))

    def test_writer(self) -> None:
        """The setting makes the writer, which connects at once."""
        reactor = MemoryReactorClock()
        made = make_output(
            Platform(), reactor, "mqtt://127.0.0.1/t", lambda: self.fail("no stdout")
        )
        self.assertEqual(reactor.tcpClients, [])
        writer = made(FakeSource())
        self.assertIsInstance(writer, MqttWriter)
        self.assertEqual([call[:2] for call in reactor.tcpClients], [("127.0.0.1", 1883)])
        self.successResultOf(writer.close())
        self.assertEqual(reactor.getDelayedCalls(), [])
