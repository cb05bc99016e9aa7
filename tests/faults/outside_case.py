"""The base of the tests of outside faults: a module at a broker that has one."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.protocol import Factory, Protocol, connectionDone

from tests.faults.case import TOP, FaultCase, numbered_table
from tests.faults.ledger import Account
from tests.faults.messages import Messages, Receiver
from tests.faults.news import assert_news, downs
from tests.faults.outside import outside
from tests.faults.publisher import RATE
from tests.integration.broker import Mosquitto
from tests.integration.case import logged
from tests.integration.watching import until

__all__ = ["QUICK", "FakeBroker", "OutsideCase"]

DISCONNECT = b"\xe0\x00"
AT_FAULT = Receiver("agent", "numbered:agent")
QUICK = {"reconnect_min": "100ms", "reconnect_max": "300ms", "keepalive": "5s"}


class OutsideCase(FaultCase):
    """The healthy modules run beside one that takes numbered messages at a broker with a fault."""

    def at_broker(
        self,
        url: str,
        broker: Mosquitto | None = None,
        *,
        rate: float = RATE,
        login: tuple[str, str] | None = None,
        top: str = TOP,
        **settings: Any,
    ) -> None:
        """Write the configuration: healthy modules, and one at the broker of the row.

        Args:
            url: where the module shall connect to.
            broker: a real one behind that, through which numbered messages are sent.
            rate: of the messages.
            login: of whoever sends them.
            top: lines of the agent itself.
            settings: of the connection.
        """
        if broker is not None:
            self.at_fault = Messages(self, broker, [AT_FAULT], rate=rate, login=login)
            self.messages.append(self.at_fault)
        self.healthy_beside(numbered_table(AT_FAULT, url, **{**QUICK, **settings}), top)

    def mqtt_lines(self, parent: Any) -> list[str]:
        """Return what was said of the connection with the fault, level first."""
        return [
            f"{said.level}! {said.text}"
            for said in parent.log
            if said.text.startswith(f"[mqtt:{AT_FAULT.module}]")
        ]

    async def connected(self, parent: Any) -> None:
        """Wait until the module is connected."""
        await until(
            lambda: any("Connected to" in line for line in self.mqtt_lines(parent)),
            lambda: f"a connection: {logged(parent.log)}",
        )

    async def at_work(self, parent: Any) -> None:
        """Wait until the module is connected and has got what was sent before."""
        await self.connected(parent)
        await self.delivered(parent)

    async def works_again(self, parent: Any, since_s: float) -> float:
        """Wait for a message that is sent from now on; return the milliseconds since a moment."""
        await self.at_fault.works(parent)
        return (time.monotonic() - since_s) * 1000

    async def finish(
        self,
        name: str,
        parent: Any,
        *,
        down: int | None = 0,
        up: int = 0,
        about: str = "",
        recovered_ms: float | None = None,
        counted: int = 0,
    ) -> tuple[Account, Account]:
        """Stop the agent in order, and judge.

        The whole log, or what it says about something, has so many lines down, and up; None: it
        cannot be read.
        """
        if down is not None:
            await assert_news(self, parent, down, up, subject=about)
        await self.delivered(parent)
        took_s = await parent.stop()
        self.assertLess(took_s, 5)
        self.assertEqual((parent.exits, parent.starts), ([0], 1))
        if down is not None:
            self.assertEqual(len(downs(parent, about)), down, downs(parent, about))
        row = outside(name)
        return await self.judge(row, parent, recovered_ms=recovered_ms, counted=counted)


class FakeBroker(Protocol):
    """A peer that does what a real broker never would."""

    def __init__(self, act: Callable[[FakeBroker, bytes], None], made: list[FakeBroker]) -> None:
        self._act = act
        self._made = made
        self.received = b""
        self._is_5 = True

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

    def accept(self, connect: bytes) -> None:
        """Answer a CONNECT, in its version of MQTT."""
        self._is_5 = connect[connect.index(b"MQTT") + len(b"MQTT")] == 5
        self.transport.write(b"\x20\x03\0\0\0" if self._is_5 else b"\x20\x02\0\0")

    def grant(self, subscribe: bytes) -> None:
        """Answer a SUBSCRIBE of one filter."""
        properties = b"\0" if self._is_5 else b""
        body = subscribe[2:4] + properties + b"\1"
        self.transport.write(bytes([0x90, len(body)]) + body)

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
