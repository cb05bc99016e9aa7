"""Which Pythons are found, and what is said of the tests on each."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from importlib.metadata import metadata
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.pythons import VERSIONS, candidates, newest, run, total

RUN_TESTS = """\
#!/bin/sh
echo "much before"
echo
echo "== Result"
echo "$* on $PYTHON"
echo "5 passed, 0 failed, 0 skipped"
case $PYTHON in *bad*) exit 1 ;; esac
"""


class PythonsTests(SynchronousTestCase):
    """With programs that are scripts."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.root = Path(directory.name)
        (self.root / ".test").mkdir()

    def program(self, path: str, text: str) -> Path:
        """Make a script that a shell runs."""
        program = self.root / path
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(text)
        program.chmod(0o755)
        return program

    def python(self, path: str, answer: str) -> Path:
        """Make a Python that gives its version as the answer."""
        return self.program(path, f"#!/bin/sh\n{answer}\n")

    def test_the_newest_of_path_and_pyenv_is_chosen(self) -> None:
        older = self.python("one/python3.13", "echo 3 13 2")
        pyenv = self.root / "pyenv"
        newer = self.python("pyenv/versions/3.13.10/bin/python3.13", "echo 3 13 10")
        self.python("pyenv/versions/3.1.9/bin/python3.1", "echo 3 1 9")
        path = os.pathsep.join(["", str(self.root / "one"), str(self.root / "none")])
        found = candidates("3.13", path, pyenv)
        self.assertEqual(found, [older, newer])
        self.assertEqual(newest("3.13", found), newer)

    def test_a_python_that_cannot_be_used_is_left_out(self) -> None:
        """One without venv, a link of pyenv to no version, one of another version."""
        found = [
            self.python("a/python3.12", "echo no module named ensurepip >&2; exit 1"),
            self.python("b/python3.12", "exit 127"),
            self.python("c/python3.12", "echo 3 11 9"),
            self.root / "d/python3.12",
        ]
        self.assertIsNone(newest("3.12", found))

    def test_versions_are_those_that_the_package_supports(self) -> None:
        prefix = "Programming Language :: Python :: 3."
        classifiers = metadata("metrics-agent").get_all("Classifier") or []
        supported = [each for each in classifiers if each.startswith(prefix)]
        found = [f"3.{each.removeprefix(prefix)}" for each in supported]
        self.assertEqual(found, list(VERSIONS[: len(found)]))

    def broad_parts(self, **pythons: str) -> tuple[bool, str]:
        """Run them and return whether all passed, and what was printed."""
        self.program("run-tests", RUN_TESTS)
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            passed = run({name: Path(path) for name, path in pythons.items()}, self.root)
        return passed, said.getvalue()

    def test_the_broad_part_is_run_on_each(self) -> None:
        passed, said = self.broad_parts(one="/good/1", two="/good/2", three="/good/3")
        self.assertTrue(passed)
        for number in range(1, 4):
            self.assertIn(f"== Result\n--broad on /good/{number}\n5 passed", said)
        self.assertNotIn("much before", said)

    def test_one_that_fails_is_shown_whole(self) -> None:
        passed, said = self.broad_parts(one="/bad/1", two="/good/2")
        self.assertFalse(passed)
        self.assertEqual(said.count("much before"), 1)
        self.assertRegex(said, "== Python one, /bad/1: exit code 1, .*\nmuch before")

    def test_the_counts_of_all_are_added(self) -> None:
        for version, line in (("3.10", "5 passed, 1 failed, 2 skipped"), ("3.14", "killed")):
            (self.root / ".test" / version).mkdir()
            (self.root / ".test" / version / "summary").write_text(f"skipped\n{line}\n")
        (self.root / ".test/3.11").mkdir()
        (self.root / ".test/3.11/summary").write_text("7 passed, 0 failed, 0 skipped\n")
        expected = (
            "python3.10: 5 passed, 1 failed, 2 skipped\n"
            "python3.11: 7 passed, 0 failed, 0 skipped\n"
            "total: 12 passed, 1 failed, 2 skipped\n"
        )
        self.assertEqual(total(self.root / ".test"), expected)
