"""A client's session at a broker: subscriptions, window and queue, with mosquitto's limits."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from random import Random
from typing import Any, Final, Protocol

from attrs import define, field

__all__ = [
    "MOSQUITTO_2_0_11",
    "BrokerOptions",
    "Holder",
    "Publication",
    "Session",
    "Subscription",
    "choose_options",
]


@define
class BrokerOptions:
    """How a broker is set up, and how it differs from others.

    Attributes:
        speaks_v5: it does not refuse MQTT 5.
        max_inflight: unacknowledged messages at QoS 1; MQTT 5 clients set their own limit.
        max_queued: messages that wait behind these, 0 for any number.
        max_queued_bytes: of their payloads, 0 for any.
        counts_inflight: the queue's limits include messages in flight (2.0.11).
        queue_qos0: messages at QoS 0 are queued for a client that is not connected.
        window_leaks: each acknowledgement lets as many follow as the window holds (2.0.11).
        suback_first: the SUBACK comes before the retained messages.
        retained_delay_s: these come so long after it, and after the answer to a PING.
        subscribing_s: how long it takes to subscribe, while it answers a PING at once.
        retained_for_shared: they are sent to shared subscriptions too (2.0.11).
        retained_for_wildcards: they are sent to filters with wildcards.
        prefers_connected: in a group, connected clients get the messages if there are any.
        says_taken_over: a client gets a DISCONNECT when another one takes its place (2.0.21).
        refuses_long_keepalive: with MQTT 3.1.1, which has no Server Keep Alive (2.0.21).
        max_packet: bytes of the longest packet that it takes, 0 for any.
        max_keepalive_s: longer ones are shortened, 0 for none.
        max_qos: the highest QoS that it grants.
    """

    speaks_v5: bool = True
    max_inflight: int = 20
    max_queued: int = 1000
    max_queued_bytes: int = 0
    counts_inflight: bool = False
    queue_qos0: bool = False
    window_leaks: bool = False
    suback_first: bool = True
    retained_delay_s: float = 0.0
    subscribing_s: float = 0.0
    retained_for_shared: bool = False
    retained_for_wildcards: bool = True
    prefers_connected: bool = False
    says_taken_over: bool = True
    refuses_long_keepalive: bool = True
    max_packet: int = 0
    max_keepalive_s: int = 0
    max_qos: int = 2


MOSQUITTO_2_0_11: Final[dict[str, Any]] = {
    "counts_inflight": True,
    "window_leaks": True,
    "retained_for_shared": True,
    "says_taken_over": False,
    "refuses_long_keepalive": False,
}
"""How it differs from 2.0.21, whose options are the defaults."""

FLAVOURS: Final[dict[str, dict[str, Any]]] = {
    "mosquitto 2.0.21": {},
    # With QoS 0 in its queue its leaking window changes the order of messages.
    "mosquitto 2.0.11": {**MOSQUITTO_2_0_11, "queue_qos0": False},
    "rabbitmq": {"retained_for_wildcards": False, "queue_qos0": True, "max_queued": 0},
    "aedes": {"speaks_v5": False, "retained_delay_s": 0.05, "says_taken_over": False},
    "mochi": {"retained_delay_s": 0.05},
    # MQTT has no order between SUBACK and PINGRESP.
    "one that subscribes in another thread": {"subscribing_s": 0.3},
}
"""How brokers differ from the defaults, by name."""


def choose_options(random: Random) -> BrokerOptions:
    """Choose a kind of broker and how it is set up."""
    values: dict[str, Any] = {
        "speaks_v5": random.random() < 0.7,
        "max_inflight": random.choice((1, 20, 20, 1000)),
        "max_queued": random.choice((1000, 10_000_000)),
        "queue_qos0": random.random() < 0.3,
        "suback_first": random.random() < 0.5,
        # Others do as mosquitto does; but then an abandoned session would keep messages for good.
        "prefers_connected": True,
    }
    return BrokerOptions(**{**values, **FLAVOURS[random.choice(list(FLAVOURS))]})


@define(eq=False)
class Publication:
    """A message on its way to one session."""

    topic: str
    payload: bytes
    qos: int
    retain: bool = False
    sent: bool = False


@define
class Subscription:
    """A subscription to a filter, with the options of the first request for it."""

    qos: int
    no_local: bool = False
    as_published: bool = False


class Holder(Protocol):
    """The client that a session is connected to."""

    @property
    def is_ours(self) -> bool:
        """Whether it is the agent."""
        ...

    @property
    def is_open(self) -> bool:
        """Whether it has not closed its end of the connection."""
        ...

    def send_qos0(self, publication: Publication) -> None:
        """Send a message at QoS 0."""
        ...

    def send_qos1(self, publication: Publication, packet_id: int) -> None:
        """Send a message at QoS 1."""
        ...

    def taken_over(self, *, with_will: bool) -> None:
        """End, since another client has come with the same id."""
        ...


@define(eq=False)
class Session:
    """A client's session.

    Attributes:
        v5: the version of the last connection.
        expiry_s: how long it is kept without a connection.
        maximum: the window's size; 0 for any.
        quota: how many messages the window has room for, as mosquitto counts them.
        ended: how often a connection has ended, so that a timer knows if it is out of date.
    """

    client_id: str
    options: BrokerOptions
    filters: dict[str, Subscription] = field(factory=dict)
    waiting: deque[Publication] = field(factory=deque)
    inflight: dict[int, Publication] = field(factory=dict)
    next_id: int = 0
    v5: bool = False
    expiry_s: int = 0
    maximum: int = 20
    quota: int = 20
    ended: int = 0
    client: Holder | None = None

    def unacknowledged(self) -> Iterator[Publication]:
        """Return the messages that the broker still has for this client, in order."""
        yield from self.inflight.values()
        yield from self.waiting

    def take(self, publication: Publication) -> str:
        """Send or queue a message; return why it is dropped, "" if it is not."""
        client, queues = self.client, self.options.queue_qos0
        if publication.qos == 0 and client is not None:
            # mosquitto sends it before those that wait; keeping each device's order is simpler.
            if not queues or not any(each.qos == 0 for each in self.waiting):
                client.send_qos0(publication)
                return ""
        elif client is not None and self._window_is_open:
            self._fly(publication)
            return ""
        if publication.qos == 0 and not queues:
            return "not_connected"
        if not self._has_room:
            return "queue_full"
        self.waiting.append(publication)
        return ""

    @property
    def _window_is_open(self) -> bool:
        return self.quota > 0 or not self.maximum

    @property
    def _has_room(self) -> bool:
        options = self.options
        some = self.inflight.values() if options.counts_inflight else ()
        if options.max_queued_bytes:
            size = sum(len(each.payload) for each in (*some, *self.waiting) if each.qos)
            if size >= options.max_queued_bytes:
                return False
        most = options.max_queued + (0 if self.client is None else self.maximum)
        count = len(some) + len(self.waiting)
        if not options.max_queued or count < most:
            return True
        return options.queue_qos0 and sum(1 for each in self.waiting if each.qos) < most - len(some)

    def resumed(self, client: Holder, maximum: int) -> None:
        """Send again what is in flight, and then what has waited."""
        self.client = client
        self.maximum = maximum
        self.quota = max(maximum - len(self.inflight), 0)
        for packet_id, publication in self.inflight.items():
            client.send_qos1(publication, packet_id)
        self.send_waiting()

    def restored(self) -> None:
        """Note a restart: messages in flight beyond the broker's own window wait again."""
        most = self.options.max_inflight
        if most:
            for packet_id in reversed(tuple(self.inflight)[most:]):
                self.waiting.appendleft(self.inflight.pop(packet_id))

    def acknowledged(self, packet_id: int) -> Publication | None:
        """Take a PUBACK; return its message, None if none is in flight with that id."""
        if packet_id not in self.inflight:
            return None
        position = 0
        if self.options.window_leaks:
            position = next(n for n, each in enumerate(self.inflight) if each == packet_id)
        publication = self.inflight.pop(packet_id)
        self.quota = min(self.quota + 1, self.maximum)
        if self.options.window_leaks and self.maximum:
            for _ in range(self.maximum - position):
                self._send_next()
        else:
            self.send_waiting()
        return publication

    def send_waiting(self) -> None:
        """Send as many messages as the window has room for."""
        while self.waiting and self.client is not None:
            if self.waiting[0].qos and not self._window_is_open:
                return
            self._send_next()

    def _send_next(self) -> None:
        if not self.waiting or self.client is None:
            return
        publication = self.waiting.popleft()
        if publication.qos:
            self._fly(publication)
        else:
            self.client.send_qos0(publication)

    def _fly(self, publication: Publication) -> None:
        assert self.client is not None
        self.quota = max(self.quota - 1, 0)
        self.next_id = self.next_id % 65535 + 1
        while self.next_id in self.inflight:
            self.next_id = self.next_id % 65535 + 1
        self.inflight[self.next_id] = publication
        self.client.send_qos1(publication, self.next_id)
        publication.sent = True
