"""Finding, reading and parsing the file."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.config.document import read
from metrics_agent.errors import ConfigError


class ReadTests(SynchronousTestCase):
    """What a file may hold."""

    def write(self, name: str, content: bytes) -> Path:
        directory = Path(self.mktemp())
        directory.mkdir()
        path = directory / name
        path.write_bytes(content)
        return path

    def assert_refused(self, name: str, content: bytes, text: str) -> None:
        path = self.write(name, content)
        error = self.assertRaises(ConfigError, read, path)
        self.assertIn(text, str(error))

    def test_toml_and_json_give_the_same_table(self) -> None:
        expected = {"a": 1, "b": {"c": ["d"]}}
        toml = read(self.write("x.toml", b'a = 1\nb = { c = ["d"] }'))
        self.assertEqual(toml.table, expected)
        json = read(self.write("x.JSON", b'{"a": 1, "b": {"c": ["d"]}}'))
        self.assertEqual(json.table, expected)

    def test_the_permissions_are_those_of_the_file(self) -> None:
        path = self.write("x.toml", b"a = 1")
        path.chmod(0o640)
        self.assertEqual(read(path).mode, 0o640)

    def test_comments_alone_are_a_file_without_settings(self) -> None:
        self.assertEqual(read(self.write("x.toml", b"# nothing yet")).table, {})

    def test_a_fault_of_syntax_has_its_line_and_column(self) -> None:
        table = (
            ("x.toml", b"a = 1\nb =\n", "not valid TOML at line 2, column 4"),
            ("x.toml", b"a = 1\nb = [1,", "not valid TOML at line 2, column 8"),
            ("x.toml", b"a = 1\na = 2", "not valid TOML at line 2, column 6: Cannot overwrite"),
            ("x.toml", b"a = 2026-02-30", "not valid TOML"),
            ("x.json", b'{"a": 1,\n}', "not valid JSON at line "),
            ("x.json", b'{\n"a": ' + b"9" * 5000 + b"}", ".json:2: got an integer of 5000 digits"),
            ("x.toml", b"a = 1_" + b"9" * 5000, ".toml:1: got an integer of 5001 digits, expected"),
        )
        for name, content, text in table:
            with self.subTest(content=content[:20]):
                self.assert_refused(name, content, text)

    def test_files_that_are_no_text_are_refused(self) -> None:
        table = (
            (b"a = 1\nb = '\xff'", "got the byte 0xff at line 2, column 6, expected UTF-8"),
            (b"\xef\xbb\xbfa = 1", "got a byte order mark"),
            ("a = 1".encode("utf-16"), "got a byte order mark"),
            (b"#" * (4 * 1024 * 1024 + 1), "got too large a file"),
        )
        for content, text in table:
            with self.subTest(content=content[:20]):
                self.assert_refused("x.toml", content, text)

    def test_things_that_are_no_files_are_refused_without_waiting(self) -> None:
        directory = Path(self.mktemp())
        (directory / "d.toml").mkdir(parents=True)
        os.mkfifo(directory / "f.toml")
        table = (
            ("d.toml", "got a directory, expected a file"),
            ("f.toml", "got no regular file, expected a file"),
            ("m.toml", "no such file"),
            ("\0.toml", "no valid path"),
            ("x" * 300 + ".toml", "cannot be read: File name too long"),
            ("x.yaml", "expected a name that ends in .toml or .json"),
        )
        for name, text in table:
            with self.subTest(name=name[:20]):
                error = self.assertRaises(ConfigError, read, directory / name)
                self.assertIn(text, str(error))

    def test_nesting_without_end_is_refused(self) -> None:
        deep = 100_000
        self.assert_refused("x.json", b'{"a":' * deep, "nested too deeply")
        self.assert_refused("x.toml", b"a = " + b"[" * deep, "nested too deeply")

    def test_all_repeated_keys_of_json_are_named(self) -> None:
        content = b'{"a": 1, "a": 1, "b": [{"c": 1, "c": {"d": 1, "d": 2}}]}'
        error = self.assertRaises(ConfigError, read, self.write("x.json", content))
        paths = [fault.path for fault in error.faults]
        self.assertEqual(paths, ["a", "b[0].c", "b[0].c.d"])

    def test_json_that_is_no_object_is_refused(self) -> None:
        self.assert_refused("x.json", b"[1]", "got a list, expected a table of settings")

    @settings(max_examples=100)
    @given(st.binary(max_size=60), st.sampled_from(["x.toml", "x.json"]))
    def test_any_content_gives_a_table_or_a_fault(self, content: bytes, name: str) -> None:
        path = self.write(name, content)
        try:
            read(path)
        except ConfigError as error:
            self.assertTrue(error.faults)
