"""The state directory: what is kept, and what a fault costs."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

from twisted.internet.defer import maybeDeferred
from twisted.internet.task import Clock
from twisted.logger import Logger, LogLevel, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.limits import STATE_FILE_BYTES
from metrics_agent.state.directory import (
    WRITE_EVERY_S,
    Pace,
    StateDirectory,
    StateFile,
    safe_name,
    state_directory_name,
)
from metrics_agent.state.files import Files


class StateCase(SynchronousTestCase):
    """Has a directory whose faults can be read."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.events: list[dict] = []
        self.path = Path(self.mktemp()).absolute()
        self.state = self.make()

    def make(self, path: Path | None = None) -> StateDirectory:
        log = Logger(observer=self.events.append)
        return StateDirectory(path or self.path, log, Pace(self.clock, maybeDeferred))

    def written(self, file: StateFile, value: object) -> bool:
        """Write a value and let the time pass after which it is in the file."""
        file.write(value)
        self.clock.advance(WRITE_EVERY_S)
        return file._stored

    def lines(self, level: LogLevel = LogLevel.warn) -> list[str]:
        """Return what was logged since the last call."""
        found = [formatEvent(each) for each in self.events if each["log_level"] is level]
        self.events[:] = [each for each in self.events if each["log_level"] is not level]
        return found


class KeepTests(StateCase):
    """When all is well."""

    def test_value(self) -> None:
        """What was written is read again, by another process too; only its owner can see it."""
        self.assertIsNone(self.state.file("mqtt", "a.json").read())
        self.assertTrue(
            self.written(self.state.file("mqtt", "a.json"), {"filters": ["ä", "\ud800"]})
        )
        self.assertEqual(self.make().file("mqtt", "a.json").read(), {"filters": ["ä", "\ud800"]})
        file = self.path / "mqtt" / "a.json"
        self.assertEqual(file.stat().st_mode & 0o777, 0o600)
        self.assertEqual(file.parent.stat().st_mode & 0o777, 0o700)
        self.assertEqual(list(file.parent.iterdir()), [file])
        self.assertEqual(self.events, [])

    def test_what_a_killed_process_left(self) -> None:
        """A new file that did not get its name is replaced."""
        self.path.joinpath("mqtt").mkdir(parents=True)
        self.path.joinpath("mqtt", "a.json.new").write_bytes(b"{")
        self.assertTrue(self.written(self.state.file("mqtt", "a.json"), [1]))
        self.assertEqual(self.state.file("mqtt", "a.json").read(), [1])

    def test_path(self) -> None:
        """A path for what a module writes by itself: its directory exists."""
        path = self.state.path("netatmo:home", "tokens.json")
        self.assertEqual(path, self.path / "netatmo@home" / "tokens.json")
        self.assertEqual(path.parent.stat().st_mode & 0o777, 0o700)


class FaultTests(StateCase):
    """What goes wrong costs what should have been kept, and one line."""

    def assert_one_line(
        self, state: StateDirectory, reason: str, advice: str = r"Set state_dir to a dir.+\."
    ) -> str:
        """Use three files in every way: nothing is raised, and there is one line.

        Args:
            state: what to use.
            reason: a pattern.
            advice: a pattern, empty where no advice fits the reason.
        """
        for part, name in (("mqtt", "a.json"), ("mqtt", "b.json"), ("tasmota", "topics.json")):
            file = state.file(part, name)
            self.assertIsNone(file.read())
            self.assertFalse(self.written(file, [1]))
            self.assertFalse(self.written(file, [2]))
        state.path("netatmo", "tokens.json")
        (line,) = self.lines()
        space = " " if advice else ""
        self.assertRegex(
            line, rf": {reason}\. The agent keeps running without it\.{space}{advice}\Z"
        )
        return line

    def test_file_in_its_place(self) -> None:
        self.path.write_text("")
        self.assert_one_line(self.state, "Not a directory")

    def test_file_in_the_middle(self) -> None:
        self.path.write_text("")
        self.assert_one_line(self.make(self.path / "below" / "state"), "Not a directory")

    def test_name_too_long(self) -> None:
        self.assert_one_line(self.make(self.path / ("x" * 300)), "File name too long")

    def test_link_to_itself(self) -> None:
        self.path.symlink_to(self.path)
        self.assert_one_line(self.state, "Too many levels of symbolic links")

    def test_name_that_no_path_can_have(self) -> None:
        self.assert_one_line(self.make(self.path / "a\0b"), r"[\w: ]*embedded null [\w ]+")

    def test_no_permission(self) -> None:
        """The line says how to give the directory to this user."""
        refused = self.broken(errno.EACCES)
        line = self.assert_one_line(refused, "Permission denied")
        self.assertIn(f"or run `chown -R {os.geteuid()} {self.path}`.", line)

    def test_read_only_file_system(self) -> None:
        self.assert_one_line(self.broken(errno.EROFS), "Read-only file system")

    def test_advice(self) -> None:
        """Where another directory would not help, the line names what does, or nothing."""
        for number, advice in (
            (errno.ENOSPC, r"Free space or inodes there, or set state_dir to .+\."),
            (errno.EDQUOT, r"Free space or inodes there, or set state_dir to .+\."),
            (errno.EMFILE, r"Raise the limit of open files \(.+\)\."),
            (errno.ENFILE, r"Raise the limit of open files \(.+\)\."),
            (errno.EIO, ""),
        ):
            self.broken(number)
            self.clock = Clock()  # the directory before this one tries again
            self.assert_one_line(self.make(), os.strerror(number), advice)

    def test_value_that_is_too_large(self) -> None:
        """Nothing about the directory is advised, which is not at fault."""
        self.assertFalse(self.written(self.state.file("mqtt", "a.json"), "x" * STATE_FILE_BYTES))
        (line,) = self.lines()
        self.assertRegex(line, r": \d+ bytes, at most \d+ are kept\. The agent .+ without it\.\Z")

    def broken(self, number: int) -> StateDirectory:
        """Return a directory whose every use fails."""

        def refuse(_files: Files, path: Path, *_args: object) -> None:
            raise OSError(number, os.strerror(number), str(path))

        for name in ("read", "make_directory"):
            self.patch(Files, name, refuse)
        return self.state

    def test_directory_in_place_of_a_file(self) -> None:
        """The line says to remove it."""
        file = self.state.file("mqtt", "a.json")
        file.path.mkdir(parents=True)
        self.assertIsNone(file.read())
        self.assertFalse(self.written(file, [1]))
        (line,) = self.lines()
        self.assertIn(f"{file.path}: Is a directory. The agent", line)
        self.assertTrue(line.endswith(f"Remove the directory {file.path}."), line)

    def test_fifo_in_place_of_a_file(self) -> None:
        """Nothing waits for a writer; it is ignored and replaced, as what is damaged."""
        fifo = self.state.file("mqtt", "b.json")
        fifo.path.parent.mkdir(parents=True)
        os.mkfifo(fifo.path)
        self.assertIsNone(fifo.read())
        (line,) = self.lines()
        self.assertIn(f"{fifo.path} is damaged (it is not a regular file) and ignored", line)
        self.assertTrue(self.written(fifo, [1]))
        self.assertEqual(fifo.read(), [1])
        self.assertEqual(self.lines(LogLevel.info), [])

    def test_over(self) -> None:
        """A fault that comes again is one line, its end is one, and then it is news again."""
        file, other = self.state.file("mqtt", "a.json"), self.state.file("mqtt", "b.json")
        self.path.write_text("")
        for each in (file, other, file):
            self.written(each, [1])
        self.assertEqual(len(self.lines()), 1)
        self.path.unlink()
        self.assertTrue(self.written(file, [1]))
        self.assertTrue(self.written(other, [1]))
        self.assertEqual(len(self.lines(LogLevel.info)), 1)
        self.path.rename(self.path.with_suffix(".away"))
        self.path.write_text("")
        self.written(file, [3])
        self.assertEqual(len(self.lines()), 1)

    def test_damaged(self) -> None:
        """Content that is not JSON is named, ignored and replaced."""
        for content in (b"", b"{", b"\xff\xfe", b"[" * 100_000):
            file = self.state.file("mqtt", "a.json")
            self.written(file, [1])
            file.path.write_bytes(content)
            self.assertIsNone(file.read())
            (line,) = self.lines()
            self.assertIn(f"The state in {file.path} is damaged", line)
            self.assertTrue(self.written(file, [2]))
            self.assertEqual(file.read(), [2])


class HalfWriter(Files):
    """Writes a byte a call."""

    def write(self, descriptor: int, data: bytes, offset: int) -> int:
        return super().write(descriptor, data[:1], offset)


class WriteTests(StateCase):
    """The bytes."""

    def test_short_writes(self) -> None:
        """All of a value is written, however little a call takes."""
        pace = Pace(self.clock, maybeDeferred)
        file = StateFile(self.path / "a.json", self.state.faults, pace, HalfWriter())
        self.assertTrue(self.written(file, {"a": [1, 2, 3]}))
        self.assertEqual(file.read(), {"a": [1, 2, 3]})


class Overtaken(Files):
    """While it writes, another thread begins to write the same file, as at a stop."""

    def __init__(self) -> None:
        self.other: threading.Thread | None = None
        self.replace: Callable[[], None] = lambda: None

    def write(self, descriptor: int, data: bytes, offset: int) -> int:
        """Write, once the other thread has got as far as it may."""
        if self.other is None:
            self.other = threading.Thread(target=self.replace)
            self.other.start()
            self.other.join(0.1)
        return super().write(descriptor, data, offset)


class TwoThreadsTests(StateCase):
    """Two threads write one file."""

    def test_one_after_the_other(self) -> None:
        """Neither takes away what the other is still writing."""
        files = Overtaken()
        pace = Pace(self.clock, maybeDeferred)
        file = StateFile(self.path / "a.json", self.state.faults, pace, files)
        files.replace = lambda: file._replace(b"[5]", sync=True)
        self.assertTrue(self.written(file, [5]))
        assert files.other is not None
        files.other.join()
        self.assertEqual((self.lines(), file.path.read_bytes()), ([], b"[5]"))
        self.assertEqual([*self.path.iterdir()], [file.path])


class NameTests(SynchronousTestCase):
    """Names of files."""

    def test_plain(self) -> None:
        """A name that a file can have stays as it is."""
        for name in ("metrics-agent-0a1b2c3d", "agent_2.home", "x" * 100):
            self.assertEqual(safe_name(name), name)

    def test_any_text(self) -> None:
        """Any other text gives a short, plain name of its own."""
        texts = ["", ".", "..", ".a", "a/b", "a_b", "a:b", "a\0b", "ä" * 90, "\ud800", "é", "è"]
        texts += ["x" * 101, "x" * 300, "x" * 300 + "y"]
        names = [safe_name(text) for text in texts]
        self.assertEqual(len(set(names)), len(texts))
        for name in names:
            self.assertRegex(name, r"\A[A-Za-z0-9_@-][A-Za-z0-9_@.-]{0,99}\Z")

    def test_directory(self) -> None:
        """An instance's directory has no colon, and can be made however long its name is."""
        self.assertEqual(state_directory_name("netatmo:home"), "netatmo@home")
        self.assertLess(len(state_directory_name(f"demo:{'x' * 300}")), 100)
