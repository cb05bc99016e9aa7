"""Faults of the network: cut, slow, without names, with huge messages."""

from __future__ import annotations

import socket
import time
from typing import Any

from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import LoopingCall

from tests.faults.netns import Host
from tests.faults.outside_case import OutsideCase
from tests.integration.broker import Mosquitto, with_both_mosquittos
from tests.integration.watching import argv, memory_bytes, pause, until

MEBI = 1024 * 1024


class Slow(Protocol):
    """One side of a wire that carries a byte at a time."""

    INTERVAL_S = 0.0005

    def __init__(self) -> None:
        self.peer: Slow | None = None
        self._waiting = bytearray()
        self._loop = LoopingCall(self._pass_on)

    def dataReceived(self, data: bytes) -> None:
        """Let it wait for its turn."""
        self._waiting += data
        if not self._loop.running:
            self._loop.start(self.INTERVAL_S)

    def _pass_on(self) -> None:
        if self._waiting and self.peer is not None and self.peer.transport is not None:
            self.peer.transport.write(bytes(self._waiting[:1]))
            del self._waiting[:1]
        elif not self._waiting:
            self._loop.stop()

    def connectionLost(self, reason: Any = None) -> None:
        """Cut the other side too."""
        del reason
        if self._loop.running:
            self._loop.stop()
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.abortConnection()


class _SlowWire(Slow):
    """The side that was called: calls the broker."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._port = port

    def connectionMade(self) -> None:
        """Connect to the broker."""
        other = Slow()
        self.peer, other.peer = other, self
        connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", self._port), other)


@with_both_mosquittos
class NetworkTests(OutsideCase):
    """What happens between agent and broker."""

    async def test_network_cut(self) -> None:
        """The cable is pulled: found out by the keepalive, and back when it is plugged in."""
        host = Host(self)
        self.beside.use_socket()
        broker = Mosquitto.start(self, listener=(), settings=[f"listener 18830 {host.our_address}"])
        self.at_broker(f"tcp://{host.our_address}:18830", broker, connect_timeout="2s")
        command = [*host.prefix, *argv("metrics-agent", "-c", str(self.config_path))]
        parent = await self.start_beside(argv=command)
        await self.at_work(parent)
        host.cut()
        await self.said(parent, "Lost the connection", "W", limit_s=40)
        host.mend()
        since_s = time.monotonic()
        await self.said(parent, "again after", "I", limit_s=40)
        recovered_ms = await self.works_again(parent, since_s)
        self.assertEqual(len(self.mqtt_lines(parent)), 3, self.mqtt_lines(parent))
        await self.finish("network_cut", parent, down=1, up=1, recovered_ms=recovered_ms)

    async def test_network_slow(self) -> None:
        """One byte at a time, in both directions: slow, but whole."""
        broker = Mosquitto.start(self)
        factory = Factory.forProtocol(lambda: _SlowWire(broker.port))
        factory.noisy = False
        wire = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(wire.stopListening)
        # At most some 1,000 bytes pass in a second.
        self.at_broker(f"tcp://127.0.0.1:{wire.getHost().port}", broker, rate=5)
        parent = await self.start_beside()
        await self.at_work(parent)
        for _ in range(5):
            await self.at_fault.works(parent)
        await self.finish("network_slow", parent)

    async def test_dns_silent(self) -> None:
        """Names are asked for and no one answers: one line, and all else goes on."""
        host = Host(self)
        self.beside.use_socket()
        deaf = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(deaf.close)
        deaf.bind((host.our_address, 53))
        host.name_server(host.our_address)
        self.at_broker("tcp://broker.example:1883", connect_timeout="1s")
        command = [*host.prefix, *argv("metrics-agent", "-c", str(self.config_path))]
        parent = await self.start_beside(argv=command)
        await until(lambda: self.mqtt_lines(parent), "a line")
        await pause(4)
        (line,) = self.mqtt_lines(parent)
        self.assertIn("broker.example", line)
        await self.finish("dns_silent", parent, down=1, up=0)

    async def test_payload_huge(self) -> None:
        """A message of 100 MB is discarded as it comes, and counted; the next one is taken."""
        broker = Mosquitto.start(self)
        self.at_broker(broker.url, broker, keepalive="30s")
        parent = await self.start_beside()
        await self.at_work(parent)
        before = memory_bytes(parent.agent_pid)
        self.at_fault.publisher.send(1, bytes(100 * MEBI))
        since_s = time.monotonic()
        recovered_ms = await self.works_again(parent, since_s)
        await until(lambda: b"dropped_oversized=2i" in bytes(parent.output), "the count")
        self.assertLess(memory_bytes(parent.agent_pid) - before, 30 * MEBI)
        await self.finish("payload_huge", parent, recovered_ms=recovered_ms, counted=2)
