"""The reader of an agent's output that keeps nothing: counts, and what is missing.

What numbers itself is followed: the devices of a `tests.integration.load` by ``energy_total``,
and the module `steady` of `tests.faults.faulty`, which counts again in each of its lives.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from attrs import define, field

from benchmarks.endurance.vitals import parse
from tests.integration.case import is_line

__all__ = ["Ledger", "Series"]

_TELEMETRY = re.compile(rb"electricity,(?:\S+,)?device=([^, ]+).* (?:\S+,)?energy_total=(\d+)")
_STEADY = re.compile(rb"steady,life=(\d+),.* number=(\d+)i")


@define
class Series:
    """Numbers from 1 that should all come, once, in order.

    Attributes:
        highest: that has come.
        missing: below it.
        again: how many have come more than once.
    """

    highest: int = 0
    missing: set[int] = field(factory=set)
    again: int = 0

    def take(self, number: int) -> None:
        """Take note of one."""
        if number > self.highest:
            self.missing.update(range(self.highest + 1, number))
            self.highest = number
        elif number in self.missing:
            self.missing.discard(number)
        else:
            self.again += 1


@define
class Ledger:
    """What has come so far.

    Args:
        judge_every: one of so many lines is held against an independent parser.

    Attributes:
        lines: all of them.
        invalid: those that are no line protocol, the first few.
        measurements: how many of each; ``dtu`` says that its socket is open.
        devices: of the loads.
        steady: by life.
        answers: of the module `vitals`, by the number of the question.
    """

    judge_every: int = 1
    lines: int = 0
    invalid: list[bytes] = field(factory=list)
    measurements: dict[bytes, int] = field(factory=dict)
    devices: dict[str, Series] = field(factory=dict)
    steady: dict[bytes, Series] = field(factory=dict)
    answers: dict[int, Mapping[str, int]] = field(factory=dict)
    _rest: bytes = b""

    def take(self, data: bytes) -> None:
        """Take what was read."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._line(line)

    def missing(self, name: str) -> int:
        """Return how many messages are missing of the devices of a load."""
        return sum(
            len(series.missing) for device, series in self.devices.items() if device[:-2] == name
        )

    def holes(self) -> int:
        """Return how many metrics of the steady module are missing."""
        return sum(len(series.missing) for series in self.steady.values())

    def _line(self, line: bytes) -> None:
        self.lines += 1
        if self.lines % self.judge_every == 0 and not is_line(line) and len(self.invalid) < 10:
            self.invalid.append(line)
        measurement = line.partition(b",")[0].partition(b" ")[0]
        self.measurements[measurement] = self.measurements.get(measurement, 0) + 1
        if measurement == b"electricity":
            match = _TELEMETRY.match(line)
            if match is not None:
                self.devices.setdefault(match[1].decode(), Series()).take(int(match[2]))
        elif measurement == b"steady":
            match = _STEADY.match(line)
            if match is not None:
                self.steady.setdefault(match[1], Series()).take(int(match[2]))
        elif b",device=dtu," in line and b" online=true " in line:
            # Once for each connection, whatever the inverters have to say.
            self.measurements[b"dtu"] = self.measurements.get(b"dtu", 0) + 1
        elif measurement == b"vitals":
            answer = parse(line)
            if answer is not None:
                self.answers[answer[0]] = answer[1]
