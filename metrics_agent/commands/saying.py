"""What a command tells a person on stdout; `metrics-agent check | head -1` is no fault of ours."""

from __future__ import annotations

import os
import sys

__all__ = ["say"]


def say(line: str) -> None:
    """Write a line to stdout; where it cannot be written it goes nowhere, the code still tells."""
    stdout = sys.stdout
    if stdout is None:  # it was closed when we came
        return
    encoding = getattr(stdout, "encoding", None) or "utf-8"
    try:
        stdout.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        stdout.flush()
    except OSError:
        # What is kept in there would be tried again, and complained of, at the interpreter's end.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stdout.fileno())
        os.close(nowhere)
