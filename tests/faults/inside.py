"""The rows of faults inside a module, and how the test of each is set up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from attrs import frozen

from tests.faults.row import Row

__all__ = ["INSIDE", "Scenario"]


@frozen
class Scenario:
    """A row, and what the test has to do.

    Attributes:
        row: see there.
        place: of `faulty.FaultySettings`.
        fault: of `faulty.FaultySettings`.
        said: part of the error line that must be in the log.
        restarts: a new instance must come; else the same one goes on.
        hup: the fault is at a reload.
        message: the topic below which messages are sent, the second one strikes; empty for none.
        first_hup: strike only at the second reading: a file is made before the reload.
    """

    row: Row
    place: str
    fault: str
    said: str
    restarts: bool = False
    hup: bool = False
    message: str = ""
    times: int = 1


_PLAIN: Final = {
    "exception": "Exception",
    "system_exit": "SystemExit",
    "recursion": "RecursionError",
}
"""Faults that are injected at every place."""

_RARE: Final = {
    "keyboard_interrupt": "KeyboardInterrupt",
    "generator_exit": "GeneratorExit",
    "memory": "MemoryError",
}

_TOLD: Final = {
    "exception": "RuntimeError",
    "system_exit": "SystemExit",
    "recursion": "RecursionError",
    "keyboard_interrupt": "KeyboardInterrupt",
    "generator_exit": "GeneratorExit",
    "memory": "MemoryError",
}

_GOES_ON: Final = "told and counted; the same instance goes on"
_RESTARTED: Final = "told and counted; a new instance after the backoff"

_PLACES: Final = (
    # place, what the table calls it, where the log says it was, restarted, further options
    ("make", "maker", "Error in make", True, {}),
    ("init", "constructor", "Error in make", True, {}),
    ("start", "startService", "Error in start", True, {}),
    ("start_deferred", "Deferred of startService", "Error in start", True, {}),
    ("start_coroutine", "startService as a coroutine", "Error in start", True, {}),
    ("message", "message handler", "Error in message", False, {"message": "message"}),
    ("discovery", "discovery handler", "Error in discovery", False, {"message": "discovery"}),
    ("decode", "decode, after its first metric", "Error in decode", False, {"message": "decode"}),
    ("tick", "timer tick", "Error in tick", False, {}),
    ("timer", "call set for later", "Error in timer", False, {}),
    ("own_timer", "call set behind the context's back", "while handling timed call", False, {}),
    ("looping_call", "LoopingCall", "Error in looping_call", False, {}),
    ("callback", "Deferred callback", "Error in callback", False, {}),
    ("errback", "Deferred errback", "Error in errback", False, {}),
    ("coroutine", "coroutine", "Error in coroutine", False, {}),
    ("collected", "garbage-collected Deferred", "Unhandled error in Deferred", False, {}),
    ("thread", "thread", "Error in thread", False, {}),
    ("emit", "iterable handed to emit", "Error in emit", False, {}),
    ("serialise", "fields that break when read", "Error in emit", False, {}),
    ("stop", "stopService", "Error in stop", False, {"hup": True}),
    ("signal_handler", "signal handler", "main loop", False, {}),
    ("log_observer", "log observer", "", False, {}),
)

_RARE_PLACES: Final = frozenset({"start", "message", "tick", "callback", "thread", "emit"})


def _everywhere() -> Iterator[Scenario]:
    for place, title, said, restarts, options in _PLACES:
        faults = {**_PLAIN, **(_RARE if place in _RARE_PLACES else {})}
        for fault, name in faults.items():
            must = _RESTARTED if restarts else _GOES_ON
            if options.get("message"):
                must = "that message is dropped, told and counted; the next one is taken"
            elif options.get("hup"):
                must = "told and counted; the new instance of the reload starts all the same"
            row = Row(f"{place}_{fault}", title, name, must)
            yield Scenario(row, place, fault, _said(said, fault), restarts, **options)


def _said(said: str, fault: str) -> str:
    return f"{said}|{_TOLD[fault]}"


_SPECIAL: Final = (
    Scenario(
        Row(
            "settings_exception",
            "check of settings",
            "Exception",
            "this module is not started and its settings are told as wrong; the others run",
        ),
        "settings",
        "exception",
        "|faulty",
    ),
    Scenario(
        Row(
            "start_never_fires",
            "Deferred of startService",
            "never fires",
            "given up after module_start_timeout; a new instance",
        ),
        "start_result",
        "never",
        "Error in start|did not start within",
        restarts=True,
    ),
    Scenario(
        Row(
            "start_failure_without_traceback",
            "Deferred callback",
            "Failure that was never raised",
            _GOES_ON,
        ),
        "callback",
        "failure",
        "Error in callback|never raised",
    ),
    Scenario(
        Row("timer_fired_twice", "call set for later", "Deferred fired twice", _GOES_ON),
        "timer",
        "fired_twice",
        "Error in timer|AlreadyCalledError",
    ),
    Scenario(
        Row(
            "stop_never_fires",
            "stopService",
            "Deferred never fires",
            "let go after module_stop_timeout; meanwhile the others have been replaced",
        ),
        "stop",
        "never",
        "|did not stop within",
        hup=True,
    ),
    Scenario(
        Row("thread_busy", "thread", "100 % CPU for 10 s", "the reactor goes on beside it"),
        "thread",
        "busy",
        "",
    ),
    Scenario(
        Row("thread_forever", "thread", "blocks for ever", "the others go on; a stop still ends"),
        "thread",
        "forever",
        "",
    ),
    Scenario(
        Row(
            "emit_flood",
            "iterable handed to emit",
            "100,000 metrics in one call",
            "encoded over many turns of the reactor; all arrive, in order",
        ),
        "emit",
        "flood",
        "",
    ),
    Scenario(
        Row(
            "emit_bad_metrics",
            "iterable handed to emit",
            "metrics with every kind of bad field",
            "each is refused with a reason and counted; the good one arrives",
        ),
        "emit",
        "bad_metrics",
        "|A metric was refused",
    ),
    Scenario(
        Row("tick_print", "timer tick", "prints to stdout", "it becomes a line of the log"),
        "tick",
        "print",
        "|printed,by=python",
    ),
    Scenario(
        Row(
            "tick_write_from_c",
            "timer tick",
            "writes to fd 1 from C",
            "it ends up on stderr; stdout holds nothing but metrics",
        ),
        "tick",
        "write_from_c",
        "|written,by=c",
    ),
)

INSIDE: Final[tuple[Scenario, ...]] = (*_everywhere(), *_SPECIAL)
