"""A connection that only publishes: one message at a time, at QoS 1, with MQTT 5.

Theory of operation. `Reconnecting` makes the attempts, each with a `MqttLink`, as for the
connections of modules. The session ends with each connection: what was not acknowledged is the
owner's to publish again, and nothing is left at the broker of an agent that never comes back.

0x95 is followed by a new connection: so mosquitto answers what is above its `message_size_limit`,
and with ``max_queued_messages 0`` it then ends the connection when the next message comes (2.0.11
and 2.0.21: "Quota exceeded"). After other answers, known to MQTT 5 or not, the connection stays: on
a new one the owner would publish at once what it wants to publish after a pause.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from metrics_agent.backoff import Backoff
from metrics_agent.cause import Cause
from metrics_agent.timer import Timer
from metrics_agent.transports.mqtt import causes, packets
from metrics_agent.transports.mqtt.engine import TOO_LARGE, Published, Subscribed, Unsubscribed
from metrics_agent.transports.mqtt.intake import Intake
from metrics_agent.transports.mqtt.link import MqttLink
from metrics_agent.transports.mqtt.settings import MqttSettings
from metrics_agent.transports.mqtt.topics import SubscriptionTable
from metrics_agent.transports.reconnecting import Dial, Reconnecting

__all__ = ["Publisher", "PublisherOwner"]

QOS: Final = 1
_DOUBT: Final = "does the broker know MQTT 5?"
_NEEDED: Final = ", which is needed: only its answers say whether anyone is subscribed"
_NO_ANSWERS: Final = Cause(
    "maximum_qos",
    "the broker takes messages at QoS 0 only (Maximum QoS 0), which it does not acknowledge; "
    "QoS 1 is needed",
    needs_user_action=True,
)
_BESIDE_BYTES: Final = 5
"""In a PUBLISH beside topic and payload: the topic's length, the packet id, no properties."""


class PublisherOwner(Protocol):
    """What a publisher reports to."""

    def ready(self) -> None:
        """Publish, if there is something: the broker has accepted a connection."""
        ...

    def answered(self, code: int) -> None:
        """Take the reason code of the PUBACK for the message that was published."""
        ...

    def unanswered(self) -> None:
        """Take note that the message that was published may have arrived or not."""
        ...

    def up(self) -> None:
        """Report that there is a connection."""
        ...

    def down(self, cause: Cause) -> None:
        """Report that there is none, and that another one is tried later; may be repeated."""
        ...


class Publisher:
    """Connects, and connects again until it is closed.

    Args:
        reactor: clock, TCP, name resolution.
        settings: of the broker; with MQTT 5 and without a session.
        client_id: stable and unique.
        name: of the broker, for messages.
        dial: makes the way to the broker, for each attempt.
        owner: hears of all that happens.
        backoff: the delays between attempts.
        log: for faults of our own.
    """

    def __init__(
        self,
        reactor: Any,
        settings: MqttSettings,
        *,
        client_id: str,
        name: str,
        dial: Callable[[], Dial],
        owner: PublisherOwner,
        backoff: Backoff,
        log: Logger,
    ) -> None:
        self._reactor = reactor
        self._settings = settings
        self._client_id = client_id
        self._owner = owner
        self._log = log
        # Nothing is subscribed to, so nothing comes.
        table = SubscriptionTable()
        self._intake = Intake(table, _ignore, lambda: 0, _ignore, log, settings.max_payload)
        self._in_flight = False
        self._answers = False
        self._renewing = False
        self._waits = Timer(reactor, self._answer_is_overdue)
        self._reconnecting: Reconnecting[MqttLink] = Reconnecting(
            reactor,
            addresses=(name,),
            dial=lambda _name: dial(),
            make_link=self._make_link,
            timeout_s=float(settings.connect_timeout),
            backoff=backoff,
            report=_Report(owner),
            short_lived=lambda times: causes.of_short_lives(client_id, times),
            log=log,
        )

    @property
    def ready(self) -> bool:
        """Whether a message may be published now."""
        fit = self._answers and not self._renewing
        return fit and not self._in_flight and self._reconnecting.connected

    def start(self) -> None:
        """Begin to connect."""
        self._reconnecting.start()

    def publish(self, topic: str, payload: bytes) -> bool:
        """Send a message at QoS 1, if `ready`.

        Returns:
            Whether it was sent; then the owner hears of its fate.
        """
        link = self._reconnecting.link
        if link is None or not self.ready or not link.publish(topic, payload, QOS):
            return False
        self._in_flight = True
        self._waits.start(float(self._settings.connect_timeout))
        return True

    def longest_payload(self, topic: str) -> int:
        """Return how many bytes the broker takes in a message, as far as it says so."""
        link = self._reconnecting.link
        limit = packets.MAX_PACKET_BYTES if link is None else link.engine.max_packet_bytes
        return packets.longest_body(limit) - _BESIDE_BYTES - len(topic.encode())

    def close(self) -> Deferred[None]:
        """Disconnect in order, or end the attempts to connect."""
        self._in_flight = False
        self._waits.stop()
        return self._reconnecting.stop()

    # What the link calls: `MqttLinkOwner`.

    def link_accepted(self, link: MqttLink, _session_present: bool) -> None:
        """Report that messages can be published, if the broker answers them."""
        self._answers = link.engine.maximum_qos >= QOS
        if not self._answers:
            link.abort(_NO_ANSWERS)
            return
        self._reconnecting.accepted()
        self._owner.ready()

    def link_answered(self, answer: Subscribed | Unsubscribed | Published) -> None:
        """Report the answer to a message."""
        if isinstance(answer, Published) and self._in_flight:
            self._in_flight = False
            self._waits.stop()
            link = self._reconnecting.link
            if answer.code == TOO_LARGE and link is not None:
                self._renewing = True
                link.disconnect()
            self._owner.answered(answer.code)

    def link_ended(self, link: MqttLink, cause: Cause) -> None:
        """Connect again later; what was not answered is the owner's."""
        if self._in_flight:
            self._in_flight = False
            self._waits.stop()
            self._owner.unanswered()
        renewing, self._renewing = self._renewing, False
        if self._reconnecting.ended(link):
            if renewing:
                self._reconnecting.again()
                return
            if cause.kind == causes.BAD_VERSION:
                cause = evolve(cause, text=cause.text + _NEEDED)
            self._reconnecting.retry(cause)

    # Inside.

    def _make_link(self) -> MqttLink:
        link = MqttLink(
            self._reactor, self._settings, self._client_id, self._intake, self, self._log, _DOUBT
        )
        link.engine.report_published()
        return link

    def _answer_is_overdue(self) -> None:
        link = self._reconnecting.link
        if link is not None:
            link.abort(causes.of_silence("PUBLISH", float(self._settings.connect_timeout)))


class _Report:
    """Hands on what `Reconnecting` says."""

    def __init__(self, owner: PublisherOwner) -> None:
        self._owner = owner

    def failed(self, _address: str, cause: Cause) -> None:
        self._owner.down(cause)

    lost = failed

    def up(self, _address: str) -> None:
        self._owner.up()

    def proven(self) -> None:
        """Nothing to do."""


def _ignore(*_what: object) -> None:
    """Take what cannot come."""
