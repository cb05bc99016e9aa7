"""A small disk for one test, in memory."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import TestCase

__all__ = ["mount"]


def mount(case: TestCase, path: Path, options: str) -> Path:
    """Make a directory and mount a file system in memory there; it is gone with the test.

    Raises:
        SkipTest: this user or this machine may not mount.
    """
    if os.getuid() != 0:
        raise SkipTest("mounting needs root")
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        raise SkipTest("mounting is not allowed on this machine")
    case.addCleanup(subprocess.run, ["umount", "-l", str(path)], check=True)
    return path
