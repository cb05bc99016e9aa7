"""Bytes of a device -> Python objects: strict, bounded, the same with and without orjson.

The standard library's parser is the judge. orjson, where it is installed, answers for the
payloads it accepts; what it refuses the judge reads again. So both give the same objects, and a
single absurd number (``1e400``, which orjson refuses) does not cost the rest of its message: it
becomes infinite and ``number`` leaves it out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from math import isfinite
from typing import Any, Final, NoReturn

from metrics_agent.errors import PayloadError

__all__ = ["MAX_DEPTH", "REASONS", "loads", "number", "parse_by_stdlib", "text_number"]

Parse = Callable[[bytes], Any]
"""JSON in UTF-8 to objects; ValueError for what it does not accept."""

MAX_DEPTH: Final = 32
"""Arrays and objects within each other; no device goes beyond eight."""

REASONS: Final = frozenset({"empty", "invalid_json", "invalid_utf8", "too_deep", "too_long"})
"""Every reason ``loads`` refuses a payload for."""

_BOM: Final = b"\xef\xbb\xbf"
_BLANK: Final = b" \t\r\n\x00"
_NOT_A_BRACKET: Final = bytes(set(range(256)) - set(b"[]{}"))
_ONE_KIND: Final = bytes.maketrans(b"{}", b"[]")
_EXCERPT: Final = 60
_EXCERPT_BEFORE: Final = 40
_MAX_NUMBER_TEXT: Final = 64
_INT64_MIN: Final = -(2**63)
_UINT64_MAX: Final = 2**64 - 1
_UINT64_DIGITS: Final = 20

_NUMBER_TEXT = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _parse_int(text: str) -> int | float:
    """Read an integer as orjson does: beyond 64 bits it is a float."""
    if len(text) <= _UINT64_DIGITS:
        value = int(text)
        if _INT64_MIN <= value <= _UINT64_MAX:
            return value
    return float(text)


_DECODER: Final = json.JSONDecoder(parse_int=_parse_int, parse_constant=_refuse_constant)


def parse_by_stdlib(data: bytes) -> Any:
    """Read JSON with the standard library: the judge, and all there is without orjson."""
    return _DECODER.decode(data.decode())


def _fastest_parse() -> Parse:
    try:
        import orjson
    except ImportError:
        return parse_by_stdlib
    return orjson.loads


_PARSE: Final = _fastest_parse()


def loads(
    data: bytes,
    *,
    max_bytes: int | None = None,
    max_depth: int = MAX_DEPTH,
    parse: Parse = _PARSE,
) -> object:
    """Read one JSON document.

    A byte order mark before it, and blanks and NULs around it, are ignored. Of equal keys the last
    counts. Integers beyond 64 bits become floats, floats beyond the double's range infinite.

    Args:
        data: the payload.
        max_bytes: the most that the sender's software can send; None where only the transport
            limits it.
        max_depth: how many arrays and objects may stand within each other.
        parse: the parser that is asked first.

    Raises:
        PayloadError: the reason is one of ``REASONS``; the detail shows the place, bounded.
    """
    if max_bytes is not None and len(data) > max_bytes:
        raise PayloadError("too_long", f"it has {len(data)} bytes, at most {max_bytes} are read")
    # The usual payload is an object and nothing else; all others take the longer way.
    if data[:1] == b"{" and _openings(data) <= max_depth:
        try:
            return parse(data)
        except ValueError:
            pass  # perhaps because of the text around it
    data = data.removeprefix(_BOM).strip(_BLANK)
    if not data:
        raise PayloadError("empty", "no JSON in the payload")
    if _openings(data) > max_depth:
        _check_depth(data, max_depth)
    try:
        return parse(data)
    except ValueError:
        # What orjson refuses the judge may still accept, and its words are the same everywhere.
        return _judge(data)


def _openings(data: bytes) -> int:
    # To cut a few out takes a third of the time that it takes to count them.
    return len(data) - len(data.replace(b"{", b"").replace(b"[", b""))


def _judge(data: bytes) -> object:
    try:
        return parse_by_stdlib(data)
    except UnicodeDecodeError as error:
        raise PayloadError("invalid_utf8", _place(data, error.start, error.reason)) from error
    except json.JSONDecodeError as error:
        raise PayloadError("invalid_json", _place(error.doc, error.pos, error.msg)) from error
    except ValueError as error:
        # A constant that is not JSON: the decoder does not say where.
        raise PayloadError("invalid_json", f"{error}, in {data[:_EXCERPT]!r}") from error


def _place(data: str | bytes, position: int, what: str) -> str:
    excerpt = data[max(0, position - _EXCERPT_BEFORE) :][:_EXCERPT]
    # Some of the decoder's sentences end in "at" already.
    return f"{what.removesuffix(' at')} at {position} of {len(data)}, near {excerpt!r}"


def _check_depth(data: bytes, max_depth: int) -> None:
    """Refuse data nested too deep, before a parser sees it.

    Backslashes stand only within texts, so without their pairs and escaped quotes every second
    part between quotes is outside of texts. Where data is not JSON a parser stops before the
    place where this could be wrong.

    Each round removes the innermost pairs of all brackets, so that a pair is left only of what is
    nested too deep. Without pairs, what is left is closing brackets and then opening ones: not
    JSON, and the parser goes no deeper than twice the limit.
    """
    texts_cut = data.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2]
    brackets = b"".join(texts_cut).translate(_ONE_KIND, _NOT_A_BRACKET)
    for _ in range(max_depth):
        length = len(brackets)
        brackets = brackets.replace(b"[]", b"")
        if len(brackets) == length:
            break
    if b"[]" in brackets or brackets.count(b"[") > max_depth:
        raise PayloadError("too_deep", f"more than {max_depth} levels, in {data[:_EXCERPT]!r}")


def number(value: object) -> float | None:
    """Return a measured number as a float.

    None for everything that is not an int or a finite float: null, text, bool, list, infinity.
    """
    if value.__class__ is float or value.__class__ is int or _is_number(value):
        try:
            result = float(value)  # type: ignore[arg-type]  # an int or a float by now
        except OverflowError:
            return None
        return result if isfinite(result) else None
    return None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def text_number(value: object) -> float | None:
    """Return a measured number that may also come as text, such as ``" 00871.4410"``.

    Decimal notation with a point, blanks around it, leading zeros and an exponent; no thousands
    separators, no ``nan``, nothing beyond 64 characters. None for everything else.
    """
    if isinstance(value, str):
        text = value.strip() if len(value) <= _MAX_NUMBER_TEXT else ""
        return number(float(text)) if _NUMBER_TEXT.fullmatch(text) else None
    return number(value)
