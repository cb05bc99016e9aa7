"""Clients of the status socket that would disturb the agent, if they could."""

from __future__ import annotations

import os
import socket
import time
from contextlib import ExitStack

from tests.faults.outside_case import OutsideCase
from tests.integration.broker import Mosquitto
from tests.integration.watching import pause

CLIENTS = 16
CROWD = 200
LIMIT_S = 10
TAP = b'{"ask": "tap"}\n'
STATUS = b'{"ask": "status"}\n'


class StatusTests(OutsideCase):
    """While numbered messages come and go."""

    def connect(self) -> socket.socket:
        """Connect, by a path that is short enough for an address."""
        path = self.directory / "state" / "status.sock"
        descriptor = os.open(path.parent, os.O_PATH)
        try:
            client = socket.socket(socket.AF_UNIX)
            client.settimeout(LIMIT_S)
            client.connect(f"/proc/self/fd/{descriptor}/{path.name}")
        finally:
            os.close(descriptor)
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
