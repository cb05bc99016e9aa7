"""deploy/install.sh in scratch roots, with a wheel that replaces ours."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from metrics_agent.config import load
from metrics_agent.modules import find_kind, known_kinds
from tests.deploy.paths import CHECKOUT, DEPLOY
from tests.deploy.stand_in import SAMPLE, make_checkout, make_wheel
from tests.needs import require

LIMIT_S = 240
SCRIPT = DEPLOY / "install.sh"


def mode_of(path: Path) -> str:
    """Return the permissions as they are written."""
    return oct(stat.S_IMODE(path.lstat().st_mode))


def snapshot(root: Path) -> dict[str, tuple[Any, ...]]:
    """Return what would show that a file was written again or a directory changed."""
    seen: dict[str, tuple[Any, ...]] = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        seen[str(path.relative_to(root))] = (status.st_ino, status.st_mode, status.st_mtime_ns)
    return seen


def version_of(command: Path) -> str:
    """Run a command and return the version that it says."""
    result = subprocess.run(
        [command, "--version"], capture_output=True, text=True, timeout=60, check=True,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    )  # fmt: skip
    return result.stdout.strip()


def copy_deploy(directory: Path, lock: str = "") -> Path:
    """Copy deploy/ with a lock for the stand-in, which needs no packages; return the script."""
    shutil.copytree(DEPLOY, directory / "deploy")
    (directory / "deploy/requirements.lock").write_text(f"# extras: all speed\n{lock}")
    return directory / "deploy/install.sh"


class CommandWatch:
    """Looks all the time, in threads, whether a command is there and runs.

    Attributes:
        versions: what the command said, in order.
        failures: what went wrong.
    """

    def __init__(self, command: Path) -> None:
        self.versions: list[str] = []
        self.failures: list[object] = []
        self._command = command
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._repeat, args=(look,), daemon=True)
            for look in (self._look, self._use)
        ]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)

    def _repeat(self, look: Callable[[], None]) -> None:
        try:
            while not self._over.is_set():
                look()
        except Exception as error:
            self.failures.append(error)

    def _look(self) -> None:
        if not os.access(self._command, os.X_OK):
            self.failures.append("not there")
            self._over.wait(0.1)

    def _use(self) -> None:
        self.versions.append(version_of(self._command))


class InstallTestCase(SynchronousTestCase):
    """A scratch root, and the script run on it."""

    timeout = LIMIT_S

    def setUp(self) -> None:
        self.work = Path(self.mktemp()).absolute()
        self.work.mkdir()
        self.root = self.work / "root"
        self.script = copy_deploy(self.work)
        self.wrapper: list[str | Path] = []
        self.command = self.root / "usr/local/bin/metrics-agent"
        self.config = self.root / "etc/metrics-agent/metrics-agent.toml"
        self.snippet = self.root / "etc/telegraf/telegraf.d/metrics-agent.conf"
        self.unit = self.root / "etc/systemd/system/metrics-agent.service"
        self.dropins = self.root / "etc/systemd/system/telegraf.service.d"
        self.versions = self.root / "opt/metrics-agent/versions"
        self.addCleanup(shutil.rmtree, self.work, ignore_errors=True)

    def wheel(self, version: str, **options: str) -> Path:
        return make_wheel(self.work, version, **options)

    def run_script(self, *arguments: str | Path, expect: int = 0, root: bool = True) -> str:
        """Run it and return what it said on both streams."""
        where = ["--root", str(self.root)] if root else []
        result = subprocess.run(
            [*self.wrapper, self.script, "--python", sys.executable, *where, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        self.assertEqual(result.returncode, expect, result.stdout)
        return result.stdout

    def assert_same(self, after: dict[str, Any], before: dict[str, Any]) -> None:
        """Check that two snapshots are equal, and name what differs."""
        different = {
            name for name in before.keys() | after.keys() if before.get(name) != after.get(name)
        }
        self.assertEqual(different, set())

    def version(self) -> str:
        return version_of(self.command)

    def version_directories(self) -> list[str]:
        return sorted(path.name for path in self.versions.iterdir())


class InstallTests(InstallTestCase):
    """The first time and every time after."""

    def test_first(self) -> None:
        """All that the guide names is there, with its owner and mode, and the command runs."""
        said = self.run_script(self.wheel("1.0"))
        self.assertIn("installed metrics-agent 1.0", said)
        self.assertIn(f"1. enable modules in {self.config}\n  2. sudo -u telegraf", said)
        self.assertEqual(self.version(), "metrics-agent 1.0")
        self.assertTrue(self.command.is_symlink())
        self.assertEqual(mode_of(self.config), "0o640")
        self.assertEqual(mode_of(self.config.parent), "0o750")
        self.assertEqual(mode_of(self.root / "var/lib/metrics-agent"), "0o750")
        self.assertEqual(
            self.snippet.read_text(), (DEPLOY / "telegraf/metrics-agent.conf").read_text()
        )
        self.assertEqual(mode_of(self.snippet), "0o644")
        self.assertEqual([path.name for path in self.dropins.iterdir()], ["metrics-agent.conf"])
        self.assertFalse(self.unit.exists())
        caches = list(self.versions.rglob("twisted/plugins/dropin.cache"))
        self.assertEqual([cache.read_text() for cache in caches], ["1.0"])
        self.check_configuration()

    def check_configuration(self) -> None:
        """Check that the configuration is the sample, right as it is, and starts nothing."""
        self.assertEqual(self.config.read_text("utf-8"), SAMPLE)
        config = load(self.config, find_kind, known_kinds)
        self.assertEqual(
            ([module.name for module in config.modules if module.enabled], config.faults),
            ([], ()),
        )

    def test_again(self) -> None:
        """The same wheel again writes nothing at all, and edited files are left alone."""
        wheel = self.wheel("1.0")
        self.run_script(wheel)
        self.config.write_text("# mine\n")
        self.snippet.write_text("# mine too\n")
        before = snapshot(self.root)
        said = self.run_script(wheel)
        self.assertIn("this very wheel is installed already", said)
        self.assertIn("keeps its version until: systemctl restart telegraf\n", said)
        self.assertNotIn("enable modules", said)
        self.assertIn(f"warning: {self.snippet} is kept as it is", said)
        self.assert_same(snapshot(self.root), before)
        self.run_script("--reinstall", wheel)
        self.assertEqual(self.version_directories(), ["1", "2"])
        self.assertEqual(
            (self.config.read_text(), self.snippet.read_text()), ("# mine\n", "# mine too\n")
        )

    def test_upgrade(self) -> None:
        """At every moment of an upgrade the command is there and runs; two versions are kept."""
        self.run_script(self.wheel("1.0"))
        watch = CommandWatch(self.command)
        try:
            for version in ("1.1", "1.2"):
                self.run_script(self.wheel(version))
        finally:
            watch.end()
        self.assertEqual(watch.failures, [])
        self.assertIn("metrics-agent 1.0", watch.versions)
        self.assertEqual(watch.versions, sorted(watch.versions))
        self.assertEqual(self.version(), "metrics-agent 1.2")
        self.assertEqual(self.version_directories(), ["2", "3"])

    def test_new_version_that_does_not_run(self) -> None:
        """It is not switched to, and nothing of it is left."""
        self.run_script(self.wheel("1.0"))
        before = snapshot(self.root)
        # Something was made in there and taken away again.
        versions = before.pop("opt/metrics-agent/versions")
        said = self.run_script(self.wheel("2.0", on_version="raise SystemExit(3)"), expect=1)
        self.assertIn("the new version does not run", said)
        said = self.run_script(self.wheel("3.0", on_version="").with_name("x.whl"), expect=1)
        self.assertIn("no such file", said)
        broken = self.work / "metrics_agent-4.0-py3-none-any.whl"
        broken.write_text("no archive")
        self.assertIn("packages could not be installed", self.run_script(broken, expect=1))
        after = snapshot(self.root)
        self.assertEqual(after.pop("opt/metrics-agent/versions")[:2], versions[:2])
        self.assert_same(after, before)
        self.assertEqual(self.version(), "metrics-agent 1.0")

    def test_faults_in_the_configuration(self) -> None:
        """A configuration that the installed version refuses is said at once."""
        wheel = self.wheel("1.0")
        self.run_script(wheel)
        self.config.write_text("FAULT\n")
        said = self.run_script(wheel)
        self.assertIn(f"warning: {self.config} has faults", said)
        self.assertIn("E! a fault of the stand-in", said)

    def test_another_program_of_that_name(self) -> None:
        """One that is in the command's place is kept under another name."""
        self.command.parent.mkdir(parents=True)
        self.command.write_text("the Go agent")
        said = self.run_script(self.wheel("1.0"))
        replaced = self.command.with_name("metrics-agent.replaced")
        self.assertEqual(replaced.read_text(), "the Go agent")
        self.assertIn(str(replaced), said)
        self.assertEqual(self.version(), "metrics-agent 1.0")

    def test_checkout(self) -> None:
        """It is built from a copy, without what is left of former builds: nothing changes in it."""
        checkout = make_checkout(self.work, self.wheel("1.0"))
        (checkout / "build").mkdir()
        before = snapshot(checkout)
        self.run_script(checkout)
        self.assertEqual(self.version(), "metrics-agent 1.0")
        self.assert_same(snapshot(checkout), before)

    def test_not_root(self) -> None:
        """A scratch root needs no rights at all."""
        python = "/usr/bin/python3"
        if os.geteuid() != 0:
            raise SkipTest("only root can become somebody else; the other tests show it then")
        require("util-linux", "python3-venv")
        room = Path(f"/tmp/install-{os.getpid()}")
        room.mkdir()
        self.addCleanup(shutil.rmtree, room, ignore_errors=True)
        script = copy_deploy(room)
        wheel = make_wheel(room, "1.0")
        os.chown(room, 65534, 65534)
        result = subprocess.run(
            ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups",
             script, "--python", python, "--root", room / "root", wheel],
            env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
            cwd=room, capture_output=True, text=True, timeout=LIMIT_S, check=False,
        )  # fmt: skip
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual((room / "root/etc/metrics-agent").stat().st_uid, 65534)


class ServiceTests(InstallTestCase):
    """--service: systemd runs the agent."""

    def test_there_and_back(self) -> None:
        """Unit, socket and output are in place; back at Telegraf they are gone."""
        wheel = self.wheel("1.0")
        self.run_script("--service", "--user", "somebody", wheel)
        unit = self.unit.read_text()
        self.assertIn("\nUser=somebody\n", unit)
        self.assertIn("\nGroup=somebody\n", unit)
        self.assertIn("inputs.socket_listener", self.snippet.read_text())
        self.assertEqual(
            sorted(path.name for path in self.dropins.iterdir()),
            ["metrics-agent-socket.conf", "metrics-agent.conf"],
        )
        output = "unix:path=/run/telegraf/metrics-agent.sock"
        self.assertEqual(load(self.config, find_kind, known_kinds).settings.output, output)
        before = snapshot(self.root)
        self.run_script("--service", "--user", "somebody", wheel)
        self.assert_same(snapshot(self.root), before)

        self.run_script(wheel)
        self.assertFalse(self.unit.exists())
        self.assertIn("inputs.execd", self.snippet.read_text())
        self.assertEqual([path.name for path in self.dropins.iterdir()], ["metrics-agent.conf"])

    def test_from_telegraf(self) -> None:
        """The snippet is exchanged; a configuration without an output is warned of."""
        wheel = self.wheel("1.0")
        self.run_script(wheel)
        said = self.run_script("--service", wheel)
        self.assertIn("inputs.socket_listener", self.snippet.read_text())
        self.assertIn(f"{self.config} has no output", said)

    def test_edited_snippet(self) -> None:
        """A snippet that would start a second agent stops the script before it does anything."""
        wheel = self.wheel("1.0")
        self.run_script(wheel)
        self.snippet.write_text("  [[inputs.execd]] # mine\n")
        before = snapshot(self.root)
        said = self.run_script("--service", wheel, expect=1)
        self.assertIn("starts an agent too", said)
        self.assert_same(snapshot(self.root), before)


class UninstallTests(InstallTestCase):
    """--uninstall."""

    def files(self) -> list[str]:
        return sorted(
            str(path.relative_to(self.root))
            for path in self.root.rglob("*")
            if path.is_symlink() or path.is_file()
        )

    def test_keeps_what_is_yours(self) -> None:
        """Configuration and state stay, also edited ones of ours; again is harmless."""
        self.run_script("--service", self.wheel("1.0"))
        state = self.root / "var/lib/metrics-agent/state.json"
        state.write_text("{}")
        self.snippet.write_text("# edited\n")
        self.run_script("--uninstall")
        kept = [
            "etc/metrics-agent/metrics-agent.toml",
            "etc/telegraf/telegraf.d/metrics-agent.conf.removed",
            "var/lib/metrics-agent/state.json",
        ]
        self.assertEqual(self.files(), kept)
        self.run_script("--uninstall")
        self.assertEqual(self.files(), kept)
        self.run_script(self.wheel("1.0"))
        self.assertEqual(self.version(), "metrics-agent 1.0")

    def test_snippet_for_a_broker(self) -> None:
        """The one that was put in place by hand is ours: an upgrade keeps it, and it is removed."""
        wheel = self.wheel("1.0")
        self.run_script("--service", wheel)
        ours = self.script.parent / "telegraf/metrics-agent-mqtt.conf"
        shutil.copyfile(ours, self.snippet)
        said = self.run_script("--service", wheel)
        self.assertNotIn("differs", said)
        self.assertEqual(self.snippet.read_text(), ours.read_text())
        said = self.run_script("--uninstall")
        self.assertNotIn("not as we placed it", said)
        self.assertFalse(self.snippet.with_name("metrics-agent.conf.removed").exists())

    def test_purge(self) -> None:
        """--purge leaves no file; a program that is not ours is no business of it."""
        self.run_script(self.wheel("1.0"))
        self.command.unlink()
        self.command.write_text("another program")
        self.run_script("--uninstall", "--purge")
        self.assertEqual(self.files(), ["usr/local/bin/metrics-agent"])

    def link(self, place: str, target: Path | str) -> Path:
        """Make the directory `place`/metrics-agent of the root a link."""
        link = self.root / place / "metrics-agent"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)
        return link

    def test_purge_follows_a_link_to_a_directory_of_our_name(self) -> None:
        """State and configuration on another disk go as well; its directory stays, empty."""
        for ours in ("etc", "var/lib", "var/log"):
            disk = self.root / "disk" / ours / "metrics-agent"
            (disk / "netatmo").mkdir(parents=True)
            (disk / "netatmo/tokens.json").write_text("{}")
            (disk / ".hidden").write_text("")
            link = self.link(ours, disk)
            self.run_script("--uninstall")
            self.assertTrue((disk / "netatmo/tokens.json").exists())
            said = self.run_script("--uninstall", "--purge")
            self.assertEqual(self.files(), [])
            self.assertEqual(list(disk.iterdir()), [])
            self.assertIn(f"emptied {disk}, to which {link} led", said)
            self.assertIn("uninstalled, configuration and state too\n", said)

    def test_purge_leaves_a_directory_of_another_name(self) -> None:
        """A link to a home directory, a parent or the root costs only the link."""
        photo = self.root / "home/me/photo"
        photo.parent.mkdir(parents=True)
        photo.write_text("")
        (self.root / "etc").mkdir()
        for target in (photo.parent, "..", ".", self.root, self.root / "etc"):
            link = self.link("var/lib", target)
            directory = link.resolve()
            said = self.run_script("--uninstall", "--purge")
            self.assertEqual(self.files(), ["home/me/photo"])
            reason = "but that is not named metrics-agent and may hold files of others"
            self.assertIn(f"warning: left {directory}: the link {link} led there, {reason}\n", said)
            self.assertIn(f"configuration and state too, but for: {directory}\n", said)

    def test_purge_names_what_it_leaves(self) -> None:
        """A link out of --root, a link to nothing and links to single files are not followed."""
        outside = self.work / "metrics-agent"
        outside.mkdir()
        (outside / "tokens.json").write_text("{}")
        logs = self.link("var/log", self.root / "not-mounted")
        state = self.link("var/lib", outside)
        self.config.parent.mkdir(parents=True)
        self.config.symlink_to(outside / "agent.toml")
        (self.config.parent / "other.toml").symlink_to("metrics-agent.toml.d/x")
        said = self.run_script("--uninstall", "--purge")
        self.assertEqual(self.files(), [])
        self.assertTrue((outside / "tokens.json").exists())
        left = (
            (f"{outside}/agent.toml", f"the link {self.config} led there"),
            (f"{outside}", f"the link {state} led there, but that is outside of {self.root}"),
            (f"{self.root}/not-mounted", f"the link {logs} led there, but there is no directory"),
        )
        for path, reason in left:
            self.assertIn(f"warning: left {path}: {reason}\n", said)
        self.assertEqual(said.count("warning:"), 3, said)
        names = ", ".join(path for path, _ in left)
        self.assertIn(f"uninstalled, configuration and state too, but for: {names}\n", said)

    def test_nothing_outside_of_root_is_changed(self) -> None:
        """A directory on the way to one of ours that leads out of --root stops the script."""
        for place, ours in (
            ("var", "lib/metrics-agent"),
            ("var/log", "metrics-agent"),
            ("etc", "metrics-agent"),
            ("opt", "metrics-agent/versions"),
            ("usr/local", "bin/metrics-agent"),
            ("etc/systemd/system/telegraf.service.d", "metrics-agent.conf"),
        ):
            outside = self.work / "outside" / place
            (outside / ours).mkdir(parents=True)
            (self.root / place).parent.mkdir(parents=True, exist_ok=True)
            (self.root / place).symlink_to(outside)
            before = snapshot(self.work)
            for arguments in (["--uninstall", "--purge"], [self.work / "not-looked-at.whl"]):
                said = self.run_script(*arguments, expect=1)
                self.assertRegex(said, rf"/{place}\S* leads to {outside}\S*, outside of --root")
            self.assert_same(snapshot(self.work), before)
            (self.root / place).unlink()

    def test_nothing_is_installed_outside_of_root(self) -> None:
        """Nor is a link in the place of a directory of ours followed out of --root."""
        outside = self.work / "outside/metrics-agent"
        outside.mkdir(parents=True)
        for place in ("etc", "opt"):
            link = self.link(place, outside)
            said = self.run_script(self.wheel("1.0"), expect=1)
            self.assertIn(f"{link} leads to {outside}, outside of --root {self.root};", said)
            self.assertEqual(list(outside.iterdir()), [])
            link.unlink()

    def purge_with_mount(self, source: Path, target: Path) -> str:
        """Purge while a directory is mounted on another, for the script alone."""
        require("util-linux")
        namespace = ["unshare", "--mount", "--user", "--map-root-user"]
        tried = subprocess.run([*namespace, "true"], check=False, capture_output=True, text=True)
        if tried.returncode:
            raise SkipTest(f"no mounts and namespaces can be made here: {tried.stderr}")
        command = 'mount --bind "$1" "$2"; shift 2; exec "$@"'
        self.wrapper = [*namespace, "sh", "-ec", command, "sh", source, target]
        return self.run_script("--uninstall", "--purge")

    def test_purge_empties_a_mount_point(self) -> None:
        """The directory stays, and is named; the others go."""
        disk, state, logs = (self.root / name for name in ("disk", "var/lib", "var/log"))
        (disk / "netatmo").mkdir(parents=True)
        (disk / "netatmo/tokens.json").write_text("{}")
        state /= "metrics-agent"
        for directory in (state, logs / "metrics-agent"):
            directory.mkdir(parents=True)
        said = self.purge_with_mount(disk, state)
        self.assertEqual(list(disk.iterdir()), [])
        self.assertFalse((logs / "metrics-agent").exists())
        self.assertIn(f"warning: left {state}: it is empty now, but a mount point\n", said)
        self.assertIn(f"uninstalled, configuration and state too, but for: {state}\n", said)
        self.assertEqual(said.count("warning:"), 1, said)

    def test_purge_leaves_what_is_mounted_inside(self) -> None:
        """Also where it is of the same file system and has an odd name; what is beside it goes."""
        photos = self.root / "photos"
        (photos / "empty").mkdir(parents=True)
        (photos / "photo").write_text("")
        (photos / "link").symlink_to("photo")
        logs = self.root / "var/log/metrics-agent"
        logs.mkdir(parents=True)
        state = self.root / "var/lib/metrics-agent"
        inner = state / "a/[b] *\\ c"
        inner.mkdir(parents=True)
        for beside in ("a/b", "a/[b] *\\ cd", "z"):
            (state / beside).mkdir()
            (state / beside / "tokens.json").write_text("{}")
        said = self.purge_with_mount(photos, inner)
        self.assertEqual(self.files(), ["photos/link", "photos/photo"])
        self.assertTrue((photos / "empty").exists())
        self.assertEqual([*state.rglob("*")], [state / "a", inner])
        self.assertFalse(logs.exists())
        self.assertIn(f"warning: left {inner}: a file system is mounted there\n", said)
        self.assertIn(f"uninstalled, configuration and state too, but for: {inner}\n", said)
        self.assertEqual(said.count("warning:"), 1, said)

    def test_purge_goes_on_after_what_it_cannot_remove(self) -> None:
        """What should be gone and is not makes the exit code 1; the rest goes."""
        if os.geteuid() == 0:
            # The owner is root, so that only its capabilities let it write.
            self.wrapper = ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-all"]
        state, logs = (self.root / f"var/{name}/metrics-agent" for name in ("lib", "log"))
        for directory in (state / "a", logs):
            directory.mkdir(parents=True)
            (directory / "file").write_text("")
        (state / "a").chmod(0o555)
        self.addCleanup((state / "a").chmod, 0o755)
        said = self.run_script("--uninstall", "--purge", expect=1)
        self.assertEqual(self.files(), ["var/lib/metrics-agent/a/file"])
        self.assertIn("Permission denied", said)
        self.assertIn(f"warning: left {state}: not all of it could be removed\n", said)
        self.assertIn(f"uninstalled, configuration and state too, but for: {state}\n", said)


class ArgumentTests(InstallTestCase):
    """What it refuses, before it does anything."""

    def test_refused(self) -> None:
        """Each says what was got and what was expected."""
        empty = self.work / "empty"
        empty.mkdir()
        old = self.work / "old-python"
        old.write_text("#!/bin/sh\n[ $2 = -c ] && exit 1\necho Python 3.9.2\n")
        old.chmod(0o755)
        wheel = self.wheel("1.0")
        for arguments, expected in (
            (["--frobnicate"], "unknown option --frobnicate, see --help"),
            (["--extras"], "--extras needs a value, see --help"),
            (["/a", "b"], 'one SOURCE only, got "/a" and "b"'),
            (["--purge"], "--purge goes with --uninstall only"),
            (["/nothing.whl"], "SOURCE /nothing.whl: no such file or directory"),
            (["metrics-agent"], f"SOURCE {Path.cwd()}/metrics-agent: no such file or directory"),
            ([old], f"SOURCE {old}: not the name of a wheel of metrics-agent, expected"),
            ([empty], f"SOURCE {empty}: a directory without a setup.py"),
            (["--extras", "speed,x", wheel], '"x" is unknown, expected some of: all, speed; or'),
            (["--wheelhouse", "/nowhere", wheel], "--wheelhouse /nowhere: not a directory"),
            (["--python", "no-such-python", wheel], "--python no-such-python: no such command"),
            (["--python", old, wheel], f"{old} is Python 3.9.2, expected 3.10 or newer"),
            (["--python", "false", wheel], "false is not a Python, expected 3.10 or newer"),
        ):  # fmt: skip
            said = self.run_script(*arguments, expect=1)
            self.assertRegex(said, rf"install\.sh: (--extras speed,x: )?{re.escape(expected)}")
        self.assertFalse((self.root / "opt").exists())

    def test_missing_user_comes_first(self) -> None:
        """A missing user is reported before anything else is looked at or changed."""
        if os.geteuid() != 0:
            raise SkipTest("without --root the script runs for root only")
        said = self.run_script("--user", "no-such-user", "/nothing.whl", root=False, expect=1)
        self.assertIn("there is no user no-such-user: install Telegraf first", said)

    def test_link_without_directory(self) -> None:
        """A link to nothing, or a file, in place of a directory is reported before any change."""
        wheel = self.wheel("1.0")
        (self.root / "file").parent.mkdir(parents=True)
        (self.root / "file").write_text("")
        for place in ("etc", "var/lib"):
            link = self.root / place / "metrics-agent"
            for target in (self.root / "not-mounted", self.root / "file"):
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(target)
                said = self.run_script(wheel, expect=1)
                self.assertIn(f"install.sh: {link}: got a link to {target}, expected a", said)
                link.unlink()
            link.write_text("")
            said = self.run_script(wheel, expect=1)
            self.assertIn(f"install.sh: {link}: got a file, expected a directory", said)
            link.unlink()
        self.assertFalse((self.root / "opt").exists())

    def test_two_at_once(self) -> None:
        """The second is refused while the first is at work."""
        require("util-linux")
        base = self.root / "opt/metrics-agent"
        base.mkdir(parents=True)
        with subprocess.Popen(
            ["flock", base / ".lock", "sh", "-c", "echo locked; cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as other:
            assert other.stdin is not None
            assert other.stdout is not None
            self.assertEqual(other.stdout.readline(), b"locked\n")
            said = self.run_script(self.wheel("1.0"), expect=1)
            other.stdin.close()
        self.assertIn("another install.sh is at work", said)

    def test_help(self) -> None:
        """--help names every option that the script knows."""
        said = self.run_script("--help", root=False)
        for line in SCRIPT.read_text().splitlines():
            option = line.strip().partition(")")[0]
            if option.startswith("--") and " " not in option:
                self.assertIn(f"  {option}", said)

    def test_shellcheck(self) -> None:
        """Nothing is left for shellcheck to say."""
        require("shellcheck")
        result = subprocess.run(
            ["shellcheck", "-x", "-a", SCRIPT],
            capture_output=True,
            text=True,
            cwd=CHECKOUT,
            check=False,
        )
        self.assertEqual(result.stdout, "")
