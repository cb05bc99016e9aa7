"""Bytes to messages, against wsproto in the part of the server."""

from __future__ import annotations

import tracemalloc

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Ping,
    Pong,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)

from metrics_agent.transports.websocket.conversation import (
    Alive,
    Broken,
    Closed,
    Conversation,
    Event,
    FrameReceived,
    HandshakeRefused,
    Opened,
    Reply,
    TooLarge,
)

LIMIT = 100


class Talk:
    """A conversation and its server."""

    def __init__(self, *, opened: bool = True, limit: int = LIMIT) -> None:
        self.client = Conversation(limit)
        self.server = WSConnection(ConnectionType.SERVER)
        asked = self.client.open("dtu:81", "/live?x=1", [(b"Authorization", b"Basic x")])
        self.server.receive_data(asked)
        [self.request] = self.server.events()
        if opened:
            assert self.say(AcceptConnection()) == [Opened()]

    def say(self, *events) -> list[Event]:
        return self.feed(b"".join(map(self.server.send, events)))

    def feed(self, data: bytes) -> list[Event]:
        return list(self.client.receive(data))

    def heard(self, data: bytes) -> list:
        self.server.receive_data(data)
        return list(self.server.events())


class HandshakeTests(SynchronousTestCase):
    """The beginning."""

    def test_asks(self) -> None:
        """Host with port, target with query, and the headers handed in."""
        request = Talk(opened=False).request
        self.assertIsInstance(request, Request)
        self.assertEqual((request.host, request.target), ("dtu:81", "/live?x=1"))
        self.assertIn((b"authorization", b"Basic x"), request.extra_headers)
        self.assertEqual(request.extensions, [], "no compression: a bomb is small on the wire")

    def test_refused(self) -> None:
        """Another status is reported with its headers; its body is of no interest."""
        talk = Talk(opened=False)
        said = talk.say(
            RejectConnection(
                status_code=401,
                headers=[(b"WWW-Authenticate", b"Digest x"), (b"Content-Length", b"4")],
                has_body=True,
            ),
            RejectData(data=b"oops"),
        )
        [refused] = said
        self.assertIsInstance(refused, HandshakeRefused)
        self.assertEqual(refused.status, 401)
        self.assertIn((b"www-authenticate", b"Digest x"), refused.headers)
        self.assertEqual(talk.feed(b"more"), [])
        self.assertEqual((talk.client.ping(), talk.client.close()), (b"", b""))

    def test_something_else(self) -> None:
        """What is not HTTP, or no right answer, is a breach; however it comes."""
        for data in (
            b"SSH-2.0-OpenSSH\r\n\r\n",
            b"\x15\x03\x01\x00\x02\x02\x46",
            b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
            (
                b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Protocol: \xff\r\n\r\n"
            ),
            b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000,
        ):
            for pieces in ([data], [bytes([byte]) for byte in data]):
                talk = Talk(opened=False)
                [broken] = [event for piece in pieces for event in talk.feed(piece)]
                self.assertIsInstance(broken, Broken)
                self.assertFalse(broken.opened)

    def test_another_protocol_is_told_by_its_first_bytes(self) -> None:
        """What does not begin as HTTP is not waited for, and TLS is named."""
        for data, words in (
            (b"\x15\x03\x03\x00\x02\x02\x46", "it speaks TLS, use https:// or wss://"),
            (b"SSH-2.0", "it answered b'SSH-2.0'"),
            (b"HTTX", "it answered b'HTTX'"),
            (b"\x00" * 1000, "it answered b'" + r"\x00" * 24),
        ):
            [broken] = Talk(opened=False).feed(data)
            self.assertIn(words, broken.text)

    def test_half_an_answer(self) -> None:
        """Nothing is said as long as the answer is not complete."""
        self.assertEqual(Talk(opened=False).feed(b"HTTP/1.1 101 Swi"), [])

    def test_frames_right_behind_the_answer(self) -> None:
        """A message in the same read as the acceptance is not lost."""
        talk = Talk(opened=False)
        said = talk.say(AcceptConnection(), TextMessage(data="hello"))
        self.assertEqual(said, [Opened(), FrameReceived(b"hello")])


class MessageTests(SynchronousTestCase):
    """Frames to messages."""

    def test_text_and_bytes(self) -> None:
        """Both are handed on as bytes."""
        talk = Talk()
        self.assertEqual(
            talk.say(TextMessage(data="größer"), BytesMessage(data=b"\xff")),
            [FrameReceived("größer".encode()), FrameReceived(b"\xff")],
        )

    def test_byte_by_byte_and_in_fragments(self) -> None:
        """However a message is cut, it comes whole, a letter of two bytes too."""
        talk = Talk()
        data = b"".join(
            talk.server.send(event)
            for event in (
                TextMessage(data="grö", message_finished=False),
                Ping(payload=b"p"),
                TextMessage(data="ß", message_finished=False),
                TextMessage(data="er"),
                TextMessage(data="next"),
            )
        )
        said = [event for byte in data for event in talk.feed(bytes([byte]))]
        messages = [event for event in said if isinstance(event, FrameReceived)]
        self.assertEqual(messages, [FrameReceived("größer".encode()), FrameReceived(b"next")])

    def test_limit(self) -> None:
        """A message of the limit's length passes, one of a byte more does not, the next does."""
        talk = Talk()
        for size, expected in ((LIMIT, FrameReceived(b"x" * LIMIT)), (LIMIT + 1, TooLarge())):
            self.assertEqual(talk.say(TextMessage(data="x" * size)), [expected])
        self.assertEqual(talk.say(TextMessage(data="ok")), [FrameReceived(b"ok")])

    def test_large_message_is_not_kept(self) -> None:
        """Of 100 MB nothing is kept, whether in one frame, in many, or never ending."""
        talk = Talk()
        talk.feed(b"\x01\x7f" + (10**8).to_bytes(8, "big"))  # text, 100 MB, not the last frame
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        for _ in range(1000):
            self.assertEqual(talk.feed(b"x" * 100_000), [])
        self.assertLess(tracemalloc.get_traced_memory()[1], 1_000_000)
        self.assertEqual(talk.feed(b"\x80\x02ok"), [TooLarge()])
        self.assertEqual(talk.say(TextMessage(data="next")), [FrameReceived(b"next")])

    def test_many_small_fragments(self) -> None:
        """The limit holds for the sum; a fragment costs no more than its bytes."""
        talk = Talk()
        self.assertEqual(
            talk.feed(b"\x01\x01x" + b"\x00\x01x" * 98 + b"\x80\x01x")[0].data, b"x" * 100
        )
        self.assertEqual(talk.feed(b"\x01\x01x" + b"\x00\x01x" * 99 + b"\x80\x01x"), [TooLarge()])
        self.assertEqual(
            talk.feed(b"\x01\x00" + b"\x00\x00" * 1000 + b"\x80\x01x"), [FrameReceived(b"x")]
        )

    def test_ping_and_pong(self) -> None:
        """A ping is answered, and both are signs of life."""
        talk = Talk()
        reply, alive = talk.say(Ping(payload=b"abc"))
        self.assertEqual(alive, Alive())
        self.assertEqual(talk.heard(reply.data), [Pong(payload=b"abc")])
        [ping] = talk.heard(talk.client.ping())
        self.assertEqual(talk.say(ping.response()), [Alive()])


class EndTests(SynchronousTestCase):
    """The end."""

    def test_closed_by_the_server(self) -> None:
        """A close frame is answered; what follows is ignored."""
        for code, reason in ((1000, ""), (1001, "restart"), (1009, "too big"), (4000, None)):
            talk = Talk()
            reply, closed = talk.say(CloseConnection(code=code, reason=reason))
            self.assertEqual(closed, Closed(code, reason or ""))
            self.assertIsInstance(talk.heard(reply.data)[0], CloseConnection)
            self.assertEqual(talk.feed(b"\x81\x01x"), [])

    def test_close_without_a_code(self) -> None:
        """Code 1005 means none."""
        reply, closed = Talk().feed(b"\x88\x00")
        self.assertIsInstance(reply, Reply)
        self.assertEqual(closed, Closed(1005, ""))

    def test_closed_by_us(self) -> None:
        """One close frame, then nothing is read or sent any more."""
        talk = Talk()
        [closed] = talk.heard(talk.client.close())
        self.assertEqual(closed.code, 1000)
        self.assertEqual(talk.client.close(), b"")
        self.assertEqual(talk.client.ping(), b"")
        self.assertEqual(talk.feed(b"\x81\x01x"), [])

    def test_breaches(self) -> None:
        """What is not a frame is reported as a breach, with a close frame for the server."""
        for data in (
            b"\xff\xff",  # reserved bits
            b"\x83\x00",  # an opcode that does not exist
            b"\x80\x01x",  # the end of a message that never began
            b"\x81\x81\0\0\0\0x",  # masked by a server
            b"\x81\x02\xff\xfe",  # no UTF-8
            b"\x88\x01x",  # half a code
            b"\x89\x7e\x00\x80" + b"x" * 128,  # a ping that is too long
            b"\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff",  # more than 63 bits
        ):
            reply, broken = Talk().feed(data)
            self.assertIsInstance(reply, Reply)
            self.assertIsInstance(broken, Broken)
            self.assertTrue(broken.opened)

    @settings(max_examples=300)
    @given(st.lists(st.binary(max_size=40), max_size=8), st.booleans())
    def test_anything(self, pieces: list[bytes], opened: bool) -> None:
        """Nothing is raised, nothing beyond the limit kept, and an end is an end."""
        talk = Talk(opened=opened)
        ended = False
        for piece in pieces:
            for event in talk.feed(piece):
                self.assertFalse(ended)
                ended = isinstance(event, (Closed, Broken, HandshakeRefused))
            self.assertLessEqual(len(talk.client._message), LIMIT)
        talk.client.ping()
        talk.client.close()
