"""The model of a disk keeps what was synced; of the rest it may keep any part."""

from __future__ import annotations

import errno
from pathlib import Path
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from tests.simulation.disk import SimDisk

OLD, NEW = Path("/state/file"), Path("/state/file.new")


class DiskTests(SynchronousTestCase):
    """A file is replaced, and something happens."""

    def setUp(self) -> None:
        self.disk = SimDisk(Random(1), lambda _step: None)
        self.put(b"old")
        self.disk.sync_directory(OLD.parent)

    def put(self, data: bytes, *, sync: bool = True) -> None:
        """Write a new file and give it the name."""
        self.disk.remove(NEW)
        descriptor = self.disk.create(NEW)
        done = 0
        while done < len(data):
            done += self.disk.write(descriptor, data[done:], done)
        if sync:
            self.disk.sync(descriptor)
        self.disk.close(descriptor)
        self.disk.rename(NEW, OLD)

    def test_removed(self) -> None:
        """A file that is removed for good is not back after a failure of the power."""
        self.put(b"new")
        self.disk.remove_all("/file")
        self.assertRaises(FileNotFoundError, self.disk.read, OLD, 100)
        self.disk.lose_power(Random(1))
        self.assertRaises(FileNotFoundError, self.disk.read, OLD, 100)

    def found(self, *, sync: bool) -> set[bytes]:
        """Return what is found after many failures of the power."""
        found = set()
        for seed in range(200):
            self.setUp()
            self.put(b"new!", sync=sync)
            self.disk.lose_power(Random(seed))
            found.add(self.disk.read(OLD, 100))
        return found

    def test_a_kill_keeps_everything(self) -> None:
        """What one process has written the next one reads."""
        self.put(b"new!", sync=False)
        self.assertEqual(self.disk.read(OLD, 100), b"new!")

    def test_power_failure_after_sync(self) -> None:
        """The old file or the new one, whole."""
        self.assertEqual(self.found(sync=True), {b"old", b"new!"})

    def test_power_failure_without_sync(self) -> None:
        """A new name may have a part of the content, zeros, or nothing."""
        found = self.found(sync=False)
        self.assertLess({b"old", b"new!", b"", b"new", b"\0\0\0\0"}, found)

    def test_the_directory_is_synced(self) -> None:
        """Then the new file is there whatever happens."""
        self.put(b"new!")
        self.disk.sync_directory(OLD.parent)
        self.disk.lose_power(Random(1))
        self.assertEqual(self.disk.read(OLD, 100), b"new!")

    def test_fails_after_some_steps(self) -> None:
        """The disk may be full in the middle of a file."""
        self.disk.error, self.disk.fails_in = errno.ENOSPC, 2
        with self.assertRaises(OSError):
            self.put(b"new!")
        self.assertEqual(self.disk.read(OLD, 100), b"old")

    def test_a_dead_process(self) -> None:
        """What a process does after its end has no effect."""
        self.disk.alive = lambda: False
        with self.assertRaises(OSError):
            self.put(b"new!")
        self.assertEqual(self.disk.read(OLD, 100), b"old")
