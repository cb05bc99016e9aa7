"""How many system calls a process makes, counted by the kernel.

``perf stat`` counts the event ``raw_syscalls:sys_enter``, in all threads. strace would stop the
process at each call, so messages would gather and fewer calls take more of them; /proc/PID/io
counts reads and writes of files only.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from types import TracebackType
from typing import Final, final

__all__ = ["SystemCalls", "count_of"]

_EVENT: Final = "raw_syscalls:sys_enter"
_TIMEOUT_S: Final = 10.0


@final
class SystemCalls:
    """Counts from its beginning to its end; a context manager, for one use.

    Args:
        pid: of the process.

    Attributes:
        count: of system calls; None before the end.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.count: int | None = None

    @staticmethod
    def missing() -> str:
        """Return why they cannot be counted here, empty if they can."""
        try:
            with SystemCalls(os.getpid()) as calls:
                os.getppid()
        except (OSError, RuntimeError) as error:
            return str(error).splitlines()[0]
        return "" if calls.count else "perf has counted none"

    def __enter__(self) -> SystemCalls:
        path = shutil.which("perf")
        if path is None:
            raise RuntimeError("perf is not on the PATH")
        self._output = tempfile.NamedTemporaryFile(prefix="bench-perf-")
        control, self._control = os.pipe()
        self._answers, answers = os.pipe()
        self._process = subprocess.Popen(
            [
                *(path, "stat", "-x,", "-e", _EVENT, "-p", str(self._pid)),
                *("-o", self._output.name, "-D", "-1", "--control", f"fd:{control},{answers}"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=(control, answers),
            env={**os.environ, "LC_ALL": "C"},
        )
        os.close(control)
        os.close(answers)
        try:
            self._tell("enable")
        except RuntimeError as error:
            _output, said = self._end()
            raise RuntimeError(f"{error}: {said}") from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        output = ""
        try:
            if kind is None:
                self._tell("disable")
        finally:
            output, _said = self._end()
        if kind is None:
            self.count = count_of(output)

    def _tell(self, what: str) -> None:
        """Give perf a command, and return when it has been carried out."""
        with suppress(BrokenPipeError):
            os.write(self._control, f"{what}\n".encode())
        ready, _, _ = select.select([self._answers], [], [], _TIMEOUT_S)
        if not ready or not os.read(self._answers, 64):
            raise RuntimeError(f"perf did not {what} its counter")

    def _end(self) -> tuple[str, str]:
        """End perf, which then writes what it has counted; return that, and its messages."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        try:
            _out, said = self._process.communicate(timeout=_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            _out, said = self._process.communicate()
        os.close(self._control)
        os.close(self._answers)
        with self._output as file:
            return file.read().decode("utf-8", "replace"), said.decode("utf-8", "replace").strip()


def count_of(output: str) -> int:
    """Read what ``perf stat -x,`` has written.

    Raises:
        RuntimeError: there is no count in it.
    """
    for line in output.splitlines():
        value, _unit, event = [*line.split(","), "", ""][:3]
        if event == _EVENT and value.isdigit():
            return int(value)
    raise RuntimeError(f"expected a count of {_EVENT} from perf, got {output.strip()!r}")
