"""What only the real Telegraf can show: its signals, its delay, its test mode, its buffer."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.web.resource import Resource
from twisted.web.server import Site

from tests.integration.broker import free_port
from tests.integration.case import AgentCase, OnTelegraf
from tests.integration.watching import pause, until

PIPE_HOLDS = 65_536
COUNT = 100
ON_DISK = """\
  buffer_strategy = "disk"
  buffer_directory = "{directory}"
"""
TO_DATABASE = """
[[outputs.influxdb]]
  urls = ["http://127.0.0.1:{port}"]
  skip_database_creation = true
  content_encoding = "identity"
"""


class TelegrafTests(OnTelegraf, AgentCase):
    """Settings of inputs.execd."""

    async def test_signal_stdin_for_more_newlines_than_a_pipe_holds(self) -> None:
        """With ``signal = "STDIN"`` the newlines are read, so Telegraf never waits for us."""
        self.configure(self.probe("count", 'self_metrics_interval = "0s"'))
        parent = await self.start(signal_setting="STDIN", interval="20us")
        pid = parent.agent_pid
        before = bytes_read(pid)
        await until(lambda: bytes_read(pid) - before > 1.05 * PIPE_HOLDS, "the newlines", 120)
        count = len(parent.lines())
        await until(lambda: len(parent.lines()) > count + 3, "more metrics")
        self.assertEqual(self.lines_with(parent, "Error in plugin"), [])
        self.assertEqual((parent.starts, parent.agent_pid), (1, pid))

    async def test_signal_sigterm_is_an_error_at_each_interval(self) -> None:
        """``signal = "SIGTERM"`` is not one Telegraf knows; the agent runs on."""
        self.configure(self.probe("count"))
        parent = await self.start(signal_setting="SIGTERM", interval="500ms")
        await self.said(parent, "Error in plugin: invalid signal: SIGTERM", "E", times=3)
        self.assertEqual(parent.starts, 1)

    async def test_back_after_the_delay_that_is_shipped(self) -> None:
        """With the file as it is shipped the agent is back 10 s after its end."""
        self.configure(self.probe("count"))
        parent = await self.start(restart_delay_s=None)
        parent.signal_agent(signal.SIGKILL)
        await until(lambda: parent.exits == [-signal.SIGKILL], "the exit")
        ended_s = time.monotonic()
        await pause(9)
        self.assertEqual(parent.starts, 1)
        await until(lambda: parent.starts == 2, "the restart", 10)
        self.assertLess(time.monotonic() - ended_s, 15)
        await self.said(parent, "Started with modules", times=2)

    async def test_sighup_of_telegraf_starts_the_agent_anew(self) -> None:
        """Telegraf's own reload: the agent stops in order, and a new one starts at once."""
        self.configure(self.probe("count"))
        parent = await self.start(restart_delay_s=None)
        first = parent.agent_pid
        parent.process.send_signal(signal.SIGHUP)
        await self.said(parent, "Stopping: stdin was closed", "I")
        await self.said(parent, "Started with modules", times=2)
        self.assertNotEqual(parent.agent_pid, first)
        self.assertEqual(parent.exits, [])

    async def test_test_mode_shows_metrics(self) -> None:
        """``telegraf --test`` shows what the agent brings within ``--test-wait``."""
        self.configure(self.probe("count"))
        shown = self.parent(restart_delay_s=None).test(wait_s=2).splitlines()
        self.assertGreater(sum(line.startswith("> count") for line in shown), 3, shown)


class BufferTests(OnTelegraf, AgentCase):
    """What Telegraf has read and the database has not, when Telegraf ends."""

    async def kept(self, end: str, buffer: str = "") -> tuple[int, int]:
        """Return how many metrics were read before an end, and how many arrive after it."""
        self.configure(self.probe("count", 'self_metrics_interval = "0s"', "20ms"))
        port = free_port()
        parent = await self.start(outputs=TO_DATABASE.format(port=port), agent=buffer)
        await until(lambda: len(parent.lines()) >= COUNT, "metrics")
        if end == "SIGKILL":
            parent.kill()
        else:
            await parent.stop()
        read = {line.split()[-1] for line in parent.lines()}
        database = Database()
        listening = reactor.listenTCP(port, Site(database), interface="127.0.0.1")
        self.addCleanup(listening.stopListening)
        parent.start()
        await until(lambda: bool(database.times - read), "a new metric")
        await pause(1)
        return len(read), len(read & database.times)

    async def test_memory_is_lost(self) -> None:
        """With Telegraf's default, at an orderly end too."""
        for end in ("SIGTERM", "SIGKILL"):
            read, kept = await self.kept(end)
            self.assertGreaterEqual(read, COUNT)
            self.assertEqual(kept, 0, end)

    async def test_disk_is_kept(self) -> None:
        """With ``buffer_strategy = "disk"`` all of them arrive."""
        for end in ("SIGTERM", "SIGKILL"):
            directory = self.directory / end
            read, kept = await self.kept(end, ON_DISK.format(directory=directory))
            self.assertGreaterEqual(read, COUNT)
            self.assertEqual(kept, read, end)


class Database(Resource):
    """Takes what Telegraf writes to an InfluxDB.

    Attributes:
        times: the timestamps of the lines.
    """

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.times: set[bytes] = set()

    def render_POST(self, request: Any) -> bytes:
        body = request.content.read()
        self.times.update(line.split()[-1] for line in body.splitlines())
        request.setResponseCode(204)
        return b""


def bytes_read(pid: int) -> int:
    """Return how many bytes a process has read from files and pipes; sockets do not count."""
    counters = Path(f"/proc/{pid}/io").read_text("ascii")
    return int(counters.split("rchar:")[1].split()[0])
