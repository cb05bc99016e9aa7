"""The real Telegraf as the agent's parent, with the interface of `parent.HarnessParent`.

Its configuration is the file that is shipped, ``deploy/telegraf/metrics-agent.conf``. What a test
must have otherwise is put into the very lines of that file: the command, since the agent is not in
/usr/local/bin, and where it says so the delay and the signal. An agent section and an output to a
file are added.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import SkipTest

from twisted.trial.unittest import TestCase

from tests.integration.watching import Said, children, environment, is_alive, until
from tests.needs import find

__all__ = ["SHIPPED", "TelegrafParent", "changed", "telegraf_path"]

SHIPPED = Path(__file__).parents[2] / "deploy" / "telegraf" / "metrics-agent.conf"
STOP_LIMIT_S = 30.0

_AGENT = """
[agent]
  interval = "{interval}"
  flush_interval = "100ms"
  metric_buffer_limit = 1000000
  omit_hostname = true
  debug = true
  skip_processors_after_aggregators = true
"""
_TO_FILE = """
[[outputs.file]]
  files = ["{path}"]
  data_format = "influx"
"""
_LOG_LINE = re.compile(r"\S+ ([EWIDT])! \[inputs\.execd\] (.*)")
_EXIT = re.compile(r"Process \S+ exited: (?:exit status (\d+)|signal: (\w+)|(.*))")
_SIGNALS = {"killed": -signal.SIGKILL, "terminated": -signal.SIGTERM, "hangup": -signal.SIGHUP}


def telegraf_path() -> str:
    """Return the path of Telegraf; skip the test where there is none, or not the whole tree."""
    path = find("telegraf")
    if not SHIPPED.exists():
        raise SkipTest(f"{SHIPPED} is not there: the tests run without the source tree")
    return path


class TelegrafParent:
    """Telegraf with the agent as its child; ends with the test.

    Args:
        case: whose cleanup ends everything.
        command: the agent and its arguments.
        restart_delay_s: as in the shipped file if None.
        env: added to Telegraf's environment, which the agent inherits.
        interval: at which Telegraf gathers.
        signal_setting: as in the shipped file if None.
        outputs: what is added beside the output to a file.
        agent: lines that are added to the section of Telegraf itself.

    Attributes:
        process: Telegraf itself.
    """

    def __init__(
        self,
        case: TestCase,
        command: Sequence[str],
        *,
        restart_delay_s: float | None = 1.0,
        env: Mapping[str, str] | None = None,
        interval: str = "1s",
        signal_setting: str | None = None,
        outputs: str = "",
        agent: str = "",
    ) -> None:
        self._telegraf = telegraf_path()
        self._directory = Path(case.mktemp()).absolute()
        self._directory.mkdir()
        self._env = environment(env)
        self._output_path = self._directory / "output.lp"
        self._log_path = self._directory / "log"
        self._config = self._directory / "telegraf.conf"
        changes: dict[str, str] = {"command": f"[{', '.join(map(_quoted, command))}]"}
        if restart_delay_s is not None:
            changes["restart_delay"] = f'"{round(restart_delay_s * 1000)}ms"'
        if signal_setting is not None:
            changes["signal"] = f'"{signal_setting}"'
        text = changed(SHIPPED.read_text("utf-8"), changes)
        text += _AGENT.format(interval=interval) + agent
        text += _TO_FILE.format(path=self._output_path) + outputs
        self._config.write_text(text, "utf-8")
        self._seen: set[int] = set()
        self._output = _Growing(self._output_path)
        self._log = _Growing(self._log_path)
        self._said: list[Said] = []
        self.process: subprocess.Popen[bytes] | None = None
        case.addCleanup(self._clean_up)

    @property
    def agent_pid(self) -> int:
        """The process id of the agent that runs; 0 if none does."""
        if self.process is None:
            return 0
        found = [pid for pid in children(self.process.pid) if is_alive(pid)]
        self._seen.update(found)
        return found[0] if found else 0

    @property
    def output(self) -> bytearray:
        """What Telegraf wrote into its file."""
        return self._output.all()

    @property
    def log(self) -> list[Said]:
        """What Telegraf logged of the agent, and of its dealings with it."""
        text = self._log.all()
        lines = bytes(text).decode("utf-8", "replace").split("\n")[:-1]
        if len(lines) != self._log.lines:
            self._log.lines = len(lines)
            self._said = [
                Said(match[1], match[2]) for match in map(_LOG_LINE.fullmatch, lines) if match
            ]
        return self._said

    @property
    def whole_log(self) -> str:
        """All that Telegraf logged, about whatever."""
        return bytes(self._log.all()).decode("utf-8", "replace")

    @property
    def exits(self) -> list[int]:
        """The status of each run that ended, negative for a signal."""
        found = []
        for said in self.log:
            match = _EXIT.fullmatch(said.text)
            if match is not None:
                known = _SIGNALS.get(match[2], -1) if match[2] else 0
                found.append(int(match[1]) if match[1] else int(known))
        return found

    @property
    def starts(self) -> int:
        """How often the agent was started."""
        return sum(said.text.startswith("Starting process: ") for said in self.log)

    def lines(self) -> list[bytes]:
        """Return the whole lines that were written."""
        return bytes(self.output).split(b"\n")[:-1]

    def test(self, wait_s: int) -> str:
        """Return what ``telegraf --test`` writes to its stdout in so many seconds."""
        done = subprocess.run(
            [self._telegraf, "--config", str(self._config), "--test", "--test-wait", str(wait_s)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=self._env,
            cwd=self._directory,
            timeout=STOP_LIMIT_S + wait_s,
            check=True,
        )
        return done.stdout.decode()

    def start(self) -> None:
        """Start Telegraf."""
        with self._log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [self._telegraf, "--config", str(self._config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._env,
                cwd=self._directory,
            )

    async def stop(self) -> float:
        """Stop Telegraf as systemd does: SIGTERM to it alone.

        Returns:
            The seconds until the agent was gone.
        """
        process = self._running()
        pid = self.agent_pid
        began_s = time.monotonic()
        self.begin_stop()
        await until(lambda: not (pid and is_alive(pid)), "the agent's end", STOP_LIMIT_S)
        took_s = time.monotonic() - began_s
        await until(lambda: process.poll() is not None, "Telegraf's end", STOP_LIMIT_S)
        return took_s

    def begin_stop(self) -> None:
        """Begin what `stop` waits for."""
        self._running().terminate()

    def kill(self) -> None:
        """Kill Telegraf with -9."""
        process = self._running()
        _ = self.agent_pid  # note it, for the cleanup
        process.kill()
        process.wait(STOP_LIMIT_S)

    def freeze(self) -> None:
        """Stop Telegraf with SIGSTOP."""
        self._running().send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let Telegraf go on."""
        self._running().send_signal(signal.SIGCONT)

    def signal_agent(self, number: signal.Signals) -> None:
        """Send the agent a signal."""
        os.kill(self.agent_pid, number)

    def _running(self) -> subprocess.Popen[bytes]:
        assert self.process is not None, "Telegraf was not started"
        return self.process

    async def _clean_up(self) -> None:
        if self.process is not None:
            _ = self.agent_pid
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait(STOP_LIMIT_S)
        for pid in self._seen:
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)


class _Growing:
    """A file that someone appends to, read piece by piece."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = bytearray()
        self.lines = -1

    def all(self) -> bytearray:
        if self._path.exists():
            with self._path.open("rb") as stream:
                stream.seek(len(self._read))
                self._read += stream.read()
        return self._read


def changed(config: str, settings: Mapping[str, Any]) -> str:
    """Return a configuration with other values for keys that stand in it exactly once."""
    for key, value in settings.items():
        config, count = re.subn(
            rf"^(\s*{key}\s*=\s*).*$",
            lambda match, value=value: match[1] + value,
            config,
            flags=re.MULTILINE,
        )
        if count != 1:
            raise AssertionError(f"{key} stands {count} times in the configuration, expected once")
    return config


def _quoted(text: str) -> str:
    return f"'{text}'"
