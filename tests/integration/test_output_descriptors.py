"""The sink in a real process, on everything that fd 1 can be."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from select import select
from typing import Any
from unittest import skipIf

from twisted.trial.unittest import SynchronousTestCase

CHILD = Path(__file__).with_name("output_child.py")
LIMIT_S = 25
NOBODY = 65534


def expected(count: int) -> bytes:
    """Return what the reader must get."""
    return b"".join(b"m,a=b n=%di\n" % number for number in range(count))


class OutputTestCase(SynchronousTestCase):
    """Starts children, and ends them whatever happens."""

    def start(
        self, mode: str, count: int = 1, *, drain_s: float = 10, output: str = "stdout", **how: Any
    ) -> subprocess.Popen[bytes]:
        arguments = [sys.executable, str(CHILD), mode, str(count), str(drain_s), output]
        if become := how.pop("become", 0):
            arguments.append(str(become))
        if prefix := how.pop("shell", ""):
            arguments = ["sh", "-c", prefix, *arguments]
        paths = os.pathsep.join(str(Path(path).absolute()) for path in sys.path)
        child = subprocess.Popen(
            arguments,
            **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, **how},
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": paths},
        )
        self.addCleanup(self.end, child)
        return child

    @staticmethod
    def end(child: subprocess.Popen[bytes]) -> None:
        child.kill()
        child.wait(LIMIT_S)
        for stream in (child.stdin, child.stdout, child.stderr):
            if stream is not None:
                stream.close()

    def report(self, child: subprocess.Popen[bytes]) -> dict[str, Any]:
        """Wait for the end and return what the child saw."""
        assert child.stderr is not None
        child.wait(LIMIT_S)
        said = child.stderr.read()
        self.assertEqual(child.returncode, 0, said)
        self.stray = said
        report: dict[str, Any] = json.loads(said.splitlines()[-1])
        return report

    def assert_all(self, child: subprocess.Popen[bytes], count: int) -> None:
        report = self.report(child)
        self.assertEqual((report["left"], report["settled"], report["lost"]), (0, count, ""))
        self.assertIn(b"a stray line", self.stray)


def read_slowly(stream: Any, count: int, until_gone: subprocess.Popen[bytes]) -> list[bytes]:
    """Read like a slow Telegraf, which gives up what is unread when the child has ended."""
    lines: list[bytes] = []
    rest = b""
    while len(lines) < count and (data := os.read(stream.fileno(), 1300)):
        *whole, rest = (rest + data).split(b"\n")
        lines += whole
        time.sleep(0.001)
        if until_gone.poll() is not None:
            break
    return lines


class PipeTests(OutputTestCase):
    """A pipe, the usual case."""

    def test_fast_reader(self) -> None:
        """A reader that keeps up gets every line, and nothing but metrics."""
        child = self.start("burst", 5000)
        self.assertEqual(child.stdout.read(), expected(5000))
        self.assert_all(child, 5000)

    def test_slow_reader_loses_nothing(self) -> None:
        """The process does not end before a slow reader has taken the last line."""
        child = self.start("burst", 5000)
        lines = read_slowly(child.stdout, 5000, child)
        self.assertEqual(len(lines), 5000)
        self.assert_all(child, 5000)

    def test_reader_that_stalls(self) -> None:
        """The drain ends in time and says how many were not read; none of those is settled."""
        child = self.start("burst", 20_000, drain_s=0.5)
        report = self.report(child)
        self.assertEqual((report["left"], report["settled"]), (20_000, 0))

    def test_reader_dies_when_idle(self) -> None:
        """A dead reader is noticed at once with nothing to write."""
        child = self.start("serve")
        self.assertEqual(os.read(child.stdout.fileno(), 100), expected(1))
        began = time.monotonic()
        child.stdout.close()
        child.wait(LIMIT_S)
        self.assertLess(time.monotonic() - began, 1)
        self.assertIn("gone", self.report(child)["lost"])

    def test_reader_dies_while_writing(self) -> None:
        """A reader that dies in the middle ends the wait for it."""
        child = self.start("burst", 50_000)
        os.read(child.stdout.fileno(), 100)
        child.stdout.close()
        report = self.report(child)
        self.assertIn("gone", report["lost"])
        self.assertGreater(report["left"], 0)

    def test_shared_pipe_stays_blocking(self) -> None:
        """The parent's own end of the same description never becomes non-blocking."""
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        child = self.start("serve", stdout=writer, stdin=subprocess.PIPE)
        self.assertEqual(os.read(reader, 100), expected(1))
        self.assertTrue(os.get_blocking(writer))
        child.stdin.close()
        os.close(writer)
        self.assert_all(child, 1)

    @skipIf(os.geteuid() != 0, "only root can become another user")
    def test_pipe_of_another_user(self) -> None:
        """A pipe that cannot be opened again is written all the same, blocking and drained."""
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        child = self.start("burst", 20_000, stdout=writer, become=NOBODY)
        got = b""
        while len(got) < len(expected(20_000)):
            self.assertEqual(select([reader], [], [], LIMIT_S)[0], [reader], "the child is silent")
            got += os.read(reader, 10_000)
            self.assertTrue(os.get_blocking(writer))
        os.close(writer)
        self.assertEqual(got, expected(20_000))
        self.assert_all(child, 20_000)


class SocketTests(OutputTestCase):
    """A socket, as inetd, systemd or Node give it."""

    def test_slow_reader_loses_nothing(self) -> None:
        """All arrives over a socket whose reader is slow; its flags stay."""
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        child = self.start("burst", 5000, stdout=theirs.fileno())
        lines = read_slowly(ours, 5000, child)
        self.assertEqual(len(lines), 5000)
        self.assertTrue(os.get_blocking(theirs.fileno()))
        self.assert_all(child, 5000)

    def test_peer_dies_when_idle(self) -> None:
        """A closed peer is noticed at once with nothing to write."""
        ours, theirs = socket.socketpair()
        child = self.start("serve", stdout=theirs.fileno())
        theirs.close()
        self.assertEqual(ours.recv(100), expected(1))
        ours.close()
        self.assertIn("gone", self.report(child)["lost"])

    def test_same_socket_as_stdin(self) -> None:
        """A parent that stops sending still gets what was queued."""
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        child = self.start("serve", 5000, stdin=theirs.fileno(), stdout=theirs.fileno())
        theirs.close()
        ours.shutdown(socket.SHUT_WR)
        with ours.makefile("rb") as stream:
            self.assertEqual(stream.read(), expected(5000))
        self.assert_all(child, 5000)


class FileTests(OutputTestCase):
    """Files and devices."""

    def test_redirected(self) -> None:
        """``>`` writes from the start, and leaves the shared position behind the last line."""
        path = self.mktemp()
        script = f'{{ echo before; "$0" "$@"; echo after; }} > {path}'
        self.assert_all(self.start("burst", 5000, shell=script), 5000)
        self.assertEqual(Path(path).read_bytes(), b"before\n" + expected(5000) + b"after\n")

    def test_appended(self) -> None:
        """``>>`` adds to what is there."""
        path = Path(self.mktemp())
        path.write_bytes(b"before\n")
        self.assert_all(self.start("burst", 5000, shell=f'exec "$0" "$@" >> {path}'), 5000)
        self.assertEqual(path.read_bytes(), b"before\n" + expected(5000))

    def test_null(self) -> None:
        """/dev/null takes everything and nothing is waited for."""
        self.assert_all(self.start("burst", 5000, stdout=subprocess.DEVNULL), 5000)

    def test_closed(self) -> None:
        """With fd 1 closed the child runs, says so, and the metrics go nowhere."""
        child = self.start("burst", 10, shell='exec "$0" "$@" >&-')
        report = self.report(child)
        self.assertEqual((report["closed"], report["left"]), ([1], 0))

    def test_full_disk(self) -> None:
        """A full disk is named and nothing counts as delivered."""
        with open("/dev/full", "wb") as full:  # noqa: PTH123 - a device
            child = self.start("burst", 10, drain_s=0.3, stdout=full)
        report = self.report(child)
        self.assertEqual((report["left"], report["settled"], report["lost"]), (10, 0, ""))
        self.assertIn("ENOSPC", report["problem"])

    def test_path_setting(self) -> None:
        """``output = "/some/path"`` makes the file and leaves stdout alone."""
        path = Path(self.mktemp()).absolute()
        child = self.start("burst", 5000, output=str(path))
        self.assertEqual(self.report(child)["left"], 0)
        self.assertEqual(path.read_bytes(), expected(5000))
        self.assertEqual(child.stdout.read(), b"a stray line\n")


class EndpointTests(OutputTestCase):
    """``output = "unix:path=..."`` and ``tcp:``."""

    def listen(self, family: socket.AddressFamily, address: Any) -> socket.socket:
        server = socket.socket(family)
        server.settimeout(LIMIT_S)
        self.addCleanup(server.close)
        server.bind(address)
        server.listen()
        return server

    def accept(self, server: socket.socket) -> socket.socket:
        peer = server.accept()[0]
        peer.settimeout(LIMIT_S)
        self.addCleanup(peer.close)
        return peer

    def read_all(self, peer: socket.socket) -> bytes:
        with peer.makefile("rb") as stream:
            return stream.read()

    def test_unix_reader_that_crashes(self) -> None:
        """Lines that a crashed reader had not read go to the next one."""
        # Not mktemp: a socket's path may be 107 characters long.
        directory = tempfile.mkdtemp(prefix="output-")
        self.addCleanup(shutil.rmtree, directory)
        path = f"{directory}/socket"
        server = self.listen(socket.AF_UNIX, path)
        child = self.start("burst", 5000, output=f"unix://{path}")
        self.accept(server).close()
        self.assertEqual(self.read_all(self.accept(server)), expected(5000))
        self.assertEqual(self.report(child)["left"], 0)

    def test_tcp(self) -> None:
        """Everything arrives over TCP, however much it is."""
        server = self.listen(socket.AF_INET, ("127.0.0.1", 0))
        port = server.getsockname()[1]
        child = self.start("burst", 100_000, output=f"tcp:127.0.0.1:{port}")
        self.assertEqual(self.read_all(self.accept(server)), expected(100_000))
        self.assertEqual(self.report(child)["left"], 0)

    def test_urls_as_telegraf_writes_them(self) -> None:
        """A name, and an IPv6 address in brackets."""
        for host, family, address in (
            ("localhost", socket.AF_INET, "127.0.0.1"),
            ("[::1]", socket.AF_INET6, "::1"),
        ):
            server = self.listen(family, (address, 0))
            port = server.getsockname()[1]
            child = self.start("burst", 5000, output=f"tcp://{host}:{port}")
            self.assertEqual(self.read_all(self.accept(server)), expected(5000), host)
            self.assertEqual(self.report(child)["left"], 0)


class TerminalTests(OutputTestCase):
    """A terminal that a shell uses too."""

    def test_flags_of_the_shell(self) -> None:
        """All is written, and the shell's flags are the same during the run and after it."""
        screen, shell = pty.openpty()
        self.addCleanup(os.close, screen)
        before = fcntl.fcntl(shell, fcntl.F_GETFL)
        child = self.start("burst", 5000, stdin=shell, stdout=shell)
        got = b""
        while got.count(b"\n") < 5000:
            got += os.read(screen, 4096)
            self.assertEqual(fcntl.fcntl(shell, fcntl.F_GETFL), before)
        self.assert_all(child, 5000)
        self.assertEqual(fcntl.fcntl(shell, fcntl.F_GETFL), before)
        self.assertEqual(got.replace(b"\r\n", b"\n"), expected(5000))
        os.close(shell)

    def test_window_closed(self) -> None:
        """A closed window ends an idle agent that did not get the terminal's own signal."""
        screen, shell = pty.openpty()
        child = self.start("serve", stdin=shell, stdout=shell, start_new_session=True)
        os.close(shell)
        os.read(screen, 100)
        os.close(screen)
        self.assertIn("gone", self.report(child)["lost"])


class StdinTests(OutputTestCase):
    """The parent's wish to stop."""

    def test_end_of_a_pipe_stops(self) -> None:
        """EOF on a pipe stops the child, and what was queued still arrives."""
        child = self.start("serve", 5000, stdin=subprocess.PIPE)
        child.stdin.write(b"\n" * 200_000)  # more than a pipe holds: it is drained
        child.stdin.close()
        self.assertEqual(child.stdout.read(), expected(5000))
        self.assertTrue(self.report(child)["eof"])

    def test_null_means_nothing(self) -> None:
        """EOF on /dev/null or a file does not stop the child."""
        file = Path(self.mktemp())
        file.touch()
        with file.open("rb") as stream:
            children = [self.start("serve"), self.start("serve", stdin=stream)]
        for child in children:
            self.assertEqual(os.read(child.stdout.fileno(), 100), expected(1))
        threading.Event().wait(0.3)
        self.assertEqual([child.poll() for child in children], [None, None])
        for child in children:
            child.stdout.close()
            self.assertFalse(self.report(child)["eof"])
