"""The generated tables."""

from __future__ import annotations

from pathlib import Path
from unittest import skipUnless

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.describe import modules_block, refresh, settings_table, update
from tests.config.kinds import Account, Plain

PAGE = Path(__file__).parents[1] / "docs" / "configuration.md"


class TableTests(SynchronousTestCase):
    """One row for each setting."""

    def test_rows_say_type_default_limits_and_meaning(self) -> None:
        rows = (
            '| `name` | string | `"n"` |  | A string. |',
            "| `count` | integer | `3` | at least 1; at most 10 | An integer. |",
            '| `interval` | duration | `"30s"` | at least "1s"; 0: off | A duration. |',
            "| `pause` | duration | not set |  | A duration or nothing. |",
            '| `limit` | size | `"1KiB"` |  | A size. |',
            "| `active` | true or false | `false` |  | A boolean. |",
            "| `password` | secret | not set |  | A secret. |",
            '| `broker` | string or list of strings | `"tcp://localhost"` |  | One or more. |',
            "| `topics` | list of strings | `[]` |  | Two \\| things. |",
            '| `mode` | string | `"fast"` | `"fast"`, `"slow"` | A choice. |',
            "| `size_class` | integer | `1` | `1`, `2`, `4` | A choice of numbers. |",
            "| `friendly_name_overrides` | table of strings | `{}` |  | Names. |",
            "| `numbers` | list of numbers | `[]` |  | Numbers. |",
            "| `tls` | table | not set |  | A table. |",
            "| `tls.ca` | string | required |  | The CA's file. |",
        )
        table = settings_table(Plain).splitlines()
        for row in rows:
            with self.subTest(row=row):
                self.assertIn(row, table)

    def test_each_module_has_its_section(self) -> None:
        block = modules_block([("plain", Plain), ("account", Account)])
        self.assertTrue(block.startswith("### `[modules.plain]`\n\n| key |"))
        self.assertIn("\n\n### `[modules.account]`\n\n| key |", block)


class UpdateTests(SynchronousTestCase):
    """The page."""

    def test_only_the_block_changes(self) -> None:
        page = "a\n<!-- generated: x -->\nold\n<!-- end: x -->\nb"
        new = update(page, "x", "new")
        self.assertEqual(new, "a\n<!-- generated: x -->\nnew\n<!-- end: x -->\nb")
        self.assertEqual(update(new, "x", "new"), new)

    def test_a_page_without_the_block_is_an_error(self) -> None:
        self.assertRaises(ValueError, update, "a", "x", "new")
        self.assertRaises(ValueError, update, "<!-- generated: x -->", "x", "new")

    @skipUnless(PAGE.exists(), "the tests run without the documentation")
    def test_the_page_holds_what_the_code_says(self) -> None:
        page = PAGE.read_text(encoding="utf-8")
        self.assertTrue(
            page == refresh(page),
            "docs/configuration.md is out of date; regenerate its tables:\n"
            "    python -m metrics_agent.describe docs/configuration.md",
        )
