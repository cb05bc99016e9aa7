"""Golden cases: a folder with settings, messages and the lines that are expected.

The files are described in `tests.modules.golden`. What programs really sent is in ``recorded_*``:
Zigbee2MQTT 2.14.1, Theengs gateway 1.8.0, rtl_433 22.11, ecowitt2mqtt 2026.1.0, linux2mqtt 1.9.0;
the devices are made up. `tests.integration.test_publishers` runs the first four programs. In the
other cases 125 values were written by hand. The lines of the remaining ones were written by the
program, and each value was compared with one that had been worked out by hand.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from line_protocol_parser import parse_line
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.modules.hadiscovery import MODULE
from tests.modules.golden import run_case

CASES = Path(__file__).parent / "cases"


def names(line: str) -> Iterator[tuple[str, ...]]:
    """Yield what each value of a line is called: no two entities have the same."""
    found = parse_line(line)
    tags = sorted(f"{name}={value}" for name, value in found["tags"].items())
    for field in found["fields"]:
        yield found["measurement"], field, *tags


class Cases(SynchronousTestCase):
    """Every case gives exactly the lines that are expected."""

    def test_lines(self) -> None:
        """Each case's messages give the lines of its expected.lp, and each of them parses."""
        wrong = []
        by_hand = set()
        for folder in sorted(CASES.iterdir()):
            expected = (folder / "expected.lp").read_text("utf-8").splitlines()
            lines = run_case(MODULE, folder).lines()
            if not folder.name.startswith("recorded_"):
                by_hand |= {(folder.name, *name) for line in lines for name in names(line)}
            wrong += [f"{folder.name}: unexpected {line}" for line in lines if line not in expected]
            wrong += [f"{folder.name}: missing {line}" for line in expected if line not in lines]
            if len(lines) != len(expected):
                wrong.append(f"{folder.name}: {len(lines)} lines instead of {len(expected)}")
        self.assertEqual(wrong, [])
        self.assertGreaterEqual(len(by_hand), 120)

    def test_nothing_is_left_behind(self) -> None:
        """After a stop no timer is left, whatever the messages were."""
        for folder in CASES.iterdir():
            self.assertEqual(run_case(MODULE, folder).reactor.getDelayedCalls(), [], folder.name)
