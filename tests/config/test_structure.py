"""Raw tables become instances, or all of their faults."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated

from attrs import field, frozen
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.config import Duration, Fault, Secret, Size, setting, structure
from metrics_agent.config.secret import Sources
from metrics_agent.config.structure import Structured
from tests.config.kinds import Account, Plain, Tls


@frozen
class Odd:
    """Types that few modules use."""

    places: Sequence[int] = setting(default=(), doc="")
    limits: Mapping[str, float] = setting(default={}, doc="")
    marked: Annotated[int, "no unit"] = setting(default=1, doc="")
    wait: Duration = setting(default=1.5, maximum=10, doc="")
    size: Size | None = setting(default="2KiB", doc="")
    ago: Duration | str = setting(default="1h", doc="")


@frozen
class Raising:
    """Its own check is broken."""

    name: str = setting(default="", doc="")

    def check(self) -> Iterator[Fault]:
        raise LookupError(f"no {self.name}")


@frozen
class Exiting:
    """Its own check wants to end the process."""

    name: str = setting(default="", doc="")

    def check(self) -> Iterator[Fault]:
        raise SystemExit(3)


@frozen
class Whole:
    """Its check concerns the whole table."""

    name: str = setting(default="", doc="")
    plain: str = field(default="not a setting of ours")

    def check(self) -> list[Fault]:
        return [Fault("", "nothing", "anything")]


@frozen
class Impossible:
    """A type that no file can express."""

    value: set[int] = setting(doc="")


def faults(cls: type, raw: object, path: str = "m") -> list[str]:
    """Return the sentences about a table that is wrong."""
    found = structure(cls, raw, path)
    assert found.value is None
    return [str(fault) for fault in found.faults]


class ValueTests(SynchronousTestCase):
    """What is read."""

    def good(self, **raw: object) -> Plain:
        found: Structured[Plain] = structure(Plain, raw, "m")
        assert found.value is not None, found.faults
        return found.value

    def test_an_empty_table_gives_the_defaults(self) -> None:
        self.assertEqual(self.good(), Plain())
        self.assertEqual((Plain().interval, Plain().limit), (30.0, 1024))

    def test_each_type_is_read(self) -> None:
        made = self.good(
            name="a", count=4, ratio=2, active=True, interval="1m", pause="2s", limit="1MiB",
            password="p", keys=["k"], broker=["a", "b"], topics=["t"], mode="slow",
            size_class=4, friendly_name_overrides={"a b": "c"}, numbers=[1, 2.5],
            tls={"ca": "c", "key": "k", "verify": False}, login="p",
        )  # fmt: skip
        expected = Plain(
            name="a", count=4, ratio=2.0, active=True, interval=60.0, pause=2.0, limit=1 << 20,
            password=Secret("p"), keys=(Secret("k"),), broker=("a", "b"), topics=("t",),
            mode="slow", size_class=4, friendly_name_overrides={"a b": "c"},
            numbers=[1.0, 2.5], tls=Tls(ca="c", key=Secret("k"), verify=False),
            login=Secret("p"),
        )  # fmt: skip
        self.assertEqual(made, expected)
        self.assertIsInstance(made.ratio, float)

    def test_few_used_types_are_read(self) -> None:
        found = structure(Odd, {"places": [1], "limits": {"a": 1}, "marked": 2, "wait": "10s"})
        assert found.value is not None
        self.assertEqual(found.value.places, (1,))
        self.assertEqual(found.value.limits, {"a": 1.0})
        self.assertEqual((found.value.marked, found.value.wait), (2, 10.0))

    def test_texts_of_defaults_become_numbers_only_where_no_text_is_wanted(self) -> None:
        self.assertEqual((Odd().wait, Odd().size, Odd().ago), (1.5, 2048, "1h"))
        self.assertEqual(Odd(wait="3s").wait, 3.0)

    def test_a_type_that_no_file_can_express_is_an_error_of_the_programmer(self) -> None:
        self.assertRaises(TypeError, structure, Impossible, {"value": [1]})

    def test_zero_is_off_where_the_setting_says_so(self) -> None:
        for zero in (0, 0.0, "0", "0s"):
            self.assertEqual(self.good(interval=zero).interval, 0.0)

    def test_null_is_taken_for_optional_settings(self) -> None:
        self.assertEqual(self.good(pause=None, password=None, tls=None), Plain())

    def test_a_table_of_the_default_is_not_shared(self) -> None:
        self.assertIsNot(Plain().friendly_name_overrides, Plain().friendly_name_overrides)

    def test_secrets_in_the_text_itself_are_reported_by_path(self) -> None:
        raw = {"password": "p", "keys": ["a", {"env": "K"}, ""], "tls": {"ca": "", "key": "k"}}
        found = structure(Plain, raw, "m", sources=Sources(Path(), {"K": "v"}))
        self.assertEqual(found.literal_secrets, ("m.password", "m.keys[0]", "m.tls.key"))
        self.assertNotIn("'p'", repr(found))


class FaultTests(SynchronousTestCase):
    """What is refused, and how it is said."""

    def assert_refused(self, key: str, value: object, text: str) -> None:
        self.assertEqual(faults(Plain, {key: value}), [f"m.{key}{text}"])

    def test_nothing_is_coerced(self) -> None:
        table: tuple[tuple[str, object, str], ...] = (
            ("name", 5, ": got 5 (an integer), expected a string"),
            ("name", None, ": got null, expected a string"),
            ("name", "\ud800", ': got "\\ud800", expected a string of whole Unicode characters'),
            ("active", 1, ": got 1 (an integer), expected true or false"),
            ("active", "true", ': got "true" (a string), expected true or false'),
            ("count", "5", ': got "5" (a string), expected an integer, from 1 to 10'),
            ("count", 5.0, ": got 5.0 (a decimal number), expected an integer, from 1 to 10"),
            ("count", True, ": got true (a boolean), expected an integer, from 1 to 10"),
            ("ratio", "1", ': got "1" (a string), expected a number'),
            ("ratio", True, ": got true (a boolean), expected a number"),
            ("ratio", date(2026, 1, 1), ": got a date or time, expected a number"),
            ("topics", "a", ': got "a" (a string), expected a list of strings'),
            ("tls", "a", ": got a string, expected a table"),
        )
        for key, value, text in table:
            with self.subTest(key=key, value=repr(value)):
                self.assert_refused(key, value, text)

    def test_numbers_out_of_range_are_refused(self) -> None:
        duration = 'a duration such as "30s", at least "1s", or 0 (off)'
        table: tuple[tuple[str, object, str], ...] = (
            ("count", 0, ": got 0 (an integer), expected an integer, from 1 to 10"),
            ("count", 11, ": got 11 (an integer), expected an integer, from 1 to 10"),
            ("count", 1 << 64, ": got a very large integer, expected an integer of 64 bits"),
            ("ratio", float("nan"), ": got nan (a decimal number), expected a finite number"),
            ("ratio", 10**400, ": got a very large integer, expected a finite number"),
            ("interval", "999ms", f': got "999ms", expected {duration}'),
            ("size_class", 3, ": got 3 (an integer), expected 1 or 2 or 4"),
            ("mode", "Fast", ': got "Fast", expected "fast" or "slow"; did you mean "fast"?'),
            ("mode", "x", ': got "x", expected "fast" or "slow"'),
        )
        for key, value, text in table:
            with self.subTest(key=key, value=repr(value)):
                self.assert_refused(key, value, text)

    def test_limits_are_allowed_themselves(self) -> None:
        for raw in ({"count": 1}, {"count": 10}, {"interval": "1s"}):
            self.assertIsNotNone(structure(Plain, raw).value)

    def test_an_upper_limit_alone_is_said(self) -> None:
        expected = 'm.wait: got "11s", expected a duration such as "30s", at most "10s"'
        self.assertEqual(faults(Odd, {"wait": "11s"}), [expected])

    def test_durations_and_sizes_name_their_form(self) -> None:
        table: tuple[tuple[str, object, str], ...] = (
            ("pause", 5, '5 (an integer), expected a duration such as "30s"; write "5s" for sec'),
            ("pause", 1.5, '(a decimal number), expected a duration such as "30s"; write "1.5s"'),
            ("pause", -5, '-5 (an integer), expected a duration such as "30s"'),
            ("pause", False, 'false (a boolean), expected a duration such as "30s"'),
            ("pause", "soon", '"soon", expected a duration such as "30s"'),
            ("limit", "many", '"many", expected a size such as "16MiB" or a number of bytes'),
            ("limit", -1, "-1 (an integer), expected a size"),
            ("limit", True, "true (a boolean), expected a size"),
            ("limit", 1.5, "1.5 (a decimal number), expected a size"),
        )
        for key, value, text in table:
            with self.subTest(key=key, value=repr(value)):
                (found,) = faults(Plain, {key: value})
                self.assertIn(text, found)

    def test_faults_inside_lists_and_tables_have_their_whole_path(self) -> None:
        raw = {
            "numbers": [1, "2"],
            "friendly_name_overrides": {"a b": 1},
            "tls": {"verfy": True, "key": 5},
        }
        expected = [
            'm.numbers[1]: got "2" (a string), expected a number',
            'm.friendly_name_overrides."a b": got 1 (an integer), expected a string',
            "m.tls.verfy: unknown key, did you mean `verify`?",
            'm.tls.key: got an integer, expected a string, { env = "NAME" } or { file = "path" }',
            "m.tls.ca: got nothing, expected a string; it is required",
        ]
        self.assertEqual(faults(Plain, raw), expected)

    def test_of_several_types_the_one_that_was_meant_speaks(self) -> None:
        both = "m.broker: got 5 (an integer), expected a string or a list of strings"
        self.assertEqual(faults(Plain, {"broker": 5}), [both])
        inside = "m.broker[1]: got 5 (an integer), expected a string"
        self.assertEqual(faults(Plain, {"broker": ["a", 5]}), [inside])

    def test_where_a_secret_may_stand_no_value_is_shown(self) -> None:
        for raw in ({"login": 4711}, {"keys": "4711"}, {"tls": "4711"}, {"password": 4711}):
            self.assertNotIn("4711", "".join(faults(Plain, raw)))

    def test_an_unknown_key_names_the_nearest_known_one_and_hides_its_value(self) -> None:
        expected = ["m.passwd: unknown key, did you mean `password`?", "m.qqq: unknown key"]
        self.assertEqual(faults(Plain, {"passwd": "hunter2", "qqq": 1}), expected)

    def test_required_settings_are_missed_all_at_once(self) -> None:
        first, second = faults(Account, {})
        self.assertEqual(first, "m.client_id: got nothing, expected a string; it is required")
        self.assertTrue(second.startswith("m.client_secret: got nothing, expected a string, {"))

    def test_a_value_that_is_no_table_is_one_fault(self) -> None:
        self.assertEqual(faults(Plain, [1]), ["m: got a list, expected a table"])

    def test_a_class_checks_across_its_settings(self) -> None:
        expected = 'active: got true, expected false while name is "both"'
        raw = {"name": "both", "active": True}
        self.assertEqual(faults(Plain, raw), [f"m.{expected}"])
        self.assertEqual(faults(Plain, raw, ""), [expected])
        self.assertEqual(faults(Whole, {}), ["m: got nothing, expected anything"])

    def test_what_is_wrong_hides_only_what_is_said_of_itself(self) -> None:
        across = 'm.active: got true, expected false while name is "both"'
        raw = {"name": "both", "active": True}
        self.assertEqual(faults(Plain, {**raw, "count": 0})[1:], [across])
        self.assertEqual(faults(Plain, {**raw, "unheard": 0})[1:], [across])
        self.assertEqual(len(faults(Plain, {**raw, "name": 5})), 1)
        self.assertEqual(len(faults(Plain, {**raw, "active": "yes"})), 1)
        self.assertEqual(len(faults(Raising, {"name": 5})), 1)

    def test_a_nested_table_is_checked_whatever_is_wrong_outside_of_it(self) -> None:
        expected = 'm.tls.verify: got true, expected false while ca is "none"'
        self.assertIn(expected, faults(Plain, {"count": 0, "tls": {"ca": "none"}}))

    def test_a_broken_check_is_a_fault_of_its_table(self) -> None:
        expected = "m: its own check failed with LookupError: no a"
        self.assertEqual(faults(Raising, {"name": "a"}), [expected])
        self.assertIn("Raising: its own", faults(Raising, {}, "")[0])
        expected = "m: its own check failed with SystemExit: 3"
        self.assertEqual(faults(Exiting, {"name": "a"}), [expected])
        self.assertEqual(len(faults(Exiting, {"name": 5})), 1)


_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()))
    | st.sampled_from(["1s", "1MiB", "fast", "both"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text() | st.sampled_from(["env", "file", "ca", "key"]), inner)
    ),
    max_leaves=8,
)
_keys = st.sampled_from([*Plain.__annotations__]) | st.text()


class PropertyTests(SynchronousTestCase):
    """Whatever a file says."""

    @settings(max_examples=300)
    @given(st.dictionaries(_keys, _values, max_size=6))
    def test_any_table_gives_an_instance_or_faults_and_raises_nothing(self, raw: object) -> None:
        found = structure(Plain, raw, "m")
        self.assertEqual(found.value is None, bool(found.faults))
        for fault in found.faults:
            str(fault).encode("utf-8")
            self.assertTrue(str(fault).isprintable())

    @settings(max_examples=100)
    @given(_values)
    def test_any_value_in_the_place_of_a_table_raises_nothing(self, raw: object) -> None:
        found = structure(Tls, raw, "")
        self.assertEqual(found.value is None, bool(found.faults))
