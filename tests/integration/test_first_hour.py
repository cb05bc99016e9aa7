"""docs/first-hour.md as a newcomer follows it: its files, its commands, and what they show."""

from __future__ import annotations

import json
import subprocess
import time
from itertools import zip_longest
from pathlib import Path
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.first_hour import Block, CommandError, House, Plug, blocks, differs
from tests.integration.telegraf import SHIPPED, telegraf_path
from tests.needs import missing

PAGE: Final = Path(__file__).parents[2] / "docs" / "first-hour.md"
_LIMIT_S: Final = 60
_MORE_ATTEMPTS: Final = 2


class FirstHourTests(SynchronousTestCase):
    """Real mosquitto, agent, VictoriaMetrics and Telegraf, a simulated plug."""

    timeout = 180
    skip = missing("mosquitto") or missing("victoria-metrics") or missing("curl")

    def setUp(self) -> None:
        if not PAGE.exists():
            self.skipTest("the tests run without the source tree")
        self.house = House()
        self.addCleanup(self.house.end)

    def follow(self, page: list[Block]) -> None:
        """Do what the blocks of a page say."""
        for block, following in zip_longest(page, page[1:]):
            if block.language == "sh":
                shows = following is not None and following.language == "text"
                self.run_block(block.text, following.text if shows else "")
            elif block.language == "console":
                self.addCleanup(Plug(block.text, self.house).end)
            elif block.language != "text":
                self.assertTrue(block.path, block.text)
                self.house.write(block.path, block.text)

    def run_block(self, commands: str, expected: str) -> None:
        """Run commands; more often where a busy machine needs more time than the page says."""
        difference = self.run_once(commands, expected)
        for _ in range(_MORE_ATTEMPTS if expected else 0):
            if difference:
                difference = self.run_once(commands, expected)
        self.assertFalse(difference, difference)

    def run_once(self, commands: str, expected: str) -> str:
        """Return what is wrong; empty for nothing."""
        try:
            return differs(expected, self.house.run(commands))
        except CommandError as error:
            return str(error)

    def query(self, query: str) -> list[object]:
        """Ask the database."""
        answer = self.house.run(
            f"curl -sG http://127.0.0.1:8428/api/v1/query --data-urlencode 'query={query}'"
        )
        found: list[object] = json.loads(answer)["data"]["result"]
        return found

    def test_the_page(self) -> None:
        """From nothing to a value in the database, and then with Telegraf in between."""
        direct, _, with_telegraf = PAGE.read_text("utf-8").partition("\n## With Telegraf\n")
        self.follow(list(blocks(direct)))
        page = self.house.run("curl -s http://127.0.0.1:8428/vmui/")
        self.assertIn("<title>vmui</title>", page)
        for query in ("increase(electricity_energy_total[1d])", "device_signal_quality"):
            self.assertIn(f"`{query}`", direct)
            self.assertTrue(self.query(query), query)
        if missing("telegraf") is None:
            self.follow(list(blocks(with_telegraf)))
            self.telegraf()

    def telegraf(self) -> None:
        """Have Telegraf run the agent, which has no output of its own."""
        house = self.house
        house.run("kill $(cat run/metrics-agent); sleep 1")
        config = house.root / "etc/metrics-agent/metrics-agent.toml"
        lines = config.read_text("utf-8").splitlines(keepends=True)
        config.write_text("".join(line for line in lines if not line.startswith("output")))
        snippet = SHIPPED.read_text("utf-8")
        command = "/usr/local/bin/metrics-agent"
        self.assertIn(command, snippet)
        snippets = house.root / "etc/telegraf/telegraf.d"
        wrapper = house.root / "bin/agent-of-telegraf"
        wrapper.write_text(f'#!/bin/sh\nexec {house.root}/bin/metrics-agent run "$@"\n')
        wrapper.chmod(0o755)
        (snippets / "metrics-agent.conf").write_text(snippet.replace(command, str(wrapper)))
        (snippets.parent / "telegraf.conf").write_text(
            '[agent]\n  interval = "1s"\n  flush_interval = "1s"\n  hostname = "by-telegraf"\n'
        )
        with (house.root / "log/telegraf").open("wb") as log:
            process = subprocess.Popen(
                [
                    *(telegraf_path(), "--config", f"{snippets.parent}/telegraf.conf"),
                    *("--config-directory", str(snippets)),
                ],
                env=house.environ,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        (house.root / "run/telegraf").write_text(str(process.pid))
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        deadline_s = time.monotonic() + _LIMIT_S
        while not self.query('electricity_power{host="by-telegraf"}'):
            self.assertLess(time.monotonic(), deadline_s, house.log())
            time.sleep(0.2)


class DiffersTests(SynchronousTestCase):
    """What counts as the same output."""

    def test_same(self) -> None:
        """Dots are anything in a line, or any lines."""
        self.assertEqual(differs("a … c\n", "x\na b c\n"), "")
        self.assertEqual(differs("a\n…\nc\n", "a\nb\nb\nc\n"), "")
        self.assertEqual(differs("a\n…\nc\n", "a\nc\n"), "")

    def test_different(self) -> None:
        """A line that is missing, is another, or comes later."""
        for found in ("a\nb\n", "a\nc\nb\n", "c\na\n", ""):
            self.assertIn("expected", differs("a\nc\nd\n", found))
