"""README's commands as an ordinary user has them, in a Debian with what README asks for."""

from __future__ import annotations

from line_protocol_parser import parse_line

from tests.bare.case import CLONE, USER, TreeCase
from tests.bare.checkout import readme_commands

DEMO_S = 25
"""Two rounds of messages at least, since a module that starts late misses the first."""
DEMO_MEASUREMENTS = {"electricity", "climate", "state", "inverter", "demo"}
"""Some of each module's."""


class ReadmeTests:
    """The first screen of the README, command by command."""

    def test_try_it(self) -> None:
        """The demo shows metrics of every module, then the tests run."""
        demo, tests = readme_commands("Try it")
        tree = self.tree_with_user()
        shown = tree.run(f"cd {CLONE} && {demo} --seconds {DEMO_S}", user=USER)
        lines = [parse_line(line) for line in shown.stdout.splitlines()]
        self.assertLessEqual(DEMO_MEASUREMENTS, {line["measurement"] for line in lines})
        self.assertNotIn("E! ", shown.stderr)
        self.assertNotIn("Traceback", shown.stderr)

        shown = tree.run(f"cd {CLONE} && {tests} tests.output", user=USER)
        self.assertRegex(shown.stdout, r"(?m)^[1-9]\d* passed, 0 failed, \d+ skipped$")


class BookwormTests(ReadmeTests, TreeCase):
    """Python 3.11."""

    release = "bookworm"


class TrixieTests(ReadmeTests, TreeCase):
    """Python 3.13."""

    release = "trixie"
