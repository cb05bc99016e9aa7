"""What a user reads of an outage: lines of the log down, and lines up."""

from __future__ import annotations

import re
from typing import Any, Final

from tests.integration.case import AgentCase, logged
from tests.integration.watching import until

__all__ = ["assert_news", "downs", "ups"]

_UP: Final = re.compile(r" after \d+ (s|min)\.\Z|works again")
_OF_A_DEVICE: Final = "cannot be reached, or sends nothing new"
"""One of the fake Netatmo's devices is out of reach, whatever else happens."""


def downs(parent: Any, subject: str = "") -> list[str]:
    """Return the warnings and errors of the log, or those that name a subject."""
    return [
        f"{said.level}! {said.text}"
        for said in parent.log
        if said.level in "WE" and subject in said.text and _OF_A_DEVICE not in said.text
    ]


def ups(parent: Any, subject: str = "") -> list[str]:
    """Return the lines that say of something, or of the subject, that it is back."""
    return [
        f"{said.level}! {said.text}"
        for said in parent.log
        if said.level == "I" and subject in said.text and _UP.search(said.text)
    ]


async def assert_news(
    case: AgentCase, parent: Any, down: int, up: int, *, subject: str = "", limit_s: float = 20.0
) -> None:
    """Wait until the last line up is there, and count: no line is missing and none too many."""
    await until(
        lambda: len(ups(parent, subject)) >= up,
        lambda: f"{up} lines that something is back: {logged(parent.log)}",
        limit_s,
    )
    case.assertEqual(len(downs(parent, subject)), down, logged(parent.log))
    case.assertEqual(len(ups(parent, subject)), up, logged(parent.log))
