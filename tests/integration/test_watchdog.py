"""The watchdog in real processes: blocked, holding the interpreter, stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

import metrics_agent

PACKAGE_PARENT = str(Path(metrics_agent.__file__).parent.parent)
"""Children use the same package, be it installed or not."""

PROGRAM = """
import os, re, sys, time
from twisted.internet import reactor
from metrics_agent.logs.capture import begin_logging
from metrics_agent.logs.observer import StderrObserver
from metrics_agent.supervision.watchdog import Watchdog

observer = StderrObserver(format="telegraf")
begin_logging(observer)
observer.attach(reactor)
watchdog = Watchdog(reactor, dump_after_s={dump}, exit_after_s={exit}, last_resort_margin_s=0.2)
watchdog.startService()

def ready():
    os.write(1, b"ready\\n")

def fill_stderr():
    # By a description of its own: stderr itself must stay as the parent gave it.
    fd = os.open("/proc/self/fd/2", os.O_WRONLY | os.O_NONBLOCK)
    try:
        while True:
            os.write(fd, b"x" * 4096)
    except BlockingIOError:
        os.close(fd)

def hang():
    while True:
        time.sleep(0.05)

def guilty_function():
    {guilty}

reactor.callWhenRunning(ready)
reactor.callLater(0.2, guilty_function)
reactor.run()
observer.final_flush(1)
"""

HOLDS_THE_INTERPRETER = 're.match(r"(a+)+$", "a" * 40 + "b")'
STOPS = "reactor.callLater(1.5, reactor.stop)"
LIMIT_S = 30


class Child:
    """A process with a watchdog; ended with the test whatever happens."""

    def __init__(self, case: SynchronousTestCase, guilty: str, **options: Any) -> None:
        limits = {"dump": 0.5, "exit": 1.5, **options}
        program = PROGRAM.format(guilty=guilty, **limits)
        self.process = subprocess.Popen(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONPATH": PACKAGE_PARENT},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        case.addCleanup(self._end)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n", self.process.communicate()

    def _end(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()

    def finish(self) -> tuple[int, str]:
        """Return exit status and stderr; fails after LIMIT_S."""
        _out, err = self.process.communicate(timeout=LIMIT_S)
        return self.process.returncode, err.decode()


class WatchdogProcessTest(SynchronousTestCase):
    """What ends, how, and what it says."""

    def test_a_block_for_ever_shows_the_guilty_line_and_ends_with_70(self):
        status, err = Child(self, "hang()").finish()
        self.assertEqual(status, 70)
        self.assertRegex(err, r'File "<string>", line \d+ in guilty_function')
        self.assertIn("E! [agent] The reactor made no progress for 1.5 s", err)

    def test_it_ends_with_70_although_nobody_reads_stderr(self):
        child = Child(self, "fill_stderr(); hang()")
        # Nothing is read here until the process has ended.
        self.assertEqual(child.process.wait(LIMIT_S), 70)

    def test_code_that_holds_the_interpreter_is_shown_and_ended_by_the_kernel(self):
        started_s = time.monotonic()
        status, err = Child(self, HOLDS_THE_INTERPRETER, exit=0.5, dump=0.3).finish()
        self.assertEqual(status, -signal.SIGALRM)
        self.assertIn("in guilty_function", err)
        self.assertLess(time.monotonic() - started_s, 25)

    def test_a_process_that_was_stopped_for_longer_goes_on(self):
        child = Child(self, STOPS)
        os.kill(child.process.pid, signal.SIGSTOP)
        time.sleep(3)
        os.kill(child.process.pid, signal.SIGCONT)
        status, err = child.finish()
        self.assertEqual(status, 0)
        self.assertRegex(err, r"I! \[agent\] The process stood still for \d+\.\d s")
        self.assertNotIn("No progress", err)

    def test_a_block_that_ends_is_told_in_one_line(self):
        status, err = Child(self, "time.sleep(1); " + STOPS, exit=10).finish()
        self.assertEqual(status, 0)
        self.assertRegex(err, r"W! \[agent\] The reactor was blocked for \d+\.\d s\.")
