"""Settings of the module ``opendtu``."""

from __future__ import annotations

from pathlib import Path

from attrs import fields_dict
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.config.structure import structure
from metrics_agent.modules import opendtu
from metrics_agent.modules.opendtu import MODULE
from metrics_agent.modules.opendtu.config import OpenDtuSettings
from metrics_agent.transports.mqtt.settings import MqttSettings
from metrics_agent.transports.websocket.settings import WebSocketSettings
from tests.modules.tasmota.support import read_toml

PASSWORD = "s3cr3t"


class SettingsTests(SynchronousTestCase):
    """What a person may write."""

    def read(self, text: str):
        return structure(OpenDtuSettings, read_toml(text), "modules.opendtu")

    def faults(self, text: str) -> list[str]:
        found = self.read(text)
        self.assertIsNone(found.value)
        return [str(fault) for fault in found.faults]

    def test_address(self) -> None:
        """All forms end at /livedata; another path is kept."""
        for url, address in (
            ("opendtu", "ws://opendtu/livedata"),
            ("http://opendtu/", "ws://opendtu/livedata"),
            ("https://proxy.example/dtu/livedata", "wss://proxy.example/dtu/livedata"),
            ("ws://192.0.2.1:81/livedata", "ws://192.0.2.1:81/livedata"),
        ):
            self.assertEqual(str(self.read(f'url = "{url}"').value.address), address)

    def test_login(self) -> None:
        """The name is the DTU's only one; the password is a secret."""
        settings = self.read(f'url = "http://dtu"\npassword = "{PASSWORD}"').value
        self.assertEqual((settings.username, settings.password.reveal()), ("admin", PASSWORD))
        self.assertNotIn(PASSWORD, repr(settings))

    def test_of_the_go_agent(self) -> None:
        """web_socket_url is url; what means nothing here has its explanation."""
        settings = self.read('web_socket_url = "ws://dtu/livedata"').value
        self.assertEqual(str(settings.address), "ws://dtu/livedata")
        for key in (
            *("reconnect_interval", "max_reconnect_attempts", "connection_timeout"),
            *("read_timeout", "write_timeout", "max_backoff_interval", "backoff_multiplier"),
        ):
            self.assertIn(key, MODULE.custom_ignored)
            self.assertNotIn(key, fields_dict(OpenDtuSettings))

    def test_one_source(self) -> None:
        """The socket or the broker: one of them."""
        self.assertIn("url: got nothing, expected the DTU's address", self.faults("")[0])
        self.assertIn("url: got an address beside", self.faults('url = "a"\n[mqtt]')[0])
        both = self.faults('url = "a"\nweb_socket_url = "b"')
        self.assertIn("web_socket_url: url under another name", both[0])
        self.assertIn("web_socket_url: ", self.faults('web_socket_url = "ftp://b"')[0])
        self.assertIn("url: ", self.faults('url = "ftp://b"')[0])

    def test_connection_is_checked(self) -> None:
        """Faults of the connection's settings are told with their keys."""
        self.assertIn("modules.opendtu.tls_ca", self.faults('url = "a"\ntls_ca = "/x"')[0])
        self.assertIn("login", self.faults('url = "a"\nlogin = "ntlm"')[0])
        fault = self.faults(f'url = "ws://admin:{PASSWORD}@dtu"')[0]
        self.assertIn("use the settings username and password", fault)
        self.assertNotIn(PASSWORD, fault)

    def test_broker(self) -> None:
        """A table mqtt has the settings of a broker and the base topic."""
        settings = self.read('[mqtt]\nbroker = "tcp://b"\nbase_topic = "home/pv"').value
        self.assertEqual(settings.mqtt.prefix, "home/pv/")
        [broker] = MODULE.brokers(settings)
        self.assertEqual(broker, MqttSettings(broker="tcp://b").connection_settings())
        hash(broker)
        self.assertEqual(MODULE.brokers(self.read('url = "a"').value), ())

    def test_faults_of_the_broker(self) -> None:
        """They are told with their place."""
        for text, words in (
            ('base_topic = "a/#"', "modules.opendtu.mqtt.base_topic: got 'a/#'"),
            ('base_topic = ""', "modules.opendtu.mqtt.base_topic: got ''"),
            ('base_topic = "/"', "modules.opendtu.mqtt.base_topic: got '/'"),
            ('availability_topic = "a/+"', "modules.opendtu.mqtt.availability_topic: got 'a/+'"),
            ('availability_offline = "online"', "modules.opendtu.mqtt.availability_offline: got"),
            ('broker = "ftp://b"', "modules.opendtu.mqtt.broker: got the scheme"),
        ):
            self.assertIn(words, self.faults(f"[mqtt]\n{text}")[0])


class SampleTests(SynchronousTestCase):
    """What the documents show is right."""

    def assert_right(self, sample: str) -> set[str]:
        """Read a sample with its remarks taken in, one source at a time."""
        lines = [line.lstrip("#").strip() for line in sample.splitlines()]
        lines = [line for line in lines if "=" in line or line.startswith("[")]
        raw = read_toml("\n".join(lines))["modules"]["opendtu"]
        self.assertTrue(raw.pop("enabled"))
        raw["password"] = PASSWORD
        keys = set(raw)
        for source in ("mqtt", "url"):
            one = {key: value for key, value in raw.items() if key != source}
            self.assertEqual(structure(OpenDtuSettings, one).faults, ())
        return keys

    def test_readme(self) -> None:
        """The README's sample has no fault and every setting of the module's own."""
        readme = Path(opendtu.__file__).with_name("README.md").read_text("utf-8")
        keys = self.assert_right(readme.split("```toml\n")[1].split("```")[0])
        own = set(fields_dict(OpenDtuSettings)) - set(fields_dict(WebSocketSettings))
        self.assertEqual(own - keys, {"web_socket_url"})
