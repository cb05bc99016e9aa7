"""What the pages say, docs/deployment.md above all, held against what is there."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.config.output import read_output
from metrics_agent.process.exit import ExitCode
from tests.deploy.paths import DEPLOY, DOCS, PACKAGE
from tests.integration.broker import free_port
from tests.needs import find

if sys.version_info >= (3, 11):
    from tomllib import loads as parse_toml
else:
    from tomli import loads as parse_toml

GUIDE = DOCS / "deployment.md"


def anchor(heading: str) -> str:
    """Return the name that a heading has in a link."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    """Return the names that a page's headings have in links."""
    return {
        anchor(found) for found in re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    }


class LinkTests(SynchronousTestCase):
    """Links of all pages."""

    def test_links(self) -> None:
        """Each leads somewhere: to a file that is there, to a heading of that page."""
        root = DOCS.resolve().parent  # the package is not beside the tests that run on the wheel
        pages = [
            *(root / "README.md", root / "benchmarks" / "README.md"),
            *(root / "deploy" / "README.md", *(root / "docs").glob("*.md")),
            *(root / "metrics_agent" / "modules").glob("*/README.md"),
        ]
        lost = []
        for page in pages:
            for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
                if "://" in link:
                    continue
                path, _, heading = link.partition("#")
                target = page.parent / path if path else page
                if not target.exists() or (heading and heading not in anchors(target)):
                    lost.append(f"{page.relative_to(root)}: {link}")
        self.assertEqual(lost, [])


class ArchitectureTests(SynchronousTestCase):
    """docs/architecture.md."""

    def test_every_piece_is_named(self) -> None:
        """Each module and each folder of the package has its place in the table."""
        text = (DOCS / "architecture.md").read_text("utf-8")
        table = text.partition("## The pieces")[2].partition("\n## ")[0]
        for path in PACKAGE.iterdir():
            if path.name.startswith(("_", ".")) or path.name == "py.typed":
                continue
            shown = f"`{path.name}`" if path.is_file() else f"`{path.name}/"
            self.assertIn(shown, table)


class GuideTests(SynchronousTestCase):
    """Snippets and tables."""

    def setUp(self) -> None:
        self.text = GUIDE.read_text("utf-8")

    def test_telegraf_snippet(self) -> None:
        """The snippet shown is the one shipped, without its comments."""
        [shown] = [block for block in self.toml_blocks() if "[[inputs.execd]]" in block]
        shipped = (DEPLOY / "telegraf" / "metrics-agent.conf").read_text()
        self.assertEqual(parse_toml(shown), parse_toml(shipped))
        [block] = parse_toml(shipped)["inputs"]["execd"]
        self.assertEqual(
            block,
            {
                "command": ["/usr/local/bin/metrics-agent"],
                "signal": "none",
                "restart_delay": "10s",
                "stop_on_error": False,
                "data_format": "influx",
            },
        )

    def toml_blocks(self) -> list[str]:
        """Return the fenced blocks of TOML."""
        return re.findall(r"```toml\n(.*?)```", self.text, re.DOTALL)

    def test_telegraf_buffer(self) -> None:
        """What the guide sets in Telegraf's own section is in the shipped snippets' comments."""
        shown = [block for block in self.toml_blocks() if "[agent]" in block]
        self.assertEqual(len(shown), 2)
        snippet = (DEPLOY / "telegraf" / "metrics-agent.conf").read_text()
        for block in shown:
            for line in block.splitlines()[1:]:
                self.assertIn(f"##   {line.strip()} ", snippet)
        text = (DEPLOY / "telegraf" / "metrics-agent-socket.conf").read_text()
        self.assertIn('buffer_strategy = "disk"', text)

    def test_no_secret_in_a_snippet(self) -> None:
        """Every user may read them, so none suggests a place for a password."""
        for path in (DEPLOY / "telegraf").glob("*.conf"):
            self.assertNotRegex(path.read_text(), r"(?i)password\s*=", path.name)

    def test_exit_codes(self) -> None:
        """Every exit code of the program is in the table."""
        shown = set(re.findall(r"^\| (\d+) \|", self.text, re.MULTILINE))
        self.assertLessEqual({str(int(code)) for code in ExitCode}, shown)

    def test_socket(self) -> None:
        """The address in Telegraf's snippet, the guide and the drop-in's directory agree."""
        path = "/run/telegraf/metrics-agent.sock"
        snippet = (DEPLOY / "telegraf" / "metrics-agent-socket.conf").read_text()
        [block] = parse_toml(snippet)["inputs"]["socket_listener"]
        self.assertEqual(block["service_address"], f"unix://{path}")
        self.assertIn(f"unix:path={path}", self.text)
        self.assertIn(f"unix:path={path}", (DEPLOY / "install.sh").read_text())
        drop_in = DEPLOY / "systemd" / "telegraf.service.d" / "metrics-agent-socket.conf"
        self.assertIn("RuntimeDirectory=telegraf\n", drop_in.read_text())

    def test_topic(self) -> None:
        """The topic in Telegraf's snippet and that of the agent in the guide agree."""
        snippet = (DEPLOY / "telegraf" / "metrics-agent-mqtt.conf").read_text()
        [block] = parse_toml(snippet)["inputs"]["mqtt_consumer"]
        [topic] = block["topics"]
        self.assertIn(f'#   output = "mqtt://127.0.0.1/{topic}"\n', snippet)
        [shown] = [each for each in map(parse_toml, self.toml_blocks()) if "mqtt" in str(each)]
        self.assertEqual(read_output(shown["output"]).topic, topic)
        self.assertEqual(
            (block["qos"], block["persistent_session"], block["topic_tag"]), (1, True, "")
        )
        for setting in ("max_inflight_messages 100", "metric_buffer_limit = 50000"):
            self.assertIn(setting, self.text)
            self.assertIn(setting, snippet)

    def test_mosquitto(self) -> None:
        """The settings for mosquitto are ones that it knows."""
        mosquitto = find("mosquitto")
        after = self.text.partition("A file for `/etc/mosquitto/conf.d/`:\n\n")[2]
        settings = after.partition("\n\n")[0]
        self.assertIn("upgrade_outgoing_qos true", settings)
        directory = Path(self.mktemp()).absolute()
        directory.mkdir()
        config = directory / "mosquitto.conf"
        port = free_port()
        for extra, fine in (("", True), ("\nno_such_setting true", False)):
            config.write_text(
                f"{settings}{extra}\npersistence_location {directory}/\nlistener {port} 127.0.0.1\n"
                f"allow_anonymous true\nuser root\n"
            )
            self.assertEqual(self.runs(mosquitto, config), fine)

    def runs(self, mosquitto: str, config: Path) -> bool:
        """Start a broker and return whether it stays up long enough to have read its file."""
        with subprocess.Popen(
            [mosquitto, "-c", config], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as broker:
            assert broker.stderr is not None
            deadline_s = time.monotonic() + 30
            for line in broker.stderr:
                if "running" in line or "Error" in line or time.monotonic() > deadline_s:
                    # A SIGTERM just before its main loop begins would be forgotten.
                    broker.kill()
                    return "running" in line
        return False
