"""What happens when memory runs out where nothing can contain it: the process ends in order.

A MemoryError in a module or in a connection costs a message or the connection, no more. One that
comes up to the reactor may have struck it anywhere: between taking a timer from its heap and
putting it back, say, and that timer is gone without a trace. What hangs on it stands still, in a
process that looks well. So such a process stops in order, with a code other than 0, and whoever
started it starts a new one.

To stop takes memory too. It is kept in reserve: addresses that are never written to, so that they
cost nothing as long as they are unused. And the stop gets an end by the kernel's timer, since the
start of a thread that would see to it may hang.
"""

from __future__ import annotations

from collections.abc import Callable
from mmap import mmap
from typing import Any, Final

from twisted.application.service import Service
from twisted.logger import LogEvent, globalLogPublisher
from twisted.python.failure import Failure

from metrics_agent import looping

__all__ = ["RESERVE_BYTES", "MemoryWatch"]

RESERVE_BYTES: Final = 16 * 1024 * 1024
"""For the metrics that wait, the log and a few threads' work; glibc asks for it in large pieces."""

_TWISTED: Final = "twisted."
_LEGACY: Final = "log_legacy"
_DEFERRED: Final = "twisted.internet.defer"


class MemoryWatch(Service):
    """Reads in the log what the reactor reports, and gives up at the first MemoryError in it.

    Args:
        give_up: called once with the reason, maybe while the reactor is at work; must not raise.
        publisher: of the log.
        reserve: makes the reserve; its ``close`` frees it.
    """

    def __init__(
        self,
        give_up: Callable[[str], object],
        publisher: Any = globalLogPublisher,
        reserve: Callable[[], Any] = lambda: mmap(-1, RESERVE_BYTES),
    ) -> None:
        self._give_up = give_up
        self._publisher = publisher
        self._make_reserve = reserve
        self._reserve: Any = None
        self._gave_up = False

    def startService(self) -> None:
        """Begin to watch."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's is untyped
        self._publisher.addObserver(self)
        self._reserve = self._make_reserve()

    def stopService(self) -> None:
        """End; harmless twice."""
        super().stopService()  # type: ignore[no-untyped-call]  # as above
        self._publisher.removeObserver(self)
        self._free()

    def __call__(self, event: LogEvent) -> None:
        """Look at an event of the log."""
        failure = event.get("log_failure")
        if failure is not None and _is_fatal(failure, event):
            self.left_reactor(failure.value)

    def left_reactor(self, error: BaseException | None) -> None:
        """Give up because of what came up to the reactor; harmless twice."""
        if not self._gave_up:
            self._gave_up = True
            self._free()
            self._give_up(
                "memory ran out, and timers or reads may be lost; only a new process can go on"
                if isinstance(error, MemoryError)
                else f"the reactor was left by {error!r}; only a new process can go on"
            )

    def _free(self) -> None:
        reserve, self._reserve = self._reserve, None
        if reserve is not None:
            reserve.close()


def _is_fatal(failure: Failure, event: LogEvent) -> bool:
    if not isinstance(failure.value, MemoryError):
        return False
    namespace = event.get("log_namespace") or ""
    # A Deferred that fails is its owner's affair: nothing of the reactor's is lost.
    return (
        namespace == _LEGACY
        or (namespace.startswith(_TWISTED) and namespace != _DEFERRED)
        or event.get("log_format") == looping.FAILED
    )
