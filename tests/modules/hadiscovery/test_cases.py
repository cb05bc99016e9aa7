"""Golden cases: a folder with settings, messages and the lines that a person expects.

The format of the files is that of the cases of `tasmota`: ``messages.txt`` has a message a line:
``-`` or ``R`` (retained), the topic, the payload. A second passes before each message but the
first. ``wait 5`` lets five more seconds pass.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from line_protocol_parser import parse_line
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.config.structure import structure
from metrics_agent.modules.hadiscovery import MODULE
from metrics_agent.modules.hadiscovery.config import HadiscoverySettings
from metrics_agent.testing import FakeContext
from tests.modules.tasmota.support import read_toml

CASES = Path(__file__).parent / "cases"


def run_case(folder: Path) -> FakeContext:
    """Start the module with the case's settings and give it the case's messages."""
    raw = read_toml((folder / "config.toml").read_text("utf-8"))
    found = structure(HadiscoverySettings, raw, f"cases.{folder.name}")
    if found.value is None:
        raise AssertionError(f"{folder.name}: {[str(fault) for fault in found.faults]}")
    context = FakeContext()
    module = MODULE.make(found.value, context)
    module.startService()
    first = True
    for line in (folder / "messages.txt").read_text("utf-8").splitlines():
        if line.startswith("wait "):
            context.advance(float(line.removeprefix("wait ")))
            continue
        retained, topic, *payload = line.split(" ", 2)
        if not first:
            context.advance(1)
        first = False
        # A broker sends only what is subscribed to.
        with contextlib.suppress(LookupError):
            context.deliver(topic, "".join(payload).encode(), retain=retained == "R")
    module.stopService()
    context.stop()
    return context


class Cases(SynchronousTestCase):
    """Every case gives exactly the lines that are expected."""

    def test_lines(self) -> None:
        """Each case's messages give the lines of its expected.lp, and each of them parses."""
        wrong = []
        count = 0
        for folder in sorted(CASES.iterdir()):
            expected = (folder / "expected.lp").read_text("utf-8").splitlines()
            lines = run_case(folder).lines()
            for line in lines:
                count += len(parse_line(line)["fields"])
            wrong += [f"{folder.name}: unexpected {line}" for line in lines if line not in expected]
            wrong += [f"{folder.name}: missing {line}" for line in expected if line not in lines]
            if len(lines) != len(expected):
                wrong.append(f"{folder.name}: {len(lines)} lines instead of {len(expected)}")
        self.assertEqual(wrong, [])
        self.assertGreaterEqual(count, 120)

    def test_nothing_is_left_behind(self) -> None:
        """After a stop no timer is left, whatever the messages were."""
        for folder in CASES.iterdir():
            self.assertEqual(run_case(folder).reactor.getDelayedCalls(), [], folder.name)
