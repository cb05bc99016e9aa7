"""The time from a message's sending to its line being read, also under a SIGHUP."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Final

from benchmarks.bench import Bench, Running
from benchmarks.figures import percentile
from benchmarks.rows.base import Notebook, Row

__all__ = ["ROW"]

_DEVICES: Final = 500
_PACE: Final = 1000.0
_MS: Final = 1000


def measure(bench: Bench, notebook: Notebook) -> None:
    """Send at an even pace; then again, with a SIGHUP in the middle."""
    name = bench.agent.name
    rounds = bench.size(30, 8)
    for repetition in range(bench.repeat(3)):
        bench.say(f"latency: repetition {repetition + 1}")
        with bench.running(bench.agent, devices=_DEVICES) as running:
            calm = running.send(running.load(rounds, rate=_PACE))
            reload = _reload_at(running, rounds * _DEVICES / _PACE / 2)
            shaken = running.send(running.load(rounds, rate=_PACE), reload)
        found = calm.tally()
        times = found.latencies_us
        for share, target in ((0.5, 1.0), (0.99, 5.0)):
            value = percentile(times, share) / _MS
            notebook.add(
                f"p{share * 100:.0f} at {_PACE:,.0f} msg/s", name, value, "ms", target=target
            )
        notebook.add("worst without SIGHUP", name, max(times) / _MS, "ms")
        under = shaken.tally()
        worst = max(under.latencies_us) / _MS
        notebook.add("worst under a SIGHUP", name, worst, "ms", target=200)
        lost = calm.sent.messages - found.distinct + shaken.sent.messages - under.distinct
        notebook.add("lost, SIGHUP included, QoS 0", name, lost, target=0, floor=0)
        notebook.add("load generator behind its pace at worst", "", calm.sent.late_s * _MS, "ms")


def _reload_at(running: Running, when_s: float) -> Callable[[float], None]:
    sent: list[bool] = []

    def reload(elapsed_s: float) -> None:
        if elapsed_s > when_s and not sent:
            sent.append(True)
            running.child.signal(signal.SIGHUP)

    return reload


ROW: Final = Row("latency", "publish to line at 1,000 msg/s, and under a SIGHUP", measure)
