"""TLS and WebSocket against real brokers; certificates are made by the test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.logger import LogLevel
from twisted.trial.unittest import SkipTest, TestCase

from tests.integration.broker import Mosquitto, free_port, with_both_mosquittos
from tests.integration.certificates import Authority
from tests.integration.test_mqtt_broker import Client, publish, until
from tests.needs import require


class SecureCase(TestCase):
    """Makes authorities, brokers and clients."""

    timeout = 30
    protocol = "3.1.1"

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        self.directory = self.directory.resolve()
        self.authority = Authority(self.directory, "authority")

    def client(self, url: str, **changes) -> Client:
        return Client(self, url, self.protocol, **{"reconnect_max": 0.2, **changes})

    async def refused(self, url: str, **changes) -> str:
        """Return the one line about a connection that cannot be had."""
        client = self.client(url, **changes)
        client.connection.startService()
        await until(client.logged, "the line down")
        await deferLater(reactor, 0.5)
        await client.connection.stopService()
        [line] = client.logged()
        self.assertEqual(client.logged(LogLevel.error), [line], "a person is needed")
        return line

    async def exchange(self, url: str, **changes) -> None:
        client = self.client(url, **changes)
        client.subscribe("a")
        await client.start()
        for payload in (b"x", b"y" * 100_000):
            self.assertTrue(client.connection.publish("a", payload, qos=1))
        await until(lambda: len(client.payloads) == 2, "two messages")
        self.assertEqual(client.payloads, [b"x", b"y" * 100_000])
        await client.connection.stopService()


class Cases:
    """TLS in both versions."""

    def broker(self, *hosts: str, days: int = 1, more: tuple[str, ...] = ()) -> str:
        certificate, key = self.authority.issue("server", *hosts, days=days)
        self.mosquitto = Mosquitto.start(
            self, listener=[f"certfile {certificate}", f"keyfile {key}", *more]
        )
        return f"tls://{hosts[0] if hosts else 'localhost'}:{self.mosquitto.port}"

    async def test_trusted(self) -> None:
        """A broker of our authority is trusted, by name and by IP address."""
        self.broker("localhost", "127.0.0.1")
        for host in ("localhost", "127.0.0.1"):
            client = self.client(
                f"mqtts://{host}:{self.mosquitto.port}", tls_ca=str(self.authority.path), id=host
            )
            client.subscribe("a")
            await client.start()
            self.assertTrue(client.connection.publish("a", b"x" * 200_000))
            await until(lambda client=client: len(client.payloads) == 1, "a large message")
            self.assertEqual(client.payloads, [b"x" * 200_000])
            client.connection.pause_reading("test")
            self.assertTrue(client.connection.publish("a", b"paused"))
            await deferLater(reactor, 0.1)
            self.assertEqual(len(client.payloads), 1)
            client.connection.resume_reading("test")
            self.assertTrue(await client.connection.handle_delivered(5))
            self.assertEqual(client.payloads[1:], [b"paused"])
            await client.connection.stopService()

    async def test_wrong_authority(self) -> None:
        """A certificate of someone else's authority."""
        url = self.broker("localhost")
        other = Authority(self.directory, "other")
        line = await self.refused(url, tls_ca=str(other.path))
        self.assertIn("authority that we do not trust", line)
        line = await self.refused(url)
        self.assertIn("authority that we do not trust", line)

    async def test_wrong_host(self) -> None:
        """A certificate for another host, unless its name is the one that is set."""
        url = self.broker("127.0.0.1", "other.example")
        port = self.mosquitto.port
        trust = {"tls_ca": str(self.authority.path)}
        line = await self.refused(f"tls://localhost:{port}", **trust)
        self.assertIn("its certificate is for 127.0.0.1, other.example, not localhost", line)
        line = await self.refused(url, tls_server_name="third.example", **trust)
        self.assertIn("not third.example", line)
        await self.client(
            f"tls://localhost:{port}", tls_server_name="other.example", **trust
        ).start()

    async def test_expired(self) -> None:
        """A certificate whose time is over."""
        url = self.broker("localhost", days=-2)
        line = await self.refused(url, tls_ca=str(self.authority.path))
        self.assertIn("its certificate has expired", line)

    async def test_not_verified_on_request(self) -> None:
        """Without verification, and only then, any certificate will do."""
        url = self.broker("other.example", days=-2).replace("other.example", "localhost")
        await self.client(url, tls_insecure=True).start()

    async def test_client_certificate(self) -> None:
        """A broker that asks for one gets ours; without one the line says so."""
        more = (f"cafile {self.authority.path}", "require_certificate true")
        url = self.broker("localhost", more=more)
        trust = {"tls_ca": str(self.authority.path)}
        line = await self.refused(url, **trust)
        self.assertIn("client certificate", line)
        certificate, key = self.authority.issue("client")
        with_one = {"tls_certificate": str(certificate), "tls_key": str(key), **trust}
        await self.client(url, **with_one).start()
        stranger, key = Authority(self.directory, "stranger").issue("stranger-client")
        line = await self.refused(
            url, **{**with_one, "tls_certificate": str(stranger), "tls_key": str(key)}
        )
        self.assertIn("certificate", line)

    async def test_mixed_up_ports(self) -> None:
        """TLS to a plain port, and plain MQTT to a port of TLS."""
        url = self.broker("localhost")
        plain = Mosquitto.start(self)
        for mixed in (url.replace("tls://", "tcp://"), f"tls://localhost:{plain.port}"):
            client = self.client(mixed, tls_ca=str(self.authority.path))
            client.connection.startService()
            await until(client.logged, "the line down")
            self.assertIn("TLS", client.logged()[0])


class Mqtt311TlsTests(Cases, SecureCase):
    """MQTT 3.1.1 over TLS."""


@with_both_mosquittos
class Mqtt5TlsTests(Cases, SecureCase):
    """MQTT 5 over TLS."""

    protocol = "5"


class WebSocketCases:
    """WebSocket in both versions, against mosquitto."""

    def start_broker(self, *more: str) -> int:
        """Start a broker and return the port of its WebSocket listener."""
        self.mosquitto = Mosquitto.start(self)
        self.mosquitto.stop()
        port = free_port()
        self.mosquitto.configure(f"listener {port} 127.0.0.1", "protocol websockets", *more)
        try:
            self.mosquitto.start_again()
        except AssertionError:
            if "protocol websockets" in self.mosquitto.log:
                raise SkipTest("mosquitto is built without WebSocket") from None
            raise
        return port

    async def test_plain(self) -> None:
        """Messages of all sizes go both ways in a WebSocket."""
        await self.exchange(f"ws://127.0.0.1:{self.start_broker()}/mqtt")

    async def test_over_tls(self) -> None:
        """And in one over TLS."""
        certificate, key = self.authority.issue("server", "localhost")
        port = self.start_broker(f"certfile {certificate}", f"keyfile {key}")
        url = f"wss://localhost:{port}/mqtt"
        await self.exchange(url, tls_ca=str(self.authority.path))
        other = Authority(self.directory, "other")
        line = await self.refused(url, tls_ca=str(other.path))
        self.assertIn("authority that we do not trust", line)

    async def test_paused(self) -> None:
        """A pause holds what a WebSocket has at hand, and nothing is lost."""
        client = self.client(f"ws://127.0.0.1:{self.start_broker()}/mqtt", keepalive=1.0)
        client.subscribe("a")
        await client.start()
        client.connection.pause_reading("pressure")
        sent = [b"%d" % number for number in range(500)]
        await publish(self.mosquitto.port, "a", sent)
        await deferLater(reactor, 2.5)
        self.assertEqual(client.payloads, [])
        client.connection.resume_reading("pressure")
        await until(lambda: client.payloads == sent, "all messages, in order")
        connected = [line for line in client.logged() if line.startswith("Connected to")]
        self.assertEqual(len(connected), 1, client.logged())

    async def test_no_websocket_there(self) -> None:
        """A port of plain MQTT is not one of WebSocket."""
        broker = Mosquitto.start(self)
        client = self.client(f"ws://127.0.0.1:{broker.port}/mqtt")
        client.connection.startService()
        await until(client.logged, "the line down")
        self.assertIn("Cannot connect to ws://127.0.0.1", client.logged()[0])


class Mqtt311WebSocketTests(WebSocketCases, SecureCase):
    """MQTT 3.1.1 in a WebSocket."""


@with_both_mosquittos
class Mqtt5WebSocketTests(WebSocketCases, SecureCase):
    """MQTT 5 in a WebSocket."""

    protocol = "5"


AMQTT = """
import asyncio, json, sys
from amqtt.broker import Broker
async def main():
    broker = Broker(json.loads(sys.argv[1]))
    await broker.start()
    print("ready", flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


class OtherBrokerTests(SecureCase):
    """Against amqtt, a broker of another make, which speaks MQTT 3.1.1."""

    def start_broker(self, **listener) -> int:
        import json

        require("amqtt")
        port = free_port()
        plain = {"type": "tcp", "bind": f"127.0.0.1:{free_port()}"}
        config = {
            "listeners": {
                "default": plain,
                "ws": {"type": "ws", "bind": f"127.0.0.1:{port}", **listener},
            },
            "plugins": {
                "amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}
            },
        }
        process = subprocess.Popen(
            [sys.executable, "-c", AMQTT, json.dumps(config)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

        def end() -> None:
            process.kill()
            process.wait(5)
            process.stdout.close()

        self.addCleanup(end)
        self.assertEqual(process.stdout.readline(), b"ready\n")
        return port

    async def test_plain(self) -> None:
        """Messages of all sizes go both ways in a WebSocket."""
        await self.exchange(f"ws://127.0.0.1:{self.start_broker()}/mqtt")

    async def test_over_tls(self) -> None:
        """And in one over TLS."""
        certificate, key = self.authority.issue("server", "localhost")
        port = self.start_broker(ssl=True, certfile=str(certificate), keyfile=str(key))
        url = f"wss://localhost:{port}/mqtt"
        await self.exchange(url, tls_ca=str(self.authority.path))
        other = Authority(self.directory, "other")
        line = await self.refused(url, tls_ca=str(other.path))
        self.assertIn("authority that we do not trust", line)


class BrokerHelperTests(SecureCase):
    """The broker helper itself."""

    async def test_published_before_and_after_a_restart(self) -> None:
        """A persistent broker keeps retained messages over an orderly restart."""
        broker = Mosquitto.start(self, persistent=True)
        await publish(broker.port, "a", [b"kept"], retain=True)
        broker.stop()
        broker.start_again()
        client = self.client(broker.url)
        client.subscribe("a")
        await client.start()
        await until(lambda: client.payloads == [b"kept"], "the retained message")
