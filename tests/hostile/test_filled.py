"""Each text that a server, a database or a client of the status sends, filled to 1 MiB."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from itertools import count as numbers
from typing import Any, Final

from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.web.resource import Resource
from twisted.web.server import Site

from metrics_agent.modules.hadiscovery.config import HadiscoverySettings
from metrics_agent.process.socket_path import short_path
from tests.hostile.case import MEBI, TOP_OF_ATTACKS, HostileCase
from tests.hostile.fields import MessagesCase, of_module
from tests.hostile.generate import filled_documents, patterns_of
from tests.hostile.patterns import filled
from tests.hostile.scale import ALL, count
from tests.integration.broker import free_port
from tests.integration.case import logged
from tests.integration.netatmo import NetatmoPeer, documents
from tests.integration.watching import until

HEADERS: Final = ("Content-Type", "Content-Length", "Content-Encoding", "Transfer-Encoding")
MORE_HEADERS: Final = ("Location", "Retry-After", "Set-Cookie", "WWW-Authenticate", "Date", "X-Any")
TOKENS: Final = (
    '{"access_token":"a","refresh_token":"r","expires_in":10800,"scope":["read_station"]}',
    '{"error":"invalid_grant","error_description":"it is used up","error_uri":"https://a"}',
    '{"error":{"code":26,"message":"slow down"}}',
)
REFUSALS: Final = (
    '{"code":"invalid","message":"unable to parse: invalid field format","op":"write"}',
    '{"error":"partial write: field type conflict dropped=1"}',
    (
        '{"error":"partial write of line protocol occurred",'
        '"data":[{"original_line":"m v=1","line_number":1,"error_message":"bad"}]}'
    ),
    "unable to parse",
)
ASKS: Final = ('{"ask":"status","module":"m","device":"d"}', '{"ask":"tap","name":"n"}')
CLIENT_S: Final = 3.0


class HadiscoveryTests(MessagesCase):
    """What announces itself to Home Assistant."""

    async def test_hadiscovery_fields(self) -> None:
        """Each key and each value of announcements, templates among them, and of states."""
        parent, load = await self.house_with(
            '[modules.hadiscovery]\nenabled = true\nbroker = "{}"\ntexts = true\n'
        )

        async def send() -> None:
            cases = of_module("hadiscovery", HadiscoverySettings)
            sizes = (4000, 60_000, MEBI)
            found = filled_documents(cases, sizes, most=None if ALL else 150)
            await self.send(parent, load, found)

        await self.attack("hadiscovery_fields", parent, send)
        await self.ends_well(parent)


class ServerTests(HostileCase):
    """Servers that modules and the output ask."""

    async def test_web_answers(self) -> None:
        """Each header of an answer, and each text of a token endpoint's."""
        peer = NetatmoPeer.start(self, self.directory)
        line = peer.token_file(peer.give_pair()["refresh_token"])
        parent = await self.agent(peer.config(line))
        await until(lambda: b"climate," in bytes(parent.output), lambda: logged(parent.log))
        headers = list(_headers())
        known = [("", text) for text in TOKENS]
        filled_ones = enumerate(filled_documents(known, most=None if ALL else 5))
        tokens = [_answer(200 if number % 3 else 400, body) for number, (_, body) in filled_ones]
        turn = numbers(1)

        async def ask(what: str, raw: bytes) -> None:
            asked = peer.asked(what)
            peer.control(raw=raw.decode("latin-1"))
            number = next(turn)
            if what == "refresh_token":
                peer.token_file(f"other|{number}")
            self.healthy_beside(peer.config(line, timeout=f"{3 + number % 50}s"))
            parent.signal_agent(1)
            await until(lambda: peer.asked(what) > asked, lambda: logged(parent.log[-20:]))

        async def answers() -> None:
            peer.control(faults={"data": "raw", "token": ""})
            for raw in headers[:: count(3, max(1, len(headers) // 5))]:
                await ask("getstationsdata", raw)
            peer.control(faults={"token": "raw"})
            for raw in tokens:
                await ask("refresh_token", raw)

        await self.attack("web_answers", parent, answers)
        peer.control(faults={"data": "", "token": ""}, documents=documents())
        had = len(parent.output)
        peer.token_file(peer.give_pair()["refresh_token"])
        self.healthy_beside(peer.config(line, timeout="60s"))
        parent.signal_agent(1)
        await until(lambda: b"climate," in bytes(parent.output[had:]), lambda: logged(parent.log))
        await self.ends_well(parent)

    async def test_output_answers(self) -> None:
        """Each text and header of what a database answers to a request with bad lines."""
        database = Database(self)
        port = database.listen()
        output = f'output = "http://127.0.0.1:{port}/write?db=x"\n'
        self.healthy_beside("", output + TOP_OF_ATTACKS)
        parent = await self.start_beside()
        # What is stored takes the place of the output, which nothing else is written to.
        database.stored = parent.output
        known = [("", text) for text in REFUSALS]
        found = filled_documents(known, most=None if ALL else 6)
        answers: list[tuple[int, dict[str, bytes], bytes]] = [(400, {}, body) for _, body in found]
        for name in HEADERS[:1] + MORE_HEADERS:
            for pattern in patterns_of(len(name)):
                text = filled(pattern, 15_000).encode("utf-8", "replace")
                answers.append((400, {name: text.replace(b"\n", b"").replace(b"\r", b"")}, b"x"))
        # Too long for a header: the connection is ended, and the request sent again later.
        answers.append((400, {"X-Any": b"x" * 60_000}, b"x"))

        async def hostile() -> None:
            database.answers = list(answers)
            await until(lambda: not database.answers, lambda: logged(parent.log[-20:]), 120)

        await self.attack("output_answers", parent, hostile)
        await self.ends_well(parent)


class ClientTests(HostileCase):
    """Who can connect to the status page or its socket."""

    async def test_status_requests(self) -> None:
        """Each text of a request, and what is not a request."""
        port = free_port()
        token = "t" * 20
        parent = await self.agent(
            f'[status]\nlisten = "tcp:{port}:interface=127.0.0.1"\ntoken = "{token}"\n'
        )
        http = list(_requests())
        asks = [
            body + b"\n" for _, body in filled_documents((("", text) for text in ASKS), (900, MEBI))
        ]

        async def requests() -> None:
            for each in http:
                await deferToThread(_ask, ("127.0.0.1", port), each)
            with short_path(self.directory / "state" / "status.sock") as address:
                for each in asks:
                    await deferToThread(_ask, address, each)

        await self.attack("status_requests", parent, requests)
        good = b"GET /status.json HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n"
        answer = await deferToThread(_ask, ("127.0.0.1", port), good % token.encode())
        self.assertTrue(answer.startswith(b"HTTP/1.1 200"), answer[:200])
        await self.ends_well(parent)


class Database(Resource):
    """Stores all lines, but for a request that it has another answer to.

    Attributes:
        stored: takes the lines.
        answers: status, headers and body for the next requests of some lines.
    """

    isLeaf = True

    def __init__(self, case: HostileCase) -> None:
        super().__init__()
        self._case = case
        self.stored = bytearray()
        self.answers: list[tuple[int, dict[str, bytes], bytes]] = []

    def listen(self) -> int:
        """Listen; return the port."""
        site = Site(self)
        site.noisy = False
        listening = reactor.listenTCP(0, site, interface="127.0.0.1")
        self._case.addCleanup(listening.stopListening)
        return int(listening.getHost().port)

    def render_POST(self, request: Any) -> bytes:
        body = request.content.read()
        status, headers, answer = 204, {}, b""
        # One bad line alone would be dropped, as the answer says.
        if self.answers and body.count(b"\n") > 1:
            status, headers, answer = self.answers.pop(0)
        if status == 204 or b"partial write" in answer:
            self.stored += body
        for name, value in headers.items():
            request.responseHeaders.setRawHeaders(name, [value])
        request.setResponseCode(status)
        return answer


def _texts(number: int, short: int) -> Iterator[bytes]:
    """Yield what fills the place with that number: each pattern in a short size, and of 1 MiB."""
    for pattern in patterns_of(number):
        for size in (short, MEBI):
            yield filled(pattern, size).encode("utf-8", "surrogatepass")


def _answer(status: int, body: bytes, headers: bytes = b"") -> bytes:
    head = b"HTTP/1.1 %d Any\r\nContent-Length: %d\r\nConnection: close\r\n" % (status, len(body))
    return head + headers + b"\r\n" + body


def _headers() -> Iterator[bytes]:
    """Yield answers of which one header, or the status line, is filled."""
    for number, name in enumerate((*HEADERS, *MORE_HEADERS, "")):
        for text in _texts(number, 15_000):
            header = b"%s: %s\r\n" % (name.encode() or text[:100], text)
            yield _answer((200, 302, 429)[number % 3], b"{}", header)
    for line in (b"a: b\r\n", b"Set-Cookie: a=b\r\n", b" folded\r\n", b":\r\n"):
        yield _answer(200, b"{}", line * (MEBI // len(line)))
    yield b"HTTP/1.1 200 " + b"x" * MEBI + b"\r\n\r\n"
    yield b"HTTP/1.1 100 Continue\r\n\r\n" * 40_000 + _answer(200, b"{}")
    yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 170_000
    yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"x" * MEBI


def _requests() -> Iterator[bytes]:
    """Yield requests of which one text is filled."""
    names = ("Host", "Origin", "Cookie", "Authorization", "Sec-Fetch-Site", "Accept-Encoding")
    for number, name in enumerate((*names, *HEADERS)):
        for text in _texts(number, 10_000):
            lines = {b"Host": b"localhost", name.encode(): text}
            head = b"".join(b"%s: %s\r\n" % each for each in lines.items())
            yield b"GET /status.json HTTP/1.1\r\n" + head + b"\r\n"
    for number, form in enumerate((b"%s", b"GET %s HTTP/1.1\r\n", b"GET /?token=%s HTTP/1.1\r\n")):
        for text in _texts(number, 10_000):
            yield form % text + b"Host: localhost\r\n\r\n"
    for form in (
        b"Content-Length: 1048576\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\nfffff\r\n",
    ):
        yield b"POST /status.json HTTP/1.1\r\nHost: localhost\r\n" + form + b"x" * MEBI


def _ask(address: Any, data: bytes) -> bytes:
    """Send something; return the beginning of what is answered, if anything is."""
    family = socket.AF_INET if isinstance(address, tuple) else socket.AF_UNIX
    with socket.socket(family) as client:
        client.settimeout(CLIENT_S)
        client.connect(address)
        try:
            client.sendall(data)
            return client.recv(4096)
        except OSError:
            return b""
