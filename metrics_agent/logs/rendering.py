"""From an entry to physical lines, in the format that whoever reads stderr expects."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final

from metrics_agent.characters import visible
from metrics_agent.logs.events import LogEntry
from metrics_agent.logs.levels import Level

__all__ = ["LOG_FORMATS", "MAX_LINE_BYTES", "choose_format", "render"]

LOG_FORMATS: Final = ("auto", "telegraf", "text", "journald")
"""What the setting ``log_format`` may say."""

MAX_LINE_BYTES: Final = 4096
"""With its newline. Telegraf gives up a child's stderr for good at a line of 64 KiB; a pipe takes
4 KiB in one piece, so that lines of several writers never mix."""

_HEAD_LINES: Final = 30
_TAIL_LINES: Final = 60
"""Of one event; the lines between are counted. A traceback's end says most."""

_CUT: Final = b" [cut]"

_TELEGRAF: Final = {Level.ERROR: "E!", Level.WARN: "W!", Level.INFO: "I!", Level.DEBUG: "D!"}
_JOURNALD: Final = {Level.ERROR: "<3>", Level.WARN: "<4>", Level.INFO: "<6>", Level.DEBUG: "<7>"}


def choose_format(setting: str, fd: int, environ: Mapping[str, str]) -> str:
    """Return the line format for a descriptor.

    Args:
        setting: one of ``LOG_FORMATS``; all but ``auto`` are taken as they are.
        fd: where the lines go.
        environ: ``JOURNAL_STREAM`` is inherited by children whose stderr is something else, so
            it counts only if it names this descriptor.

    Raises:
        ValueError: there is no such format.
    """
    if setting not in LOG_FORMATS:
        raise ValueError(f"got log format {setting!r}, expected one of {', '.join(LOG_FORMATS)}")
    if setting != "auto":
        return setting
    try:
        status = os.fstat(fd)
    except OSError:
        return "telegraf"
    if environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}":
        return "journald"
    return "text" if os.isatty(fd) else "telegraf"


def render(entry: LogEntry, log_format: str) -> Iterator[bytes]:
    """Yield the physical lines of an entry, each at most MAX_LINE_BYTES with its newline.

    The text is one line, whatever it holds: a newline in it may come from a device. The details
    are lines, whose texts from outside were made one line before.
    """
    yield _line(entry, entry.level, entry.text, log_format)
    if entry.details:
        for line in _shortened(entry.details.split("\n")):
            yield _line(entry, Level.DEBUG, line, log_format)


def _line(entry: LogEntry, level: Level, text: str, log_format: str) -> bytes:
    start = _prefix(level, entry.time_s, log_format)
    # No character takes less than a byte: what is beyond cannot be in the line.
    module, text = (visible(each[:MAX_LINE_BYTES]) for each in (entry.module, text))
    data = f"{start}[{module}] {text}".encode()
    if len(data) >= MAX_LINE_BYTES:
        # A character that is cut in two is left out as a whole.
        kept = data[: MAX_LINE_BYTES - 1 - len(_CUT)].decode("utf-8", "ignore")
        data = kept.encode("utf-8") + _CUT
    return data + b"\n"


def _prefix(level: Level, time_s: float, log_format: str) -> str:
    if log_format == "text":
        local = datetime.fromtimestamp(time_s).astimezone()
        return f"{local:%Y-%m-%d %H:%M:%S} {level.name.lower():<5} "
    if log_format == "journald":
        return _JOURNALD[level]
    return f"{_TELEGRAF[level]} "


def _shortened(lines: list[str]) -> list[str]:
    left_out = len(lines) - _HEAD_LINES - _TAIL_LINES
    if left_out <= 0:
        return lines
    middle = f"... {left_out} lines are left out ..."
    return [*lines[:_HEAD_LINES], middle, *lines[-_TAIL_LINES:]]
