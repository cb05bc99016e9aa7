"""The log of a real process: levels, a stopped reader, a dead one, odd descriptors."""

from __future__ import annotations

import os
import pty
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, Any

from twisted.trial.unittest import SynchronousTestCase

import metrics_agent

PACKAGE_PARENT = str(Path(metrics_agent.__file__).parent.parent)
"""Children use the same package, be it installed or not."""

PROGRAM = """
import os, sys, time
if {closed}:
    os.close(2)
from twisted.internet import reactor
from twisted.internet.defer import fail
from metrics_agent.logs.capture import begin_logging, bridge_logging, redirect_stdout
from metrics_agent.logs.logger import make_logger
from metrics_agent.logs.observer import StderrObserver

metrics = os.dup(1)
observer = StderrObserver()
begin_logging(observer)
bridge_logging(observer)
redirect_stdout()
observer.attach(reactor)
log = make_logger("demo")

def done():
    os.write(metrics, b"done\\n")
    reactor.callLater({linger}, reactor.stop)

def work():
    {work}
    done()

reactor.callWhenRunning(work)
reactor.run()
log.info("last words")
observer.final_flush({flush})
os.write(metrics, b"end\\n")
"""

FLOOD = """[make_logger(f"m{n}").error("x" * 3000, fold=False) for n in range(200)]"""
LIMIT_S = 20


class Child:
    """A process that logs; ended with the test whatever happens."""

    def __init__(
        self,
        case: SynchronousTestCase,
        work: str,
        stderr: int | IO[Any] = subprocess.PIPE,
        **options: Any,
    ) -> None:
        values = {"closed": False, "linger": 0, "flush": 1, **options}
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM.format(work=work, **values)],
            env={**os.environ, "PYTHONPATH": PACKAGE_PARENT},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
        )
        case.addCleanup(self._end)

    def _end(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()

    def expect(self, line: bytes) -> None:
        """Wait for the next line on stdout."""
        assert self.process.stdout is not None
        got = self.process.stdout.readline()
        assert got == line + b"\n", (got, self.process.communicate())

    def finish(self) -> list[str]:
        """Return the lines of stderr of a process that ended well."""
        out, err = self.process.communicate(timeout=LIMIT_S)
        assert self.process.returncode == 0, (self.process.returncode, err)
        assert out.endswith(b"done\nend\n"), out
        return (err or b"").decode().splitlines()


class LinesTest(SynchronousTestCase):
    """What a parent reads."""

    def test_every_line_has_its_level_and_module(self):
        work = (
            'log.info("hello"); print("stray"); fail(ValueError("x")); import logging; '
            'logging.getLogger("paho.x").warning("odd"); import warnings; warnings.warn("old"); '
            'log.failure("Broken", __import__("twisted").python.failure.Failure(ValueError("y")))'
        )
        lines = Child(self, work).finish()
        expected = [
            "I! [demo] hello",
            "W! [agent] Printed to stdout, which is for metrics: 'stray'",
            "E! [twisted] Unhandled error in Deferred: ValueError('x')",
            "W! [paho] odd",
            "E! [demo] Broken: ValueError('y')",
            "I! [demo] last words",
        ]
        self.assertEqual([line for line in lines if "[python]" not in line], expected)
        (warning,) = [line for line in lines if "[python]" in line]
        self.assertRegex(warning, r"^W! \[python\] <string>:\d+: .*UserWarning: old$")

    def test_a_terminal_shows_time_and_level(self):
        leader, follower = pty.openpty()
        self.addCleanup(os.close, leader)
        child = Child(self, 'log.warn("hello")', stderr=follower)
        os.close(follower)
        child.finish()
        text = os.read(leader, 4096).decode()
        self.assertRegex(text, r"(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d warn  \[demo\] hello\r$")

    def test_a_file_and_a_socket_get_the_lines(self):
        with tempfile.TemporaryFile() as file:
            Child(self, 'log.warn("hello")', stderr=file).finish()
            file.seek(0)
            self.assertIn(b"W! [demo] hello\n", file.read())
        ours, theirs = socket.socketpair()
        with ours, theirs:
            Child(self, 'log.warn("hello")', stderr=theirs.fileno()).finish()
            self.assertIn(b"W! [demo] hello\n", ours.recv(4096))


class ReaderTest(SynchronousTestCase):
    """Readers that do not read."""

    def test_a_reader_that_does_not_read_holds_nothing_up(self):
        for kind in ("pipe", "socket"):
            ours, theirs = os.pipe() if kind == "pipe" else self.sockets()
            started_s = time.monotonic()
            child = Child(self, FLOOD, stderr=theirs, flush=0)
            os.close(theirs)
            child.expect(b"done")
            child.expect(b"end")
            self.assertEqual(child.process.wait(LIMIT_S), 0)
            self.assertLess(time.monotonic() - started_s, LIMIT_S)
            os.close(ours)

    def sockets(self) -> tuple[int, int]:
        ours, theirs = socket.socketpair()
        return ours.detach(), theirs.detach()

    def test_a_reader_that_goes_on_gets_what_was_kept_and_the_number_of_the_rest(self):
        child = Child(self, FLOOD, linger=1.5)
        child.expect(b"done")
        time.sleep(0.3)
        _out, err = child.process.communicate(timeout=LIMIT_S)
        lines = err.decode().splitlines()
        self.assertEqual(lines[-1], "I! [demo] last words")
        self.assertRegex(lines[-2], r"^W! \[agent\] \d+ log lines were dropped, stderr was not ")
        dropped = int(lines[-2].split()[2])
        self.assertEqual(len(lines) - 2 + dropped, 200)

    def test_a_dead_reader_is_survived_in_silence(self):
        ours, theirs = os.pipe()
        os.close(ours)
        child = Child(self, FLOOD, stderr=theirs)
        os.close(theirs)
        self.assertEqual(child.finish(), [])

    def test_a_closed_stderr_is_survived(self):
        self.assertEqual(Child(self, FLOOD, closed=True).finish(), [])

    def test_a_terminal_that_is_held_up_holds_nothing_up(self):
        leader, follower = pty.openpty()
        self.addCleanup(os.close, leader)
        child = Child(self, FLOOD, stderr=follower, flush=0)
        os.close(follower)
        child.finish()

    def test_what_was_given_stays_blocking(self):
        ours, theirs = os.pipe()
        self.addCleanup(os.close, ours)
        self.addCleanup(os.close, theirs)
        child = Child(self, 'log.info("x")', stderr=theirs)
        child.expect(b"done")
        self.assertTrue(os.get_blocking(theirs))
        child.process.send_signal(signal.SIGTERM)
