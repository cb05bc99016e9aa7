"""A stop in order, within ``drain_timeout``, whichever of its steps fails or hangs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

from metrics_agent.output.sink import QUEUE_FULL, REJECTED
from metrics_agent.parts import Parts
from metrics_agent.steps import Steps

__all__ = ["Shutdown"]

_REASONS: Final = {
    QUEUE_FULL: "the queue was full",
    REJECTED: "the output rejected them",
}

_EXIT_GRACE_S: Final = 2.0
"""How long after ``drain_timeout`` a stop that hangs is ended the hard way."""

_WHOLE_FROM_S: Final = 5.0
"""Seconds are logged without a fraction from here on."""

_REACTOR_GRACE_S: Final = 0.5
"""How long the reactor may take once we have stopped: it joins threads, and one may never end."""

_SLACK_S: Final = 0.1
"""What has a limit itself is given so much more."""

_STATE_WAIT_S: Final = 0.5
"""A stop waits so long for the disk when all else is done; then it writes in this thread."""


class Shutdown:
    """One stop, from the first request to the last line in the log.

    Args:
        parts: of the agent.
        steps: takes its steps.
        drain_timeout_s: from the request on.
    """

    def __init__(self, parts: Parts, steps: Steps, drain_timeout_s: float) -> None:
        self._parts = parts
        self._steps = steps
        self._drain_timeout_s = drain_timeout_s
        self._requested_s = 0.0

    def begin(self, reason: str) -> None:
        """Begin: from now on the time counts, and the process will end."""
        parts = self._parts
        parts.guard.run("stop", parts.exit_status.leave_out_standstill, parts.reactor)
        self._requested_s = parts.reactor.seconds()
        self._end_within(self._drain_timeout_s + _EXIT_GRACE_S, "The stop has not ended in time")
        parts.notifier.stopping()
        parts.log.info("Stopping: {reason}.", reason=reason)

    async def run(
        self,
        *,
        working: Awaitable[Any] | None,
        stop_modules: Callable[[], Any],
        abandon_modules: Callable[[], object],
        stop_services: Callable[[], Any],
    ) -> None:
        """Stop everything.

        Args:
            working: the start or reload under way, if any.
            stop_modules: may return something to await.
            abandon_modules: called when the time for that is over; logs those that did not stop.
            stop_services: the same, of all other services.
        """
        parts, take = self._parts, self._steps.take
        # No step gets all that is left: the drain, on which most depends, is one of the last.
        await take("reload", lambda: working, self._remaining_s() / 4)
        # What the brokers have delivered is taken before anything closes; the queue may grow
        # beyond its high mark for this.
        parts.connections.resume("reload")
        parts.connections.resume("pressure")
        wait_s = self._remaining_s() / 2
        # Where a broker has more to send than that, what was read of it is handed on.
        rest_s = wait_s / 4
        handle = partial(parts.connections.handle_delivered, wait_s, rest_s)
        await take("deliveries", handle, wait_s + rest_s + _SLACK_S)
        parts.connections.pause("stop")
        await take("stop modules", stop_modules, self._remaining_s() / 2)
        # Their own timeouts may end later, when nothing more is logged.
        parts.guard.run("stop modules", abandon_modules)
        # While the output drains: a slow disk must not take its time.
        state = parts.state
        saving = parts.guard.run("state", state.flush) if state is not None else None
        drain_s = self._remaining_s()
        await take("drain", lambda: parts.sink.drain(drain_s), drain_s + 0.1)
        # The acknowledgements that the drain has freed go out before the connection closes.
        await take("disconnect", parts.connections.stopService, max(0.2, self._remaining_s()))
        await take("close output", parts.sink.stopService, 0.2)
        await take("services", stop_services, 0.2)
        if state is not None:
            await take("state", lambda: saving, _STATE_WAIT_S)
            parts.guard.run("state", state.finish)
        self._end_within(_REACTOR_GRACE_S)
        self._log_the_end()

    def _running_for_s(self) -> float:
        return float(self._parts.reactor.seconds() - self._requested_s)

    def _remaining_s(self) -> float:
        return max(0.0, self._drain_timeout_s - self._running_for_s())

    def _end_within(self, seconds: float, why: str = "") -> None:
        # It needs a thread; where there are no more of them the stop goes on without.
        self._parts.guard.run("stop", self._parts.exit_status.end_within, seconds, why)

    def _log_the_end(self) -> None:
        log, sink = self._parts.log, self._parts.sink
        written, left = sink.taken_metrics, sink.left_metrics
        if left:
            kept = min(left, sink.kept_metrics)
            (log.error if left > kept else log.warn)(
                "Stopped: {written} metrics written, {left} were not read within {seconds:g} s "
                "{fate}.",
                written=written,
                left=left,
                seconds=_rounded(self._running_for_s()),
                fate=_fate(left - kept, kept),
            )
        elif sink.dropped:
            log.warn(
                "Stopped: {written} metrics written, {dropped}.",
                written=written,
                dropped=" and ".join(
                    f"{count} were dropped earlier because {_REASONS[reason]}"
                    for reason, count in sink.dropped.items()
                ),
            )
        else:
            log.info("Stopped: {written} metrics written, none lost.", written=written)


def _fate(lost: int, kept: int) -> str:
    """Return what becomes of metrics that were not read: QoS 1 is not acknowledged yet."""
    if not kept:
        return "and are lost"
    if not lost:
        return "and come again: the brokers keep their messages at QoS 1"
    return f"and {lost} of them are lost; the brokers keep the messages of {kept} at QoS 1"


def _rounded(seconds: float) -> float:
    """Round for a log line: a timeout of 10 s that ended after 9.96 s is 10 s."""
    return round(seconds, 0 if seconds >= _WHOLE_FROM_S else 1)
