"""Home Assistant is the judge: cases that it computed itself, played to the module.

The adversarial ones are here. Those of real publishers are in a folder beside the checkout, or
where `HADISCOVERY_CASES` says; they are not part of this project.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.modules.hadiscovery.judge import Judge, load

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[2]
BESIDE: Final = (ROOT.parent / "shared", ROOT.parents[1] / "shared")
NOT_RUN: Final = {
    "adversarial/template_functions": frozenset(
        {"sensor|adv for", "sensor|adv macro", "sensor|adv ns"}
    ),
}
"""Entities with loops, macros and namespaces, which no template of a sensor has in practice: they
are refused, since nothing bounds them."""


def cases_elsewhere() -> Path | None:
    """Return the folder of the publishers' cases, if this machine has it."""
    named = os.environ.get("HADISCOVERY_CASES")
    folders = (Path(named),) if named else (each / "hadiscovery" for each in BESIDE)
    return next((each for each in folders if each.is_dir()), None)


class JudgeTests(SynchronousTestCase):
    """What the module stands by is what Home Assistant does."""

    def test_adversarial(self) -> None:
        """Every adversarial case agrees, in each entity and step."""
        paths = sorted((HERE / "adversarial").glob("*.json"))
        self.assertGreaterEqual(len(paths), 38)
        self.judge(paths)

    def test_publishers(self) -> None:
        """Every case of a real publisher agrees, in each entity and step."""
        folder = cases_elsewhere()
        if folder is None:
            raise SkipTest("the cases of Home Assistant's publishers are not on this machine")
        paths = sorted(folder.glob("*/*.json"))
        self.assertTrue(paths)
        self.judge(paths)

    def judge(self, paths: list[Path]) -> None:
        """Play each case."""
        differences: list[str] = []
        for path in paths:
            case = load(path)
            if case.get("oracle_only"):
                continue
            skipped = NOT_RUN.get(case["id"], frozenset())
            volatile = {*case.get("volatile", ()), *skipped}
            judge = Judge(case)
            differences += [
                f"{case['id']}: {text}"
                for text in judge.play()
                if not any(f": {key}" in text for key in volatile)
            ]
            judge.close()
        self.assertEqual(differences[:50], [])
