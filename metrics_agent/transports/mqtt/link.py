"""One life of a connection to a broker: from an open transport to its end.

A link is made for every connection and never used again. It owns the engine, the splitter, the
acknowledgements and the pings of its connection, so nothing of it can touch the next one. Its
owner learns of three events: accepted, subscribed, ended (exactly once, with the cause).

Pings. One is written every half keepalive, whatever else is written: it keeps us with the broker
also while reading is paused and its answers stay unread, and at the next tick distinguishes a dead
broker from a silent one. A ping is also a barrier: the broker answers in order, so when the answer
is here, everything that it had delivered before is here too.

Reading. When the socket is read and when packets are handled is the affair of `Inflow`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Final, cast
from typing import Protocol as TypingProtocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from metrics_agent.cause import Cause
from metrics_agent.errors import ProtocolError
from metrics_agent.logs.logger import failure_of
from metrics_agent.timer import Timer
from metrics_agent.transports.mqtt import causes
from metrics_agent.transports.mqtt.acknowledge import AckWindow
from metrics_agent.transports.mqtt.engine import (
    Accepted,
    Disconnected,
    Engine,
    Published,
    Received,
    Refused,
    Subscribed,
    Unsubscribed,
)
from metrics_agent.transports.mqtt.inflow import Inflow
from metrics_agent.transports.mqtt.intake import Intake
from metrics_agent.transports.mqtt.packet_types import CONNACK, PINGRESP, PUBLISH
from metrics_agent.transports.mqtt.packets import PINGREQ
from metrics_agent.transports.mqtt.settings import MqttSettings
from metrics_agent.transports.mqtt.splitter import Frame, PacketSplitter, Skipped
from metrics_agent.transports.quick_ack import acknowledge_now
from metrics_agent.transports.write_gate import STUCK_S, WriteGate
from metrics_agent.transports.write_now import write_now

__all__ = ["MqttLink", "MqttLinkOwner"]

PUBLISH_HEADER_BYTES: Final = 64 * 1024 + 1024
"""Room for topic and properties beside the payload in the limit for a whole packet."""
QOS_0_OR_1_MASK: Final = 0xF4
SILENT_TICKS: Final = 3
"""Half keepalives without a whole packet after which the broker is taken for dead."""
SLOWEST_BYTES_A_S: Final = 512
"""What comes of a large packet at this pace is a sign of life too, half of a line of 9,600 baud. So
a payload of 1 MiB is here after 34 minutes at most, or the connection ends."""
GOODBYE_S: Final = 0.15
"""How long the broker has to close after DISCONNECT before we do."""
_UNREAD: Final = "unread"
"""Why nothing is read: the broker does not read what we sent."""


class MqttLinkOwner(TypingProtocol):
    """What a link reports its events to."""

    def link_accepted(self, link: MqttLink, session_present: bool) -> None:
        """Take note that the broker let us in."""
        ...

    def link_answered(self, answer: Subscribed | Unsubscribed | Published) -> None:
        """Take the answer to a SUBSCRIBE or UNSUBSCRIBE, or to a PUBLISH where it is reported."""
        ...

    def link_ended(self, link: MqttLink, cause: Cause) -> None:
        """Take note that the link is over; called once, last."""
        ...


class MqttLink(Protocol):
    """The Twisted protocol of one connection.

    Args:
        reactor: the clock.
        settings: of the connection.
        client_id: to connect with.
        intake: where messages go.
        owner: what events are reported to.
        log: for faults of our own.
        doubt: what to say of a broker that may not know MQTT 5.

    Attributes:
        accepted: the broker has accepted the connection; stays True at the end.
        lost: why there is no connection any more, while what it brought is still being handled.
        engine: to subscribe by.
        inflow: to pause and resume by, while the connection is accepted.
        acknowledgements: what is to be acknowledged.
    """

    def __init__(
        self,
        reactor: Any,
        settings: MqttSettings,
        client_id: str,
        intake: Intake,
        owner: MqttLinkOwner,
        log: Logger,
        doubt: str = causes.OLD_BROKER,
    ) -> None:
        self._reactor = reactor
        self._settings = settings
        self._client_id = client_id
        self._intake = intake
        self._owner = owner
        self._log = log
        splitter = PacketSplitter(settings.max_payload + PUBLISH_HEADER_BYTES)
        self.inflow = Inflow(reactor, splitter, self)
        self.engine = Engine(settings, client_id, self._write)
        self._v5 = self.engine.v5
        self._doubt = doubt if self._v5 else ""
        self.acknowledgements = AckWindow(
            self._write,
            self._all_acknowledged,
            settings.receive_maximum if self._v5 else None,
        )
        self._unacknowledged: list[Deferred[bool]] = []
        self._pings: deque[Deferred[bool] | None] = deque()
        self._passed: list[Deferred[bool]] = []
        self._cause: Cause | None = None
        self._timer: IDelayedCall | None = None
        self._keepalive_s = float(settings.keepalive)
        self._silent_ticks = 0
        self._received_bytes = 0
        self._bytes_at_tick = 0
        self._ticks = Timer(reactor, self._tick)
        self._spoken = False
        self._said_goodbye = False
        self._written = False
        self._gate = WriteGate(reactor, self._gate_changed, self._gate_stuck)
        self.accepted = False
        self.lost: Failure | None = None

    # What the owner asks for.

    @property
    def alive(self) -> bool:
        """Whether the broker has accepted the connection and it is not lost."""
        return self.accepted and self.lost is None

    @property
    def received_bytes(self) -> int:
        """How much has come on this connection."""
        return self._received_bytes

    def barrier(self) -> Deferred[bool]:
        """Return a Deferred that fires when what the broker has delivered so far was handled.

        It gives True, or False when the link ends before.
        """
        passed: Deferred[bool] = Deferred()
        self._ping(passed)
        return passed

    def acknowledged(self) -> Deferred[bool]:
        """Return a Deferred that fires when all that was handled so far is acknowledged.

        It gives True, or False when the connection is lost before.
        """
        if not self.alive or not len(self.acknowledgements):
            return succeed(self.alive)
        waiting: Deferred[bool] = Deferred()
        self._unacknowledged.append(waiting)
        return waiting

    def publish(self, topic: str, payload: bytes, qos: int) -> bool:
        """Send a message; False when the broker does not keep up with what we send."""
        return not self._gate.full and self.engine.publish(topic, payload, qos)

    def disconnect(self) -> None:
        """Say goodbye in order: DISCONNECT, then the broker closes."""
        self._stop_timer()
        self.inflow.close()
        if self.lost is not None:
            return
        if not self.accepted:
            self._call_transport("abortConnection")
            return
        self.engine.disconnect()
        self._said_goodbye = True
        # With a producer registered a transport may put off its own closing.
        self._call_transport("unregisterProducer")
        # Closing a socket with unread data makes the kernel send a reset, which may overtake our
        # last acknowledgements: read (and ignore) until the broker closes.
        self.read_socket(True)
        self._timer = self._reactor.callLater(GOODBYE_S, self._close)

    def accept_timed_out(self, timeout_s: float) -> None:
        """End, since the broker has not accepted the connection in time."""
        self.abort(causes.of_no_connack(timeout_s, doubt=self._doubt))

    def abort(self, cause: Cause, *, hand_on: bool = False) -> None:
        """Cut the connection.

        Args:
            cause: what is wrong with it.
            hand_on: what came before, and is set aside, is still handed on.
        """
        if self._cause is None:
            self._cause = cause
            if not hand_on:
                self.inflow.close()
            if self.lost is None:
                self._call_transport("abortConnection")

    # What the transport calls.

    def connectionMade(self) -> None:
        """Introduce ourselves."""
        cast("Any", self.transport).registerProducer(self._gate, streaming=True)
        self.engine.connect()

    def dataReceived(self, data: bytes) -> None:
        """Take what the broker sent; whatever is in it, nothing is raised."""
        self._received_bytes += len(data)
        if not self._spoken:
            self._spoken = True
            if data[0] != CONNACK:
                self.abort(causes.of_wrong_speech(data))
        self._written = False
        self.inflow.data(data)
        # What was written, as the acknowledgement of an earlier message, brings TCP's with it.
        if not self._written and self.acknowledgements.delays_the_next:
            acknowledge_now(self.transport)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End, as soon as what the broker had sent before is handled."""
        self.lost = reason
        self._all_acknowledged()  # as far as they can be
        self.inflow.end_of_input(self._report_end)
        self._gate.resumeProducing()  # nothing waits to be written any more

    def _report_end(self) -> None:
        """Clean up and notify the owner."""
        self._stop_timer()
        self._gate.stopProducing()
        self.acknowledgements.close()
        waiting = [passed for passed in self._pings if passed is not None]
        self._pings.clear()
        lost = cast("Failure", self.lost)
        cause = self._cause or causes.of_loss(lost, accepted=self.accepted, doubt=self._doubt)
        self._cause = cause
        self._owner.link_ended(self, cause)
        for passed in waiting:
            passed.callback(False)

    # What the inflow calls: `Receiver`.

    def read_socket(self, wanted: bool) -> None:
        """Begin or stop to read the socket."""
        self._call_transport("resumeProducing" if wanted else "pauseProducing")

    def begin_frames(self) -> None:
        """Begin a batch."""
        self._intake.begin()

    def take_frames(self, frames: Iterator[Frame | Skipped]) -> None:
        """Take messages, up to the first other packet."""
        self._silent_ticks = 0
        take = self._intake.take
        v5 = self._v5
        for frame in frames:
            if isinstance(frame, Skipped):
                self._intake.skip(frame.packet_id)
                continue
            first, body = frame
            if first & QOS_0_OR_1_MASK == PUBLISH and self.accepted:
                take(first, body, v5=v5)
            else:
                self._control(first, body)
                break

    def end_frames(self) -> bool:
        """Hand on the batch."""
        self._intake.end(self.acknowledgements)
        self.acknowledgements.check()
        if self._passed:
            passed, self._passed = self._passed, []
            for deferred in passed:
                deferred.callback(True)
        return self._intake.acknowledges

    def inflow_failed(self, error: BaseException) -> None:
        """End, since what was read is not whole any more."""
        if isinstance(error, ProtocolError):
            doubt = "" if self.accepted else self._doubt
            self.abort(causes.of_protocol_error(error, doubt=doubt))
            return
        # First the end, which needs no memory: to log it may need more than there is.
        self.abort(Cause("internal", "a fault of our own, see the log"))
        self._log.failure("while reading from the broker", failure_of(error))

    def _control(self, first: int, body: bytes) -> None:
        if first == PINGRESP:
            waiting = self._pings.popleft() if self._pings else None
            if waiting is not None:
                self._passed.append(waiting)
            return
        if not self.accepted and first != CONNACK:
            raise ProtocolError("no_connack", f"a packet of type {first >> 4} came before CONNACK")
        for event in self.engine.feed(first, body):
            if isinstance(event, Accepted):
                self._accept(event)
            elif isinstance(event, Refused):
                self.abort(
                    causes.of_connack(
                        event.code, protocol=self._settings.protocol, client_id=self._client_id
                    )
                )
            elif isinstance(event, Disconnected):
                self.abort(causes.of_disconnect(event.code, self._client_id), hand_on=True)
            elif isinstance(event, Received):
                self._intake.deliver(event.topic, event.payload, 0, retain=event.retain)
            else:
                self._owner.link_answered(event)

    def _accept(self, event: Accepted) -> None:
        if self.accepted:
            raise ProtocolError("second_connack", "the broker accepted the connection twice")
        self.accepted = True
        if event.keepalive_s > 0:
            # A longer one, up to 18 h, would only hide that a broker is dead: to ping more often
            # than it asks for is always right (MQTT 5, 3.1.2.10).
            self._keepalive_s = min(self._keepalive_s, event.keepalive_s)
        self._ticks.start(self._keepalive_s / 2)
        self._owner.link_accepted(self, event.session_present)

    # Pings.

    def _tick(self) -> float | None:
        tick_bytes = self._received_bytes - self._bytes_at_tick
        self._bytes_at_tick = self._received_bytes
        # A byte now and then, of a packet that is never whole, is not a sign of life.
        on_its_way = tick_bytes >= SLOWEST_BYTES_A_S * self._keepalive_s / 2
        if on_its_way or not self.inflow.reading:
            self._silent_ticks = 0
        elif self._silent_ticks >= SILENT_TICKS:
            silent_s = SILENT_TICKS * self._keepalive_s / 2
            self.abort(causes.of_silence("PINGREQ", silent_s), hand_on=True)
            return None
        self._silent_ticks += 1
        self._ping(None)
        return self._keepalive_s / 2

    def _ping(self, passed: Deferred[bool] | None) -> None:
        self._pings.append(passed)
        self._write(PINGREQ)

    # The transport.

    def _all_acknowledged(self) -> None:
        unacknowledged, self._unacknowledged = self._unacknowledged, []
        for waiting in unacknowledged:
            waiting.callback(self.lost is None)

    def _write(self, data: bytes) -> None:
        # Nothing may follow DISCONNECT (MQTT 5, 3.14.4).
        if self._cause is None and not self._said_goodbye and self.transport is not None:
            self._written = True
            write_now(self._reactor, self.transport, data)

    def _close(self) -> None:
        self._timer = self._reactor.callLater(GOODBYE_S, self._call_transport, "abortConnection")
        self._call_transport("loseConnection")

    def _gate_changed(self, full: bool) -> None:
        # TLS cannot write before it has read its handshake, and says "full" until then.
        if full and self.accepted:
            self.inflow.pause(_UNREAD)
        else:
            self.inflow.resume(_UNREAD)

    def _gate_stuck(self) -> None:
        self.abort(causes.of_unread(STUCK_S), hand_on=True)

    def _call_transport(self, name: str) -> None:
        call: Callable[[], object] | None = getattr(self.transport, name, None)
        if call is not None:
            call()

    def _stop_timer(self) -> None:
        self._ticks.stop()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
