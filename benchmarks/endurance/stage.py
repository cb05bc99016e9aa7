"""An agent with all that it collects from: a mosquitto with devices, a DTU, modules that tick.

Everything is on the loopback interface and ends with the stage. A test's case or `Cleanups` is
who ends it.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from twisted.internet.defer import ensureDeferred
from twisted.internet.task import LoopingCall

from benchmarks.endurance.ledger import Ledger
from benchmarks.endurance.vitals import Reading, rss_bytes
from tests.integration.broker import Mosquitto, free_port
from tests.integration.case import QUIET, install_modules, logged
from tests.integration.load import Load
from tests.integration.parent import HarnessParent
from tests.integration.watching import argv, environment, python_path, until

__all__ = ["Cleanups", "Stage"]

MODULES: Final = {
    "steady": "tests.faults.faulty:STEADY",
    "vitals": "benchmarks.endurance.vitals:MODULE",
}
_TAKE_EVERY_S: Final = 0.02
_LIMIT_S: Final = 60.0

_CONFIG: Final = """
state_dir = "{directory}/state"
restart_backoff_min = "100ms"
restart_backoff_max = "500ms"
module_restart_limit = 0
self_metrics_interval = "1s"
[modules.tasmota]
enabled = true
broker = "{url}"
client_id = "agent"
keepalive = "5s"
connect_timeout = "3s"
reconnect_min = "100ms"
reconnect_max = "1s"
[modules.opendtu]
enabled = true
url = "http://127.0.0.1:{dtu_port}"
reconnect_min = "100ms"
reconnect_max = "1s"
[modules.demo]
enabled = true
interval = "200ms"
trigger_file = "{directory}/trigger"
[modules."steady:one"]
enabled = true
[modules.vitals]
enabled = true
ask = "{directory}/ask"
"""


class Cleanups:
    """What a test case is for the parts of a stage, outside of a test."""

    def __init__(self) -> None:
        self._calls: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []

    def addCleanup(self, call: Callable[..., Any], *args: Any) -> None:
        """Have something called at the end, the last one first."""
        self._calls.append((call, args))

    def mktemp(self) -> str:
        """Return a path for a directory that goes away in the end, as a test case does."""
        return str(self.directory() / "room")

    def directory(self) -> Path:
        """Make a directory that goes away in the end."""
        directory = Path(tempfile.mkdtemp(prefix="endurance-"))
        self.addCleanup(shutil.rmtree, directory, True)
        return directory

    async def clean_up(self) -> None:
        """Call all of it."""
        while self._calls:
            call, args = self._calls.pop()
            done = call(*args)
            if isinstance(done, Awaitable):
                await done


class Stage:
    """The agent and its world.

    Args:
        case: whose cleanup ends everything.
        directory: an absolute path, for configuration, state and files.
        judge_every: see `Ledger`.
        more_modules: to be known and enabled beside, see `install_modules`.

    Attributes:
        broker: of the devices.
        parent: of the agent.
        ledger: what the agent has written.
        loads: by the name that their devices' names begin with.
    """

    def __init__(
        self,
        case: Any,
        directory: Path,
        *,
        judge_every: int = 1,
        more_modules: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.case = case
        self.directory = directory
        self.config_path = directory / "agent.toml"
        self.trigger_path = directory / "trigger"
        self.ledger = Ledger(judge_every)
        self.loads: dict[str, Load] = {}
        self.broker = Mosquitto.start(case, settings=(*QUIET, "max_queued_messages 0"))
        self.dtu: subprocess.Popen[bytes] | None = None
        self.dtu_port = free_port()
        self._questions = 0
        self._ask_path = directory / "ask"
        packages = directory / "packages"
        install_modules(packages, {**MODULES, **more_modules})
        self._more = "".join(f"[modules.{name}]\nenabled = true\n" for name in more_modules)
        self.parent = HarnessParent(
            case,
            argv("metrics-agent", "-c", str(self.config_path)),
            env={"PYTHONPATH": python_path(packages)},
        )
        self._taking = LoopingCall(self._take)

    async def start(self) -> None:
        """Start the DTU and the agent; returns when all modules have written something."""
        self.case.addCleanup(self.stop_dtu)
        self.start_dtu()
        self.configure()
        all_write = ensureDeferred(self.writes(b"steady", b"demo", b"dtu"))
        self.parent.start()
        self._taking.start(_TAKE_EVERY_S)
        self.case.addCleanup(self._taking.stop)
        await self.said("Started with modules", 0)
        await self.said("Connected to", 0)
        await all_write

    def configure(self, more: str = "") -> None:
        """Write the configuration."""
        text = _CONFIG.format(directory=self.directory, url=self.broker.url, dtu_port=self.dtu_port)
        new = self.config_path.with_suffix(".new")
        new.write_text(text + self._more + more, "utf-8")
        new.chmod(0o640)
        new.replace(self.config_path)

    # The devices.

    async def load(self, name: str, *, devices: int, rate: float, qos: int) -> Load:
        """Connect a load; its numbers go on where they stopped. It does not send yet."""
        before = self.loads.get(name)
        load = await Load.connect(
            self.case, self.broker.port, devices=devices, rate=rate, qos=qos, name=name
        )
        if before is not None:
            load.sent.update(before.sent)
        self.loads[name] = load
        return load

    async def all_arrived(self, limit_s: float = _LIMIT_S) -> None:
        """Wait until the last message of each device is there."""
        sent = {}
        for load in self.loads.values():
            sent |= await load.barrier()

        def missing() -> dict[str, int]:
            return {
                device: number
                for device, number in sent.items()
                if number and self._highest(device) < number
            }

        await until(
            lambda: not missing(), lambda: f"the last of {missing()}: {self.log_end()}", limit_s
        )

    def _highest(self, device: str) -> int:
        series = self.ledger.devices.get(device)
        return 0 if series is None else series.highest

    # The DTU.

    def start_dtu(self) -> None:
        """Start the DTU."""
        self.dtu = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.endurance.dtu", str(self.dtu_port)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment(),
        )

    def stop_dtu(self) -> None:
        """Kill the DTU."""
        if self.dtu is not None:
            self.dtu.kill()
            self.dtu.wait()
            self.dtu = None

    # The agent.

    def signal(self, number: signal.Signals) -> None:
        """Send the agent a signal."""
        self.parent.signal_agent(number)

    async def reload(self) -> None:
        """Have all modules restarted, and wait until they are.

        The log is no witness: of twenty and more reloads in ten seconds it tells the count.
        """
        lives = len(self.ledger.steady)
        self.signal(signal.SIGHUP)
        await until(
            lambda: len(self.ledger.steady) > lives,
            lambda: f"new instances: {self.log_end()}",
            _LIMIT_S,
        )

    async def said(self, text: str, since: int, limit_s: float = _LIMIT_S) -> None:
        """Wait until a text is in the log, from a line on."""
        position = since

        def found() -> bool:
            nonlocal position
            lines = self.parent.log[position:]
            position += len(lines)
            return any(text in said.text for said in lines)

        await until(found, lambda: f"{text!r} in the log: {self.log_end()}", limit_s)

    async def writes(self, *measurements: bytes, limit_s: float = _LIMIT_S) -> None:
        """Wait until the agent has written some measurements again."""
        before = dict(self.ledger.measurements)

        def silent() -> list[bytes]:
            return [
                name
                for name in measurements
                if self.ledger.measurements.get(name, 0) <= before.get(name, 0)
            ]

        await until(
            lambda: not silent(), lambda: f"metrics of {silent()}: {self.log_end()}", limit_s
        )

    async def reading(self) -> Reading:
        """Ask the agent how it is doing."""
        self._questions += 1
        number = self._questions
        new = self._ask_path.with_suffix(".new")
        new.write_text(str(number), "ascii")
        new.replace(self._ask_path)
        await until(
            lambda: number in self.ledger.answers,
            lambda: f"an answer of the module vitals: {self.log_end()}",
            _LIMIT_S,
        )
        answer = self.ledger.answers.pop(number)
        return Reading(**answer, rss=rss_bytes(self.parent.agent_pid))

    def log_end(self) -> str:
        """Return the last lines of the log."""
        return logged(self.parent.log)

    def _take(self) -> None:
        data = bytes(self.parent.output)
        self.parent.output.clear()
        if data:
            self.ledger.take(data)


def run(main: Callable[[Cleanups], Awaitable[int]]) -> int:
    """Run a command on the reactor, clean up, also after Ctrl-C, and return its status."""
    from twisted.internet import reactor
    from twisted.python.failure import Failure

    codes: list[int] = []
    cleanups = Cleanups()

    async def all_of_it() -> None:
        codes.append(await main(cleanups))

    def failed(failure: Failure) -> None:
        # After Ctrl-C what was still waited for has been taken away.
        if reactor.running:
            failure.printTraceback(sys.stderr)

    def begin() -> None:
        work = ensureDeferred(all_of_it()).addErrback(failed)
        work.addBoth(lambda _result: reactor.running and reactor.stop())

    reactor.callWhenRunning(begin)
    reactor.addSystemEventTrigger("before", "shutdown", lambda: ensureDeferred(cleanups.clean_up()))
    reactor.run()
    return codes[0] if codes else 1
