"""Golden cases: a folder with settings, messages and the lines that are expected.

``expected.lp`` has the lines, ``dropped.txt`` the reasons for what is left out, each with its
count; no such file means that nothing is. ``messages.txt`` is described in `tests.modules.golden`.
"""

from __future__ import annotations

from pathlib import Path

from line_protocol_parser import parse_line
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.modules.tasmota import MODULE
from tests.modules.golden import run_case
from tests.modules.tasmota.rows import TABLES

CASES = Path(__file__).parent / "cases"


def expected_drops(folder: Path) -> dict[str, int]:
    """Return how often each reason is given in a case."""
    path = folder / "dropped.txt"
    lines = path.read_text("utf-8").splitlines() if path.exists() else ()
    return {reason: int(count) for reason, count in map(str.split, lines)}


class Cases(SynchronousTestCase):
    """Every case gives exactly the lines that are expected."""

    def test_every_row_has_its_case(self) -> None:
        """No row of the tables is without a case, none of the cases without a row."""
        named = {case for table in TABLES for row in table.values() for case in row.cases}
        self.assertEqual(named, {folder.name for folder in CASES.iterdir()})

    def test_every_word_stands_in_its_case(self) -> None:
        """What a row names (objects, keys, texts) does occur in the messages of its cases."""
        missing = []
        for table in TABLES:
            for name, row in table.items():
                texts = [(CASES / case / "messages.txt").read_text("utf-8") for case in row.cases]
                messages = "".join(texts)
                missing += [f"{name}: {word}" for word in row.words if f'"{word}' not in messages]
        self.assertEqual(missing, [])

    def test_drops(self) -> None:
        """Whatever a case leaves out is counted by its reason, and nothing else is left out."""
        wrong = []
        for folder in sorted(CASES.iterdir()):
            dropped, expected = run_case(MODULE, folder).dropped, expected_drops(folder)
            if dropped != expected:
                wrong.append(f"{folder.name}: {dropped} instead of {expected}")
        self.assertEqual(wrong, [])

    def test_lines(self) -> None:
        """Each case's messages give the lines of its expected.lp, and each of them parses."""
        wrong = []
        for folder in sorted(CASES.iterdir()):
            expected = (folder / "expected.lp").read_text("utf-8").splitlines()
            lines = run_case(MODULE, folder).lines()
            for line in lines:
                parse_line(line)
            wrong += [f"{folder.name}: unexpected {line}" for line in lines if line not in expected]
            wrong += [f"{folder.name}: missing {line}" for line in expected if line not in lines]
            if len(lines) != len(expected):
                wrong.append(f"{folder.name}: {len(lines)} lines instead of {len(expected)}")
        self.assertEqual(wrong, [])

    def test_nothing_is_left_behind(self) -> None:
        """After a stop no timer is left, whatever the messages were."""
        for folder in CASES.iterdir():
            self.assertEqual(run_case(MODULE, folder).reactor.getDelayedCalls(), [], folder.name)
