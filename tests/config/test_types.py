"""Durations, sizes, secrets and faults."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.config.faults import Fault, describe, join, nearest, quote
from metrics_agent.config.secret import Secret, Sources, read_secret
from metrics_agent.config.types import format_duration, format_size, parse_duration, parse_size

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S


class DurationTests(SynchronousTestCase):
    """Texts and seconds."""

    def test_every_form_is_read(self) -> None:
        table = (
            ("30s", 30.0),
            ("5m", 300.0),
            ("1h30m", 1.5 * HOUR_S),
            ("250ms", 0.25),
            ("2d", 2 * DAY_S),
            ("1.5s", 1.5),
            ("1.05h", 3780.0),
            ("1m30s", 90.0),
            ("100us", 0.0001),
            ("100\u00b5s", 0.0001),
            ("100\u03bcs", 0.0001),
            ("5ns", 5e-9),
            ("0", 0.0),
            ("0s", 0.0),
            ("36500d", 36500 * DAY_S),
        )
        for text, seconds in table:
            with self.subTest(text=text):
                self.assertEqual(parse_duration(text), seconds)

    def test_anything_else_is_refused(self) -> None:
        texts = (
            "", "5", "s", "-5s", "5 s", " 5s", "5s ", "5S", "5x", "1..5s", ".5s", "1.s", "5s\n",
            "36501d", "1h" * 60, "\u0665s", "9" * 5000 + "s",
        )  # fmt: skip
        for text in texts:
            with self.subTest(text=text[:20]):
                self.assertRaises(ValueError, parse_duration, text)

    @given(st.integers(0, 10**18))
    def test_what_is_written_is_read_back(self, nanoseconds: int) -> None:
        seconds = nanoseconds / 10**9
        again = parse_duration(format_duration(seconds))
        self.assertEqual(again, round(seconds * 10**9) / 10**9)

    def test_written_with_the_largest_units(self) -> None:
        for seconds, text in ((0, "0s"), (90, "1m30s"), (0.25, "250ms"), (DAY_S + 1, "1d1s")):
            self.assertEqual(format_duration(seconds), text)


class SizeTests(SynchronousTestCase):
    """Texts and bytes."""

    def test_every_form_is_read(self) -> None:
        table = (
            ("16MiB", 16 * 1024 * 1024),
            ("256KiB", 256 * 1024),
            ("1GiB", 1024**3),
            ("10 kB", 10_000),
            ("3MB", 3_000_000),
            ("2GB", 2_000_000_000),
            ("7B", 7),
            ("512", 512),
        )
        for text, count in table:
            with self.subTest(text=text):
                self.assertEqual(parse_size(text), count)

    def test_anything_else_is_refused(self) -> None:
        for text in ("", "MiB", "-1", "1.5MiB", "1mib", "1 M", "1MiB ", "9" * 19, "9" * 18 + "GB"):
            with self.subTest(text=text):
                self.assertRaises(ValueError, parse_size, text)

    @given(st.integers(0, 10**18 - 1))
    def test_what_is_written_is_read_back(self, count: int) -> None:
        self.assertEqual(parse_size(format_size(count)), count)


class FaultTests(SynchronousTestCase):
    """Sentences about values."""

    def test_a_fault_is_one_sentence(self) -> None:
        table = (
            (Fault("a.b", "5", "a string"), "a.b: got 5, expected a string"),
            (Fault("a", "5", "x", "write y"), "a: got 5, expected x; write y"),
            (Fault("a", "unknown key"), "a: unknown key"),
            (Fault("a", "unknown key", hint="is it `b`?"), "a: unknown key, is it `b`?"),
        )
        for fault, text in table:
            self.assertEqual(str(fault), text)

    def test_values_are_shown_with_their_type(self) -> None:
        table: tuple[tuple[object, str], ...] = (
            ("a", '"a" (a string)'),
            (True, "true (a boolean)"),
            (5, "5 (an integer)"),
            (1 << 40_000, "a very large integer"),
            (1.5, "1.5 (a decimal number)"),
            (None, "null"),
            ({"a": 1}, "a table"),
            ([1], "a list"),
            (b"", "a value of type bytes"),
        )
        for value, text in table:
            self.assertEqual(describe(value), text)

    def test_texts_are_shown_on_one_short_printable_line_without_logins(self) -> None:
        self.assertEqual(quote('a\n"b\x1b\ud800'), '"a\\n\\"b\\u001b\\ud800"')
        self.assertEqual(quote("x" * 1000), '"' + "x" * 60 + '..."')
        self.assertEqual(quote("mqtt://me:secret@host"), '"mqtt://***@host"')
        self.assertEqual(quote("\u00fcber"), '"\u00fcber"')

    def test_a_login_is_hidden_before_the_text_is_cut(self) -> None:
        self.assertNotIn("pass", quote("mqtt://me:" + "pass" * 30 + "@host"))

    def test_keys_that_need_it_are_quoted_in_paths(self) -> None:
        self.assertEqual(join("modules", "tasmota:garage"), 'modules."tasmota:garage"')
        self.assertEqual(join("", "a"), "a")

    def test_only_a_near_miss_is_suggested(self) -> None:
        self.assertEqual(nearest("BROKR", ["broker", "topics"]), "broker")
        self.assertEqual(nearest("xyz", ["broker", "topics"]), "")


class SecretTests(SynchronousTestCase):
    """What a secret shows, and where it comes from."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).resolve()
        self.directory.mkdir()

    def read(self, raw: object, **environ: str) -> Secret | Fault:
        return read_secret(raw, "m.password", Sources(self.directory, environ))

    def assert_fault(self, raw: object, text: str, **environ: str) -> None:
        found = self.read(raw, **environ)
        assert isinstance(found, Fault), found
        self.assertIn(text, str(found))

    def test_it_shows_itself_only_on_request(self) -> None:
        secret = Secret("hunter2")
        self.assertEqual((str(secret), repr(secret), f"{secret}"), ("***",) * 3)
        self.assertEqual(secret.reveal(), "hunter2")

    def test_it_is_equal_and_hashed_by_value(self) -> None:
        self.assertEqual({Secret("a"), Secret("a")}, {Secret("a")})
        self.assertNotEqual(Secret("a"), Secret("b"))
        self.assertNotEqual(Secret("a"), "a")

    def test_text_variable_and_file_are_sources(self) -> None:
        (self.directory / "key").write_text("from file\n")
        self.assertEqual(self.read("text"), Secret("text"))
        self.assertEqual(self.read({"env": "KEY"}, KEY="from env"), Secret("from env"))
        self.assertEqual(self.read({"file": "key"}), Secret("from file"))
        absolute = str(self.directory / "key")
        self.assertEqual(self.read({"file": absolute}), Secret("from file"))

    def test_one_newline_at_the_end_of_a_file_is_removed(self) -> None:
        for content, secret in ((b"a\n\n", "a\n"), (b"a\r\n", "a"), (b" a ", " a ")):
            (self.directory / "key").write_bytes(content)
            self.assertEqual(self.read({"file": "key"}), Secret(secret))

    def test_a_credential_of_systemd_wins_over_a_file_beside_the_configuration(self) -> None:
        credentials = self.directory / "credentials"
        credentials.mkdir()
        (credentials / "key").write_text("credential")
        (self.directory / "key").write_text("beside")
        (self.directory / "other").write_text("other")
        given = {"CREDENTIALS_DIRECTORY": str(credentials)}
        self.assertEqual(self.read({"file": "key"}, **given), Secret("credential"))
        self.assertEqual(self.read({"file": "other"}, **given), Secret("other"))
        absolute = str(self.directory / "key")
        self.assertEqual(self.read({"file": absolute}, **given), Secret("beside"))

    def test_a_variable_that_is_missing_or_empty_is_a_fault(self) -> None:
        self.assert_fault({"env": "KEY"}, 'm.password.env: the environment variable "KEY" is not')
        self.assert_fault({"env": "KEY"}, 'variable "KEY" is empty', KEY="")

    def test_a_file_that_cannot_be_a_secret_is_a_fault(self) -> None:
        (self.directory / "empty").write_text("\n")
        (self.directory / "binary").write_bytes(b"\xff")
        (self.directory / "large").write_bytes(b"x" * 65537)
        os.mkfifo(self.directory / "fifo")
        table = (
            ("missing", "cannot be read: No such file"),
            (".", "is not a regular file"),
            ("fifo", "is not a regular file"),
            ("empty", "is empty"),
            ("binary", "is not UTF-8"),
            ("large", "it is larger than 65536 bytes"),
            ("x" * 5000, "got the content of a file, expected the path of a file"),
            ("-----BEGIN PRIVATE KEY-----", "got the content of a file"),
        )
        for name, text in table:
            with self.subTest(name=name[:20]):
                self.assert_fault({"file": name}, text)

    def test_other_forms_are_faults_that_show_no_value(self) -> None:
        table = (
            (4711, "got an integer, expected a string, { env"),
            (["4711"], "got a list"),
            (None, "got null"),
            ({}, "got a table with other keys"),
            ({"value": "4711"}, "got a table with other keys"),
            ({"env": "A", "file": "4711"}, "got a table with other keys"),
            ({"env": 4711}, "m.password.env: got an integer, expected the name of a variable"),
            ({"file": ""}, "m.password.file: got a string that cannot be one"),
            ({"file": "4711\0"}, "expected the path of a file"),
            ({"env": "4711\ud800"}, "got a string that cannot be one"),
        )
        for raw, text in table:
            with self.subTest(raw=repr(raw)):
                self.assert_fault(raw, text)
                self.assertNotIn("4711", str(self.read(raw)))
