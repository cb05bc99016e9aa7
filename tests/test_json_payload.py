"""Payloads: what is read, what is refused and why, with orjson and without."""

from __future__ import annotations

import builtins
import json
import math
from fractions import Fraction

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent import json_payload
from metrics_agent.errors import PayloadError
from metrics_agent.json_payload import loads, number, parse_by_stdlib, text_number
from tests.needs import require

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)
TOKENS = st.lists(
    st.sampled_from(
        ["{", "}", "[", "]", ",", ":", '"', "\\", "a", "1", "-", ".", "e5", "null", "NaN", " "]
    ),
    max_size=14,
).map("".join)


def outcome(data: bytes, parse) -> object:
    """Return what was read, or why not, as something to compare."""
    try:
        return repr(loads(data, parse=parse))
    except PayloadError as error:
        return error.reason, str(error)


class BothParsersTests(SynchronousTestCase):
    """The same results with orjson and with the standard library."""

    def setUp(self):
        require("orjson")
        import orjson

        self.orjson = orjson.loads

    @settings(max_examples=150)
    @given(value=JSON)
    @example(2**64)
    @example(-(2**63) - 1)
    @example("\ud800")
    @example(math.inf)
    def test_json(self, value):
        """Whatever JSON can say is read alike."""
        for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1)):
            data = text.encode("utf-8", "replace")
            self.assertEqual(outcome(data, self.orjson), outcome(data, parse_by_stdlib))

    @settings(max_examples=300)
    @given(data=st.one_of(TOKENS.map(str.encode), st.binary(max_size=12)))
    @example(b'{"a":1e400,"b":2}')
    @example(b"9" * 5000)
    @example(b'"\\ud800"')
    @example(b"-0")
    @example(b"01")
    @example(b'{"a":1,"a":2}')
    def test_anything(self, data):
        """Whatever else comes is read or refused alike, in the same words."""
        self.assertEqual(outcome(data, self.orjson), outcome(data, parse_by_stdlib))

    def test_default(self):
        """Where orjson is installed it is asked first, where not the standard library."""
        self.assertIs(json_payload._fastest_parse(), self.orjson)
        real_import = builtins.__import__

        def no_orjson(name, *args, **kwargs):
            if name == "orjson":
                raise ImportError(name)
            return real_import(name, *args, **kwargs)

        self.patch(builtins, "__import__", no_orjson)
        self.assertIs(json_payload._fastest_parse(), parse_by_stdlib)


class LoadsTests(SynchronousTestCase):
    """What is read and what is refused."""

    def refused(self, data: bytes, **kwargs) -> PayloadError:
        error = self.assertRaises(PayloadError, loads, data, **kwargs)
        self.assertIn(error.reason, json_payload.REASONS)
        self.assertLess(len(str(error)), 400)
        return error

    def test_read(self):
        """A document may have a byte order mark, blanks and NULs around it."""
        for data, expected in (
            (b'{"a":1}', {"a": 1}),
            (b'\xef\xbb\xbf{"a":1}', {"a": 1}),
            (b'{"a":1}\x00', {"a": 1}),
            (b' \t\r\n{"a":1}\r\n\x00\x00', {"a": 1}),
            (b'{"a":1,"a":2}', {"a": 2}),
            (b'{"":1,"PM2.5":2.5,"\xc3\xa4":null}', {"": 1, "PM2.5": 2.5, "ä": None}),
            (b"21.5", 21.5),
            (b"18446744073709551615", 18446744073709551615),
            (b"18446744073709551616", 18446744073709551616.0),
            (b'{"a":1e400,"b":2}', {"a": math.inf, "b": 2}),
        ):
            value = loads(data)
            self.assertEqual(value, expected)
            self.assertIs(type(value), type(expected))

    def test_refused(self):
        """What is not JSON is refused, with the reason and the place."""
        for data, reason, shown in (
            (b"", "empty", "no JSON in the payload"),
            (b"\xef\xbb\xbf \x00\n", "empty", "no JSON in the payload"),
            (b'{"a":NaN}', "invalid_json", "NaN is not JSON"),
            (b"[-Infinity]", "invalid_json", "-Infinity is not JSON"),
            (b'{"a":nan}', "invalid_json", "at 5 of 9"),
            (b'{"CHIRP0":{"sleeping"}}', "invalid_json", 'near \'{"CHIRP0":{"sleeping"}}\''),
            (b'{"SEN5X":{"PM10":2.6,}}', "invalid_json", "at 2"),
            (b'{"a":1', "invalid_json", "at 6 of 6"),
            (b'{"a', "invalid_json", "starting at 1 of 3"),
            (b'{"dn":"Bo"iler"}', "invalid_json", "at 10 of 16"),
            (b'{"a":"\xff"}', "invalid_utf8", "at 6 of 9"),
            (b"Online", "invalid_json", "near 'Online'"),
            (b"{} {}", "invalid_json", "Extra data"),
        ):
            error = self.refused(data)
            self.assertEqual(error.reason, reason)
            self.assertIn(shown, str(error))

    def test_excerpt(self):
        """Of a long payload only the surroundings of the fault are shown."""
        error = self.refused(b'{"a":"' + b"x" * 5000 + b'" "here":1' + b"y" * 5000)
        self.assertIn("here", str(error))
        self.assertLess(len(str(error)), 160)

    def test_depth(self):
        """The depth is bounded exactly, brackets within texts do not count."""
        for left, right in ((b"[", b"]"), (b'{"a":', b"}"), (b'[{"[\\"[\\\\":', b"}]")):
            levels = 32 // (left.count(b"[{") + 1)
            inner = left * levels + b"1" + right * levels
            loads(inner)
            error = self.refused(b"[" + inner + b"]")
            self.assertEqual(error.reason, "too_deep")
        self.assertEqual(loads(b"[[]," * 3 + b"1" + b"]" * 3, max_depth=4), [[], [[], [[], 1]]])
        self.assertEqual(self.refused(b"[[[]]]", max_depth=2).reason, "too_deep")
        self.assertEqual(len(loads(b"[" + b"[]," * 500 + b"[]]")), 501)

    def test_length(self):
        """What is longer than the sender can send is not read at all."""
        self.assertEqual(loads(b"[1]", max_bytes=3), [1])
        error = self.refused(b"[12]", max_bytes=3)
        self.assertEqual(error.reason, "too_long")
        self.assertIn("4 bytes, at most 3", str(error))

    def test_hostile(self):
        """A megabyte of brackets, quotes or backslashes is refused, not a crash."""
        for data, reason in (
            (b"[" * 1_000_000, "too_deep"),
            (b'{"a":[' * 150_000, "too_deep"),
            (b"[" * 33 + b"[]," * 300_000 + b"[]" + b"]" * 33, "too_deep"),
            (b"]" * 500_000 + b"[" * 500_000, "too_deep"),
            (b"[]" * 500_000, "invalid_json"),
            (b'"' + b"[" * 1_000_000, "invalid_json"),
            (b'"' + b"\\" * 1_000_001, "invalid_json"),
            (b'\\"' + b"[" * 100_000, "too_deep"),
            (b'["\\\\"' + b"]" * 100_000, "invalid_json"),
            (b'["\\\\",' + b"[" * 40 + b"]" * 41, "too_deep"),
            (b"9" * 1_000_000, None),
        ):
            for parse in (json_payload._PARSE, parse_by_stdlib):
                if reason is None:
                    self.assertEqual(loads(data, parse=parse), math.inf)
                else:
                    self.assertEqual(self.refused(data, parse=parse).reason, reason)


class NumberTests(SynchronousTestCase):
    """What counts as a measured number."""

    def test_number(self):
        """Ints and finite floats are numbers, always as floats; nothing else is."""

        class Reading(float):
            pass

        for value, expected in (
            (230, 230.0),
            (230.5, 230.5),
            (0, 0.0),
            (-0.0, -0.0),
            (Reading(1.5), 1.5),
            (2**64, 2.0**64),
            (10**400, None),
            (math.inf, None),
            (-math.inf, None),
            (math.nan, None),
            (True, None),
            (False, None),
            (None, None),
            ("230", None),
            ([230], None),
            (Fraction(1, 2), None),
        ):
            result = number(value)
            self.assertEqual(result, expected, repr(value)[:50])
            self.assertEqual(text_number(value), 230.0 if value == "230" else expected)
            if expected is not None:
                self.assertIs(type(result), float)

    def test_text_number(self):
        """Numbers in texts: leading zeros, blanks, a sign, an exponent; ASCII digits only."""
        for value, expected in (
            ("612", 612.0),
            ("00871.4410", 871.441),
            (" 12.3\n", 12.3),
            ("-0.5", -0.5),
            ("+5", 5.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("1e3", 1000.0),
            ("1E-2", 0.01),
            ("1e400", None),
            ("", None),
            (" ", None),
            (".", None),
            ("-", None),
            ("nan", None),
            ("inf", None),
            ("1_000", None),
            ("1,5", None),
            ("0x10", None),
            ("12 V", None),
            ("1 2", None),
            ("\u0661", None),
            ("ON", None),
            ("1" * 64, float("1" * 64)),
            ("1" * 65, None),
        ):
            self.assertEqual(text_number(value), expected, repr(value))
