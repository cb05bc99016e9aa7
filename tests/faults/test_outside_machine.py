"""Faults of the machine: disks, the clock, limits."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from twisted.internet.threads import deferToThread

from tests.faults.case import TOP
from tests.faults.disk import mount
from tests.faults.news import assert_news, downs
from tests.faults.outside import outside
from tests.faults.outside_case import OutsideCase
from tests.integration.broker import Mosquitto
from tests.integration.watching import argv, environment, memory_bytes, pause, python_path, until
from tests.needs import find

DAY_S = 24 * 3600
MEBI = 1024 * 1024
BEYOND = "@2300-01-01 00:00:00"
UNSET = "@1970-01-01 00:00:10"
MODULES = {"probe": "tests.integration.probe:MODULE"}
_COUNT = re.compile(rb"count number=(\d+)i (\d+)")


def limit_memory(pid: int, more: int) -> None:
    """Let a process have so much more than it has, until the limit is raised."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + more
    resource.prlimit(pid, resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))


# The loss, why it lasts, that nothing was reloaded.
NO_DESCRIPTORS = (
    r"W! \[mqtt:numbered:agent\] Lost the connection to .* Trying again\.",
    r"W! \[mqtt:numbered:agent\] Cannot connect to .*: {0}, raise the {1}\. Trying again\.",
    r"E! \[agent\] Reload rejected; .*agent\.toml: cannot be read: {0}, raise the {1}",
)


class MachineTests(OutsideCase):
    """What the machine does to us."""

    def mount(self, name: str, options: str) -> Path:
        """Mount a file system in memory; it is gone with the test."""
        return mount(self, self.directory / name, options)

    def remount(self, disk: Path, options: str) -> None:
        """Change a mounted disk."""
        subprocess.run(["mount", "-o", f"remount,{options}", str(disk)], check=True)

    async def state_fault(self, name: str, state: Path, reason: str) -> None:
        """Run with a state directory that cannot be used: reported, and everything works."""
        broker = Mosquitto.start(self)
        self.at_broker(broker.url, broker)
        text = self.config_path.read_text()
        self.config_path.write_text(text.replace(f"{self.directory}/state", str(state)))
        parent = await self.start_beside()
        await self.at_work(parent)
        await self.said(parent, f"Cannot write to the state directory {state}", "W")
        await self.at_fault.works(parent)
        logged = [said.text for said in parent.log if str(state) in said.text]
        self.assertEqual(len(logged), 1, logged)
        self.assertIn(reason, logged[0])
        self.assertFalse(self.lines_with(parent, "", "E"))
        await self.finish(name, parent, down=1)

    async def test_state_disk_full(self) -> None:
        """There is no room where state is kept."""
        state = self.mount("full", "size=4k,nr_inodes=3")
        with (state / "fill").open("wb") as file:
            file.write(bytes(4096))
        (state / "mqtt").mkdir()
        await self.state_fault("state_disk_full", state, "No space left on device")

    async def test_state_read_only(self) -> None:
        """Nothing can be written where state is kept, and what an earlier run kept is there."""
        state = self.mount("read-only", "size=1m")
        (state / "mqtt").mkdir()
        kept = state / "mqtt" / "agent"
        kept.write_text('{"filters": ["numbers/agent/+/+"]}')
        self.remount(state, "ro")
        await self.state_fault("state_read_only", state, "Read-only file system")
        self.assertEqual([*state.rglob("*")], [kept.parent, kept])
        checked = await deferToThread(
            subprocess.run,
            argv("metrics-agent", "check", "-c", str(self.config_path)),
            env=environment({"PYTHONPATH": python_path(self.directory / "packages")}),
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertIn(f"cannot keep state in {state}: Read-only file system", checked.stdout)

    async def test_output_disk_full(self) -> None:
        """The disk of the output file is full for a while: kept in bounds, then all is written."""
        disk = self.mount("disk", "size=64k")
        output = disk / "metrics"
        self.healthy_beside("", TOP + f'output = "{output}"\n')
        parent = await self.start_beside()
        await self.said(parent, "Cannot write to the output", "E")
        taken = output.read_bytes()
        self.assertEqual(len(self.lines_with(parent, "Cannot write to the output")), 1)
        since_s = time.monotonic()
        self.remount(disk, "size=16m")
        await self.said(parent, "The output works again", "I")
        recovered_ms = (time.monotonic() - since_s) * 1000
        await pause(0.2)
        self.assertEqual(output.read_bytes()[: len(taken)], taken)
        await self.beside.enough_sent()
        await assert_news(self, parent, 1, 1)
        await parent.stop()
        self.assertEqual((parent.exits, parent.starts), ([0], 1))
        # The output of this agent is a file: it represents what the parent would have read.
        parent.output += output.read_bytes()
        await self.judge(outside("output_disk_full"), parent, recovered_ms=recovered_ms)

    async def test_clock_jumps(self) -> None:
        """The wall clock jumps by a day, and back: timers and watchdog do not mind."""
        await self.less_of_the_library(self._clock_jumps)

    async def _clock_jumps(self) -> None:
        parent = await self.start_with_clock(f"+{DAY_S}")
        for jump in (f"+{2 * DAY_S}", f"+{DAY_S}", "+0"):
            self.set_clock(jump)
            await pause(1)
        await self.finish("clock_jumps", parent)

    async def test_clock_out_of_range(self) -> None:
        """Python cannot even read such a clock: it is reported, and everything runs."""
        await self.less_of_the_library(self._clock_out_of_range)

    async def _clock_out_of_range(self) -> None:
        parent = await self.start_with_clock("+0")
        await until(lambda: self.counted(parent), "a metric")
        self.set_clock(BEYOND)
        await self.said(parent, "jumped to 2262-04-11", "W")
        had = len(self.counted(parent))
        await until(lambda: len(self.counted(parent)) > had + 3, "metrics after the jump")
        self.assert_now(self.counted(parent))
        await self.finish("clock_out_of_range", parent, down=1)

        parent = await self.start(modules=MODULES, env=self.faked(BEYOND))
        await self.said(parent, "says 2262-04-11 23:47:16 UTC, which is wrong", "W")
        await self.said(parent, "Started with modules", "I")
        await pause(0.3)
        self.assertFalse(self.counted(parent))
        self.assertLess(await parent.stop(), 5)
        self.assertEqual(parent.exits, [0])
        lines = [line for line in parent.lines() if line.startswith(b"count ")]
        self.assertTrue(lines)
        for line in lines:
            self.assertRegex(line, rb"\Acount number=\d+i\Z")

    async def test_clock_unset(self) -> None:
        """A board without a clock: held, then each point has the time at which it was taken."""
        await self.less_of_the_library(self._clock_unset)

    async def _clock_unset(self) -> None:
        parent = await self.start_with_clock(UNSET)
        await self.said(parent, "says 1970-01-01 00:00:", "W")
        await self.said(parent, "Started with modules", "I")
        await pause(0.5)
        self.assertEqual(parent.lines(), [])
        self.set_clock("+0")
        await self.said(parent, "The clock of this machine is set", "I")
        await until(lambda: len(self.counted(parent)) > 8, "what was held, and what came later")
        self.assertEqual(self.counted(parent)[0][0], 1)
        self.assert_now(self.counted(parent))
        self.assertNotIn(b"\x00", parent.output)
        await self.finish("clock_unset", parent, down=1)

    async def less_of_the_library(self, scenario: Callable[[], Awaitable[None]]) -> None:
        """Go through a scenario, up to three times for the gap: libfaketime makes some itself.

        It is between each lock of the process and the kernel, and where threads wait for each other
        it has been seen to add 0.4 s; a gap of our own is there each time.
        """
        for last in (False, False, True):
            try:
                await scenario()
            except self.failureException as error:  # noqa: PERF203 - three times at most
                if last or "the machine's own" not in str(error):
                    raise
            else:
                return

    def faked(self, clock: str) -> dict[str, str]:
        """Return the environment of a process whose wall clock is what `clock` says."""
        # Each reading of the clock opens this file: on a busy disk that takes up to 300 ms.
        memory = TemporaryDirectory(dir="/dev/shm")
        self.addCleanup(memory.cleanup)
        self.clock = Path(memory.name) / "clock"
        self.set_clock(clock)
        return {
            "LD_PRELOAD": find("libfaketime"),
            "FAKETIME_TIMESTAMP_FILE": str(self.clock),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set_clock(self, clock: str) -> None:
        """Set the wall clock of the processes that have it, all at once."""
        new = self.clock.with_suffix(".new")
        new.write_text(clock)
        new.replace(self.clock)

    async def start_with_clock(self, clock: str) -> Any:
        """Start an agent with another clock, and a module that counts with its time."""
        top = TOP + 'watchdog_dump = "1s"\nwatchdog_exit = "3s"\n'
        self.healthy_beside(self.probe("count"), top)
        return await self.start_beside(modules=MODULES, env=self.faked(clock))

    def counted(self, parent: Any) -> list[tuple[int, int]]:
        """Return number and time of the points of the module that counts."""
        found = (_COUNT.fullmatch(line) for line in parent.lines())
        return [(int(match[1]), int(match[2])) for match in found if match]

    def assert_now(self, points: list[tuple[int, int]]) -> None:
        """Points that were taken every 100 ms until now have such times."""
        gaps_s = [(after[1] - before[1]) / 1e9 for before, after in pairwise(points)]
        self.assertTrue(all(0.01 < gap_s < 0.6 for gap_s in gaps_s), gaps_s)
        self.assertLess(abs(points[-1][1] / 1e9 - time.time()), 1.5)

    async def test_no_descriptors(self) -> None:
        """No descriptor is left when the broker is back: reported, and connected once there is."""
        broker = Mosquitto.start(self)
        self.at_broker(broker.url, broker)
        parent = await self.start_beside()
        await self.at_work(parent)
        # State is written once more a second later, and then not for minutes.
        state = list((self.directory / "state/mqtt").glob("*.json"))
        self.assertEqual(len(state), len(self.messages))
        await until(lambda: max(each.stat().st_mtime for each in state) < time.time() - 2, "state")
        pid = parent.agent_pid
        broker.kill()
        await self.said(parent, "Lost the connection", "W")
        _soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        # Below what is open: none can be opened, what is open stays.
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, hard))
        broker.start_again()
        await pause(1.5)
        self.assertFalse(self.lines_with(parent, "again after"))
        parent.signal_agent(signal.SIGHUP)  # the configuration cannot be opened either
        await self.said(parent, "Reload rejected", "E")
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (1024, hard))
        since_s = time.monotonic()
        await self.said(parent, "again after", "I")
        recovered_ms = await self.works_again(parent, since_s)
        found = downs(parent)
        self.assertEqual(len(found), len(NO_DESCRIPTORS), found)
        for expected in NO_DESCRIPTORS:
            line = expected.format("Too many open files", r"limit of open files \(.*\)")
            self.assertEqual(sum(re.fullmatch(line, each) is not None for each in found), 1, found)
        await self.finish("no_descriptors", parent, down=3, up=1, recovered_ms=recovered_ms)

    async def test_memory_limit(self) -> None:
        """A module asks for more than there is: its fault, and no other's."""
        struck = self.directory / "strikes"
        self.healthy_beside(
            f'[modules.faulty]\nenabled = true\nplace = "timer"\nfault = "allocate"\n'
            f'strikes = "{struck}"\npause = "1s"\n'
        )
        parent = await self.start_beside()
        pid = parent.agent_pid
        limit_memory(pid, 100 * MEBI)
        await self.said(parent, "MemoryError", "E")
        self.assertLess(memory_bytes(pid), 200 * MEBI)
        await pause(0.3)
        await self.finish("memory_limit", parent, down=1)
