"""From an event of twisted.logger to what is worth logging: level, module, text.

Twisted's own information ("Starting factory ...") is noise to whoever runs an agent and
counts as debug; its warnings and errors stay what they are. Nothing in here raises, whatever the
event holds: a ``__repr__`` that raises costs the line its text, not the program its log.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any, Final, NamedTuple

from twisted.logger import LogEvent, LogLevel, formatEvent
from twisted.python.failure import Failure, format_frames
from twisted.python.reflect import qual, safe_str

from metrics_agent.characters import visible
from metrics_agent.clock import wall_s
from metrics_agent.logs.levels import Level, Levels

__all__ = ["AGENT", "DEFERRED", "LEGACY", "LogEntry", "describe", "read_event"]

AGENT: Final = "agent"
"""The module that lines of the agent itself name."""

_LEVELS: Final = {
    LogLevel.debug: Level.DEBUG,
    LogLevel.info: Level.INFO,
    LogLevel.warn: Level.WARN,
    LogLevel.error: Level.ERROR,
    LogLevel.critical: Level.ERROR,
}
_MODULE_FILE: Final = re.compile(r"[/\\]metrics_agent[/\\]modules[/\\](\w+)[/\\.]")
_MAX_TEXT: Final = 64 * 1024
"""Characters; what is longer is cut before anything else is done with it."""

DEFERRED: Final = "twisted.internet.defer"
LEGACY: Final = "log_legacy"
"""The namespace of events from twisted.python.log."""

_WARNINGS: Final = "twisted.logger._global"
"""The namespace under which twisted.logger reports Python's warnings."""

_FOR_DEVELOPERS: Final = ("DeprecationWarning", "FutureWarning", "ResourceWarning")


class LogEntry(NamedTuple):
    """A line to log.

    Attributes:
        level: how much it matters.
        module: whose line it is.
        text: one sentence; a newline in it is shown as an escape.
        time_s: seconds since the epoch.
        kind: what equal faults have in common: the sentence, the exception's type, and what
            distinguishes kinds of them; None: each is logged by itself, never folded.
        details: the lines of a traceback, logged at debug level beneath the line, with texts from
            outside made `visible`; empty when not wanted.
    """

    level: Level
    module: str
    text: str
    time_s: float
    kind: tuple[Hashable, ...] | None = None
    details: str = ""


def read_event(event: LogEvent, levels: Levels) -> LogEntry | None:
    """Return what to log of an event, None for nothing.

    Keys of the event that have a meaning here, beside those of twisted.logger:

    * ``module``: whose line it is.
    * ``fold``: names of fields whose values distinguish kinds of the same sentence, or False for a
      line that must always be seen, such as a change of state.
    """
    namespace = str(event.get("log_namespace") or "")
    module = _module_of(event, namespace)
    level = _level_of(event, namespace)
    failure = event.get("failure" if namespace == LEGACY else "log_failure")
    if isinstance(failure, Failure):
        if module == "twisted":
            module = _module_in_traceback(failure) or module
    else:
        failure = None
        if namespace == DEFERRED and event.get("log_format") == "Unhandled error in Deferred:":
            return None  # The announcement of an event with the failure, which says it all.
    if level < levels.of(module):
        return None
    text = _text_of(event, namespace)
    details = ""
    if failure is not None:
        text = _with_failure(text, namespace, failure)
        if levels.of(module) is Level.DEBUG:
            details = _traceback_of(failure, event)
    if not text:
        return None
    time_s = event.get("log_time")
    return LogEntry(
        level=level,
        module=module,
        text=text,
        time_s=time_s if isinstance(time_s, float) else wall_s(),
        kind=_kind_of(event, namespace, failure, text),
        details=details,
    )


def _module_of(event: LogEvent, namespace: str) -> str:
    module = event.get("module")
    if isinstance(module, str) and module:
        return module
    root, _, rest = namespace.partition(".")
    if root == "metrics_agent":
        package, _, rest = rest.partition(".")
        return (package == "modules" and rest.partition(".")[0]) or AGENT
    if root in {"", "__main__", "stdout", "stderr"}:
        return AGENT
    if namespace == _WARNINGS and "warning" in event:
        return "python"
    return "twisted" if root == LEGACY else root


def _level_of(event: LogEvent, namespace: str) -> Level:
    level = _LEVELS.get(event.get("log_level"), Level.INFO)
    if namespace == "stdout":
        return Level.WARN
    if namespace == _WARNINGS and "warning" in event:
        developers = str(event.get("category")).endswith(_FOR_DEVELOPERS)
        return Level.DEBUG if developers else Level.WARN
    if level is Level.INFO and (namespace.startswith("twisted.") or namespace == LEGACY):
        return Level.DEBUG
    return level


def _text_of(event: LogEvent, namespace: str) -> str:
    log_format: Any = event.get("log_format")
    if log_format is None:
        return ""
    if namespace == LEGACY and event.get("isError"):
        # Its text ends with the traceback, which the failure has too.
        log_format = "{why}" if event.get("why") else ""
    try:
        if isinstance(log_format, bytes):
            log_format = log_format.decode("utf-8", "backslashreplace")
        # Only twisted.logger knows fields that are called; the plain way takes a tenth of the time.
        text = formatEvent(event) if "()" in log_format else str(log_format.format_map(event))
    except BaseException as error:  # What a __repr__ raises may be anything, SystemExit too.
        text = f"A log line could not be formatted ({type(error).__name__}): {_plain(log_format)}"
    text = text[:_MAX_TEXT].strip("\r\n")
    if namespace == "stdout":
        return text and f"Printed to stdout, which is for metrics: {text!r}"
    return text


def _with_failure(text: str, namespace: str, failure: Failure) -> str:
    error = describe(failure)
    if namespace == DEFERRED and (not text or text.startswith("(debug:")):
        text = "Unhandled error in Deferred"
    text = text.rstrip().removesuffix(":").removesuffix(".") or "Unhandled error"
    return text if error in text else f"{text}: {error}"


def describe(failure: Failure) -> str:
    """Return type and text of an exception, on one line."""
    try:
        return visible(repr(failure.value)[:_MAX_TEXT])
    except BaseException:  # As above: the exception's own code runs here.
        return f"{_type_name(failure)} (its text cannot be shown)"


def _type_name(failure: Failure) -> str:
    return getattr(failure.type, "__name__", None) or "Exception"


def _module_in_traceback(failure: Failure) -> str | None:
    """Return the module whose code the exception passed last, None if it was in none."""
    found = None
    traceback = failure.getTracebackObject()
    while traceback is not None:
        match = _MODULE_FILE.search(traceback.tb_frame.f_code.co_filename)
        if match is not None:
            found = match.group(1)
        traceback = traceback.tb_next
    return found


def _traceback_of(failure: Failure, event: LogEvent) -> str:
    try:
        parts: list[str] = []
        debug_info = event.get("debugInfo")
        if isinstance(debug_info, str):
            parts.append(f"{debug_info}\n")
        # As Failure.getTraceback has it, but for newlines in the exception's own text.
        parts.append("Traceback (most recent call last):\n")
        format_frames(failure.frames, parts.append)
        shown = visible(safe_str(failure.value)[:_MAX_TEXT])
        parts.append(f"{qual(failure.type or Exception)}: {shown}")
        return "".join(parts)
    except BaseException as error:  # As above.
        return f"The traceback cannot be shown ({type(error).__name__})."


def _kind_of(
    event: LogEvent, namespace: str, failure: Failure | None, text: str
) -> tuple[Hashable, ...] | None:
    fold = event.get("fold", ())
    if fold is False:
        return None
    log_format = event.get("log_format")
    # These share one format that says nothing; what they have in common is their text.
    if namespace in {LEGACY, "stderr"}:
        log_format = text
    names = fold if isinstance(fold, (tuple, list)) else ()
    values = tuple(_plain(event.get(name)) for name in names)
    return (_plain(log_format), failure and _type_name(failure), values)


def _plain(value: object) -> str:
    try:
        return str(value)[:_MAX_TEXT]
    except BaseException as error:  # As above.
        return type(error).__name__
