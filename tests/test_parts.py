"""The parts of the tests together are all tests."""

from __future__ import annotations

import tempfile
from pathlib import Path

from twisted.python.reflect import namedAny
from twisted.trial.unittest import SynchronousTestCase

from tests.parts import broad, lanes

TESTS = Path(__file__).parent


class PartsTests(SynchronousTestCase):
    """The directory of these tests, and one that is made up."""

    def test_the_lanes_are_all_tests(self) -> None:
        names = [name.removeprefix("tests.") for lane in lanes(TESTS) for name in lane]
        paths = [path.relative_to(TESTS).with_suffix("") for path in TESTS.rglob("test_*.py")]
        found = {
            ".".join(path.parts) if path.parts[0] == "integration" else path.parts[0]
            for path in paths
        }
        self.assertEqual(sorted(names), sorted(found))

    def test_new_tests_are_in_them(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        root = Path(directory.name)
        for path in ("test_one.py", "helper.py", "two/__init__.py", "faults/__init__.py"):
            (root / path).parent.mkdir(exist_ok=True)
            (root / path).touch()
        self.assertEqual(lanes(root), [["tests.test_one", "tests.two"], ["tests.faults"]])
        self.assertEqual(broad(root)[:2], ["tests.test_one", "tests.two"])
        self.assertNotIn("tests.faults", broad(root))

    def test_what_the_broad_part_names_is_there(self) -> None:
        for name in broad(TESTS):
            self.assertIsNotNone(namedAny(name))
