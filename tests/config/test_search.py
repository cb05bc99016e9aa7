"""Where a configuration is looked for, and which of the files there are trusted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from unittest import skipIf

from attrs import evolve, frozen
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.config.document import read
from metrics_agent.config.search import Found, find
from metrics_agent.errors import ConfigError

US, OTHER = 1000, 1001


@frozen
class Status:
    """What counts of a file's status; the rest is the file's own."""

    st_uid: int
    st_mode: int


class SearchCase(SynchronousTestCase):
    """Has a current directory of user 1000, who is the caller, and a system's directory."""

    def setUp(self) -> None:
        self.cwd = Path(self.mktemp()).resolve()
        self.system = self.cwd / "etc"
        (self.cwd / "config").mkdir(parents=True)
        self.system.mkdir()
        self.changes: dict[tuple[Path, bool], dict[str, Any]] = {}
        self.patch(os, "geteuid", lambda: US)
        real = Path.stat

        def stat(path: Path, *, follow_symlinks: bool = True) -> Status:
            status = Status(US, real(path, follow_symlinks=follow_symlinks).st_mode)
            return evolve(status, **self.changes.get((path, follow_symlinks), {}))

        self.patch(Path, "stat", stat)
        self.patch(Path, "lstat", lambda path: path.stat(follow_symlinks=False))

    def change(self, path: Path, **what: int) -> None:
        """Have a file or directory look otherwise."""
        for follow in (True, False):
            self.changes[path, follow] = what

    def find(self, path: str | None = None, *, has_parent: bool = False) -> Path:
        return self.found(path, has_parent=has_parent).path

    def found(self, path: str | None = None, *, has_parent: bool = False) -> Found:
        return find(path, self.cwd, has_parent=has_parent, system=self.system)


class FindTests(SearchCase):
    """Where the file is looked for."""

    def test_the_first_of_the_places_wins(self) -> None:
        names = (
            "etc/config.json", "etc/config.toml", "etc/metrics-agent.json",
            "etc/metrics-agent.toml", "config/metrics-agent.json", "config/metrics-agent.toml",
            "metrics-agent.json", "metrics-agent.toml",
        )  # fmt: skip
        for name in names:
            (self.cwd / name).touch()
            self.assertEqual(self.find(), self.cwd / name)

    def test_a_directory_of_that_name_is_passed_over(self) -> None:
        (self.cwd / "metrics-agent.toml").mkdir()
        (self.system / "config.toml").touch()
        self.assertEqual(self.find(), self.system / "config.toml")

    def test_a_directory_that_may_not_be_entered_is_passed_over(self) -> None:
        """As the home directory of the user who runs ``sudo -u telegraf metrics-agent check``."""
        (self.system / "config.toml").touch()
        seen = Path.stat

        def stat(path: Path, *, follow_symlinks: bool = True) -> Any:
            if self.system not in path.parents:
                raise PermissionError
            return seen(path, follow_symlinks=follow_symlinks)

        self.patch(Path, "stat", stat)
        self.assertEqual(self.find(), self.system / "config.toml")

    def test_without_a_file_all_places_are_named(self) -> None:
        error = self.assertRaises(ConfigError, self.find)
        text = str(error)
        self.assertTrue(text.startswith("configuration: got no file, expected one of "), text)
        hint = "; or give -c FILE; `metrics-agent sample-config` prints one to begin with"
        self.assertTrue(text.endswith(hint), text)
        for name in ("metrics-agent.toml", "config/metrics-agent.json", "etc/config.toml"):
            self.assertIn(str(self.cwd / name), text)

    def test_a_given_path_is_taken_as_it_is(self) -> None:
        self.assertEqual(self.find("a/b.toml"), self.cwd / "a/b.toml")
        self.assertEqual(self.find("/a/b.toml"), Path("/a/b.toml"))

    @skipIf(os.geteuid() == 0, "root may read everything")
    def test_a_place_that_may_not_be_looked_at_is_not_passed_over(self) -> None:
        self.system.chmod(0)
        self.addCleanup(self.system.chmod, 0o700)
        path = self.find()
        error = self.assertRaises(ConfigError, read, path)
        self.assertIn("cannot be read: Permission denied", str(error))


class TrustTests(SearchCase):
    """A file of the current directory is read for the user who wrote it, and for no other."""

    def setUp(self) -> None:
        super().setUp()
        self.here = self.cwd / "metrics-agent.toml"
        self.there = self.system / "config.toml"
        for path in (self.here, self.there):
            path.write_text("")
            path.chmod(0o644)

    def assert_passed_over(self, reason: str, **how: bool) -> None:
        """The system's file is used with a warning; without that the fault names the reason."""
        found = self.found(**how)
        self.assertEqual(found.path, self.there)
        (warning,) = found.warnings
        self.assertEqual(
            warning, f"{self.here} is not used: {reason}; to use it, give -c {self.here}"
        )
        self.there.unlink()
        error = self.assertRaises(ConfigError, self.found, **how)
        self.assertIn(warning, str(error))
        self.assertEqual(self.found(str(self.here), **how), Found(self.here))

    def test_own(self) -> None:
        """Others may read it, and the user's group may write to it."""
        self.here.chmod(0o664)
        self.assertEqual(self.found(), Found(self.here))

    def test_root(self) -> None:
        """Not even its own: `sudo` keeps the directory of whoever has called it."""
        self.patch(os, "geteuid", lambda: 0)
        self.change(self.here, st_uid=0)
        self.assert_passed_over("root reads no configuration from the current directory")

    def test_parent(self) -> None:
        self.assert_passed_over(
            "with a pipe on stdin none is read from the current directory",
            has_parent=True,
        )

    def test_file_of_another(self) -> None:
        for owner in (OTHER, 0):
            self.setUp()
            self.change(self.here, st_uid=owner)
            self.assert_passed_over(f"it belongs to user {owner}, and this is user {US}")

    def test_link(self) -> None:
        """A link of another user to a file of ours, or of ours to another's."""
        for follow in (True, False):
            self.setUp()
            self.changes[self.here, follow] = {"st_uid": OTHER}
            self.assert_passed_over(f"it belongs to user {OTHER}, and this is user {US}")
        self.setUp()
        self.here.rename(self.cwd / "elsewhere.toml")
        self.here.symlink_to(self.cwd / "elsewhere.toml")
        self.assertEqual(self.find(), self.here)

    def test_everybody_may_write(self) -> None:
        self.here.chmod(0o666)
        self.assert_passed_over("every user can write to it")

    def test_directory_of_another(self) -> None:
        """That user could replace the file; a directory of root's is as good as our own."""
        self.change(self.cwd, st_uid=OTHER)
        self.assert_passed_over(f"its directory belongs to user {OTHER}, and this is user {US}")
        self.change(self.cwd, st_uid=0)
        self.assertEqual(self.find(), self.here)

    def test_directory_above_of_another(self) -> None:
        """That user could replace ./config/ with all that is in it."""
        self.here.unlink()
        self.here = self.cwd / "config" / "metrics-agent.toml"
        self.here.write_text("")
        self.change(self.cwd, st_uid=OTHER)
        self.assert_passed_over(f"its directory belongs to user {OTHER}, and this is user {US}")

    def test_directory_of_everybody(self) -> None:
        """So could every user there, unless its sticky bit is set as in /tmp."""
        self.cwd.chmod(0o777)
        self.assert_passed_over("every user can write to its directory")
        self.cwd.chmod(0o1777)
        self.assertEqual(self.find(), self.here)

    def test_next_place(self) -> None:
        """A file that is not used does not end the search, in the current directory either."""
        self.change(self.here, st_uid=OTHER)
        (self.cwd / "config" / "metrics-agent.json").touch(0o600)
        found = self.found()
        self.assertEqual(found.path, self.cwd / "config" / "metrics-agent.json")
        self.assertEqual(len(found.warnings), 1)
