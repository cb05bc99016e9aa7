"""The numbered messages of a row: sent through a real broker all the time, and accounted for."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Any, Final

from attrs import frozen
from twisted.trial.unittest import TestCase

from tests.faults.broker_log import BrokerLog
from tests.faults.ledger import Account, Found, account, counted, delivered, unread
from tests.faults.numbered import PLACE, numbers_filter
from tests.faults.publisher import Publisher, left_at_broker, make_session
from tests.integration.broker import Mosquitto
from tests.integration.case import logged
from tests.integration.watching import until

__all__ = ["ENOUGH", "Messages", "Receiver"]

DELIVERY_S: Final = 30.0
ENOUGH: Final = 10
"""At each QoS to each receiver, or a row says nothing of messages."""


@frozen
class Receiver:
    """A module that takes numbered messages, on a connection of its own.

    Attributes:
        client_id: of the connection; names the receiver in topics and output.
        module: its name.
        places: its handlers of such messages.
    """

    client_id: str
    module: str
    places: tuple[str, ...] = (PLACE,)


class Messages:
    """A publisher at one broker, and the modules that get its messages.

    Args:
        case: ends all in its cleanup.
        broker: a real one, whose log is complete.
        receivers: the modules.
        how: arguments of the publisher.

    Attributes:
        publisher: sends.
        url: where the modules connect to.
        rival_keepalive: see `BrokerLog`.
    """

    def __init__(
        self, case: TestCase, broker: Mosquitto, receivers: Iterable[Receiver], **how: Any
    ) -> None:
        self.broker = broker
        self.receivers = list(receivers)
        self.url = broker.url
        self.rival_keepalive = 0
        names = [receiver.client_id for receiver in self.receivers]
        self.publisher = Publisher(case, broker.port, names, **how)
        self._has_begun = False

    def add(self, receiver: Receiver) -> None:
        """Send to another module too; before it begins."""
        assert not self._has_begun
        self.receivers.append(receiver)
        self.publisher.add(receiver.client_id)

    async def begin(self) -> None:
        """Leave sessions as an earlier run of the agent does, and begin to send."""
        if self._has_begun:
            return
        self._has_begun = True
        for receiver in self.receivers:
            name = receiver.client_id
            await make_session(self.broker.port, name, numbers_filter(name), self.publisher.login)
        await self.publisher.connected()
        self.publisher.start()

    def agent_started(self) -> None:
        """Send at QoS 0 too."""
        self.publisher.qos = (1, 0)

    def use_socket(self) -> None:
        """Have the modules connect to a socket in the file system; before it begins."""
        path = self.broker.directory / "socket"
        self.broker.stop()
        self.broker.configure(f"listener 0 {path}")
        self.broker.start_again()
        self.url = f"unix://{path}"

    async def enough_sent(self) -> None:
        """Wait until a row can be judged by what was sent."""
        await until(lambda: min(self.publisher.sent.values()) >= ENOUGH, "messages")

    async def delivered(self, parent: Any, limit_s: float = DELIVERY_S) -> None:
        """Wait until enough was sent, and all of it at QoS 1 is in the output."""
        await self.enough_sent()
        wanted = [
            b"numbers,qos=1,to=%s number=%di " % (receiver.client_id.encode(), number)
            for receiver in self.receivers
            if (number := self.publisher.sent[receiver.client_id, 1])
        ]
        await until(
            lambda: all(line in bytes(parent.output) for line in wanted),
            lambda: f"{wanted}: {logged(parent.log)}",
            limit_s,
        )

    async def works(self, parent: Any, limit_s: float = DELIVERY_S) -> None:
        """Wait until each receiver has got a message that is sent from now on."""
        had = {each.client_id: self.publisher.sent[each.client_id, 1] for each in self.receivers}

        def all_have() -> bool:
            found = delivered(parent.lines())
            return all(
                max(found.get(name, {}).get(1, ()), default=0) > number
                for name, number in had.items()
            )

        await until(all_have, lambda: f"messages beyond {had}: {logged(parent.log)}", limit_s)

    async def accounts(self, parents: Iterable[Any]) -> tuple[Account, Account]:
        """Send no more and account for all that was sent, once the agent has ended.

        Returns:
            The sums at QoS 1 and at QoS 0.
        """
        publisher = self.publisher
        publisher.stop()
        await publisher.settle()
        runs = list(parents)
        lines = list(chain.from_iterable(parent.lines() for parent in runs))
        in_output = delivered(lines)
        sums = Account(), Account()
        for receiver in self.receivers:
            name = receiver.client_id
            left = await left_at_broker(self.broker.port, name, publisher.login)
            found = Found(
                in_output.get(name, {}),
                left,
                BrokerLog(self.broker.log, name, self.rival_keepalive),
                counted(lines, name, receiver.module, receiver.places),
                killed=any(code != 0 for parent in runs for code in parent.exits),
                unread=sum(unread(said.text for said in parent.log) for parent in runs),
            )
            sent = {qos: publisher.sent[name, qos] for qos in (1, 0)}
            one, zero = account(name, sent, found)
            sums = sums[0] + one, sums[1] + zero
        return sums
