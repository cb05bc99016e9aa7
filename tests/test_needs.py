"""What tests need, and that each of them says so in one way."""

from __future__ import annotations

from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from tests import needs
from tests.needs import NEEDS, Need, debian_packages, find, missing, missing_name, require

TESTS = Path(__file__).parent
PROGRAM = "no-such-program"


class NeedsTests(SynchronousTestCase):
    """A table with something that is there, and something that is not."""

    def setUp(self) -> None:
        table = {
            "shell": Need(("sh", "env"), "dash coreutils"),
            "etc": Need(("/etc/host*",), "base-files"),
            "json": Need(modules=("json",), how="pip install json"),
            "half": Need(("sh", PROGRAM), "half-a-package"),
            "file": Need((f"/etc/{PROGRAM}*",), "a-file"),
            "module": Need(modules=("no_such_module",), how="pip install it"),
        }
        self.patch(needs, "NEEDS", table)

    def test_found(self) -> None:
        self.assertRegex(find("shell"), "/sh$")
        self.assertRegex(find("shell", "env"), "/env$")
        self.assertRegex(find("etc"), "^/etc/host")
        require("shell", "etc", "json")

    def test_skipped_where_a_part_is_not_there(self) -> None:
        for name in ("half", "file", "module"):
            with self.assertRaisesRegex(SkipTest, f"^{name} is not installed$"):
                require("shell", name)
            self.assertEqual(missing_name(missing(name) or ""), name)
        self.assertRaises(SkipTest, find, "half", "sh")

    def test_other_reasons_have_no_instruction(self) -> None:
        for reason in ("only root may", "it is not installed", "the json is not installed"):
            self.assertIsNone(missing_name(reason))

    def test_an_unknown_name_is_an_error(self) -> None:
        self.assertRaises(KeyError, require, "moskito")

    def test_debian_packages(self) -> None:
        expected = ["dash", "coreutils", "a"]
        self.assertEqual(debian_packages([NEEDS["amqtt"], *map(_named, expected)]), expected)


class SourcesTests(SynchronousTestCase):
    """The tests themselves."""

    def test_no_test_looks_for_programs_past_the_table(self) -> None:
        """Or the last lines of a run could not say what to install."""
        past = [
            str(path.relative_to(TESTS))
            for path in TESTS.rglob("*.py")
            if path.name not in {"needs.py", "test_needs.py", "test_summary.py"}
            and any(word in path.read_text("utf-8") for word in ("shutil.which", 'not installed"'))
        ]
        self.assertEqual(past, [])

    def test_every_entry_says_how_to_install_it(self) -> None:
        for name, need in NEEDS.items():
            self.assertTrue(need.packages or need.how, name)
            self.assertTrue(need.files or need.modules, name)
            self.assertEqual(missing_name(f"{name} is not installed"), name)


def _named(package: str) -> Need:
    return Need((package,), package)
