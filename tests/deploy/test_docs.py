"""What docs/deployment.md says, held against what is there."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.process.exit import ExitCode
from tests.deploy.paths import DEPLOY, DOCS
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


class GuideTests(SynchronousTestCase):
    """Links, snippets and tables."""

    def setUp(self) -> None:
        self.text = GUIDE.read_text("utf-8")

    def test_links(self) -> None:
        """Every link leads somewhere: to a file that is there, to a heading of this page."""
        anchors = {anchor(found) for found in re.findall(r"^#+ (.*)$", self.text, re.MULTILINE)}
        for page in (GUIDE, DEPLOY / "README.md"):
            links = re.findall(r"\]\(([^)]+)\)", page.read_text("utf-8"))
            self.assertTrue(links)
            for link in links:
                if link.startswith("#"):
                    self.assertIn(link[1:], anchors)
                else:
                    self.assertTrue((page.parent / link).exists(), link)

    def test_telegraf_snippet(self) -> None:
        """The snippet shown is the one shipped, without its comments."""
        [shown] = re.findall(r"```toml\n(.*?)```", self.text, re.DOTALL)
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

    def test_mosquitto(self) -> None:
        """The settings for mosquitto are ones that it knows."""
        mosquitto = find("mosquitto")
        after = self.text.partition("A file for `/etc/mosquitto/conf.d/`:\n\n")[2]
        settings = after.partition("\n\n")[0]
        self.assertIn("queue_qos0_messages true", settings)
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
        """Start a broker and tell whether it stays up long enough to have read its file."""
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
