"""The last lines of a test run: what was skipped and why, what failed, and how many tests ran.

    python summary.py TRIAL_LOG ALLOWED_SKIPS

With CI=true a skip whose reason is not allowed makes it end with 1: there every broker, browser,
database and Telegraf must be found. So does a run without a test.
"""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from pathlib import Path

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


def main(log_path: str, allowed_path: str) -> int:
    """Print the summary and return the exit code."""
    log = Path(log_path).read_text("utf-8", "replace")
    allowed = [
        line
        for line in Path(allowed_path).read_text("utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    result = counts(log)
    failed = (
        result.get("failures", 0) + result.get("errors", 0) + result.get("unexpectedSuccesses", 0)
    )
    code = 1 if failed or not result.get("tests") else 0
    for reason, count in skip_reasons(log).most_common():
        is_allowed = any(re.fullmatch(pattern, reason) for pattern in allowed)
        print(f"skipped {count}: {reason}")
        if not is_allowed and os.environ.get("CI") == "true":
            print("  a failure here: in CI everything that the tests name must be installed")
            code = 1
    for name in failed_tests(log):
        print(f"failed: {name}")
    passed = result.get("successes", 0)
    print(f"{passed} passed, {failed} failed, {result.get('skips', 0)} skipped")
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
