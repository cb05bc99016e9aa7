"""The dashboard for Grafana, read; its queries run in tests.integration.test_picture."""

from __future__ import annotations

import json
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from tests.deploy.paths import DEPLOY
from tests.integration.watching import environment
from tests.needs import missing

DIRECTORY = DEPLOY / "grafana"


class DashboardTests(SynchronousTestCase):
    """The committed file."""

    skip = missing("grafana-foundation-sdk")

    def setUp(self) -> None:
        self.text = (DIRECTORY / "dashboard.json").read_text("utf-8")

    def test_it_is_what_the_script_builds(self) -> None:
        built = subprocess.run(
            [sys.executable, DIRECTORY / "build.py"],
            env=environment(),
            capture_output=True,
            check=False,
            timeout=60,
        )
        self.assertEqual((built.returncode, built.stderr), (0, b""))
        self.assertEqual(self.text, built.stdout.decode())

    def test_panels(self) -> None:
        """Each has a title, says what it shows, and asks the database that is chosen."""
        dashboard = json.loads(self.text)
        panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
        ids = [panel["id"] for panel in dashboard["panels"]]
        self.assertEqual(len(set(ids)), len(ids))
        titles = [panel["title"] for panel in panels]
        self.assertEqual(len(set(titles)), len(titles) - 1, "solar power is a number and a graph")
        (variable,) = dashboard["templating"]["list"]
        for panel in panels:
            self.assertTrue(panel["description"].endswith("."), panel["title"])
            shown_as = panel["fieldConfig"]["defaults"]
            self.assertTrue(shown_as.get("unit") or shown_as.get("mappings"), panel["title"])
            letters = [query["refId"] for query in panel["targets"]]
            self.assertEqual(letters, list("ABC"[: len(letters)]))
            for asked in (panel, *panel["targets"]):
                expected = {"type": "prometheus", "uid": f"${{{variable['name']}}}"}
                self.assertEqual(asked["datasource"], expected)

    def test_panels_do_not_overlap(self) -> None:
        """And fit into Grafana's 24 columns."""
        taken: dict[tuple[int, int], str] = {}
        for panel in json.loads(self.text)["panels"]:
            place = panel["gridPos"]
            self.assertLessEqual(place["x"] + place["w"], 24)
            for x in range(place["x"], place["x"] + place["w"]):
                for y in range(place["y"], place["y"] + place["h"]):
                    self.assertNotIn((x, y), taken, panel["title"])
                    taken[x, y] = panel["title"]
