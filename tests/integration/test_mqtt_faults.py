"""What a user reads on stderr when the broker cannot be had: one line down, one line up.

Each test runs the real agent against a real broker or port with one thing wrong, lets it try again
and again, puts the thing right, and compares all that was said about the connection, letter by
letter.
"""

from __future__ import annotations

import re
import shutil
import signal
from typing import Any

from twisted.internet.protocol import Protocol

from tests.integration.broker import Mosquitto, free_port, with_both_mosquittos
from tests.integration.certificates import Authority
from tests.integration.mqtt_agent import (
    UNACCEPTABLE_VERSION,
    Chameleon,
    MqttCase,
    OldBroker,
    take_over,
)
from tests.integration.watching import pause, until

ATTEMPTS = 4
CONNACK_5 = b"\x20\x03\x00\x00\x00"
TAKEN_OVER_5 = b"\xe0\x02\x8e\x00"


class Banner(Protocol):
    """Says what another kind of server would say."""

    def __init__(self, greeting: bytes, answer: bytes = b"") -> None:
        self._greeting = greeting
        self._answer = answer

    def connectionMade(self) -> None:
        if self._greeting:
            self.transport.write(self._greeting)

    def dataReceived(self, _data: bytes) -> None:
        if self._answer:
            self.transport.write(self._answer)
            self.transport.loseConnection()


class FaultCase(MqttCase):
    """Waits for several attempts in vain, and judges what was said.

    Attributes:
        doubt: what is said of the version besides, where a broker closes before it answers.
    """

    doubt = ""

    async def several_attempts(self, broker: Mosquitto) -> None:
        """Wait until the agent has tried in vain some times."""
        before = broker.log.count("New connection from")
        await until(
            lambda: broker.log.count("New connection from") >= before + ATTEMPTS,
            "several attempts",
        )

    async def subscribed(self, broker: Mosquitto, times: int = 1) -> None:
        """Wait until the broker has read all that the agent said.

        A socket closed on unread bytes is reset, which is reported as a connection that was cut.
        """
        await until(
            lambda: broker.log.count("Sending SUBACK to agent") >= times, "the subscription"
        )

    async def judge(self, parent: Any, *expected: str, warning: str = "") -> None:
        """Wait for as many lines, stop, and compare all that was said about the connection.

        Args:
            parent: the agent's.
            expected: the lines.
            warning: what the only other warning holds; empty for none.
        """
        await until(
            lambda: len(self.connection_lines(parent)) >= len(expected),
            lambda: f"{expected}, got {self.connection_lines(parent)}",
            30,
        )
        await pause(0.5)
        await parent.stop()
        self.assertEqual(self.connection_lines(parent), list(expected))
        others = [said for said in parent.log if said.level in "WE" and "[mqtt:" not in said.text]
        self.assertEqual([said.text for said in others if warning not in said.text], [])
        self.assertEqual(len(others), 1 if warning else 0)


class Faults:
    """What holds for both versions."""

    # Logging in.

    async def test_refused_login(self) -> None:
        """The password is wrong; what it is stays a secret."""
        broker = Mosquitto.start(self, users={"anna": "right"})
        secret = {"username": "anna", "password": {"env": "MQTT_PASSWORD"}}
        self.configure(self.at(broker, **secret))
        parent = self.parent(env={"MQTT_PASSWORD": "open sesame"})
        parent.start()
        await self.several_attempts(broker)
        broker.set_users({"anna": "open sesame"})
        broker.reload()
        where = f"tcp://127.0.0.1:{broker.port}"
        await self.judge(
            parent,
            f"E! [mqtt] Cannot connect to {where}: the broker does not authorise this login "
            "(check user name and password). Trying again.",
            f"I! [mqtt] Connected to {where} after N s.",
        )
        self.assertNotIn("sesame", "".join(said.text for said in parent.log))

    async def test_taken_over(self) -> None:
        """Another client has our id; mosquitto closes without a word, but 2.1 in MQTT 5."""
        broker = Mosquitto.start(self)
        parent = await self.run_at(broker, reconnect_min="1s", reconnect_max="1s")
        # Of MQTT 3.1.1: 2 up to mosquitto 2.0, 4 from 2.1 on.
        version = "5" if self.protocol == "5" else "[24]"
        for times in range(1, 4):
            ours = rf"as agent \(p{version}, c0"
            await until(
                lambda ours=ours, times=times: len(re.findall(ours, broker.log)) == times,
                "a connection",
            )
            await self.subscribed(broker, times)
            await take_over(self, broker.port)
        where = f"tcp://127.0.0.1:{broker.port}"
        again = f"I! [mqtt] Connected to {where} again after N s."
        silent = (
            (
                f"W! [mqtt] Lost the connection to {where}: the broker closed the connection. "
                "Trying again."
            ),
            again,
            (
                f"W! [mqtt] Lost the connection to {where}: the broker closed the connection soon "
                "after accepting it, 3 times in a row; it may be restarting, a proxy may cut the "
                "connection, or another client may use the client id 'agent' "
                "(set `client_id` or `instance`). Trying again."
            ),
            again,
        )
        says_why = self.protocol == "5" and broker.version > (2, 0, 11)
        lines = self.taken_over_lines(where) if says_why else silent
        await self.judge(parent, f"I! [mqtt] Connected to {where}.", *lines)

    def taken_over_lines(self, where: str) -> tuple[str, ...]:
        """Return what is logged when the broker says that another client has our id."""
        return (
            (
                f"E! [mqtt] Lost the connection to {where}: another client took over the client id "
                "'agent' (set `client_id` or `instance`). Trying again."
            ),
            # What follows is the same outage: neither its losses nor its end are logged again.
            f"I! [mqtt] Connected to {where} again after N s.",
        )

    # Getting there.

    async def test_connection_refused(self) -> None:
        """Nothing listens there, and then a broker does."""
        port = free_port()
        parent = await self.run_at(f"mqtt://127.0.0.1:{port}")
        await pause(1)
        Mosquitto.start(self, port=port)
        where = f"tcp://127.0.0.1:{port}"
        await self.judge(
            parent,
            f"W! [mqtt] Cannot connect to {where}: connection refused, nothing listens there. "
            "Trying again.",
            f"I! [mqtt] Connected to {where} after N s.",
        )

    async def test_dead_dns(self) -> None:
        """A host name that does not exist; the next address of the list is taken."""
        broker = Mosquitto.start(self)
        parent = await self.run_at(["nowhere.invalid", f"127.0.0.1:{broker.port}"])
        await self.judge(
            parent,
            "W! [mqtt] Cannot connect to tcp://nowhere.invalid:1883: the host name cannot be "
            "resolved. Trying again.",
            f"I! [mqtt] Connected to tcp://127.0.0.1:{broker.port} after N s.",
        )

    async def test_no_unix_socket(self) -> None:
        """The path is not there, and then it is."""
        broker = Mosquitto.start(self)
        path = broker.directory / "socket"
        parent = await self.run_at(f"unix://{path}")
        await pause(1)
        broker.stop()
        broker.configure(f"listener 0 {path}")
        broker.start_again()
        await self.judge(
            parent,
            f"W! [mqtt] Cannot connect to unix://{path}: No such file or directory. Trying again.",
            f"I! [mqtt] Connected to unix://{path} after N s.",
        )

    async def test_broker_killed_and_back(self) -> None:
        """The broker dies and comes back."""
        broker = Mosquitto.start(self)
        parent = await self.run_at(broker)
        await self.connected(parent)
        await self.subscribed(broker)
        broker.kill()
        await pause(1)
        broker.start_again()
        where = f"tcp://127.0.0.1:{broker.port}"
        await self.judge(
            parent,
            f"I! [mqtt] Connected to {where}.",
            f"W! [mqtt] Lost the connection to {where}: the broker closed the connection. "
            "Trying again.",
            f"I! [mqtt] Connected to {where} again after N s.",
        )

    # A port that speaks something else.

    async def speaks(
        self, speaker: Any, text: str, scheme: str = "tcp", path: str = "", port: int = 0
    ) -> None:
        port = port or Mosquitto.start(self).port
        server = Chameleon(self, speaker)
        where = f"{scheme}://127.0.0.1:{server.port}{path}"
        parent = await self.run_at(where)
        await until(lambda: server.visits >= ATTEMPTS, "several attempts")
        server.become(port)
        await self.judge(
            parent,
            f"E! [mqtt] Cannot connect to {where}: {text}. Trying again.",
            f"I! [mqtt] Connected to {where} after N s.",
        )

    async def test_port_of_ssh(self) -> None:
        """A server that greets first."""
        await self.speaks(
            lambda: Banner(b"SSH-2.0-OpenSSH_9.2\r\n"),
            "the port does not speak MQTT, it answered b'SSH-2.0-OpenSSH_9.2\\r\\n'",
        )

    async def test_port_of_http(self) -> None:
        """A server of HTTP."""
        await self.speaks(
            lambda: Banner(b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"),
            "the port speaks HTTP, not MQTT (for MQTT over WebSocket use ws://)",
        )

    async def test_port_of_tls(self) -> None:
        """A server of TLS, which answers with an alert."""
        await self.speaks(
            lambda: Banner(b"", b"\x15\x03\x03\x00\x02\x02\x46"),
            "the port speaks TLS (use mqtts:// or wss://)",
        )

    async def test_port_without_websocket(self) -> None:
        """A web server that knows no WebSocket at that path."""
        broker = Mosquitto.start(self)
        broker.stop()
        port = free_port()
        broker.configure(f"listener {port} 127.0.0.1", "protocol websockets")
        broker.start_again()
        await self.speaks(
            lambda: Banner(b"", b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
            "the WebSocket is refused with HTTP status 404",
            "ws",
            "/mqtt",
            port,
        )


class TlsFaults:
    """What holds for both versions, over TLS."""

    def setUp(self) -> None:
        super().setUp()
        self.authority = Authority(self.directory, "authority")
        self.stranger = Authority(self.directory, "stranger")
        self.trust = self.directory / "trusted.pem"
        shutil.copy(self.authority.path, self.trust)
        self.tls = {"tls_ca": str(self.trust)}

    def broker(self, *hosts: str, days: int = 1, more: tuple[str, ...] = ()) -> Mosquitto:
        certificate, key = self.authority.issue("server", *hosts, days=days)
        return Mosquitto.start(self, listener=[f"certfile {certificate}", f"keyfile {key}", *more])

    async def mended(self, broker: Mosquitto, parent: Any, text: str, mend: Any) -> None:
        """Let it try some times, mend it, and compare."""
        await self.several_attempts(broker)
        mend()
        where = f"tls://localhost:{broker.port}"
        await self.judge(
            parent,
            f"E! [mqtt] Cannot connect to {where}: {text}. Trying again.",
            f"I! [mqtt] Connected to {where} after N s.",
        )

    async def run_tls(self, broker: Mosquitto, **settings: Any) -> Any:
        return await self.run_at(f"mqtts://localhost:{broker.port}", **self.tls, **settings)

    async def test_wrong_authority(self) -> None:
        """We trust another authority."""
        shutil.copy(self.stranger.path, self.trust)
        broker = self.broker("localhost")
        await self.mended(
            broker,
            await self.run_tls(broker),
            "its certificate comes from an authority that we do not trust (see tls_ca); "
            "it is not trusted",
            lambda: shutil.copy(self.authority.path, self.trust),
        )

    async def test_wrong_host_name(self) -> None:
        """The certificate is for another host."""
        broker = self.broker("other.example", "192.0.2.7")
        parent = await self.run_tls(broker)

        def mend() -> None:
            self.authority.issue("server", "localhost")
            broker.reload()

        await self.mended(
            broker,
            parent,
            "its certificate is for other.example, 192.0.2.7, not localhost; it is not trusted",
            mend,
        )

    async def test_expired_certificate(self) -> None:
        """The broker's certificate has expired."""
        broker = self.broker("localhost", days=-2)
        parent = await self.run_tls(broker)

        def mend() -> None:
            self.authority.issue("server", "localhost")
            broker.reload()

        await self.mended(broker, parent, "its certificate has expired; it is not trusted", mend)

    async def test_missing_client_certificate(self) -> None:
        """The broker wants to see one of ours, and a reload names it."""
        more = (f"cafile {self.authority.path}", "require_certificate true")
        broker = self.broker("localhost", more=more)
        parent = await self.run_tls(broker)
        await self.several_attempts(broker)
        certificate, key = self.authority.issue("client")
        with_one = {**self.tls, "tls_certificate": str(certificate), "tls_key": str(key)}
        self.configure(self.at(f"mqtts://localhost:{broker.port}", **with_one))
        parent.signal_agent(signal.SIGHUP)
        where = f"tls://localhost:{broker.port}"
        await self.judge(
            parent,
            f"E! [mqtt] Cannot connect to {where}: the server wants a client certificate. "
            "Trying again.",
            f"I! [mqtt] Connected to {where}.",
        )

    async def test_a_certificate_file_that_is_missing(self) -> None:
        """A file of ours is not there, and then it is."""
        certificate, key = self.authority.issue("client")
        away = certificate.with_name("away.pem")
        certificate.rename(away)
        broker = self.broker("localhost")
        parent = await self.run_tls(broker, tls_certificate=str(certificate), tls_key=str(key))
        await pause(1)
        away.rename(certificate)
        where = f"tls://localhost:{broker.port}"
        await self.judge(
            parent,
            f"E! [mqtt] Cannot connect to {where}: tls_certificate {str(certificate)!r} cannot be "
            "read: No such file or directory. Trying again.",
            f"I! [mqtt] Connected to {where} after N s.",
        )

    async def test_port_that_does_not_speak_tls(self) -> None:
        """TLS to a plain port; a reload takes the right one."""
        broker = Mosquitto.start(self)
        parent = await self.run_tls(broker)
        await self.several_attempts(broker)
        self.configure(self.at(broker))
        parent.signal_agent(signal.SIGHUP)
        await self.judge(
            parent,
            f"W! [mqtt] Cannot connect to tls://localhost:{broker.port}: the connection was cut "
            f"before accepting it (is it the right port, with or without TLS?{self.doubt}). Trying "
            "again.",
            f"I! [mqtt] Connected to tcp://127.0.0.1:{broker.port}.",
        )

    async def test_verified_unless_it_is_said(self) -> None:
        """A certificate of no authority is taken with tls_insecure alone, with a warning."""
        shutil.copy(self.stranger.path, self.trust)
        broker = self.broker("other.example", days=-2)
        parent = await self.run_tls(broker, tls_insecure=True)
        await self.judge(
            parent,
            f"I! [mqtt] Connected to tls://localhost:{broker.port}.",
            warning=".tls_insecure: the certificate of the other side is not verified",
        )


class Mqtt311FaultTests(Faults, FaultCase):
    """MQTT 3.1.1."""

    protocol = "3.1.1"


@with_both_mosquittos
class Mqtt5FaultTests(Faults, FaultCase):
    """MQTT 5."""

    protocol = "5"
    doubt = ' if the broker does not know MQTT 5, set `protocol = "3.1.1"`'

    async def test_broker_of_the_old_version_only(self) -> None:
        """It answers in the words of MQTT 3.1.1."""
        await self.speaks(
            lambda: Banner(b"", UNACCEPTABLE_VERSION), "the broker does not speak MQTT 5"
        )

    async def test_taken_over_by_a_brokers_own_word(self) -> None:
        """Other brokers say why they end a connection: that is quoted at once."""
        broker = Mosquitto.start(self)
        server = Chameleon(self, lambda: Banner(b"", CONNACK_5 + TAKEN_OVER_5))
        parent = await self.run_at(f"tcp://127.0.0.1:{server.port}")
        await until(lambda: server.visits >= ATTEMPTS, "several attempts")
        server.become(broker.port)
        where = f"tcp://127.0.0.1:{server.port}"
        lines = self.taken_over_lines(where)
        await self.judge(parent, f"I! [mqtt] Connected to {where}.", *lines)


@with_both_mosquittos
class DefaultFaultTests(FaultCase):
    """The version that is tried without a setting."""

    async def test_broker_of_the_old_version_only(self) -> None:
        """It is asked for 5 once, and then for 3.1.1, over an outage and a reload too."""
        broker = Mosquitto.start(self)
        old = OldBroker(self, broker.port)
        parent = await self.run_at(old.url)
        await self.connected(parent)
        await self.subscribed(broker)
        broker.kill()
        await self.said(parent, "Lost the connection", "W")
        broker.start_again()
        await self.connected(parent, 2)
        await self.subscribed(broker, 2)
        self.configure(self.at(old.url, keepalive="20s"))
        parent.signal_agent(signal.SIGHUP)
        await self.judge(
            parent,
            f"I! [mqtt] {old.url} does not speak MQTT 5. Trying MQTT 3.1.1.",
            f"I! [mqtt] Connected to {old.url}.",
            f"W! [mqtt] Lost the connection to {old.url}: the broker closed the connection. "
            "Trying again.",
            f"I! [mqtt] Connected to {old.url} again after N s.",
            f"I! [mqtt] Connected to {old.url}.",
        )
        self.assertEqual(old.refused, 1)

    async def test_broker_that_closes_at_the_new_version(self) -> None:
        """The line names the setting to try."""
        server = Chameleon(self, _Mute)
        parent = await self.run_at(f"tcp://127.0.0.1:{server.port}")
        await until(lambda: server.visits >= ATTEMPTS, "several attempts")
        await self.judge(
            parent,
            f"W! [mqtt] Cannot connect to tcp://127.0.0.1:{server.port}: the broker closed the "
            "connection before accepting it (is it the right port, with or without TLS?"
            f"{Mqtt5FaultTests.doubt}). Trying again.",
        )


class _Mute(Protocol):
    """Closes at the first word."""

    def dataReceived(self, _data: bytes) -> None:
        self.transport.loseConnection()


class Mqtt311TlsFaultTests(TlsFaults, FaultCase):
    """MQTT 3.1.1 over TLS."""

    protocol = "3.1.1"


@with_both_mosquittos
class Mqtt5TlsFaultTests(TlsFaults, FaultCase):
    """MQTT 5 over TLS."""

    protocol = "5"
    doubt = Mqtt5FaultTests.doubt
