"""Regular expressions of templates, with their work known before they run.

Python's engine tries every way to match, and nested repetitions have exponentially many. Taken is
a part of its language in which the ways can be counted: single characters and classes, repeated or
not; groups and alternatives, not repeated. With ``k`` open repetitions a text of ``n`` characters
has at most ``n ** (k + 1)`` ways, each at most as long as the pattern.
"""

from __future__ import annotations

import re
from typing import Any, Final

from metrics_agent.modules.hadiscovery.templates.faults import TemplateError
from metrics_agent.modules.hadiscovery.templates.meter import ELEMENT, Meter

__all__ = ["Regex"]

_MAX_PATTERN: Final = 300
_FEW: Final = 8
_COMPILING: Final = 500
_TOKEN: Final = re.compile(
    r"""(?P<open>\((?:\?:|\?P<[A-Za-z_]\w*>)?(?!\?))
    |(?P<close>\))
    |(?P<either>\|)
    |(?P<edge>[\^$]|\\[bBAZ])
    |(?P<one>\[\^?\]?(?:(?!--|&&|~~|\|\|)[^\[\]\\]|\\.)*\]|\\[dDwWsSnrtfv]|\\[^A-Za-z0-9]|[^\\()|\[\]*+?{}^$])
     (?P<repeat>[*+?]|\{\d{1,3}(?:,\d{0,3})?\})?\??
    """,
    re.VERBOSE | re.DOTALL,
)


def _repeats(repeat: str) -> tuple[int, int]:
    """Return the fewest and most times that a character occurs, -1 for as often as possible."""
    if repeat in {"*", "+"}:
        return (repeat == "+", -1)
    if repeat == "?":
        return (0, 1)
    fewest, comma, most = repeat[1:-1].partition(",")
    return (int(fewest), (int(most) if most else -1) if comma else int(fewest))


def _ways(pattern: str, length: int) -> int:
    """Return an upper bound of the steps that a search takes."""
    if len(pattern) > _MAX_PATTERN:
        raise TemplateError(f"it has a pattern of more than {_MAX_PATTERN} characters")
    ways, atoms, at = length + 1, 1, 0
    while at < len(pattern):
        token = _TOKEN.match(pattern, at)  # a repetition belongs to a character, never to a group
        if token is None:
            raise TemplateError(f"it has a pattern with {pattern[at : at + 10]!r}")
        at = token.end()
        atoms += 1
        if token["either"]:
            ways *= 2
        elif token["repeat"]:
            fewest, most = _repeats(token["repeat"])
            atoms += fewest
            if fewest != most:
                ways *= length + 1 if most < 0 or most > _FEW else most - fewest + 1
    return ways * atoms


class Regex:
    """Filters and tests of Home Assistant that search.

    Args:
        meter: what it may take.
    """

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    def match(self, value: Any, find: str = "", ignorecase: Any = False) -> bool:
        """Return whether the text begins with the pattern."""
        text, pattern = self._prepare(value, find, ignorecase)
        return bool(pattern.match(text))

    def search(self, value: Any, find: str = "", ignorecase: Any = False) -> bool:
        """Return whether the pattern is in the text."""
        text, pattern = self._prepare(value, find, ignorecase)
        return bool(pattern.search(text))

    def replace(
        self, value: Any = "", find: str = "", replace: str = "", ignorecase: Any = False
    ) -> str:
        """Replace the pattern, wherever it is."""
        text, pattern = self._prepare(value, find, ignorecase)
        if not isinstance(replace, str):
            raise TypeError("regex_replace got a replacement that is not text")
        self._meter.make((len(text) + 1) * (len(replace) + 1) * (1 + replace.count("\\")))
        return pattern.sub(replace, text)

    def findall(self, value: Any, find: str = "", ignorecase: Any = False) -> list[Any]:
        """Return all that matches."""
        text, pattern = self._prepare(value, find, ignorecase)
        self._meter.make(len(text) + 1, ELEMENT * (1 + pattern.groups))
        return pattern.findall(text)

    def findall_index(
        self, value: Any, find: str = "", index: int = 0, ignorecase: Any = False
    ) -> Any:
        """Return one of all that matches."""
        return self.findall(value, find, ignorecase)[index]

    def _prepare(self, value: Any, find: Any, ignorecase: Any) -> tuple[str, re.Pattern[str]]:
        self._meter.read(value)
        text = value if isinstance(value, str) else str(value)
        if not isinstance(find, str):
            raise TypeError("a regular expression is no text")
        self._meter.spend(_ways(find, len(text)) + _COMPILING * len(find))
        return text, re.compile(find, re.IGNORECASE if ignorecase else 0)
