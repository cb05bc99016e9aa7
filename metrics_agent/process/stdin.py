"""Standard input: drained and ignored, its end means stop.

Telegraf closes stdin to stop us, and with ``signal = "STDIN"`` writes a newline at each interval,
which must be read or the pipe is full one day. A terminal, /dev/null or a file means nothing:
their end says nothing about the parent, and a terminal's keys belong to the shell.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from metrics_agent.process.descriptors import Kind
from metrics_agent.process.kernel import Kernel

__all__ = ["StdinService", "StdinWatch", "watch_stdin"]

READ_BYTES = 64 * 1024


@implementer(IReadDescriptor)
class StdinWatch:
    """Reads and discards input, and reports its end once.

    The descriptor is shared and stays blocking. One read after the reactor has said that it is
    readable does not block: with data it returns what is there, at the end nothing.
    """

    _log = Logger()

    def __init__(self, kernel: Kernel, reactor: Any, fd: int, on_eof: Callable[[], object]) -> None:
        self._kernel = kernel
        self._reactor = reactor
        self._fd = fd
        self._on_eof: Callable[[], object] | None = on_eof

    def start(self) -> None:
        """Begin to watch."""
        self._reactor.addReader(self)

    def stop(self) -> None:
        """Stop watching; the end is no longer reported. Harmless when called again."""
        if self._on_eof is not None:
            self._on_eof = None
            self._reactor.removeReader(self)

    def fileno(self) -> int:
        """Return the descriptor; it stays open when we stop."""
        return self._fd

    def logPrefix(self) -> str:
        """Name ourselves in the reactor's own messages."""
        return "stdin"

    def doRead(self) -> None:
        """Discard what is there."""
        try:
            data = self._kernel.read(self._fd, READ_BYTES)
        except BlockingIOError:
            # Another process made the description non-blocking and read first.
            return
        except OSError as error:
            self._log.warn("Cannot read stdin, taken as its end: {reason}.", reason=error.strerror)
            data = b""
        if not data:
            self._end()

    def connectionLost(self, reason: Failure) -> None:
        """Take a hang-up, which the reactor reports where nothing is left to read, as the end."""
        del reason
        self._end()

    def _end(self) -> None:
        on_eof = self._on_eof
        self.stop()
        if on_eof is not None:
            on_eof()


def watch_stdin(
    kernel: Kernel, reactor: Any, on_eof: Callable[[], object], fd: int = 0
) -> StdinWatch:
    """Drain stdin and call on_eof once when a pipe or socket ends.

    Args:
        kernel: its calls.
        reactor: IReactorFDSet.
        on_eof: called at most once, from the reactor; must not raise.
        fd: the descriptor to watch.

    Returns:
        A watch whose ``stop()`` ends it. On a terminal, a device or a file it watches nothing.
    """
    watch = StdinWatch(kernel, reactor, fd, on_eof)
    if kernel.kind_of(fd) in {Kind.PIPE, Kind.SOCKET}:
        watch.start()
    return watch


class StdinService(Service):
    """Watches stdin from start to stop.

    Args:
        kernel: its calls.
        reactor: IReactorFDSet.
        on_eof: as for `watch_stdin`.
        fd: the descriptor to watch.
    """

    def __init__(
        self, kernel: Kernel, reactor: Any, on_eof: Callable[[], object], fd: int = 0
    ) -> None:
        self._kernel = kernel
        self._reactor = reactor
        self._on_eof = on_eof
        self._fd = fd
        self._watch: StdinWatch | None = None

    def startService(self) -> None:
        """Begin to watch."""
        super().startService()
        self._watch = watch_stdin(self._kernel, self._reactor, self._on_eof, self._fd)

    def stopService(self) -> None:
        """Stop watching; safe before start and twice."""
        super().stopService()
        if self._watch is not None:
            self._watch.stop()
