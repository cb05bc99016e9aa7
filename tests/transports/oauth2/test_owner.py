"""Becoming the owner of a directory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from attrs import define, field
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from metrics_agent.transports.oauth2.owner import Identity, Privileges, become_owner
from tests.integration.watching import environment

ROOT, SERVICE = Identity(0, 0), Identity(990, 991)


@define(eq=False)
class Fake(Privileges):
    """What root may do, recorded."""

    owners: dict[Path, Identity]
    user: int = 0
    given: list[Path] = field(factory=list)
    became: list[Identity] = field(factory=list)

    def effective_user(self) -> int:
        return self.user

    def owner(self, path: Path) -> Identity:
        return self.owners.get(path, ROOT)

    def give(self, directory: Path, identity: Identity) -> None:
        self.given.append(directory)

    def become(self, identity: Identity) -> None:
        self.became.append(identity)


class BecomeOwner(SynchronousTestCase):
    """Decisions."""

    def setUp(self) -> None:
        self.state = Path(self.mktemp()).absolute()
        self.directory = self.state / "netatmo"

    def test_root_becomes_the_owner_of_the_state_directory(self) -> None:
        self.state.mkdir()
        fake = Fake({self.state: SERVICE})
        self.assertEqual(become_owner(self.directory, fake), SERVICE)
        self.assertEqual((fake.became, fake.given), ([SERVICE], []))

    def test_what_root_left_there_before_is_given(self) -> None:
        self.directory.mkdir(parents=True)
        fake = Fake({self.state: SERVICE})
        become_owner(self.directory, fake)
        self.assertEqual(fake.given, [self.directory])

    def test_a_directory_further_up(self) -> None:
        """Where the state directory does not exist yet, its parent's owner will make it."""
        fake = Fake({self.state.parent: SERVICE})
        self.assertEqual(become_owner(self.directory, fake), SERVICE)

    def test_not_root(self) -> None:
        fake = Fake({self.state.parent: SERVICE}, user=1000)
        self.assertIsNone(become_owner(self.directory, fake))
        self.assertEqual(fake.became, [])

    def test_directory_of_root(self) -> None:
        fake = Fake({})
        self.assertIsNone(become_owner(self.directory, fake))
        self.assertEqual(fake.became, [])


SCRIPT = """
import os, sys
from pathlib import Path
from metrics_agent.transports.oauth2.owner import become_owner
from metrics_agent.transports.oauth2.store import TokenStore
from metrics_agent.transports.oauth2.tokens import Tokens
from metrics_agent.config.secret import Secret
directory = Path(sys.argv[1])
print(become_owner(directory))
store = TokenStore(directory / "tokens.json")
lock = store.lock()
room = store.prepare()
room.commit(Tokens("client", Secret("a"), Secret("r"), 0.0, 1.0))
room.discard()
try:
    Path(sys.argv[2]).write_text("root was here")
except PermissionError:
    print("not root any more")
print(os.getgroups())
"""


class AsRoot(SynchronousTestCase):
    """With the real system calls, in a process that root starts."""

    def setUp(self) -> None:
        if os.geteuid() != 0:
            raise SkipTest("only root can become somebody else")
        self.state = Path(self.mktemp()).absolute()
        self.state.mkdir()
        self.root_owned = self.state.parent / "root-owned"
        self.root_owned.write_text("")

    def login(self) -> str:
        os.chown(self.state, SERVICE.user, SERVICE.group)
        # The test's own directory may be one that only root can enter.
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, "netatmo", str(self.root_owned)],
            cwd=self.state,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def assert_all_given(self) -> None:
        for path in (self.state, *self.state.rglob("*")):
            status = path.lstat()
            self.assertEqual((status.st_uid, status.st_gid), (SERVICE.user, SERVICE.group), path)

    def test_files_belong_to_the_service(self) -> None:
        """All that a login of root leaves belongs to the owner of the state directory."""
        said = self.login()
        self.assertIn("Identity(user=990, group=991)", said)
        self.assertIn("not root any more", said)
        self.assertIn("[]", said)
        self.assertEqual(
            {path.name for path in (self.state / "netatmo").iterdir()},
            {"tokens.json", "tokens.json.lock"},
        )
        self.assert_all_given()

    def test_files_that_root_left_before(self) -> None:
        """A directory that root made in an earlier run is mended; links in it are left alone."""
        directory = self.state / "netatmo"
        directory.mkdir()
        (directory / "tokens.json").write_text("{}")
        (directory / "link").symlink_to(self.root_owned)
        self.login()
        self.assert_all_given()
        self.assertEqual(self.root_owned.stat().st_uid, 0)
        self.assertEqual(self.root_owned.read_text(), "")
