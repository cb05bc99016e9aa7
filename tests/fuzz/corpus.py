"""The real shapes: messages and settings of the golden cases of each module."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from metrics_agent.config.structure import structure
from tests.modules.tasmota.support import read_toml

__all__ = ["CASES", "Conversation", "Line", "conversations", "netatmo_answers", "settings_of"]

CASES: Final = Path(__file__).parent.parent / "modules"


@frozen
class Line:
    """One message.

    Attributes:
        topic: of MQTT; empty for one of a socket.
        payload: as text.
        retain: it was stored at the broker.
    """

    topic: str
    payload: str
    retain: bool = False


@frozen(eq=False)
class Conversation:
    """A golden case.

    Attributes:
        name: of its folder.
        settings: an instance of the module's settings.
        lines: its messages.
    """

    name: str
    settings: Any
    lines: tuple[Line, ...]

    def __repr__(self) -> str:
        return f"<case {self.name}>"


def settings_of(kind: type[Any], raw: dict[str, Any], name: str) -> Any:
    """Return the settings of a table that is right."""
    found = structure(kind, raw, name)
    if found.value is None:
        raise AssertionError([str(fault) for fault in found.faults])
    return found.value


def conversations(module: str, kind: type[Any], **more: Any) -> Iterator[Conversation]:
    """Yield the golden cases of a module that has ``messages.txt``."""
    for folder in sorted((CASES / module / "cases").iterdir()):
        raw = read_toml((folder / "config.toml").read_text("utf-8"))
        if "mqtt" not in raw:
            raw = {**more, **raw}
        text = (folder / "messages.txt").read_text("utf-8")
        lines = tuple(filter(None, map(_line, text.splitlines())))
        if lines:
            yield Conversation(folder.name, settings_of(kind, raw, folder.name), lines)


def _line(text: str) -> Line | None:
    kind, _, rest = text.partition(" ")
    if kind == "frame":
        return Line("", rest)
    if kind not in {"-", "R"}:
        return None  # a pause
    topic, _, payload = rest.partition(" ")
    return Line(topic.replace("\\_", " "), payload, kind == "R")


def netatmo_answers() -> list[str]:
    """Return the API's answers of all cases."""
    found: dict[str, None] = {}
    for folder in sorted((CASES / "netatmo" / "cases").iterdir()):
        for turn in json.loads((folder / "answers.json").read_text("utf-8")):
            for answer in turn.values():
                found[json.dumps(answer)] = None
    return list(found)
