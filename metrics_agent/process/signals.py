"""Signals, from the first instruction to the last.

The default action of SIGHUP is death, so a handler is installed before anything slow is imported;
until the agent is there it only remembers what came. The interpreter itself needs some 20 ms to
reach us: that window cannot be closed from inside (docs/deployment.md says so).

A handler only hands over to the reactor; what it calls there is contained like everything else.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

__all__ = ["Signals"]

_STOPPING = (signal.SIGTERM, signal.SIGINT)

_SAME_REQUEST_S: Final = 1.0
"""A parent may send one request twice within a moment: ``timeout`` signals its child and then the
process group, and at Ctrl-C a terminal signals the group and a wrapper its child."""


class Signals:
    """SIGHUP, SIGTERM and SIGINT; early ones are kept until the reactor runs.

    Args:
        exit_now: called with the reason, in the handler itself, for the second request to stop: the
            reactor may be the thing that hangs.
        seconds: a monotonic clock.
    """

    def __init__(
        self, exit_now: Callable[[str], object], seconds: Callable[[], float] = time.monotonic
    ) -> None:
        self._exit_now = exit_now
        self._seconds = seconds
        self._pending: list[int] = []
        self._reactor: Any = None
        self._runs = False
        self._on_stop: Callable[[str], object] = lambda _name: None
        self._on_reload: Callable[[], object] = lambda: None
        self._asked_to_stop_s: float | None = None

    def install_early(self) -> None:
        """Take the three signals; call this before importing the reactor."""
        for number in (signal.SIGHUP, *_STOPPING):
            signal.signal(number, self._handle)

    def attach(
        self, reactor: Any, on_stop: Callable[[str], object], on_reload: Callable[[], object]
    ) -> None:
        """Hand signals to the agent from now on, those that came before first.

        Args:
            reactor: provides ``callWhenRunning`` and ``callFromThread``.
            on_stop: called in the reactor with the name of the first SIGTERM or SIGINT.
            on_reload: called in the reactor for each SIGHUP.
        """
        self._reactor = reactor
        self._on_stop = on_stop
        self._on_reload = on_reload
        # reactor.run() replaces the handler of SIGTERM that it finds, hence again once it runs.
        reactor.callWhenRunning(self._running)

    def _running(self) -> None:
        self.install_early()
        self._runs = True
        pending, self._pending = self._pending, []
        for number in pending:
            # In the next turn, when everything is started; and each by itself.
            self._reactor.callFromThread(self._hand_over, number)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        stops = number in _STOPPING
        if stops and self._asked_to_stop_s is not None:
            if self._seconds() - self._asked_to_stop_s >= _SAME_REQUEST_S:
                self._exit_now(f"A second request to stop ({signal.Signals(number).name})")
            return
        if stops:
            self._asked_to_stop_s = self._seconds()
        if self._runs:
            self._reactor.callFromThread(self._hand_over, number)
        else:
            self._pending.append(number)

    def _hand_over(self, number: int) -> None:
        if number == signal.SIGHUP:
            self._on_reload()
        else:
            self._on_stop(signal.Signals(number).name)
