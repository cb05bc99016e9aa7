"""The encoder, judged by an independent parser."""

from __future__ import annotations

import builtins
import contextlib
import enum
import math
import re
import sys
import unicodedata
from types import MappingProxyType
from unittest import mock

from hypothesis import example, given, settings
from hypothesis import strategies as st
from line_protocol_parser import parse_line
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent import line_protocol
from metrics_agent.errors import MetricRefused
from metrics_agent.field_json import json_by_repr
from metrics_agent.limits import TAG_VALUE_BYTES
from metrics_agent.line_protocol import Encoder
from metrics_agent.metric import Metric, Series, metric
from tests.hostile_text import TEXTS, unsafe

NOW_NS = 1_739_260_800_123_456_789

# Weighted towards the characters that mean something in line protocol, in Python or to people.
AWKWARD = st.sampled_from(
    list("\\\\\\,,==  \"'#_\n\r\t\x00\f\x7f%nf\ud800ä\u2028😀\x1b\x9b\u200b\u202e\ufdd0\ufe0f")
)
TEXT = st.one_of(
    st.text(AWKWARD, max_size=12),
    st.text(st.characters(), max_size=12),
    st.text(st.one_of(AWKWARD, st.characters()), max_size=12),
    st.builds("{}{}{}".format, TEXTS, st.integers(80, 257).map("\N{EURO SIGN}".__mul__), TEXTS),
    st.builds("{}{}".format, st.integers(250, 257).map("x".__mul__), TEXTS),
)
NAME = st.one_of(
    TEXT.filter(lambda text: documented_clean(text).strip("_#")),
    st.sampled_from(["power", "voltage", "temp C", "PM2.5"]),
    st.sampled_from(["", "_", "time", "_time", "a\n", "a_"]),
)
FLOAT = st.one_of(st.floats(), st.sampled_from([0.0, -0.0, 5e-324, 1e-7, 1e16, 1e308, 230.5]))
VALUE = st.one_of(
    FLOAT,
    st.integers(),
    st.integers(-(2**64), 2**64),
    st.booleans(),
    TEXT,
    st.none(),
)
PLAIN_OR_NEARLY = ["power", "voltage", "total_t1", "time", "ti3me", "100%", "a b", "c=d", "Zoe"]
TIME = st.one_of(st.none(), st.integers(0, 2**63 - 2), st.integers())


def documented_text(text: str) -> str:
    """The documented replacements of a text value, written a second time and the slow way."""
    result = []
    for index, character in enumerate(text):
        lone_cr = character == "\r" and text[index + 1 : index + 2] != "\n"
        if "\ud800" <= character <= "\udfff":
            result.append("\ufffd")
        else:
            control = unicodedata.category(character) == "Cc" and character not in "\t\n\r"
            result.append(" " if lone_cr or control else character)
    return "".join(result)


def documented_clean(text: str) -> str:
    """The documented replacements of characters in a name, likewise."""
    result = []
    for character in text:
        category = unicodedata.category(character)
        if not unsafe(character):
            result.append(character)
        elif (
            category == "Cs"
            or ord(character) & 0xFFFE == 0xFFFE
            or "\ufdd0" <= character <= "\ufdef"
        ):
            result.append("\ufffd")
        elif category in {"Cc", "Zl", "Zp"}:
            result.append("_")
    return "".join(result)


def documented_backslashes(text: str) -> str:
    """The documented replacements of backslashes in a name, likewise."""
    result = list(text)
    for index, character in enumerate(result):
        if character == "\\" and (index + 1 == len(result) or result[index + 1] in ',= "'):
            result[index] = "/"
    return "".join(result)


def documented_name(text: str, unwanted: str) -> str:
    """The documented replacements of a measurement or key."""
    result = list(documented_clean(text))
    while result and result[0] in unwanted:
        del result[0]
    return documented_backslashes("".join(result))


def documented_tag(text: str) -> str:
    """The documented replacements of a tag's value."""
    result = documented_clean(text[:TAG_VALUE_BYTES])
    while len(result.encode()) > TAG_VALUE_BYTES:
        result = result[:-1]
    return documented_backslashes(result or "_")


def documented_key(text: str) -> str:
    """The documented replacements of a tag's or field's key."""
    name = documented_name(text, "_")
    return "time_" if name == "time" else name


def documented_value(value: object) -> object:
    """The documented replacements of a field's value."""
    if isinstance(value, str):
        return documented_text(value)
    if isinstance(value, float) and abs(value) < sys.float_info.min:
        return 0.0
    return value


def has_value(value: object) -> bool:
    """Return whether a field is written, not left out."""
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))


def unchanged(text: str) -> bool:
    """Return whether nothing of a tag's value is replaced; that it is cut does not count."""
    kept = text[:TAG_VALUE_BYTES]
    cut = documented_tag(text)
    return bool(documented_clean(kept)) and documented_clean(kept) == kept and kept.startswith(cut)


def same(left: object, right: object) -> bool:
    """Equal in type and value, 0.0 and -0.0 alike."""
    return type(left) is type(right) and left == right


# What Telegraf's parser takes as names and texts, and how it reads them: written down here from
# its grammar, since Telegraf itself is not at hand in unit tests. In a measurement or field key a
# backslash and what follows it are one unit, in a tag two backslashes are read one by one.
TELEGRAF_MEASUREMENT = re.compile(r"(?:[^\t\n\f\r ,\\]|\\[^\t\n\f\r])+")
TELEGRAF_FIELD_KEY = re.compile(r"(?:[^\t\n\f\r ,=\\]|\\[^\t\n\f\r])+")
TELEGRAF_TAG = re.compile(r"(?:[^\t\n\f\r ,=\\]|\\[^\t\n\f\r\\]|\\(?=\\))+")
TELEGRAF_TEXT = re.compile(r'"((?:[^\f\r\n\\"]|\\[\\"]|\r?\n)*)"')
TELEGRAF_PLAIN = re.compile(
    r"(-?[0-9]+)i|(-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)|true|false"
)


def read_as_telegraf(line: str) -> dict:
    """Read a line as Telegraf does; AssertionError where it would report a parse error."""
    place = 0

    def take(pattern: re.Pattern[str]) -> re.Match[str]:
        nonlocal place
        found = pattern.match(line, place)
        assert found, (pattern.pattern, line[place:])
        place = found.end()
        return found

    def goes_on(character: str) -> bool:
        nonlocal place
        there = line.startswith(character, place)
        place += there
        return there

    def name(pattern: re.Pattern[str], escaped: str) -> str:
        raw = take(pattern)[0]
        if not any(character in raw for character in " ,="):
            return raw
        return re.sub(rf"\\([{escaped}])", r"\1", raw)

    assert not line.startswith("#")
    result = {"measurement": name(TELEGRAF_MEASUREMENT, ", "), "tags": {}, "fields": {}}
    while goes_on(","):
        key = name(TELEGRAF_TAG, ',"= ')
        assert goes_on("=")
        result["tags"][key] = name(TELEGRAF_TAG, ',"= ')
    assert goes_on(" ")
    while True:
        key = name(TELEGRAF_FIELD_KEY, ',"= ')
        assert goes_on("=")
        if line.startswith('"', place):
            raw = take(TELEGRAF_TEXT)[1]
            result["fields"][key] = re.sub(r'\\([\\"])', r"\1", raw)
        else:
            found = take(TELEGRAF_PLAIN)
            result["fields"][key] = (
                int(found[1]) if found[1] else float(found[2]) if found[2] else found[0] == "true"
            )
        if not goes_on(","):
            break
    result["time"] = int(take(re.compile("-?[0-9]{1,19}"))[0]) if goes_on(" ") else None
    assert line[place:] == "\n", line[place:]
    return result


class ReadsBackTests(SynchronousTestCase):
    """Whatever goes in, the line reads back to the same, or the metric is refused."""

    @settings(max_examples=400)
    @given(
        measurement=NAME,
        tags=st.dictionaries(NAME, TEXT, max_size=4),
        fields=st.dictionaries(NAME, VALUE, max_size=5),
        time_ns=TIME,
    )
    @example("m", {"t": "a\\,b\\ c\\=d\\\\"}, {"f\\,\\=": 1.0}, 0)
    @example("m\\", {"k\\": "\\"}, {"f\\": "\\"}, None)
    @example("_#_m", {"_t": "_"}, {"_f": 1}, -(2**63) + 2)
    @example("m", {"t": "x"}, {"f": 'say "C:\\"\nnew'}, 2**63 - 2)
    @example("m", {"time": "x"}, {"time": True, "nan": math.nan, "tiny": 5e-324}, 1)
    @example("m", {"a\n": "1", "a_": "2"}, {"f": 1.0}, 1)
    def test_any_metric(self, measurement, tags, fields, time_ns):
        """Any text, number and name reads back to what the documentation says, or is refused."""
        encoder = Encoder()
        try:
            line = encoder.encode(metric(measurement, tags, fields, time_ns))
        except MetricRefused as refused:
            self.assertTrue(self.may_be_refused(refused.reason, measurement, tags, fields, time_ns))
            return
        self.assertEqual(line[-1:], b"\n")
        parsed = parse_line(line.decode())
        self.assertEqual(parsed["measurement"], documented_name(measurement, "#_"))
        self.assertEqual(
            parsed["tags"], {documented_key(k): documented_tag(v) for k, v in tags.items() if v}
        )
        names = [parsed["measurement"], *sum(parsed["tags"].items(), ()), *parsed["fields"]]
        self.assertEqual(unsafe("".join(names)), [])
        expected = {
            documented_key(k): documented_value(v) for k, v in fields.items() if has_value(v)
        }
        self.assertEqual(set(parsed["fields"]), set(expected))
        for name, value in expected.items():
            self.assertTrue(same(parsed["fields"][name], value), (name, value, parsed))
        self.assertEqual(parsed["time"], time_ns)
        self.assertEqual(parsed, read_as_telegraf(line.decode()))
        self.assertEqual(encoder.left_out, len(fields) - len(expected))
        self.assertEqual(encoder.replaced == 0, self.nothing_replaced(measurement, tags, fields))

    def may_be_refused(self, reason, measurement, tags, fields, time_ns):
        keys = [documented_key(name) for name, text in tags.items() if text]
        names = [documented_key(name) for name in fields]
        return {
            "bad_time": time_ns is not None and not -(2**63) + 2 <= time_ns <= 2**63 - 2,
            "empty_name": not documented_name(measurement, "#_") or "" in keys or "" in names,
            "duplicate_name": len(set(keys)) < len(keys) or len(set(names)) < len(names),
            "int_out_of_range": any(
                isinstance(value, int) and not -(2**63) <= value < 2**63
                for value in fields.values()
            ),
            "name_too_long": any(len(name) > 300 for name in (*tags, *fields)),
            "no_fields": not any(has_value(value) for value in fields.values()),
        }[reason]

    def nothing_replaced(self, measurement, tags, fields):
        tags = {name: text for name, text in tags.items() if text}
        return (
            documented_name(measurement, "#_") == measurement
            and all(documented_key(name) == name for name in (*tags, *fields))
            and all(unchanged(text) for text in tags.values())
            and all(
                same(documented_value(value), value)
                for value in fields.values()
                if has_value(value)
            )
        )

    @settings(max_examples=200)
    @given(
        fields=st.dictionaries(
            st.one_of(st.sampled_from(PLAIN_OR_NEARLY), st.text("ame-t_12", max_size=5)),
            st.one_of(FLOAT, FLOAT, FLOAT, VALUE, st.just([1.5]), st.just(1.5 + 0j)),
            max_size=5,
        ),
        time_ns=st.one_of(st.integers(0, 2**62), TIME, st.floats(), st.booleans()),
        to_json=st.sampled_from([None, json_by_repr]),
        learned=st.lists(st.text("ame-t_12", max_size=5), max_size=3),
    )
    @example({"power": 5}, 1.5, None, [])
    @example({"power": [1.5]}, 1, None, [])
    @example({"power": "1.5"}, 1, None, [])
    @example({"power": "."}, 1, None, [])
    @example({"power": 2.2e-310}, 1, None, [])
    @example({"power": 1.5}, 2**63 - 1, None, [])
    @example({"power": True, "voltage": 1.5}, True, None, [])
    @example({'a":1.5,"b': 1.5}, 1, json_by_repr, [])
    @example({"time": 1.5}, 1, None, ["ti1me"])
    def test_the_short_way_equals_the_general_way(self, fields, time_ns, to_json, learned):
        """A series and keys that are known give what the general way gives, with orjson or not."""
        encoder = Encoder(to_json=to_json)
        series = Series("m", {"t": "x"})
        encoder.encode(Metric(series, {"other": 1.0}, 0))
        for known in (fields, learned):
            with contextlib.suppress(MetricRefused):
                encoder.encode(Metric(series, dict.fromkeys(known, 1.0), 0))
        given_metric = Metric(series, fields, time_ns)
        try:
            expected = encoder._encode_any(given_metric)
        except MetricRefused as refused:
            error = self.assertRaises(MetricRefused, encoder.encode, given_metric)
            self.assertEqual(error.reason, refused.reason)
        else:
            self.assertEqual(
                parse_line(encoder.encode(given_metric).decode()), parse_line(expected.decode())
            )

    def test_the_short_way_is_taken(self):
        """A known series with known float fields does not go the general way."""
        for to_json in (None, json_by_repr):
            encoder = Encoder(to_json=to_json)
            series = Series("m", {"t": "x"})
            first = encoder.encode(Metric(series, {"b.%": 1.25, "a_1": -2.5}, NOW_NS))
            self.assertEqual(first, b"m,t=x a_1=-2.5,b.%%=1.25 %d\n" % NOW_NS)
            with mock.patch.object(Encoder, "_encode_any", side_effect=AssertionError):
                again = encoder.encode(Metric(series, {"b.%": 1.25, "a_1": -2.5}, NOW_NS))
            self.assertEqual(again, first)

    def test_many_digits_take_the_short_way(self):
        """How long a point is does not matter, only how long its keys are."""
        encoder = Encoder()
        metric = Metric(
            Series("m", {}), {f"phase_{number}": 1 / 3 for number in range(100)}, NOW_NS
        )
        first = encoder.encode(metric)
        with mock.patch.object(Encoder, "_encode_any", side_effect=AssertionError):
            self.assertEqual(encoder.encode(metric), first)

    def test_what_is_no_dict_of_texts_goes_the_general_way(self):
        """Its own methods could say one thing now and another then."""

        class Loud(str):
            __slots__ = ()

            def __str__(self) -> str:
                return self.upper()

        class Chosen(dict):
            def __getitem__(self, key: str) -> float:
                return 7.0

        for to_json in (None, json_by_repr):
            encoder = Encoder(to_json=to_json)
            series = Series("m", {})
            for fields in (
                {"a": 1.5},
                {Loud("a"): 1.5},
                Chosen(a=1.5),
                MappingProxyType({"a": 1.5}),
            ):
                self.assertEqual(encoder.encode(Metric(series, fields, 1)), b"m a=1.5 1\n")

    def test_a_key_that_is_not_plain_goes_the_general_way(self):
        """Also where a plain key has the same shape but for digits and signs."""
        for plain, other, expected in (
            ("ti1me", "time", b"m time_=1.5 1\n"),
            ("power", "power\\", b"m power/=1.5 1\n"),
            ("power", "_1power", b"m 1power=1.5 1\n"),
            ("t1", "t" + "1" * 2000, None),
            ("power", 'po"wer', b'm po"wer=1.5 1\n'),
            ("power", "po wer", b"m po\\ wer=1.5 1\n"),
        ):
            for to_json in (None, json_by_repr):
                encoder = Encoder(to_json=to_json)
                series = Series("m", {})
                encoder.encode(Metric(series, {plain: 1.5}, 1))
                given_metric = Metric(series, {other: 1.5}, 1)
                if expected is None:
                    self.assertRaises(MetricRefused, encoder.encode, given_metric)
                else:
                    self.assertEqual(encoder.encode(given_metric), expected)


class ExactLineTests(SynchronousTestCase):
    """Bytes, one by one."""

    def line(self, measurement="m", tags=None, fields=None, time_ns=None) -> bytes:
        return Encoder().encode(
            metric(measurement, tags or {}, {"f": 1.0} if fields is None else fields, time_ns)
        )

    def test_tags_of_every_line(self):
        """They join those of the series, which win."""
        encoder = Encoder(tags={"host": "pi 4", "device": "none"})
        for series, line in (
            (Series("m", {"device": "a", "z": "1"}), b"m,device=a,host=pi\\ 4,z=1 f=1.0 1\n"),
            (Series("m", {}), b"m,device=none,host=pi\\ 4 f=1.0 1\n"),
        ):
            for _ in range(2):
                self.assertEqual(encoder.encode(Metric(series, {"f": 1.0}, 1)), line)

    def test_names(self):
        """Names are escaped as the specification says, what cannot be encoded is replaced."""
        for name, as_measurement, as_value in (
            ("a,b", b"a\\,b", b"a\\,b"),
            ("a b", b"a\\ b", b"a\\ b"),
            ("a=b", b"a=b", b"a\\=b"),
            ("a\\b", b"a\\b", b"a\\b"),
            ("a\\\\b", b"a\\\\b", b"a\\\\b"),
            ("a\\,b", b"a/\\,b", b"a/\\,b"),
            ("a\\ b", b"a/\\ b", b"a/\\ b"),
            ("a\\=b", b"a/=b", b"a/\\=b"),
            ('a\\"b', b'a/"b', b'a/"b'),
            ("a\\", b"a/", b"a/"),
            ("a\\\n", b"a\\_", b"a\\_"),
            ("a\tb\x7f\x9b\u2028", b"a_b___", b"a_b___"),
            ("a\u200bb\u202e\u2066\ufeff\U000e0041", b"ab", b"ab"),
            ("a\\\u200b,b", b"a/\\,b", b"a/\\,b"),
            ("\u200b#m", b"m", b"#m"),
            ("\ufdd0\ufffe", b"\xef\xbf\xbd" * 2, b"\xef\xbf\xbd" * 2),
            ("\u2764\ufe0f", "\u2764\ufe0f".encode(), "\u2764\ufe0f".encode()),
            ("ü", "ü".encode(), "ü".encode()),
            ("\udc80", b"\xef\xbf\xbd", b"\xef\xbf\xbd"),
            ("#m", b"m", b"#m"),
            ("_m", b"m", b"_m"),
        ):
            self.assertEqual(self.line(name), as_measurement + b" f=1.0\n")
            self.assertEqual(self.line(tags={"t": name}), b"m,t=" + as_value + b" f=1.0\n")
        self.assertEqual(self.line(tags={"a=b,c d": "x"}), b"m,a\\=b\\,c\\ d=x f=1.0\n")
        self.assertEqual(self.line(fields={"a=b,c d": 1.0}), b"m a\\=b\\,c\\ d=1.0\n")

    def test_values(self):
        """Each type has its one form."""
        for value, expected in (
            (230.0, b"230.0"),
            (-0.0, b"-0.0"),
            (1e-07, b"1e-07"),
            (1e22, b"1e+22"),
            (5e-324, b"0.0"),
            (sys.float_info.min, b"2.2250738585072014e-308"),
            (7, b"7i"),
            (-(2**63), b"-9223372036854775808i"),
            (2**63 - 1, b"9223372036854775807i"),
            (True, b"true"),
            (False, b"false"),
            ("", b'""'),
            ('C:\\ "x"', b'"C:\\\\ \\"x\\""'),
            ("a\nb\r\nc", b'"a\nb\r\nc"'),
            ("a\rb\x00\f\x1b[2K\x7f\x9b\t", b'"a b   [2K  \t"'),
            ("a\u202eb\u200b", '"a\u202eb\u200b"'.encode()),
            ("\ud800", b'"\xef\xbf\xbd"'),
        ):
            self.assertEqual(self.line(fields={"f": value}), b"m f=" + expected + b"\n")

    def test_subclasses_are_written_as_what_they_are(self):
        """A float, int or str of a subclass with a repr of its own is written plainly."""

        class Reading(float):
            def __repr__(self) -> str:
                return "Reading()"

        class Level(enum.IntEnum):
            HIGH = 3

        class Word(str, enum.Enum):
            OK = "ok"

        fields = {"a": Reading(1.5), "b": Level.HIGH, "c": Word.OK}
        self.assertEqual(self.line(fields=fields), b'm a=1.5,b=3i,c="ok"\n')
        for to_json in (None, json_by_repr):
            encoder = Encoder(to_json=to_json)
            series = Series("m", {})
            encoder.encode(Metric(series, {"a": 1.0}, 1))
            line = encoder.encode(Metric(series, {"a": Reading(1.5)}, 1))
            self.assertEqual(line, b"m a=1.5 1\n")

    def test_order(self):
        """Tags and fields are sorted by their bytes, whatever order they come in."""
        line = self.line(tags={"b": "1", "a": "2", "ä": "3", "Z": "4"}, fields={"z": 1.0, "y": 2})
        self.assertEqual(line, "m,Z=4,a=2,b=1,ä=3 y=2i,z=1.0\n".encode())

    def test_a_tag_without_a_value_is_left_out(self):
        """An empty tag value is not legal, the tag is omitted; so is None."""
        self.assertEqual(self.line(tags={"a": "", "b": "x", "c": None}), b"m,b=x f=1.0\n")

    def test_fields_without_a_value_are_left_out_and_counted(self):
        """None, NaN and infinities cost only their own field, every time."""
        encoder = Encoder()
        series = Series("m", {})
        fields = {"a": None, "b": math.nan, "c": math.inf, "d": 1.5}
        encoder.encode(Metric(series, dict.fromkeys(fields, 1.0), 5))
        self.assertEqual(encoder.left_out, 0)
        for count in (3, 6):
            self.assertEqual(encoder.encode(Metric(series, fields, 5)), b"m d=1.5 5\n")
            self.assertEqual(encoder.left_out, count)

    def test_reserved_key(self):
        """A point with a tag or field called time would be discarded, so the key is changed."""
        self.assertEqual(self.line(tags={"time": "x"}), b"m,time_=x f=1.0\n")
        self.assertEqual(self.line(fields={"time": 1.0}), b"m time_=1.0\n")

    def test_time(self):
        """The time is written as it is, also a negative one; without one the reader sets it."""
        self.assertEqual(self.line(time_ns=0), b"m f=1.0 0\n")
        self.assertEqual(self.line(time_ns=-5), b"m f=1.0 -5\n")
        self.assertEqual(self.line(), b"m f=1.0\n")


class RefusedTests(SynchronousTestCase):
    """What cannot be written is refused with a reason that can be counted."""

    def refused(self, given_metric) -> str:
        encoder = Encoder()
        error = self.assertRaises(MetricRefused, encoder.encode, given_metric)
        self.assertIn(error.reason, line_protocol.REASONS)
        self.assertLess(len(str(error)), 300)
        return error.reason

    def test_reasons(self):
        """Each way to be wrong has its own reason."""
        one = {"f": 1.0}
        for reason, args in (
            ("no_fields", ("m", {}, {})),
            ("no_fields", ("m", {}, {"a": None, "b": math.inf})),
            ("int_out_of_range", ("m", {}, {"f": 2**63})),
            ("int_out_of_range", ("m", {}, {"f": -(10**5000)})),
            ("unsupported_type", ("m", {}, {"f": 1j})),
            ("unsupported_type", ("m", {}, {"f": [1.5]})),
            ("unsupported_type", ("m", {}, {"f": b"x"})),
            ("unsupported_type", ("m", {}, {1: 1.0})),
            ("unsupported_type", ("m", {1: "x"}, one)),
            ("unsupported_type", ("m", {"t": 1}, one)),
            ("unsupported_type", (None, {}, one)),
            ("empty_name", ("", {}, one)),
            ("empty_name", ("#_#", {}, one)),
            ("empty_name", ("m", {"": "x"}, one)),
            ("empty_name", ("\u200b", {}, one)),
            ("empty_name", ("m", {}, {"\u202e_": 1.0})),
            ("empty_name", ("m", {}, {"_": 1.0})),
            ("duplicate_name", ("m", {"a\n": "1", "a_": "2"}, one)),
            ("duplicate_name", ("m", {}, {"a\n": 1.0, "a_": 2.0})),
            ("bad_time", ("m", {}, one, 2**63 - 1)),
            ("bad_time", ("m", {}, one, -(2**63) + 1)),
            ("bad_time", ("m", {}, one, 10**5000)),
            ("bad_time", ("m", {}, one, 1.5)),
            ("bad_time", ("m", {}, one, True)),
            ("text_too_long", ("m", {}, {"f": "ä" * 32769})),
            ("name_too_long", ("m", {}, {"k" * 1025: 1.0})),
            ("name_too_long", ("m", {}, {"k" * 1_000_000: 1.0})),
            ("name_too_long", ("m", {}, {"\N{EURO SIGN}" * 342: 1.0})),
            ("name_too_long", ("m" * 64 * 1024, {}, one)),
            ("name_too_long", ("m", {f"t{number}": "x" * 256 for number in range(250)}, one)),
        ):
            self.assertEqual(self.refused(metric(*args)), reason)

    def test_what_is_no_metric(self):
        """A module that hands over something else gets a refusal, not a crash of the encoder."""
        for wrong in (None, 5, "m f=1", ("m", {}, {}, 1), Metric("m", {"f": 1.0}), (1, 2, 3)):
            self.assertEqual(self.refused(wrong), "not_a_metric")
        for fields in (None, ["f"], [["f"]], 5):
            self.assertEqual(self.refused(Metric(Series("m", {}), fields, 1)), "not_a_metric")

    def test_wrong_beside_known(self):
        """What is refused is refused also when series and keys are known already."""
        encoder = Encoder()
        series = Series("m", {})
        encoder.encode(Metric(series, {"f": 1.0}, 1))
        for fields, time_ns, reason in (
            ({"f": math.nan}, 1, "no_fields"),
            ({"f": 5}, 1.5, "bad_time"),
            ({"f": 1.5}, 2**64, "bad_time"),
            ({"f": [1.5]}, 1, "unsupported_type"),
            ({"f": {"g": 1.5}}, 1, "unsupported_type"),
        ):
            error = self.assertRaises(
                MetricRefused, encoder.encode, Metric(series, fields, time_ns)
            )
            self.assertEqual(error.reason, reason)

    def test_longest(self):
        """Names and texts of exactly the longest length are written."""
        fields = {"k" * line_protocol.MAX_KEY_BYTES: "x" * line_protocol.MAX_TEXT_BYTES}
        measurement = "m" * (line_protocol.MAX_SERIES_BYTES - len(",t=") - TAG_VALUE_BYTES)
        line = Encoder().encode(metric(measurement, {"t": "v" * TAG_VALUE_BYTES}, fields))
        self.assertEqual(parse_line(line.decode())["fields"], fields)


class CutTests(SynchronousTestCase):
    """A long tag value costs its end, never a point."""

    def setUp(self) -> None:
        self.cuts: list[tuple[str, str, int]] = []
        self.encoder = Encoder(
            on_cut=lambda series, tag, length: self.cuts.append((series.measurement, tag, length))
        )

    def tag(self, value: str) -> str:
        line = self.encoder.encode(metric("m", {"t": value}, {"f": 1.0}))
        return parse_line(line.decode())["tags"]["t"]

    def test_cut_at_a_character(self):
        """It is cut between two characters, and ends with no backslash."""
        for value, kept in (
            ("x" * 256, "x" * 256),
            ("x" * 257, "x" * 256),
            ("x" * 255 + "ä", "x" * 255),
            ("\N{EURO SIGN}" * 65_000, "\N{EURO SIGN}" * 85),
            ("x" * 255 + "\\y", "x" * 255 + "/"),
            ("x" * 255 + ",y", "x" * 255 + ","),
            ("\u200b" * 65_000 + "x", "_"),
        ):
            self.assertEqual(self.tag(value), kept)

    def test_devices_that_become_equal(self):
        """Reported once, whichever came first; the same device again is no other one."""
        for names in (("a_", "a\n"), ("a\n", "a_"), ("a\n", "a\r"), ("a\n", "a_", "a\r")):
            clashes: list[str] = []
            encoder = Encoder(on_clash=lambda _series, device, to=clashes: to.append(device))
            for _ in range(2):
                for name in names:
                    for sensor in ("x", "y"):
                        tags = {"vendor": "v", "device": name, "sensor": sensor}
                        encoder.encode(metric("m", tags, {"f": 1.0}))
                self.assertEqual(clashes, ["a_"], names)

    def test_devices_that_stay_different(self):
        """Of another vendor, or with another name, or in another tag: no clash."""
        clashes: list[str] = []
        encoder = Encoder(on_clash=lambda _series, device: clashes.append(device))
        for _ in range(2):
            for tags in (
                {"vendor": "v", "device": "a\n"},
                {"vendor": "w", "device": "a_"},
                {"device": "a_"},
                {"vendor": "v", "device": "b"},
                {"vendor": "v", "device": "c\n"},
                {"vendor": "v", "device": "d", "sensor": "a_"},
            ):
                encoder.encode(metric("m", tags, {"f": 1.0}))
        self.assertEqual(clashes, [])

    def test_counted_and_reported(self):
        """Each is counted, and reported once."""
        for _ in range(3):
            self.tag("x" * 65_000)
        self.tag("y" * 300)
        self.tag("z" * 256)
        self.assertEqual(self.encoder.cut, 4)
        self.assertEqual(self.cuts, [("m", "t", 65_000), ("m", "t", 300)])
        self.assertEqual(self.encoder.replaced, 0)

    def test_bounded(self):
        """What was reported is remembered in bounded memory."""
        for number in range(line_protocol._MAX_CACHED + 10):
            self.tag(f"{number:0300}")
        self.assertLessEqual(len(self.encoder._known_cuts), line_protocol._MAX_CACHED)

    def test_nothing_is_left(self):
        """A value of which nothing is left keeps its tag; an empty one has none."""
        self.assertEqual(self.tag("\u200b\u202e"), "_")
        line = self.encoder.encode(metric("m", {"t": ""}, {"f": 1.0}))
        self.assertEqual(line, b"m f=1.0\n")

    def test_equal_after_that(self):
        """Two values that become equal are one series: that is documented."""
        self.assertEqual(self.tag("a\u200bb"), self.tag("ab"))
        self.assertEqual(self.tag("x" * 256 + "1"), self.tag("x" * 256 + "2"))


class CacheTests(SynchronousTestCase):
    """What the encoder keeps is bounded and never wrong."""

    def test_prefix_is_made_once(self):
        """The bytes of measurement and tags are kept in their Series."""
        encoder = Encoder()
        series = Series("m", {"t": "a\nb"})
        for number in range(3):
            self.assertEqual(
                encoder.encode(Metric(series, {"f": 1.0}, number)), b"m,t=a_b f=1.0 %d\n" % number
            )
        self.assertEqual(series._prefix, b"m,t=a_b ")
        self.assertEqual(encoder.replaced, 1)

    def test_a_refused_series_stays_refused(self):
        """A series that cannot be written leaves nothing behind that could be."""
        encoder = Encoder()
        series = Series("#", {})
        for _ in range(2):
            self.assertRaises(MetricRefused, encoder.encode, Metric(series, {"f": 1.0}, 1))
        self.assertIsNone(series._prefix)

    def test_replaced_keys_count_each_time(self):
        """A field key that has to be replaced is counted in every point."""
        encoder = Encoder()
        series = Series("m", {})
        for count in (1, 2, 3):
            self.assertEqual(encoder.encode(Metric(series, {"a\n": 1.0}, 1)), b"m a_=1.0 1\n")
            self.assertEqual(encoder.replaced, count)

    def test_bounded(self):
        """Ever new field keys cost bounded memory, and go on being written."""
        encoder = Encoder()
        series = Series("m", {})
        for number in range(2 * line_protocol._MAX_CACHED + 5):
            line = encoder.encode(Metric(series, {f"f{number}": 1.0}, 1))
            self.assertEqual(line, b"m f%d=1.0 1\n" % number)
            self.assertLessEqual(len(encoder._names), line_protocol._MAX_CACHED)
            self.assertLessEqual(len(encoder._shapes), line_protocol._MAX_CACHED)

    def test_without_orjson(self):
        """Where orjson is not installed the short way uses repr."""
        real_import = builtins.__import__

        def no_orjson(name, *args, **kwargs):
            if name == "orjson":
                raise ImportError(name)
            return real_import(name, *args, **kwargs)

        self.patch(builtins, "__import__", no_orjson)
        self.assertIs(Encoder()._to_json, json_by_repr)

    def test_json_by_repr(self):
        """It writes floats in the order of their keys, and refuses what is not plain."""
        self.assertEqual(json_by_repr({"b": 1.5, "a": -0.0}), b'{"a":-0.0,"b":1.5}')
        self.assertEqual(json_by_repr({}), b"{}")
        self.assertRaises(TypeError, json_by_repr, {"a": True})
        self.assertRaises(TypeError, json_by_repr, {"a": "1.5"})
        self.assertRaises(TypeError, json_by_repr, {1: 1.5})
        self.assertRaises(ValueError, json_by_repr, {'a":1.5,"b': 1.5})
