"""Breaks the code in many ways, one at a time, and shows how soon the simulation notices.

    python -m tests.simulation.mutants [--jobs N] [--results FILE] [--update docs/robustness.md]
        [NAME ...]

Time is processor time of the simulating process: a busy machine does not change it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Final

from attrs import asdict, evolve, frozen

import metrics_agent
from metrics_agent.describe import update
from tests.deliberate_breaks import BREAKS, Break
from tests.simulation.announced_mutants import ANNOUNCED_RACES
from tests.simulation.fix_mutants import FIXES, NOT_TRIED
from tests.simulation.found_mutants import FOUND
from tests.simulation.http_mutants import HTTP_RACES
from tests.simulation.poll_mutants import POLL_RACES
from tests.simulation.race_mutants import RACES
from tests.simulation.reach import OUT_OF_REACH, WHY_MISSED
from tests.simulation.seam_mutants import SEAM_RACES

__all__ = ["GROUPS", "LIMIT_S", "Result", "broken_text", "table"]

LIMIT_S: Final = 120
"""Processor seconds for each."""
_HANGS_S: Final = 60
"""A run that takes longer hangs; an ordinary one takes some 1 s."""
_SHOWN_CHARS: Final = 110
PACKAGE: Final = Path(metrics_agent.__file__).parent
TESTS: Final = Path(__file__).parent.parent

GROUPS: Final[dict[str, tuple[Break, ...]]] = {
    "fix": (*FIXES, *FOUND),
    "break": tuple(each for each in BREAKS if each.name not in OUT_OF_REACH),
    "race": (*RACES, *HTTP_RACES, *ANNOUNCED_RACES, *SEAM_RACES, *POLL_RACES),
}
"""Mutants by kind: reverted fixes, deliberate breaks, races."""


@frozen
class Result:
    """The result of one mutant.

    Attributes:
        group: its kind.
        name: of the mutant.
        found: the simulation noticed.
        cpu_s: processor seconds.
        how: the violation.
        seed: of the run that found it.
        when: it was run, with the code of that time.
    """

    group: str
    name: str
    found: bool
    cpu_s: float
    how: str = ""
    seed: int = 0
    when: str = ""


def broken_text(each: Break) -> str:
    """Return the file with the break.

    Raises:
        ValueError: what is to be replaced is not there exactly once.
    """
    text = (PACKAGE / each.path).read_text("utf-8")
    if text.count(each.old) != 1:
        raise ValueError(f"{each.name}: {text.count(each.old)} times in {each.path}: {each.old!r}")
    return text.replace(each.old, each.new)


def try_one(group: str, each: Break, limit_s: float = LIMIT_S) -> Result:
    """Simulate new seeds with the break, until it is found or the time is over."""
    directory = Path(tempfile.mkdtemp(prefix="mutant-"))
    try:
        copy = directory / "metrics_agent"
        shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
        (directory / "tests").symlink_to(TESTS)
        (copy / each.path).write_text(broken_text(each), "utf-8")
        status, cpu_s, out = _simulate(directory, limit_s)
    finally:
        shutil.rmtree(directory)
    if status == -signal.SIGXCPU:
        return Result(group, each.name, True, cpu_s, "a run does not end")
    if status == 0:
        return Result(group, each.name, False, cpu_s)
    found = re.search(r"^seed (\d+): (.*)", out, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"{each.name}: the simulation does not run: {out[-500:]}")
    how = found[2].replace(f"{directory}/", "")
    return Result(group, each.name, True, cpu_s, how, int(found[1]))


def _simulate(directory: Path, limit_s: float) -> tuple[int, float, str]:
    """Return exit status, processor seconds and output of a search."""
    with (directory / "output").open("w+", encoding="utf-8") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.simulation", "--first", "--cpu-seconds", str(limit_s)],
            cwd=directory,
            env={
                **os.environ,
                "PYTHONPATH": str(directory),
                "PYTHONDONTWRITEBYTECODE": "1",
                "PYTHONHASHSEED": "0",
            },
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        most_s = int(limit_s) + _HANGS_S
        resource.prlimit(child.pid, resource.RLIMIT_CPU, (most_s, most_s + 1))
        _pid, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        return child.returncode, usage.ru_utime + usage.ru_stime, output.read()


def table(results: Sequence[Result], day: date, machine: str) -> str:
    """Return the block of the page."""
    lines = []
    for group, title in (
        ("fix", "fixes reverted"),
        ("break", "deliberate breaks"),
        ("race", "races"),
    ):
        some = [each for each in results if each.group == group]
        found = sum(each.found for each in some)
        lines.append(f"{found} of {len(some)} {title}")
    count = sum(each.found for each in results)
    head = (
        f"{day:%Y-%m-%d}, {machine}: {count} of {len(results)} found ({', '.join(lines)}). Times "
        f"are of a processor; where a mutant was not found, they say how long was searched.\n\n"
        "| mutant | kind | found after | by | run |\n|---|---|---:|---|---|\n"
    )
    if (left := len(_chosen(())) - len(results)) > 0:
        head = head.replace("\n\n", f" Not in this run: {left} others.\n\n", 1)
    rows = []
    for each in results:
        how = each.how if len(each.how) <= _SHOWN_CHARS else f"{each.how[:_SHOWN_CHARS]}…"
        shown = how.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
        after = f"{each.cpu_s:.0f} s" if each.found else f"not in {each.cpu_s:.0f} s"
        text = shown if each.found else _why_missed(each.name)
        rows.append(
            f"| {each.name.replace('_', ' ')} | {each.group} | {after} | {text} | {each.when} |"
        )
    rows.append("\n| not tried | because |\n|---|---|")
    rows += [f"| fix of {fix} | {why} |" for fix, why in NOT_TRIED.items()]
    rows += [f"| {name.replace('_', ' ')} | {why} |" for name, why in OUT_OF_REACH.items()]
    return head + "\n".join(rows)


def _why_missed(name: str) -> str:
    """Return why a mutant may not be found, and the tests that find it if it is a break."""
    tests = next((each.tests for each in BREAKS if each.name == name), "")
    return "; ".join(filter(None, (WHY_MISSED.get(name, ""), tests and f"{tests} finds it")))


def _chosen(names: Collection[str]) -> list[tuple[str, Break]]:
    return [
        (group, each)
        for group, mutants in GROUPS.items()
        for each in mutants
        if not names or each.name in names or group in names
    ]


def _known(path: Path) -> list[Result]:
    """Return the last result of each mutant that there is today, in their order."""
    last = {}
    for line in path.read_text("utf-8").splitlines():
        result = Result(**json.loads(line))
        last[result.name] = result
    return [last[each.name] for _group, each in _chosen(()) if each.name in last]


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutants")
    parser.add_argument("--jobs", type=int, default=1, help="how many at the same time")
    parser.add_argument("--seconds", type=float, default=LIMIT_S, help="for each, of a processor")
    parser.add_argument("--results", type=Path, help="a file of results, added to and used")
    parser.add_argument("--update", type=Path, help="the page whose table is to be written")
    parser.add_argument("names", nargs="*", help="of mutants or kinds; all without")
    options = parser.parse_args()
    results = []
    with ThreadPoolExecutor(options.jobs) as pool:
        chosen = _chosen(options.names)
        for ended in pool.map(lambda each: try_one(each[0], each[1], options.seconds), chosen):
            result = evolve(ended, when=f"{datetime.now(timezone.utc):%d %b %H:%M}")
            results.append(result)
            if options.results is not None:
                with options.results.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(asdict(result)) + "\n")
            word = "found" if result.found else "missed"
            what = (
                f"{result.name}  {result.seed}: {result.how[:90]}" if result.found else result.name
            )
            print(f"{word:6} {result.cpu_s:6.1f} s  {what}", flush=True)
    found = sum(each.found for each in results)
    print(f"{found} of {len(results)} found within {options.seconds:g} s of processor time")
    if options.results is not None:
        results = _known(options.results)
    if options.update is not None:
        machine = f"{os.cpu_count()} cores, Python {platform.python_version()}"
        page = options.update.read_text("utf-8")
        block = table(results, date.today(), machine)  # noqa: DTZ011 - a day for a reader
        options.update.write_text(update(page, "mutants", block), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
