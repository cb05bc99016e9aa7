"""The tests notice what they are there for: the code is broken on purpose, and they must fail."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import metrics_agent
from tests.deliberate_breaks import BREAKS, Break

PACKAGE = Path(metrics_agent.__file__).parent
HERE = Path(__file__).parent.parent
LIMIT_S = 120
WHOLE_LIMIT_S = 600
"""Of all tests together; alone on two cores they take some 40 s."""


class BreakTests(SynchronousTestCase):
    """One test for each break; they are added below."""

    def test_there_are_twenty(self) -> None:
        """The list is as long as promised, and each break has its own name."""
        self.assertGreaterEqual(len({each.name for each in BREAKS}), 20)

    def test_without_a_break_they_pass(self) -> None:
        """The same copy, unbroken: what fails with a break fails because of it."""
        directory, _copy = self.copy()
        names = sorted({name for each in BREAKS for name in each.tests.split()})
        ran = self.run_tests(directory, names, WHOLE_LIMIT_S)
        self.assertEqual(ran.returncode, 0, ran.stdout[-2000:])

    def copy(self) -> tuple[Path, Path]:
        """Copy the package; return the directory to run tests in, and the copy in it."""
        directory = Path(tempfile.mkdtemp(prefix="broken-"))
        self.addCleanup(shutil.rmtree, directory)
        copy = directory / "metrics_agent"
        shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
        (directory / "tests").symlink_to(HERE / "tests")
        return directory, copy

    def run_tests(
        self, directory: Path, names: Sequence[str], limit_s: float = LIMIT_S
    ) -> subprocess.CompletedProcess[str]:
        """Run tests on the copy."""
        return subprocess.run(
            [sys.executable, "-m", "twisted.trial", *names],
            cwd=directory,
            env={
                **os.environ,
                "PYTHONPATH": str(directory),
                "PYTHONDONTWRITEBYTECODE": "1",
                "TMPDIR": str(directory),  # what broken tests leave goes with the copy
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
        )

    def check(self, each: Break) -> None:
        """Break a copy of the package, and see its tests fail."""
        directory, copy = self.copy()
        path = copy / each.path
        text = path.read_text("utf-8")
        self.assertEqual(text.count(each.old), 1, f"{each.old!r} in {each.path}")
        path.write_text(text.replace(each.old, each.new), "utf-8")
        ran = self.run_tests(directory, each.tests.split())
        self.assertNotEqual(ran.returncode, 0, f"nobody noticed:\n{ran.stdout[-2000:]}")
        # They must fail because of the break, not because they cannot be run.
        self.assertNotIn("ImportError", ran.stdout)
        self.assertNotIn("does not name an object", ran.stdout)
        self.assertIn("FAILED (", ran.stdout)


def _test_of(each: Break) -> Callable[[BreakTests], None]:
    def test(self: BreakTests) -> None:
        self.check(each)

    test.__doc__ = f"{each.name.replace('_', ' ').capitalize()}: noticed by {each.tests}."
    return test


for _each in BREAKS:
    setattr(BreakTests, f"test_{_each.name}", _test_of(_each))
