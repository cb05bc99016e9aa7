"""The mutants of the simulation apply to today's code; the table has their results."""

from __future__ import annotations

import ast
import re
from datetime import date
from pathlib import Path
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from tests.deliberate_breaks import BREAKS
from tests.simulation.fix_mutants import ALREADY_TRIED
from tests.simulation.mutants import GROUPS, Result, broken_text, table
from tests.simulation.reach import OUT_OF_REACH, WHY_MISSED
from tests.simulation.seeds import SEEDS


class MutantTests(SynchronousTestCase):
    """Without running any."""

    def test_each_applies_and_is_python(self) -> None:
        """What a mutant replaces is there exactly once, and what comes of it can be compiled."""
        for mutants in GROUPS.values():
            for each in mutants:
                self.assertNotEqual(each.old, each.new, each.name)
                ast.parse(broken_text(each), each.name)

    def test_each_is_one_of_its_own(self) -> None:
        """No name and no change is there twice, so that the share that is found means something."""
        mutants = [each for some in GROUPS.values() for each in some]
        self.assertEqual(len({each.name for each in mutants}), len(mutants))
        changes: dict[tuple[str, str], str] = {}
        for each in mutants:
            same = changes.setdefault((each.path, broken_text(each)), each.name)
            self.assertEqual(same, each.name)

    def test_there_are_thirty_races(self) -> None:
        """As many as promised at least."""
        self.assertGreaterEqual(len(GROUPS["race"]), 30)

    def test_reasons_are_about_mutants_that_exist(self) -> None:
        """A renamed mutant takes its reason along."""
        self.assertLessEqual(OUT_OF_REACH.keys(), {each.name for each in BREAKS})
        named = {name for names in ALREADY_TRIED.values() for name in names}
        tried = {each.name for some in GROUPS.values() for each in some}
        self.assertLessEqual(WHY_MISSED.keys() | {*SEEDS.values()} | named, tried)


class TableTests(SynchronousTestCase):
    """What the page says."""

    def test_the_page(self) -> None:
        """The page has one row for each mutant, tried or not, and no other."""
        page = (Path(__file__).parents[2] / "docs" / "robustness.md").read_text("utf-8")
        block = page.partition("<!-- generated: mutants -->")[2].partition("<!-- end")[0]
        names = re.findall(r"^\| ([a-z0-9 ]+) \| (?:fix|break|race) \|", block, re.MULTILINE)
        tried = [each.name.replace("_", " ") for some in GROUPS.values() for each in some]
        self.assertEqual(sorted(names), sorted(tried))
        others = [name for name in OUT_OF_REACH if f"| {name.replace('_', ' ')} | " not in block]
        self.assertEqual(others, [])

    def test_table(self) -> None:
        """One row for each, found or not; a violation cannot break the table."""
        why_missed = patch.dict(WHY_MISSED, {"a_wrong_path_drops_lines": "it is rare"})
        why_missed.start()
        self.addCleanup(why_missed.stop)
        text = table(
            [
                Result("race", "it_comes_late", True, 3.4, "a | b <c>", 7, "28 Nov 15:58"),
                Result("fix", "it_never_comes", False, 120.2),
                Result("break", "a_wrong_path_drops_lines", False, 120.2),
            ],
            date(2026, 11, 28),
            "2 cores",
        )
        self.assertIn("1 of 3 found", text)
        self.assertIn("| it comes late | race | 3 s | a \\| b &lt;c> | 28 Nov 15:58 |", text)
        self.assertIn("| it never comes | fix | not in 120 s |", text)
        self.assertRegex(text, r"path drops lines \| break .* it is rare; tests\.\S+ finds it \|")
