"""What an agent keeps that it should not: `python -m benchmarks.leaks`.

A thousand restarts of all modules by SIGHUP under a light load, each awaited, with a live
connection to a broker and one to a DTU; then two million messages. Descriptors, threads and delayed
calls must stay as they were before the first; objects and memory may grow during the first tenth,
which fills what is made once.

Status 0 if it does, otherwise 1.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from attrs import frozen

from benchmarks.endurance.stage import Cleanups, Stage, run
from benchmarks.endurance.vitals import Reading
from metrics_agent.describe import update
from tests.integration.watching import pause, until

__all__ = ["LIMITS", "Course", "after_messages", "after_restarts", "main"]

LIMITS: Final[dict[str, Callable[[float], float]]] = {
    "descriptors": lambda before: before,
    "threads": lambda before: before,
    # Of a handful that come and go: a tick, a ping, acknowledgements of this turn.
    "delayed_calls": lambda before: before + 4,
    "objects": lambda before: before * 1.01,
    "rss": lambda before: before + 2e6,
}
"""What each vital sign may be at the end, by what it was before."""

_WARMING_UP: Final = ("objects", "rss")

_MB: Final = 1e6
_WINDOW: Final = 5_000
_CHUNK: Final = 500
_LIGHT: Final = 100.0
"""Messages a second during the restarts."""


@frozen
class Course:
    """Readings in the course of something that is done again and again.

    Attributes:
        what: is done.
        readings: by how often it was done by then, the first before anything was.
    """

    what: str
    readings: tuple[tuple[int, Reading], ...]

    def growth(self) -> Iterator[tuple[str, float, float, bool]]:
        """Yield each vital sign, what it was before and at last, and whether it is flat."""
        for name, limit in LIMITS.items():
            first = self.readings[1 if name in _WARMING_UP else 0][1]
            before, after = getattr(first, name), getattr(self.readings[-1][1], name)
            yield name, before, after, after <= limit(before)

    @property
    def wrong(self) -> list[str]:
        """What is not flat."""
        return [
            f"{name} grew from {before:,.0f} to {after:,.0f} in the course of {self.what}"
            for name, before, after, flat in self.growth()
            if not flat
        ]


Say = Callable[[str], object]


async def after_restarts(stage: Stage, count: int, every: int, say: Say = bool) -> Course:
    """Restart all modules so often; a reading before, and each so many."""
    load = await stage.load("plug", devices=20, rate=_LIGHT, qos=1)
    load.start()
    await stage.all_arrived()
    readings = [(0, await _reading(stage, "0 restarts", say))]
    for number in range(1, count + 1):
        await stage.reload()
        if number % every == 0:
            await _at_rest(stage)
            readings.append((number, await _reading(stage, f"{number:,} restarts", say)))
    load.stop()
    await stage.all_arrived()
    return Course("restarts", tuple(readings))


async def after_messages(stage: Stage, count: int, every: int, say: Say = bool) -> Course:
    """Send so many messages; a reading before, and each so many."""
    load = await stage.load("bulk", devices=50, rate=0, qos=0)
    await stage.all_arrived()
    begun = _arrived(stage)
    readings = [(0, await _reading(stage, "0 messages", say))]
    for sent in range(_CHUNK, count + 1, _CHUNK):
        load.send(_CHUNK)
        await until(
            lambda sent=sent: sent - (_arrived(stage) - begun) <= _WINDOW,
            lambda: f"messages to arrive: {stage.log_end()}",
        )
        if sent % every == 0:
            await stage.all_arrived()
            await _at_rest(stage)
            readings.append((sent, await _reading(stage, f"{sent:,} messages", say)))
    return Course("messages", tuple(readings))


def _arrived(stage: Stage) -> int:
    return stage.ledger.measurements.get(b"electricity", 0)


async def _at_rest(stage: Stage) -> None:
    """Wait until the new instances have all that they will have: their sockets, their devices."""
    await stage.writes(b"demo", b"steady")
    await pause(1)


async def _reading(stage: Stage, when: str, say: Say) -> Reading:
    reading = await stage.reading()
    say(
        f"{when}: {reading.descriptors} descriptors, {reading.threads} threads, "
        f"{reading.delayed_calls} delayed calls, {reading.objects:,} objects, "
        f"{reading.rss / _MB:.1f} MB"
    )
    return reading


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def table(courses: Sequence[Course]) -> str:
    """Return the page's block."""
    lines = ["| after | descriptors | threads | delayed calls | objects | memory |"]
    lines.append("|---|---|---|---|---|---|")
    for course in courses:
        for count, reading in course.readings:
            cells = [
                f"{count:,} {course.what}",
                f"{reading.descriptors}",
                f"{reading.threads}",
                f"{reading.delayed_calls}",
                f"{reading.objects:,}",
                f"{reading.rss / _MB:.1f} MB",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it and print what came of it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.leaks", description=__doc__)
    parser.add_argument("--restarts", type=int, default=1_000, help="how many (%(default)s)")
    parser.add_argument("--messages", type=int, default=2_000_000, help="how many (%(default)s)")
    parser.add_argument("--update", type=Path, help="put the table into a document")
    given = parser.parse_args(arguments)

    async def work(cleanups: Cleanups) -> int:
        stage = Stage(cleanups, cleanups.directory(), judge_every=100)
        await stage.start()
        courses = [
            await after_restarts(stage, given.restarts, max(1, given.restarts // 10), _say),
            await after_messages(stage, given.messages, max(_CHUNK, given.messages // 10), _say),
        ]
        await stage.parent.stop()
        block = table(courses)
        sys.stdout.write(f"{block}\n")
        if given.update:
            text = given.update.read_text("utf-8")
            given.update.write_text(update(text, "leaks", block), "utf-8")
        wrong = [text for course in courses for text in course.wrong]
        wrong += [f"not line protocol: {line!r}" for line in stage.ledger.invalid]
        if stage.ledger.holes() or stage.ledger.missing("plug") or stage.ledger.missing("bulk"):
            wrong.append("metrics are missing")
        for text in wrong:
            print(f"wrong: {text}", file=sys.stderr)
        return 1 if wrong else 0

    return run(work)


if __name__ == "__main__":
    sys.exit(main())
