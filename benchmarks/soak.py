"""An hour of faults, one a minute, on one agent: `python -m benchmarks.soak`.

The agent runs with everything it collects from (`endurance.stage`) under a load of 250 messages a
second. After each fault every message must be there that a healthy agent could have had, and the
agent is asked how it is doing. In the first round of all faults everything happens for the first
time; what the last round shows is held against the second.

Status 0 if nothing was lost that should not be, no line was invalid, the process never ended and
everything is flat; otherwise 1.

`python -m benchmarks.soak kills` is the other soak, see `benchmarks.kills`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from attrs import asdict, define, field, frozen

from benchmarks import kills
from benchmarks.endurance.faults import FAULTS, METERS, PLUGS, Fault, start_loads
from benchmarks.endurance.stage import Cleanups, Stage, run
from benchmarks.endurance.vitals import Reading
from metrics_agent.describe import update
from tests.integration.watching import pause

__all__ = ["Minute", "Soak", "main"]

_MB: Final = 1e6
_TOLERANCES: Final = {
    "descriptors": 0.0,
    "threads": 0.0,
    "delayed_calls": 0.0,
    "objects": 0.01,
    "rss": 0.02,
}
"""By what share the median of the last round may exceed that of the second."""


@frozen
class Minute:
    """What became of one fault.

    Attributes:
        fault: its name.
        recovered_ms: from the end of its cause until all works again; None if it never did.
        lost: messages by QoS.
        wrongly_lost: those that a healthy agent would have had.
        reading: at the end of the minute.
    """

    fault: str
    recovered_ms: float | None
    lost: tuple[int, int]
    wrongly_lost: int
    reading: Reading


@define
class Soak:
    """A run.

    Attributes:
        minutes: what became of each fault.
        lines, invalid, holes, again: of the output, see `Ledger`.
        messages: that were sent.
        starts, exits: of the agent.
        log: lines by level.
    """

    minutes: list[Minute] = field(factory=list)
    lines: int = 0
    messages: int = 0
    invalid: int = 0
    holes: int = 0
    starts: int = 0
    exits: list[int] = field(factory=list)
    log: dict[str, int] = field(factory=dict)
    seconds: float = 0.0

    @property
    def rounds(self) -> list[list[Minute]]:
        """The whole rounds of all faults."""
        size = len(FAULTS)
        whole = len(self.minutes) // size * size
        return [self.minutes[start : start + size] for start in range(0, whole, size)]

    def growth(self) -> Iterator[tuple[str, float, float, bool]]:
        """Yield each vital sign: its median in the second and the last round, and if it is flat.

        Before there are three rounds there is nothing to compare.
        """
        if len(self.rounds) < 3:
            return
        for name, tolerance in _TOLERANCES.items():
            before, after = (
                statistics.median(getattr(minute.reading, name) for minute in minutes)
                for minutes in (self.rounds[1], self.rounds[-1])
            )
            yield name, before, after, after <= before * (1 + tolerance)

    @property
    def wrong(self) -> list[str]:
        """What should not be."""
        found = [
            f"{minute.fault}: {minute.wrongly_lost} messages lost that need not be"
            for minute in self.minutes
            if minute.wrongly_lost
        ]
        found += [
            f"{minute.fault}: it did not all work again"
            for minute in self.minutes
            if minute.recovered_ms is None
        ]
        found += [
            f"{name} grew from {before:,.0f} to {after:,.0f}"
            for name, before, after, flat in self.growth()
            if not flat
        ]
        if self.invalid:
            found.append(f"{self.invalid} lines are not line protocol")
        if self.holes:
            found.append(f"{self.holes} metrics of the module steady are missing")
        if self.starts != 1 or self.exits not in ([], [0]):
            found.append(f"the agent was started {self.starts} times and ended with {self.exits}")
        return found


async def soak(cleanups: Cleanups, minutes: int, period_s: float, keep: Path | None) -> Soak:
    """Do it."""
    stage = Stage(cleanups, cleanups.directory())
    found = Soak()
    began_s = time.monotonic()
    await stage.start()
    await start_loads(stage)
    for number in range(minutes):
        fault = FAULTS[number % len(FAULTS)]
        next_s = time.monotonic() + period_s
        minute = await _strike(stage, fault)
        found.minutes.append(minute)
        _say(number + 1, minute)
        _count(found, stage, time.monotonic() - began_s)
        _keep(found, keep)
        await pause(max(0.0, next_s - time.monotonic()))
    for load in stage.loads.values():
        load.stop()
    await stage.all_arrived()
    await stage.parent.stop()
    _count(found, stage, time.monotonic() - began_s)
    return found


def _keep(found: Soak, path: Path | None) -> None:
    if path is not None:
        path.write_text(json.dumps(asdict(found), indent=1) + "\n", "utf-8")


async def _strike(stage: Stage, fault: Fault) -> Minute:
    before = _missing(stage)
    recovered_ms: float | None = None
    try:
        gone_s = await fault.strike(stage)
        recovered_ms = (time.monotonic() - gone_s) * 1000
        await stage.all_arrived()
    except AssertionError as late:
        print(f"{fault.name}: {late}", file=sys.stderr, flush=True)
    lost = tuple(now - then for now, then in zip(_missing(stage), before, strict=True))
    wrongly = sum(count for qos, count in enumerate(lost) if qos not in fault.loses)
    # At least one report of everything, after what was freed is free.
    await pause(1)
    return Minute(fault.name, recovered_ms, (lost[0], lost[1]), wrongly, await stage.reading())


def _missing(stage: Stage) -> tuple[int, int]:
    return stage.ledger.missing(PLUGS), stage.ledger.missing(METERS)


def _count(found: Soak, stage: Stage, seconds: float) -> None:
    ledger = stage.ledger
    found.seconds = seconds
    found.lines, found.invalid, found.holes = ledger.lines, len(ledger.invalid), ledger.holes()
    found.messages = sum(sum(load.sent.values()) for load in stage.loads.values())
    found.starts, found.exits = stage.parent.starts, list(stage.parent.exits)
    found.log = {}
    for said in stage.parent.log:
        found.log[said.level] = found.log.get(said.level, 0) + 1


def _say(number: int, minute: Minute) -> None:
    reading = minute.reading
    print(
        f"[{number:3}] {minute.fault}: works again after {_ms(minute.recovered_ms)}, lost "
        f"{minute.lost[0]} at QoS 0 and {minute.lost[1]} at QoS 1; {reading.descriptors} "
        f"descriptors, {reading.threads} threads, {reading.delayed_calls} delayed calls, "
        f"{reading.objects:,} objects, {reading.rss / _MB:.1f} MB",
        file=sys.stderr,
        flush=True,
    )


def table(found: Soak) -> str:
    """Return the page's block: what was measured, and a row for each fault."""
    summary = (
        f"{len(found.minutes)} faults in {found.seconds / 60:.0f} minutes, "
        f"{found.messages:,} messages, {found.lines:,} lines, {found.invalid} of them invalid; "
        f"{found.holes} metrics of a healthy module missing; started {found.starts} time, ended "
        f"with {', '.join(map(str, found.exits))}. Log: {_counts(found.log)}."
    )
    lines = [summary]
    growth = list(found.growth())
    if growth:
        lines += ["", "| vital sign | second round | last round | flat |", "|---|---|---|---|"]
    for name, before, after, flat in growth:
        cells = [name.replace("_", " "), _shown(name, before), _shown(name, after)]
        lines.append(f"| {' | '.join([*cells, 'yes' if flat else 'no'])} |")
    lines += [
        "",
        "| fault | times | works again after, at worst | lost at QoS 0 | lost at QoS 1 |",
        "|---|---|---|---|---|",
    ]
    for fault in FAULTS:
        struck = [minute for minute in found.minutes if minute.fault == fault.name]
        if struck:
            worst_ms = max((minute.recovered_ms for minute in struck), key=_or_never)
            lost = [str(sum(minute.lost[qos] for minute in struck)) for qos in (0, 1)]
            cells = [fault.name, str(len(struck)), _ms(worst_ms), *lost]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _ms(value: float | None) -> str:
    if value is None:
        return "never"
    return f"{value / 1000:.1f} s" if value >= 1000 else f"{value:.0f} ms"


def _or_never(value: float | None) -> float:
    return float("inf") if value is None else value


def _counts(log: dict[str, int]) -> str:
    names = {"E": "errors", "W": "warnings", "I": "other lines"}
    return ", ".join(f"{log.get(level, 0)} {name}" for level, name in names.items())


def _shown(name: str, value: float) -> str:
    return f"{value / _MB:.1f} MB" if name == "rss" else f"{value:,.0f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it and print what came of it."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    if words[:1] == ["kills"]:
        return kills.main(words[1:])
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=int, default=60, help="faults to strike (%(default)s)")
    parser.add_argument("--period", type=float, default=60.0, help="seconds from one to the next")
    parser.add_argument("--json", type=Path, help="write all readings to a file, as they come")
    parser.add_argument("--update", type=Path, help="put the tables into a document")
    given = parser.parse_args(words)

    async def work(cleanups: Cleanups) -> int:
        found = await soak(cleanups, given.minutes, given.period, given.json)
        block = table(found)
        sys.stdout.write(f"{block}\n")
        if given.update:
            given.update.write_text(update(given.update.read_text("utf-8"), "soak", block), "utf-8")
        for text in found.wrong:
            print(f"wrong: {text}", file=sys.stderr)
        return 1 if found.wrong else 0

    return run(work)


if __name__ == "__main__":
    sys.exit(main())
