"""The rows of faults inside a module, and how the test of each is set up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from attrs import frozen

from tests.faults.breakages import BAD_METRICS, BUSY_S
from tests.faults.row import Row

__all__ = ["INSIDE", "Scenario"]


@frozen
class Scenario:
    """A row, and what the test has to do.

    Attributes:
        row: see there.
        place: of `faulty.FaultySettings`.
        fault: of `faulty.FaultySettings`.
        said: parts, parted by ``|``, of one line in the log, an error or a warning.
        counted: the place that is counted for the module, once; empty where the agent cannot know
            whose fault it was, and where there is none.
        dropped: how many metrics of the module must be counted as dropped.
        restarts: a new instance must come; else the same one goes on.
        hup: the fault is at a reload.
        refused: the module is not started; a reload, with which all is well, starts it.
        message: a numbered message strikes, and is counted as dropped.
        announced: retained messages name topics; the first one strikes.
        peer: a server gives numbers, the first of which strikes.
        lasts_s: how long the fault lasts; the test goes on for so long.
    """

    row: Row
    place: str
    fault: str
    said: str
    counted: str = ""
    dropped: int = 0
    restarts: bool = False
    hup: bool = False
    refused: bool = False
    message: bool = False
    announced: bool = False
    peer: bool = False
    lasts_s: float = 0.0


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

_GOES_ON: Final = "logged and counted; the module keeps running"
_UNKNOWN: Final = "logged, without the module; the module keeps running"
_REFUSED: Final = "logged with the module's name; not started until a reload, the others run"
_RESTARTED: Final = "logged and counted; a new instance after the backoff"

_PLACES: Final = (
    # place, what the table calls it, what is counted and reported, restarted, further options
    ("make", "maker", "make", True, {}),
    ("init", "constructor", "make", True, {}),
    ("start", "startService", "start", True, {}),
    ("start_deferred", "Deferred of startService", "start", True, {}),
    ("start_coroutine", "startService as a coroutine", "start", True, {}),
    ("message", "message handler", "message", False, {"message": True}),
    ("discovery", "discovery handler", "discovery", False, {"announced": True}),
    ("decode", "decode, after its first metric", "decode", False, {"message": True}),
    ("body", "HTTP body", "body", False, {"peer": True}),
    ("frame", "WebSocket frame", "frame", False, {"peer": True}),
    ("tick", "timer tick", "tick", False, {}),
    ("timer", "call set for later", "timer", False, {}),
    ("looping_call", "LoopingCall", "looping_call", False, {}),
    ("callback", "Deferred callback", "callback", False, {}),
    ("errback", "Deferred errback", "errback", False, {}),
    ("coroutine", "coroutine", "coroutine", False, {}),
    ("thread", "thread", "thread", False, {}),
    ("emit", "iterable handed to emit", "emit", False, {}),
    ("serialise", "fields that break when read", "emit", False, {}),
    ("stop", "stopService", "stop", False, {"hup": True}),
    ("reload_make", "maker at a reload", "make", True, {"hup": True}),
    ("reload_start", "startService at a reload", "start", True, {"hup": True}),
)

_BEHIND: Final = (
    # What is done behind the context's back: place, what the table calls it, what the log says
    ("own_timer", "call set behind the context's back", "while handling timed call"),
    ("collected", "garbage-collected Deferred", "Unhandled error in Deferred"),
    ("signal_handler", "signal handler", "Unexpected error in main loop"),
    ("log_observer", "log observer", "observer"),
)

_BEFORE: Final = (
    # What is asked before there is an instance: place, what the table calls it
    ("settings", "check of settings"),
    ("brokers", "brokers of the settings"),
)

_RARE_PLACES: Final = frozenset({"start", "message", "tick", "callback", "thread", "emit"})


def _must(options: Mapping[str, Any], *, restarts: bool) -> str:
    if options.get("message"):
        return "that message is dropped, logged and counted; the next one is accepted"
    if options.get("announced"):
        return "that announcement is dropped, logged and counted; the next one is accepted"
    if options.get("peer"):
        return "that one is dropped, logged and counted; the next one is accepted"
    if options.get("hup"):
        if restarts:
            return f"the others are reloaded; {_RESTARTED}"
        return "logged and counted; the reload's new instance starts anyway"
    return _RESTARTED if restarts else _GOES_ON


def _everywhere() -> Iterator[Scenario]:
    for place, title, counted, restarts, options in _PLACES:
        faults = {**_PLAIN, **(_RARE if place in _RARE_PLACES else {})}
        for fault, name in faults.items():
            must = _must(options, restarts=restarts)
            row = Row(f"{place}_{fault}", title, name, must)
            said = f"[faulty] Error in {counted}|{_TOLD[fault]}"
            yield Scenario(row, place, fault, said, counted, restarts=restarts, **options)
    for fault, name in _PLAIN.items():
        for place, title, said in _BEHIND:
            row = Row(f"{place}_{fault}", title, name, _UNKNOWN)
            yield Scenario(row, place, fault, f"{said}|{_TOLD[fault]}")
        for place, title in _BEFORE:
            row = Row(f"{place}_{fault}", title, name, _REFUSED)
            said = f"Module faulty not started|modules.faulty|{_TOLD[fault]}"
            yield Scenario(row, place, fault, said, refused=True)


_SPECIAL: Final = (
    Scenario(
        Row(
            "start_never_fires",
            "Deferred of startService",
            "never fires",
            "given up after module_start_timeout; a new instance",
        ),
        "start_result",
        "never",
        "[faulty] Error in start|did not start within",
        "start",
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
        "[faulty] Error in callback|never raised",
        "callback",
    ),
    Scenario(
        Row("timer_fired_twice", "call set for later", "Deferred fired twice", _GOES_ON),
        "timer",
        "fired_twice",
        "[faulty] Error in timer|AlreadyCalledError",
        "timer",
    ),
    Scenario(
        Row(
            "stop_never_fires",
            "stopService",
            "Deferred never fires",
            "abandoned after module_stop_timeout; meanwhile the others have been replaced",
        ),
        "stop",
        "never",
        "[faulty] Did not stop within",
        hup=True,
    ),
    Scenario(
        Row("thread_busy", "thread", "100 % CPU for 10 s", "the reactor keeps running beside it"),
        "thread",
        "busy",
        "",
        lasts_s=BUSY_S,
    ),
    Scenario(
        Row(
            "thread_forever",
            "thread",
            "blocks forever",
            "the others keep running; a stop still ends",
        ),
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
        "[faulty] Metric bad refused: no_fields",
        dropped=BAD_METRICS,
    ),
    Scenario(
        Row("tick_print", "timer tick", "prints to stdout", "it becomes a line of the log"),
        "tick",
        "print",
        "printed,by=python",
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
        "written,by=c",
    ),
)

INSIDE: Final[tuple[Scenario, ...]] = (*_everywhere(), *_SPECIAL)
