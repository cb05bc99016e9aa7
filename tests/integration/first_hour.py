"""A machine and a plug for docs/first-hour.md: its commands and files, run below one directory.

What the page does to a whole machine is led into the directory: paths, ports, `sudo`, and
`systemctl`, which starts the real mosquitto, VictoriaMetrics and agent. Packages and users are not
installed (`tests.deploy` tries `deploy/install.sh`), and nothing is fetched.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from tests.integration.broker import free_port
from tests.integration.load import control_packet, mqtt_string
from tests.integration.watching import argv, environment
from tests.needs import find

__all__ = ["Block", "CommandError", "House", "Plug", "blocks", "differs"]

LIMIT_S: Final = 60
_LOGIN_AND_CLEAN: Final = 0xC2
_ACCEPTED: Final = b"\x20\x02\0\0"
_STORED: Final = "curl -s http://127.0.0.1:8428/api/v1/query?query=electricity_power"
_QUICKER: Final = {
    "sleep 15": "sleep 4",
    "--seconds 15": "--seconds 3",
    "sleep 2\n": "sleep 1\n",
    "sleep 30\n": f"until {_STORED} | grep -q kettle; do sleep 0.1; done\n",
}
"""The plug sends ten times as often as the page says."""
_SHOWN_AT_ONCE: Final = "-search.latencyOffset=1s"
"""VictoriaMetrics holds back what is newer than 30 s otherwise."""

_SUDO: Final = '[ "$1" = -u ] && shift 2; exec "$@"'
_NOTHING: Final = ":"
_CURL: Final = 'case "$*" in *github.com*) ;; *) exec {curl} "$@" ;; esac'
_INSTALL: Final = 'exec /usr/bin/install -m 640 /dev/stdin "${@: -1}"'
_AGENT: Final = """
export STATE_DIRECTORY={root}/var/lib/metrics-agent
exec {agent} "$1" -c {config} "${{@:2}}"
"""
_SYSTEMCTL: Final = """
start() {{  # NAME PORT COMMAND...
    name=$1 port=$2; shift 2
    if [ -e {root}/run/$name ]; then kill $(cat {root}/run/$name); fi
    setsid "$@" >>{root}/log/$name 2>&1 </dev/null &
    echo $! >{root}/run/$name
    until [ ! "$port" ] || (exec 3<>/dev/tcp/127.0.0.1/$port) 2>/dev/null; do sleep 0.05; done
}}
case "$*" in
    daemon-reload) ;;
    "restart mosquitto")
        start mosquitto {mqtt} {mosquitto} -c {root}/etc/mosquitto/mosquitto.conf ;;
    "restart metrics-agent") start metrics-agent "" metrics-agent run ;;
    "enable --now victoria-metrics")
        start victoria-metrics {http} $(sed -n 's/^ExecStart=//p' \
            {root}/etc/systemd/system/victoria-metrics.service) {at_once} ;;
    *) echo "systemctl $*: not expected"; exit 1 ;;
esac
"""
_MOSQUITTO: Final = """
persistence true
persistence_location {root}/var/lib/mosquitto/
user {user}
include_dir {root}/etc/mosquitto/conf.d
"""
"""As Debian's own file, with the user of the test."""


class CommandError(AssertionError):
    """A command of the page has failed."""


@frozen
class Block:
    """A block of a page that is fenced.

    Attributes:
        language: behind the fence.
        text: what is in it.
    """

    language: str
    text: str

    @property
    def path(self) -> str:
        """Where the block belongs that is a file: its first line says so."""
        found = re.match(r"# (/\S+)\n", self.text)
        return found[1] if found else ""


def blocks(page: str) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    for language, text in re.findall(r"^```(\w+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        yield Block(language, text)


def differs(expected: str, found: str) -> str:
    """Return how an output differs from what a page shows; empty if it does not.

    Args:
        expected: lines that follow each other; ``…`` is anything in a line, a line of its own any
            lines.
        found: has them somewhere.
    """
    patterns = [
        r"(?:.*\n)*?" if line == "…" else ".*".join(map(re.escape, line.split("…"))) + r"\s*\n"
        for line in expected.splitlines()
    ]
    if re.search("^" + "".join(patterns), found, re.MULTILINE):
        return ""
    return f"expected:\n{expected}\nfound:\n{found}"


class House:
    """The machine; `end` ends what runs on it.

    Attributes:
        root: below which everything is.
        broker: the port of mosquitto.
        database: the port of VictoriaMetrics.
    """

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="house-"))
        self.broker, self.database = free_port(), free_port()
        for each in (
            *("bin", "run", "log", "config", "deploy", "etc/mosquitto/conf.d"),
            *("etc/metrics-agent", "etc/systemd/system", "var/lib/mosquitto"),
            *("var/lib/metrics-agent", "etc/telegraf/telegraf.d"),
        ):
            (self.root / each).mkdir(parents=True)
        words = {
            "root": self.root,
            "mqtt": self.broker,
            "http": self.database,
            "mosquitto": find("mosquitto"),
            "curl": find("curl"),
            "agent": shlex.join(argv("metrics-agent")),
            "config": self.root / "etc/metrics-agent/metrics-agent.toml",
            "at_once": _SHOWN_AT_ONCE,
            "user": os.environ.get("USER", "root") if os.getuid() else "root",
        }
        (self.root / "etc/mosquitto/mosquitto.conf").write_text(_MOSQUITTO.format(**words))
        for tool in ("pub", "sub"):
            options = f"-p {self.broker}\n"
            (self.root / f"config/mosquitto_{tool}").write_text(options)
        for name, script in {
            "sudo": _SUDO,
            **dict.fromkeys(("apt", "useradd", "chown", "tar"), _NOTHING),
            "curl": _CURL.format(**words),
            "install": _INSTALL,
            "metrics-agent": _AGENT.format(**words),
            "systemctl": _SYSTEMCTL.format(**words),
            "../deploy/install.sh": _NOTHING,
        }.items():
            path = self.root / "bin" / name
            path.write_text(f"#!/bin/bash\n{script}\n", "utf-8")
            path.chmod(0o755)
        self.environ = environment(
            {
                "PATH": f"{self.root}/bin:{os.environ['PATH']}:/usr/sbin:/sbin",
                "XDG_CONFIG_HOME": str(self.root / "config"),
                "HOME": str(self.root),
            }
        )

    def here(self, text: str) -> str:
        """Return a text of the page with the paths and ports of this machine."""
        for there, here in (
            ("/usr/local/bin/victoria-metrics-prod", find("victoria-metrics")),
            ("/etc/", f"{self.root}/etc/"),
            ("/var/lib/", f"{self.root}/var/lib/"),
            *_QUICKER.items(),
            ("1883", str(self.broker)),
            ("8428", str(self.database)),
        ):
            text = text.replace(there, here)
        return text

    def there(self, text: str) -> str:
        """Return an output with the paths and ports of the page."""
        text = text.replace(str(self.root), "")
        text = text.replace(str(self.broker), "1883").replace(str(self.database), "8428")
        return text.replace("Collected in 3 s", "Collected in 15 s")

    def write(self, path: str, text: str) -> None:
        """Write a file of the page."""
        Path(f"{self.root}{path}").write_text(self.here(text), "utf-8")

    def run(self, script: str) -> str:
        """Run commands of the page in one shell; return what they print.

        Raises:
            CommandError: one of them fails.
        """
        done = subprocess.run(
            ["bash", "-ec", self.here(script)],
            cwd=self.root,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        if done.returncode:
            raise CommandError(f"{script}\n{done.stdout}\n{self.log()}")
        return self.there(done.stdout)

    def log(self) -> str:
        """Return the logs of what runs."""
        return "\n".join(path.read_text("utf-8") for path in (self.root / "log").iterdir())

    def end(self) -> None:
        """End everything and remove the directory."""
        for path in (self.root / "run").iterdir():
            pid = int(path.read_text())
            try:
                os.killpg(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        shutil.rmtree(self.root, ignore_errors=True)


class Plug:
    """A plug that is set up by the commands of its console, and sends as firmware 15.2 does.

    Args:
        console: lines such as ``Backlog MqttHost 10.0.0.2; Topic kettle``.
        house: whose broker it sends to, whatever the address in ``MqttHost``.
    """

    def __init__(self, console: str, house: House) -> None:
        commands = re.findall(r"(\w+) ([^;\n]+)", console.replace("Backlog ", ""))
        self.settings = {name: value.strip() for name, value in commands}
        self._house = house
        self._socket = self._connect()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Pull it."""
        self._ended.set()
        self._thread.join()
        self._socket.close()

    def _connect(self) -> socket.socket:
        given = self.settings
        port = int(self._house.here(given["MqttPort"]))
        connection = socket.create_connection(("127.0.0.1", port), LIMIT_S)
        login = mqtt_string(given["MqttUser"]) + mqtt_string(given["MqttPassword"])
        variable = mqtt_string("MQTT") + bytes([4, _LOGIN_AND_CLEAN]) + b"\0\0"
        connection.sendall(control_packet(0x10, variable + mqtt_string("DVES_D31311") + login))
        answer = connection.recv(4)
        assert answer == _ACCEPTED, f"the broker answers {answer!r}"
        return connection

    def _publish(self, messages: dict[str, str | dict[str, Any]], *, retain: bool = False) -> None:
        """Send messages at once, as a plug does: who subscribes gets all of them or none."""
        packets = []
        for topic, message in messages.items():
            text = (
                message if isinstance(message, str) else json.dumps(message, separators=(",", ":"))
            )
            packets.append(control_packet(0x30 | retain, mqtt_string(topic) + text.encode()))
        self._socket.sendall(b"".join(packets))

    def _send(self) -> None:
        given = self.settings
        topic = given["Topic"]
        announcement = {
            "ip": "192.168.1.23",
            "dn": given["DeviceName"],
            "fn": [given["FriendlyName1"], *[None] * 7],
            "hn": f"{topic}-4881",
            "mac": "C8C9A3D31311",
            "md": "NOUS A1T",
            "ty": 0,
            "if": 0,
            "cam": 0,
            "ofln": "Offline",
            "onln": "Online",
            "state": ["OFF", "ON", "TOGGLE", "HOLD"],
            "sw": "15.2.0",
            "t": topic,
            "ft": "%prefix%/%topic%/",
            "tp": ["cmnd", "stat", "tele"],
            "rl": [1, *[0] * 7],
            "ver": 1,
        }
        config = "tasmota/discovery/C8C9A3D31311/config"
        self._publish({f"tele/{topic}/LWT": "Online", config: announcement}, retain=True)
        started_s = time.monotonic()
        period_s = int(given["TelePeriod"]) / 10
        while not self._ended.wait(period_s):
            up_s = int(time.monotonic() - started_s)
            now = {"Time": time.strftime("%Y-%m-%dT%H:%M:%S")}
            state = {
                **now,
                "Uptime": f"0T00:00:{up_s:02}",
                "UptimeSec": up_s,
                "Heap": 25,
                "SleepMode": "Dynamic",
                "Sleep": 50,
                "LoadAvg": 19,
                "MqttCount": 1,
                "POWER": "ON",
                "Wifi": {
                    "AP": 1,
                    "SSId": "home",
                    "BSSId": "00:11:22:33:44:55",
                    "Channel": 6,
                    "Mode": "11n",
                    "RSSI": 78,
                    "Signal": -61,
                    "LinkCount": 1,
                    "Downtime": "0T00:00:03",
                },
            }
            energy = {
                "TotalStartTime": "2026-11-01T10:00:00",
                "Total": 3.185,
                "Yesterday": 0.243,
                "Today": 0.117,
                "Period": 2,
                "Power": 1987 + up_s % 7,
                "ApparentPower": 1991,
                "ReactivePower": 126,
                "Factor": 1.00,
                "Voltage": 229,
                "Current": 8.694,
            }
            sensor = {**now, "ENERGY": energy}
            self._publish({f"tele/{topic}/STATE": state, f"tele/{topic}/SENSOR": sensor})
