"""The way Twisted describes endpoints: ``kind:argument:name=argument``. Pure."""

from __future__ import annotations

import re

__all__ = ["endpoint_arguments"]

_ARGUMENT = re.compile(r"((?:\\.|[^:\\])*)(?::|\Z)", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def endpoint_arguments(rest: str) -> tuple[dict[str, str], list[str]]:
    """Split what follows the kind, the way Twisted does: named and unnamed arguments."""
    named: dict[str, str] = {}
    unnamed: list[str] = []
    for part in _ARGUMENT.findall(rest):
        name, equals, value = part.partition("=")
        if equals and name.isidentifier():
            named[name] = _ESCAPED.sub(r"\1", value)
        elif part:
            unnamed.append(_ESCAPED.sub(r"\1", part))
    return named, unnamed
