"""A cluster of three nats-server on the loopback interface: MQTT 3.1.1 on JetStream."""

from __future__ import annotations

import shutil
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final

from twisted.internet.threads import deferToThread

from tests.integration.broker import free_port
from tests.integration.watching import pause

__all__ = ["HOW", "NODES", "Nats", "Node"]

NODES: Final = 3
HOW: Final = "go install github.com/nats-io/nats-server/v2@v2.11.8"
_READY_LIMIT_S: Final = 60.0
_HEALTH_LIMIT_S: Final = 2.0
_ASK_EVERY_S: Final = 0.1
_CONFIG: Final = """\
server_name: n{number}
listen: "127.0.0.1:{client_port}"
http: "127.0.0.1:{http_port}"
jetstream {{ store_dir: "{directory}/n{number}" }}
cluster {{
  name: metrics
  listen: "127.0.0.1:{cluster_port}"
  routes: [{routes}]
}}
mqtt {{
  listen: "127.0.0.1:{port}"
  stream_replicas: 3
}}
"""


class Node:
    """One of them.

    Attributes:
        number: from 1.
        port: of MQTT.
    """

    def __init__(self, path: str, directory: Path, number: int) -> None:
        self.number = number
        self.port = free_port()
        self.cluster_port = free_port()
        self._http_port = free_port()
        self._path = path
        self._directory = directory
        self._config = directory / f"n{number}.conf"
        self._process: subprocess.Popen[bytes] | None = None

    def configure(self, routes: str) -> None:
        """Write its configuration."""
        text = _CONFIG.format(
            number=self.number,
            client_port=free_port(),
            http_port=self._http_port,
            cluster_port=self.cluster_port,
            port=self.port,
            directory=self._directory,
            routes=routes,
        )
        self._config.write_text(text, "utf-8")

    def start(self) -> None:
        """Start it."""
        with (self._directory / f"n{self.number}.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._path, "-c", str(self._config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def kill(self) -> None:
        """Kill it with -9."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def healthy(self) -> bool:
        """Ask whether it serves, and its part of JetStream has all that the others have."""
        try:
            url = f"http://127.0.0.1:{self._http_port}/healthz"
            with urllib.request.urlopen(url, timeout=_HEALTH_LIMIT_S) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False


class Nats:
    """The cluster; ends with the case.

    Args:
        case: whose cleanup ends it.
        directory: for configuration, logs and streams.
        path: of nats-server; looked for if empty.

    Raises:
        FileNotFoundError: there is none.
    """

    def __init__(self, case: Any, directory: Path, path: str = "") -> None:
        found = path or shutil.which("nats-server")
        found = found or shutil.which("nats-server", path=str(Path.home() / "go/bin"))
        if not found:
            raise FileNotFoundError(f"nats-server is not installed: {HOW}")
        self.nodes = tuple(Node(found, directory, number + 1) for number in range(NODES))
        routes = ", ".join(f'"nats://127.0.0.1:{node.cluster_port}"' for node in self.nodes)
        for node in self.nodes:
            node.configure(routes)
            case.addCleanup(node.kill)

    def start(self) -> None:
        """Start all nodes."""
        for node in self.nodes:
            node.start()

    async def all_healthy(self) -> None:
        """Wait until each node serves and has what the others have."""
        deadline_s = time.monotonic() + _READY_LIMIT_S
        for node in self.nodes:
            while not await deferToThread(node.healthy):
                if time.monotonic() > deadline_s:
                    raise AssertionError(
                        f"node {node.number} of nats-server was not healthy in {_READY_LIMIT_S:g} s"
                    )
                await pause(_ASK_EVERY_S)
