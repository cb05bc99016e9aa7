"""compose.yaml, read: there is no engine where the tests run.

`tests.integration.test_picture` runs what it starts as plain processes.
"""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.config import load
from metrics_agent.modules import find_kind, known_kinds
from tests.deploy.paths import DEPLOY
from tests.deploy.test_dockerfile import instructions
from tests.integration.watching import environment
from tests.needs import NEEDS, require

FILE = DEPLOY / "compose.yaml"
KEYS = {
    *("build", "cap_drop", "command", "entrypoint", "healthcheck", "hostname", "image", "init"),
    *("mem_limit", "pids_limit", "ports", "read_only", "restart", "security_opt", "volumes"),
}
"""Of a service, of those that the compose specification has."""
LISTEN = {"mosquitto": 1883, "victoriametrics": 8428}


class ComposeTests(SynchronousTestCase):
    """What it says is there."""

    def setUp(self) -> None:
        require("PyYAML")
        import yaml

        self.compose: dict[str, Any] = yaml.safe_load(FILE.read_text("utf-8"))
        self.services: dict[str, dict[str, Any]] = self.compose["services"]
        self.ours = [self.services["agent"], self.services["devices"]]

    def test_keys(self) -> None:
        """Each is one that compose knows, or it would refuse the file."""
        self.assertEqual(set(self.compose), {"name", "services", "volumes"})
        self.assertEqual({key for each in self.services.values() for key in each} - KEYS, set())

    def test_volumes(self) -> None:
        """What is mounted is a file or directory of the checkout, read-only, or a named volume."""
        used = set()
        for service in self.services.values():
            for volume in service.get("volumes", ()):
                source, target, *mode = volume.split(":")
                self.assertTrue(target.startswith("/"), volume)
                if source.startswith("."):
                    self.assertTrue((FILE.parent / source).exists(), volume)
                    self.assertEqual(mode, ["ro"], volume)
                else:
                    used.add(source)
        self.assertEqual(used, set(self.compose["volumes"]))

    def test_image(self) -> None:
        """Ours is a target of the Dockerfile, and what is run is in it."""
        lines = list(instructions())
        for service in self.ours:
            build = service["build"]
            where = (build["context"], build["dockerfile"])
            self.assertEqual(where, ("..", "deploy/Dockerfile"))
            self.assertIn(build["target"], {line.stage for line in lines})
        (volume,) = {line.rest for line in lines if line.word == "VOLUME"}
        self.assertIn(f"agent:{volume}", self.services["agent"]["volumes"])
        python, option, module, host = self.services["devices"]["entrypoint"]
        copied = [line.rest.split()[-1] for line in lines if line.word == "COPY"]
        self.assertIn(python.removesuffix("/bin/python"), copied)
        self.assertEqual(option, "-m")
        self.assertIn(host, self.services)
        # The image has what the agent needs; the demo's own broker and DTU need more.
        words = f"import sys; sys.modules.update(amqtt=None, websockets=None); import {module}"
        subprocess.run([sys.executable, "-c", words], env=environment(), check=True, timeout=60)

    def test_rights(self) -> None:
        """Ours write nowhere but into the volume; ports are open on this machine alone."""
        for service in self.ours:
            self.assertTrue(service["read_only"])
            self.assertEqual(service["cap_drop"], ["ALL"])
        ports = {
            name: port
            for name, service in self.services.items()
            for port in service.get("ports", ())
        }
        self.assertEqual(ports, {name: f"127.0.0.1:{port}:{port}" for name, port in LISTEN.items()})

    def test_addresses(self) -> None:
        """The agent's configuration loads, and leads to the services and their ports."""
        (mounted,) = [
            volume
            for volume in self.services["agent"]["volumes"]
            if "/etc/metrics-agent/" in volume
        ]
        path = FILE.parent / mounted.split(":")[0] / "metrics-agent.toml"
        config = load(path, find_kind, known_kinds)
        self.assertEqual((config.faults, config.warnings), ((), ()))
        found = dict(
            re.findall(r'^\w+ = "\w+://([a-z]+):(\d+)', path.read_text("utf-8"), re.MULTILINE)
        )
        self.assertEqual({name: int(port) for name, port in found.items()}, LISTEN)
        broker = (FILE.parent / "compose" / "mosquitto.conf").read_text("utf-8")
        self.assertIn(f"\nlistener {LISTEN['mosquitto']}\n", broker)

    def test_the_database_is_the_one_that_is_tested(self) -> None:
        image = self.services["victoriametrics"]["image"]
        self.assertEqual(image.partition(":")[2], NEEDS["victoria-metrics"].how.partition("@")[2])
