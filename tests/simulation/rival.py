"""Another client of a broker: it takes over the agent's session, or shares its messages."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from tests.simulation.broker import ModelBroker, Publication, Session
from tests.simulation.broker_packets import NEVER_S, Connect
from tests.simulation.broker_session import Subscription
from tests.simulation.configuration import PORTS, ConfigFile

__all__ = ["Rival", "share_messages"]

WINDOW = 20


class Rival:
    """A client that receives messages and acknowledges them.

    Args:
        broker: to connect to.
        client_id: to connect with; the client that has it is disconnected.
        clean: it starts a session, and ends it.
        returns_after_s: when it comes back after it was disconnected itself.
    """

    is_ours = False
    is_open = True

    def __init__(
        self, broker: ModelBroker, client_id: str, *, clean: bool, returns_after_s: float
    ) -> None:
        self._broker = broker
        expiry_s = 0 if clean else NEVER_S
        self._connect = Connect(4, clean, 60, client_id, expiry_s)
        self._returns_after_s = returns_after_s
        self._session: Session | None = None
        self._has_left = False

    def join(self) -> None:
        """Connect."""
        if self._has_left or not self._broker.up:
            return
        self._session, _present = self._broker.open_session(self._connect, self)
        self._session.resumed(self, WINDOW)

    def subscribe(self, topic_filter: str) -> None:
        """Subscribe at QoS 1."""
        assert self._session is not None
        self._broker.subscribe(self._session, topic_filter, Subscription(1))

    def leave(self) -> None:
        """Disconnect, and do not come back."""
        self._has_left = True
        session, self._session = self._session, None
        if session is not None and session.client is self:
            self._broker.close_session(session)

    def taken_over(self, *, with_will: bool) -> None:
        """Come back after a while."""
        self._session = None
        self._broker.clock.later(self._returns_after_s, self.join)

    def send_qos0(self, publication: Publication) -> None:
        """Take a message."""
        self._broker.on_drop(publication, "other_client")

    def send_qos1(self, publication: Publication, packet_id: int) -> None:
        """Take a message, and acknowledge it a little later."""
        self._broker.clock.later(0.0, self._acknowledge, self._session, packet_id)

    def _acknowledge(self, session: Session | None, packet_id: int) -> None:
        holder = self._broker.sessions.get(self._connect.client_id)
        if holder is not None and holder.client is self and session in {None, holder}:
            publication = holder.acknowledged(packet_id)
            if publication is not None:
                self._broker.on_drop(publication, "other_client")


def share_messages(brokers: Mapping[int, ModelBroker], config: ConfigFile, random: Random) -> None:
    """Have another client share the messages of a module, in some runs."""
    if random.random() < 0.3:
        module = random.choice(("a", "c"))
        config.topics[module] = f"$share/group/{module}"
        config.write()
        member = Rival(brokers[PORTS[module]], "member", clean=False, returns_after_s=1.0)
        member.join()
        member.subscribe(f"$share/group/{module}/#")
