"""The command line: which command runs, with what, and what is wrong."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from metrics_agent import cli
from metrics_agent._version import __version__
from metrics_agent.cli import main
from metrics_agent.commands import (
    check,
    connect,
    demo,
    login,
    modules,
    once,
    run,
    sample_config,
    status,
    tap,
)
from tests.commands.case import CommandCase


class CliTests(CommandCase):
    """With commands that are only recorded, and no real handlers."""

    def setUp(self) -> None:
        super().setUp()
        self.ran: list[Any] = []
        self.patch(cli, "boot", lambda: "process")
        for module, name in (
            (check, "check"),
            (connect, "connect"),
            (demo, "demo"),
            (login, "login"),
            (modules, "modules"),
            (once, "once"),
            (run, "run"),
            (sample_config, "sample_config"),
            (status, "status"),
            (tap, "tap"),
        ):
            self.patch(module, name, self.recorder(name))

    def recorder(self, name: str) -> Any:
        def command(*args: Any, **named: Any) -> int:
            self.ran.append((name, *args, *named.values()))
            return 7

        return command

    def test_commands(self) -> None:
        """Each word is a command, which gets the process, its file and its options."""
        for words, expected in (
            ("", ("run", "process", None)),
            ("run", ("run", "process", None)),
            ("-c a.toml", ("run", "process", "a.toml")),
            ("--config a.toml run", ("run", "process", "a.toml")),
            ("run -c a.toml", ("run", "process", "a.toml")),
            ("-c a.toml run -c b.toml", ("run", "process", "b.toml")),
            ("check", ("check", None)),
            ("check -c a.toml", ("check", "a.toml")),
            ("check --connect -c a.toml", ("connect", "process", "a.toml")),
            ("-c a.toml check", ("check", "a.toml")),
            ("once", ("once", "process", None, 10.0)),
            ("once --seconds 0.5 -c a.toml", ("once", "process", "a.toml", 0.5)),
            ("modules", ("modules", None)),
            ("modules demo", ("modules", "demo")),
            ("sample-config", ("sample_config", [])),
            ("sample-config demo netatmo", ("sample_config", ["demo", "netatmo"])),
            ("demo", ("demo", "process", None, False)),
            ("demo --seconds 3", ("demo", "process", 3.0, False)),
            ("demo --lines", ("demo", "process", None, True)),
            ("status", ("status", None, None, None, False, None)),
            (
                "status -c a.toml --module tasmota:b --device plug --json --watch",
                ("status", "a.toml", "tasmota:b", "plug", True, 2.0),
            ),
            ("status --watch 0.5", ("status", None, None, None, False, 0.5)),
            ("tap", ("tap", "process", None, None)),
            ("tap -c a.toml plug", ("tap", "process", "a.toml", "plug")),
            ("login netatmo", ("login", "process", None, "netatmo")),
        ):
            self.ran.clear()
            self.assertEqual(main(words.split()), 7, words)
            self.assertEqual(self.ran, [expected], words)

    def test_arguments_of_the_process(self) -> None:
        """Without arguments those of the process are taken."""
        self.patch(sys, "argv", ["metrics-agent", "check", "-c", "a.toml"])
        self.assertEqual(main(), 7)
        self.assertEqual(self.ran, [("check", "a.toml")])

    def test_version(self) -> None:
        """The version is printed and nothing runs, whatever is beside it."""
        for words in ("--version", "-V", "-c a.toml --version", "-V run"):
            self.assertEqual(main(words.split()), 0)
            self.assertEqual(self.said()[-1], f"metrics-agent {__version__}")
        self.assertEqual((self.ran, len(self.said())), ([], 4))

    def test_wrong(self) -> None:
        """What is wrong ends with 2 and is reported on stderr, never on stdout."""
        for words in (
            "walk",
            "--walk",
            "run --walk",
            "run extra",
            "once --seconds 0",
            "once --seconds -1",
            "once --seconds soon",
            "once --seconds nan",
            "demo --seconds inf",
            "status --watch 0",
            "status extra",
            "tap a b",
            "login",
            "modules demo netatmo",
            "-c",
        ):
            with self.assertRaises(SystemExit) as caught:
                main(words.split())
            self.assertEqual(caught.exception.code, 2, words)
        self.assertEqual((self.ran, self.said()), ([], []))
        self.assertIn("got 'soon', expected a number of seconds above 0", self.stderr.getvalue())

    def test_help(self) -> None:
        """The help names every command, the signals and the exit codes."""
        with self.assertRaises(SystemExit) as caught:
            main(["--help"])
        self.assertEqual(caught.exception.code, 0)
        commands = (
            "run",
            "check",
            "once",
            "modules",
            "sample-config",
            "demo",
            "login",
            "status",
            "tap",
        )
        for word in (*commands, "SIGHUP", "70", "78"):
            self.assertIn(word, self.stdout.getvalue())


class ImportTests(CommandCase):
    """What is imported before the handlers stand: each millisecond is one in which SIGHUP kills."""

    def test_next_to_nothing(self) -> None:
        """The version needs neither Twisted nor attrs nor the configuration."""
        code = (
            "import sys; from metrics_agent.cli import main; main(['--version']);"
            "print([n for n in ('twisted', 'attrs', 'cattrs', 'orjson', 'argparse', 'paho',"
            "'metrics_agent.config') if n in sys.modules])"
        )
        result = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
        )
        self.assertEqual(result.stdout.splitlines()[-1], "[]")
