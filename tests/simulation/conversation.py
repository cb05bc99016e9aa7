"""Random conversations with a broker, the same with a real one and with the model."""

from __future__ import annotations

from random import Random
from typing import Any, Final, Protocol

from tests.simulation.raw_client import Pipe, RawClient

__all__ = ["STEPS", "Broker", "Conversation", "Setup"]

STEPS: Final = 120
_FILTERS: Final = (
    "a/+",
    "b/#",
    "+/c/d",
    "$share/g/e/f",
    "$share/h/e/+",
    "a/#",
    "a/b",
    "e/#",
    "+/+",
)
"""Many of them overlap. None matches the client's own will: 2.0.21 sends it to the client
while it ends the connection."""
_TOPICS: Final = (
    *("a/b", "a/c", "b", "b/x/y", "x/c/d", "e/f", "e/f", "other"),
    *("a/hidden", "a/fixed", "a/changes"),
)
_OF_OTHERS: Final = frozenset({"member", "taken over"})
_LIMITS_OF_QUEUE: Final = ((12, 0), (12, 0), (6, 40), (0, 0))


class Setup:
    """What a seed decides of a broker.

    Args:
        random: of the seed.

    Attributes:
        max_inflight: messages at QoS 1 of MQTT 3.1.1.
        max_queued: messages, 0 for any number.
        max_queued_bytes: 0 for any number.
        max_packet: bytes, 0 for any number.
        max_keepalive_s: 0 for any; never shorter than what a client asks for, since 2.0.21 then
            ends the connection within a second.
        persistent: it has its sessions over a restart.
        hides: some topics may not be read or not be written.
        filters: that clients subscribe to.
    """

    def __init__(self, random: Random) -> None:
        self.hides = random.random() < 0.5
        self.max_inflight = random.choice((1, 5, 5))
        # Where any number may wait, mosquitto disconnects clients that may not publish.
        limits = _LIMITS_OF_QUEUE[:3] if self.hides else _LIMITS_OF_QUEUE
        self.max_queued, self.max_queued_bytes = random.choice(limits)
        self.max_packet = random.choice((0, 100))
        self.max_keepalive_s = random.choice((0, 0, 0, 70))
        self.persistent = random.random() < 0.5
        # mosquitto forgets some groups when it restarts.
        self.filters = [each for each in _FILTERS if not (self.persistent and _is_shared(each))]


class Broker(Protocol):
    """A broker to talk to."""

    def connect(self) -> Pipe:
        """Return a new connection."""
        ...

    def restart(self) -> None:
        """End it in order, and start it again."""
        ...

    def set_readable(self, topic: str, *, readable: bool) -> None:
        """Change who may read a topic, from now on."""
        ...


class Conversation:
    """One seed's worth of steps with one broker.

    Args:
        random: of the seed.
        broker: to talk to.
        setup: of the broker.
        v5: the version to speak.
    """

    def __init__(self, random: Random, broker: Broker, setup: Setup, *, v5: bool) -> None:
        self._random = random
        self._broker = broker
        self._setup = setup
        self._v5 = v5
        self._unacknowledged: list[int] = []
        self._number = 0
        self._client: RawClient | None = None
        self._member_client: RawClient | None = None
        self._readable = True
        self.log: list[Any] = []
        self._connect_devices()

    def run(self) -> list[Any]:
        """Return everything that the broker said."""
        for _ in range(STEPS):
            step = self._random.choice(
                ("publish",) * 12
                + ("acknowledge",) * 5
                + ("subscribe",) * 7
                + ("join",) * 6
                + ("unsubscribe", "leave", "cut", "take_over", "member", "member")
                + ("change", "restart", "too_large", "refused")
            )
            getattr(self, f"_{step}")()
        return self.log

    def _connect_devices(self) -> None:
        self._devices = RawClient(self._broker.connect(), v5=False)
        self._devices.connect("devices", clean=True, keepalive_s=20)

    def _note(self, step: str, events: list[tuple[Any, ...]]) -> None:
        messages = [each for each in events if each[0] == "publish"]
        if step not in _OF_OTHERS:
            self._unacknowledged += [each[6] for each in messages if each[3]]
        # Retained messages come in any order, before the SUBACK or after it.
        others = [each for each in events if each[0] != "publish"]
        retained = sorted(each[:6] for each in messages if each[4])
        live = [each[:6] for each in messages if not each[4]]
        self.log.append((step, others, retained, live))

    def _open(self, step: str) -> None:
        random = self._random
        self._unacknowledged.clear()
        will = None
        if random.random() < 0.4:
            self._number += 1
            will = (
                "will/of/agent",
                b"%d" % self._number,
                random.randint(0, 1),
                random.random() < 0.3,
            )
        client = self._client = RawClient(self._broker.connect(), v5=self._v5)
        events = client.connect(
            "agent",
            clean=random.random() < 0.2,
            receive_maximum=random.choice((3, 100, 1000)),
            keepalive_s=random.choice((20, 60)),
            will=will,
        )
        self._note(step, events)
        if ("closed",) in events:
            self._client = None

    def _join(self) -> None:
        if self._client is None:
            self._open("join")

    def _take_over(self) -> None:
        before = self._client
        if before is not None:
            self._open("take over")
            self._note("taken over", before.settle())

    def _leave(self) -> None:
        if self._client is not None:
            self._client.disconnect()
            self._client = None

    def _cut(self) -> None:
        if self._client is not None:
            self._client.cut()
            self._client = None
            # The broker has seen it.
            self._settle_others()

    def _settle_others(self) -> None:
        self._devices.settle()
        self._settle_member()

    def _settle_member(self) -> None:
        if self._member_client is not None:
            self._note("member", self._member_client.settle())

    def _member(self) -> None:
        """Have another client join a group, or go."""
        member = self._member_client
        if member is None:
            member = self._member_client = RawClient(self._broker.connect(), v5=self._v5)
            will = ("b", b"gone", 1, False)
            self._note("member", member.connect("member", clean=False, keepalive_s=20, will=will))
            topic_filter = "e/f" if self._setup.persistent else "$share/g/e/f"
            self._note("member", member.subscribe(topic_filter, 0))
            self._note("member", member.subscribe("will/#", 0))
        else:
            self._member_client = None
            if self._random.random() < 0.5:
                member.cut()
            else:
                member.disconnect()
            self._devices.settle()
            if self._client is not None:
                self._note("member has gone", self._client.settle())

    def _subscribe(self) -> None:
        random = self._random
        name, options = random.choice(self._setup.filters), random.randint(0, 1)
        options |= random.choice((0, 0, 0 if _is_shared(name) else 4, 8)) | random.choice(
            (0, 0, 0x10, 0x20)
        )
        if self._client is not None:
            self._note(f"subscribe {name} {options}", self._client.subscribe(name, options))

    def _unsubscribe(self) -> None:
        name = self._random.choice(self._setup.filters)
        if self._client is not None:
            self._note(f"unsubscribe {name}", self._client.unsubscribe(name))

    def _acknowledge(self) -> None:
        count = self._random.randint(1, 10)
        if self._client is not None:
            ids, self._unacknowledged = self._unacknowledged[:count], self._unacknowledged[count:]
            for packet_id in ids:
                self._client.acknowledge(packet_id)
            self._note("acknowledge", self._client.settle())

    def _publish(self) -> None:
        random = self._random
        topic, qos = random.choice(_TOPICS), random.randint(0, 1)
        retain, by_client = random.random() < 0.25, random.random() < 0.3
        sender = self._client if by_client and self._client is not None else self._devices
        count = random.choice((1, 1, 4, 15))
        for left in reversed(range(count)):
            self._number += 1
            payload = b"%d" % self._number
            events = sender.publish(topic, payload, qos, retain=retain, settle=not left)
        if sender is self._client:
            self._note(f"publish itself {topic}", events)
        if self._client is not None:
            self._note(f"publish {topic}", self._client.settle())
        self._settle_member()

    def _too_large(self) -> None:
        if self._client is not None:
            self._note("too large", self._client.publish("b", b"x" * 120, 1, retain=False))
            if self._setup.max_packet:
                self._client = None

    def _change(self) -> None:
        if self._setup.hides:
            self._readable = not self._readable
            self._broker.set_readable("a/changes", readable=self._readable)
            self._devices.settle()
            self._devices.settle()

    def _refused(self) -> None:
        for name, level in (("", 0), ("other", 6)):
            client = RawClient(self._broker.connect(), v5=self._v5)
            events = client.connect(name, clean=False, level=level)
            self._note(f"refused {name!r} {level}", events)

    def _restart(self) -> None:
        self._broker.restart()
        client, self._client = self._client, None
        if client is not None:
            self._note("restart", client.settle())
        self._member_client = None
        self._connect_devices()


def _is_shared(topic_filter: str) -> bool:
    return topic_filter.startswith("$share/")
