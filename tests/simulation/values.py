"""What the state files of the test module must hold: the last number, as far as the disk works."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from tests.simulation.disk import SimDisk

__all__ = ["Values"]


class Values:
    """See the module.

    Args:
        violate: called with what must not happen.
        disk: has the files.
    """

    def __init__(self, violate: Callable[[str], object], disk: SimDisk) -> None:
        self._violate = violate
        self._disk = disk
        self._failures = 0
        self._last: Counter[str] = Counter()
        self._written: set[str] = set()
        self._on_file: Counter[str] = Counter()
        self._on_disk: Counter[str] = Counter()

    def last(self, name: str) -> int:
        """Return the last number of an instance."""
        return self._last[name]

    def next(self, name: str) -> int:
        """Return the next number of an instance."""
        self._last[name] += 1
        return self._last[name]

    def written(self, name: str, *, at_once: bool) -> None:
        """Take note that an instance has written its last number."""
        self._written.add(name)
        if at_once and not self._disk.error:
            self._on_file[name] = self._last[name]

    def read(self, name: str, path: str, value: Any) -> None:
        """Compare what an instance reads at its start."""
        if self._disk.error and self._disk.unreadable:
            return
        least = self._last[name] if name in self._written else self._on_file[name]
        if value is None:
            if least and not self._disk.may_be_damaged(path):
                self._violate(f"{name} has lost its value, which was at least {least}")
            self._on_file[name] = self._on_disk[name] = 0
        elif not least <= value <= self._last[name]:
            self._violate(f"{name} reads {value}, not {least} to {self._last[name]}")

    def process_starts(self) -> None:
        """Take note that a new process knows only what the files have."""
        self._written.clear()

    def stop_begins(self) -> None:
        """Take note of the faults of the disk so far."""
        self._failures = self._disk.failures

    def stop_ends(self) -> None:
        """Take note of an orderly stop, which writes all, unless the disk fails."""
        if self._disk.failures == self._failures:
            for name in self._written:
                self._on_file[name] = self._on_disk[name] = self._last[name]

    def lose_power(self) -> None:
        """Take note that what was not synced may be lost."""
        self._on_file = self._on_disk.copy()
