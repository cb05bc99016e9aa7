"""What the tests of a whole agent at real brokers share: configuration, publishing, bad peers."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from line_protocol_parser import parse_line
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.utils import getProcessOutputAndValue
from twisted.protocols.portforward import ProxyFactory, ProxyServer
from twisted.trial.unittest import TestCase

from tests.integration.broker import Mosquitto
from tests.integration.case import CLIENT_ID, AgentCase, logged
from tests.integration.watching import until
from tests.needs import find

__all__ = [
    "UNACCEPTABLE_VERSION",
    "Chameleon",
    "MqttCase",
    "OldBroker",
    "announcement",
    "field_values",
    "publish",
    "take_over",
    "toml",
]

UNACCEPTABLE_VERSION = b"\x20\x02\x00\x01"
"""CONNACK of a broker of MQTT 3.1.1."""
RETRY = {"reconnect_min": "100ms", "reconnect_max": "200ms"}
"""Attempts follow each other so fast that a line reported twice is seen."""
OURS = "[mqtt:tasmota]"
"""What the log has before each line about the connection of the module tasmota."""


class MqttCase(AgentCase):
    """Runs an agent with the module tasmota, in one version of the protocol or the default."""

    protocol = "auto"

    def at(
        self,
        broker: str | Mosquitto | Sequence[str],
        top: str = "",
        more: str = "",
        **settings: Any,
    ) -> str:
        """Return a configuration with the module tasmota.

        Args:
            broker: address or addresses.
            top: lines of the agent itself.
            more: tables of the module.
            settings: of the module.
        """
        address = broker.url if isinstance(broker, Mosquitto) else broker
        keys = {
            "broker": address,
            "protocol": self.protocol,
            "client_id": CLIENT_ID,
            **RETRY,
            **settings,
        }
        lines = "".join(f"{key} = {toml(value)}\n" for key, value in keys.items())
        return f"{top}\n[modules.tasmota]\nenabled = true\n{lines}{more}\n"

    async def run_at(self, broker: str | Mosquitto | Sequence[str], **how: Any) -> Any:
        """Configure, start, and return the parent; see `at`."""
        self.configure(self.at(broker, **how))
        return await self.start(restart_delay_s=0.1)

    def rights(self, **topics: Sequence[str]) -> list[str]:
        """Return settings of a broker that grants its login, admin with "secret", only these.

        Args:
            topics: by the plugin's kinds of access, such as ``subscribePattern``.
        """
        plugin = find("mosquitto-dynamic-security")
        path = self.directory / "rights.json"
        words = ["mosquitto_ctrl", "dynsec", "init", str(path), "admin", "secret"]
        subprocess.run(words, check=True, capture_output=True, timeout=60)
        rights = json.loads(path.read_text("utf-8"))
        rights["roles"][0]["acls"] = [
            {"acltype": kind, "topic": topic, "allow": True}
            for kind, granted in topics.items()
            for topic in granted
        ]
        path.write_text(json.dumps(rights), "utf-8")
        return [
            "allow_anonymous false",
            f"plugin {plugin}",
            f"plugin_opt_config_file {path}",
        ]

    def connection_lines(self, parent: Any) -> list[str]:
        """Return what the log says about the connection, as of [mqtt]; times are written N."""
        return [
            re.sub(
                r"after \d+ s", "after N s", f"{said.level}! [mqtt]{said.text.removeprefix(OURS)}"
            )
            for said in parent.log
            if said.text.startswith(OURS)
        ]

    async def connected(self, parent: Any, times: int = 1, limit_s: float = 30.0) -> None:
        """Wait until the log has so many lines about a connection."""
        await self.said(parent, f"{OURS} Connected to", times=times, limit_s=limit_s)

    async def values(
        self, parent: Any, expected: Sequence[float], field: str = "power", limit_s: float = 30.0
    ) -> None:
        """Wait until a field had these values, in this order, and no others."""
        found: list[float] = []

        def there() -> bool:
            found[:] = field_values(parent, field)
            return len(found) >= len(expected)

        await until(there, lambda: f"{expected}, got {found}: {logged(parent.log)}", limit_s)
        self.assertEqual(found, list(expected))


def field_values(parent: Any, field: str = "power") -> list[float]:
    """Return the values of a field in the output, in order."""
    fields = [parse_line(line)["fields"] for line in parent.lines()]
    return [each[field] for each in fields if field in each]


def toml(value: Any) -> str:
    """Write a value as TOML."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)


def announcement(topic: str, mac: str = "A4CF12C0FFEE", **changes: Any) -> bytes:
    """Make the payload of a discovery message."""
    config = {"dn": topic, "fn": [f"Name of {topic}"], "mac": mac, "t": topic, "ver": 1, **changes}
    return json.dumps(config).encode()


async def publish(
    broker: Mosquitto, topic: str, payload: bytes | Path = b"", *more: str, qos: int = 1
) -> None:
    """Send one message by mosquitto_pub; it has passed the broker when this returns.

    Args:
        broker: where to.
        topic: of the message.
        payload: itself, or the file that holds it.
        more: options, such as ``-r``.
        qos: 0 or 1.
    """
    if isinstance(payload, Path):
        body = ["-f", str(payload)]
    else:
        body = ["-m", str(payload, "utf-8")] if payload else ["-n"]
    arguments = ["-p", str(broker.port), "-t", topic, "-q", str(qos), *body, *more]
    output, errors, code = await getProcessOutputAndValue("mosquitto_pub", arguments)
    if code:
        raise AssertionError(f"mosquitto_pub ended with {code}: {output!r} {errors!r}")


class _Thief(Protocol):
    """Logs in as someone else and says nothing more."""

    def connectionMade(self) -> None:
        name = CLIENT_ID.encode()
        body = b"\0\4MQTT\4\2\0\x3c" + len(name).to_bytes(2, "big") + name
        self.transport.write(bytes([0x10, len(body)]) + body)


async def take_over(case: TestCase, port: int) -> None:
    """Connect with the agent's client id, once."""
    thief = _Thief()
    await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port), thief)
    case.addCleanup(thief.transport.abortConnection)


class _OldServer(ProxyServer):
    """Refuses MQTT 5 as brokers of 3.1.1 do, and passes everything else on."""

    def dataReceived(self, data: bytes) -> None:
        if data[:1] == b"\x10" and data[2:9] == b"\0\4MQTT\5":
            self.factory.refused += 1
            self.transport.write(UNACCEPTABLE_VERSION)
            self.transport.loseConnection()
        else:
            super().dataReceived(data)


class OldBroker(ProxyFactory):
    """A broker that speaks MQTT 3.1.1 only, in front of a mosquitto.

    Attributes:
        url: of it.
        refused: how many connections it refused.
    """

    protocol = _OldServer
    noisy = False
    refused = 0

    def __init__(self, case: TestCase, port: int) -> None:
        super().__init__("127.0.0.1", port)
        listening = reactor.listenTCP(0, self, interface="127.0.0.1")
        case.addCleanup(listening.stopListening)
        self.url = f"tcp://127.0.0.1:{listening.getHost().port}"


class Chameleon:
    """A port that speaks something else until it is asked to be a broker.

    Args:
        case: whose cleanup closes it.
        speak: makes the protocol that it speaks at first.

    Attributes:
        port: where it listens.
        visits: how often someone came.
    """

    def __init__(self, case: TestCase, speak: Callable[[], Protocol]) -> None:
        self._speak = speak
        self._forward: ProxyFactory | None = None
        self.visits = 0
        factory = Factory()
        factory.noisy = False
        factory.buildProtocol = self._answer
        self._listening = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.port = self._listening.getHost().port
        case.addCleanup(self._listening.stopListening)

    def become(self, port: int) -> None:
        """From now on pass everything on to a port of a broker."""
        self._forward = ProxyFactory("127.0.0.1", port)
        self._forward.noisy = False

    def _answer(self, address: Any) -> Protocol:
        self.visits += 1
        return self._forward.buildProtocol(address) if self._forward else self._speak()
