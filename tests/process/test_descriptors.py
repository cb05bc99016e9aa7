"""Descriptors: kinds, private descriptions, and the standard three."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.process.descriptors import Kind, hung_up, kind_of, reopen

CHILD = """
import fcntl, json, os, sys
from metrics_agent.process.descriptors import secure_descriptors, take_stdout
closed = secure_descriptors(), secure_descriptors()
fd = take_stdout()
print("printed", flush=True)
os.write(1, b"written by C code\\n")
os.write(fd, b"metric\\n")
report = dict(closed=closed, fd=fd, cloexec=fcntl.fcntl(fd, fcntl.F_GETFD),
              std=[[os.fstat(n).st_rdev, os.get_inheritable(n)] for n in (0, 1, 2)])
os.write(int(sys.argv[1]), json.dumps(report).encode())
"""


def run_child(closed: str = "") -> tuple[bytes, bytes, dict]:
    """Run the child with some of 0, 1, 2 closed; give its stdout, stderr and report."""
    reader, writer = os.pipe()
    try:
        command = f'exec "$0" -c "$1" {writer} {closed}'
        done = subprocess.run(
            ["sh", "-c", command, sys.executable, CHILD],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdin=subprocess.PIPE,
            capture_output=True,
            pass_fds=[writer],
            timeout=20,
            check=True,
        )
        return done.stdout, done.stderr, json.loads(os.read(reader, 10_000))
    finally:
        os.close(reader)
        os.close(writer)


class KindTests(SynchronousTestCase):
    """What a descriptor is."""

    def kind(self, *fds: int) -> Kind:
        for fd in fds:
            self.addCleanup(os.close, fd)
        return kind_of(fds[-1])

    def test_kinds(self) -> None:
        """Each kind is distinguished from the others."""
        one, two = socket.socketpair()
        self.assertIs(self.kind(*os.pipe()), Kind.PIPE)
        self.assertIs(self.kind(one.detach(), two.detach()), Kind.SOCKET)
        self.assertIs(self.kind(*os.openpty()), Kind.TERMINAL)
        self.assertIs(self.kind(os.open(self.mktemp(), os.O_CREAT)), Kind.FILE)
        self.assertIs(self.kind(os.open(os.devnull, os.O_RDWR)), Kind.NULL)
        self.assertIs(self.kind(os.open("/dev/full", os.O_RDWR)), Kind.NULL)
        self.assertIs(self.kind(os.open(".", os.O_RDONLY)), Kind.DEVICE)

    def test_closed(self) -> None:
        """A number that is not open is a kind too."""
        fd = os.open(os.devnull, os.O_RDONLY)
        os.close(fd)
        self.assertIs(kind_of(fd), Kind.CLOSED)

    def test_other_errors_are_errors(self) -> None:
        """Only a closed number is taken for one."""

        def fstat(_fd: int) -> None:
            raise OSError(5, "I/O error")

        self.patch(os, "fstat", fstat)
        self.assertRaises(OSError, kind_of, 0)


class HungUpTests(SynchronousTestCase):
    """Noticing that the other side has gone."""

    def test_pipe(self) -> None:
        """A pipe is hung up when no one reads it."""
        reader, writer = os.pipe()
        self.addCleanup(os.close, writer)
        self.assertFalse(hung_up(writer))
        os.close(reader)
        self.assertTrue(hung_up(writer))

    def test_socket(self) -> None:
        """A socket is hung up when the peer has closed, not when it has stopped sending."""
        ours, peer = socket.socketpair()
        self.addCleanup(ours.close)
        peer.shutdown(socket.SHUT_WR)
        self.assertFalse(hung_up(ours.fileno()))
        peer.close()
        self.assertTrue(hung_up(ours.fileno()))


class ReopenTests(SynchronousTestCase):
    """A private description."""

    def test_flags_are_ours_alone(self) -> None:
        """The new description is non-blocking and closed on exec, the old one is as it was."""
        reader, writer = os.pipe()
        private = reopen(writer)
        for fd in (reader, writer, private):
            self.addCleanup(os.close, fd)
        self.assertEqual((os.get_blocking(writer), os.get_blocking(private)), (True, False))
        self.assertTrue(fcntl.fcntl(private, fcntl.F_GETFD) & fcntl.FD_CLOEXEC)

    def test_never_one_of_the_standard_three(self) -> None:
        """With a standard number free the new descriptor is a higher one, closed on exec too."""
        reader, writer = os.pipe()
        saved = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 10)
        os.close(0)
        try:
            private = reopen(writer)
        finally:
            os.dup2(saved, 0)
            os.close(saved)
        for fd in (reader, writer, private):
            self.addCleanup(os.close, fd)
        self.assertGreater(private, 2)
        self.assertFalse(os.get_inheritable(private))

    def test_sockets_and_master_sides_refuse(self) -> None:
        """What cannot be opened again, or would be another thing, raises."""
        ours, peer = socket.socketpair()
        screen, terminal = os.openpty()
        self.addCleanup(ours.close)
        self.addCleanup(peer.close)
        self.addCleanup(os.close, screen)
        self.addCleanup(os.close, terminal)
        self.assertRaises(OSError, reopen, ours.fileno())
        self.assertRaises(OSError, reopen, screen)


class StandardTests(SynchronousTestCase):
    """The standard three, in a process of its own."""

    def test_stream_is_pure(self) -> None:
        """Neither a print nor a write to number 1 reaches the stream of metrics."""
        stdout, stderr, report = run_child()
        self.assertEqual(stdout, b"metric\n")
        self.assertEqual(stderr, b"printed\nwritten by C code\n")
        self.assertGreater(report["fd"], 2)
        self.assertTrue(report["cloexec"])
        self.assertEqual(report["closed"], [[], []])

    def test_closed_ones(self) -> None:
        """Each closed number becomes /dev/null, which a child process inherits; twice is once."""
        null = Path(os.devnull).stat().st_rdev
        _, _, report = run_child("<&- >&- 2>&-")
        self.assertEqual(report["closed"], [[0, 1, 2], []])
        self.assertEqual(report["std"], [[null, True]] * 3)

    def test_only_stdout_closed(self) -> None:
        """With stdout closed the metrics go nowhere and stderr still works."""
        _, stderr, report = run_child(">&-")
        self.assertEqual(report["closed"], [[1], []])
        self.assertEqual(stderr, b"written by C code\n")  # and print has no sys.stdout
