"""The faults that a module of the matrix can be asked to commit, by name."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NoReturn

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from metrics_agent.metric import Metric, Series

__all__ = ["BAD_METRICS", "BUSY_S", "FAULTS"]

FLOOD: Final = 100_000
BUSY_S: Final = 10.0
BAD_METRICS: Final = 13
"""How many of the metrics that `_bad_metrics` makes are bad."""


def _exception() -> NoReturn:
    raise RuntimeError("broken on purpose")


def _recursion() -> None:
    _recursion()


def _memory() -> bytes:
    return bytes(1 << 62)


def _system_exit() -> NoReturn:
    sys.exit(3)


def _keyboard_interrupt() -> NoReturn:
    raise KeyboardInterrupt


def _generator_exit() -> NoReturn:
    raise GeneratorExit


def _failure() -> Failure:
    """Make a failure that was never raised, so it has no traceback."""
    return Failure(ValueError("never raised"))


def _never() -> Deferred[Any]:
    return Deferred()


def _fired_twice() -> None:
    work: Deferred[Any] = Deferred()
    work.callback(1)
    work.callback(2)


def _busy() -> None:
    until_s = time.monotonic() + BUSY_S
    while time.monotonic() < until_s:
        pass


def _forever() -> NoReturn:
    while True:
        time.sleep(0.05)


def _close_descriptors() -> None:
    for fd in range(3, 64):
        with contextlib.suppress(OSError):
            os.close(fd)


def _segmentation_fault() -> None:
    ctypes.string_at(0)


def _allocate() -> None:
    bytearray(400 * 1024 * 1024)


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _flood() -> Iterator[Metric]:
    series = Series("flood", {})
    return (Metric(series, {"number": number}, 1 + number) for number in range(FLOOD))


def _bad_metrics() -> Iterator[Any]:
    """Make metrics with every kind of bad field; one good one is the last."""
    series = Series("bad", {})
    for fields in (
        {},
        {"none": None},
        {"nan": float("nan"), "infinite": float("inf")},
        {"huge": 1 << 70},
        {"object": object()},
        {"list": [1]},
        {"": 1.0},
        {"bytes": b"x"},
        {"long": "x" * 100_000},
        {5: 1.0},
    ):
        yield Metric(series, fields, 1)  # type: ignore[arg-type]  # that is the point
    yield Metric(Series("", {}), {"value": 1.0}, 1)
    yield Metric(series, {"value": 1.0}, "now")  # type: ignore[arg-type]  # as above
    yield None
    yield Metric(Series("good", {"line\nbreak": 'quote"\\'}), {"value": 1.0}, 1)


def _print() -> None:
    print("printed,by=python value=1", flush=True)  # noqa: T201 - that is the point


def _write_from_c() -> None:
    libc = ctypes.CDLL(None)
    libc.puts(b"written,by=c value=1")
    libc.fflush(None)
    os.write(1, b"written,by=number value=1\n")


FAULTS: Final[Mapping[str, Callable[[], Any]]] = {
    "exception": _exception,
    "recursion": _recursion,
    "memory": _memory,
    "system_exit": _system_exit,
    "keyboard_interrupt": _keyboard_interrupt,
    "generator_exit": _generator_exit,
    "failure": _failure,
    "never": _never,
    "fired_twice": _fired_twice,
    "busy": _busy,
    "forever": _forever,
    "close_descriptors": _close_descriptors,
    "segmentation_fault": _segmentation_fault,
    "allocate": _allocate,
    "kill": _kill,
    "flood": _flood,
    "bad_metrics": _bad_metrics,
    "print": _print,
    "write_from_c": _write_from_c,
}
