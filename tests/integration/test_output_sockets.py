"""The output to a socket of the real Telegraf, plain and over TLS."""

from __future__ import annotations

import os
import re
import shutil
import signal
import tempfile
from pathlib import Path

from tests.integration.broker import Mosquitto, free_port
from tests.integration.case import QUIET, AgentCase
from tests.integration.certificates import Authority
from tests.integration.listener import Listener
from tests.integration.load import Load
from tests.integration.watching import pause, sequences, until

_TIME = re.compile(rb" (\d+)$")
_THIS_YEARS_NS = 1_700_000_000 * 10**9
_IDLE_S = 4


class SocketTests(AgentCase):
    """The agent connects to Telegraf."""

    timeout = 120

    async def run_with(self, listener: Listener, output: str, qos: int, top: str = "") -> None:
        """Start Telegraf, broker, load and agent; wait until all devices are known."""
        self.listener = listener
        await listener.start()
        self.broker = Mosquitto.start(self, settings=[*QUIET, "max_queued_messages 0"])
        self.load = await Load.connect(self, self.broker.port, qos=qos)
        self.configure(self.tasmota(self.broker, f'output = "{output}"\n{top}', qos=qos))
        self.parent_ = await self.start()
        await until(
            lambda: b"\n".join(listener.lines()).count(b"online=") >= len(self.load.devices),
            lambda: f"the devices: {self.parent_.log} {listener.log}",
        )

    def plain(self) -> tuple[Listener, str]:
        address = f"tcp://127.0.0.1:{free_port()}"
        return Listener(self, self.directory, address), address

    def unix(self) -> tuple[Listener, str]:
        # Not in the test's own directory: a socket's path may be 107 characters long.
        short = tempfile.mkdtemp(prefix="listener-")
        self.addCleanup(shutil.rmtree, short)
        address = f"unix://{short}/socket"
        return Listener(self, self.directory, address), address

    def tls(self) -> tuple[Listener, str]:
        authority = Authority(self.directory, "authority")
        port = free_port()
        roots = self.directory / "roots"
        roots.mkdir()
        shutil.copy(authority.path, roots / "authority.pem")
        files = authority.issue("telegraf", "localhost")
        listener = Listener(self, self.directory, f"tcp://127.0.0.1:{port}", files)
        return listener, f"tls:host=localhost:port={port}:trustRoots={roots}"

    async def check_delivery(self, listener: Listener, output: str) -> None:
        """Everything arrives, is acknowledged, an idle agent sleeps, a stop drains."""
        await self.run_with(listener, output, 1)
        self.load.send(3000)
        await until(
            lambda: len(sequences(listener.lines()).get(self.load.devices[-1], ())) >= 300,
            lambda: f"the lines in {listener.log} {self.parent_.log}",
        )
        await pause(0.5)
        before_s = cpu_s(self.parent_.agent_pid)
        await pause(_IDLE_S)
        idle_s = cpu_s(self.parent_.agent_pid) - before_s
        self.load.send(3000)
        took_s = await self.parent_.stop()
        await self.said(self.parent_, "none lost")
        self.assertLess(took_s, 3)
        self.assertEqual(self.parent_.exits, [0])
        written = self.lines_with(self.parent_, "Stopped: ")[0].text.split()[2]
        await until(
            lambda: len(listener.lines()) >= int(written),
            lambda: f"{written} lines, here are {len(listener.lines())}",
        )
        for numbers in sequences(listener.lines()).values():
            self.assertEqual(numbers, list(range(1, len(numbers) + 1)))
        self.assertLess(idle_s, 0.05 * _IDLE_S, "an idle agent works")

    async def test_tcp(self) -> None:
        """TCP."""
        await self.check_delivery(*self.plain())

    async def test_unix(self) -> None:
        """A Unix socket."""
        await self.check_delivery(*self.unix())

    async def test_tls(self) -> None:
        """TLS, at QoS 1 beyond the 20 messages that a broker has on their way."""
        await self.check_delivery(*self.tls())

    async def check_stop(self, listener: Listener, output: str) -> None:
        """A Telegraf that was stopped while the agent ended has no half lines."""
        await self.run_with(listener, output, 0, 'drain_timeout = "500ms"')
        for number in (signal.SIGTERM, signal.SIGKILL) * 2:
            listener.freeze()
            for _ in range(20):  # in turns, so that there is always something on its way
                self.load.send(1000)
                await pause(0.05)
            starts = self.parent_.starts
            self.parent_.signal_agent(number)
            await until(lambda starts=starts: self.parent_.starts > starts, "the next start")
            listener.thaw()
            await self.said(self.parent_, "Discovered 10 devices", times=starts + 1)
        count = len(listener.lines())
        self.load.send(100)
        await until(lambda: len(listener.lines()) >= count + 100, "the lines of the last agent")
        times = [int(_TIME.search(line)[1]) for line in listener.lines()]
        self.assertEqual([t for t in times if t < _THIS_YEARS_NS], [], "cut in the time")
        self.assertNotIn("metric parse error", listener.log)

    async def test_stop_while_a_tcp_reader_stands_still(self) -> None:
        """TCP."""
        await self.check_stop(*self.plain())

    async def test_stop_while_a_unix_reader_stands_still(self) -> None:
        """A Unix socket."""
        await self.check_stop(*self.unix())

    async def test_stop_while_a_tls_reader_stands_still(self) -> None:
        """TLS."""
        await self.check_stop(*self.tls())


def cpu_s(pid: int) -> float:
    """Return the CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
