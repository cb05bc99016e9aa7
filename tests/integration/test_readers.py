"""Readers of the output that are slow or gone, and what the parent writes to stdin."""

from __future__ import annotations

import os
import signal
from typing import Any

from tests.integration.broker import Mosquitto
from tests.integration.case import QUIET, AgentCase
from tests.integration.load import Load
from tests.integration.parent import FAST, SLOW, Pace
from tests.integration.watching import pause, sequences, until

MARKS = 'queue_high_mark = "256KiB"\nqueue_low_mark = "64KiB"'

MESSAGES = 10_000
"""Make 1 MiB of lines: for the pipe, for the queue to its mark, and some that TCP holds."""

SLOW_LOG = Pace(512, 0.01)
"""50 lines, each with a path, take 0.1 to 0.3 s: less than the agent waits for its reader."""
LATE_LOG = Pace(2000, 0.4)


class ReaderTests(AgentCase):
    """Under ``metrics-agent``."""

    async def full(self) -> tuple[Any, Load, dict[str, int]]:
        """Return an agent with a full queue whose reader has just begun to read slowly."""
        broker = Mosquitto.start(self, settings=QUIET)
        load = await Load.connect(self, broker.port)
        self.configure(self.tasmota(broker, MARKS, qos=0))
        parent = await self.start()
        await self.subscribed(parent, load)
        parent.freeze()
        load.send(MESSAGES)
        delivered = await load.barrier()
        await pause(0.5)
        parent.read_at(SLOW)
        parent.thaw()
        return parent, load, delivered

    async def test_stdin_closed_with_a_full_queue_and_a_slow_reader(self) -> None:
        """All that the broker had delivered is read before the agent ends."""
        parent, _load, delivered = await self.full()
        took_s = await parent.stop()
        self.assert_complete(sequences(parent.lines()), delivered)
        self.assertEqual(parent.exits, [0])
        self.assertLess(took_s, 5)

    async def test_sigterm_with_a_full_queue_and_a_slow_reader(self) -> None:
        """The same when the agent alone is asked to stop."""
        parent, _load, delivered = await self.full()
        parent.signal_agent(signal.SIGTERM)
        await until(lambda: parent.exits, "the exit")
        self.assert_complete(sequences(parent.lines()), delivered)
        self.assertEqual(parent.exits, [0])

    async def test_sigterm_of_the_parent_after_stdin_was_closed(self) -> None:
        """The SIGTERM that Telegraf sends 5 s after the EOF does not cut the drain short."""
        parent, _load, delivered = await self.full()
        parent.begin_stop()
        await self.said(parent, "Stopping: stdin was closed")
        parent.signal_agent(signal.SIGTERM)
        await until(lambda: parent.exits, "the exit")
        self.assert_complete(sequences(parent.lines()), delivered)
        self.assertEqual(parent.exits, [0])

    async def test_a_stop_with_a_broker_that_does_not_answer(self) -> None:
        """It cannot say what it has delivered: the stop goes on without it, in time."""
        broker = Mosquitto.start(self)
        self.configure(self.tasmota(broker))
        parent = await self.start()
        await self.said(parent, "Connected to")
        broker.freeze()
        self.assertLess(await parent.stop(), 5)
        self.assertEqual(parent.exits, [0])

    async def test_a_reader_that_is_gone_ends_the_agent(self) -> None:
        """At once, idle or not; what is queued is not waited for."""
        for act in ("nothing", "flood"):
            self.configure(self.probe(act))
            parent = self.parent(restart_delay_s=60)
            parent.start()
            await self.said(parent, "Started with modules")
            await pause(0.2)
            parent.close_output()
            await until(lambda parent=parent: parent.exits, "the exit", 3)
            self.assertEqual(parent.exits, [0])
            self.assertTrue(self.lines_with(parent, "the reader of the output has gone"))

    async def test_stdin_is_drained(self) -> None:
        """200,000 newlines, three times what a pipe holds, and the agent works on."""
        self.configure(self.probe("count"))
        parent = await self.start()
        for _ in range(20):
            parent.write_stdin(b"\n" * 10_000)
            await pause(0.01)
        await until(parent.stdin_is_empty, "stdin to be read", 5)
        count = len(parent.lines())
        await until(lambda: len(parent.lines()) > count + 3, "more metrics")
        self.assertEqual(parent.exits, [])
        await parent.stop()
        self.assertEqual(parent.exits, [0])

    async def test_the_last_words_are_read(self) -> None:
        """The lines of the log reach a reader that is slow before the agent ends."""
        self.configure("\n".join(f"nonsense_{number} = 1" for number in range(50)))
        parent = self.parent(restart_delay_s=60)
        parent.read_log_at(SLOW_LOG)
        parent.start()
        await until(lambda: parent.exits, "the exit")
        self.assertEqual(parent.exits, [78])
        self.assertEqual(len(self.lines_with(parent, "unknown key", "E")), 50)
        self.assertTrue(self.lines_with(parent, "Not started"))

    async def test_more_last_words_than_a_pipe_holds(self) -> None:
        """The same with a reader that comes late, when the pipe has been full."""
        self.configure("\n".join(f"{'n' * 900}_{number} = 1" for number in range(150)))
        parent = self.parent(restart_delay_s=60)
        parent.read_log_at(LATE_LOG)
        parent.start()
        await until(lambda: parent.log, "the first line of the log")
        parent.read_log_at(FAST)
        await until(lambda: parent.exits, "the exit")
        self.assertEqual(parent.exits, [78])
        self.assertEqual(len(self.lines_with(parent, "unknown key", "E")), 150)
        self.assertTrue(self.lines_with(parent, "Not started"))

    async def test_an_agent_that_stands_still_during_its_stop(self) -> None:
        """Time in which it did not run does not count: it has its drain, and loses nothing."""
        broker = Mosquitto.start(self, settings=QUIET)
        load = await Load.connect(self, broker.port)
        self.configure(self.tasmota(broker, f'{MARKS}\ndrain_timeout = "2s"', qos=0))
        parent = await self.start()
        await self.subscribed(parent, load)
        parent.freeze()
        load.send(2000)  # more than the pipe takes
        delivered = await load.barrier()
        await pause(0.5)
        parent.signal_agent(signal.SIGTERM)
        await self.said(parent, "Stopping: got SIGTERM")
        pid = parent.agent_pid
        os.kill(pid, signal.SIGSTOP)
        await pause(15)
        os.kill(pid, signal.SIGCONT)
        await pause(0.5)
        parent.thaw()
        await until(lambda: parent.exits, "the exit")
        self.assertTrue(self.lines_with(parent, "none lost"))
        self.assert_complete(sequences(parent.lines()), delivered)
        self.assertEqual(parent.exits, [0])


class TwistdReaderTests(ReaderTests):
    """Under twistd."""

    command = "twistd"
