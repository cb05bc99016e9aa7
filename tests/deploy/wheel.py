"""The wheel of this project."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.deploy.paths import CHECKOUT

LIMIT_S = 300
_PARTS = ("setup.py", "pyproject.toml", "README.md", "LICENSE", "metrics_agent", "twisted")


def find_wheel(case: SynchronousTestCase) -> Path:
    """Return the wheel that ./run-tests has built; without it, build one.

    Raises:
        SkipTest: it cannot be built, since pip reaches no index.
    """
    built = os.environ.get("METRICS_AGENT_WHEEL")
    if built:
        return Path(built)
    room = Path(case.mktemp()).absolute()
    (room / "source").mkdir(parents=True)
    for part in _PARTS:
        path = CHECKOUT / part
        if path.is_dir():
            shutil.copytree(path, room / "source" / part)
        else:
            shutil.copy(path, room / "source" / part)
    require_index(room)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", room, room / "source"],
        check=True,
        timeout=LIMIT_S,
        stdin=subprocess.DEVNULL,
    )
    return next(room.glob("*.whl"))


def require_index(room: Path) -> None:
    """Have the test skipped where pip reaches no index."""
    result = subprocess.run(
        [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", room / "x", "attrs"],
        check=False,
        timeout=LIMIT_S,
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )
    if result.returncode:
        raise SkipTest("pip reaches no index of packages, so nothing can be installed")
