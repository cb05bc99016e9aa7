"""One life of a connection to a broker: from an open transport to its end.

A link is made for every connection and never used again. It owns the engine, the splitter, the
acknowledgements and the pings of its connection, so nothing of it can touch the next one. Its
owner learns of three events: accepted, subscribed, ended (exactly once, with the cause).

Breath. Waking up for a few messages costs more than the messages do. When a read brings some, at
QoS 0, the next one waits for some milliseconds, in which more gather. Where messages come one by
one none waits; a full read means that we are behind, see `ReadAhead`; and at QoS 1 the broker waits
for us.

Pings. One is written each half keepalive, whatever else is written: it keeps us with the broker
also while reading is paused and its answers stay unread, and at the next tick tells a dead broker
from a silent one. A ping is also a barrier: the broker answers in order, so when the answer is
here, everything that it had delivered before is here too.

Turns. A read holds up to two thousand messages, and a hostile one makes each of them as dear as it
can. So after some milliseconds the rest of a read waits for the next turn of the reactor.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import Any, Final, cast
from typing import Protocol as TypingProtocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from metrics_agent.errors import ProtocolError
from metrics_agent.logs.logger import failure_of
from metrics_agent.looping import GuardedLoop
from metrics_agent.transports.mqtt import causes
from metrics_agent.transports.mqtt.acknowledge import AckWindow
from metrics_agent.transports.mqtt.causes import Cause
from metrics_agent.transports.mqtt.engine import (
    Accepted,
    Disconnected,
    Engine,
    Received,
    Refused,
    Subscribed,
    Unsubscribed,
)
from metrics_agent.transports.mqtt.intake import Intake
from metrics_agent.transports.mqtt.packets import PINGREQ
from metrics_agent.transports.mqtt.read_ahead import ReadAhead
from metrics_agent.transports.mqtt.settings import MOST_IN_FLIGHT, MqttSettings
from metrics_agent.transports.mqtt.splitter import (
    Frame,
    MalformedLength,
    PacketSplitter,
    Skipped,
)
from metrics_agent.transports.write_gate import STUCK_S, WriteGate

__all__ = ["Link", "LinkOwner"]

PUBLISH_HEADER_BYTES: Final = 64 * 1024 + 1024
"""Room for topic and properties beside the payload in the limit for a whole packet."""
CONNACK_FIRST: Final = 0x20
PINGRESP_FIRST: Final = 0xD0
QOS_0_OR_1_MASK: Final = 0xF4
PUBLISH_FIRST: Final = 0x30
RETAINED_PUBLISH_MASK: Final = 0xF1
RETAINED_PUBLISH: Final = 0x31
BREATH_S: Final = 0.004
BREATH_FROM_BYTES: Final = 1536
"""Some five messages of a sensor: a thousand a second come one by one."""
BREATH_BELOW_BYTES: Final = 32 * 1024
"""Half of what Twisted reads at once."""
TURN_S: Final = 0.02
"""How long messages are handled in one turn of the reactor; an ordinary full read takes 6 ms."""
FRAMES_A_LOOK: Final = 8
"""So many are handled between two looks at the clock. The dearest, announcements of new FullTopics
beside 250 that overlap, take 5 ms each."""
SILENT_TICKS: Final = 3
"""Half keepalives without a byte after which the broker is taken for dead."""
GOODBYE_S: Final = 0.15
"""How long the broker has to close after DISCONNECT before we do."""
_OWNER: Final = "owner"
_TURN: Final = "turn"
_UNREAD: Final = "unread"
"""Why nothing is read: the owner wants it so; the broker does not read what we sent."""


class LinkOwner(TypingProtocol):
    """Who is told of a link's events."""

    def link_accepted(self, link: Link, session_present: bool) -> None:
        """Take note that the broker let us in."""
        ...

    def link_answered(self, answer: Subscribed | Unsubscribed) -> None:
        """Take the answer to a SUBSCRIBE or UNSUBSCRIBE."""
        ...

    def link_ended(self, link: Link, cause: Cause) -> None:
        """Take note that the link is over; called once, last."""
        ...


class Link(Protocol):
    """The Twisted protocol of one connection.

    Args:
        reactor: the clock.
        settings: of the connection.
        client_id: to connect with.
        intake: where messages go.
        owner: who is told of events.
        log: for faults of our own.

    Attributes:
        accepted: the broker has accepted the connection; stays True at the end.
        lost: why there is no connection any more, while what it brought is still being handled.
        ended_by: the cause, once the link is over.
        engine: to subscribe by.
        acknowledgements: what is to be acknowledged.
    """

    def __init__(
        self,
        reactor: Any,
        settings: MqttSettings,
        client_id: str,
        intake: Intake,
        owner: LinkOwner,
        log: Logger,
    ) -> None:
        self._reactor = reactor
        self._settings = settings
        self._client_id = client_id
        self._intake = intake
        self._owner = owner
        self._log = log
        self._splitter = PacketSplitter(settings.max_payload + PUBLISH_HEADER_BYTES)
        self.engine = Engine(settings, client_id, self._write)
        self._v5 = self.engine.v5
        self.acknowledgements = AckWindow(
            self._write,
            lambda call: reactor.callLater(0, call),
            settings.receive_maximum if self._v5 else MOST_IN_FLIGHT,
        )
        self._pings: deque[Deferred[bool] | None] = deque()
        self._passed: list[Deferred[bool]] = []
        self._cause: Cause | None = None
        self._timer: IDelayedCall | None = None
        self._keepalive_s = float(settings.keepalive)
        self._silent_ticks = 0
        self._holds: set[str] = set()
        self._ticks = GuardedLoop(reactor, self._tick)
        self._breath = GuardedLoop(reactor, self._read_on)
        self._next_turn = GuardedLoop(reactor, self._begin_turn, self._take_failed)
        self._held_frames: list[Frame | Skipped] = []
        self._ahead = ReadAhead(reactor, self._take_next, self._take_failed)
        self._spoken = False
        self._leaving = False
        self._gate = WriteGate(reactor, self._gate_changed, self._gate_stuck)
        self.accepted = False
        self.lost: Failure | None = None
        self.ended_by: Cause | None = None

    # What the owner asks for.

    def pause(self) -> None:
        """Stop reading; pings go on, so that the broker keeps us."""
        self._hold(_OWNER)

    def resume(self) -> None:
        """Read again, first what was read before the pause or came in spite of it."""
        self._release(_OWNER)

    def _hold(self, reason: str) -> None:
        if not self._holds:
            self._ahead.hold()
            self._call_transport("pauseProducing")
        self._holds.add(reason)

    def _release(self, reason: str) -> None:
        if reason not in self._holds:
            return
        self._holds.remove(reason)
        if self._holds:
            return
        self._silent_ticks = 0
        frames, self._held_frames = self._held_frames, []
        if frames:
            self._guarded(iter(frames))
        if not self._holds:
            self._ahead.release()
            self._read_on()

    def barrier(self) -> Deferred[bool]:
        """Return a Deferred that fires when what the broker has delivered so far was handled.

        It gives True, or False when the link ends before.
        """
        passed: Deferred[bool] = Deferred()
        self._ping(passed)
        return passed

    def publish(self, topic: str, payload: bytes, qos: int) -> bool:
        """Send a message; False when the broker does not keep up with what we send."""
        return not self._gate.full and self.engine.publish(topic, payload, qos)

    def leave(self) -> None:
        """Say goodbye in order: acknowledgements, DISCONNECT, then the broker closes."""
        self.acknowledgements.flush()
        self._end_breath()
        self._leaving = True
        self._held_frames = []
        self._ahead.clear()
        self._stop_timer()
        if self.lost is not None:
            self._finish(self.lost)
            return
        if not self.accepted:
            self._call_transport("abortConnection")
            return
        self.engine.disconnect()
        # With a producer registered a transport may put off its own closing.
        self._call_transport("unregisterProducer")
        # Closing a socket with unread data makes the kernel send a reset, which may overtake our
        # last acknowledgements: read (and ignore) until the broker closes.
        self._holds.clear()
        self._read_on()
        self._timer = self._reactor.callLater(GOODBYE_S, self._close)

    def end(self, cause: Cause) -> None:
        """Cut the connection because of what is wrong with it."""
        if self._cause is None:
            self._cause = cause
            if self.lost is None:
                self._call_transport("abortConnection")

    # What the transport tells.

    def connectionMade(self) -> None:
        """Introduce ourselves."""
        cast("Any", self.transport).registerProducer(self._gate, streaming=True)
        timeout_s = float(self._settings.connect_timeout)
        self._timer = self._reactor.callLater(
            timeout_s, lambda: self.end(causes.of_no_connack(timeout_s, v5=self._v5))
        )
        self.engine.connect()

    def dataReceived(self, data: bytes) -> None:
        """Take what the broker sent; whatever is in it, nothing is raised."""
        if self._cause is not None or self._leaving:
            return
        self._silent_ticks = 0
        if not self._spoken:
            self._spoken = True
            if data[0] != CONNACK_FIRST:
                self.end(causes.of_wrong_speech(data))
                return
        # TLS and WebSocket have more at hand than the socket, and so has a pause that begins with
        # the CONNACK of a session whose messages are in the same read.
        retained = (
            data[0] & RETAINED_PUBLISH_MASK == RETAINED_PUBLISH
            and not self._splitter.buffered
            and not self._ahead
        )
        if retained or self._ahead.wants(data):
            self._ahead.put(data, burst=retained)
            if self._ahead.full:
                self._call_transport("pauseProducing")
            return
        self._take(data)
        if BREATH_FROM_BYTES <= len(data) < BREATH_BELOW_BYTES:
            self._take_breath()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End, as soon as what the broker had sent before is handled."""
        waits = bool(self._ahead or self._held_frames)
        if waits and self._cause is None and not self._leaving:
            self.lost = reason
            self._gate.resumeProducing()  # nothing waits to be written any more
        else:
            self._finish(reason)

    def _finish(self, reason: Failure) -> None:
        """Clean up and tell the owner."""
        if self.ended_by is not None:
            return
        self._stop_timer()
        self._ahead.clear()
        self._gate.stopProducing()
        self._breath.stop()
        self._next_turn.stop()
        self.acknowledgements.close()
        waiting = [passed for passed in self._pings if passed is not None]
        self._pings.clear()
        cause = self._cause or causes.of_loss(reason, accepted=self.accepted, v5=self._v5)
        self._cause = self.ended_by = cause
        self._owner.link_ended(self, cause)
        for passed in waiting:
            passed.callback(False)

    # Reading.

    def _take_next(self, data: bytes) -> None:
        """Take a read that had to wait."""
        self._take(data)
        self._read_on()

    def _take(self, data: bytes) -> None:
        try:
            frames = self._splitter.feed(data)
        except MalformedLength as fault:
            self._guarded(iter(fault.before))
            self.end(causes.of_protocol_error(fault))
        except Exception:
            self._fail()
        else:
            self._guarded(iter(frames))

    def _read_on(self) -> None:
        """Read the socket again if nothing is against it; if it is gone, end with it."""
        if self.lost is not None:
            if self._cause is not None or not (self._holds or self._ahead):
                self._finish(self.lost)
        elif not self._holds and not self._breath.active and not self._ahead.full:
            self._call_transport("resumeProducing")

    def _take_breath(self) -> None:
        if self._intake.acknowledges or self._holds or self._leaving or self._cause is not None:
            return
        if not self._breath.active:
            self._call_transport("pauseProducing")
            self._breath.start(BREATH_S)

    def _end_breath(self) -> None:
        if self._breath.active:
            self._breath.stop()
            self._read_on()

    def _guarded(self, frames: Iterator[Frame | Skipped]) -> None:
        try:
            self._handle(frames)
        except ProtocolError as fault:
            self.end(causes.of_protocol_error(fault))
        except Exception:
            self._fail()

    def _fail(self) -> None:
        # First the end, which needs no memory: to log it may need more than there is.
        self.end(Cause("internal", "a fault of our own, see the log"))
        self._log.failure("while reading from the broker")

    def _take_failed(self, error: BaseException) -> None:
        """End, since what was read is not whole any more; called by `ReadAhead`."""
        self.end(Cause("internal", "a fault of our own, see the log"))
        self._ahead.clear()
        self._read_on()
        self._log.failure("while reading from the broker", failure_of(error))

    def _handle(self, frames: Iterator[Frame | Skipped]) -> None:
        self._intake.begin()
        end_s = self._reactor.seconds() + TURN_S
        try:
            for frame in frames:
                self._take_some(chain((frame,), islice(frames, FRAMES_A_LOOK - 1)), frames)
                if self._cause is not None:
                    break
                if self._reactor.seconds() > end_s and not self._leaving:
                    self._end_turn(frames)
        finally:
            self._intake.end(self.acknowledgements)
        self.acknowledgements.check()
        if self._passed:
            passed, self._passed = self._passed, []
            for deferred in passed:
                deferred.callback(True)

    def _take_some(self, some: Iterator[Frame | Skipped], rest: Iterator[Frame | Skipped]) -> None:
        """Take frames; what follows a pause, also of the rest, is held."""
        take = self._intake.take
        v5 = self._v5
        for frame in some:
            if isinstance(frame, Skipped):
                self._intake.skip(frame.packet_id)
                continue
            first, body = frame
            if first & QOS_0_OR_1_MASK == PUBLISH_FIRST and self.accepted:
                take(first, body, v5=v5)
                continue
            self._control(first, body)
            if self._cause is not None:
                break
            if self._holds:
                self._held_frames += some
                self._held_frames += rest

    def _end_turn(self, frames: Iterator[Frame | Skipped]) -> None:
        """Leave the rest of a read for the next turn."""
        self._held_frames += frames
        if self._held_frames:
            self._hold(_TURN)
            self._next_turn.start(0)

    def _begin_turn(self) -> None:
        self._release(_TURN)

    def _control(self, first: int, body: bytes) -> None:
        if first == PINGRESP_FIRST:
            waiting = self._pings.popleft() if self._pings else None
            if waiting is not None:
                self._passed.append(waiting)
            return
        if not self.accepted and first != CONNACK_FIRST:
            raise ProtocolError("no_connack", f"a packet of type {first >> 4} came before CONNACK")
        for event in self.engine.feed(first, body):
            if isinstance(event, Accepted):
                self._accept(event)
            elif isinstance(event, Refused):
                self.end(
                    causes.of_connack(
                        event.code, protocol=self._settings.protocol, client_id=self._client_id
                    )
                )
            elif isinstance(event, Disconnected):
                self.end(causes.of_disconnect(event.code, self._client_id))
            elif isinstance(event, Received):
                self._intake.deliver(event.topic, event.payload, 0, retain=event.retain)
            else:
                self._owner.link_answered(event)

    def _accept(self, event: Accepted) -> None:
        if self.accepted:
            raise ProtocolError("second_connack", "the broker accepted the connection twice")
        self.accepted = True
        self._stop_timer()
        if event.keepalive_s > 0:
            # A longer one, up to 18 h, would only hide that a broker is dead: to ping more often
            # than it asks for is always right (MQTT 5, 3.1.2.10).
            self._keepalive_s = min(self._keepalive_s, event.keepalive_s)
        self._ticks.start(self._keepalive_s / 2)
        self._owner.link_accepted(self, event.session_present)

    # Pings.

    def _tick(self) -> float | None:
        if self._holds:
            self._silent_ticks = 0
        elif self._silent_ticks >= SILENT_TICKS:
            self.end(causes.of_silence("PINGREQ", SILENT_TICKS * self._keepalive_s / 2))
            return None
        self._silent_ticks += 1
        self._ping(None)
        return self._keepalive_s / 2

    def _ping(self, passed: Deferred[bool] | None) -> None:
        self._pings.append(passed)
        self._write(PINGREQ)

    # The transport.

    def _write(self, data: bytes) -> None:
        if self._cause is None and self.transport is not None:
            self.transport.write(data)

    def _close(self) -> None:
        self._timer = self._reactor.callLater(GOODBYE_S, self._call_transport, "abortConnection")
        self._call_transport("loseConnection")

    def _gate_changed(self, full: bool) -> None:
        # TLS cannot write before it has read its handshake, and says "full" until then.
        if full and self.accepted:
            self._hold(_UNREAD)
        else:
            self._release(_UNREAD)

    def _gate_stuck(self) -> None:
        self.end(causes.of_unread(STUCK_S))

    def _call_transport(self, name: str) -> None:
        call: Callable[[], object] | None = getattr(self.transport, name, None)
        if call is not None:
            call()

    def _stop_timer(self) -> None:
        self._ticks.stop()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
