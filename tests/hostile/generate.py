"""Messages of every type of every module, with one of their texts filled.

The golden cases of the modules have every type of message that is read, so each text in them, each
key and each string, is filled in turn. Those of the same name in an object of the same name count
once for each type of message.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from tests.hostile.patterns import PATTERNS, in_json
from tests.hostile.scale import ALL

__all__ = ["SIZES", "filled_documents", "patterns_of"]

SIZES: Final = (60_000, 1_000_000)
"""Within what a device's message may have, and near what a connection takes."""

_MARK: Final = "\ue000"


def patterns_of(number: int) -> Iterator[str]:
    """Return the patterns for the text with that number: all, or in the short form one."""
    if ALL:
        yield from PATTERNS
    else:
        yield PATTERNS[number % len(PATTERNS)]


def _fillings(number: int, sizes: Sequence[int]) -> Iterator[tuple[str, int]]:
    """Yield the patterns for the text with that number, and of what size the message is then.

    In the long form each pattern of the first size, and in both forms one of them of one size: all
    of each would be tens of gigabytes, of which most are only found to be too long.
    """
    if ALL:
        for pattern in PATTERNS:
            yield pattern, sizes[0]
    yield PATTERNS[number % len(PATTERNS)], sizes[number % len(sizes)]


def filled_documents(
    documents: Iterable[tuple[str, str]],
    sizes: Sequence[int] = SIZES,
    *,
    most: int | None = None,
) -> Iterator[tuple[str, bytes]]:
    """Yield messages with a text filled; they are made one by one.

    Args:
        documents: topics and payloads; a payload that is not JSON is filled as a whole.
        sizes: of the messages, in turn.
        most: about so many texts, evenly chosen; all if None.
    """
    marked = list(_marked_documents(documents))
    step = 1 if most is None else max(1, len(marked) // most)
    for number, (topic, text) in enumerate(marked[::step], 1):
        for pattern, size in _fillings(number, sizes):
            filling = in_json(pattern, size - len(text))
            if text == _MARK.encode():
                filling = filling[1:-1]
            quoted = b'"' + _MARK.encode() + b'"'
            yield topic, text.replace(quoted, filling).replace(_MARK.encode(), filling)


def _marked_documents(documents: Iterable[tuple[str, str]]) -> Iterator[tuple[str, bytes]]:
    """Yield messages with a text marked."""
    seen: set[tuple[str, ...]] = set()
    for topic, payload in documents:
        kind = topic.rsplit("/", 1)[-1]
        try:
            document = json.loads(payload)
        except ValueError:
            document = None
        if not isinstance(document, dict | list):
            marked = iter([((), _MARK.encode())])
        else:
            marked = _marked(document)
        for path, text in marked:
            place = (kind, *path[-2:])
            if place not in seen:
                seen.add(place)
                yield topic, text


def _marked(document: Any) -> Iterator[tuple[tuple[str, ...], bytes]]:
    for path, changed in _places(document):
        yield path, json.dumps(changed, ensure_ascii=False, separators=(",", ":")).encode()


def _places(value: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield where a text is, and the value with that text marked."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield ("key", key), {_MARK if each == key else each: value[each] for each in value}
            for path, changed in _places(item):
                yield (key, *path), {**value, key: changed}
    elif isinstance(value, list):
        for index, item in enumerate(value[:2]):
            for path, changed in _places(item):
                yield ("[]", *path), [*value[:index], changed, *value[index + 1 :]]
    else:
        # A number, too: what comes in its place may be a text.
        yield (), _MARK
