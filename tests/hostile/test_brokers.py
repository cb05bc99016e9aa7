"""Attacks by a broker, and by many devices through a real one."""

from __future__ import annotations

import contextlib
import os
import resource
import time
from pathlib import Path
from typing import Any

from twisted.internet.task import LoopingCall

from tests.hostile.brokers import (
    CONNACK,
    CONNACK_5,
    HostileBroker,
    packet,
    publish,
    string,
    suback,
)
from tests.hostile.case import MEBI, HostileCase
from tests.hostile.patterns import PATTERNS, filled
from tests.hostile.scale import ATTACK_S, count
from tests.integration.broker import Mosquitto
from tests.integration.case import QUIET, logged
from tests.integration.load import Load
from tests.integration.mqtt_agent import announcement
from tests.integration.watching import pause, until

UNREAD_BYTES = 256 * 1024
_CONNECT, _SUBSCRIBE, _PINGREQ = 0x10, 0x82, 0xC0


class BrokerTests(HostileCase):
    """A broker is a peer as others."""

    def listen(self, greet: Any, *, v5: bool = False, code: Any = lambda: 1) -> tuple[int, Any]:
        """Be a broker that accepts, answers, and greets each connection after that."""

        def act(broker: HostileBroker, data: bytes) -> None:
            if data[0] == _CONNECT:
                broker.send(CONNACK_5 if v5 else CONNACK)
                greet(broker)
            while len(data) > 1 and data[0] == _SUBSCRIBE:
                size, place = data[1] & 127, 2
                if data[1] & 128:
                    size, place = size + (data[2] << 7), 3
                broker.send(suback(data[place : place + size], code(), v5=v5))
                data = data[place + size :]
            if data[:1] == bytes([_PINGREQ]):
                broker.send(b"\xd0\0")

        return HostileBroker.listen(self, act)

    async def unread(self, name: str, url: str, write: Any) -> None:
        """Write without end to whoever connects, and read nothing."""
        loops: list[LoopingCall] = []
        over: list[bool] = []

        def greet(broker: HostileBroker) -> None:
            def more() -> None:
                if broker.open and len(broker.transport.dataBuffer) < UNREAD_BYTES:
                    write(broker)

            if over:
                return  # a connection that came when the attack had ended
            broker.transport.pauseProducing()
            loops.append(LoopingCall(more))
            loops[-1].start(0.005)

        port, _made = self.listen(greet)

        async def attack() -> None:
            await until(lambda: loops, "a connection")
            await pause(ATTACK_S)

        parent = await self.agent(self.tasmota_at(url.format(port), protocol="3.1.1"))
        try:
            await self.attack(name, parent, attack)
        finally:
            over.append(True)
            for each in loops:
                each.stop()
        await self.ends_well(parent)

    async def test_broker_pings(self) -> None:
        """The answers to pings do not pile up."""
        await self.unread(
            "broker_pings",
            "ws://127.0.0.1:{}/mqtt",
            lambda broker: [broker.ping(b"p" * 125) for _ in range(500)],
        )

    async def test_broker_floods(self) -> None:
        """Nor do acknowledgements."""
        numbers = iter(range(1, 1 << 40))

        def write(broker: HostileBroker) -> None:
            broker.send(
                b"".join(
                    publish(b"tele/a/LWT", b"x", next(numbers) % 65_535 + 1, 1) for _ in range(2000)
                )
            )

        await self.unread("broker_floods", "tcp://127.0.0.1:{}", write)

    async def test_broker_floods_qos_2(self) -> None:
        """Nor does the handshake of QoS 2, in which each message has two answers."""
        numbers = iter(range(1, 1 << 40))

        def write(broker: HostileBroker) -> None:
            some = [next(numbers) % 65_535 + 1 for _ in range(2000)]
            broker.send(
                b"".join(
                    publish(b"tele/a/LWT", b"x", number, 2)
                    + packet(0x62, number.to_bytes(2, "big"))
                    for number in some
                )
            )

        await self.unread("broker_floods_qos_2", "tcp://127.0.0.1:{}", write)

    async def test_broker_releases(self) -> None:
        """Nor do answers to releases of messages that were never sent."""
        releases = packet(0x62, b"\0\1") * 8000
        await self.unread(
            "broker_releases", "tcp://127.0.0.1:{}", lambda broker: broker.send(releases)
        )

    async def test_mqtt_packets(self) -> None:
        """Each text of each packet; the connection may end, and comes back."""
        for scheme in ("tcp://127.0.0.1:{}", "ws://127.0.0.1:{}/mqtt"):
            for v5 in (False, True):
                await self.packets(scheme, v5=v5)

    async def packets(self, url: str, *, v5: bool) -> None:
        """Send one after the other to a version of the protocol."""
        turn = [0]
        sent = _packets(v5=v5)
        some = sent[:: count(1, 9)]

        def greet(broker: HostileBroker) -> None:
            if turn[0] < len(some):
                broker.send(some[turn[0]])
                turn[0] += 1
                broker.send(b"\xe0\0")
                broker.transport.loseConnection()

        port, _made = self.listen(greet, v5=v5)
        settings = {"protocol": "5" if v5 else "3.1.1", "reconnect_max": "100ms"}
        parent = await self.agent(self.tasmota_at(url.format(port), **settings))

        async def attack() -> None:
            await until(lambda: turn[0] == len(some), lambda: logged(parent.log), 120)
            await self.said(parent, "again after", "I", limit_s=20)

        await self.attack("mqtt_packets", parent, attack, again=False)
        self.assertLess(len(parent.log), 40, logged(parent.log))
        await self.ends_well(parent)

    async def test_suback_refuses(self) -> None:
        """A filter that is refused for once is asked for again."""
        codes = iter([0x80] * 2)
        port, made = self.listen(lambda _broker: None, code=lambda: next(codes, 1))
        table = self.tasmota_at(f"tcp://127.0.0.1:{port}", protocol="3.1.1")
        parent = await self.agent(table)

        async def granted() -> None:
            await self.said(parent, "grants the subscription", "I")

        await self.attack("suback_refuses", parent, granted, again=False)
        self.assertEqual(len(made), 1)
        await self.ends_well(parent)

    async def test_broker_restarts(self) -> None:
        """Short connections in a row cost no more than the ordinary backoff."""
        broker = Mosquitto.start(self, settings=QUIET)
        parent, _load = await self.house(broker, reconnect_min="1s", reconnect_max="60s")

        async def restarts() -> None:
            for _ in range(count(5, 3)):
                broker.kill()
                broker.start_again()
                await pause(count(4, 2))

        await self.attack("broker_restarts", parent, restarts, again=False)
        since_s = time.monotonic()
        load = await Load.connect(self, broker.port, devices=2, name="back")
        await until(lambda: b"device=back01" in bytes(parent.output), lambda: logged(parent.log))
        await self.works(parent, load)
        self.assertLess(time.monotonic() - since_s, 10)
        self.assertFalse([said for said in parent.log if "is using" in said.text])
        await self.ends_well(parent)

    async def test_announcement_flood(self) -> None:
        """Where memory ends, what cannot be had costs that message or that connection."""
        parent, load = await self.house()
        pid = parent.agent_pid
        _limit_memory(pid, 24 * MEBI)

        async def flood() -> None:
            for start in range(0, count(90_000, 20_000), 1000):
                for number in range(start, start + 1000):
                    mac = f"{number:012X}"
                    topic = f"flood{number}"
                    body = announcement(topic, mac, fn=[f"{topic}{'n' * 60}"])
                    load.publish(f"tasmota/discovery/{mac}/config", body)
                await load.barrier()
            await pause(1)

        devices = count(90_000, 20_000)
        try:
            await self.attack(
                "announcement_flood", parent, flood, devices=devices, again=False, may_exhaust=True
            )
        finally:
            with contextlib.suppress(OSError):
                _limit_memory(pid, 4096 * MEBI)
        await self.works(parent, load, 60)
        await self.stop(parent)
        if parent.starts > 1:
            self.assert_exhausted(parent)
        self.assertEqual(parent.exits[parent.starts - 1 :], [0], logged(parent.log[-20:]))

    async def test_device_flood(self) -> None:
        """Announced devices take what is promised for each."""
        devices = count(100_000, 15_000)
        parent, load = await self.house()

        async def flood() -> None:
            for start in range(0, devices, 1000):
                for number in range(start, start + 1000):
                    mac = f"{number:012X}"
                    body = announcement(f"flood{number}", mac)
                    load.publish(f"tasmota/discovery/{mac}/config", body)
                await load.barrier()
            await self.works(parent, load)

        await self.attack("device_flood", parent, flood, devices=devices, again=False)
        await self.ends_well(parent)


def _limit_memory(pid: int, more: int) -> None:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + more
    _soft, hard = resource.prlimit(pid, resource.RLIMIT_AS)
    resource.prlimit(pid, resource.RLIMIT_AS, (limit, hard))


def _packets(*, v5: bool) -> list[bytes]:
    """Return packets with each of their texts filled with each pattern."""
    found = []
    for name in PATTERNS:
        text = filled(name, 65_000).encode("utf-8", "surrogatepass")
        payload = filled(name, MEBI - 200_000).encode("utf-8", "surrogatepass")
        pair = string(text) + string(text)
        found += [
            packet(0x30, string(text) + b"\0" * v5 + payload),
            packet(0x30, string(b"tele/a/SENSOR") + b"\0" * v5 + payload),
            packet(0x31, string(b"tasmota/discovery/A/config") + b"\0" * v5 + payload),
            packet(0x90, payload),
            packet(0x40, payload[:300]),
            packet(0xE0, payload[:5000]),
            packet(0x20, payload),
            packet(0xF0, payload),
            packet(0xD0, payload),
            payload,
        ]
        if v5:
            many = (b"\x26" + string(b"k") + string(b"v")) * 20_000
            for properties in (
                b"\x1f" + string(text),  # reason string
                b"\x26" + pair,  # user property
                b"\x03" + string(text),  # content type
                b"\x08" + string(text),  # response topic
                b"\x09" + string(text),  # correlation data
                b"\x1c" + string(text),  # server reference
                many,
            ):
                size = encode_size(len(properties)) + properties
                found += [
                    packet(0x30, string(b"tele/a/SENSOR") + size + b"{}"),
                    packet(0x20, b"\0\x87" + size),
                    packet(0xE0, b"\x9d" + size),
                    packet(0x90, b"\0\1" + size + b"\0"),
                ]
    return found


def encode_size(size: int) -> bytes:
    """Write a length as MQTT does."""
    return packet(0, bytes(size))[1 : -size or None] if size else b"\0"
