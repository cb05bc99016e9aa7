"""The ways from a broker to a database, side by side: ours over HTTP, and Telegraf's.

Each has the same numbered messages on a session of its own at one broker, and writes to the same
database. What became of each message is asked there and at the broker when all have ended.

- *http*: the agent with ``output = "http://..."``.
- *mqtt*: the agent with ``output = "mqtt://..."``, and Telegraf that reads that topic.
- *execd*: the agent under Telegraf's ``inputs.execd``, which writes with ``outputs.influxdb``.
- *consumer*: Telegraf's own ``inputs.mqtt_consumer``, with the same output.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Final

from attrs import frozen
from twisted.trial.unittest import TestCase

from tests.faults.numbered import numbers_filter
from tests.faults.publisher import Publisher
from tests.integration.case import install_modules
from tests.integration.parent import HarnessParent
from tests.integration.telegraf import SHIPPED, changed, telegraf_path
from tests.integration.watching import argv, children, environment, is_alive, python_path, until

__all__ = ["Consumer", "Execd", "Http", "LinePublisher", "Target", "Telegraf", "Way"]

_STOP_S: Final = 30.0
_MODULES: Final = {"numbered": "tests.faults.numbered:NUMBERED"}

_AGENT: Final = """
{top}
state_dir = "{directory}/state"
self_metrics_interval = "1s"
{output}
[modules."numbered:{name}"]
enabled = true
broker = "{broker}"
client_id = "{name}"
reconnect_min = "100ms"
reconnect_max = "1s"
wall_clock = true
"""

_TELEGRAF: Final = """
[agent]
  flush_interval = "1s"
  omit_hostname = true
  {agent}
[[outputs.influxdb]]
  urls = ["{url}"]
  database = "telegraf"
  skip_database_creation = true
  {tls}
"""
"""With its defaults: batches of 1,000, a buffer of 10,000 metrics, 5 s for a request."""

_CONSUMER: Final = """
[[inputs.mqtt_consumer]]
  servers = ["{broker}"]
  topics = ["{topic}"]
  topic_tag = ""
  qos = 1
  client_id = "{name}"
  persistent_session = true
  data_format = "influx"
"""

TOPIC: Final = "lines"
TELEGRAF: Final = "telegraf"
"""The topic of the agent's lines, and who reads it."""

_REJECTED: Final = re.compile(r"(\d+) were dropped earlier because the output rejected them")


@frozen
class Target:
    """Where all ways write to.

    Attributes:
        url: of the database, without a path.
        authority: the file of who has signed its certificate; empty without TLS.
    """

    url: str
    authority: str = ""


class LinePublisher(Publisher):
    """Sends each number as line protocol too, for who reads no topics."""

    def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> None:
        """Send a number."""
        del payload
        _numbers, receiver, level, number = topic.split("/")
        line = f"numbers,qos={level},to={receiver} number={number}i"
        super().publish(topic, line.encode(), qos=qos, retain=retain)


class Way:
    """One of them; ends with the test.

    Args:
        case: whose cleanup ends it.
        broker: its URL.
        target: the database.

    Attributes:
        name: of the table, the client id and the topics.
    """

    name: str

    def __init__(self, case: TestCase, broker: str, target: Target) -> None:
        self.case = case
        self.broker = broker
        self.target = target
        self.directory = Path(case.mktemp()).absolute()
        self.directory.mkdir()

    def agent_config(self, output: str = "", top: str = "") -> Path:
        """Write the configuration of an agent."""
        path = self.directory / "agent.toml"
        text = _AGENT.format(
            top=top, directory=self.directory, output=output, name=self.name, broker=self.broker
        )
        path.write_text(text, "utf-8")
        path.chmod(0o640)
        return path

    def agent_environment(self) -> dict[str, str]:
        """Make the module known."""
        packages = self.directory / "packages"
        install_modules(packages, _MODULES)
        return {"PYTHONPATH": python_path(packages)}

    @property
    def rejected(self) -> int:
        """How many lines were dropped since the database rejected them, as the log has it."""
        return 0

    def is_connected(self) -> bool:
        """Whether messages pass, as far as its logs say."""
        return True

    def start(self) -> None:
        """Start it."""
        raise NotImplementedError

    async def stop(self) -> None:
        """Stop it in order."""
        raise NotImplementedError

    async def kill_reader(self) -> None:
        """Kill the process that reads from the broker; it is started again."""
        raise NotImplementedError

    def log(self) -> str:
        """Return what it has logged."""
        raise NotImplementedError


class Http(Way):
    """The agent with the database as its output."""

    name = "http"

    def __init__(self, case: TestCase, broker: str, target: Target, path: str) -> None:
        super().__init__(case, broker, target)
        output = '[output_settings]\ntimeout = "5s"\n'  # as Telegraf's
        if target.authority:
            output += f'tls_ca = "{target.authority}"'
        config = self.agent_config(output, f'output = "{target.url}{path}"')
        command = argv("metrics-agent", "-c", str(config))
        env = self.agent_environment()
        self.parent = HarnessParent(case, command, restart_delay_s=0.3, env=env)

    @property
    def rejected(self) -> int:
        return sum(int(match[1]) for match in _REJECTED.finditer(self.log()))

    def is_connected(self) -> bool:
        return _is_connected(self.parent)

    def start(self) -> None:
        self.parent.start()

    async def stop(self) -> None:
        await self.parent.stop()

    async def kill_reader(self) -> None:
        await _kill(self.parent.agent_pid)
        await until(lambda: self.parent.agent_pid, "its next start")

    def log(self) -> str:
        return "\n".join(f"{said.level}! {said.text}" for said in self.parent.log)


class Telegraf(Way):
    """A Telegraf that writes to the database.

    Attributes:
        process: it.
        agent: settings of Telegraf itself.
    """

    agent = ""

    def __init__(self, case: TestCase, broker: str, target: Target) -> None:
        super().__init__(case, broker, target)
        tls = f'tls_ca = "{target.authority}"' if target.authority else ""
        text = self.inputs() + _TELEGRAF.format(url=target.url, tls=tls, agent=self.agent)
        self._config = self.directory / "telegraf.conf"
        self._config.write_text(text, "utf-8")
        self.process: subprocess.Popen[bytes] | None = None
        self._seen: set[int] = set()
        case.addCleanup(self._clean_up)

    def inputs(self) -> str:
        """Return the part of the configuration with the inputs."""
        raise NotImplementedError

    def environment(self) -> dict[str, str] | None:
        """Return what is added to the environment."""
        return None

    def start(self) -> None:
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [telegraf_path(), "--config", str(self._config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment(self.environment()),
                cwd=self.directory,
            )

    async def stop(self) -> None:
        process, self.process = self.process, None
        assert process is not None
        self._seen.update(children(process.pid))
        process.terminate()
        await until(lambda: process.poll() is not None, self.log, _STOP_S)

    async def restart(self) -> None:
        """Stop Telegraf alone in order, and start it."""
        await Telegraf.stop(self)
        self.start()

    async def kill(self) -> None:
        """Kill Telegraf itself, and wait for the end of its children."""
        assert self.process is not None
        found = children(self.process.pid)
        self.process.kill()
        self.process.wait(_STOP_S)
        await until(lambda: not any(map(is_alive, found)), "the end of its children")

    async def kill_reader(self) -> None:
        await self.kill()
        self.start()

    def log(self) -> str:
        path = self.directory / "log"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    async def _clean_up(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self._seen.update(children(self.process.pid))
            self.process.kill()
            self.process.wait(_STOP_S)
        for pid in self._seen:
            if is_alive(pid):
                await _kill(pid)


class Consumer(Telegraf):
    """Telegraf's own input."""

    name = "consumer"

    def inputs(self) -> str:
        return _CONSUMER.format(broker=self.broker, name=self.name, topic=numbers_filter(self.name))


class Mqtt(Consumer):
    """The agent with a topic as its output, and Telegraf that reads it.

    As deploy/telegraf/metrics-agent-mqtt.conf: Telegraf never acknowledges a message of which it
    has dropped a metric, so its buffer has room for all that may be unacknowledged.
    """

    name = "mqtt"
    agent = "metric_buffer_limit = 50000"

    def __init__(self, case: TestCase, broker: str, target: Target) -> None:
        super().__init__(case, broker, target)
        config = self.agent_config("", f'output = "{broker.replace("tcp", "mqtt", 1)}/{TOPIC}"')
        command = argv("metrics-agent", "-c", str(config))
        env = self.agent_environment()
        self.parent = HarnessParent(case, command, restart_delay_s=0.3, env=env)

    def inputs(self) -> str:
        text = _CONSUMER.format(broker=self.broker, name=TELEGRAF, topic=TOPIC)
        return f"{text}  max_undelivered_messages = 100\n"

    def is_connected(self) -> bool:
        # Without a subscriber the agent publishes again only after a while.
        return "mqtt_consumer] Connected" in super().log() and _is_connected(self.parent)

    def start(self) -> None:
        super().start()
        if not self.parent.starts:
            self.parent.start()

    async def stop(self) -> None:
        await self.parent.stop()
        await super().stop()

    async def kill_reader(self) -> None:
        await _kill(self.parent.agent_pid)
        await until(lambda: self.parent.agent_pid, "its next start")

    def log(self) -> str:
        said = "\n".join(f"{said.level}! {said.text}" for said in self.parent.log)
        return f"{super().log()[-1500:]}\n{said[-1500:]}"


class Execd(Telegraf):
    """The agent under Telegraf."""

    name = "execd"

    def inputs(self) -> str:
        command = argv("metrics-agent", "-c", str(self.agent_config()))
        words = ", ".join(f"'{word}'" for word in command)
        settings = {"command": f"[{words}]", "restart_delay": '"300ms"'}
        return changed(SHIPPED.read_text("utf-8"), settings)

    def environment(self) -> dict[str, str] | None:
        return self.agent_environment()

    async def kill_reader(self) -> None:
        assert self.process is not None
        pid = self.process.pid
        await until(lambda: children(pid), "the agent")
        await _kill(children(pid)[0])


def _is_connected(parent: HarnessParent) -> bool:
    """Return whether an agent is connected to the broker and can write to its output."""
    said = "\n".join(each.text for each in parent.log)
    is_up = said.rfind("The output works again") >= said.rfind("Cannot write to the output")
    return "Connected to" in said and is_up


async def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    await until(lambda: not is_alive(pid), "its end")
