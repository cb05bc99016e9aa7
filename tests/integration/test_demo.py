"""The command `metrics-agent demo`, as a user runs it."""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.request import urlopen

from line_protocol_parser import parse_line
from twisted.trial.unittest import SynchronousTestCase

from tests.needs import missing

LIMIT_S = 60
MEASUREMENTS = frozenset(
    {"electricity", "climate", "device", "switch", "state", "inverter", "battery", "demo"}
)
DEVICES = 15
"""Six of Tasmota; three inverters, their total, a battery, a power meter and the DTU; a Zigbee
sensor and a node with ESPHome."""


class DemoTests(SynchronousTestCase):
    """Broker, devices and agent together."""

    skip = missing("amqtt")

    def start(self, *options: str, stdout: int = subprocess.PIPE) -> subprocess.Popen[str]:
        """Start the demo in a process group of its own, as a shell does."""
        # A demo that is killed cannot clean up behind itself.
        directory = tempfile.mkdtemp(prefix="demo-")
        self.addCleanup(shutil.rmtree, directory)
        process = subprocess.Popen(
            [sys.executable, "-m", "metrics_agent", "demo", *options],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": directory},
            start_new_session=True,
        )
        self.addCleanup(self.end, process)
        return process

    def end(self, process: subprocess.Popen[str]) -> None:
        """Leave nothing behind, whatever happened."""
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()

    def read_until(
        self, process: subprocess.Popen[str], devices: int, wanted: frozenset[str] = MEASUREMENTS
    ) -> list[str]:
        """Return lines until so many devices were seen and each measurement wanted."""
        assert process.stdout is not None
        lines: list[str] = []
        seen: set[str] = set()
        measurements: set[str] = set()
        deadline = time.monotonic() + LIMIT_S
        while len(seen) < devices or not measurements >= wanted:
            self.assertLess(time.monotonic(), deadline, (seen, measurements))
            line = process.stdout.readline()
            self.assertTrue(line, "the demo ended")
            lines.append(line)
            parsed = parse_line(line)
            measurements.add(parsed["measurement"])
            seen.add(parsed["tags"].get("device", ""))
            seen.discard("")
        return lines

    def test_metrics_of_all_devices_appear_and_ctrl_c_ends_it_cleanly(self) -> None:
        """Lines are valid, Ctrl-C reaches the whole group, and nothing is left.

        The address of the page comes first, and once more, and it works.
        """
        process = self.start()
        assert process.stderr is not None
        first = process.stderr.readline()
        (address,) = re.findall(r"http://127\.0\.0\.1:\d+/", first)
        self.read_until(process, DEVICES)
        for path, text in (("", b"<h1"), ("healthz", b"ok"), ("status.json", b'"Fridge"')):
            with urlopen(address + path, timeout=LIMIT_S) as answer:
                self.assertIn(text, answer.read())
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=LIMIT_S)
        self.assertEqual(process.returncode, 0, err)
        for line in out.splitlines():
            parse_line(line)
        self.assertIn("I! [agent] Stopping: got SIGINT.\n", err)
        self.assertRegex(err, r"I! \[agent\] Stopped: \d+ metrics written, none lost\.\n\Z")
        self.assertNotIn("Traceback", err)
        self.assertNotIn("Trying", err)  # each connection works at the first attempt
        self.assertRaises(ProcessLookupError, os.killpg, process.pid, 0)
        (path,) = re.findall(r"The configuration is (\S+)\.", err)
        self.assertFalse(Path(path).parent.exists())

    def test_terminal(self) -> None:
        """It shows a summary, no lines, unless they are asked for; Ctrl-C ends it cleanly."""
        process, terminal = self.start_on_terminal()
        shown = self.read_terminal(terminal, r"(?s)metrics/s.*Fridge [\d.]+ W")
        self.assertRegex(
            shown,
            r"\n\d+ metrics/s of \d+ devices; running: tasmota, hadiscovery, opendtu, demo\r\n",
        )
        self.assertNotIn("electricity,", shown)
        os.killpg(process.pid, signal.SIGINT)
        _out, err = process.communicate(timeout=LIMIT_S)
        self.assertEqual(process.returncode, 0, err)
        start, reminder = err.partition("Open http://")[::2]
        for text in ("Started with modules", "Connected to ws:", "Discovered 6 devices"):
            self.assertIn(text, start)
        self.assertRegex(reminder, r"\A127\.0\.0\.1:\d+/ in a browser\. .* touch /\S+\n")
        self.assertNotIn("Traceback", err)
        process, terminal = self.start_on_terminal("--lines")
        self.read_terminal(terminal, r"(?m)^electricity,")

    def start_on_terminal(self, *options: str) -> tuple[subprocess.Popen[str], int]:
        """Start the demo with a terminal as its stdout; return that too."""
        ours, theirs = os.openpty()
        self.addCleanup(os.close, ours)
        process = self.start(*options, stdout=theirs)
        os.close(theirs)
        return process, ours

    def read_terminal(self, terminal: int, wanted: str) -> str:
        """Return what a terminal shows up to a pattern."""
        shown = ""
        deadline = time.monotonic() + LIMIT_S
        while not re.search(wanted, shown):
            self.assertLess(time.monotonic(), deadline, shown)
            if select.select([terminal], [], [], 1)[0]:
                shown += os.read(terminal, 65536).decode()
        return shown

    def test_a_stop_while_it_connects(self) -> None:
        """By Ctrl-C, or SIGTERM to the whole group, as a supervisor may send it.

        What broker and DTU say of the connections that this cuts is not shown.
        """
        for number in 2 * (signal.SIGINT, signal.SIGTERM):
            process = self.start()
            assert process.stderr is not None
            said = ""
            while "[tasmota] Started." not in said:
                line = process.stderr.readline()
                self.assertTrue(line, said)
                said += line
            os.killpg(process.pid, number)
            _out, err = process.communicate(timeout=LIMIT_S)
            self.assertEqual(process.returncode, 0, err)
            self.assertRegex(err, r"I! \[agent\] Stopped: \d+ metrics written, none lost\.\n\Z")
            self.assertNotIn("simulation", said + err)

    def test_a_killed_demo_leaves_no_children(self) -> None:
        """Broker and devices end with the pipe that the demo held."""
        process = self.start()
        self.read_until(process, 1)
        process.kill()
        process.wait()
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline:
            try:
                os.killpg(process.pid, 0)
            except ProcessLookupError:
                return
            time.sleep(0.05)
        self.fail("a child lives on")

    def test_the_failure_that_the_log_proposes_is_contained(self) -> None:
        """Touching the file that the log names shows an error, and the devices go on."""
        process = self.start()
        found = self.read_log_until(process, r"contained: touch (\S+)")
        Path(found[1]).touch()
        self.read_log_until(process, "Error in tick")
        self.read_until(process, DEVICES, MEASUREMENTS - {"demo"})

    def read_log_until(self, process: subprocess.Popen[str], wanted: str) -> re.Match[str]:
        """Return what a pattern finds in the next line that has it."""
        assert process.stderr is not None
        for line in process.stderr:
            if found := re.search(wanted, line):
                return found
        raise AssertionError(f"the demo ended without {wanted!r} in its log")
