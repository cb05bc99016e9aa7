"""The command `metrics-agent demo`, as a user runs it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

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

    def start(self) -> subprocess.Popen[str]:
        """Start the demo in a process group of its own, as a shell does."""
        # A demo that is killed cannot clean up behind itself.
        directory = tempfile.mkdtemp(prefix="demo-")
        self.addCleanup(shutil.rmtree, directory)
        process = subprocess.Popen(
            [sys.executable, "-m", "metrics_agent", "demo"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
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
        """Lines are valid, Ctrl-C reaches the whole group, and nothing is left."""
        process = self.start()
        self.read_until(process, DEVICES)
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

    def test_ctrl_c_while_it_connects(self) -> None:
        """What broker and DTU say of the connections that this cuts is not shown."""
        for _ in range(4):
            process = self.start()
            assert process.stderr is not None
            said = ""
            while "[tasmota] Started." not in said:
                line = process.stderr.readline()
                self.assertTrue(line, said)
                said += line
            os.killpg(process.pid, signal.SIGINT)
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
        assert process.stderr is not None
        trigger = None
        while trigger is None:
            found = re.search(r"contained: touch (\S+)", process.stderr.readline())
            trigger = found and found.group(1)
        Path(trigger).touch()
        while "Error in tick" not in process.stderr.readline():
            pass
        self.read_until(process, DEVICES, MEASUREMENTS - {"demo"})
