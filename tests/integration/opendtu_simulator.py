"""A DTU in a process of its own, made of other people's libraries.

The WebSocket is that of ``websockets``, the server's side of a Digest login Twisted's: a misreading
of ours does not prove itself. What no good server does (dripping answers, half frames, endless
bodies) is written by hand on a plain socket.

Run as ``python -m tests.integration.opendtu_simulator JSON`` with the settings of `Behaviour`; it
listens on a free port of 127.0.0.1. It takes commands on stdin, one JSON object a line, and reports
on stdout, one JSON object a line, what happens: ``{"ready": port}``, ``{"request": path, "login":
..., "clients": n}``, ``{"closed": code}``, ``{"ping": n}``. It ends when its stdin does.

`Simulator` starts one for a test.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import ssl
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from attrs import asdict, define, field
from twisted.trial.unittest import TestCase

__all__ = ["Behaviour", "Simulator", "inverter", "leaf"]

HOST = "127.0.0.1"
REALM = "live websocket"
STOP_S = 5.0


@define
class Behaviour:
    """What the simulator does.

    Attributes:
        path: where the WebSocket is.
        login: ``none``, ``basic`` or ``digest``.
        password: of ``admin``.
        status: an HTTP status to answer every handshake with; 0 for none.
        headers: of that answer.
        raw: one of `RAW`, in place of a WebSocket; empty for none.
        certificate, key: PEM files; with them TLS is spoken.
        greet: sent to everybody who connects.
        port: to listen on, 0 for a free one.
    """

    path: str = "/livedata"
    login: str = "none"
    password: str = ""
    status: int = 0
    headers: dict[str, str] = field(factory=dict)
    raw: str = ""
    certificate: str = ""
    key: str = ""
    greet: list[str] = field(factory=list)
    port: int = 0


def leaf(value: float, unit: str, digits: int = 1) -> dict[str, Any]:
    """Make a value as the firmware sends it."""
    return {"v": value, "u": unit, "d": digits}


def inverter(power: float = 312.4, serial: str = "114182ab0001", **changes: Any) -> dict[str, Any]:
    """Make an inverter as today's firmware sends it."""
    return {
        "serial": serial,
        "name": "Garage",
        "data_age": 0,
        "data_age_ms": 100,
        "poll_enabled": True,
        "reachable": True,
        "producing": True,
        "limit_relative": 62.5,
        "limit_absolute": 500,
        "AC": {"0": {"Power": leaf(power, "W"), "Voltage": leaf(231.6000061, "V")}},
        "DC": {"0": {"name": {"u": "Ost"}, "Power": leaf(power * 1.05, "W")}},
        "INV": {"0": {"YieldTotal": leaf(1209.276001, "kWh", 3)}},
        "events": 3,
        **changes,
    }


# The process.


def report(**what: Any) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


class Server:
    """The WebSocket's server."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.clients: set[Any] = set()
        self.pings = 0
        from twisted.cred.credentials import DigestCredentialFactory

        self.digest = DigestCredentialFactory(b"md5", REALM.encode())

    def check(self, connection: Any, request: Any) -> Any:
        """Answer a handshake with something else, or let it pass; ``process_request``."""
        behaviour = self.behaviour
        given = request.headers.get("Authorization", "")
        report(request=request.path, login=given.partition(" ")[0], clients=len(self.clients))
        if behaviour.status:
            return self.answer(connection, behaviour.status, behaviour.headers)
        if request.path != behaviour.path:
            return self.answer(connection, 404, {})
        if behaviour.login == "none" or self.is_let_in(given, request.path):
            return None
        return self.answer(connection, 401, {"WWW-Authenticate": self.challenge()})

    def answer(self, connection: Any, status: int, headers: dict[str, str]) -> Any:
        response = connection.respond(status, "<html><body>no WebSocket here</body></html>\n")
        for name, text in headers.items():
            response.headers[name] = text
        return response

    def challenge(self) -> str:
        if self.behaviour.login == "basic":
            return f'Basic realm="{REALM}"'
        parts = self.digest.getChallenge(HOST.encode())
        texts = {
            name: value.decode() if isinstance(value, bytes) else value
            for name, value in parts.items()
        }
        return "Digest " + ", ".join(f'{name}="{text}"' for name, text in texts.items())

    def is_let_in(self, given: str, path: str) -> bool:
        scheme, _, answer = given.partition(" ")
        if scheme.lower() != self.behaviour.login:
            return False
        if scheme.lower() == "basic":
            pair = base64.b64decode(answer).decode()
            return pair == f"admin:{self.behaviour.password}"
        try:
            found = self.digest.decode(answer.encode(), b"GET", HOST.encode())
        except Exception as error:
            report(login_fault=repr(error))
            return False
        return (
            found.username == b"admin"
            and found.fields["uri"] == path.encode()
            and found.checkPassword(self.behaviour.password.encode())
        )

    async def talk(self, connection: Any) -> None:
        """Serve one client; ``handler``."""
        self.clients.add(connection)
        report(open=len(self.clients))
        try:
            for text in self.behaviour.greet:
                await connection.send(text)
            await connection.wait_closed()
        finally:
            self.clients.discard(connection)
            report(closed=connection.close_code)

    async def command(self, command: dict[str, Any]) -> None:
        """Do what the test asks for."""
        kind = command.pop("do")
        if kind == "behave":
            for name, value in command.items():
                setattr(self.behaviour, name, value)
        for connection in list(self.clients):
            if kind == "send":
                await connection.send(command["text"])
            elif kind == "raw":
                connection.transport.write(bytes.fromhex(command["hex"]))
            elif kind == "flood":
                await connection.send("x" * command["bytes"])
            elif kind == "close":
                await connection.close(command["code"], command.get("reason", ""))
            elif kind == "abort":
                connection.transport.abort()
        report(done=kind)


async def drip(_reader: Any, writer: Any) -> None:
    """Answer a byte every now and then."""
    for byte in b"HTTP/1.1 101 Switching Protocols\r\n" + b"X-Slow: loris\r\n" * 10_000:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.05)


async def large_body(reader: Any, writer: Any) -> None:
    """Answer with a page of 100 MB."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(
        b"HTTP/1.1 500 Oops\r\nContent-Type: text/html\r\nContent-Length: 100000000\r\n\r\n"
    )
    for _ in range(1000):
        writer.write(b"x" * 100_000)
        await writer.drain()


async def endless_headers(_reader: Any, writer: Any) -> None:
    """Answer with headers that do not end."""
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X-Header: " + b"x" * 1000 + b"\r\n")
        await writer.drain()


async def silent(_reader: Any, _writer: Any) -> None:
    """Take the connection and say nothing."""
    await asyncio.sleep(3600)


async def hang_up(_reader: Any, writer: Any) -> None:
    """Take the connection and close it."""
    writer.close()


async def garbage(_reader: Any, writer: Any) -> None:
    """Answer with bytes that mean nothing."""
    writer.write(os.urandom(4000))
    await writer.drain()
    await asyncio.sleep(3600)


RAW = {
    each.__name__: each for each in (drip, large_body, endless_headers, silent, hang_up, garbage)
}
"""What can be there in place of a WebSocket."""


async def serve(behaviour: Behaviour) -> None:
    from websockets.asyncio.server import serve as serve_websocket

    context = None
    if behaviour.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(behaviour.certificate, behaviour.key)
    server = Server(behaviour)
    if behaviour.raw:

        async def handle(reader: Any, writer: Any) -> None:
            report(request="", login="", clients=0)
            try:
                await RAW[behaviour.raw](reader, writer)
            except OSError:
                report(closed=0)

        listening: Any = await asyncio.start_server(handle, HOST, behaviour.port, ssl=context)
    else:
        listening = await serve_websocket(
            server.talk,
            HOST,
            behaviour.port,
            ssl=context,
            process_request=server.check,
            ping_interval=None,
            compression="deflate",
        )
    report(ready=listening.sockets[0].getsockname()[1])
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        await server.command(json.loads(line))


def main() -> None:
    import logging

    logging.disable(logging.CRITICAL)
    asyncio.run(serve(Behaviour(**json.loads(sys.argv[1]))))


# What a test uses.


class Simulator:
    """A running simulator; it ends with the test.

    Args:
        case: whose cleanup ends it.
        behaviour: of the DTU.

    Attributes:
        port: where it listens.
        process: the process.
    """

    def __init__(self, case: TestCase, **behaviour: Any) -> None:
        self.behaviour = Behaviour(**behaviour)
        self._directory = tempfile.TemporaryDirectory(prefix="opendtu-")
        self._log = Path(self._directory.name) / "events"
        self.process: subprocess.Popen[bytes] | None = None
        self.port = self.behaviour.port
        case.addCleanup(self._directory.cleanup)
        case.addCleanup(self.kill)
        self.start()

    def start(self) -> None:
        """Start the process, on the same port as before if there was one."""
        assert self.process is None
        self.behaviour.port = self.port
        before = len(self.events("ready"))
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", __name__, json.dumps(asdict(self.behaviour))],
                stdin=subprocess.PIPE,
                stdout=log,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))},
            )
        while len(self.events("ready")) == before:
            if self.process.poll() is not None:
                raise AssertionError("the simulator ended")
        self.port = self.events("ready")[-1]

    def url(self, scheme: str = "http") -> str:
        """Return its address, without a path."""
        return f"{scheme}://{HOST}:{self.port}"

    def events(self, name: str) -> list[Any]:
        """Return what it reported of one kind, in order."""
        if not self._log.exists():
            return []
        lines = self._log.read_text("utf-8").splitlines(keepends=True)
        logged = [json.loads(line) for line in lines if line.endswith("\n")]
        return [each[name] for each in logged if name in each]

    def do(self, command: str, **what: Any) -> None:
        """Have it do something; it is done a moment later."""
        assert self.process is not None
        self.process.stdin.write(json.dumps({"do": command, **what}).encode() + b"\n")
        self.process.stdin.flush()

    def send(self, *inverters: dict[str, Any], **more: Any) -> None:
        """Let it send a message to everybody."""
        self.do("send", text=json.dumps({"inverters": list(inverters), "hints": {}, **more}))

    def freeze(self) -> None:
        """Stop the process as SIGSTOP does: the socket stays, nothing answers."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen process go on."""
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once; safe to call twice."""
        if self.process is not None:
            process, self.process = self.process, None
            process.kill()
            process.wait(STOP_S)
            process.stdin.close()


if __name__ == "__main__":
    main()
