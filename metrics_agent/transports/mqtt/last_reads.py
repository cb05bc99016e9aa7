"""What a broker has sent on a connection that is about to end: waited for, and handed on.

First it is waited until the broker answers a PING, which comes behind all that it has sent; then
nothing more is read, and what was read is handed on. What is left is logged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from metrics_agent.deferreds import at_most
from metrics_agent.transports.mqtt.link import MqttLink

__all__ = ["LastReads"]

_LOOK_S: Final = 0.01
"""While what was read is handed on: how often to look whether it is."""
_LONGEST_LOOK_S: Final = 0.1
"""What takes longer does so because the process stood still."""


@frozen
class _Barrier:
    """What waits for all that a broker has delivered, and how much had come before it."""

    passed: Deferred[bool]
    timeout_s: float
    is_kept: bool
    before_bytes: int


class LastReads:
    """See the module. Whoever owns it pauses and resumes the reading.

    Args:
        reactor: provides the clock.
        broker: returns the address, for the log.
        log: for what is left.
    """

    def __init__(self, reactor: Any, broker: Callable[[], str], log: Logger) -> None:
        self._reactor = reactor
        self._broker = broker
        self._log = log
        self._last: _Barrier | None = None

    async def wait(self, link: MqttLink, timeout_s: float, *, is_kept: bool) -> bool:
        """Wait until what has been delivered so far was handled.

        Args:
            link: the connection.
            timeout_s: at most; as long again where the process stood still.
            is_kept: the broker sends what is left at QoS 1 again.

        Returns:
            False after the timeout, or when the link ends before.
        """
        barrier = link.barrier()
        self._last = _Barrier(barrier, timeout_s, is_kept, link.received_bytes)
        end_s = self._reactor.seconds() + timeout_s
        passed = await at_most(self._reactor, timeout_s, barrier)
        late_s = self._reactor.seconds() - end_s
        if passed is None and late_s > _LONGEST_LOOK_S:
            # What came while the process stood still is in the socket.
            passed = await at_most(self._reactor, min(late_s, timeout_s), barrier)
        return bool(passed)

    def was_silent(self, link: MqttLink) -> bool:
        """Say whether nothing has come since the wait began: no more is known to be on its way."""
        last = self._last
        return last is None or (link.inflow.reading and link.received_bytes == last.before_bytes)

    async def hand_on(self, link: MqttLink, rest_s: float, *, was_silent: bool) -> None:
        """Hand on what was read, and log what is left.

        Args:
            link: the connection, which is not read any more.
            rest_s: at most, without time in which the process stood still.
            was_silent: see there; as it was while the connection was read.
        """
        last = self._last
        left_s, now_s = rest_s, self._reactor.seconds()
        while link.inflow.hands_on and left_s > 0:
            await deferLater(self._reactor, _LOOK_S)
            before_s, now_s = now_s, self._reactor.seconds()
            left_s -= min(now_s - before_s, _LONGEST_LOOK_S)
        # With another one a stop has come in a reload, and reads on.
        if last is None or last is not self._last:
            return
        is_late = link.alive and not last.passed.called
        if link.inflow.waits or (is_late and not was_silent):
            self._log.warn(
                "Not all that broker {broker} had to send was handled within {seconds:g} s, and "
                "its connection ends: {unread}.",
                broker=self._broker(),
                seconds=round(last.timeout_s, 1),
                unread="the rest at QoS 0 is lost, at QoS 1 it comes again"
                if last.is_kept
                else "the rest is lost",
            )
