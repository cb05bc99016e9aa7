"""What a real agent has loaded by the time of its first metric: what its modules need, no more."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

LIMIT_S = 30
DEMO = "[modules.demo]\nenabled = true\n"
_IMPORTED = re.compile(r"^import time:.*\| +([\w.]+)$", re.MULTILINE)

MQTT = {"paho", "metrics_agent.transports.mqtt.connection", "metrics_agent.transports.mqtt.engine"}
TASMOTA = {"metrics_agent.modules.tasmota.decode"}
WEBSOCKET = {"wsproto", "metrics_agent.transports.websocket"}
OPENDTU = {"metrics_agent.modules.opendtu.decode"}
HTTP = {"twisted.web", "metrics_agent.transports.http"}
NETATMO = {"oauthlib", "metrics_agent.oauth2", "metrics_agent.modules.netatmo.decode"}
# The reactor looks for OpenSSL in vain, and that is reported as an import too.
TLS = {"cryptography", "metrics_agent.transports.tls"}
# What is there for people, tests and the demonstration, never for a running agent.
NEVER = {
    *("hypothesis", "trial", "twisted.trial", "amqtt", "requests", "numpy"),
    *("metrics_agent.demo", "metrics_agent.testing", "metrics_agent.describe"),
    # Where no one asks the agent, and it has no status page.
    *(
        "metrics_agent.status.snapshot",
        "metrics_agent.status.lines",
        "metrics_agent.commands.asking",
    ),
}
# Imported by Twisted and paho, used by neither in an agent like these.
LATE = {"_ssl", "_hashlib", "asyncio.base_events", "email", "http.client"}
PAGE = {"metrics_agent.status.web.root", "metrics_agent.limited_site"}
JINJA = {"jinja2", "metrics_agent.modules.hadiscovery.templates.jinja"}
ALL = MQTT | TASMOTA | WEBSOCKET | OPENDTU | HTTP | NETATMO | TLS | JINJA | PAGE


class LoadedTests(SynchronousTestCase):
    """Each configuration in a process of its own."""

    def loaded(self, text: str) -> set[str]:
        """Run an agent until its first metric; return what it has imported."""
        path = Path(self.mktemp())
        path.mkdir()
        config = path / "agent.toml"
        config.write_text(f'state_dir = "{path.absolute()}/state"\n{text}{DEMO}')
        argv = [sys.executable, "-X", "importtime", "-m", "metrics_agent", "run", "-c", str(config)]
        with subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            self.addCleanup(process.kill)
            first = process.stdout.readline()
            process.terminate()
            _, errors = process.communicate(timeout=LIMIT_S)
        self.assertTrue(first.startswith("demo"), errors[-2000:])
        return set(_IMPORTED.findall(errors))

    def judge(self, text: str, needed: set[str], unneeded: set[str]) -> None:
        loaded = self.loaded(text)
        self.assertEqual(needed - loaded, set(), "what should be seen here")
        self.assertEqual((unneeded | NEVER) & loaded, set())

    def test_demo(self) -> None:
        """A module that talks to no one."""
        # Its service is imported by name, which -X importtime does not see.
        self.judge("", {"metrics_agent.modules.demo.config"}, ALL | LATE)

    def test_status_page(self) -> None:
        """A web server and what it shows; none of the clients."""
        text = '[status]\nlisten = "tcp:0:interface=127.0.0.1"\n'
        loaded = self.loaded(text)
        self.assertEqual({"twisted.web", *PAGE} - loaded, set())
        self.assertEqual((MQTT | TASMOTA | WEBSOCKET | NETATMO | TLS | JINJA) & loaded, set())

    def test_tasmota(self) -> None:
        """MQTT over TCP."""
        text = '[modules.tasmota]\nenabled = true\nbroker = "tcp://127.0.0.1:1"\n'
        self.judge(text, MQTT | TASMOTA, WEBSOCKET | OPENDTU | HTTP | NETATMO | TLS | LATE)

    def test_opendtu(self) -> None:
        """A WebSocket without TLS."""
        text = '[modules.opendtu]\nenabled = true\nurl = "ws://127.0.0.1:1"\n'
        self.judge(text, WEBSOCKET | OPENDTU, MQTT | TASMOTA | NETATMO | TLS)
