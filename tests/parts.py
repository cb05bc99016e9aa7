"""The parts of the tests that `./run-tests` runs: everything in three lanes, or the broad part.

    python -m tests.parts lanes    a line for each lane; they run at the same time
    python -m tests.parts broad    one line: what CI runs on every other Python

Each line has targets for trial.
"""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = ["broad", "lanes", "main"]

_WAITING = (("integration.",), ("faults", "hostile"))
"""Beginnings of what waits most of the time: the lanes beside that of all others."""

_WITH_THE_OTHERS = "integration.test_netatmo"
"""So that each lane takes about as long: some 27 minutes on two cores."""

_NOT_BROAD = (
    *("bare", "deploy", "faults", "hostile"),
    *("benchmarks", "fuzz", "integration", "test_breaks"),
)
"""What takes long and depends little on the version of Python; without the following."""

_BROAD = (
    # TLS and HTTP
    "tests.integration.test_certificates",
    "tests.integration.test_mqtt_secure",
    "tests.integration.test_netatmo_login",
    "tests.integration.test_opendtu.TlsTests",
    "tests.faults.test_https.HttpsTests.test_https_wrong_authority",
    "tests.faults.test_https.HttpsTests.test_https_wrong_host",
    # packaging
    "tests.integration.test_wheel",
    # demo
    "tests.integration.test_demo",
    # the agent as a process: signals, output, exit codes
    "tests.integration.test_signals",
)


def _top(directory: Path) -> list[str]:
    """Return the names of the packages and test modules of the directory of the tests."""
    packages = [path.parent.name for path in directory.glob("*/__init__.py")]
    return sorted([*packages, *(path.stem for path in directory.glob("test_*.py"))])


def lanes(directory: Path) -> list[list[str]]:
    """Return the targets of each lane; together they are all tests."""
    names = [name for name in _top(directory) if name != "integration"]
    names += sorted(f"integration.{path.stem}" for path in directory.glob("integration/test_*.py"))
    parts: list[list[str]] = [[] for _lane in range(len(_WAITING) + 1)]
    for name in names:
        number = next((n for n, lane in enumerate(_WAITING, 1) if name.startswith(lane)), 0)
        parts[0 if name.startswith(_WITH_THE_OTHERS) else number].append(f"tests.{name}")
    return [part for part in parts if part]


def broad(directory: Path) -> list[str]:
    """Return the targets of the broad part: all unit tests, and a choice of the others."""
    return [*(f"tests.{name}" for name in _top(directory) if name not in _NOT_BROAD), *_BROAD]


def main(what: str) -> int:
    """Print a part's targets and return the exit code."""
    here = Path(__file__).parent
    lines = {"lanes": lambda: lanes(here), "broad": lambda: [broad(here)]}[what]()
    sys.stdout.write("".join(f"{' '.join(line)}\n" for line in lines))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
