"""Golden cases: a folder for each quirk, with configuration, answers and the lines they give.

``answers.json`` is a list with an entry for each turn, five minutes apart: the API's answers by
the ends of their paths. The first turn is at 1700000000.
"""

from __future__ import annotations

import json
from pathlib import Path

from line_protocol_parser import parse_line
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.config.structure import structure
from metrics_agent.modules.netatmo.config import NetatmoSettings
from tests.modules.netatmo.support import Api, Rig
from tests.modules.tasmota.support import read_toml

CASES = Path(__file__).parent / "cases"
SECRETS = {"client_id": "client", "client_secret": "cl13nt-s3cr3t"}


class Cases(SynchronousTestCase):
    """Every case gives exactly the lines that are expected, and counts what it leaves out."""

    def run_case(self, folder: Path) -> Rig:
        raw = read_toml((folder / "config.toml").read_text("utf-8"))
        found = structure(NetatmoSettings, {**SECRETS, **raw}, f"cases.{folder.name}")
        self.assertEqual(found.faults, (), folder.name)
        turns = json.loads((folder / "answers.json").read_text("utf-8"))
        api = Api(turns[0])
        settings = {key: getattr(found.value, key) for key in raw}
        rig = Rig(self, settings, api=api)
        for answers in turns[1:]:
            api.devices = answers
            rig.context.advance(rig.module._settings.interval)
        return rig

    def test_lines(self) -> None:
        wrong = []
        for folder in sorted(CASES.iterdir()):
            rig = self.run_case(folder)
            expected = (folder / "expected.lp").read_text("utf-8").splitlines()
            lines = rig.context.lines()
            for line in lines:
                parse_line(line)
            counts = [f"{key}={count}" for key, count in sorted(rig.context.dropped.items())]
            lines.append(f"# dropped: {' '.join(counts) or 'nothing'}")
            wrong += [f"{folder.name}: unexpected {line}" for line in lines if line not in expected]
            wrong += [f"{folder.name}: missing {line}" for line in expected if line not in lines]
            if len(lines) != len(expected):
                wrong.append(f"{folder.name}: {len(lines)} lines instead of {len(expected)}")
        self.assertEqual(wrong, [])

    def test_there_are_cases(self) -> None:
        self.assertGreater(len(list(CASES.iterdir())), 20)
