"""Queued lines do not wait while the reader would take them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from metrics_agent.agent import Agent
from metrics_agent.output.direct import RETRY_S
from metrics_agent.output.http.writer import HttpWriter
from metrics_agent.output.path import PathWriter
from tests.simulation.clock import SimClock
from tests.simulation.reader import Reader

__all__ = ["Writing"]

_RETRY_S: Final = 0.6
"""During a stop a request is tried again after half a second at most."""
_OPENS_S: Final = RETRY_S + 0.1
"""A path that can be opened is, by then."""


class Writing:
    """Looks at the output of a process between two turns of its reactor.

    Args:
        violate: called with what must not happen.
        clock: of the simulation.
        reader: of the output.
    """

    def __init__(self, violate: Callable[[str], object], clock: SimClock, reader: Reader) -> None:
        self._violate = violate
        self._clock = clock
        self._reader = reader
        self._position = -1
        self._since_s = 0.0
        self._idle_since_s = math.inf
        self._closed_since_s = math.inf

    def look(self, agent: Agent, *, runs: bool) -> None:
        """Look now.

        Args:
            agent: in the process.
            runs: the process is not frozen.
        """
        sink = agent._parts.sink
        queue, reader = sink._queue, self._reader
        self._look_at_stop(sink, runs=runs)
        self._look_at_path(sink._writer, runs=runs)
        may_write = runs and sink._writer is not None and sink._finish_held is None
        if not (queue.queued_bytes and may_write and not sink._is_lost and reader.ready):
            self._position = -1
        elif queue._position != self._position:
            self._position = queue._position
            self._since_s = self._clock.now_s
        else:
            waits_s = self._clock.now_s - max(self._since_s, reader.disturbed_s)
            if waits_s > reader.patience_s:
                self._violate(
                    f"{queue.queued_bytes} bytes wait for {waits_s:.1f} s, although the reader of "
                    "the output has taken all that was written"
                )

    def _look_at_stop(self, sink: Any, *, runs: bool) -> None:
        """See whether a stop tries again what a database has not taken."""
        writer, now_s = sink._writer, self._clock.now_s
        is_http = isinstance(writer, HttpWriter)
        if not (runs and is_http and sink._draining and writer._out.parts and not writer._request):
            self._idle_since_s = math.inf
            return
        self._idle_since_s = min(self._idle_since_s, now_s)
        if now_s - self._idle_since_s > _RETRY_S:
            self._violate(f"a stop does not try a request again for {_RETRY_S:g} s")

    def _look_at_path(self, writer: Any, *, runs: bool) -> None:
        """See whether a path is opened again when that is possible."""
        is_open = not isinstance(writer, PathWriter) or writer._inner is not None or writer._closed
        if is_open or not runs or not self._reader.can_be_opened:
            self._closed_since_s = math.inf
            return
        self._closed_since_s = min(self._closed_since_s, self._clock.now_s)
        if self._clock.now_s - self._closed_since_s > _OPENS_S:
            self._violate(f"the output is not opened again for {_OPENS_S:g} s")
