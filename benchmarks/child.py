"""A process under measurement: started by us, measured from outside, ended by us."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, final

from attrs import frozen

__all__ = ["Child", "Memory", "cpu_s_of"]

_STOP_TIMEOUT_S: Final = 10.0
_CPUCLOCK_SCHED: Final = 2


def cpu_s_of(pid: int) -> float:
    """Return the CPU time of a process, user and system, all of its threads, in seconds.

    The kernel's clock of the process counts nanoseconds; /proc/PID/stat the same in steps of 10 ms.

    Raises:
        OSError: there is no such process.
    """
    # The number of another process's clock: MAKE_PROCESS_CPUCLOCK in the kernel's posix-timers.h.
    return time.clock_gettime_ns((~pid << 3) | _CPUCLOCK_SCHED) / 1e9


@frozen
class Memory:
    """Memory of a process, bytes.

    Attributes:
        rss: resident, what it shares with others counted in full.
        pss: the same, what n processes share counted as an n-th.
        private: what would be free without it.
    """

    rss: int
    pss: int
    private: int

    @classmethod
    def of(cls, pid: int) -> Memory:
        """Read it from /proc/PID/smaps_rollup."""
        sizes: dict[str, int] = {}
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()[1:]:
            name, _, value = line.partition(":")
            sizes[name] = int(value.split()[0]) * 1024
        private = sizes["Private_Clean"] + sizes["Private_Dirty"]
        return cls(rss=sizes["Rss"], pss=sizes["Pss"], private=private)


@final
class Child:
    """A subject: its stdout is a pipe to us, its stderr a file; a context manager that ends it.

    Args:
        argv: the command.
        directory: where it runs and where ``stderr`` is kept.
        environment: added to ours.
        name: of the file for stderr, where several run in one directory.
    """

    def __init__(
        self,
        argv: Sequence[str],
        directory: Path,
        environment: Mapping[str, str] | None = None,
        name: str = "subject",
    ) -> None:
        self.argv = tuple(argv)
        self.stderr_path = directory / f"{name}.stderr"
        with self.stderr_path.open("ab") as stderr:
            self.started_ns = time.monotonic_ns()
            self.process = subprocess.Popen(
                self.argv,
                cwd=directory,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env={**os.environ, **(environment or {})},
            )

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    @property
    def stdout(self) -> int:
        """The descriptor to read its output from."""
        assert self.process.stdout is not None
        return self.process.stdout.fileno()

    @property
    def stderr(self) -> str:
        """What it has written to stderr."""
        return self.stderr_path.read_text("utf-8", "replace")

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.process.poll() is None

    @property
    def cpu_s(self) -> float:
        """Its CPU time so far."""
        return cpu_s_of(self.pid)

    @property
    def wakeups(self) -> int:
        """How often its threads have waited for something so far."""
        return sum(map(_waits_of, Path(f"/proc/{self.pid}/task").iterdir()))

    @property
    def memory(self) -> Memory:
        """Its memory now."""
        return Memory.of(self.pid)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def stop(self) -> int:
        """End it, first in order, then for sure; return its status."""
        process = self.process
        if process.poll() is None:
            process.terminate()
            try:
                # No one reads its output any more, which must not keep it from ending.
                process.communicate(timeout=_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        return process.wait()

    def explain(self, what: str) -> RuntimeError:
        """Return an error that says what happened, with the end of its stderr."""
        state = "runs" if self.alive else f"ended with {self.process.returncode}"
        tail = "\n".join(self.stderr.splitlines()[-15:])
        return RuntimeError(f"{what}; {' '.join(self.argv)} {state}; its stderr ends:\n{tail}")


def _waits_of(task: Path) -> int:
    with contextlib.suppress(OSError):  # a thread that has just ended
        for line in (task / "status").read_text("ascii", "replace").splitlines():
            if line.startswith("voluntary_ctxt_switches"):
                return int(line.split()[1])
    return 0
