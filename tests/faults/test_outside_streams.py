"""Faults of the streams that the parent holds, and signals at bad moments."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import termios
import time
from typing import Any

from metrics_agent.process.descriptors import ask_kernel
from tests.faults.case import HEALTHY_NAMES, TOP
from tests.faults.messages import Receiver
from tests.faults.news import downs
from tests.faults.outside import outside
from tests.faults.outside_case import OutsideCase
from tests.integration.broker import Mosquitto, with_both_mosquittos
from tests.integration.parent import SLOW, Pace
from tests.integration.watching import memory_bytes, pause, until

MEBI = 1024 * 1024
STOPPED = Pace(1, 3600.0)
FLOOD = """
[modules.faulty]
enabled = true
place = "emit"
fault = "flood"
strikes = "{strikes}"
"""


@with_both_mosquittos
class StreamTests(OutsideCase):
    """Whoever reads us may be slow, stop, or be gone."""

    def flooded(self) -> str:
        """Return the table of a module that emits 100,000 metrics at once."""
        return FLOOD.format(strikes=self.directory / "strikes")

    async def test_stdout_slow(self) -> None:
        """Ten lines, then a millisecond: everything arrives, memory stays bounded."""
        self.healthy_beside(self.flooded())
        parent = await self.start_beside()
        parent.read_at(SLOW)
        await until(lambda: b"flood number=50000i" in bytes(parent.output), "half of it", 60)
        self.assertLess(memory_bytes(parent.agent_pid), 120 * MEBI)
        parent.read_at(Pace(64 * 1024, 0.0))
        await until(lambda: b"flood number=99999i" in bytes(parent.output), "all of it", 60)
        numbers = [point.number for point in self.points(parent, "flood")]
        self.assertEqual(numbers, list(range(100_000)))
        await self.finish("stdout_slow", parent)

    async def test_stdout_stopped(self) -> None:
        """No one reads for 3 s under load: bounded, and all of QoS 1 arrives afterwards."""
        broker = Mosquitto.start(self, settings=["max_queued_messages 0"])
        top = TOP + 'queue_high_mark = "16KiB"\nqueue_low_mark = "8KiB"\n'
        self.at_broker(broker.url, broker, rate=200, top=top)
        parent = await self.start_beside()
        await self.at_work(parent)
        parent.freeze()
        await pause(3)
        self.assertLess(memory_bytes(parent.agent_pid), 120 * MEBI)
        parent.thaw()
        recovered_ms = await self.works_again(parent, time.monotonic())
        self.assertEqual(len(self.mqtt_lines(parent)), 1, self.mqtt_lines(parent))
        await self.finish("stdout_stopped", parent, recovered_ms=recovered_ms)

    async def test_stdout_stopped_killed(self) -> None:
        """What waits for its reader, here or in the pipe, goes with the process: not at QoS 1."""
        self.healthy_beside("")
        parent = await self.start_beside()
        await self.delivered(parent)
        parent.freeze()
        sent = self.beside.publisher.sent["beside", 1]
        await until(lambda: self.beside.publisher.sent["beside", 1] > sent + 25, "messages")
        since_s = time.monotonic()
        parent.signal_agent(signal.SIGKILL)
        await until(lambda: parent.exits, "the end")
        parent.thaw()
        await until(lambda: parent.agent_pid, "the next process")
        await self.beside.works(parent)
        recovered_ms = (time.monotonic() - since_s) * 1000
        await parent.stop()
        self.assertEqual((parent.exits, parent.starts), ([-signal.SIGKILL, 0], 2))
        row = outside("stdout_stopped_killed")
        _one, zero = await self.judge(row, parent, recovered_ms=recovered_ms)
        self.assertGreater(zero.killed, 0)

    async def test_stdout_dead(self) -> None:
        """The reader is gone: Telegraf is, so the agent ends too, in order."""
        self.healthy_beside("")
        parent = await self.start_beside(restart_delay_s=60.0)
        await self.beside.delivered(parent)
        since_s = time.monotonic()
        parent.close_output()
        await until(lambda: parent.exits, "the end", 10)
        self.assertLess(time.monotonic() - since_s, 5)
        self.assertEqual(parent.exits, [0])
        await self.judge(outside("stdout_dead"), parent)

    async def test_stderr_dead(self) -> None:
        """No one hears the log: all runs, a reload too, and nothing comes of writing it."""
        self.healthy_beside("")
        parent = await self.start_beside()
        parent._child.stderr.close()
        said = len(parent.log)
        parent.signal_agent(signal.SIGHUP)  # makes some lines
        # The log says nothing of it; the metrics do.
        await until(lambda: self.self_metrics(parent, "agent").get("reloads") == 1, "the reload")
        lives = {module: len(self.lives(parent, module)) for module in HEALTHY_NAMES}
        self.assertEqual(lives, dict.fromkeys(HEALTHY_NAMES, 2))
        self.assertEqual(self.self_metrics(parent, "agent")["errors"], 0)
        self.assertEqual(len(parent.log), said)
        await self.finish("stderr_dead", parent, down=None)

    async def test_stderr_stopped(self) -> None:
        """The log's pipe is full: lines are dropped and counted, the reactor never waits."""
        self.healthy_beside("[modules.noisy]\nenabled = true\n", f'{TOP}log_level = "debug"\n')
        parent = await self.start_beside(modules={"noisy": "tests.faults.noisy:NOISY"})
        pipe = parent._child.stderr
        pipe.stop()
        capacity = fcntl.fcntl(pipe.fileno(), fcntl.F_GETPIPE_SZ)

        def held() -> int:
            return ask_kernel(pipe.fileno(), termios.FIONREAD)

        # A line goes in whole or not at all, so the last bytes of a pipe may stay empty.
        await until(lambda: held() > 0.9 * capacity, lambda: f"{capacity} bytes, got {held()}")
        before, full = self.last_number(parent), held()
        await pause(3)
        self.assertEqual(held(), full)
        # 100 a second; what it says is rendered first, which takes its time.
        self.assertGreater(self.last_number(parent) - before, 200)
        self.assertFalse(self.lines_with(parent, "stderr was not read"))
        pipe.start()
        await self.said(parent, "log lines were dropped, stderr was not read", "W")
        (logged, *_) = self.lines_with(parent, "stderr was not read", "W")
        dropped = re.search(r"(\d+) log lines were dropped", logged.text)
        self.assertGreater(int(dropped[1]) if dropped else 0, 50)
        await self.finish("stderr_stopped", parent, about="[steady:")

    async def test_stdin_odd(self) -> None:
        """What comes on stdin is read and ignored, newlines by the hundred thousand too."""
        self.healthy_beside("")
        parent = await self.start_beside()
        parent.write_stdin(b"\n" * 200_000 + os.urandom(50_000))
        await until(parent.stdin_is_empty, "all to be read")
        await pause(0.2)
        await self.finish("stdin_odd", parent)

    def last_number(self, parent: Any) -> int:
        """Return how far the slower of the healthy modules has counted."""
        last: dict[str, int] = {}
        for point in self.points(parent, "steady"):
            last[point.tags] = point.number
        return min(last.values())


@with_both_mosquittos
class SignalTests(OutsideCase):
    """Signals when they are least wanted."""

    def taking(self) -> str:
        """Return the settings with which the faulty module takes messages too."""
        self.beside.add(Receiver("faulty", "faulty"))
        return f'uses_mqtt = true\nbroker = "{self.beside.broker.url}"\nclient_id = "faulty"\n'

    async def test_sighup_storm(self) -> None:
        """1,000 SIGHUPs: some reloads, all is well afterwards, and no message is lost."""
        broker = Mosquitto.start(self)
        self.at_broker(broker.url, broker, rate=100)
        parent = await self.start_beside()
        await self.at_work(parent)
        for _ in range(1000):
            parent.signal_agent(signal.SIGHUP)
            await pause(0)
        await self.said(parent, "Reloaded", "I")
        await pause(0.5)
        one, _zero = await self.finish("sighup_storm", parent)
        self.assertEqual(one.duplicates, 0)

    async def test_sigterm_during_start(self) -> None:
        """Asked to stop while a module starts: it ends in order."""
        struck = self.directory / "strikes"
        self.healthy_beside(
            f'[modules.faulty]\nenabled = true\nplace = "start_result"\nfault = "never"\n'
            f'strikes = "{struck}"\n{self.taking()}',
            TOP.replace('module_start_timeout = "500ms"', 'module_start_timeout = "30s"'),
        )
        parent = await self.start_beside(restart_delay_s=60.0)
        await self.ends("sigterm_during_start", parent)

    async def test_sigterm_during_reload(self) -> None:
        """Asked to stop while modules are swapped, one of which hangs: it ends in order."""
        struck = self.directory / "strikes"
        self.healthy_beside(
            f'[modules.faulty]\nenabled = true\nplace = "stop"\nfault = "never"\n'
            f'strikes = "{struck}"\n{self.taking()}',
            TOP.replace('module_stop_timeout = "300ms"', 'module_stop_timeout = "2s"'),
        )
        parent = await self.start_beside(restart_delay_s=60.0)
        await pause(0.3)
        parent.signal_agent(signal.SIGHUP)
        await until(struck.exists, "the module to hang")
        await self.ends("sigterm_during_reload", parent)

    async def test_sigterm_during_backoff(self) -> None:
        """Asked to stop while a module waits for its restart: it ends in order."""
        struck = self.directory / "strikes"
        self.healthy_beside(
            f'[modules.faulty]\nenabled = true\nplace = "start"\nfault = "exception"\n'
            f'strikes = "{struck}"\n{self.taking()}',
            TOP.replace('"100ms"\nrestart_backoff_max = "200ms"', '"30s"'),
        )
        parent = await self.start_beside(restart_delay_s=60.0)
        await self.said(parent, "Restart 1 in", "W")
        await self.ends("sigterm_during_backoff", parent, logged=2)

    async def ends(self, name: str, parent: Any, logged: int = 1) -> None:
        """Send SIGTERM, and judge the end; at most so many lines hear of trouble."""
        await self.beside.enough_sent()
        since_s = time.monotonic()
        parent.signal_agent(signal.SIGTERM)
        await until(lambda: parent.exits, "the end", 10)
        self.assertEqual(parent.exits, [0])
        self.assertLess(time.monotonic() - since_s, 5)
        self.assertEqual(len(self.lines_with(parent, "Stopped: ", "I")), 1)
        self.assertLessEqual(len(downs(parent)), logged, downs(parent))
        await self.judge(outside(name), parent)
