"""When a state file is written, and that it is on the disk then."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.logger import Logger, LogLevel, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.limits import STATE_FILE_BYTES
from metrics_agent.state import directory
from metrics_agent.state.directory import BURST_S, WRITE_EVERY_S, Pace, StateDirectory, StateFile
from metrics_agent.state.files import Files


class Thread:
    """A thread that works when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Callable[[], None], Deferred[None]]] = []

    def __call__(self, call: Callable[[], None]) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        self.waiting.append((call, done))
        return done

    def work(self) -> int:
        """Do what waits; return how many calls that were."""
        waiting, self.waiting = self.waiting, []
        for call, done in waiting:
            maybeDeferred(call).chainDeferred(done)
        return len(waiting)


class Recorder(Files):
    """Notes the calls that matter for what is on the disk."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.error: OSError | None = None

    def create(self, path: Path) -> int:
        if self.error is not None:
            raise self.error
        return super().create(path)

    def sync(self, descriptor: int) -> None:
        self.calls.append("sync")
        super().sync(descriptor)

    def rename(self, old: Path, new: Path) -> None:
        self.calls.append("rename")
        super().rename(old, new)

    def sync_directory(self, path: Path) -> None:
        self.calls.append("sync directory")
        super().sync_directory(path)


WHOLE = ["sync", "rename", "sync directory"]


class PaceTests(SynchronousTestCase):
    """A file whose clock, thread and system calls are the test's."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.thread = Thread()
        self.files = Recorder()
        self.events: list[dict[str, Any]] = []
        path = Path(self.mktemp()).absolute()
        self.state = StateDirectory(
            path,
            Logger(observer=self.events.append),  # type: ignore[arg-type]  # takes an event
            Pace(self.clock, self.thread),
        )
        self.state._files = self.files
        self.file = self.state.file("tasmota", "topics.json")

    def content(self) -> Any:
        """Return what another process would read now."""
        return json.loads(self.file.path.read_text()) if self.file.path.exists() else None

    def pass_time(self, seconds: float) -> int:
        """Let time pass; return how often the file was written."""
        written = 0
        for _ in range(round(seconds)):
            self.clock.advance(1)
            written += self.thread.work()
        return written

    def logged(self, level: LogLevel = LogLevel.warn) -> list[str]:
        return [formatEvent(each) for each in self.events if each["log_level"] is level]

    def test_a_burst_is_one_write_that_reaches_the_disk(self) -> None:
        """File, then name, then directory, in that order."""
        for number in range(10):
            self.file.write([number])
        self.assertEqual((self.content(), self.files.calls), (None, []))
        self.assertEqual(self.pass_time(60), 1)
        self.assertEqual((self.content(), self.files.calls), ([9], WHOLE))

    def test_changes_all_the_time_are_written_every_few_minutes(self) -> None:
        """An SD card does not survive more for years."""
        written = 0
        for number in range(3600):
            self.file.write([number])
            written += self.pass_time(1)
        self.assertLessEqual(written, 1 + 3600 // WRITE_EVERY_S)
        self.assertGreaterEqual(written, 3600 // WRITE_EVERY_S)

    def test_the_same_value_is_not_written_again(self) -> None:
        self.file.write([1])
        self.pass_time(10)
        self.file.write([1])
        self.assertEqual(self.pass_time(2 * WRITE_EVERY_S), 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_value_that_changes_while_it_is_written_is_written_later(self) -> None:
        """The thread may take long."""
        self.file.write([1])
        self.clock.advance(BURST_S)
        self.file.write([2])
        self.assertEqual(self.file.read(), [2])
        self.assertEqual(self.pass_time(2 * WRITE_EVERY_S), 2)
        self.assertEqual(self.content(), [2])

    def test_at_once_is_there_when_write_returns(self) -> None:
        """Without waiting for the disk; that is seen to in the thread."""
        self.file.write([1], at_once=True)
        self.assertEqual((self.content(), self.files.calls), ([1], ["rename"]))
        self.assertEqual(self.pass_time(60), 1)
        self.assertEqual((self.content(), self.files.calls), ([1], ["rename", *WHOLE]))

    def test_an_older_value_never_takes_the_place_of_a_newer_one(self) -> None:
        """One that is written at once while the thread has another in hand."""
        self.file.write([1])
        self.clock.advance(BURST_S)
        self.file.write([2], at_once=True)
        self.thread.work()
        self.assertEqual(self.content(), [2])
        self.pass_time(2 * WRITE_EVERY_S)
        self.assertEqual(self.content(), [2])
        self.assertEqual([each.name for each in self.file.path.parent.iterdir()], ["topics.json"])

    def test_what_changed_shortly_before_the_stop_is_written(self) -> None:
        """In a thread, and should that hang, in the end without."""
        self.file.write([1])
        self.pass_time(10)
        for value in ([2], [3]):
            self.file.write(value)
            waiting = self.state.flush()
            if value == [2]:
                self.thread.work()
                self.successResultOf(waiting)
            else:
                self.assertNoResult(waiting)
            self.state.finish()
            self.assertEqual(self.content(), value)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.files.calls, 3 * WHOLE)

    def test_nothing_changed_nothing_is_written_at_the_stop(self) -> None:
        """Nor is a directory made."""
        self.file.read()
        self.successResultOf(self.state.flush())
        self.state.finish()
        self.assertFalse(self.file.path.parent.exists())

    def test_a_new_instance_reads_what_the_old_one_has_not_written_yet(self) -> None:
        """A reload makes the modules again."""
        self.file.write({"a": 1})
        self.assertEqual(self.state.file("tasmota", "topics.json").read(), {"a": 1})

    def test_a_write_that_failed_is_tried_again_at_the_pace(self) -> None:
        """One line says so, another that it is over."""
        self.files.error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.file.write([1])
        self.assertLessEqual(self.pass_time(3600), 1 + 3600 // WRITE_EVERY_S)
        self.assertEqual(len(self.logged()), 1)
        self.files.error = None
        self.pass_time(WRITE_EVERY_S + 1)
        self.assertEqual(self.content(), [1])
        self.assertEqual(len(self.logged(LogLevel.info)), 1)

    def test_what_is_too_large_is_not_written(self) -> None:
        """A file has a bound; what was there before stays."""
        self.file.write([1])
        self.pass_time(10)
        self.file.write(["x" * STATE_FILE_BYTES])
        self.pass_time(2 * WRITE_EVERY_S)
        self.assertEqual(self.content(), [1])
        self.assertIn(f"at most {STATE_FILE_BYTES}", self.logged()[0])

    def test_a_value_that_is_no_json_costs_a_line(self) -> None:
        """The module goes on."""
        loop: list[Any] = []
        loop.append(loop)
        for value in ({1}, loop, float):
            self.file.write(value)
        self.assertTrue(self.logged())
        self.assertEqual(self.pass_time(10), 0)

    def test_where_no_thread_can_be_made(self) -> None:
        """It costs the value and a line, and it is tried again."""

        def refuse(_call: Callable[[], None]) -> Deferred[None]:
            raise RuntimeError("can't start new thread")

        file = StateFile(self.file.path, self.state.faults, Pace(self.clock, refuse), self.files)
        file.write([1])
        self.clock.pump([1] * 10)
        self.assertIn("can't start new thread", self.logged()[0])
        self.successResultOf(file.flush())
        file.finish()
        self.assertEqual(self.content(), [1])

    def test_no_pace_is_shorter_than_promised(self) -> None:
        """A few minutes."""
        self.assertGreaterEqual(directory.WRITE_EVERY_S, 180)
