"""What the tests in Debian trees share: a user with a clone, and the installed agent."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import attrs
from line_protocol_parser import parse_line
from twisted.trial.unittest import SynchronousTestCase

from tests.bare.checkout import archive
from tests.bare.tree import Tree, base_layers
from tests.integration.broker import free_port
from tests.integration.mqtt_agent import announcement

__all__ = ["CLONE", "CONFIG", "STATE", "USER", "Agent", "InstalledCase", "TreeCase", "files_of"]

USER = "alex"
"""An ordinary user, who may use sudo where it is installed."""
CLONE = "metrics-agent"
"""Of this repository, in the user's home directory."""
CONFIG = "/etc/metrics-agent/metrics-agent.toml"
STATE = "/var/lib/metrics-agent"

_TELEGRAF = "useradd --system --home-dir /etc/telegraf --shell /bin/false telegraf && \
mkdir -p /etc/telegraf/telegraf.d /etc/systemd/system"
"""What Telegraf's package and systemd bring."""
_WAIT_LIMIT_S = 30.0


class TreeCase(SynchronousTestCase):
    """The release to try, and its trees."""

    release = ""
    timeout = 600

    def tree_with_user(self, *, server: bool = False, keep: Path | None = None) -> Tree:
        """Return a tree with what README asks for, and a user's clone.

        Args:
            server: with a broker and sudo too.
            keep: see `Tree`.
        """
        tree = Tree(self, base_layers(self, self.release, server=server), keep)
        tree.run(f"useradd --create-home {USER} && install -d -o {USER} /home/{USER}/{CLONE}")
        subprocess.run(
            tree.command(f"tar -C {CLONE} -xf -", USER), input=archive(), check=True, timeout=60
        )
        if server:
            tree.write(f"/etc/sudoers.d/{USER}", f"{USER} ALL=(ALL) NOPASSWD: ALL\n")
        return tree

    def wait_for(
        self, what: Callable[[], object], name: str, limit_s: float = _WAIT_LIMIT_S
    ) -> None:
        """Wait until something is true.

        Raises:
            AssertionError: it took too long.
        """
        deadline_s = time.monotonic() + limit_s
        while not what():
            if time.monotonic() > deadline_s:
                raise AssertionError(f"{name} took longer than {limit_s} s")
            time.sleep(0.05)


class InstalledCase(TreeCase):
    """A tree in which a user has installed the agent with sudo, and a broker runs."""

    def setUp(self) -> None:
        layers = base_layers(self, self.release, server=True)
        if self.release not in _INSTALLED:
            _INSTALLED[self.release] = _install(self)
        self.installed = _INSTALLED[self.release]
        self.tree = Tree(self, [*layers, self.installed.layer])

    def as_user(self, command: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command line as the ordinary user, in the clone."""
        return self.tree.run(f"cd {CLONE} && {command}", user=USER, check=check)

    def start_as_user(self, command: str) -> subprocess.Popen[str]:
        """Start a command line as the ordinary user, in the clone."""
        process = subprocess.Popen(
            self.tree.command(f"cd {CLONE} && exec {command}", USER),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def start_broker(self) -> int:
        """Start mosquitto and return its port."""
        port = free_port()
        self.tree.write(
            "/run/mosquitto.conf",
            f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n",
        )
        log = Path(self.mktemp()).absolute()
        with log.open("wb") as output:
            broker = subprocess.Popen(
                self.tree.command("exec mosquitto -c /run/mosquitto.conf"),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.addCleanup(broker.wait, 30)
        self.addCleanup(broker.kill)
        publish = f"mosquitto_pub -p {port} -t test -n"
        self.wait_for(
            lambda: (
                broker.poll() is not None or self.tree.run(publish, check=False).returncode == 0
            ),
            "the start of the broker",
        )
        self.assertIsNone(broker.poll(), log.read_text("utf-8"))
        return port

    def configure(self, port: int) -> None:
        """Have the installed agent collect from a Tasmota device at the broker."""
        self.tree.path(CONFIG).write_text(
            f'[modules.tasmota]\nenabled = true\nbroker = "tcp://localhost:{port}"\n', "utf-8"
        )
        discovery = "tasmota/discovery/A4CF12C0FFEE/config"
        self.publish(port, discovery, [announcement("plug").decode()], "-r")

    def send_power(self, port: int, values: range) -> None:
        """Publish a value of the device's power in each of so many messages, at QoS 1."""
        self.publish(port, "tele/plug/SENSOR", [f'{{"ENERGY":{{"Power":{n}}}}}' for n in values])

    def publish(self, port: int, topic: str, payloads: list[str], *options: str) -> None:
        """Publish messages at QoS 1; the broker has them when this returns."""
        command = self.tree.command(
            f"mosquitto_pub -p {port} -q 1 -t {topic} -l {' '.join(options)}"
        )
        text = "".join(f"{payload}\n" for payload in payloads)
        subprocess.run(command, input=text, text=True, check=True, timeout=60)

    def start_agent(self) -> Agent:
        """Start the installed agent as Telegraf does, and wait until its modules are started."""
        agent = Agent(self)
        self.addCleanup(agent.kill)
        self.wait_for(
            lambda: "Started with modules" in agent.log() or agent.process.poll() is not None,
            "the start of the agent",
        )
        self.assertIsNone(agent.process.poll(), agent.log())
        return agent


class Agent:
    """The installed command as a child with pipes, run by the user telegraf.

    Attributes:
        process: the child; its end is the agent's.
    """

    def __init__(self, case: InstalledCase) -> None:
        self._case = case
        self._output, self._log = (Path(case.mktemp()).absolute() for _ in range(2))
        with self._output.open("wb") as output, self._log.open("wb") as log:
            self.process = subprocess.Popen(
                case.tree.command("cd / && exec /usr/local/bin/metrics-agent", "telegraf"),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=log,
            )

    def log(self) -> str:
        """Return what it has logged."""
        return self._log.read_text("utf-8", "replace")

    def powers(self) -> list[float]:
        """Return the values of the device's power that it has delivered, each once, in order."""
        lines = self._output.read_text("utf-8").splitlines(keepends=True)
        fields = [parse_line(line)["fields"] for line in lines if line.endswith("\n")]
        return sorted({each["power"] for each in fields if "power" in each})

    def wait_for_powers(self, values: range) -> None:
        """Wait until it has delivered just these values."""
        wanted = [float(value) for value in values]
        self._case.wait_for(lambda: self.powers() == wanted, f"values {values}, {self.log()}")

    def stop(self) -> None:
        """Close its stdin, as Telegraf does, and wait for an end with exit code 0."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self._case.assertEqual(self.process.wait(30), 0, self.log())

    def kill(self) -> None:
        """End it if it still runs."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.kill()
        self.process.wait(30)


@attrs.frozen
class Installed:
    """A tree after `sudo deploy/install.sh`.

    Attributes:
        layer: what the installation changed.
        files_before: every path of the tree before it.
        said: what the script wrote.
    """

    layer: Path
    files_before: frozenset[str]
    said: str


_INSTALLED: dict[str, Installed] = {}
"""By release, for the time of this run."""


def files_of(tree: Tree) -> frozenset[str]:
    """Return every path of a tree, apart from what is gone with the machine's next start."""
    return frozenset(tree.run("find / -xdev ! -path '/tmp/*'").stdout.splitlines())


def _install(case: TreeCase) -> Installed:
    """Install the agent as the user would, with what Telegraf's package brings beforehand."""
    layer = Path(tempfile.mkdtemp(prefix=f"{case.release}-", dir=Path.cwd()))
    tree = case.tree_with_user(server=True, keep=layer / "layer")
    tree.run(_TELEGRAF)
    files = files_of(tree)
    said = tree.run(f"cd {CLONE} && sudo deploy/install.sh", user=USER)
    tree.end()
    return Installed(layer / "layer", files, said.stdout + said.stderr)
