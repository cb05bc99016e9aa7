"""From the command line to a plan, or to a complaint and a code."""

from __future__ import annotations

import errno
import os
from importlib import metadata
from pathlib import Path
from typing import Any

from metrics_agent.commands import loading
from metrics_agent.commands.loading import Load, complain, plan_or_complain
from metrics_agent.config import Fault, Found, search
from metrics_agent.errors import ConfigError
from metrics_agent.logs.events import read_event
from metrics_agent.logs.levels import Level, Levels
from metrics_agent.logs.logger import make_logger
from metrics_agent.plan import Plan
from metrics_agent.process.descriptors import Kind
from tests.commands.case import FAULTY, GLOBAL_FAULT, GOOD, NOTHING, CommandCase


class LoadingTests(CommandCase):
    """Over files."""

    def setUp(self) -> None:
        super().setUp()
        self.events: list[dict[str, Any]] = []
        self.log = make_logger(observer=self.events.append)  # type: ignore[arg-type]  # takes an event

    def errors(self) -> list[str]:
        entries = [read_event(event, Levels()) for event in self.events]
        return [each.text for each in entries if each is not None and each.level is Level.ERROR]

    def last(self, name: str = "agent.toml") -> str:
        """Return the line behind the faults."""
        return f"Not started: the configuration {self.directory / name} cannot be used."

    def plan(self, text: str) -> Any:
        return plan_or_complain(self.write(text), self.log)

    def test_plan(self) -> None:
        """The plan, and what reads the file again."""
        plan, load = self.plan(GOOD)
        self.assertIsInstance(plan, Plan)
        self.assertEqual([each.name for each in plan.modules], ["demo"])
        self.write(NOTHING)
        self.assertFalse(load().modules[0].enabled)
        self.assertEqual(self.events, [])

    def load(self, config: str | None) -> Load:
        """Return what reads the configuration again."""
        found = plan_or_complain(config, self.log)
        assert not isinstance(found, int), self.errors()
        return found[1]

    def test_read_again_from_anywhere(self) -> None:
        """A relative path is meant from where the command was given: a daemon goes elsewhere."""
        self.go_there()
        self.write(GOOD, "some.toml")
        load = self.load("some.toml")
        os.chdir("/")
        self.assertEqual(load().path, self.directory / "some.toml")

    def test_stays_with_its_file(self) -> None:
        """The file that was found is read again, also when another would be found by now."""
        self.go_there()
        self.write(GOOD, "config/metrics-agent.toml")
        load = self.load(None)
        self.write(NOTHING, "metrics-agent.toml")
        self.assertEqual(load().path, self.directory / "config" / "metrics-agent.toml")

    def test_file_that_is_not_used(self) -> None:
        """A warning of the first configuration, and of no reload."""
        self.go_there()
        self.write(NOTHING, "metrics-agent.toml")
        self.write(GOOD, "config/metrics-agent.toml")
        reasons = {"metrics-agent.toml": "it is another's", "config": None}
        self.patch(
            search,
            "_distrust",
            lambda place, _cwd, **_how: reasons[place.relative_to(self.directory).parts[0]],
        )
        plan, load = plan_or_complain(None, self.log)
        (warning,) = plan.config.warnings
        self.assertIn("metrics-agent.toml is not used: it is another's", warning)
        self.assertEqual(load().warnings, ())

    def test_pipe_on_stdin(self) -> None:
        """Telegraf's directory is not searched; that of a user at a shell is."""
        seen: list[bool] = []

        def find(*_args: object, has_parent: bool) -> Found:
            seen.append(has_parent)
            return Found(Path("x"))

        self.patch(loading, "find", find)
        for kind in (Kind.PIPE, Kind.SOCKET, Kind.TERMINAL, Kind.NULL, Kind.FILE):
            self.patch(loading, "kind_of", lambda _fd, kind=kind: kind)
            loading.locate(None)
        self.assertEqual(seen, [True, True, False, False, False])

    def test_no_descriptors(self) -> None:
        """What cannot be read for lack of them is named, with the limit to raise."""

        def refuse(*_args: object, **_how: object) -> None:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        reason = r".*cannot be read: Too many open files, raise the limit of open"
        elsewhere = "[elsewhere]\n"
        for owner, name, text in (
            (metadata, "entry_points", elsewhere),
            (Path, "open", GOOD),
        ):
            load = self.load(self.write(GOOD))
            self.write(text)
            patched = self.patch(owner, name, refuse)
            with self.assertRaises(ConfigError) as raised:
                load()
            patched.restore()
            self.assertRegex(str(raised.exception), rf"agent\.toml: {reason}")
        self.patch(metadata, "entry_points", refuse)
        load = self.load(self.write(GOOD))
        self.write("[modules.elsewhere]\nenabled = true\n")
        (module,) = load().modules
        self.assertRegex(str(module.faults[0]), rf"modules\.elsewhere: {reason}")

    def test_installed_modules_are_listed_once(self) -> None:
        """Several unknown names cost one look at all installed packages."""
        listed: list[object] = []

        def entry_points(**which: object) -> list[object]:
            listed.append(which)
            return []

        self.patch(metadata, "entry_points", entry_points)
        load = self.load(self.write(GOOD))
        self.write("[one]\n[two]\n")
        self.assertRaises(ConfigError, load)
        self.assertEqual(len(listed), 1)

    def test_nothing_enabled(self) -> None:
        """Nothing to do is a plan: an exit would be a restart loop."""
        plan, _load = self.plan(NOTHING)
        self.assertEqual(plan.modules, ())

    def test_some_faulty(self) -> None:
        """A faulty module beside a right one is a plan."""
        plan, _load = self.plan(GOOD + FAULTY.replace("demo", '"demo:two"'))
        self.assertEqual((len(plan.modules), len(plan.faulty)), (1, 1))

    def test_nothing_can_run(self) -> None:
        """All faulty: every fault on a line of its own, and 78."""
        self.assertEqual(self.plan(FAULTY + FAULTY.replace("demo", '"demo:two"')), 78)
        self.assertEqual(len(self.errors()), 3)
        self.assertEqual(self.errors()[-1], self.last())

    def test_global_fault(self) -> None:
        """A wrong global key is one too, whatever modules there are."""
        self.assertEqual(self.plan(GLOBAL_FAULT + GOOD), 78)
        self.assertEqual(len(self.errors()), 3)

    def test_no_file(self) -> None:
        """So is a file that is missing, here and when it is read again."""
        self.assertEqual(plan_or_complain(str(self.directory / "none.toml"), self.log), 78)
        self.assertIn("none.toml", self.errors()[0])
        self.assertEqual(self.errors()[-1], self.last("none.toml"))
        load = self.load(self.write(GOOD))
        Path(self.directory / "agent.toml").unlink()
        with self.assertRaises(ConfigError):
            load()

    def test_no_file_found(self) -> None:
        """There is no name to say then but those of the places looked at."""
        self.go_there()
        self.assertEqual(plan_or_complain(None, self.log), 78)
        self.assertEqual(self.errors()[1:], ["Not started: there is no configuration."])

    def test_directory_gone(self) -> None:
        """An absolute path can be read from a directory that was removed; others are not there."""
        path = self.write(GOOD)
        gone = self.directory / "gone"
        gone.mkdir()
        self.addCleanup(os.chdir, Path.cwd())
        os.chdir(gone)
        gone.rmdir()
        self.assertEqual(self.load(path)().path, Path(path))
        self.assertEqual(plan_or_complain("agent.toml", self.log), 78)
        self.assertEqual(self.errors()[0], "agent.toml: no such file")

    def test_complain(self) -> None:
        """Each reason is a line that is never folded, and a last one that says what it means."""
        path = self.directory / "agent.toml"
        faults = [Fault("a", "1", "2"), Fault("b", "1", "2")]
        self.assertEqual(complain(ConfigError(faults), self.log, path), 78)
        a, b = (str(fault) for fault in faults)
        self.assertEqual(self.errors(), [a, b, self.last()])
        self.assertEqual({event["fold"] for event in self.events}, {False})
