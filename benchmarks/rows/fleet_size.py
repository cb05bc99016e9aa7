"""Whether a message costs more when there are more devices, or devices of several kinds."""

from __future__ import annotations

from typing import Final

from benchmarks.bench import Bench
from benchmarks.rows.base import Notebook, Row

__all__ = ["ROW"]

_FEW: Final = 10
_MANY: Final = 10_000
_USUAL: Final = 500
_PACE: Final = 10_000.0


def measure(bench: Bench, notebook: Notebook) -> None:
    """Send the same number of messages from few devices and from many."""
    messages = bench.size(200_000, 50_000)
    for repetition in range(bench.repeat(5)):
        for devices in (_FEW, _MANY):
            bench.say(f"fleet: {devices:,} devices, repetition {repetition + 1}")
            _one(bench, notebook, devices, messages)
        bench.say(f"fleet: devices of several kinds, repetition {repetition + 1}")
        _mixed(bench, notebook, messages)
    name = bench.agent.name
    for how in ("full speed", "paced"):
        notebook.ratio(
            f"{_MANY:,} devices against {_FEW}, {how}",
            (_what(_MANY, how), name),
            (_what(_FEW, how), name),
            target=1.2,
            floor=1.2,
        )


def _what(devices: int, how: str) -> str:
    return f"CPU per message, {devices:,} devices, {how}"


def _one(bench: Bench, notebook: Notebook, devices: int, messages: int) -> None:
    name = bench.agent.name
    with bench.running(bench.agent, devices=devices) as running:
        full = running.send(running.load(messages // devices))
        paced = running.send(running.load(max(1, messages // 4 // devices), rate=_PACE))
    notebook.add(_what(devices, "full speed"), name, full.cpu_us, "us")
    notebook.add(_what(devices, "paced"), name, paced.cpu_us, "us")
    lost = full.lost + paced.lost
    notebook.add("lost", name, lost, target=0, floor=0)


def _mixed(bench: Bench, notebook: Notebook, messages: int) -> None:
    name = bench.agent.name
    with bench.running(bench.agent, devices=_USUAL, mixed=True) as running:
        full = running.send(running.load(messages // 2 // _USUAL))
    found = full.tally()
    what = f"CPU per message, {_USUAL} devices of three kinds, full speed"
    notebook.add(what, name, full.cpu_us, "us", target=14)
    notebook.add("lines per message, three kinds", name, found.lines / full.sent.messages)
    notebook.add("lost", name, full.sent.messages - found.distinct, target=0, floor=0)


ROW: Final = Row("fleet", "10,000 devices against 10, and a mixed fleet", measure)
