"""The file of tokens: on the real disk, and on one that loses everything at any call."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.oauth2.store import Damaged, StoreBusy, StoreFault, TokenStore
from metrics_agent.oauth2.tokens import write_stored
from metrics_agent.state.files import Files
from tests.oauth2.disk import Disk, Inode, Killed
from tests.oauth2.support import DAMAGED, NEW, PATH, put, tokens

OLD, LATER = tokens(1), tokens(2)


def replace(store: TokenStore) -> None:
    """Do what a refresh does with the file."""
    lock = store.lock()
    room = store.prepare()
    room.commit(LATER)
    lock.release()


class RealDisk(SynchronousTestCase):
    """The system calls are the right ones."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()) / "service"
        self.store = TokenStore(self.directory / "tokens.json")

    def names(self) -> set[str]:
        return {path.name for path in self.directory.iterdir()}

    def test_write_and_read(self) -> None:
        """The file and its directory are their owner's alone, whatever the umask is."""
        self.assertIsNone(self.store.load())
        self.assertIsNone(self.store.stamp())
        old_mask = os.umask(0)
        self.addCleanup(os.umask, old_mask)
        replace(self.store)
        self.assertEqual(self.store.load(), LATER)
        self.assertEqual(stat.S_IMODE(self.store.path.stat().st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(self.directory.stat().st_mode), 0o700)
        self.assertEqual(self.names(), {"tokens.json", "tokens.json.lock"})
        stamp = self.store.stamp()
        replace(self.store)
        self.assertNotEqual(self.store.stamp(), stamp)

    def test_discard(self) -> None:
        """Room that is not used is given back."""
        room = self.store.prepare()
        self.assertEqual(self.names(), {"tokens.json.new"})
        self.assertGreaterEqual((self.directory / "tokens.json.new").stat().st_size, 16 * 1024)
        room.discard()
        room.discard()
        self.assertEqual(self.names(), set())

    def test_lock(self) -> None:
        """One at a time, also within a process."""
        lock = self.store.lock()
        other = TokenStore(self.store.path)
        self.assertRaises(StoreBusy, other.lock)
        lock.release()
        lock.release()
        other.lock().release()

    def test_links_are_not_followed(self) -> None:
        """A link where our file shall be is replaced, what it points to is left alone."""
        self.directory.mkdir(parents=True)
        victim = self.directory.parent / "victim"
        victim.write_text("precious")
        for name in ("tokens.json.new", "tokens.json"):
            (self.directory / name).symlink_to(victim)
        replace(self.store)
        self.assertEqual(victim.read_text(), "precious")
        self.assertFalse(self.store.path.is_symlink())
        (self.directory / "tokens.json.lock").unlink()
        (self.directory / "tokens.json.lock").symlink_to(self.directory.parent / "new-victim")
        self.assertRaises(StoreFault, self.store.lock)

    def test_a_new_file_is_new(self) -> None:
        """What is in the way of a new file, a link above all, is an error and is not written to."""
        self.directory.mkdir(parents=True)
        victim = self.directory / "victim"
        link, file = self.directory / "link", self.directory / "file"
        link.symlink_to(victim)
        file.write_text("there")
        for path in (link, file):
            self.assertRaises(FileExistsError, Files().create, path)
        self.assertFalse(victim.exists())

    def test_open_to_others(self) -> None:
        self.assertFalse(self.store.narrow())
        replace(self.store)
        self.assertFalse(self.store.narrow())
        self.store.path.chmod(0o644)
        self.assertTrue(self.store.narrow())
        self.assertEqual(stat.S_IMODE(self.store.path.stat().st_mode), 0o600)

    def test_set_aside(self) -> None:
        """A damaged file keeps its content and is its owner's alone."""
        self.directory.mkdir(parents=True)
        self.store.path.write_text("{")
        self.store.path.chmod(0o644)
        fault = self.assertRaises(Damaged, self.store.load)
        self.assertIn("tokens.json: it is not JSON (invalid_json)", str(fault))
        aside = self.store.set_aside()
        self.assertEqual((aside.name, aside.read_text()), ("tokens.json.damaged", "{"))
        self.assertEqual(stat.S_IMODE(aside.stat().st_mode), 0o600)
        self.assertIsNone(self.store.load())

    def test_a_directory_that_cannot_be(self) -> None:
        """What is wrong is said with the path and the system's reason."""
        self.directory.parent.mkdir()
        self.directory.write_text("a file")
        for call in (self.store.lock, self.store.prepare, self.store.load):
            self.assertIn("tokens.json cannot be", str(self.assertRaises(StoreFault, call)))


class Order(SynchronousTestCase):
    """What happens when."""

    def test_sync_before_rename_before_use(self) -> None:
        """Content is on the disk before its name, the name before anybody uses the tokens."""
        disk = Disk()
        replace(TokenStore(PATH, disk))
        self.assertEqual(
            disk.calls[-6:],
            ["truncate", "sync", "rename", "sync_directory", "close", "close"],
        )
        # Room is made before that: the tokens are shorter, the disk cannot be full any more.
        self.assertIn("sync", disk.calls[: disk.calls.index("truncate")])
        self.assertEqual(disk.open_files, 0)

    def test_faults_before_the_request(self) -> None:
        """A disk that is full or read-only is found when room is made, and nothing is left."""
        for fault in ("full", "read_only"):
            disk = Disk(**{fault: True})
            self.assertRaises(StoreFault, TokenStore(PATH, disk).prepare)
            self.assertEqual((disk.open_files, disk.names), (0, {}))

    def test_faults_in_writing(self) -> None:
        """Each call that fails is a StoreFault; the old tokens or the new ones are there."""
        for call in ("write", "truncate", "sync", "rename", "sync_directory"):
            disk = Disk()
            put(disk, write_stored(OLD))
            store = TokenStore(PATH, disk)
            room = store.prepare()
            disk.broken.add(call)
            fault = self.assertRaises(StoreFault, room.commit, LATER)
            self.assertIn("cannot be written: Input/output error", str(fault))
            disk.broken.clear()
            room.discard()
            self.assertEqual(disk.open_files, 0)
            self.assertIn(store.load(), (OLD, LATER))
            self.assertNotIn(NEW, disk.names)

    def test_forbidden(self) -> None:
        """A file that we may not read is not a damaged file, and the text says whose it must be."""
        disk = Disk(forbidden=True)
        put(disk, write_stored(OLD))
        fault = self.assertRaises(StoreFault, TokenStore(PATH, disk).load)
        self.assertIn("must belong to the user of this process", str(fault))


class EveryStep(SynchronousTestCase):
    """The process or the machine dies at each system call of a replacement."""

    def steps(self) -> list[str]:
        disk = Disk()
        put(disk, write_stored(OLD))
        replace(TokenStore(PATH, disk))
        return disk.calls

    def die(self, step: int) -> Disk:
        disk = Disk(die_at=step)
        put(disk, write_stored(OLD))
        with self.assertRaises(Killed):
            replace(TokenStore(PATH, disk))
        return disk

    def test_kill(self) -> None:
        """Killed at any call: the file parses and holds the old pair or the new one."""
        seen = []
        for step, call in enumerate(self.steps()):
            store = TokenStore(PATH, self.die(step).after_kill())
            seen.append(store.load())
            self.assertIn(seen[-1], (OLD, LATER), call)
            # The next process is not kept from anything.
            replace(store)
            self.assertEqual(store.load(), LATER)
        self.assertEqual({tokens.serial for tokens in seen}, {1, 2})

    def test_power_loss(self) -> None:
        """Without power at any call, whatever of the names had reached the disk."""
        for lucky in (False, True):
            seen = []
            for step, call in enumerate(self.steps()):
                disk = self.die(step).after_power_loss(names_were_lucky=lucky)
                store = TokenStore(PATH, disk)
                seen.append(store.load())
                self.assertIn(seen[-1], (OLD, LATER), call)
                store.recover()
                self.assertIn(store.load(), (OLD, LATER), call)
                replace(store)
            self.assertEqual({tokens.serial for tokens in seen}, {1, 2})

    def test_recover(self) -> None:
        """What was written whole and had no name yet is not lost."""
        steps = self.steps()
        written = len(steps) - steps[::-1].index("write")
        for step in range(len(steps)):
            store = TokenStore(PATH, self.die(step).after_kill())
            before = store.load()
            recovered = store.recover()
            if step >= written:
                self.assertEqual(store.load(), LATER, steps[step])
            self.assertEqual(recovered is not None, store.load() != before)
            self.assertIsNone(store.recover())

    def test_recover_only_what_is_later(self) -> None:
        """What an older process left is not taken for news."""
        for left in (write_stored(tokens(1)), write_stored(tokens(2)), b" " * 9, b""):
            disk = Disk()
            put(disk, write_stored(LATER))
            disk.names[NEW] = Inode(9, left, left)
            store = TokenStore(PATH, disk)
            self.assertIsNone(store.recover())
            self.assertEqual(store.load(), LATER)

    def test_recover_instead_of_a_damaged_file(self) -> None:
        disk = Disk()
        put(disk, b"{")
        disk.names[NEW] = Inode(9, write_stored(LATER))
        store = TokenStore(PATH, disk)
        self.assertEqual(store.recover(), LATER)
        self.assertEqual(store.load(), LATER)
        disk.names[NEW] = Inode(10, write_stored(tokens(3)))
        disk.read_only = True
        self.assertRaises(StoreFault, store.recover)

    def test_set_aside_that_fails(self) -> None:
        disk = Disk(read_only=True)
        put(disk, b"{")
        self.assertRaises(StoreFault, TokenStore(PATH, disk).set_aside)
        self.assertNotIn(DAMAGED, disk.names)
