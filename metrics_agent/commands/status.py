"""`metrics-agent status`: how the running agent is."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from metrics_agent.commands.asking import (
    NO_AGENT,
    NoAnswerError,
    Places,
    ask,
    end_like_a_tool,
    find_places,
    refuse,
    values,
)
from metrics_agent.commands.status_table import table
from metrics_agent.commands.stdout import say, say_error
from metrics_agent.errors import ConfigError
from metrics_agent.process.exit import ExitCode

__all__ = ["status"]

_CLEAR: Final = "\x1b[H\x1b[2J"


def status(
    config: str | None,
    *,
    module: str | None = None,
    device: str | None = None,
    as_json: bool = False,
    watch_s: float | None = None,
) -> int:
    """Ask the running agent, and write its answer to stdout.

    Args:
        config: the configuration file, None to look for it.
        module: show only this module.
        device: show only this device, by its name or its friendly name, with all its values.
        as_json: write one JSON object a line.
        watch_s: ask again after so many seconds, until this process is ended.

    Returns:
        0 if all is well, 1 if something is wrong, 3 if no agent answers, 78 if none
        answers and the configuration cannot be used.
    """
    if watch_s is None:
        return _once(find_places(config), module, device, as_json=as_json)
    end_like_a_tool()
    while True:
        places = find_places(config)
        if not as_json:
            _clear()
        if _once(places, module, device, as_json=as_json) == ExitCode.CONFIG:
            return ExitCode.CONFIG
        time.sleep(watch_s)


def _once(places: Places, module: str | None, device: str | None, *, as_json: bool) -> int:
    try:
        with ask(places, ask="status", module=module, device=device) as connection:
            found = values(connection)
    except NoAnswerError as error:
        say_error(f"error: {error}")
        return NO_AGENT
    except ConfigError as error:
        return refuse(error)
    state = _selected(found, module)
    for missing in _missing(state, module, device):
        say_error(f"error: {missing}")
        return ExitCode.FAILED
    if as_json:
        say(json.dumps(state))
    else:
        for line in table(state, all_of=device is not None):
            say(line)
    wrong = state["problems"] if device is None else _wrong_devices(state)
    return ExitCode.FAILED if wrong else ExitCode.STOPPED


def _selected(state: Mapping[str, Any], module: str | None) -> dict[str, Any]:
    """Return the part of the state that is about a module."""
    if module is None:
        return dict(state)
    return {
        **state,
        "problems": [each for each in state["problems"] if each["module"] == module],
        "modules": [each for each in state["modules"] if each["module"] == module],
        "connections": [each for each in state["connections"] if each["module_instance"] == module],
    }


def _missing(state: Mapping[str, Any], module: str | None, device: str | None) -> Iterator[str]:
    if module is not None and not state["modules"]:
        yield f"the running agent has no module {module!r}"
    elif device is not None and not state["devices"]:
        yield f"the running agent knows no device {device!r}"


def _wrong_devices(state: Mapping[str, Any]) -> list[Any]:
    return [each for each in state["devices"] if each["stale"] or each["online"] is False]


def _clear() -> None:
    stdout = sys.stdout
    if stdout is not None and stdout.isatty():
        stdout.write(_CLEAR)
