"""Messages that wait until the retained announcements of their devices are here.

After a SUBSCRIBE the retained messages of the filter come in any order with whatever else the
broker has for us: the backlog of a session, telemetry of the moment. A message that is handled
before its device's announcement lacks the device's name. So from the moment that a filter of
announcements is asked for, only announcements and packets that are no messages are handed on.
Other messages are set aside in order, unhandled and unacknowledged.

That ends by a barrier, not by waiting. A PING is sent after the SUBACK: a broker that answers in
order has sent the retained messages before the PINGRESP. Measured on mosquitto, all of 10,000 come
before it, also behind a backlog of unacknowledged messages, but only if the filter is subscribed to
at QoS 0. Other brokers send them a moment later, so the wait goes on until none came for a while.
It goes on too, up to a limit, while announcements come: thousands take long on a slow line or
machine. When a limit is reached, messages are handed on: they lack a name, or are of a device that
is not known yet, and no filter is given up on that connection (`complete`). A stop does not wait;
but what the broker keeps is left to it, for the next start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from twisted.internet.defer import Deferred

from metrics_agent.timer import Timer
from metrics_agent.topic_filters import covers, inner_filter
from metrics_agent.transports.mqtt.packet_types import PUBLISH, TYPE_MASK
from metrics_agent.transports.mqtt.splitter import Frame, Skipped

__all__ = ["AnnouncementGate"]

QUIET_S: Final = 0.1
"""Once the barrier has passed: how long no retained announcement must have come."""
LATEST_S: Final = 2.0
"""How long after the barrier announcements are waited for at most."""
ANSWER_S: Final = 10.0
"""How long SUBACK and barrier are waited for after the last announcement."""
LONGEST_S: Final = 60.0
"""How long in all, however announcements come."""
SET_ASIDE_BYTES: Final = 8 * 1024 * 1024
"""How much is set aside at most: 10,000 messages of 700 bytes."""
_FRAME_BYTES: Final = 150
"""What Python adds to a packet."""
_RETAIN: Final = 0x01
_QOS: Final = 0x06
_TOPIC_AT: Final = 2


class AnnouncementGate:
    """Sets messages aside for one connection.

    Args:
        reactor: its clock and callLater.
        unread: says whether packets that came already wait to be handed on.
        release: takes what was set aside, which comes before all that has not been handed on.

    Attributes:
        active: messages are set aside.
        complete: the barrier has passed since `begin`, or nothing began; otherwise announcements
            may be missing.
    """

    def __init__(
        self,
        reactor: Any,
        unread: Callable[[], bool],
        release: Callable[[list[Frame | Skipped]], object],
    ) -> None:
        self._reactor = reactor
        self._unread = unread
        self._release = release
        self._filters: list[str] = []
        self._frames: list[Frame | Skipped] = []
        self._bytes = 0
        self._barrier: Deferred[bool] | None = None
        self._paused = False
        self._paused_at_s = 0.0
        self._quiet_since_s = 0.0
        self._latest_s = 0.0
        self._limit_s = 0.0
        self._due_s = 0.0
        self._looked_again = False
        self._leaves = False
        self._timer = Timer(reactor, self._turn)
        self.active = False
        self.complete = True

    @property
    def wants_barrier(self) -> bool:
        """Whether `barrier` is to be called once the broker has answered the SUBSCRIBE."""
        return self.active and self._barrier is None

    def begin(self, filters: Iterable[str]) -> None:
        """Set aside from now on what is not an announcement; again from the start if that goes on.

        Args:
            filters: of announcements, with ``$share/...``.
        """
        self._filters = [inner_filter(each) for each in filters]
        self._barrier = None
        self._looked_again = False
        self.complete = False
        self._limit_s = self._reactor.seconds() + LONGEST_S
        self.active = True
        self._start_clock()

    def barrier(self, passed: Deferred[bool]) -> None:
        """Take the Deferred that fires when what the broker has sent so far was handled."""
        self._barrier = passed

        def note(is_passed: bool) -> bool:
            if is_passed and self._barrier is passed and self.active:
                self.complete = True
                self._start_clock()
            return is_passed

        passed.addCallback(note)

    def pause(self) -> None:
        """Stop the clock: nothing is handed on."""
        self._paused = True
        self._paused_at_s = self._reactor.seconds()
        self._timer.stop()

    def resume(self) -> None:
        """Go on with the time that was left."""
        self._paused = False
        if self.active and not self._leaves:
            paused_s = self._reactor.seconds() - self._paused_at_s
            self._limit_s += paused_s
            self._quiet_since_s += paused_s
            self._latest_s += paused_s
            self._set_timer()

    def end(self) -> None:
        """Release what was set aside; harmless when nothing is."""
        frames, self._frames = self._frames, []
        self.clear()
        if frames:
            self._release(frames)

    def leave(self) -> None:
        """Wait no longer; messages that the broker keeps are not handed on, those at QoS 0 are."""
        if self.active:
            frames = [each for each in self._frames if not _is_kept(each)]
            self.clear()
            self.active = self._leaves = True
            if frames:
                self._release(frames)

    def end_of_input(self) -> None:
        """Release what was set aside: the socket is gone.

        What a stop leaves to the broker comes before all that is still unread: that is left too.
        """
        if not self._leaves:
            self.end()

    def clear(self) -> None:
        """Forget what was set aside."""
        self.active = False
        self._frames = []
        self._bytes = 0
        self._barrier = None
        self._timer.stop()

    def sift(self, packets: Iterator[Frame | Skipped]) -> Iterator[Frame | Skipped]:
        """Yield what is to be handed on now; when the wait ends, the rest stays in the iterator."""
        for packet in packets:
            if self._leaves:
                if not _is_kept(packet):
                    yield packet
            elif self._may_pass(packet):
                yield packet
            else:
                self._frames.append(packet)
                self._bytes += _FRAME_BYTES + (0 if isinstance(packet, Skipped) else len(packet[1]))
                if self._bytes >= SET_ASIDE_BYTES:
                    self.end()
            if not self.active:
                return

    def _may_pass(self, packet: Frame | Skipped) -> bool:
        if isinstance(packet, Skipped):
            return False
        first, body = packet
        if first & TYPE_MASK != PUBLISH:
            return True
        topic_end = int.from_bytes(body[:_TOPIC_AT], "big") + _TOPIC_AT
        topic = body[_TOPIC_AT:topic_end].decode("utf-8", "replace")
        if any(covers(each, topic) for each in self._filters):
            if first & _RETAIN:
                self._go_on()
            return True
        return False

    # When it ends.

    def _start_clock(self) -> None:
        now_s = self._reactor.seconds()
        self._quiet_since_s = self._paused_at_s = now_s
        self._latest_s = now_s + (LATEST_S if self.complete else ANSWER_S)
        if not self._paused:
            self._set_timer()

    def _go_on(self) -> None:
        """Wait on: an announcement has come, or what has come is not looked at yet."""
        now_s = self._quiet_since_s = self._reactor.seconds()
        wait_s = QUIET_S if self.complete else ANSWER_S
        self._latest_s = min(self._limit_s, max(self._latest_s, now_s + wait_s))

    def _set_timer(self) -> None:
        self._due_s = self._end_s()
        self._timer.start(max(0.0, self._due_s - self._reactor.seconds()))

    def _end_s(self) -> float:
        quiet_s = self._quiet_since_s + QUIET_S
        return min(quiet_s, self._latest_s) if self.complete else self._latest_s

    def _turn(self) -> float | None:
        now_s: float = self._reactor.seconds()
        if now_s > self._due_s + QUIET_S and not self._looked_again:
            # The process stood still: what came meanwhile is in the socket.
            self._looked_again = True
            self._due_s = now_s + QUIET_S
            return QUIET_S
        if self._unread():
            if self.complete:
                self._quiet_since_s = now_s
            else:
                self._go_on()
        if now_s >= self._end_s():
            self.end()
            return None
        self._due_s = self._end_s()
        return self._due_s - now_s


def _is_kept(packet: Frame | Skipped) -> bool:
    """Say whether a broker sends it again unless it is acknowledged."""
    if isinstance(packet, Skipped):
        return False
    first, _body = packet
    return first & TYPE_MASK == PUBLISH and bool(first & _QOS)
