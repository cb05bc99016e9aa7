"""The settings of a connection: read from a file, checked, compared."""

from __future__ import annotations

from attrs import fields, frozen
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.broker_address import BrokerAddress
from metrics_agent.config import Secret, setting
from metrics_agent.config.setting import spec_of
from metrics_agent.config.structure import structure
from metrics_agent.transports.mqtt.settings import CUSTOM_IGNORED, MqttSettings


@frozen
class ModuleSettings(MqttSettings):
    """Settings of a module that uses MQTT."""

    colour: str = setting(default="red", doc="Something else.")


def faults(made: MqttSettings) -> list[str]:
    """Return the sentences of what is wrong."""
    return [str(fault) for fault in made.check()]


class DefaultTests(SynchronousTestCase):
    """What holds when nothing is set."""

    def test_defaults(self) -> None:
        """The defaults are right, in seconds and bytes, and need a broker on this machine."""
        made = MqttSettings()
        self.assertEqual(faults(made), [])
        self.assertEqual(made.brokers, (BrokerAddress("tcp", "localhost", 1883),))
        self.assertEqual((made.keepalive, made.connect_timeout), (30.0, 10.0))
        self.assertEqual((made.session_expiry, made.max_payload), (7 * 24 * 3600.0, 1 << 20))
        self.assertEqual((made.protocol, made.qos), ("auto", 1))
        self.assertEqual(made.receive_maximum, 1000)
        self.assertIs(made.persistent_session, True)
        self.assertEqual((made.username, made.password, made.client_id), (None, None, ""))

    def test_documented(self) -> None:
        """Every setting says what it means."""
        for each in fields(MqttSettings):
            self.assertTrue(spec_of(each).doc.endswith("."), each.name)

    def test_go_keys(self) -> None:
        """Keys of the Go agent that mean nothing here are named with a sentence."""
        names = {each.name for each in fields(MqttSettings)}
        self.assertEqual(set(CUSTOM_IGNORED), {"keep_alive", "timeout", "ping_timeout"})
        self.assertFalse(names & set(CUSTOM_IGNORED))


class FileTests(SynchronousTestCase):
    """What a configuration file may say."""

    def test_read(self) -> None:
        """A table of a file becomes settings that can be hashed and compared."""
        raw = {"broker": ["a", "tls://b"], "protocol": "5", "qos": 0, "password": "x"}
        result = structure(MqttSettings, {**raw, "username": "u", "keepalive": "1m"})
        self.assertEqual(result.faults, ())
        assert result.value is not None
        self.assertEqual(
            result.value,
            MqttSettings(
                broker=("a", "tls://b"),
                protocol="5",
                qos=0,
                username="u",
                password=Secret("x"),
                keepalive=60.0,
            ),
        )
        self.assertIn(result.value, {result.value})

    def test_refused(self) -> None:
        """A value of the wrong kind or beyond its limits is a fault at its key."""
        for key, value in (
            ("broker", 1883),
            ("broker", []),
            ("broker", "http://h"),
            ("protocol", 5),
            ("protocol", "3.1"),
            ("qos", 2),
            ("keepalive", "4s"),
            ("keepalive", "19h"),
            ("session_expiry", "366d"),
            ("max_payload", 1023),
            ("max_payload", "256MiB"),
            ("reconnect_min", "0s"),
            ("tls_insecure", "yes"),
        ):
            with self.subTest(key=key, value=value):
                result = structure(MqttSettings, {key: value}, "modules.x")
                self.assertEqual([fault.path for fault in result.faults], [f"modules.x.{key}"])

    def test_session_that_ends_with_the_connection(self) -> None:
        """Nothing sent at QoS 1 would come again: the fault names the setting for that."""
        for raw in ("0s", "400ms"):
            result = structure(MqttSettings, {"session_expiry": raw}, "modules.x")
            (fault,) = map(str, result.faults)
            self.assertIn(f'modules.x.session_expiry: got "{raw}"', fault)
            self.assertIn('from "1s" to "365d"; ', fault)
            self.assertTrue(fault.endswith("; for no session set persistent_session = false"))
        for raw, hint in (("1s", []), ("366d", [""])):
            result = structure(MqttSettings, {"session_expiry": raw}, "modules.x")
            self.assertEqual([fault.hint for fault in result.faults], hint)


class SharingTests(SynchronousTestCase):
    """Which modules share a connection."""

    def test_projection(self) -> None:
        """Settings of two modules that differ in what is not the connection's are equal."""
        plain = MqttSettings(broker="b", password=Secret("x"), username="u", keepalive="60s")
        red, blue = (
            ModuleSettings(
                broker="b", password=Secret("x"), username="u", keepalive="60s", colour=colour
            )
            for colour in ("red", "blue")
        )
        shared = {each.connection_settings() for each in (plain, red, blue)}
        self.assertEqual(len(shared), 1)
        made = shared.pop()
        self.assertIs(type(made), MqttSettings)
        self.assertEqual((made.keepalive, made.username), (60.0, "u"))
        self.assertEqual(made.connection_settings(), made)

    def test_ways_of_writing(self) -> None:
        """What is written differently and means the same is one connection."""
        same = {
            each.connection_settings()
            for each in (
                MqttSettings(),
                MqttSettings(broker="LocalHost"),
                MqttSettings(broker=("mqtt://localhost:1883",)),
                MqttSettings(username="", password=Secret("")),
            )
        }
        self.assertEqual(len(same), 1)

    def test_nothing_is_lost(self) -> None:
        """The query of a WebSocket and a space in a path survive the projection."""
        brokers = ("ws://h:8083/m?token=1", "unix:///run/a%20b")
        made = MqttSettings(broker=brokers)
        self.assertEqual(made.connection_settings().brokers, made.brokers)

    def test_differences(self) -> None:
        """Another password, user, protocol or order of brokers is another connection."""
        different = {
            each.connection_settings()
            for each in (
                MqttSettings(broker=("a", "b")),
                MqttSettings(broker=("b", "a")),
                MqttSettings(broker=("a", "b"), protocol="5"),
                MqttSettings(broker=("a", "b"), username="u"),
                MqttSettings(broker=("a", "b"), username="u", password=Secret("1")),
                MqttSettings(broker=("a", "b"), username="u", password=Secret("2")),
            )
        }
        self.assertEqual(len(different), 6)

    def test_secret(self) -> None:
        """The password is not in what is shown of the settings."""
        self.assertNotIn("S3cret", repr(MqttSettings(password=Secret("S3cret"))))


class CheckTests(SynchronousTestCase):
    """Faults across settings."""

    def test_brokers(self) -> None:
        """Every bad address is named; an empty list is a fault."""
        found = faults(MqttSettings(broker=("good", "http://x", "tcp://h:99999")))
        self.assertEqual(len(found), 2)
        self.assertTrue(all(fault.startswith("broker: got ") for fault in found), found)
        self.assertEqual(
            faults(MqttSettings(broker=())),
            ["broker: got an empty list, expected one address or more"],
        )
        self.assertNotIn("S3cret", str(faults(MqttSettings(broker="tcp://u:S3cret@h"))))

    def test_certificate_and_key(self) -> None:
        """A certificate needs its key, and a key its certificate."""
        for given, missing in (("tls_certificate", "tls_key"), ("tls_key", "tls_certificate")):
            self.assertEqual(
                faults(MqttSettings(broker="tls://h", **{given: "x.pem"})),
                [f"{missing}: got nothing, expected a PEM file; {given} is set and needs it"],
            )
        self.assertEqual(
            faults(MqttSettings(broker="tls://h", tls_certificate="a", tls_key="b")), []
        )

    def test_password_of_a_key(self) -> None:
        """It needs a key, and TLS; an empty one is none."""
        self.assertEqual(
            faults(MqttSettings(broker="tls://h", tls_key_password=Secret("x"))),
            ["tls_key: got nothing, expected a PEM file; tls_key_password is set and needs it"],
        )
        (first, _second) = faults(MqttSettings(broker="h", tls_key_password=Secret("x")))
        self.assertIn("tls_key_password: got a setting of TLS for tcp://h:1883", first)
        self.assertEqual(faults(MqttSettings(broker="h", tls_key_password=Secret(""))), [])

    def test_tls_without_tls(self) -> None:
        """Settings of TLS for a broker that does not speak it are faults, each of them."""
        found = faults(MqttSettings(broker="h", tls_ca="ca.pem", tls_insecure=True))
        self.assertEqual(
            found,
            [
                f"{key}: got a setting of TLS for tcp://h:1883, expected a broker with tls:// or "
                "wss://; remove it or change broker"
                for key in ("tls_ca", "tls_insecure")
            ],
        )
        for broker in ("wss://h", ("h", "tls://h")):
            self.assertEqual(faults(MqttSettings(broker=broker, tls_ca="ca.pem")), [])

    def test_password_without_name(self) -> None:
        """MQTT 3.1.1 has no password without a user name; an empty one is none."""
        self.assertEqual(
            faults(MqttSettings(password=Secret("x"))),
            ["username: got nothing, expected a name; password is set and needs it"],
        )
        self.assertEqual(faults(MqttSettings(username="", password=Secret(""))), [])
        self.assertEqual(faults(MqttSettings(username="u")), [])

    def test_reconnect(self) -> None:
        """The longest wait is not shorter than the first."""
        self.assertEqual(
            faults(MqttSettings(reconnect_min="90s", reconnect_max="60s")),
            ["reconnect_max: got 1m, expected at least reconnect_min (1m30s)"],
        )

    def test_texts(self) -> None:
        """A text that MQTT cannot carry would cost the connection: it is a fault."""
        self.assertEqual(
            faults(MqttSettings(client_id="a\0", username="b\n", shared_group="a/b+")),
            [
                "username: a text that MQTT cannot carry: it holds the forbidden character U+000A",
                "client_id: a text that MQTT cannot carry: it holds the forbidden character U+0000",
                "shared_group: got one of the characters / + #, expected a name without them",
            ],
        )
        self.assertEqual(faults(MqttSettings(client_id="a+b#/c", username="+")), [])
