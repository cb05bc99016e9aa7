"""What happens when memory runs out where nothing can contain it: the process ends in order.

A MemoryError of one that asked for too much is its fault alone, and contained like any other.
Where nothing is left, anything may fail anywhere: a timer is lost while the reactor puts it into
its heap, a connection while it is being closed, and what depends on it stops in a process that
looks well. So once there is no memory left, and whenever the reactor itself was struck, the process
stops in order, with a code other than 0, and whoever started it starts a new one.

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

from metrics_agent.logs.events import DEFERRED, LEGACY

__all__ = ["RESERVE_BYTES", "ROOM_BYTES", "MemoryWatch"]

RESERVE_BYTES: Final = 16 * 1024 * 1024
"""For the metrics that wait, the log and a few threads' work; glibc asks for it in large pieces."""

ROOM_BYTES: Final = 4 * 1024 * 1024
"""Python and the C library ask for up to 1 MiB at once, to hand it out in small pieces."""

_TWISTED: Final = "twisted."


class MemoryWatch(Service):
    """Looks at each MemoryError that is logged, and stops the process where it cannot go on.

    Args:
        emergency_stop: called once with the reason, maybe while the reactor works; must not raise.
        publisher: of the log, see `logs.capture.contain_observers`.
        allocate: takes so many bytes of addresses until ``close``; OSError where there are none.
    """

    def __init__(
        self,
        emergency_stop: Callable[[str], object],
        publisher: Any = globalLogPublisher,
        allocate: Callable[[int], Any] = lambda size: mmap(-1, size),
    ) -> None:
        self._emergency_stop = emergency_stop
        self._publisher = publisher
        self._allocate = allocate
        self._reserve: Any = None
        self._requested = False

    def startService(self) -> None:
        """Begin to watch."""
        super().startService()
        self._publisher.on_failure = self._look
        self._reserve = self._allocate(RESERVE_BYTES)

    def stopService(self) -> None:
        """End; harmless twice."""
        super().stopService()
        self._publisher.on_failure = None
        self._free()

    def _look(self, failure: object, event: LogEvent) -> None:
        if isinstance(failure, Failure) and isinstance(failure.value, MemoryError):
            namespace = event.get("log_namespace") or ""
            # A Deferred that fails is its owner's affair: nothing of the reactor's is lost.
            of_reactor = namespace == LEGACY or (
                namespace.startswith(_TWISTED) and namespace != DEFERRED
            )
            if of_reactor or not self._has_room():
                self.fatal_error(failure.value)

    def fatal_error(self, error: BaseException | None) -> None:
        """Request the stop: the reactor did not contain this, or memory is out; harmless twice."""
        if not self._requested:
            self._requested = True
            self._free()
            self._emergency_stop(
                "memory ran out, and timers or reads may be lost; only a new process can go on"
                if isinstance(error, MemoryError)
                else f"the reactor was left by {error!r}; only a new process can go on"
            )

    def _free(self) -> None:
        reserve, self._reserve = self._reserve, None
        if reserve is not None:
            reserve.close()

    def _has_room(self) -> bool:
        try:
            self._allocate(ROOM_BYTES).close()
        except (OSError, MemoryError):
            return False
        return True
