"""Asks a running agent over its Unix socket; used by `status` and `tap`."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shlex import quote
from typing import Any, Final

from attrs import frozen

from metrics_agent.commands.loading import load_from, locate
from metrics_agent.commands.stdout import say_error
from metrics_agent.config import AgentSettings, state_directory
from metrics_agent.config.faults import Fault
from metrics_agent.errors import ConfigError
from metrics_agent.process.exit import ExitCode
from metrics_agent.process.socket_path import short_path
from metrics_agent.status.names import SOCKET

__all__ = [
    "ANSWER_S",
    "NO_AGENT",
    "NoAnswerError",
    "Places",
    "answer_lines",
    "ask",
    "end_like_a_tool",
    "find_places",
    "refuse",
    "values",
]

NO_AGENT: Final = 3
"""The exit code where no agent answers; 2 is that of wrong arguments."""
ANSWER_S: Final = 10.0
_SYSTEM_STATE: Final = Path("/var/lib/metrics-agent")
_PIECE_BYTES: Final = 64 * 1024
_MOST_BYTES: Final = 1024 * 1024
# In TOML or JSON, on a line of its own, an absolute path or one that starts with ~/.
_STATE_DIR: Final = re.compile(
    r"""^[{ \t]*"?state_dir"?[ \t]*[=:][ \t]*["']((?:/|~/)[^"'\\\0\n]*)["']""", re.MULTILINE
)


class NoAnswerError(Exception):
    """No agent answers; the text says why, and what to do."""


def end_like_a_tool() -> None:
    """Have Ctrl-C, SIGTERM and a closed pipe end this process at once: it holds nothing."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)


def refuse(error: ConfigError) -> ExitCode:
    """Say what is wrong with the configuration; return the exit code."""
    for fault in error.faults:
        say_error(f"error: {fault}")
    return ExitCode.CONFIG


@frozen
class Places:
    """Where the agent of a configuration may listen.

    Attributes:
        paths: of its socket, the likeliest first.
        faults: why the configuration cannot be used; an agent that read it before may still run.
    """

    paths: tuple[Path, ...]
    faults: tuple[Fault, ...] = ()


def find_places(config: str | None) -> Places:
    """Return where the agent of a configuration may listen.

    Where `state_dir` is not set, the agent of systemd has another directory than one that this
    user would start.

    Args:
        config: the configuration file, None to look for it.
    """
    path = None
    faults: tuple[Fault, ...] = ()
    try:
        path = locate(config).path
        settings = load_from(path).settings
    except ConfigError as error:
        faults = tuple(error.faults)
        settings = AgentSettings(state_dir=_state_dir_of(path))
    places = [state_directory(settings, os.environ)]
    if settings.state_dir is None and _SYSTEM_STATE not in places:
        places.append(_SYSTEM_STATE)
    return Places(tuple(place / SOCKET for place in places), faults)


def _state_dir_of(path: Path | None) -> str | None:
    """Return the state directory of a file that cannot be used; None if it does not say."""
    with suppress(OSError, ValueError):
        if path is not None and path.is_file():
            with path.open("rb") as file:
                found = _STATE_DIR.search(file.read(_MOST_BYTES).decode("utf-8", "replace"))
            return found[1] if found else None
    return None


@contextmanager
def ask(places: Places, **question: str | None) -> Iterator[socket.socket]:
    """Ask the first agent that answers; give the connection to read its answer from.

    Args:
        places: where it may listen; their faults are warned of.
        question: see `status.socket`; what is None is left out.

    Raises:
        NoAnswerError: there is none.
        ConfigError: there is none, and the configuration cannot be used.
    """
    try:
        connection = _connect(places.paths)
    except NoAnswerError:
        if places.faults:
            raise ConfigError(places.faults) from None
        raise
    for fault in places.faults:
        say_error(f"warning: {fault}")
    if places.faults:
        say_error(
            "warning: the agent still runs with what it read before; it would not start with "
            "this file"
        )
    with connection:
        asked = {name: value for name, value in question.items() if value is not None}
        # It may have answered already, and closed.
        with suppress(OSError):
            connection.sendall(json.dumps(asked).encode("ascii") + b"\n")
        yield connection


def answer_lines(connection: socket.socket) -> Iterator[bytes]:
    """Yield the lines of an answer, without their ends, until the agent closes.

    Raises:
        NoAnswerError: it says that it does not answer, or takes too long.
    """
    rest = b""
    while True:
        try:
            data = connection.recv(_PIECE_BYTES)
        except TimeoutError:
            raise NoAnswerError(
                f"the agent has not answered for {ANSWER_S:g} s: it hangs, or is stopped"
            ) from None
        except OSError:
            data = b""
        if not data:
            return
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b'{"error":'):
                raise NoAnswerError(f"the agent does not answer: {_error(line)}")
            yield line


def _error(line: bytes) -> str:
    try:
        return str(json.loads(line)["error"])
    except (ValueError, LookupError, TypeError):
        return line.decode("utf-8", "replace")


def _connect(paths: tuple[Path, ...]) -> socket.socket:
    reasons: list[str] = []
    for path in paths:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(ANSWER_S)
        try:
            with short_path(path) as address:
                connection.connect(address)
        except OSError as error:
            connection.close()
            reasons.append(_reason(path, error))
        else:
            return connection
    raise NoAnswerError("no agent answers: " + "; ".join(reasons))


def _reason(path: Path, error: OSError) -> str:
    if isinstance(error, PermissionError):
        return (
            f"this user may not use {path}; run this command as the user that the agent runs as, "
            f"such as sudo -u {quote(_owner(path))} metrics-agent ..."
        )
    if isinstance(error, FileNotFoundError):
        return f"there is no {path}, so that no agent with this state directory runs"
    if isinstance(error, ConnectionRefusedError):
        return f"the agent of {path} has ended without a stop"
    if isinstance(error, BlockingIOError):
        return f"too many ask the agent of {path} at the same time, or it hangs"
    if isinstance(error, TimeoutError):
        return f"the agent of {path} hangs, or is stopped"
    return f"{path}: {error.strerror or error}"


def _owner(path: Path) -> str:
    """Return the name of the user who owns the nearest directory that can be seen."""
    for place in path.parents:
        with suppress(OSError, KeyError):
            return place.owner()
    return "metrics-agent"


def values(connection: socket.socket) -> dict[str, Any]:
    """Read the answer to the question for the state: one object, with ``devices``.

    Raises:
        NoAnswerError: it is none, or is cut.
    """
    whole: dict[str, Any] | None = None
    devices: list[dict[str, Any]] = []
    try:
        for line in answer_lines(connection):
            found = json.loads(line)
            if whole is None:
                whole = found
            elif found.get("end"):
                return {**whole, "devices": devices}
            else:
                devices.append(found)
    except (ValueError, AttributeError, TypeError) as error:
        raise NoAnswerError(f"the agent's answer cannot be understood: {error}") from None
    raise NoAnswerError("the agent ended before its answer did")
