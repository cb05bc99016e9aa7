"""The product's own signal handling, with signals that the simulation sends."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from metrics_agent.process.signals import Signals
from tests.simulation.clock import SimClock

if TYPE_CHECKING:
    from tests.simulation.reactor import ProcessReactor

__all__ = ["SimSignals"]

_STOPPING: Final = frozenset({signal.SIGTERM, signal.SIGINT})
_SAME_REQUEST_S: Final = 1.0
"""As docs/deployment.md promises."""
_ROUNDED_S: Final = 1e-6
_BEGINS_S: Final = 0.01
"""In so much time that the process runs a stop begins."""


class SimSignals(Signals):
    """See the module. A handler runs between two instructions, also amid a turn of the reactor.

    Args:
        clock: of the simulation.
        end: ends the process at once.
        violation: called with what must not happen.
    """

    def __init__(
        self, clock: SimClock, end: Callable[[], object], violation: Callable[[str], object]
    ) -> None:
        super().__init__(self._end_now, lambda: clock.now_s)
        self._clock = clock
        self._end = end
        self._violation = violation
        self._waiting: set[int] = set()
        self._first_s: float | None = None
        self._since_s: float | None = None

    def install_early(self) -> None:
        """Install nothing: the handlers of the test's own process are not ours."""

    def send(self, number: int) -> None:
        """Send a signal. One process that stands still gets each kind of them once, later."""
        reactor: ProcessReactor | None = self._reactor
        if reactor is not None and not reactor.alive:
            return
        if reactor is not None and reactor.is_frozen:
            self._waiting.add(number)
            return
        now_s, first_s = self._clock.now_s, self._first_s
        if number in _STOPPING and first_s is None:
            self._first_s = now_s
        self._handle(number, None)
        is_another = first_s is not None and now_s - first_s > _SAME_REQUEST_S + _ROUNDED_S
        if number in _STOPPING and is_another and reactor is not None and reactor.alive:
            self._violation(
                f"{now_s - first_s:.2f} s after the first a second request to stop "  # type: ignore[operator]
                "does not end the process"
            )

    def thawed(self) -> None:
        """Handle what came while the process stood still, in the order of the kernel."""
        waiting, self._waiting = self._waiting, set()
        for number in sorted(waiting):
            self.send(number)

    def look(self, agent: Any, elapsed_s: float) -> None:
        """See that a request has begun a stop.

        Args:
            agent: in the process.
            elapsed_s: how long the process has run, without the time that it stood still.
        """
        if self._first_s is None or agent.stopping or not self._runs:
            self._since_s = None
        elif self._since_s is None:
            self._since_s = elapsed_s
        elif elapsed_s - self._since_s > _BEGINS_S:
            self._violation("a request to stop does not begin a stop")

    def _end_now(self, _why: str) -> None:
        after_s = self._clock.now_s - (self._first_s or 0.0)
        if after_s < _SAME_REQUEST_S - _ROUNDED_S:
            self._violation(
                f"a request to stop that is repeated {after_s:.2f} s after the first "
                "ends the process"
            )
        self._end()
