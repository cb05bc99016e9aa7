"""Clients of the status socket and page that would disturb the agent, if they could."""

from __future__ import annotations

import http.client
import socket
import time
from contextlib import ExitStack
from typing import Any

from twisted.internet.threads import deferToThread

from metrics_agent.process.socket_path import short_path
from tests.faults.case import TOP
from tests.faults.outside_case import OutsideCase
from tests.integration.broker import Mosquitto, free_port
from tests.integration.watching import memory_bytes, open_files, pause

CLIENTS = 16
CROWD = 200
AN_HOUR = 1200
"""A page that is seen asks every 3 s."""
GROWTH_BYTES = 2 * 1024 * 1024
LIMIT_S = 10
TAP = b'{"ask": "tap"}\n'
STATUS = b'{"ask": "status"}\n'
ASKED = b"GET /status.json HTTP/1.1\r\nHost: localhost\r\n\r\n"


class StatusTests(OutsideCase):
    """While numbered messages come and go."""

    def connect(self) -> socket.socket:
        """Connect, by a path that is short enough for an address."""
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(LIMIT_S)
        with short_path(self.directory / "state" / "status.sock") as address:
            client.connect(address)
        return client

    async def test_status_never_reads(self) -> None:
        """Their buffers fill up; nothing waits for them."""
        broker = Mosquitto.start(self)
        self.at_broker(broker.url, broker)
        parent = await self.start_beside()
        await self.at_work(parent)
        with ExitStack() as stack:
            since_s = time.monotonic()
            for number in range(CLIENTS):
                client = stack.enter_context(self.connect())
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                client.sendall(TAP if number else STATUS)
            recovered_ms = await self.works_again(parent, since_s)
            await pause(3)
            await self.at_fault.works(parent)
        await self.finish("status_never_reads", parent, recovered_ms=recovered_ms)

    async def test_status_crowd(self) -> None:
        """Each gets an answer or a refusal at once."""
        broker = Mosquitto.start(self)
        self.at_broker(broker.url, broker)
        parent = await self.start_beside()
        await self.at_work(parent)
        with ExitStack() as stack:
            since_s = time.monotonic()
            for _ in range(CROWD):
                stack.enter_context(self.connect())
                await pause(0.001)
            recovered_ms = await self.works_again(parent, since_s)
            await pause(1)
        await self.finish("status_crowd", parent, recovered_ms=recovered_ms)


class PageTests(OutsideCase):
    """The same for the status page."""

    async def start_with_page(self) -> tuple[Any, int]:
        """Start an agent at a broker; return its parent, and the port of its page."""
        broker = Mosquitto.start(self)
        port = free_port()
        page = f'[status]\nlisten = "tcp:{port}:interface=127.0.0.1"\n'
        self.at_broker(broker.url, broker, top=TOP + page)
        parent = await self.start_beside()
        await self.at_work(parent)
        return parent, port

    async def test_page_crowd(self) -> None:
        """Those that hold connections make room for one that asks."""
        parent, port = await self.start_with_page()
        beginnings = (b"", b"GET /status.json HTTP/1.1\r\nHost: ", b"\x16\x03\x01\x02\0", ASKED)
        with ExitStack() as stack:
            since_s = time.monotonic()
            for number in range(CROWD):
                client = stack.enter_context(socket.create_connection(("127.0.0.1", port), LIMIT_S))
                client.sendall(beginnings[number % len(beginnings)])
                await pause(0.001)
            recovered_ms = await self.works_again(parent, since_s)
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port), LIMIT_S))
            client.sendall(ASKED)
            answer = await deferToThread(client.recv, 4096)
            self.assertTrue(answer.startswith(b"HTTP/1.1 200"), answer)
        await self.finish("page_crowd", parent, recovered_ms=recovered_ms)

    async def test_page_open_for_an_hour(self) -> None:
        """No question fails; memory and open files are as before."""
        parent, port = await self.start_with_page()
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
        self.addCleanup(client.close)
        await deferToThread(self.ask, client, AN_HOUR // 10)
        memory, files = memory_bytes(parent.agent_pid), open_files(parent.agent_pid)
        await deferToThread(self.ask, client, AN_HOUR)
        self.assertLess(memory_bytes(parent.agent_pid) - memory, GROWTH_BYTES)
        # A file of the state directory may be open just now.
        self.assertLessEqual(open_files(parent.agent_pid), files + 2)
        since_s = time.monotonic()
        recovered_ms = await self.works_again(parent, since_s)
        await self.finish("page_open_for_an_hour", parent, recovered_ms=recovered_ms)

    def ask(self, client: http.client.HTTPConnection, count: int) -> None:
        """Ask as a browser does, and read the answers."""
        for _ in range(count):
            client.request("GET", "/status.json", headers={"Accept-Encoding": "gzip"})
            answer = client.getresponse()
            self.assertTrue(answer.read())
            self.assertEqual(answer.status, http.HTTPStatus.OK)
