"""What must be so after every case, and the watch that ends one that hangs."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any, Final

from attrs import frozen
from hypothesis.strategies import SearchStrategy
from line_protocol_parser import LineFormatError, parse_line

from metrics_agent.errors import MetricRefused
from metrics_agent.line_protocol import Encoder
from metrics_agent.metric import Metric
from metrics_agent.testing import FakeContext
from tests.hostile_text import unsafe

__all__ = [
    "CPU_LIMIT_S",
    "Hang",
    "Target",
    "at_most",
    "check_context",
    "check_events",
    "check_metrics",
    "judge_line",
]

CPU_LIMIT_S: Final = 5.0
"""What one case may take; it takes about a thousandth of that."""

_REASON = re.compile(r"[a-z][a-z0-9_]*")


class Hang(BaseException):
    """A case took too long; no ordinary except clause keeps it from being seen."""


@frozen
class Target:
    """Something that is fuzzed.

    Attributes:
        name: for the command line.
        about: what is mutated, in a few words.
        cases: strategy of hypothesis.
        run: takes a case, and raises if anything is not as it must be.
        share: of the cases of a long run, in thousandths.
    """

    name: str
    about: str
    cases: SearchStrategy[Any]
    run: Callable[[Any], None]
    share: int

    def check(self, case: Any) -> None:
        """Run a case.

        Raises:
            AssertionError: it hung, or tried to end the process.
            Exception: whatever was wrong.
        """
        try:
            with at_most(CPU_LIMIT_S):
                self.run(case)
        except (Hang, SystemExit, KeyboardInterrupt, GeneratorExit) as error:
            raise AssertionError(f"{type(error).__name__} in {self.name}") from error


@contextmanager
def at_most(cpu_s: float) -> Iterator[None]:
    """Raise Hang after so much CPU time; other processes of a busy machine do not count.

    It is raised where the time ran out, and again at the end: what is between may catch it, as a
    Deferred does, and make something harmless of it.
    """
    fired = False

    def over(*_ignored: object) -> None:
        nonlocal fired
        fired = True
        raise Hang(f"more than {cpu_s:g} s of CPU time")

    before = signal.signal(signal.SIGPROF, over)
    # Again and again: what caught the first may go on.
    signal.setitimer(signal.ITIMER_PROF, cpu_s, cpu_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
        if fired:
            raise Hang(f"more than {cpu_s:g} s of CPU time")


_FIELD: Final = re.compile(rb"""((?:\\.|[^\\,= ])+)=("(?:\\.|[^"\\])*"|[^", ]+)""", re.DOTALL)
_HEAD: Final = re.compile(rb"(?:\\.|[^\\ ])+ ", re.DOTALL)


def judge_line(line: bytes) -> None:
    """Hold a line against an independent parser, which takes a field that is there twice."""
    try:
        parsed = parse_line(line)
    except LineFormatError as error:
        raise AssertionError(f"not line protocol: {line!r}") from error
    # None is what it gives for a comment.
    assert parsed is not None, f"not line protocol: {line!r}"
    series = [parsed["measurement"], *parsed["fields"], *chain(*parsed["tags"].items())]
    assert not unsafe("".join(series)), f"hides or reorders text: {line!r}"
    names = _field_names(line)
    assert len(names) == len(parsed["fields"]), f"fields of {line!r}: {names}"


def _field_names(line: bytes) -> list[bytes]:
    head = _HEAD.match(line)
    assert head is not None, line
    place = head.end() - 1
    names = []
    while line[place : place + 1] in {b" ", b","} and (field := _FIELD.match(line, place + 1)):
        names.append(field[1])
        place = field.end()
        if line[place : place + 1] == b" ":
            break
    return names


def check_metrics(metrics: Iterable[Metric]) -> None:
    """Every metric is a valid line, or is refused with a reason."""
    encoder = Encoder()
    for metric in metrics:
        _check_metric(encoder, metric)


def _check_metric(encoder: Encoder, metric: Metric) -> None:
    try:
        line = encoder.encode(metric)
    except MetricRefused as error:
        assert _REASON.fullmatch(error.reason), error.reason
    else:
        assert line.endswith(b"\n"), line
        judge_line(line[:-1])


def check_events(events: Iterable[dict[str, Any]]) -> None:
    """Nothing logged a fault of our own."""
    for event in events:
        failure = event.get("log_failure")
        if failure is not None:
            raise AssertionError(failure.getTraceback())


def check_context(context: FakeContext) -> None:
    """What a module left with the agent is in order, also after its end."""
    check_metrics(context.metrics)
    check_events(context.events)
    assert not context.failures, context.failures
    for reason, count in context.dropped.items():
        assert _REASON.fullmatch(reason), reason
        assert count > 0, (reason, count)
    context.stop()
    left = context.reactor.getDelayedCalls()
    assert not left, left
