"""Breaks the code in many ways, one at a time, and shows how soon the simulation notices.

python -m tests.simulation.mutants [NAME ...]
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import metrics_agent
from tests.deliberate_breaks import BREAKS, Break
from tests.simulation.race_mutants import IN_REACH, RACES

LIMIT_S: Final = 120
PACKAGE: Final = Path(metrics_agent.__file__).parent
TESTS: Final = Path(__file__).parent.parent


def try_one(each: Break) -> tuple[str, float, str]:
    """Return whether it was found, after how many seconds, and by which violation."""
    directory = Path(tempfile.mkdtemp(prefix="mutant-"))
    try:
        copy = directory / "metrics_agent"
        shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
        (directory / "tests").symlink_to(TESTS)
        path = copy / each.path
        text = path.read_text("utf-8")
        if text.count(each.old) != 1:
            return "does not apply", 0.0, ""
        path.write_text(text.replace(each.old, each.new), "utf-8")
        began_s = time.monotonic()
        ran = subprocess.run(
            [sys.executable, "-m", "tests.simulation", "--first", "--seconds", str(LIMIT_S)],
            cwd=directory,
            env={**os.environ, "PYTHONPATH": str(directory), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=2 * LIMIT_S,
        )
        taken_s = time.monotonic() - began_s
    except subprocess.TimeoutExpired:
        return "found", 2.0 * LIMIT_S, "it hangs"
    finally:
        shutil.rmtree(directory)
    if ran.returncode == 0:
        return "missed", taken_s, ""
    found = re.search(r"^seed \d+: (.*)", ran.stdout, re.MULTILINE)
    return "found", taken_s, found[1] if found else (ran.stderr.strip().splitlines() or [""])[-1]


def main() -> int:
    """Run from the command line."""
    chosen = sys.argv[1:]
    mutants = [*(each for each in BREAKS if each.name in IN_REACH), *RACES]
    mutants = [each for each in mutants if not chosen or each.name in chosen]
    found = 0
    for each in mutants:
        result, seconds, how = try_one(each)
        found += result == "found"
        print(f"{result:14} {seconds:6.1f} s  {each.name}  {how[:90]}", flush=True)
    print(f"{found} of {len(mutants)} found within {LIMIT_S} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
