"""What the README shows is true."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from unittest import skipUnless

from twisted.trial.unittest import SynchronousTestCase

import metrics_agent
from metrics_agent.config import load
from metrics_agent.modules import BUILT_IN, find_kind, known_kinds
from metrics_agent.process.exit import ExitCode
from tests.needs import NEEDS

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
SNIPPET = ROOT / "deploy" / "telegraf" / "metrics-agent.conf"
INSTALLED = Path(metrics_agent.__file__).parent.parent
"""Where the package is: elsewhere than the tests when they run on the wheel."""


def blocks(language: str) -> list[str]:
    """Return the fenced blocks of a language."""
    return re.findall(
        rf"^```{language}\n(.*?)^```$", README.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )


def settings(text: str) -> list[str]:
    """Return the lines of a configuration that are in force."""
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


@skipUnless(README.exists() and SNIPPET.exists(), "the tests run without the documentation")
class ReadmeTests(SynchronousTestCase):
    """Each block and table that can be held against the code is."""

    def test_the_snippet_for_telegraf_is_the_one_that_is_shipped(self) -> None:
        (shown,) = [block for block in blocks("toml") if "inputs.execd" in block]
        self.assertEqual(settings(shown), settings(SNIPPET.read_text("utf-8")))

    def test_the_configuration_loads(self) -> None:
        (shown,) = [block for block in blocks("toml") if "modules.tasmota" in block]
        directory = Path(tempfile.mkdtemp())
        self.addCleanup(directory.rmdir)
        secret, path = directory / "secret", directory / "metrics-agent.toml"
        self.addCleanup(secret.unlink)
        self.addCleanup(path.unlink)
        secret.write_text("word")
        path.write_text(shown.replace("/etc/metrics-agent/mqtt-password", str(secret)))
        config = load(path, find_kind, known_kinds)
        self.assertEqual((config.faults, config.warnings), ((), ()))
        self.assertEqual([module.name for module in config.modules], ["tasmota"])

    def test_the_exit_codes_are_those_of_the_code(self) -> None:
        shown = re.findall(r"^\| (\d+) \|", README.read_text("utf-8"), re.MULTILINE)
        self.assertEqual([int(code) for code in shown], [int(code) for code in ExitCode])

    def test_every_module_is_listed(self) -> None:
        """Once each."""
        shown = re.findall(r"^\| \[?`(\w+)`", README.read_text("utf-8"), re.MULTILINE)
        self.assertEqual(sorted(shown), sorted(BUILT_IN))

    def test_what_most_tests_need_is_named(self) -> None:
        self.assertIn(f"`{NEEDS['mosquitto'].instruction()}`", README.read_text("utf-8"))

    def test_links_lead_somewhere(self) -> None:
        links = re.findall(r"\]\(([^)#:]+)\)", README.read_text("utf-8"))
        lost = [link for link in links if not any((at / link).exists() for at in (ROOT, INSTALLED))]
        self.assertEqual(lost, [])

    def test_both_commands_are_on_the_first_screen(self) -> None:
        first_screen = "\n".join(README.read_text("utf-8").splitlines()[:35])
        self.assertIn("metrics-agent demo", first_screen)
        self.assertIn("./run-tests", first_screen)
