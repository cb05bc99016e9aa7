"""This checkout, as a user has it after a clone."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from twisted.trial.unittest import SkipTest

__all__ = ["ROOT", "archive", "readme_commands"]

# The tests may run from a directory of links.
ROOT = Path(__file__).resolve().parent.parent.parent


def archive() -> bytes:
    """Return a tar archive of what a commit of all changes would have in it.

    Raises:
        SkipTest: this is not a checkout.
    """
    git = ["git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT)]
    listed = subprocess.run(
        [*git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        check=False,
    )
    if listed.returncode:
        raise SkipTest("the tests do not run from a git checkout")
    names = [name for name in listed.stdout.split(b"\0") if (ROOT / name.decode()).is_file()]
    return subprocess.run(
        ["tar", "-C", str(ROOT), "--owner=0", "--group=0", "--null", "-T", "-", "-cf", "-"],
        input=b"\0".join(names),
        capture_output=True,
        check=True,
    ).stdout


def readme_commands(section: str) -> list[str]:
    """Return the commands that a section of README shows."""
    text = (ROOT / "README.md").read_text("utf-8")
    (body,) = re.findall(rf"^## {section}$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return re.findall(r"^```sh\n(.*?)\n```$", body, re.MULTILINE | re.DOTALL)
