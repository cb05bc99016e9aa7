"""The payload of one message, decoded once for all entities that read it."""

from __future__ import annotations

import re
from collections.abc import Callable
from math import isfinite
from typing import Final

from metrics_agent.errors import PayloadError
from metrics_agent.json_payload import loads
from metrics_agent.limits import HADISCOVERY_ENTITIES_TOGETHER, HADISCOVERY_PAYLOAD_BYTES
from metrics_agent.modules.hadiscovery.templates import MISSING, Template, TemplateError

__all__ = ["Payload"]

_UTF8: Final = "utf-8"
_MOST_DEPTH: Final = 256
"""Nothing here works through nested values one level after the other."""
_UNKNOWN: Final = object()
_EXPONENT: Final = re.compile(rb"[0-9.][eE]")


class Payload:
    """A payload as text and as JSON, each made when it is asked for.

    Args:
        data: the bytes of the message.
    """

    __slots__ = ("_json", "_rendered", "_text", "_variables", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._text: object = _UNKNOWN
        self._json: object = _UNKNOWN
        self._variables: tuple[str, object] | None = None
        self._rendered: dict[tuple[int, str], str | None] = {}

    def text(self, encoding: str) -> str | None:
        """Return the text; None if it is none in that encoding."""
        if encoding != _UTF8:
            return _decode(self.data, encoding) if encoding else None
        if self._text is _UNKNOWN:
            self._text = _decode(self.data, _UTF8)
        return self._text  # type: ignore[return-value]  # text or None by now

    def rendered(
        self,
        template: Template,
        encoding: str,
        render: Callable[[Template, Payload, str], str | None],
    ) -> str | None:
        """Return what a template makes of the payload, once for all that ask for it.

        Raises:
            TemplateError: what ``render`` raises, to the first that asks; the others get None.
                Too many have asked.
        """
        key = (id(template), encoding)
        if key not in self._rendered:
            # EMS-ESP has one for each of the up to 250 values of a boiler.
            if len(self._rendered) >= HADISCOVERY_ENTITIES_TOGETHER:
                limit = HADISCOVERY_ENTITIES_TOGETHER
                raise TemplateError(
                    f"more than {limit} different availability templates read this message"
                )
            self._rendered[key] = None
            self._rendered[key] = render(template, self, encoding)
        return self._rendered[key]

    def variables(self, encoding: str) -> tuple[str | bytes, object] | None:
        """Return `value` and `value_json` of a template; None where the encoding cannot read it.

        Args:
            encoding: of the payload; empty for bytes, which may be JSON all the same.
        """
        if encoding == _UTF8 and self._variables is not None:
            return self._variables
        if not encoding:
            return self.data, self.json
        text = self.text(encoding)
        if text is None:
            return None
        if encoding != _UTF8:
            return text, _parse(text.encode(errors="replace"))
        self._variables = text, self.json
        return self._variables

    @property
    def json(self) -> object:
        """What the payload is as JSON; `MISSING` if it is none."""
        if self._json is _UNKNOWN:
            self._json = _parse(self.data)
        return self._json


def _parse(data: bytes) -> object:
    try:
        found = loads(data, max_bytes=HADISCOVERY_PAYLOAD_BYTES, max_depth=_MOST_DEPTH)
    except PayloadError:
        return MISSING
    # Home Assistant's parser refuses a document with a number beyond the double's range.
    if _EXPONENT.search(data) and not _is_finite(found):
        return MISSING
    return found


def _is_finite(value: object) -> bool:
    if isinstance(value, float):
        return isfinite(value)
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    return not isinstance(value, list) or all(map(_is_finite, value))


def _decode(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        return None
