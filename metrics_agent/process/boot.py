"""The first thing that runs, under `metrics-agent` and twistd: before anything slow is imported."""

from __future__ import annotations

import gc

from metrics_agent.clock import use_safe_clock
from metrics_agent.process.descriptors import (
    STDOUT,
    is_writable,
    secure_descriptors,
    take_stdout,
)
from metrics_agent.process.exit import ExitStatus
from metrics_agent.process.late import import_late
from metrics_agent.process.signals import Signals

__all__ = ["Process", "boot"]


class Process:
    """What belongs to the process and not to the agent in it.

    Attributes:
        exit_status: the code this process ends with.
        signals: handlers that are installed, and keep what comes until the agent is there.
        closed: which of the descriptors 0 to 2 were closed at the start; they are /dev/null now.
    """

    def __init__(self) -> None:
        self.exit_status = ExitStatus()
        self.signals = Signals(self.exit_status.now)
        self.closed: tuple[int, ...] = ()
        self._stdout: int | None = None

    @property
    def stdout_problem(self) -> str:
        """Why metrics cannot be written to stdout, a clause; empty if they can."""
        if STDOUT in self.closed:
            return "stdout is closed"
        return "" if is_writable(STDOUT) else "stdout is open for reading only"

    def stdout(self) -> int:
        """Take fd 1 for the metrics and point it at stderr; the same private fd each time."""
        if self._stdout is None:
            self._stdout = take_stdout()
        return self._stdout

    def freeze_heap(self) -> None:
        """Have the garbage collector pass over all that there is now.

        Some 60,000 objects of Python modules and classes stay as long as the process, and a full
        collection that visits them stops everything: for 30 ms, and for 0.4 s where other processes
        want the processor too. Call it before there is anything that may become garbage, since that
        would stay too.
        """
        gc.collect()
        gc.freeze()


def boot() -> Process:
    """Install signal handlers, open what is closed of fd 0 to 2, register the exit code.

    The clock is made safe first: whatever is imported later may read it.
    """
    use_safe_clock()
    import_late()
    process = Process()
    process.signals.install_early()
    process.closed = secure_descriptors()
    process.exit_status.register()
    return process
