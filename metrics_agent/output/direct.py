"""The writer for what never makes anyone wait: files and /dev/null."""

from __future__ import annotations

import errno
from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from metrics_agent.output.buffers import PlainBuffer
from metrics_agent.output.whole_lines import Outcome, hand_over
from metrics_agent.output.writer import Source
from metrics_agent.process.kernel import Kernel
from metrics_agent.timer import Timer

__all__ = ["RETRY_S", "DirectWriter"]

RETRY_S = 1.0

# Trying again cannot help: not open for writing, or not something to be written at all.
_FINAL = frozenset({errno.EBADF, errno.EINVAL, errno.EPIPE})


class DirectWriter:
    """Writes at once; a full disk or a failing one is named and tried again.

    The descriptor is used as it is: its position stays shared with whoever writes to the same
    file before and after us, as in ``(echo a; metrics-agent; echo b) > file``.

    Args:
        kernel: its calls.
        reactor: the clock.
        fd: owned by the writer from now on.
        source: where the bytes come from.
        check: called before each turn of writing; returns whether this writer still writes. If
            not, it has been closed.
    """

    def __init__(
        self,
        kernel: Kernel,
        reactor: IReactorTime,
        fd: int,
        source: Source,
        check: Callable[[], bool] = lambda: True,
    ) -> None:
        self._kernel = kernel
        self._check = check
        self._fd = fd
        self._file = PlainBuffer(kernel, fd)
        self._source = source
        self._timer = Timer(reactor, self._pump)
        self._closed = False

    def wake(self) -> None:
        """Write everything, unless a new try is already due."""
        if not self._timer.active and not self._closed:
            self._run()

    def untaken(self) -> int:
        """A file has no reader: written is taken."""
        return 0

    def close(self) -> None:
        """Stop and close the descriptor."""
        if not self._closed:
            self._closed = True
            self._timer.stop()
            self._kernel.close(self._fd)

    def _run(self) -> None:
        delay_s = self._pump()
        if delay_s is not None:
            self._timer.start(delay_s)

    def _pump(self) -> float | None:
        """Write; return when there is more to do, None if nothing is left or can be done."""
        if not self._check():
            return None
        try:
            outcome = hand_over(self._source, self._file)
        except OSError as error:
            return self._failed(error)
        self._source.recovered()
        return None if outcome is Outcome.DONE else 0

    def _failed(self, error: OSError) -> float | None:
        reason = f"{error.strerror} ({errno.errorcode.get(error.errno or 0, error.errno)})"
        if error.errno in _FINAL:
            self.close()
            self._source.lost(reason)
            return None
        self._source.trouble(reason)
        return RETRY_S
