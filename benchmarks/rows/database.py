"""The output to a database over HTTP: its cost, and its memory while the database is away."""

from __future__ import annotations

import signal
from typing import Final

from benchmarks.bench import Bench, generate
from benchmarks.rows.base import Notebook, Row
from benchmarks.subjects import Subject, Telegraf

__all__ = ["ROW"]

_DEVICES: Final = 500
_PACE: Final = 10_000.0
_AWAY_S: Final = 60.0
_QUEUE_LIMIT_MB: Final = 16 * 1024 * 1024 / 1e6
"""The default of `queue_limit`."""

_OVER_HTTP: Final = "metrics-agent over HTTP"
_INFLUXDB: Final = "telegraf, outputs.influxdb"


def measure(bench: Bench, notebook: Notebook) -> None:
    """Give the same load to the agent with both outputs and to Telegraf; then end the database."""
    telegraf = Telegraf()
    reason = telegraf.missing()
    if reason:
        notebook.note(f"telegraf was left out: {reason}.")
    name = bench.agent.name
    for qos in (0, 1):
        for repetition in range(bench.repeat(5)):
            bench.say(f"database: QoS {qos}, repetition {repetition + 1}")
            _one(bench, notebook, bench.agent, qos, name, to_database=False)
            _one(bench, notebook, bench.agent, qos, _OVER_HTTP, to_database=True)
            if not reason:
                _one(bench, notebook, telegraf, qos, _INFLUXDB, to_database=True)
        for how, most in ((_full(qos), 1.15), (_paced(qos), None)):
            ours = (how, _OVER_HTTP)
            notebook.ratio(f"ratio {how}", ours, (how, name), target=most)
            notebook.ratio(f"ratio {how}", ours, (how, _INFLUXDB), target=0.4)
    for qos in (0, 1):
        for repetition in range(bench.repeat(2)):
            bench.say(f"database: away, QoS {qos}, repetition {repetition + 1}")
            _away(bench, notebook, qos)


def _full(qos: int) -> str:
    return f"CPU per message, QoS {qos}, full speed"


def _paced(qos: int) -> str:
    return f"CPU per message, QoS {qos}, {_PACE:,.0f} msg/s"


def _one(
    bench: Bench, notebook: Notebook, subject: Subject, qos: int, name: str, *, to_database: bool
) -> None:
    with bench.running(subject, devices=_DEVICES, qos=qos, to_database=to_database) as running:
        full = running.send(running.load(bench.size(300, 40)))
        paced = running.send(running.load(bench.size(80, 20), rate=_PACE))
    notebook.add(_full(qos), name, full.cpu_us, "us")
    notebook.add(_paced(qos), name, paced.cpu_us, "us")
    notebook.add(f"rate at full speed, QoS {qos}", name, full.rate, "msg/s")
    if subject is bench.agent:
        notebook.add("lost", name, full.lost + paced.lost, target=0, floor=0)
    elif full.missing + paced.missing:
        notebook.note(f"{name} has missed {full.missing + paced.missing} messages in a repetition.")


def _away(bench: Bench, notebook: Notebook, qos: int) -> None:
    with bench.running(bench.agent, devices=_DEVICES, qos=qos, to_database=True) as running:
        assert running.database is not None
        before = running.child.memory.rss
        running.database.signal(signal.SIGKILL)
        highest = before

        def look(_elapsed_s: float) -> None:
            nonlocal highest
            highest = max(highest, running.child.memory.rss)

        rounds = round(bench.size(_AWAY_S, 5.0) * _PACE / _DEVICES)
        generate(running.load(rounds, rate=_PACE), running.collector, look)
    notebook.add(
        f"most memory above that before, database away for 60 s, {_PACE:,.0f} msg/s, QoS {qos}",
        _OVER_HTTP,
        (highest - before) / 1e6,
        "MB",
        target=_QUEUE_LIMIT_MB,
        floor=_QUEUE_LIMIT_MB,
    )


ROW: Final = Row(
    "database", "HTTP output beside stdout and Telegraf; memory without database", measure
)
