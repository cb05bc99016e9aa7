"""What tests of whole processes share: waiting, looking at a process, reading the output."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from attrs import frozen
from twisted.internet import reactor
from twisted.internet.task import deferLater

__all__ = [
    "Said",
    "argv",
    "children",
    "environment",
    "is_alive",
    "memory_bytes",
    "open_files",
    "pause",
    "peak_bytes",
    "python_path",
    "run_to_end",
    "sequences",
    "until",
]

POLL_S = 0.02
_LIMIT_S = 60

_SEQUENCE = re.compile(rb"electricity,(?:\S+,)?device=([^, ]+).* (?:\S+,)?energy_total=(\d+)")


@frozen
class Said:
    """A line of the agent's log, as its parent understood it.

    Attributes:
        level: ``E``, ``W``, ``I``, ``D`` or ``T``.
        text: what follows the prefix.
    """

    level: str
    text: str


async def until(
    true: Callable[[], object], what: str | Callable[[], str], limit_s: float = 20.0
) -> None:
    """Wait for a condition; polling is good enough for other processes.

    Raises:
        AssertionError: it did not come true in time; ``what`` says what was waited for.
    """
    deadline_s = time.monotonic() + limit_s
    while not true():
        if time.monotonic() > deadline_s:
            logged = what if isinstance(what, str) else what()
            raise AssertionError(f"waited {limit_s:g} s for {logged}")
        await deferLater(reactor, POLL_S)


async def pause(seconds: float) -> None:
    """Let time pass."""
    await deferLater(reactor, seconds)


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment for an agent: it uses the same packages as this process."""
    kept = {name: text for name, text in os.environ.items() if name not in _NOT_OURS}
    return {**kept, "PYTHONPATH": python_path(), **(more or {})}


def python_path(*first: Path) -> str:
    """Return a PYTHONPATH with some directories before those of this process."""
    paths = [*first, *(Path(path).absolute() for path in sys.path)]
    return os.pathsep.join(map(str, paths))


_NOT_OURS = ("JOURNAL_STREAM", "NOTIFY_SOCKET", "SYSTEMD_EXEC_PID", "STATE_DIRECTORY")


def argv(command: str, *arguments: str) -> list[str]:
    """Return how to start ``metrics-agent`` or ``twistd``: as installed beside this Python."""
    if command == "twistd":
        return [*_script("twistd", "-c", _TWISTD), "-n", "--pidfile=", "metrics-agent", *arguments]
    return [*_script(command, "-m", "metrics_agent"), *arguments]


_TWISTD = "from twisted.scripts.twistd import run; run()"


def _script(name: str, *instead: str) -> list[str]:
    path = Path(sys.executable).with_name(name)
    return [str(path)] if path.exists() else [sys.executable, *instead]


def run_to_end(
    command: Sequence[str], more: Mapping[str, str] | None = None, *, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, a minute at most, without stdin; its output is text.

    Args:
        command: the program and its arguments.
        more: variables beside those of `environment`.
        cwd: where, None for here.
    """
    return subprocess.run(
        command,
        cwd=cwd,
        env=environment(more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        text=True,
        timeout=_LIMIT_S,
    )


def children(pid: int) -> list[int]:
    """Return the processes whose parent is ``pid``."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                status = (entry / "stat").read_text("utf-8", "replace")
            except OSError:
                continue
            if int(status.rpartition(")")[2].split()[1]) == pid:
                found.append(int(entry.name))
    return sorted(found)


def is_alive(pid: int) -> bool:
    """Return whether a process is there and not a zombie."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def memory_bytes(pid: int) -> int:
    """Return the resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def open_files(pid: int) -> int:
    """Return how many files a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 - a directory of the kernel


def peak_bytes(pid: int) -> int:
    """Return the most resident memory that a process has had."""
    status = Path(f"/proc/{pid}/status").read_text("utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def sequences(lines: Iterable[bytes]) -> dict[str, list[int]]:
    """Return what `load.Load` has numbered: by device, in the order of the output."""
    found: dict[str, list[int]] = {}
    for line in lines:
        match = _SEQUENCE.match(line)
        if match is not None:
            found.setdefault(match[1].decode(), []).append(int(match[2]))
    return found
