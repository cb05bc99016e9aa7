"""Writes requirements.lock: what install.sh installs, with the hashes of all files.

Run it when setup.py asks for something else, and from time to time for newer versions::

    python3 -m venv /tmp/lock && /tmp/lock/bin/pip install uv && /tmp/lock/bin/python deploy/lock.py

One file serves every Python from 3.10 to 3.14: an entry has a marker where it is needed for some of
them only. The line above an entry says which parts need it: ``base`` for the package itself, the
extras, and ``build`` for building a wheel from a checkout. At the end it checks that each of those
Pythons finds wheels of everything, on x86-64 and on 64-bit ARM.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from runpy import run_path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

CHECKOUT = Path(__file__).resolve().parent.parent
LOCK = CHECKOUT / "deploy" / "requirements.lock"
EXTRAS = ("all", "digest", "http", "speed", "templates", "tls")
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
PLATFORMS = ("x86_64-manylinux_2_28", "aarch64-manylinux_2_28")

_HEAD = """\
# What install.sh installs. Made by deploy/lock.py, which says how; do not edit.
# extras: {extras}
"""
_ELSEWHERE = re.compile(r"; .*sys_platform == '(?!linux)")


def read_setup() -> dict[str, list[str]]:
    """Return what setup.py requires: of ``base``, of each extra, and of ``build``."""
    arguments: dict[str, Any] = {}
    stand_in: Any = ModuleType("setuptools")
    stand_in.find_packages = lambda **_: []
    stand_in.setup = arguments.update
    before = sys.modules.get("setuptools")
    sys.modules["setuptools"] = stand_in
    try:
        run_path(str(CHECKOUT / "setup.py"))
    finally:
        del sys.modules["setuptools"]
        if before is not None:
            sys.modules["setuptools"] = before
    build = re.findall(
        r'^requires = \["(.*)"\]$', (CHECKOUT / "pyproject.toml").read_text(), re.MULTILINE
    )
    return {"base": arguments["install_requires"], "build": build, **arguments["extras_require"]}


def _compile(requirements: list[str], directory: Path, *options: str) -> str:
    source = directory / "requirements.in"
    source.write_text("\n".join(requirements) + "\n")
    return subprocess.run(
        [sys.executable, "-m", "uv", "--no-config", "pip", "compile", "--quiet", "--no-header",
         "--no-annotate", *options, str(source)],
        stdout=subprocess.PIPE, text=True, check=True,
    ).stdout  # fmt: skip


def _entries(text: str) -> list[str]:
    """Return each entry with its hashes, without those of systems that are not ours."""
    entries = re.split(r"\n(?=[a-z0-9])", text.strip())
    return [entry for entry in entries if not _ELSEWHERE.search(entry.partition("\n")[0])]


def _name(entry: str) -> str:
    return entry.partition("=")[0]


def make_lock(directory: Path) -> str:
    """Return the text of the lock, with the newest versions there are."""
    required = read_setup()
    wanted = {part: required[part] for part in ("base", *EXTRAS, "build")}
    universal = ("--universal", "--python-version", PYTHONS[0])
    everything = [requirement for part in wanted.values() for requirement in part]
    text = _compile(everything, directory, *universal, "--generate-hashes")
    # The constraints make the parts agree with the whole.
    constraints = directory / "constraints"
    constraints.write_text(text)
    parts = {
        part: {
            _name(entry)
            for entry in _entries(
                _compile(requirements, directory, *universal, "--constraints", str(constraints))
            )
        }
        for part, requirements in wanted.items()
    }
    lines = [_HEAD.format(extras=" ".join(EXTRAS))]
    for entry in _entries(text):
        users = [part for part, names in parts.items() if _name(entry) in names]
        lines.append(f"# for: {' '.join(users)}\n{entry}\n")
    return "".join(lines)


def check_wheels(text: str, directory: Path) -> None:
    """See that each Python finds a wheel of everything.

    Raises:
        subprocess.CalledProcessError: it does not; uv has said what is missing.
    """
    for python in PYTHONS:
        for platform in PLATFORMS:
            _compile([text], directory, "--only-binary", ":all:", "--python-version", python,
                     "--python-platform", platform)  # fmt: skip


def main() -> None:
    """Write the lock."""
    with TemporaryDirectory() as name:
        text = make_lock(Path(name))
        check_wheels(text, Path(name))
    LOCK.write_text(text)


if __name__ == "__main__":
    main()
