"""Run the attacks alone: ``python -m tests.hostile [--all] [test names]``.

With ``--all`` each text field of each message gets each pattern, and attacks that can go on do so
for a minute; that takes about half an hour. Otherwise it is what `./run-tests` runs.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence

from tests.hostile.scale import VARIABLE

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run trial on the tests; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("--all", action="store_true", help="everything, at full length")
    parser.add_argument("tests", nargs="*", metavar="TEST", help="targets of trial; all if none")
    given = parser.parse_args(arguments)
    env = {**os.environ, **({VARIABLE: "all"} if given.all else {})}
    command = [sys.executable, "-m", "twisted.trial", *(given.tests or ["tests.hostile"])]
    return subprocess.run(command, env=env, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
