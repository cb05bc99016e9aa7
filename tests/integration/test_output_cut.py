"""What a reader that was stopped finds, however and whenever the process was ended."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from typing import Any, Final

from tests.integration.test_output_descriptors import LIMIT_S, NOBODY, OutputTestCase

ROUNDS: Final = 70
TOGETHER: Final = 5
"""As many processes start at once: that takes longer than all the rest."""

_LINE = re.compile(rb'm,a=b n=(\d+)i,length=(\d+)i,text="(x*)" 17(\d{17})')
_RECEIVE_BYTES: Final = 8192
"""A peer's kernel that has little room, so that the agent's fills up."""


class CutTests(OutputTestCase):
    """A reader takes some, is stopped, and the process is ended at a random moment."""

    def begin(self, output: str = "stdout", **how: Any) -> subprocess.Popen[bytes]:
        self.seed = getattr(self, "seed", 0) + 1
        return self.start("flood", self.seed, drain_s=0.05, output=output, **how)

    def rounds(
        self,
        count: int,
        begin: Callable[[], tuple[subprocess.Popen[bytes], Callable[[], Callable[[int], bytes]]]],
    ) -> None:
        """Run so many rounds.

        Args:
            count: of rounds.
            begin: starts a process; returns it, and what gives the function that reads of it.
        """
        chance = random.Random(count)
        bytes_found = 0
        for _ in range(0, count, TOGETHER):
            for child, open_ in [begin() for _ in range(TOGETHER)]:
                read = open_()
                got = read(chance.randrange(1, 300_000))
                time.sleep(chance.random() * 0.03)
                child.send_signal(chance.choice((signal.SIGTERM, signal.SIGKILL)))
                child.wait(LIMIT_S)
                while data := read(1 << 20):
                    got += data
                self.check(got)
                bytes_found += len(got)
                self.end(child)
        self.assertGreater(bytes_found, count * 60_000)

    def check(self, got: bytes) -> None:
        """Hold every line against its own length and number, the last one above all."""
        self.assertEqual(got[-1:], b"\n", f"cut: {got[-100:]!r}")
        for number, line in enumerate(got.split(b"\n")[:-1], 1):
            match = _LINE.fullmatch(line)
            self.assertTrue(match, line)
            self.assertEqual((int(match[1]), int(match[2])), (number, len(match[3])))

    def test_pipe(self) -> None:
        """A pipe as Telegraf makes it."""

        def begin() -> Any:
            child = self.begin()
            return child, lambda: lambda count: os.read(child.stdout.fileno(), count)

        self.rounds(ROUNDS, begin)

    def test_pipe_of_another_user(self) -> None:
        """A pipe that a thread writes to, blocking."""
        if os.geteuid() != 0:
            self.skipTest("only root can become another user")

        def begin() -> Any:
            reader, writer = os.pipe()
            self.addCleanup(os.close, reader)
            child = self.begin(stdout=writer, become=NOBODY)
            os.close(writer)
            return child, lambda: lambda count: os.read(reader, count)

        self.rounds(20, begin)

    def test_socket_as_stdout(self) -> None:
        """A Unix socket that the parent made."""

        def begin() -> Any:
            ours, theirs = socket.socketpair()
            self.addCleanup(ours.close)
            child = self.begin(stdout=theirs)
            theirs.close()
            return child, lambda: ours.recv

        self.rounds(20, begin)

    def test_unix(self) -> None:
        """A Unix socket that the agent connects to."""
        # Not mktemp: a socket's path may be 107 characters long.
        directory = tempfile.mkdtemp(prefix="output-")
        self.addCleanup(shutil.rmtree, directory)
        self.connected(ROUNDS, socket.AF_UNIX, iter(f"{directory}/{n}" for n in range(ROUNDS)))

    def test_tcp(self) -> None:
        """TCP, whose kernel goes on sending after the process."""
        self.connected(ROUNDS, socket.AF_INET, iter([("127.0.0.1", 0)] * ROUNDS))

    def connected(self, count: int, family: socket.AddressFamily, addresses: Any) -> None:
        def begin() -> Any:
            server = socket.socket(family)
            self.addCleanup(server.close)
            server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
            server.settimeout(LIMIT_S)
            server.bind(next(addresses))
            server.listen()
            name = server.getsockname()
            unix = family is socket.AF_UNIX
            child = self.begin(f"unix://{name}" if unix else f"tcp://{name[0]}:{name[1]}")

            def open_() -> Callable[[int], bytes]:
                peer = server.accept()[0]
                self.addCleanup(peer.close)
                peer.settimeout(LIMIT_S)
                return peer.recv

            return child, open_

        self.rounds(count, begin)
