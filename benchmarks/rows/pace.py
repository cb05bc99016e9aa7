"""What a message costs at every pace: the agent, its peers, and the floors of both.

First every subject is measured at every pace, one after the other; in shorter loads of their own
system calls are counted, so that counting costs nothing in what is timed. Then those whom the
agent is to be compared with take further turns at the paces of the targets.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from attrs import frozen

from benchmarks.bench import Bench, Running
from benchmarks.figures import percentile
from benchmarks.rows.base import Notebook, Row, present
from benchmarks.subjects import FLOORS, Agent, ParsingClient, Subject
from benchmarks.system_calls import SystemCalls

__all__ = ["ROW"]

_DEVICES: Final = 500
_CPU: Final = "CPU per message"
_WAKEUPS: Final = "wake-ups per message"
_CALLS: Final = "system calls per message"
_RSS: Final = "RSS"
_RATIOS: Final = {"telegraf": 1.0, "paho + orjson": 1.35}
"""Targets: CPU of the agent against theirs, at the paces that are judged."""


@frozen
class _Pace:
    """A pace to measure at.

    Attributes:
        rate: messages a second.
        seconds: of a load that is timed.
        counted_s: of one whose system calls are counted.
        is_judged: targets are for this pace.
    """

    rate: int
    seconds: float
    counted_s: float
    is_judged: bool = False

    @property
    def column(self) -> str:
        """Its place in the table."""
        return f"{self.rate:,} msg/s"


_PACES: Final = (
    _Pace(10, 3, 1.5),
    _Pace(50, 4, 1, is_judged=True),
    _Pace(200, 2, 0.5),
    _Pace(1_000, 2, 0.5, is_judged=True),
    _Pace(10_000, 2, 0.5),
)
_JUDGED: Final = tuple(pace for pace in _PACES if pace.is_judged)


def measure(bench: Bench, notebook: Notebook) -> None:
    """Measure all, then those of the targets again."""
    peers = sorted(map(_with_orjson, bench.options.peers), key=lambda peer: not _is_judged(peer))
    subjects = present(bench, notebook, [*peers, *FLOORS])
    reason = SystemCalls.missing()
    if reason:
        notebook.note(f"System calls were not counted: {reason}.")
    for repetition in range(bench.repeat(3)):
        for qos in (0, 1):
            for subject in list(subjects):
                if repetition and not _is_judged(subject):
                    continue
                bench.say(f"pace: {subject.name}, QoS {qos}, repetition {repetition + 1}")
                try:
                    _one(
                        bench,
                        notebook,
                        subject,
                        qos,
                        _JUDGED if repetition else _PACES,
                        counting=not repetition and not reason,
                    )
                except RuntimeError as error:
                    if subject is bench.agent:
                        raise
                    subjects.remove(subject)
                    notebook.note(f"{subject.name} was left out: {error}")
    for qos in (0, 1):
        for pace in _JUDGED:
            _compare(bench, notebook, qos, pace, [subject.name for subject in subjects[1:]])


def _with_orjson(peer: Subject) -> Subject:
    """Give a client in Python the parser of the agent."""
    return ParsingClient(peer.library, "orjson") if isinstance(peer, ParsingClient) else peer


def _is_judged(subject: Subject) -> bool:
    return isinstance(subject, Agent) or subject.name in _RATIOS


def _one(
    bench: Bench,
    notebook: Notebook,
    subject: Subject,
    qos: int,
    paces: Sequence[_Pace],
    *,
    counting: bool,
) -> None:
    with bench.running(subject, devices=_DEVICES, qos=qos) as running:
        for pace in paces:
            _time(bench, notebook, running, pace)
        if not counting:
            return
        before = running.child.memory.rss
        for pace in paces:
            _count(bench, notebook, running, pace)
        growth = (running.child.memory.rss - before) / 1e6
    if subject is bench.agent:
        notebook.add(
            "growth of RSS, all paces once more", subject.name, growth, "MB", target=1, floor=1
        )


def _time(bench: Bench, notebook: Notebook, running: Running, pace: _Pace) -> None:
    """Send a load, and note what it has cost."""
    name, qos = running.subject.name, running.qos
    outcome = running.send(
        running.load_for(bench.size(pace.seconds, min(1.0, pace.seconds)), rate=pace.rate)
    )
    wakeups = outcome.wakeups / outcome.taken
    column = pace.column
    notebook.add(_of(_CPU, qos), name, outcome.cpu_us, "us", column=column)
    notebook.add(_of(_WAKEUPS, qos), name, wakeups, column=column)
    notebook.add(_of(_RSS, qos), name, outcome.after.rss / 1e6, "MB", column=column)
    if running.subject is not bench.agent:
        if outcome.missing:
            notebook.note(f"{name} has missed {outcome.missing} messages in a repetition.")
        return
    found = outcome.tally()
    notebook.add("lost", name, outcome.sent.messages - found.distinct, target=0, floor=0)
    if pace.is_judged:
        for share, target in ((50, None), (99, 5)):
            delay_ms = percentile(found.latencies_us, share / 100) / 1000
            what = f"p{share} of the delay, QoS {qos}, {column}"
            notebook.add(what, name, delay_ms, "ms", target=target)
    if qos == 1 and pace is _JUDGED[0]:
        notebook.add(f"{_of(_WAKEUPS, qos)}, {column}", name, wakeups, target=1.1)


def _count(bench: Bench, notebook: Notebook, running: Running, pace: _Pace) -> None:
    """Send a load, and note the system calls for it."""
    load = running.load_for(bench.size(pace.counted_s, 0.5), rate=pace.rate)
    calls = SystemCalls(running.child.pid)
    outcome = running.send(load, calls=calls)
    assert calls.count is not None
    each = calls.count / outcome.taken
    notebook.add(_of(_CALLS, running.qos), running.subject.name, each, column=pace.column)


def _compare(bench: Bench, notebook: Notebook, qos: int, pace: _Pace, names: Iterable[str]) -> None:
    what = _of(_CPU, qos)
    for name in names:
        notebook.ratio(
            f"ratio {what}, {pace.column}",
            (what, bench.agent.name),
            (what, name),
            column=pace.column,
            target=_RATIOS.get(name),
        )


def _of(what: str, qos: int) -> str:
    return f"{what}, QoS {qos}"


ROW: Final = Row("pace", "CPU, wake-ups, system calls, memory at every pace, 500 devices", measure)
