"""What the tests of this module share: a DTU in memory, and what it sends."""

from __future__ import annotations

import json
from typing import Any

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, RejectConnection, TextMessage

from metrics_agent.config.structure import structure
from metrics_agent.modules.opendtu import MODULE
from metrics_agent.modules.opendtu.config import OpenDtuSettings
from metrics_agent.testing import FakeContext
from metrics_agent.transports.websocket.connection import WebSocketConnection
from tests.modules.tasmota.support import read_toml
from tests.transports.mqtt.scripted import FakeTransport
from tests.transports.mqtt.test_dial import Reactor

SERIAL = "114182ab0001"


def leaf(value: float | None, unit: str, digits: int = 1) -> dict[str, Any]:
    """Make a value as the firmware sends it."""
    return {"v": value, "u": unit, "d": digits}


def inverter(**changes: Any) -> dict[str, Any]:
    """Make an inverter as today's firmware sends it."""
    made = {
        "serial": SERIAL,
        "name": "Garage",
        "order": 0,
        "data_age": 2,
        "data_age_ms": 2000,
        "poll_enabled": True,
        "reachable": True,
        "producing": True,
        "limit_relative": 62.5,
        "limit_absolute": 500,
        "radio_stats": {
            "tx_request": 10422,
            "tx_re_request": 311,
            "rx_success": 10201,
            "rx_fail_nothing": 190,
            "rx_fail_partial": 28,
            "rx_fail_corrupt": 3,
            "rssi": -30,
        },
        "AC": {
            "0": {
                "Power": leaf(312.3999939, "W"),
                "Voltage": leaf(231.6000061, "V"),
                "Current": leaf(1.340000033, "A", 2),
                "Frequency": leaf(50.00999832, "Hz", 2),
            }
        },
        "DC": {
            "0": {
                "name": {"u": "Ost"},
                "Power": leaf(171.1999969, "W"),
                "YieldDay": leaf(402, "Wh", 0),
                "YieldTotal": leaf(611.2050171, "kWh", 3),
            }
        },
        "INV": {
            "0": {
                "YieldDay": leaf(790, "Wh", 0),
                "YieldTotal": leaf(1209.276001, "kWh", 3),
                "Temperature": leaf(31.70000076, "°C"),
            }
        },
        "events": 3,
    }
    return {**made, **changes}


def frame(*inverters: dict[str, Any], **changes: Any) -> str:
    """Make a message of the socket."""
    return json.dumps({"inverters": list(inverters or [inverter()]), "hints": {}, **changes})


class Socket(WebSocketConnection):
    """A real WebSocket, as the context of a module hands it out."""

    cancel = WebSocketConnection.stopService


class SocketContext(FakeContext):
    """Opens real WebSockets on its reactor; what a frame raises is kept in ``faults``."""

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.faults: list[Exception] = []

    def websocket(self, settings: Any, received: Any, **more: Any) -> Any:
        def contained(data: bytes) -> None:
            try:
                received(data)
            except Exception as fault:
                self.faults.append(fault)

        socket = Socket(
            self.reactor,
            settings,
            log=self.log,
            received=contained,
            random=lambda: 0.5,
            now_ns=self.now_ns,
            noted=self.note_connection,
            **more,
        )
        socket.startService()
        return socket


class Dtu:
    """The module with its context, and a DTU that the test plays.

    Attributes:
        context: records what comes out.
        reactor: in memory; its ``tcpClients`` are the sockets that were asked for.
    """

    def __init__(self, raw: dict[str, Any] | str = "", *, name: str = "opendtu") -> None:
        table = read_toml(raw) if isinstance(raw, str) else raw
        if "mqtt" not in table and "web_socket_url" not in table:
            table = {"url": "http://192.0.2.1", **table}
        found = structure(OpenDtuSettings, table, "modules.opendtu")
        if found.value is None:
            raise AssertionError([str(fault) for fault in found.faults])
        self.settings = found.value
        self.reactor = Reactor()
        self.context = SocketContext(name=name, reactor=self.reactor)
        self.module = MODULE.make(found.value, self.context)
        self.has_socket = found.value.mqtt is None

    def start(self) -> Dtu:
        """Start the module; its socket is accepted."""
        self.module.startService()
        if self.has_socket:
            self.accept()
        return self

    def accept(self) -> None:
        """Accept the last socket and its WebSocket."""
        self.open_socket()
        self.feed(self.server.send(AcceptConnection()))

    def refuse(self, status: int, *headers: tuple[bytes, bytes]) -> None:
        """Accept the last socket, and answer with something else."""
        self.open_socket()
        self.feed(self.server.send(RejectConnection(status_code=status, headers=list(headers))))

    def open_socket(self) -> None:
        """Accept the last socket; ``request`` is what comes on it."""
        self.reactor.advance(0)
        protocol = self.reactor.tcpClients[-1][2].buildProtocol(None)
        self.transport = FakeTransport()
        self.transport.protocol = protocol
        protocol.makeConnection(self.transport)
        self.server = WSConnection(ConnectionType.SERVER)
        self.server.receive_data(self.transport.value())
        self.transport.clear()
        [self.request] = self.server.events()

    def dial_again(self, limit_s: float = 300) -> None:
        """Let time pass until the module asks for another socket."""
        sockets = len(self.reactor.tcpClients)
        for _ in range(round(limit_s * 4)):
            if len(self.reactor.tcpClients) > sockets:
                return
            self.context.advance(0.25)
        raise AssertionError(f"no other socket within {limit_s} s")

    def send(self, text: str) -> None:
        """Let the DTU send a message."""
        self.feed(self.server.send(TextMessage(data=text)))

    def feed(self, data: bytes) -> None:
        """Let the DTU send bytes."""
        self.transport.protocol.dataReceived(data)

    def wait(self, seconds: float) -> None:
        """Let time pass; the DTU answers pings."""
        for _ in range(round(seconds * 2)):
            self.context.advance(0.5)
            if self.has_socket and not self.transport.gone:
                self._answer_pings()

    def _answer_pings(self) -> None:
        self.server.receive_data(self.transport.value())
        self.transport.clear()
        for event in self.server.events():
            self.feed(self.server.send(event.response()))

    def lines(self, measurement: str = "") -> list[str]:
        """Return (and forget) the lines that came out, of one measurement or of all."""
        lines = [line for line in self.context.lines() if line.startswith(measurement)]
        self.context.metrics.clear()
        return lines

    def stop(self) -> None:
        """Stop the module, as the agent does."""
        self.module.stopService()
        assert not self.context.faults, self.context.faults
        if self.has_socket and self.reactor.tcpClients and not self.transport.gone:
            self.context.advance(0.3)
        self.context.stop()
