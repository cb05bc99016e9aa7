"""What a subject of the benchmarks is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from attrs import frozen

__all__ = ["Setup", "Subject"]


@frozen
class Setup:
    """What a subject shall do.

    Attributes:
        port: of the broker on the loopback interface.
        directory: a directory of its own for configuration and state.
        qos: to subscribe with.
        shared_group: of agents that share the load; empty for a single one.
        number: of this one among several.
        database: where to write to, a URL without a path; empty for stdout.
    """

    port: int
    directory: Path
    qos: int = 0
    shared_group: str = ""
    number: int = 0
    database: str = ""


class Subject(Protocol):
    """Something that takes SENSOR messages from a broker.

    Attributes:
        name: for the table.
        asks: it tells its count only when asked, by a message on ``bench/report``.
        quiet_s: when it has written nothing for this time, it has written all.
    """

    name: str
    asks: bool
    quiet_s: float

    def missing(self) -> str:
        """Return why it cannot be measured here, empty if it can."""
        ...

    def version(self) -> str:
        """Return its version."""
        ...

    def count(self, data: bytes, before: int) -> int:
        """Count messages in what it has written to stdout, see `collector.Count`."""
        ...

    def command(self, setup: Setup) -> Sequence[str]:
        """Write what it needs into the directory and return the command that starts it."""
        ...
