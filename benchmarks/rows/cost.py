"""CPU time for a message, from the broker to the line on the pipe."""

from __future__ import annotations

from typing import Final

from benchmarks.bench import Bench, Outcome, Running
from benchmarks.rows.base import Notebook, Row, present
from benchmarks.subjects import BEFORE, Subject

__all__ = ["ROW"]

_DEVICES: Final = 500
_PACE: Final = 10_000.0
"""Messages a second that every peer can take."""
_SLOWER: Final = 1.03
"""How much slower than an earlier version the agent may be at full speed."""


def measure(bench: Bench, notebook: Notebook) -> None:
    """Give every subject the same load, at a pace and at full speed."""
    subjects = present(bench, notebook)
    for qos in (0, 1):
        for repetition in range(bench.repeat(5)):
            for subject in list(subjects):
                bench.say(f"cost: {subject.name}, QoS {qos}, repetition {repetition + 1}")
                try:
                    _one(bench, notebook, subject, qos)
                except RuntimeError as error:
                    if subject is bench.agent:
                        raise
                    subjects.remove(subject)
                    notebook.note(f"{subject.name} was left out: {error}")
        names = [subject.name for subject in subjects[1:]]
        for name in names:
            for how in (_full(qos), _paced(qos)):
                is_plain = name == "paho" and qos == 0
                slower = _SLOWER if name == BEFORE and how == _full(qos) else None
                notebook.ratio(
                    f"ratio {how}",
                    (how, bench.agent.name),
                    (how, name),
                    target=0.25 if is_plain else slower,
                    floor=0.5 if is_plain else slower,
                )


def _full(qos: int) -> str:
    return f"CPU per message, QoS {qos}, full speed"


def _paced(qos: int) -> str:
    return f"CPU per message, QoS {qos}, {_PACE:,.0f} msg/s"


def _one(bench: Bench, notebook: Notebook, subject: Subject, qos: int) -> None:
    is_agent = subject is bench.agent
    with bench.running(subject, devices=_DEVICES, qos=qos) as running:
        full = running.send(running.load(bench.size(300, 40)))
        paced = running.send(running.load(bench.size(80, 20), rate=_PACE))
    target = 10.0 if is_agent and qos == 0 else None
    notebook.add(_full(qos), subject.name, full.cpu_us, "us", target=target)
    notebook.add(_paced(qos), subject.name, paced.cpu_us, "us", target=target)
    waited = paced.wakeups / max(1, paced.arrived)
    notebook.add(f"wake-ups per message, QoS {qos}, {_PACE:,.0f} msg/s", subject.name, waited)
    notebook.add(f"rate at full speed, QoS {qos}", subject.name, full.rate, "msg/s")
    _count_losses(notebook, running, full, paced, is_agent=is_agent)


def _count_losses(notebook: Notebook, running: Running, *outcomes: Outcome, is_agent: bool) -> None:
    if is_agent:
        lost = sum(outcome.lost for outcome in outcomes)
        notebook.add("lost", running.subject.name, lost, target=0, floor=0)
    elif any(outcome.missing for outcome in outcomes):
        missing = sum(outcome.missing for outcome in outcomes)
        notebook.note(f"{running.subject.name} has missed {missing} messages in a repetition.")


ROW: Final = Row("cost", "CPU per message beside the peers, 500 devices", measure)
