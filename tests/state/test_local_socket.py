"""A real socket in a directory: whose it is, and what may be in its place."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.process import socket_path
from metrics_agent.process.socket_path import LONGEST_PATH_BYTES, PathTooLong, short_path
from metrics_agent.state.local_socket import LOOK_S, InUse, Listening, listen


class ThreadReactor(MemoryReactorClock):
    """Runs what belongs into a thread at once."""

    def getThreadPool(self) -> ThreadReactor:
        return self

    def callInThreadWithCallback(self, done: Any, call: Any, *args: Any) -> None:
        done(True, call(*args))

    def callFromThread(self, call: Any, *args: Any) -> None:
        call(*args)


class ListenTests(SynchronousTestCase):
    """On a reactor that is never run; the kernel accepts connections by itself."""

    def setUp(self) -> None:
        # Not below the directory of the test, whose path may be too long.
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = Path(directory.name) / "state" / "status.sock"
        self.reactor = ThreadReactor()
        self.removals: list[None] = []

    def listen(self) -> Listening:
        listening = listen(
            self.reactor,
            self.path,
            Factory.forProtocol(Protocol),
            lambda: self.removals.append(None),
        )
        self.addCleanup(self.stop, listening)
        return listening

    def stop(self, listening: Listening) -> None:
        listening.stop()
        listening.stop()
        self.reactor.advance(0)
        self.assertEqual((self.reactor.getReaders(), self.reactor.getDelayedCalls()), ([], []))

    def connect(self) -> None:
        with socket.socket(socket.AF_UNIX) as client, short_path(self.path) as address:
            client.connect(address)

    def leave_behind(self) -> None:
        """Leave a socket as a process does that is killed."""
        self.path.parent.mkdir(mode=0o700)
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(self.path))

    def test_for_the_owner_alone(self) -> None:
        """Directory and socket; with whatever umask, which stays as it was."""
        before = os.umask(0)
        try:
            self.listen()
            self.assertEqual(os.umask(0), 0)
        finally:
            os.umask(before)
        self.assertEqual(stat.S_IMODE(self.path.parent.stat().st_mode), 0o700)
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)
        self.connect()

    def test_no_moment_of_other_rights(self) -> None:
        """The kernel makes it with its mode: it is right before anything can change it."""
        modes: list[int] = []
        self.patch(
            os, "chmod", lambda path, _mode: modes.append(Path(os.fsdecode(path)).stat().st_mode)
        )
        self.listen()
        self.assertEqual(list(map(stat.S_IMODE, modes)), [0o600])

    def test_stop(self) -> None:
        """It removes the socket, and there is room for the next."""
        self.stop(self.listen())
        self.assertFalse(self.path.exists())
        self.listen()
        self.connect()

    def test_removed(self) -> None:
        """It is reported once; then another one may have the place, and it is not removed."""
        for remove in (self.path.unlink, lambda: shutil.rmtree(self.path.parent)):
            self.removals.clear()
            self.listen()
            self.reactor.pump([LOOK_S] * 3)
            self.assertEqual(self.removals, [])
            remove()
            self.reactor.pump([LOOK_S] * 3)
            self.assertEqual(self.removals, [None])
            self.assertEqual(self.reactor.getReaders(), [])
        self.listen()
        self.connect()

    def test_something_else_in_its_place(self) -> None:
        """It is not a socket any more, so it is not ours to remove."""
        self.listen()
        self.path.unlink()
        self.path.write_text("mine")
        self.reactor.advance(LOOK_S)
        self.assertEqual((self.removals, self.path.read_text()), ([None], "mine"))

    def test_no_threads(self) -> None:
        """Where none can be made it is looked later; the socket works on."""
        self.listen()
        self.reactor.callInThreadWithCallback = lambda *_what: 1 / 0  # type: ignore[method-assign]
        self.reactor.pump([LOOK_S] * 3)
        self.connect()

    def test_gone_before_the_stop(self) -> None:
        """It is not a fault that someone has removed it."""
        listening = self.listen()
        self.path.unlink()
        self.stop(listening)

    def test_of_a_dead_process(self) -> None:
        """What a process has left behind that was killed is replaced."""
        self.leave_behind()
        self.assertRaises(ConnectionRefusedError, self.connect)
        self.listen()
        self.connect()

    def test_of_a_live_process(self) -> None:
        """It is left alone, and goes on to work."""
        self.listen()
        self.assertRaises(InUse, self.listen)
        self.connect()

    def test_something_else(self) -> None:
        """A file or a link is not removed, nor what it points to."""
        self.path.parent.mkdir(mode=0o700)
        other = self.path.with_name("other")
        with socket.socket(socket.AF_UNIX) as there:
            there.bind(str(other))
        self.path.symlink_to(other)
        self.assertRaises(OSError, self.listen)
        self.assertTrue(self.path.is_symlink())
        self.assertTrue(other.is_socket())
        self.path.unlink()
        self.path.write_text("mine")
        self.assertRaises(OSError, self.listen)
        self.assertEqual(self.path.read_text(), "mine")
        # The lock was given back.
        self.path.unlink()
        self.listen()

    def test_long(self) -> None:
        """A path that has no room in an address works, and goes at the stop."""
        self.path = self.path.parent / ("x" * LONGEST_PATH_BYTES) / self.path.name
        self.stop(self.listen())
        self.assertFalse(self.path.exists())
        self.listen()
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)
        self.connect()
        self.assertRaises(InUse, self.listen)

    def test_too_long(self) -> None:
        """On a system without such descriptors it is an error of its own."""
        self.patch(socket_path, "_DESCRIPTORS", self.path / "missing")
        self.path = self.path.parent / ("x" * LONGEST_PATH_BYTES) / self.path.name
        error = self.assertRaises(PathTooLong, self.listen)
        self.assertIn(f"at most {LONGEST_PATH_BYTES}", str(error))

    def test_longest(self) -> None:
        """What just fits is taken as it is."""
        room = LONGEST_PATH_BYTES - len(os.fsencode(self.path.parent)) - 1
        self.patch(socket_path, "_DESCRIPTORS", self.path / "missing")
        self.path = self.path.with_name("x" * room)
        self.listen()
        self.connect()

    def test_no_directory(self) -> None:
        """A file in its place is an error of the system."""
        self.path.parent.write_text("")
        self.assertRaises(NotADirectoryError, self.listen)
