"""From nothing to a picture: deploy/compose.yaml as plain processes, and the dashboard."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.deploy.paths import DEPLOY
from tests.integration.broker import Mosquitto
from tests.integration.case import AgentCase
from tests.integration.known_home import DAY_S
from tests.integration.victoria import Victoria
from tests.integration.watching import argv, environment, pause
from tests.needs import require

COMPOSE = DEPLOY / "compose"
LIMIT_S = 60
STEP = "15s"
SHOWN_S = 15 * 60
"""How much of the time the dashboard is asked for."""


class _Victoria(Victoria):
    """The database as compose.yaml starts it, but for its directory and port."""

    def __init__(self, case: TestCase, command: list[str]) -> None:
        super().__init__(case)
        self._command = command

    def arguments(self) -> list[str]:
        directory, *others = self._command
        assert directory.startswith("-storageDataPath=/")
        return [
            f"-httpListenAddr=127.0.0.1:{self.port}",
            f"-storageDataPath={self._directory}/data",
            *others,
        ]


class PictureTests(AgentCase):
    """Broker, agent, database and devices with the files of deploy/, on loopback."""

    timeout = 3 * LIMIT_S

    async def test_every_panel_shows_something(self) -> None:
        """Each query of the dashboard has data, the agent is healthy, and all devices are known."""
        require("PyYAML")
        import yaml

        services = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))["services"]
        victoria = _Victoria(self, services["victoriametrics"]["command"])
        broker = self.broker()
        await victoria.start()
        self.run_devices(services["devices"]["entrypoint"], broker)
        self.configure(
            self.adapted(
                "metrics-agent.toml",
                ("tcp://mosquitto:1883", broker.url),
                ("http://victoriametrics:8428", victoria.url),
                # The rest is as it is, but sooner.
                ('self_metrics_interval = "10s"', 'self_metrics_interval = "2s"'),
                ('last_seen_interval = "1m"', 'last_seen_interval = "10s"'),
            )
        )
        await self.start()
        dashboard = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text("utf-8"))
        waiting = [query for panel in dashboard["panels"] for query in panel.get("targets", ())]
        self.assertGreater(len(waiting), 20)
        deadline_s = time.monotonic() + LIMIT_S
        while waiting:
            self.assertLess(time.monotonic(), deadline_s, f"no data: {waiting}")
            await pause(0.5)
            await victoria.flush()
            waiting = [query for query in waiting if not await self.shown(victoria, query)]
        await self.assert_healthy(services["agent"]["healthcheck"]["test"])
        devices = await victoria.query(
            'count by (device) (last_over_time({device!=""}[5m]))', time.time()
        )
        names = sorted(each["metric"]["device"] for each in devices)
        # Six of Tasmota; three inverters, their total, battery, meter and DTU; a sensor and a node.
        self.assertEqual(len(names), 15, names)

    async def shown(self, victoria: Victoria, query: dict[str, Any]) -> bool:
        """Ask as Grafana does, over a time or for now, and say if there is something."""
        # What the database may leave out: compose.yaml sets 1 s.
        now_s = time.time() - 1
        if query["instant"]:
            return bool(await victoria.query(query["expr"], now_s))
        step = query.get("interval", STEP)
        start_s = now_s - SHOWN_S if step == STEP else now_s - now_s % DAY_S
        return bool(await victoria.query_range(query["expr"], start_s, now_s, step))

    def adapted(self, name: str, *changes: tuple[str, str]) -> str:
        """Return a file of compose.yaml with other addresses; each must be in it."""
        text = (COMPOSE / name).read_text("utf-8")
        for old, new in changes:
            self.assertIn(old, text)
            text = text.replace(old, new)
        return text

    def broker(self) -> Mosquitto:
        """Start mosquitto with the configuration of compose.yaml."""
        broker = Mosquitto()
        self.addCleanup(broker.remove)
        text = self.adapted(
            "mosquitto.conf",
            ("listener 1883", f"listener {broker.port} 127.0.0.1"),
            ("/mosquitto/data/", f"{broker.directory}/"),
        )
        own = "user root\n" if os.getuid() == 0 else ""
        (broker.directory / "conf").write_text(own + text, "utf-8")
        broker.start_again()
        return broker

    def run_devices(self, entrypoint: list[str], broker: Mosquitto) -> None:
        """Start the simulated devices as compose.yaml does, without waiting between messages."""
        python, *words = entrypoint
        self.assertEqual((Path(python).name, words[-1]), ("python", "mosquitto"))
        where = ["127.0.0.1", "--port", str(broker.port), "--interval", "0.5"]
        process = subprocess.Popen(
            [sys.executable, *words[:-1], *where], stdin=subprocess.DEVNULL, env=environment()
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)

    async def assert_healthy(self, healthcheck: list[str]) -> None:
        """Run the health check of compose.yaml, for this configuration."""
        how, command = healthcheck
        self.assertEqual(how, "CMD-SHELL")
        status = shlex.join([*argv("metrics-agent", "status"), "-c", str(self.config_path)])
        self.assertIn("metrics-agent status", command)
        done = await deferToThread(
            subprocess.run,
            ["sh", "-c", command.replace("metrics-agent status", status)],
            env=environment(),
            capture_output=True,
            check=False,
            timeout=LIMIT_S,
        )
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, b"", b""))
