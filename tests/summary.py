"""The last lines of a test run: what was skipped and why, what failed, and how many tests ran.

    python -m tests.summary ALLOWED_SKIPS TRIAL_LOG...
    python -m tests.summary --failed TRIAL_LOG...                  only the tests that failed
    python -m tests.summary --alone LOG ALLOWED_SKIPS TRIAL_LOG... LOG is of those, run once more

Tests skipped because something is not installed are grouped by what to install. With CI=true a skip
whose reason is not allowed makes it end with 1: there every broker, browser, database and Telegraf
must be found. So does a log without a test.
"""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.needs import NEEDS, missing_name

RAN = re.compile(r"^Ran (\d+) tests? in [\d.]+s$", re.MULTILINE)
COUNTS = re.compile(r"^(?:PASSED|FAILED)(?: \((.*)\))?$", re.MULTILINE)
SKIPPED = re.compile(r"^\[SKIPPED\]\n(.*?)\n\n((?:tests\.\S+\n)+)", re.MULTILINE | re.DOTALL)
FAULT = re.compile(
    r"^\[(?:FAIL|ERROR|SUCCESS!\?!)\]\n.*?^((?:tests\.\S+\n)+)(?=={79}|-{79})",
    re.MULTILINE | re.DOTALL,
)


def failed_tests(log: str) -> list[str]:
    """Return the names of the tests that failed; one with several faults once."""
    names = [name for block in FAULT.findall(log) for name in block.split()]
    return list(dict.fromkeys(names))


def skip_reasons(log: str) -> Counter[str]:
    """Return how many tests were skipped for each reason."""
    reasons: Counter[str] = Counter()
    for reason, names in SKIPPED.findall(log):
        reasons[" ".join(reason.split())] += len(names.splitlines())
    return reasons


def counts(log: str) -> dict[str, int]:
    """Return trial's own counts: successes, failures, errors, skips; empty without a result."""
    ran = RAN.findall(log)
    found = COUNTS.findall(log)
    if not ran or not found:
        return {}
    pairs = (pair.split("=") for pair in found[-1].split(", ") if "=" in pair)
    return {"tests": int(ran[-1]), **{name: int(count) for name, count in pairs}}


def skip_line(reason: str, count: int) -> str:
    """Return the line about tests that were skipped for one reason."""
    tests = "1 test" if count == 1 else f"{count} tests"
    name = missing_name(reason)
    what = reason if name is None else f"install {name} ({NEEDS[name].instruction()})"
    return f"{tests} skipped: {what}"


def total(results: Sequence[Mapping[str, int]]) -> str:
    """Return the line that says how many tests ran, of all of these counts."""
    passed = sum(result.get("successes", 0) for result in results)
    skipped = sum(result.get("skips", 0) for result in results)
    return f"{passed} passed, {sum(map(faults, results))} failed, {skipped} skipped"


def faults(result: Mapping[str, int]) -> int:
    """Return how many tests failed."""
    return sum(result.get(name, 0) for name in ("failures", "errors", "unexpectedSuccesses"))


def settled(alone: str, names: Sequence[str]) -> bool:
    """Say whether all the tests that had failed passed in this log."""
    result = counts(alone)
    return bool(names) and result.get("tests", 0) >= len(names) and not faults(result)


def as_passed(result: Mapping[str, int], names: Sequence[str]) -> dict[str, int]:
    """Return the counts with these tests, all that failed, among the successes."""
    none = dict.fromkeys(("failures", "errors", "unexpectedSuccesses"), 0)
    return {**result, **none, "successes": result.get("successes", 0) + len(names)}


def main(*arguments: str) -> int:
    """Print the summary and return the exit code."""
    if arguments[0] == "--failed":
        for path in arguments[1:]:
            print(*failed_tests(Path(path).read_text("utf-8", "replace")), sep="\n")
        return 0
    alone = ""
    if arguments[0] == "--alone":
        alone = Path(arguments[1]).read_text("utf-8", "replace")
        arguments = arguments[2:]
    allowed_path, *log_paths = arguments
    logs = [Path(path).read_text("utf-8", "replace") for path in log_paths]
    allowed = [
        line
        for line in Path(allowed_path).read_text("utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    results = [counts(log) for log in logs]
    failed = [failed_tests(log) for log in logs]
    passed_alone = settled(alone, [name for names in failed for name in names])
    if passed_alone:
        results = [
            as_passed(result, names) if result else result
            for result, names in zip(results, failed, strict=True)
        ]
    code = 1 if any(faults(result) or not result.get("tests") for result in results) else 0
    reasons = sum(map(skip_reasons, logs), Counter[str]())
    for reason, count in reasons.most_common():
        print(skip_line(reason, count))
        is_allowed = any(re.fullmatch(pattern, reason) for pattern in allowed)
        if not is_allowed and os.environ.get("CI") == "true":
            print("  a failure here: in CI everything that the tests name must be installed")
            code = 1
    for name in (name for names in failed for name in names):
        print(
            f"failed beside other tests, passed alone: {name}"
            if passed_alone
            else f"failed: {name}"
        )
    for path, result in zip(log_paths, results, strict=True):
        if not result:
            print(f"ended without a result: {path}")
    print(total(results))
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
