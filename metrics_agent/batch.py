"""What travels through the output: encoded lines that share one fate."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Batch", "Settle"]

Settle = Callable[[], None]
"""See `Batch`."""


class Batch:
    """Whole lines that are written, dropped and settled together.

    Args:
        data: one or more lines of line protocol, each ending in a newline.
        count: the number of lines.
        settle: called once, when the reader has taken the bytes (where the output does not know:
            when they were written) or they were dropped. Not called for a batch that is still
            queued when the process ends. Must not raise.
        kept: how many of the lines are of messages that their sender keeps until `settle`, and
            sends again to the next process.
        urgent: whoever sent it soon stops sending unless something is settled: an output that lets
            lines wait for others sends them now.

    Attributes:
        queued_s: when it came into the queue of the output, on the reactor's clock.
    """

    __slots__ = ("count", "data", "kept", "queued_s", "settle", "urgent")

    def __init__(
        self,
        data: bytes,
        count: int,
        settle: Settle | None = None,
        *,
        kept: int = 0,
        urgent: bool = False,
    ) -> None:
        self.data = data
        self.count = count
        self.kept = kept
        self.queued_s = 0.0
        self.settle = settle
        self.urgent = urgent
