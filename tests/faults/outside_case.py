"""The base of the tests of outside faults: an agent with Tasmota devices at a broker."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.protocol import Factory, Protocol, connectionDone

from tests.faults.case import TOP, FaultCase
from tests.faults.news import assert_news, downs
from tests.faults.outside import outside
from tests.integration.broker import Mosquitto
from tests.integration.load import Load
from tests.integration.watching import until

__all__ = ["CONNACK", "FakeBroker", "OutsideCase"]

CONNACK = b"\x20\x03\x00\x00\x00"
DISCONNECT = b"\xe0\x00"
QUICK = {"reconnect_min": "100ms", "reconnect_max": "300ms", "keepalive": "5s"}


class OutsideCase(FaultCase):
    """Two healthy modules run beside the module tasmota."""

    def at_broker(self, url: str, more: str = "", top: str = TOP, **settings: Any) -> None:
        """Write the configuration: steady modules, and tasmota at a broker."""
        keys = {"client_id": "agent", **QUICK, **settings}
        lines = "".join(f'{key} = "{value}"\n' for key, value in keys.items())
        table = f'[modules.tasmota]\nenabled = true\nbroker = "{url}"\n{lines}'
        self.healthy_beside(f"{table}\n{more}", top)

    def mqtt_lines(self, parent: Any) -> list[str]:
        """Return what was said of the connection, level first."""
        return [
            f"{said.level}! {said.text}"
            for said in parent.log
            if said.text.startswith("[mqtt:tasmota]")
        ]

    async def loaded(self, broker: Mosquitto, parent: Any, **how: Any) -> Load:
        """Connect a load once the agent is connected, and wait until its devices are known."""
        await self.said(parent, "Connected to", "I")
        load = await Load.connect(self, broker.port, devices=2, rate=200, **how)
        await self.subscribed(parent, load)
        return load

    async def works_again(self, parent: Any, load: Load, since_s: float) -> float:
        """Send until something arrives; return the milliseconds since a moment."""
        had = len(parent.output)
        load.start()
        await until(
            lambda: b"electricity," in bytes(parent.output[had:]), "telemetry after the fault", 40
        )
        return (time.monotonic() - since_s) * 1000

    async def finish(
        self,
        name: str,
        parent: Any,
        *,
        down: int = 0,
        up: int = 0,
        about: str = "",
        recovered_ms: float | None = None,
        lost: int = 0,
    ) -> None:
        """Stop the agent in order, and judge.

        The whole log, or what it says about something, has so many lines down, and up.
        """
        await assert_news(self, parent, down, up, subject=about)
        took_s = await parent.stop()
        self.assertLess(took_s, 5)
        self.assertEqual((parent.exits, parent.starts), ([0], 1))
        self.assertEqual(len(downs(parent, about)), down, downs(parent, about))
        await self.judge(outside(name), parent, recovered_ms=recovered_ms, lost=lost)


class FakeBroker(Protocol):
    """A peer that does what a real broker never would."""

    def __init__(self, act: Callable[[FakeBroker, bytes], None], made: list[FakeBroker]) -> None:
        self._act = act
        self._made = made
        self.received = b""

    @classmethod
    def listen(
        cls, case: FaultCase, act: Callable[[FakeBroker, bytes], None], port: int = 0
    ) -> tuple[int, list[FakeBroker]]:
        """Listen; return the port and the connections so far, which grow."""
        made: list[FakeBroker] = []
        factory = Factory.forProtocol(lambda: cls(act, made))
        factory.noisy = False
        listening = reactor.listenTCP(port, factory, interface="127.0.0.1")
        case.addCleanup(listening.stopListening)
        case.addCleanup(cls.close_all, made)
        return listening.getHost().port, made

    @staticmethod
    async def close_all(made: list[FakeBroker]) -> None:
        """Cut what is still open, and wait until it is."""
        for each in made:
            if each.transport.connected:
                each.transport.abortConnection()
        await until(lambda: not any(each.transport.connected for each in made), "the end")

    def connectionMade(self) -> None:
        """Note the connection."""
        self._made.append(self)

    def dataReceived(self, data: bytes) -> None:
        """Do whatever the test wants; the end is as with any broker."""
        self.received += data
        if data == DISCONNECT:
            self.transport.loseConnection()
        else:
            self._act(self, data)

    def connectionLost(self, reason: Any = connectionDone) -> None:
        """Nothing to do."""
