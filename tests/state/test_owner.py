"""Root at work in the state directory: with the rights of its owner, and with no others."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from metrics_agent.config.secret import Secret
from metrics_agent.oauth2.store import TokenStore
from metrics_agent.oauth2.tokens import Tokens
from metrics_agent.state import owner
from metrics_agent.state.files import Files
from metrics_agent.state.owner import (
    UserAndGroup,
    acting_as_owner,
    give_to_owner,
    owner_to_act_as,
    repair,
)

SERVICE = UserAndGroup(990, 991)


class Status:
    """What counts of a directory's status."""

    st_uid, st_gid = SERVICE.user, SERVICE.group


class Decisions(SynchronousTestCase):
    """Whose rights are used."""

    def setUp(self) -> None:
        self.state = Path(self.mktemp()).absolute()
        self.state.mkdir()
        self.patch(os, "geteuid", lambda: 0)
        self.owners = {self.state: Status}
        real = Path.stat
        self.patch(Path, "stat", lambda path, **how: self.owners.get(path) or real(path, **how))
        self.patch(Path, "lstat", lambda path: path.stat(follow_symlinks=False))

    def test_the_owner(self) -> None:
        self.assertEqual(owner_to_act_as(self.state), SERVICE)

    def test_the_next_directory_up_that_exists(self) -> None:
        """Where the directory does not exist yet, the owner of the one above will make it."""
        self.assertEqual(owner_to_act_as(self.state / "a" / "b"), SERVICE)

    def test_not_root(self) -> None:
        self.patch(os, "geteuid", lambda: 1000)
        self.assertIsNone(owner_to_act_as(self.state))

    def test_directory_of_root(self) -> None:
        self.assertIsNone(owner_to_act_as(Path("/")))

    def test_rights_that_root_cannot_have(self) -> None:
        """On another system than Linux the work is done all the same."""
        self.patch(owner, "_libc", lambda: None)
        with acting_as_owner(self.state):
            (self.state / "a").touch()


class AsRoot(SynchronousTestCase):
    """With the real system calls."""

    def setUp(self) -> None:
        if os.geteuid() != 0:
            raise SkipTest("only root can become somebody else")
        # Not below the tests' own directory, which may be one that only root can enter.
        above = Path(tempfile.mkdtemp(prefix="metrics-agent-"))
        self.addCleanup(shutil.rmtree, above)
        above.chmod(0o755)
        self.state = above / "state"
        self.state.mkdir()
        os.chown(self.state, SERVICE.user, SERVICE.group)
        self.of_root = above / "of-root"
        self.of_root.mkdir()
        (self.of_root / "secret").write_text("s3cret")
        (self.of_root / "secret").chmod(0o600)

    def assert_all_of_service(self) -> None:
        for path in (self.state, *self.state.rglob("*")):
            status = path.lstat()
            self.assertEqual((status.st_uid, status.st_gid), (SERVICE.user, SERVICE.group), path)

    def store(self) -> None:
        """Store tokens, as a login does."""
        store = TokenStore(self.state / "netatmo" / "tokens.json")
        lock = store.lock()
        room = store.prepare()
        room.commit(Tokens("client", Secret("a"), Secret("r"), 0.0, 1.0))
        room.discard()
        self.assertIsNotNone(store.load())
        lock.release()

    def test_files_belong_to_the_owner(self) -> None:
        self.store()
        names = {path.name for path in self.state.rglob("*")}
        self.assertEqual(names, {"netatmo", "tokens.json", "tokens.json.lock"})
        self.assert_all_of_service()

    def test_what_root_left_before(self) -> None:
        """It is given to the owner, and can be used; links in it are left alone."""
        directory = self.state / "netatmo"
        directory.mkdir()
        (directory / "tokens.json").write_text("{}")
        (directory / "link").symlink_to(self.of_root / "secret")
        self.store()
        self.assert_all_of_service()
        self.assertEqual((self.of_root / "secret").stat().st_uid, 0)

    def test_a_file_elsewhere(self) -> None:
        """An output file that root makes is given to the owner, who goes on with it."""
        path = self.of_root / "output"
        with path.open("wb") as file:
            give_to_owner(file.fileno(), self.state)
            give_to_owner(-1, self.state)  # what cannot be given away is not an error
        self.assertEqual((path.stat().st_uid, path.stat().st_gid), (SERVICE.user, SERVICE.group))

    def test_repair_of_what_is_not_there(self) -> None:
        """A directory that is not there, or is none, is left to whoever uses it next."""
        repair(self.state / "nothing")
        (self.state / "file").touch()
        repair(self.state / "file")
        self.assertEqual((self.state / "file").stat().st_uid, 0)

    def test_links_of_the_owner(self) -> None:
        """Root does not read or write by a link where the owner could not."""
        (self.state / "netatmo").symlink_to(self.of_root)
        (self.state / "file").symlink_to(self.of_root / "secret")
        for name in ("netatmo", "file"):
            os.lchown(self.state / name, SERVICE.user, SERVICE.group)
        self.assertRaises(PermissionError, self.read, self.state / "file")
        self.assertRaises(PermissionError, Files().create, self.state / "netatmo" / "new")
        self.assertEqual([path.name for path in self.of_root.iterdir()], ["secret"])

    def read(self, path: Path) -> bytes:
        """Read with the rights of the directory of the link, whatever that is in."""
        with acting_as_owner(self.state):
            return path.read_bytes()

    def test_this_thread_for_this_time(self) -> None:
        """Other threads, and this one afterwards, have root's rights; an error changes nothing."""
        seen: list[str] = []
        secret = self.of_root / "secret"
        begun = threading.Event()

        def read() -> None:
            begun.wait(10)
            seen.append(secret.read_text())

        thread = threading.Thread(target=read)
        thread.start()
        with acting_as_owner(self.state):
            self.assertRaises(PermissionError, secret.read_text)
            begun.set()
            thread.join()
        self.assertEqual(seen, ["s3cret"])
        with self.assertRaises(ZeroDivisionError), acting_as_owner(self.state):
            raise ZeroDivisionError
        self.assertEqual(secret.read_text(), "s3cret")
        self.assertEqual(os.geteuid(), 0)
