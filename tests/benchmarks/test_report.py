"""The table, and the block of a document that it goes into."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from benchmarks.cli import choose_brokers, choose_peers, main, not_updatable
from benchmarks.figures import Figure, Note
from benchmarks.report import FIGURES, Report, has_block, read
from benchmarks.rows import ROWS
from benchmarks.subjects import BEFORE, Agent

BLOCK = "<!-- generated: {0} -->\nold\n<!-- end: {0} -->\n"
REPORT = Report(
    taken="2026-11-28T16:30:00+00:00",
    machine={"processor": "some, 2 cores"},
    load_average=(0.1, 1.5),
    figures=[
        Figure("cost", "CPU", "ours", "us", (12.0, 9.5, 11.0), target=10, floor=12),
        Figure("cost", "rate", "theirs", "msg/s", (41_234.0,)),
    ],
    notes=[Note("cost", "somebody was left out.")],
    about={"cost": "CPU per message"},
)


class ReportTests(SynchronousTestCase):
    """What a user and a program read."""

    def test_text(self) -> None:
        text = REPORT.as_text()
        self.assertIn("processor: some, 2 cores", text)
        self.assertIn("load average before and after the run: 0.10, 1.50", text)
        self.assertIn("cost: CPU per message", text)
        self.assertRegex(text, r"CPU +ours +11\.0 us +9\.5 to 12\.0 +3 +<= 10\.0 us +floor")
        self.assertRegex(text, r"rate +theirs +41,234 msg/s")
        self.assertIn("note: somebody was left out.", text)

    def test_a_busy_machine_is_named(self) -> None:
        self.assertNotIn("busy", REPORT.as_text())
        self.assertIn("busy", evolve(REPORT, load_average=(1.0, 1.0)).as_text())

    def test_json_has_all_values(self) -> None:
        document = json.loads(REPORT.as_json())
        self.assertEqual(document["figures"][0]["values"], [12.0, 9.5, 11.0])
        self.assertEqual(document["figures"][0]["verdict"], "floor")
        self.assertEqual(document["machine"]["processor"], "some, 2 cores")

    def test_markdown_is_a_table(self) -> None:
        text = REPORT.as_markdown()
        self.assertIn("### cost: CPU per message", text)
        self.assertIn("| CPU | ours | 11.0 us | 9.5 to 12.0 | 3 | <= 10.0 us | floor |", text)

    def test_each_broker_has_its_table(self) -> None:
        """The version is in its title, and the tables of a row are side by side."""
        other = evolve(REPORT.figures[0], broker="mosquitto 2.0.21")
        figures = [evolve(REPORT.figures[0], broker="mosquitto 2.0.11"), REPORT.figures[0]]
        startup = Figure("startup", "exec", "ours", "s", (1.0,))
        report = evolve(
            REPORT, figures=[*figures, startup, other], notes=[Note("startup", "x", "mosquitto 1")]
        )
        titles = [line for line in report.as_markdown().splitlines() if line.startswith("###")]
        self.assertEqual(
            titles,
            [
                "### cost, mosquitto 2.0.11: CPU per message",
                "### cost: CPU per message",
                "### cost, mosquitto 2.0.21: CPU per message",
                "### startup: ",
                "### startup, mosquitto 1: ",
            ],
        )
        self.assertIn("cost, mosquitto 2.0.21: CPU per message", report.as_text())
        self.assertIn('"broker": "mosquitto 2.0.21"', report.as_json())

    def test_figures_in_columns_are_a_table_with_a_line_for_each_subject(self) -> None:
        figures = [
            Figure("pace", "CPU", "ours", "us", (3.0, 1.0, 2.0), column="10 msg/s"),
            Figure("pace", "wake-ups", "ours", "", (1.0,), column="10 msg/s"),
            Figure("pace", "CPU", "ours", "us", (4.0,), column="50 msg/s"),
            Figure("pace", "CPU", "theirs", "us", (5.0,), column="50 msg/s"),
            Figure("pace", "lost", "ours", "", (0.0,)),
        ]
        text = evolve(REPORT, figures=figures, notes=[]).as_markdown()
        table = [line for line in text.splitlines() if line.startswith("|")]
        self.assertEqual(
            table[3:],
            [
                "| what, medians | subject | 10 msg/s | 50 msg/s |",
                "|---|---|---:|---:|",
                "| CPU, us | ours | 2 | 4 |",
                "| CPU, us | theirs |  | 5 |",
                "| wake-ups | ours | 1 |  |",
            ],
        )
        self.assertEqual(table[2], "| lost | ours | 0 | 0 to 0 | 1 |  |  |")

    def test_a_result_can_be_read_back(self) -> None:
        in_column = Figure("pace", "CPU", "x", "us", (4.0, 5.0), 1, 2, True, "mosquitto 1", "c")
        report = evolve(REPORT, figures=[*REPORT.figures, in_column], quick=True)
        self.assertEqual(read(report.as_json()), report)
        with self.assertRaisesRegex(ValueError, "no result of a run: KeyError"):
            read("{}")

    def test_a_row_goes_into_its_own_block_or_into_that_of_all_others(self) -> None:
        path = Path(self.mktemp())
        path.write_text(f"1\n{BLOCK.format('pace')}2\n{BLOCK.format(FIGURES)}3\n", "utf-8")
        pace = Figure("pace", "CPU", "ours", "us", (3.0,))
        both = evolve(
            REPORT, figures=[*REPORT.figures, pace], about={**REPORT.about, "pace": "at a pace"}
        )
        both.update(path)
        text = path.read_text("utf-8")
        self.assertNotIn("old", text)
        of_pace, _, others = text.partition("2\n")
        self.assertIn("### pace: at a pace", of_pace)
        self.assertIn("### cost: CPU per message", others)
        self.assertNotIn("### pace", others)
        self.assertIn("Taken on 2026-11-28 UTC.", of_pace)
        both.update(path)
        self.assertEqual(path.read_text("utf-8"), text)
        evolve(both, about={"pace": ""}, figures=[pace], notes=[]).update(path)
        self.assertIn(others, path.read_text("utf-8"))

    def test_a_document_without_the_block_is_left_alone(self) -> None:
        path = Path(self.mktemp())
        path.write_text("nothing", "utf-8")
        with self.assertRaisesRegex(ValueError, "no block between"):
            REPORT.update(path)
        self.assertEqual(path.read_text("utf-8"), "nothing")

    def test_what_cannot_take_the_tables_is_said_before_the_run(self) -> None:
        path = Path(self.mktemp())
        self.assertIn(f"got {path}", not_updatable(path, []))
        path.write_text("nothing", "utf-8")
        self.assertIn(f"a block {FIGURES!r}", not_updatable(path, []))
        path.write_text(BLOCK.format(FIGURES) + BLOCK.format("pace"), "utf-8")
        self.assertEqual(not_updatable(path, []), "")
        self.assertEqual(not_updatable(path, ["pace"]), "")
        self.assertIn("cost has no block", not_updatable(path, ["cost", "pace"]))
        self.assertEqual(not_updatable(path, [row.name for row in ROWS]), "")

    def test_the_result_of_an_earlier_run_goes_into_the_document(self) -> None:
        result, document = Path(self.mktemp()), Path(self.mktemp())
        document.write_text(BLOCK.format(FIGURES) + BLOCK.format("cost"), "utf-8")
        result.write_text(REPORT.as_json(), "utf-8")
        self.patch(sys, "stdout", io.StringIO())
        self.assertEqual(main(["--from", str(result), "--update", str(document)]), 0)
        self.assertIn("| CPU | ours | 11.0 us |", document.read_text("utf-8"))
        self.assertIn("cost: CPU per message", sys.stdout.getvalue())


class DocumentTests(SynchronousTestCase):
    """The documents keep up with the rows."""

    root = Path(__file__).resolve().parents[2]

    def test_every_row_is_explained(self) -> None:
        text = (self.root / "benchmarks" / "README.md").read_text("utf-8")
        for row in ROWS:
            self.assertIn(f"| `{row.name}` |", text)

    def test_the_figures_of_the_document_can_be_renewed(self) -> None:
        text = (self.root / "docs" / "performance.md").read_text("utf-8")
        for name in (FIGURES, "pace"):
            self.assertTrue(has_block(text, name), name)
            self.assertEqual(text.count(f"<!-- end: {name} -->"), 1)


class BrokersTests(SynchronousTestCase):
    """Which brokers the command line asks for."""

    def fake(self, version: str) -> str:
        """Make a program that says that it is a mosquitto."""
        path = Path(self.mktemp()).absolute()
        path.write_text(f"#!/bin/sh\necho mosquitto version {version}\nexit 3\n", "utf-8")
        path.chmod(0o755)
        return str(path)

    def test_by_version(self) -> None:
        old, new = self.fake("2.0.11"), self.fake("2.0.21")
        self.assertEqual(choose_brokers([old, new]), {"2.0.11": old, "2.0.21": new})

    def test_what_is_wrong_is_named(self) -> None:
        with self.assertRaisesRegex(ValueError, "'/nowhere', which is not inst"):
            choose_brokers(["/nowhere"])
        with self.assertRaisesRegex(ValueError, "are both mosquitto 2.0.11"):
            choose_brokers([self.fake("2.0.11"), self.fake("2.0.11")])


class PeersTests(SynchronousTestCase):
    """Whom the command line asks for."""

    def test_known_peers_and_commands(self) -> None:
        found = choose_peers("paho,telegraf", ["go=/opt/go-agent -c {config}"], "orjson")
        self.assertEqual([peer.name for peer in found], ["paho + orjson", "telegraf", "go"])

    def test_an_earlier_agent_is_a_peer(self) -> None:
        found = choose_peers("telegraf", [], "json", "env A=b /opt/old/metrics-agent")
        self.assertEqual([peer.name for peer in found], [BEFORE, "telegraf"])
        assert isinstance(found[0], Agent)
        self.assertEqual(found[0].argv, ("env", "A=b", "/opt/old/metrics-agent"))

    def test_nobody(self) -> None:
        self.assertEqual(choose_peers("", [], "json"), ())

    def test_what_is_wrong_is_named(self) -> None:
        with self.assertRaisesRegex(ValueError, "unknown peer 'nobody'"):
            choose_peers("nobody", [], "json")
        with self.assertRaisesRegex(ValueError, "expected NAME=COMMAND LINE"):
            choose_peers("", ["/opt/go-agent"], "json")
