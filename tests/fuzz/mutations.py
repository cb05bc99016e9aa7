"""Strategies that bend real payloads: by tokens, so that much stays readable, and by bytes.

A JSON text is taken apart into tokens once. A mutation puts a value in another's place, renames a
key, wraps a value, adds a member from elsewhere, or leaves a token out; most results are JSON, and
reach the code behind the parser. Some are then cut, flipped or repeated byte by byte. A few have a
key, a value or a piece of up to 1 MiB.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import hypothesis.strategies as st
from attrs import frozen

from tests.hostile import patterns
from tests.hostile.patterns import PATTERNS, RAW, filled, in_json

__all__ = ["Draw", "Vocabulary", "bytes_bent", "cut_up", "json_bent", "text_bent", "token_texts"]

RARELY: Final = 200
"""In one of so many mutations a text is filled, or bytes, with a pattern of the attacks."""
SIZES: Final = (5_000, 70_000, 1 << 20)
BYTEWISE: Final = 10_000
"""A longer stream does not come byte by byte: each byte costs a callback."""

Draw = Callable[[st.SearchStrategy[Any]], Any]

_TOKEN = re.compile(
    r'"(?:[^"\\]|\\.)*"|[-+0-9.][-+0-9.eE]*|true|false|null|[{}\[\]:,]|\s+|.', re.DOTALL
)

ODD_VALUES: Final = (
    *("null", "true", "false", "0", "-0", "-0.0", "1", "-1", "0.1", "255", "65535", "-127", "85"),
    *(
        "1e400",
        "-1e400",
        "1e-400",
        "1e308",
        "5e-324",
        "9" * 30,
        "-" + "9" * 400,
        "18446744073709551616",
    ),
    *("NaN", "Infinity", "-Infinity", "01", "1.", ".5", "+1", "0x10", "1_000"),
    *('""', '" "', '"0"', '"-"', '"nan"', '"1e400"', '"1,5"', '" 00871.4410"', '"ON"', '"OFF"'),
    *('"\\ud800"', '"\\u0000"', '"\\n"', '"a,b=c d"', '"\\\\"', '"\\""', '"#"', '"_"', '"time"'),
    *('"é☀"', '"' + "x" * 300 + '"', '"' + "9" * 70 + '"'),
    *("[]", "{}", "[[]]", "[null]", "[{}]", '{"":{}}', '{"":null}', '[1,"x",null,{},true]'),
    "[" + ",".join(map(str, range(40))) + "]",
    "{" + ",".join(f'"k{number}":{number}' for number in range(40)) + "}",
    *("[" * 40 + "]" * 40, '{"a":' * 40 + "1" + "}" * 40),
    *('{"Temperature":20}', '{"v":1,"u":"W","d":1}', '{"Phase1":1.5,"L2":2}'),
)
ODD_KEYS: Final = (
    *('""', '" "', '"0"', '"1"', '"time"', '"_x"', '"#"', '"a b"', '"k\\u0000"', '"\\ud800"'),
    *('"é"', '"' + "k" * 1100 + '"', '"Temperature"', '"Total"', '"Time"', '"Id"', '"__class__"'),
)
_WRAPS: Final = ("[@]", "[@,@]", '{"0":@}', '{"1":@}', '{"v":@}', "[[[@]]]", '"@"')
_ODD_BYTES: Final = (
    *(b"\x00", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\r\n", b"\n", b'"', b"\\"),
    *(b"{", b"[", b"}", b"]", b"," * 20, b"\x80\x80\x80\x80\x01"),
)


@frozen
class Vocabulary:
    """What occurs in a set of payloads.

    Attributes:
        texts: the payloads' tokens.
        keys, values: as they are written.
        members: ``"key":value`` of every object, at any depth.
    """

    texts: tuple[tuple[str, ...], ...]
    keys: tuple[str, ...]
    values: tuple[str, ...]
    members: tuple[str, ...]

    @classmethod
    def of(cls, payloads: Iterable[str]) -> Vocabulary:
        """Take payloads apart; those that are no JSON are tokens only."""
        texts, keys, values, members = [], dict[str, None](), dict[str, None](), dict[str, None]()
        for payload in payloads:
            texts.append(token_texts(payload))
            try:
                document = json.loads(payload)
            except ValueError:
                continue
            for key, value in _members(document):
                written = json.dumps(value)
                keys[json.dumps(key)] = None
                members[f"{json.dumps(key)}:{written}"] = None
                if not isinstance(value, dict):
                    values[written] = None
        return cls(tuple(texts), tuple(keys), tuple(values), tuple(members))


def token_texts(payload: str) -> tuple[str, ...]:
    """Return the tokens of a JSON text, or of what should be one, without blanks."""
    return tuple(token for token in _TOKEN.findall(payload) if not token.isspace())


def _members(document: object) -> Iterable[tuple[str, object]]:
    if isinstance(document, dict):
        for key, value in document.items():
            yield key, value
            yield from _members(value)
    elif isinstance(document, list):
        for value in document:
            yield from _members(value)


def _values(words: Vocabulary) -> st.SearchStrategy[str]:
    known = [st.sampled_from(words.values)] if words.values else []
    return st.one_of(
        st.sampled_from(ODD_VALUES),
        *known,
        st.integers(-(10**6), 10**6).map(str),
        st.floats(width=32, allow_nan=False, allow_infinity=False).map(repr),
        st.text(max_size=6).map(json.dumps),
    )


def json_bent(
    words: Vocabulary, most: int = 4, texts: Sequence[tuple[str, ...]] | None = None
) -> st.SearchStrategy[bytes]:
    """Return a strategy of payloads of a vocabulary, bent up to so many times.

    Args:
        words: where keys, values and members come from.
        most: mutations of one payload.
        texts: which payloads to bend; all of the vocabulary if None.
    """
    which = st.sampled_from(words.texts if texts is None else tuple(texts))
    bent, filled_ones = _json_bent(words, most, which), which.flatmap(_filled)
    return _once_in(RARELY).flatmap(lambda fill: filled_ones if fill else bent)


def _json_bent(
    words: Vocabulary, most: int, which: st.SearchStrategy[tuple[str, ...]]
) -> st.SearchStrategy[bytes]:
    values, keys = _values(words), st.sampled_from((*words.keys, *ODD_KEYS))
    members = st.sampled_from(words.members)
    acts = st.sampled_from(_ACTS)

    @st.composite
    def bent(draw: Draw) -> bytes:
        tokens = list(draw(which))
        for _ in range(draw(st.integers(0, most))):
            if not tokens:
                break
            act = draw(acts)
            places = _places(tokens, act)
            place = draw(st.sampled_from(places)) if places else 0
            if act == "value":
                tokens[place] = draw(values)
            elif act == "key":
                tokens[place] = draw(keys)
            elif act == "wrap":
                tokens[place] = draw(st.sampled_from(_WRAPS)).replace("@", tokens[place])
            elif act == "member" and places:
                comma = "" if tokens[place + 1 : place + 2] == ["}"] else ","
                tokens.insert(place + 1, draw(members) + comma)
            elif act == "leave out":
                del tokens[place]
            elif act == "repeat":
                tokens[place:place] = tokens[place : place + draw(st.integers(1, 12))]
        return draw(bytes_bent(_written(tokens)))

    return bent()


def _once_in(times: int) -> st.SearchStrategy[bool]:
    return st.integers(0, times - 1).map(lambda number: number == times // 2)


@st.composite
def _filled(draw: Draw, tokens: Sequence[str]) -> bytes:
    """Put a long text in the place of a value or a key."""
    if not tokens:
        return b""
    act = draw(st.sampled_from(("value", "key")))
    place = draw(st.sampled_from(_places(tokens, act)))
    text = in_json(draw(st.sampled_from(PATTERNS)), draw(st.sampled_from(SIZES)))
    return _written(tokens[:place]) + text + _written(tokens[place + 1 :])


def _written(tokens: Iterable[str]) -> bytes:
    return "".join(tokens).encode("utf-8", "surrogatepass")


_ACTS: Final = (
    ("value",) * 6 + ("key",) * 4 + ("member",) * 4 + ("wrap", "wrap", "leave out", "repeat")
)


def _places(tokens: Sequence[str], act: str) -> list[int]:
    """Return the tokens that a mutation can be done to; all where none fits."""
    last = len(tokens) - 1
    if act == "member":
        return [index for index, token in enumerate(tokens) if token == "{"]
    if act in {"value", "wrap"}:
        found = [
            index
            for index, token in enumerate(tokens)
            if token not in "{}[]:," and (index == last or tokens[index + 1] != ":")
        ]
    elif act == "key":
        found = [index for index in range(last) if tokens[index + 1] == ":"]
    else:
        found = []
    return found or list(range(len(tokens)))


@st.composite
def bytes_bent(draw: Draw, data: bytes, often: int = 3) -> bytes:
    """Bend bytes in about one of ``often`` cases; the others stay as they are."""
    if draw(_once_in(RARELY * often // 5)):
        place = draw(st.integers(0, len(data)))
        filling = patterns.payload(draw(st.sampled_from(tuple(RAW))), draw(st.sampled_from(SIZES)))
        return data[:place] + filling + data[place:]
    if draw(st.integers(0, often - 1)) != often - 1 or not data:
        return data
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, max(0, len(data) - 1)))
        act = draw(st.sampled_from(("flip", "cut", "insert", "leave out", "repeat", "set")))
        if act == "flip" and data:
            bit = 1 << draw(st.integers(0, 7))
            data = data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :]
        elif act == "set" and data:
            data = data[:place] + draw(st.binary(min_size=1, max_size=1)) + data[place + 1 :]
        elif act == "cut":
            data = data[:place]
        elif act == "insert":
            some = draw(st.one_of(st.sampled_from(_ODD_BYTES), st.binary(max_size=6)))
            data = data[:place] + some + data[place:]
        else:
            length = draw(st.integers(1, 40))
            piece = b"" if act == "leave out" else data[place : place + length] * 2
            data = data[:place] + piece + data[place + length :]
    return data


@st.composite
def text_bent(draw: Draw, text: str, words: Sequence[str], often: int = 2) -> str:
    """Bend a text of parts such as a topic: swap a part, add one, leave one out, spoil one."""
    parts = re.split(r"([/ .=])", text)
    place = draw(st.integers(0, len(parts) - 1))
    if draw(_once_in(RARELY)):
        parts[place] = filled(draw(st.sampled_from(PATTERNS)), draw(st.sampled_from(SIZES)))
        return "".join(parts)
    if draw(st.integers(0, often - 1)) != often - 1:
        return text
    act = draw(st.sampled_from(("swap", "add", "leave out", "odd")))
    if act == "swap":
        parts[place] = draw(st.sampled_from(words))
    elif act == "add":
        parts.insert(place, draw(st.sampled_from(words)))
    elif act == "leave out":
        del parts[place]
    else:
        parts[place] += draw(st.text(max_size=3))
    return "".join(parts)


@st.composite
def cut_up(draw: Draw, data: bytes) -> list[bytes]:
    """Cut a stream into the pieces in which it arrives."""
    how = draw(st.sampled_from(("whole", "bytewise", "pieces")))
    if how == "whole" or not data:
        return [data] if data else []
    if how == "bytewise" and len(data) < BYTEWISE:
        return [data[index : index + 1] for index in range(len(data))]
    places = sorted(draw(st.lists(st.integers(0, len(data)), max_size=4)))
    ends = [*places, len(data)]
    pieces = [data[start:end] for start, end in zip([0, *places], ends, strict=True)]
    return [piece for piece in pieces if piece]
