"""The whole chain, once: broker, agent, Telegraf and systemd, each restarted and each failing.

A real device's messages at QoS 1 are numbered, a hundred a second, through all of it. With
``METRICS_AGENT_LAYERS=docs/robustness.md`` in the environment the figures go into that page.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.describe import update
from tests.deploy.box import Box
from tests.deploy.layers import DEVICE, FAILING_MODULE, ROWS, Numbers, Row, Seen, Tail, table
from tests.deploy.paths import DOCS
from tests.deploy.test_systemd import CONFIG, STATE, TELEGRAF_CONFIG, TELEGRAF_UNIT, BoxTestCase
from tests.integration.broker import Mosquitto
from tests.integration.case import QUIET
from tests.integration.load import announcement
from tests.needs import find

PAGE_VARIABLE = "METRICS_AGENT_LAYERS"
OUTPUT = "/var/log/telegraf/metrics.lp"
TRIGGER = f"{STATE}/fail"
PACKAGES = "/opt/metrics-agent/current/lib/python3*/site-packages"

AGENT_CONFIG = f"""
state_dir = "{STATE}"
[modules.failing]
enabled = true
broker = "{{url}}"
"""


class LayersTests(BoxTestCase):
    """The shipped chain: systemd, Telegraf with our snippet and drop-in, the agent, a module."""

    def setUp(self) -> None:
        telegraf = find("telegraf")
        self.broker = Mosquitto.start(self, settings=(*QUIET, "max_queued_messages 0"))
        super().setUp()
        self.box.run("cp", telegraf, "/usr/local/bin/telegraf")
        self.box.write("/etc/systemd/system/telegraf.service", TELEGRAF_UNIT)
        self.box.write(
            "/etc/telegraf/telegraf.conf", TELEGRAF_CONFIG.format(output=OUTPUT, flush="100ms")
        )
        self.install()
        self.box.write(CONFIG, AGENT_CONFIG.format(url=self.broker.url))
        self.install_failing_module()
        self.systemctl("add-wants", "box.target", "telegraf.service")
        self.numbers = Numbers(self.broker.port)
        self.addCleanup(self.numbers.stop)
        self.numbers.announce(*announcement("plug", 0, DEVICE))
        self.tail = Tail(self.box.path(OUTPUT))

    def make_box(self) -> Box:
        """Make one whose systemd can fail."""
        return Box(self, boots_again=True)

    def install_failing_module(self) -> None:
        """Make a module known that fails when it is asked to, and is tasmota otherwise."""
        packages = self.box.run("sh", "-c", f"echo {PACKAGES}").stdout.strip()
        self.box.write(f"{packages}/failing.py", FAILING_MODULE.format(trigger=TRIGGER))
        info = f"{packages}/failing-1.0.dist-info"
        self.box.write(f"{info}/METADATA", "Metadata-Version: 2.1\nName: failing\nVersion: 1.0\n")
        self.box.write(
            f"{info}/entry_points.txt", "[metrics_agent.modules]\nfailing = failing:MODULE\n"
        )

    def test_layers(self) -> None:
        """Each is healed by the layer above; only what Telegraf had in its memory is lost."""
        self.systemctl("start", "telegraf")
        self.wait_for("the connection", lambda: "Connected to" in self.box.journal("telegraf"))
        self.numbers.start()
        self.wait_for_numbers()
        acts: dict[str, Callable[[], object]] = {
            "sighup": lambda: self.box.run("kill", "-HUP", str(self.agent())),
            "exit": lambda: self.box.run("kill", "-TERM", str(self.agent())),
            "reload": lambda: self.systemctl("reload", "telegraf"),
            "restart": lambda: self.systemctl("restart", "telegraf"),
            "module": lambda: self.box.run("touch", TRIGGER),
            "kill": lambda: self.box.run("kill", "-KILL", str(self.agent())),
            "telegraf": lambda: self.box.run("kill", "-KILL", self.telegraf()),
            "systemd": self.cut_power,
        }
        bounds: dict[str, tuple[int, int, int, int]] = {}
        repeated = {}
        for row in ROWS:
            first, from_ns = self.numbers.sent + 1, time.time_ns()
            # What a layer has in its hands when it dies was sent before.
            time.sleep(0.5)
            again = self.tail.again
            acts[row.name]()
            self.wait_for_numbers(row)
            bounds[row.name] = first, self.numbers.sent, from_ns, time.time_ns()
            repeated[row.name] = self.tail.again - again
        self.numbers.stop()
        last = self.numbers.sent
        self.wait_for("the last number", lambda: self.tail.read() >= last)
        seen = {name: self.judge(repeated[name], *bound) for name, bound in bounds.items()}
        block = table(seen)
        page = os.environ.get(PAGE_VARIABLE)
        if page:
            path = Path(page)
            path.write_text(update(path.read_text("utf-8"), "layers", block), "utf-8")
        lost = {row.name: seen[row.name].lost for row in ROWS if row.keeps_all}
        self.assertEqual(lost, dict.fromkeys(lost, 0), block)
        for row in ROWS:
            # What a parent had read at its end: a flush_interval of it, not more.
            self.assertLess(seen[row.name].lost, Numbers.RATE, block)
            self.assertLess(seen[row.name].without_data_s, 30, block)

    def judge(self, again: int, first: int, last: int, from_ns: int, to_ns: int) -> Seen:
        """Return what a row has shown."""
        return Seen(
            without_data_s=self.tail.longest_gap_s(from_ns, to_ns),
            sent=last - first + 1,
            lost=len(self.tail.missing(first, last)),
            again=again,
        )

    def wait_for_numbers(self, row: Row | None = None) -> None:
        """Wait until numbers that are sent from now on are written, for a second."""
        if row is not None:
            # What was done takes effect within this time.
            time.sleep(2)
        first = self.numbers.sent + 1
        self.wait_for(f"numbers from {first} on", lambda: self.tail.read() > first + 100)

    def agent(self) -> int:
        """Return the process of the agent."""
        self.wait_for("the agent", lambda: len(self.agent_pids()) == 1)
        return self.agent_pids()[0]

    def telegraf(self) -> str:
        """Return the process of Telegraf."""
        return self.box.show("telegraf", "MainPID")

    def cut_power(self) -> None:
        """Let process 1 die, and with it all of the box."""
        self.box.cut_power()
        self.tail.path = self.box.path(OUTPUT)


class PageTests(SynchronousTestCase):
    """docs/robustness.md."""

    def test_page_has_all_rows(self) -> None:
        """The table has a row for each restart and each failure."""
        page = (DOCS / "robustness.md").read_text("utf-8")
        block = page.partition("<!-- generated: layers -->")[2].partition("<!-- end")[0]
        for row in ROWS:
            self.assertIn(f"| {row.layer} | {row.how} | {row.then} |", block)
