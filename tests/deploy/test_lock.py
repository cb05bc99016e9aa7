"""deploy/requirements.lock fits setup.py, on every Python and machine."""

from __future__ import annotations

import re
from runpy import run_path
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from twisted.trial.unittest import SynchronousTestCase

from tests.deploy.paths import DEPLOY

LOCK = DEPLOY / "requirements.lock"
PROGRAM = run_path(str(DEPLOY / "lock.py"))


class Entry(NamedTuple):
    """A package of the lock."""

    parts: list[str]
    requirement: Requirement
    hashes: list[str]


def read_lock() -> list[Entry]:
    """Return the entries, read as install.sh reads them: each below the parts that need it."""
    entries = []
    for block in LOCK.read_text().split("# for: ")[1:]:
        parts, requirement, *hashes = block.strip().replace(" \\", "").split("\n")
        entries.append(Entry(parts.split(), Requirement(requirement), hashes))
    return entries


class LockTests(SynchronousTestCase):
    """What was generated, against what is asked for today."""

    def setUp(self) -> None:
        self.entries = read_lock()
        self.required = PROGRAM["read_setup"]()

    def test_hashes(self) -> None:
        """Each entry is one version with SHA-256 hashes, for all its files."""
        for entry in self.entries:
            name = str(entry.requirement)
            self.assertRegex(str(entry.requirement.specifier), r"^==[^*,]+$", name)
            self.assertTrue(entry.hashes, name)
            for text in entry.hashes:
                self.assertRegex(text, r"^    --hash=sha256:[0-9a-f]{64}$", name)

    def test_satisfies_setup(self) -> None:
        """For each Python, machine and part, the lock has a fitting version of what is required."""
        for python in PROGRAM["PYTHONS"]:
            for machine in ("x86_64", "aarch64", "armv7l"):
                environment = {
                    "python_version": python,
                    "python_full_version": f"{python}.4",
                    "platform_machine": machine,
                    "sys_platform": "linux",
                    "platform_python_implementation": "CPython",
                    "implementation_name": "cpython",
                    "extra": "",
                }
                for part in ("base", "build", *PROGRAM["EXTRAS"]):
                    for text in self.required[part]:
                        self.check(Requirement(text), part, environment)

    def check(self, required: Requirement, part: str, environment: dict[str, str]) -> None:
        if required.marker is not None and not required.marker.evaluate(environment):
            return
        name = canonicalize_name(required.name)
        found = [
            entry
            for entry in self.entries
            if canonicalize_name(entry.requirement.name) == name
            and part in entry.parts
            and (entry.requirement.marker is None or entry.requirement.marker.evaluate(environment))
        ]
        where = f"{required} of {part}, {environment}: run deploy/lock.py"
        self.assertEqual(len(found), 1, where)
        [specifier] = found[0].requirement.specifier
        self.assertIn(specifier.version, required.specifier, where)

    def test_extras(self) -> None:
        """install.sh knows the extras of setup.py, but for those of the demo and of development."""
        [line] = re.findall(r"^# extras: (.*)$", LOCK.read_text(), re.MULTILINE)
        self.assertEqual(
            set(line.split()), self.required.keys() - {"base", "build", "demo", "test", "lint"}
        )

    def test_no_index(self) -> None:
        """It names no index: which one is asked is for the machine's pip.conf to say."""
        self.assertNotIn("://", LOCK.read_text())

    def test_setuptools(self) -> None:
        """Both setuptools and pip are needed for building only."""
        for entry in self.entries:
            if entry.requirement.name in {"setuptools", "pip", "wheel"}:
                self.assertEqual(entry.parts, ["build"])
