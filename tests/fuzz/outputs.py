"""Targets: what a database and a broker answer to the output."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import hypothesis.strategies as st
from attrs import frozen
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.logger import Logger

from metrics_agent.backoff import Backoff
from metrics_agent.batch import Batch
from metrics_agent.http_interface import HttpReply
from metrics_agent.output.http.writer import HttpWriter
from metrics_agent.output.mqtt.writer import MqttWriter
from metrics_agent.output.sink import Sink
from metrics_agent.output.writer import BatchSource
from metrics_agent.transports.mqtt.publisher import Publisher
from metrics_agent.transports.mqtt.settings import MqttSettings
from metrics_agent.transports.mqtt.splitter import PacketSplitter
from metrics_agent.transports.reconnecting import Dial
from tests.fuzz.decoders import replies_of
from tests.fuzz.frames import SMALL
from tests.fuzz.mqtt_streams import mqtt_packets
from tests.fuzz.mutations import Draw, bytes_bent, cut_up
from tests.fuzz.oracle import Target, check_events
from tests.output.http.fakes import OK, FakeClient
from tests.transports.mqtt import scripted as mqtt

__all__ = ["OUTPUTS"]

LINES: Final = 12
"""In the queue when the first answer comes."""
TURNS: Final = 400
"""Answers or timers until all is delivered or dropped; a search of bad lines takes some 50."""
_REFUSALS: Final = (
    '{"code":"invalid","message":"unable to parse \'m v=1\': invalid field format","op":"write"}',
    '{"error":"partial write: field type conflict: input field \\"v\\" dropped=1"}',
    (
        '{"error":"partial write of line protocol occurred",'
        '"data":[{"original_line":"m v=1","line_number":1,"error_message":"bad"}]}'
    ),
    '{"error":"unable to parse \'m v=1\': bad timestamp"}',
    '{"error":"database not found: \\"x\\""}',
    '{"code":"unauthorized","message":"unauthorized access"}',
    "remoteAddr: a; cannot parse line",
)


class Queue:
    """A sink of which it is counted what is settled."""

    def __init__(self, clock: Clock, make_writer: Callable[[BatchSource], Any]) -> None:
        self.settled: list[int] = []
        self.sink = Sink(
            clock,
            make_writer,
            limit_bytes=10_000_000,
            high_mark_bytes=1_000_000,
            low_mark_bytes=500_000,
            on_pressure=bool,
            on_lost=bool,
        )
        self.sink.startService()
        for number in range(LINES):
            line = b"m,d=%d v=1 %d\n" % (number, number)
            self.sink.write(Batch(line, 1, partial(self.settled.append, number)))

    def check(self) -> None:
        """All lines are delivered or dropped, each once, and no more are counted than there are."""
        assert sorted(self.settled) == [*range(LINES)], self.settled
        assert sum(self.sink.dropped.values()) <= LINES, self.sink.dropped


# A database.


def run_http_output(replies: Sequence[HttpReply]) -> None:
    """Give the answers one after the other, then take all that still comes."""
    clock = Clock()
    client = FakeClient(clock)
    queue = Queue(
        clock,
        lambda source: HttpWriter(
            clock, client, "http://db/write", source, Backoff(0.5, 30, lambda: 1.0), lambda: 0.0
        ),
    )
    waiting = list(replies)
    for _ in range(TURNS):
        if client.waiting is not None:
            client.reply(waiting.pop(0) if waiting else OK)
        elif calls := clock.getDelayedCalls():
            clock.advance(max(0.0, min(call.getTime() for call in calls) - clock.seconds()))
        else:
            break
    queue.check()
    queue.sink.stopService()
    clock.advance(60)
    left = clock.getDelayedCalls()
    assert not left, left


# A broker.


@frozen
class BrokerCase:
    """What a broker sends on each connection, in pieces, before there is a good one."""

    connections: Sequence[Sequence[bytes]]


@st.composite
def _broker_cases(draw: Draw) -> BrokerCase:
    connections = []
    for _ in range(draw(st.integers(1, 3))):
        connack = mqtt.connack(True, draw(st.sampled_from((0, 0, 0, 0, 1, 0x87))))
        packets = b"".join(draw(st.lists(mqtt_packets(v5=True), max_size=4)))
        answers = b"".join(
            mqtt.packet(0x40, b"\0" + bytes([number]) + tail)
            for number, tail in draw(st.lists(st.tuples(st.integers(0, 4), _PUBACKS), max_size=3))
        )
        data = draw(bytes_bent(connack, often=6)) + draw(bytes_bent(answers + packets, often=2))
        connections.append(draw(cut_up(data)) if len(data) < SMALL else [data])
    return BrokerCase(connections)


_PUBACKS: Final = st.one_of(
    st.sampled_from((b"", b"\0", b"\x10", b"\x87", b"\x95", b"\x97", b"\x80\0")),
    st.integers(0, 3000).map(lambda size: b"\x80" + mqtt.packet(0x1F, bytes(size))[1:]),
    st.binary(max_size=6),
)


def run_mqtt_output(case: BrokerCase) -> None:
    """Play the connections, then a broker that takes all."""
    clock = Clock()
    events: list[Any] = []
    attempts: list[mqtt.FakeEndpoint] = []

    def dial() -> Dial:
        attempts.append(mqtt.FakeEndpoint(None))
        return Dial(attempts[-1])

    def make_writer(source: BatchSource) -> MqttWriter:
        return MqttWriter(
            clock,
            lambda owner: Publisher(
                clock,
                MqttSettings(broker="tcp://b:1883", protocol="5", persistent_session=False),
                client_id="me",
                name="mqtt://b/t",
                dial=dial,
                owner=owner,
                backoff=Backoff(1, 30, lambda: 1.0),
                log=Logger(observer=events.append),
            ),
            "t",
            "mqtt://b/t",
            source,
            Backoff(0.5, 30, lambda: 1.0),
        )

    queue = Queue(clock, make_writer)
    for pieces in case.connections:
        transport = _next_connection(clock, attempts)
        for piece in pieces:
            if not transport.gone:
                transport.protocol.dataReceived(piece)
            clock.advance(0.01)
        if not transport.gone:
            transport.lost(ConnectionLost())
    transport = _next_connection(clock, attempts)
    transport.protocol.dataReceived(mqtt.connack(True))
    for _ in range(TURNS):
        _answer(transport)
        if len(queue.settled) == LINES:
            break
        clock.advance(0.5)
    queue.check()
    check_events(events)
    queue.sink.stopService()
    clock.pump([1.0] * 5)
    left = clock.getDelayedCalls()
    assert not left, left


def _answer(transport: mqtt.FakeTransport) -> None:
    """Acknowledge what was published, and answer pings."""
    written = transport.value()
    transport.clear()
    for first, body in PacketSplitter(1 << 28).feed(written):
        if first & 0xF0 == 0x30:
            start = 2 + int.from_bytes(body[:2], "big")
            transport.protocol.dataReceived(mqtt.packet(0x40, body[start : start + 2]))
        elif first == 0xC0:
            transport.protocol.dataReceived(mqtt.PINGRESP)


def _next_connection(clock: Clock, attempts: list[mqtt.FakeEndpoint]) -> mqtt.FakeTransport:
    """Wait for the next attempt, and open it."""
    for _ in range(TURNS):
        result = attempts[-1].result if attempts else None
        if result is not None and not result.called:
            return attempts[-1].open()
        clock.advance(0.5)
    raise AssertionError("it gave up")


OUTPUTS: Final = (
    Target(
        "http_output",
        "what a database answers to the output",
        st.lists(replies_of(_REFUSALS), max_size=5),
        run_http_output,
        30,
    ),
    Target(
        "mqtt_output", "what a broker sends to the output", _broker_cases(), run_mqtt_output, 30
    ),
)
