r"""Golden cases: a folder with settings, messages and the lines that a person expects.

``messages.txt`` has a message a line: ``frame`` and JSON for the socket; ``-`` or ``R`` (retained),
a topic (``\_`` stands for a blank) and a payload for MQTT. A second passes before each message but
the first; ``now`` before the others lets them come at once. ``wait 5`` lets five more seconds pass.
The first message comes at ``START_NS``. A comment in ``config.toml`` may name the instance.
"""

from __future__ import annotations

import re
from pathlib import Path

from line_protocol_parser import parse_line
from twisted.trial.unittest import SynchronousTestCase

from tests.modules.opendtu.rows import TABLES
from tests.modules.opendtu.support import Dtu

CASES = Path(__file__).parent / "cases"
_INSTANCE = re.compile(r"^# instance = (.*)$", re.MULTILINE)


def run_case(folder: Path) -> Dtu:
    """Start the module with the case's settings and give it the case's messages."""
    config = (folder / "config.toml").read_text("utf-8")
    named = _INSTANCE.search(config)
    dtu = Dtu(config, name=named[1] if named else "opendtu").start()
    dtu.context.metrics.clear()
    gap_s = 0.0
    pause_s = 1.0
    for line in (folder / "messages.txt").read_text("utf-8").splitlines():
        if line == "now":
            pause_s = 0.0
            continue
        if line.startswith("wait "):
            dtu.wait(float(line.removeprefix("wait ")))
            continue
        if gap_s:
            dtu.wait(gap_s)
        gap_s = pause_s
        kind, *rest = line.split(" ", 2)
        if kind == "frame":
            dtu.send(line.removeprefix("frame").strip())
        else:
            deliver(dtu, rest[0], "".join(rest[1:]).encode(), retain=kind == "R")
    dtu.stop()
    return dtu


def deliver(dtu: Dtu, topic: str, payload: bytes, *, retain: bool) -> None:
    """Give a message to the module, unless no broker would."""
    topic = topic.replace("\\_", " ")
    if topic.count("/") - dtu.settings.mqtt.prefix.count("/") in {1, 2}:
        dtu.context.deliver(topic, payload, retain=retain)


class Cases(SynchronousTestCase):
    """Every case gives exactly the lines that are expected."""

    def test_every_row_has_its_case(self) -> None:
        """No row of the tables is without a case, none of the cases without a row."""
        named = {case for table in TABLES for cases in table.values() for case in cases}
        self.assertEqual(named, {folder.name for folder in CASES.iterdir()})

    def test_lines(self) -> None:
        """Each case's messages give the lines of its expected.lp, and each of them parses."""
        wrong = []
        for folder in sorted(CASES.iterdir()):
            expected = (folder / "expected.lp").read_text("utf-8").splitlines()
            lines = run_case(folder).context.lines()
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
            self.assertEqual(run_case(folder).reactor.getDelayedCalls(), [], folder.name)
