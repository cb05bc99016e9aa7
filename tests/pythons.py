"""The broad part of the tests on every other Python that is here.

    python -m tests.pythons run OWN_VERSION    runs it, as many at once as there are cores
    python -m tests.pythons total              prints how many tests ran, for each Python

A Python counts if it is on PATH as python3.X or belongs to pyenv, and has venv; of each minor
version the newest. It is run from the checkout and keeps what it makes in .test/.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

__all__ = ["VERSIONS", "candidates", "main", "newest", "run", "total"]

VERSIONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
"""That we support; the classifiers of setup.py."""

_LIMIT_S = 20 * 60
"""For one Python; it takes about 5 minutes."""
_POLL_S = 0.1
_ASK = "import ensurepip, sys, venv; print(*sys.version_info[:3])"
_RESULT = re.compile(r"^(\d+) passed, (\d+) failed, (\d+) skipped$", re.MULTILINE)


def candidates(version: str, path: str, pyenv: Path) -> list[Path]:
    """Return where a Python of this version might be.

    Args:
        version: such as "3.13".
        path: directories as PATH has them.
        pyenv: root of pyenv.
    """
    directories = [Path(name) for name in path.split(os.pathsep) if name]
    directories += sorted((pyenv / "versions").glob(f"{version}.*/bin"))
    programs = (directory / f"python{version}" for directory in directories)
    return [program for program in programs if os.access(program, os.X_OK)]


def newest(version: str, programs: Iterable[Path]) -> Path | None:
    """Return the newest of these that runs, is of this version and has venv."""
    found = [(_version_of(program), program) for program in dict.fromkeys(programs)]
    fitting = [(each, program) for each, program in found if each and each[:2] == _numbers(version)]
    return max(fitting)[1] if fitting else None


class _BroadPart:
    """One run of the broad part, in a process group of its own."""

    def __init__(self, version: str, python: Path, root: Path) -> None:
        self._title = f"Python {version}, {python}"
        self._log = root / ".test" / f"broad-{version}.log"
        self._started_s = time.monotonic()
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                [root / "run-tests", "--broad"],
                env={**os.environ, "PYTHON": str(python)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def has_ended(self) -> bool:
        """Return whether it has ended; it is ended when it has taken too long."""
        if time.monotonic() - self._started_s > _LIMIT_S:
            self.kill()
        return self._process.poll() is not None

    def kill(self) -> None:
        """End it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def report(self) -> bool:
        """Print its last lines, or all of them if it failed; return whether it passed."""
        code = self._process.returncode
        text = self._log.read_text("utf-8", "replace")
        took_s = time.monotonic() - self._started_s
        end = text[max(text.rfind("\n== Result"), 0) :] if code == 0 else f"\n{text}"
        outcome = f"exit code {code}, {took_s:.0f} s"
        sys.stdout.write(f"\n== {self._title}: {outcome}\n{end.lstrip()}")
        sys.stdout.flush()
        return bool(code == 0)


def run(pythons: dict[str, Path], root: Path) -> bool:
    """Run the broad part on these Pythons and print how each ended.

    Args:
        pythons: by version.
        root: of the checkout.

    Returns:
        Whether all passed.
    """
    waiting = list(pythons.items())
    running: list[_BroadPart] = []
    passed = True
    try:
        while waiting or running:
            # One more than there are cores: each waits now and then.
            while waiting and len(running) <= (os.cpu_count() or 1):
                running.append(_BroadPart(*waiting.pop(0), root))
            for part in [part for part in running if part.has_ended()]:
                running.remove(part)
                passed = part.report() and passed
            time.sleep(_POLL_S)
    finally:
        for part in running:
            part.kill()
    return passed


def total(results: Path) -> str:
    """Return the lines that say how many tests ran, for each Python and all together."""
    lines = []
    sums = [0, 0, 0]
    for version in VERSIONS:
        summary = results / version / "summary"
        found = _RESULT.findall(summary.read_text("utf-8")) if summary.exists() else []
        if found:
            numbers = [int(number) for number in found[-1]]
            sums = [one + other for one, other in zip(sums, numbers, strict=True)]
            lines.append(_line(f"python{version}", numbers))
    return "".join([*lines, _line("total", sums)])


def _line(name: str, numbers: Iterable[int]) -> str:
    passed, failed, skipped = numbers
    return f"{name}: {passed} passed, {failed} failed, {skipped} skipped\n"


def _version_of(program: Path) -> tuple[int, ...] | None:
    try:
        # Not in the checkout: pyenv looks there for the version to use.
        answer = subprocess.run(
            [program, "-c", _ASK], capture_output=True, text=True, timeout=60, check=True, cwd="/"
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return tuple(map(int, answer.split()))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def main(what: str, own: str = "") -> int:
    """Do what is asked and return the exit code."""
    # So that what was started is ended too.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(1))
    root = Path.cwd()
    results = root / ".test"
    if what == "total":
        sys.stdout.write(total(results))
        return 0
    results.mkdir(exist_ok=True)
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    pythons = {}
    for version in VERSIONS:
        (results / version / "summary").unlink(missing_ok=True)
        python = newest(version, candidates(version, os.environ["PATH"], pyenv))
        if version != own and python is not None:
            pythons[version] = python
        elif version != own:
            sys.stdout.write(f"Python {version} with venv is not here\n")
    return 0 if run(pythons, root) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
