"""The rows of faults that this process cannot heal itself: who does, and how long it takes."""

from __future__ import annotations

from typing import Final

from attrs import frozen

from tests.faults.row import Row

__all__ = ["NEXT_LAYER", "Fatal"]

_PARENT: Final = "the parent, after its restart_delay (1 s here)"


@frozen
class Fatal:
    """A row, and what the test has to do.

    Attributes:
        row: see there.
        fault: of `faulty.FaultySettings`, struck in a tick.
        exits: what the first process may end with; empty: it must not end.
        at_least_s: so long nothing else can run, or the test has not seen the fault.
        said: must be on stderr, part by part, parted by ``|``.
    """

    row: Row
    fault: str
    exits: tuple[int, ...]
    at_least_s: float
    said: str = ""


NEXT_LAYER: Final = (
    Fatal(
        Row(
            "tick_busy",
            "timer tick",
            "100 % CPU for 10 s",
            "the watchdog writes the blocking stack to stderr; then everything continues",
            "itself, once the code returns",
        ),
        "busy",
        (),
        9.5,
        "in _busy|The reactor was blocked for",
    ),
    Fatal(
        Row(
            "tick_forever",
            "timer tick",
            "blocks forever",
            "the watchdog writes the guilty stack to stderr, then ends the process with 70",
            _PARENT,
        ),
        "forever",
        (70,),
        3.5,
        "in _forever|this process ends with status 70",
    ),
    Fatal(
        Row(
            "tick_close_descriptors",
            "timer tick",
            "os.close of our descriptors",
            "the watchdog finds that the reactor cannot be woken and ends the process with 70",
            _PARENT,
        ),
        "close_descriptors",
        (70,),
        1.0,
    ),
    Fatal(
        Row(
            "tick_segmentation_fault",
            "timer tick",
            "segmentation fault in C",
            "the process is gone",
            _PARENT,
        ),
        "segmentation_fault",
        (-11,),
        1.0,
    ),
    Fatal(
        Row("tick_kill", "timer tick", "SIGKILL", "the process is gone", _PARENT),
        "kill",
        (-9,),
        1.0,
    ),
)
