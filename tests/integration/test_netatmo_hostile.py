"""The login page of a real agent under attack: the agent goes on, and so does the login."""

from __future__ import annotations

import re
import socket
import time
from contextlib import ExitStack
from typing import Any
from urllib.request import urlopen

from twisted.internet.threads import deferToThread

from tests.integration.test_netatmo import NetatmoCase
from tests.integration.watching import memory_bytes, open_files

LIMIT_S = 20


class HostileTests(NetatmoCase):
    """One agent that needs a login, and clients that mean harm."""

    timeout = 120

    async def start_page(self) -> tuple[Any, str]:
        """Start an agent without tokens; return it and the address in its log."""
        self.configure(self.peer.config())
        parent = await self.start()
        await self.said(parent, "A login at Netatmo is needed", "E")
        [line] = self.lines_with(parent, "A login at Netatmo is needed")
        found = re.search(r"Open (\S+) in a browser", line.text)
        assert found is not None
        return parent, found[1]

    def connect(self, held: ExitStack) -> socket.socket:
        """Connect to the page."""
        address = ("127.0.0.1", self.peer.login_port)
        return held.enter_context(socket.create_connection(address, LIMIT_S))

    def opens(self, address: str) -> bool:
        """Return whether the page with the button can be had."""
        with urlopen(address, timeout=LIMIT_S) as answer:
            return b"<form" in answer.read()

    async def test_200_connections(self) -> None:
        """Connections that say nothing are few, and are ended; the button is there all the time."""
        parent, address = await self.start_page()
        before = open_files(parent.agent_pid)

        def attack() -> tuple[bool, float]:
            with ExitStack() as held:
                sockets = [self.connect(held) for _ in range(200)]
                opened = self.opens(address)
                begun_s = time.monotonic()
                for each in sockets[-8:]:
                    ended(each)
                return opened, time.monotonic() - begun_s

        opened, lasted_s = await deferToThread(attack)
        self.assertTrue(opened)
        self.assertLess(lasted_s, 15)
        self.assertLessEqual(open_files(parent.agent_pid), before)
        self.assertTrue(await deferToThread(self.opens, address))

    async def test_slowloris(self) -> None:
        """A request that comes byte by byte is cut after 10 s; others are answered meanwhile."""
        _parent, address = await self.start_page()

        def attack() -> tuple[float, bool]:
            with ExitStack() as held:
                sockets = [self.connect(held) for _ in range(15)]
                begun_s = time.monotonic()
                opened = True
                while time.monotonic() < begun_s + LIMIT_S:
                    try:
                        for each in sockets:
                            each.sendall(b"X")
                    except OSError:
                        return time.monotonic() - begun_s, opened
                    opened = opened and self.opens(address)
                    time.sleep(0.5)
                return time.monotonic() - begun_s, opened

        lasted_s, opened = await deferToThread(attack)
        self.assertTrue(opened)
        self.assertGreater(lasted_s, 8)
        self.assertLess(lasted_s, 15)

    async def test_floods_of_bytes(self) -> None:
        """Headers and bodies without end are cut; no memory is taken, nothing is logged."""
        parent, address = await self.start_page()
        before = memory_bytes(parent.agent_pid)

        def attack() -> None:
            for start in (
                b"GET / HTTP/1.1\r\nX: ",
                b"GET /",
                b"POST /start HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
                b"POST /start HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n",
            ):
                with ExitStack() as held:
                    each = self.connect(held)
                    try:
                        each.sendall(start)
                        for _ in range(200):
                            each.sendall(b"x" * 100_000)
                    except OSError:
                        continue
                    raise AssertionError(f"20 MB were read after {start!r}")

        await deferToThread(attack)
        self.assertLess(memory_bytes(parent.agent_pid) - before, 4 << 20)
        self.assertTrue(await deferToThread(self.opens, address))
        self.assertEqual(len(self.lines_with(parent, "", "E")), 1)
        self.assertEqual(self.lines_with(parent, "", "W"), [])


def ended(connection: socket.socket) -> None:
    """Wait until the other side ends a connection."""
    connection.settimeout(LIMIT_S)
    try:
        while connection.recv(4096):
            pass
    except ConnectionError:
        pass
