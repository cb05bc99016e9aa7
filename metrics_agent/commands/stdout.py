"""Writes what commands print; a closed pipe, as in `metrics-agent check | head -1`, is ignored.

A text from outside, such as a server's reason or the name of a file, cannot end the line, steer the
terminal or hide: see `characters`.
"""

from __future__ import annotations

import os
import sys
from typing import TextIO

from metrics_agent.characters import visible

__all__ = ["say", "say_error", "say_lines"]


def say(line: str) -> None:
    """Write a line to stdout; it is dropped where stdout is gone, the exit code remains."""
    _write(sys.stdout, line)


def say_lines(text: str) -> None:
    """Write a text of several lines to stdout, in the same way."""
    for line in text.split("\n"):
        say(line)


def say_error(line: str) -> None:
    """Write a line to stderr, in the same way."""
    _write(sys.stderr, line)


def _write(stream: TextIO | None, line: str) -> None:
    if stream is None:  # it was closed at the start
        return
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        stream.write(visible(line).encode(encoding, "backslashreplace").decode(encoding) + "\n")
        stream.flush()
    except OSError:
        # The stream would try what it has buffered again, and complain, at the interpreter's end.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
