"""The short way of an Intake, held against the decoder that it leaves out."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.errors import ProtocolError
from metrics_agent.transports.mqtt.intake import Intake
from metrics_agent.transports.mqtt.message import Message
from metrics_agent.transports.mqtt.packets import decode_publish
from metrics_agent.transports.mqtt.topics import SubscriptionTable

MALFORMED = "malformed"


def taken(first: int, body: bytes, *, v5: bool) -> object:
    """Return topic, payload, QoS and retain as a receiver gets them; or that it is refused."""
    table = SubscriptionTable()
    messages: list[Message] = []
    table.add("#", 1, lambda message, _lines: messages.append(message))
    intake = Intake(table, lambda _batch: None, int, lambda _why, _n: None, Logger(), 1 << 20)
    intake.begin()
    try:
        intake.take(first, body, v5=v5)
    except ProtocolError:
        return MALFORMED
    if not messages:
        return None
    (message,) = messages
    return (message.topic, message.payload, message.qos, message.retain)


def decoded(first: int, body: bytes, *, v5: bool) -> object:
    """Return the same by the decoder."""
    try:
        publish = decode_publish(first, body, v5)
    except ProtocolError:
        return MALFORMED
    try:
        text = publish.topic.decode()
    except UnicodeDecodeError:
        return None
    if text[0] == "$" or any(bad in text for bad in "\0+#"):
        return None
    return (text, publish.payload, publish.qos, publish.retain)


bodies = st.builds(
    lambda length, rest: length.to_bytes(2, "big") + rest, st.integers(0, 8), st.binary(max_size=12)
)


class TakeTests(SynchronousTestCase):
    """One PUBLISH."""

    @settings(max_examples=500, deadline=None)
    @given(st.just(0x30) | st.integers(0x30, 0x35), bodies | st.binary(max_size=4), st.booleans())
    @example(0x30, b"\0\1t", False)
    @example(0x30, b"\0\1t", True)
    @example(0x30, b"\0\1t\0", True)
    @example(0x30, b"\0\1t\0payload", True)
    @example(0x30, b"\0\1t\2\1\1payload", True)
    @example(0x30, b"\0\0payload", False)
    @example(0x30, b"\0\5t", False)
    @example(0x30, b"", False)
    def test_the_short_way_gives_what_the_decoder_gives(
        self, first: int, body: bytes, v5: bool
    ) -> None:
        self.assertEqual(taken(first, body, v5=v5), decoded(first, body, v5=v5))
