"""A timer that goes on, whatever happens in one of its turns.

Code that sets its own next timer stops for good when an exception comes before that line, and what
it kept going is frozen without a word in the log. `LoopingCall` ends on the first exception too.
Here the next timer is set whatever the turn raises.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall

from metrics_agent.logs.logger import failure_of, make_logger

__all__ = ["RETRY_S", "Timer"]

RETRY_S: Final = 1.0
"""The wait after a turn that raised."""


class Timer:
    """Calls ``turn`` again and again until it is stopped or the turn says that it is done.

    Args:
        clock: provides callLater.
        turn: returns the seconds until the next turn, None when there is to be none. It may also
            call `start` or `stop` itself; then what it returns does not matter.
        failed: called with what a turn raised, in place of a line in the agent's log; what it
            raises itself is the reactor's to report.
        retry_s: the wait after a turn that raised.
    """

    __slots__ = ("_call", "_changes", "_clock", "_failed", "_retry_s", "_turn", "_wanted")

    def __init__(
        self,
        clock: Any,
        turn: Callable[[], float | None],
        failed: Callable[[BaseException], object] | None = None,
        *,
        retry_s: float = RETRY_S,
    ) -> None:
        self._clock = clock
        self._turn = turn
        self._failed = failed or self._log_failure
        self._retry_s = retry_s
        self._call: IDelayedCall | None = None
        self._changes = 0
        self._wanted = False

    @property
    def active(self) -> bool:
        """Whether a turn is due; during a turn only if it has called `start`."""
        return self._call is not None

    def start(self, delay_s: float) -> None:
        """Have the next turn after so many seconds, in place of one that is due."""
        self.stop()
        self._wanted = True  # also where there is no memory for a timer
        self._call = self._clock.callLater(delay_s, self._run)
        self._wanted = False

    def put_off(self, delay_s: float) -> None:
        """Have the turn that is due after so many seconds instead; harmless when none is due."""
        if self._call is not None:
            self._call.reset(delay_s)

    def run(self) -> None:
        """Have the next turn now, contained like any other, in place of one that is due."""
        self.stop()
        self._run()

    def stop(self) -> None:
        """Have no more turns; harmless when none is due."""
        self._changes += 1
        self._wanted = False
        call, self._call = self._call, None
        if call is not None and call.active():
            call.cancel()

    def _run(self) -> None:
        self._call = None
        changes = self._changes
        error: BaseException | None = None
        try:
            delay_s = self._turn()
        except BaseException as raised:
            error, delay_s = raised, self._retry_s
        if self._wanted or (delay_s is not None and self._changes == changes):
            self._wanted = False
            delay_s = self._retry_s if delay_s is None else delay_s
            self._call = self._clock.callLater(delay_s, self._run)
        # Last: where memory is short, to log it may fail as well.
        if error is not None:
            self._failed(error)

    def _log_failure(self, error: BaseException) -> None:
        make_logger().failure(
            "A recurring task failed; trying again in {retry_s:g} s",
            failure_of(error),
            retry_s=self._retry_s,
        )
