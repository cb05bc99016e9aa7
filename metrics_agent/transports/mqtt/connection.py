"""The connection to one broker: kept up until it is stopped; modules subscribe through it.

Theory of operation. `Reconnecting` makes the attempts; a `MqttLink` is one connection, from an open
transport to its end. What outlives a link is here: the table of subscriptions, the counters and the
reasons to pause.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Final

from attrs import evolve
from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from metrics_agent.backoff import Backoff
from metrics_agent.batch import Batch
from metrics_agent.broker_address import BrokerAddress
from metrics_agent.cause import Cause
from metrics_agent.deferreds import as_deferred, at_most
from metrics_agent.interfaces import Cancellable
from metrics_agent.state.directory import StateFile
from metrics_agent.timer import Timer
from metrics_agent.topic_filters import valid_topic
from metrics_agent.transports.mqtt import causes
from metrics_agent.transports.mqtt.dial import dial
from metrics_agent.transports.mqtt.engine import Published, Subscribed, Unsubscribed
from metrics_agent.transports.mqtt.inflow import ENDING
from metrics_agent.transports.mqtt.intake import Intake
from metrics_agent.transports.mqtt.last_reads import LastReads
from metrics_agent.transports.mqtt.link import MqttLink
from metrics_agent.transports.mqtt.settings import MqttSettings
from metrics_agent.transports.mqtt.subscriber import Subscriber
from metrics_agent.transports.mqtt.topics import Deliver, SubscriptionTable
from metrics_agent.transports.mqtt.versions import BrokerVersions
from metrics_agent.transports.outage import OutageReport
from metrics_agent.transports.reconnecting import Dial, Reconnecting

__all__ = ["MqttConnection"]

_LOOK_AGAIN_S: Final = 0.5
"""While announcements are awaited: how often to look whether filters need not wait any more."""


class MqttConnection(Service):
    """A service: connects when started, disconnects in order when stopped.

    Args:
        reactor: clock, TCP, UNIX sockets, name resolution.
        settings: of the broker.
        client_id: stable and unique.
        write: takes the lines of what was received.
        log: for outages and refusals.
        now_ns: the wall clock, nanoseconds since the epoch.
        random: gives floats from 0 to below 1, for the jitter.
        count: called with a snake_case reason and a number for messages that are dropped.
        noted: called with an address and what is wrong with it, see
            `ModuleContext.note_connection`.
        state: remembers the filters of a persistent session; None: not at all.
        versions: what is known of brokers' versions of MQTT; None: nothing.
        dialer: makes the way to an address; a seam for tests.

    Attributes:
        settings: as given.
        client_id: as given.
    """

    def __init__(
        self,
        reactor: Any,
        settings: MqttSettings,
        *,
        client_id: str,
        write: Callable[[Batch], None],
        log: Logger,
        now_ns: Callable[[], int],
        random: Callable[[], float],
        count: Callable[[str, int], None],
        noted: Callable[[str, str | None], object] = lambda _address, _problem: None,
        state: StateFile | None = None,
        versions: BrokerVersions | None = None,
        dialer: Callable[[Any, MqttSettings, BrokerAddress], Dial] = dial,
    ) -> None:
        self.settings = settings
        self._reactor = reactor
        self.client_id = client_id
        self._log = log
        self._noted = noted
        self._versions = versions or BrokerVersions()
        self._dialer = dialer
        self._table = SubscriptionTable()
        self._table.on_change(self._subscriptions_changed)
        self._intake = Intake(
            self._table,
            write,
            now_ns,
            count,
            log,
            settings.max_payload,
            is_kept=settings.persistent_session,
        )
        self._subscriber = Subscriber(log, state)
        self._pause_reasons: set[str] = set()
        self._flushes = Timer(reactor, self._flush)
        self._later_flushes = Timer(reactor, self._flush)
        self._resubscribes = Timer(reactor, self._resubscribe)
        self._answers = Timer(reactor, self._answer_is_overdue)
        self._awaits_announcements = True
        self._last_reads = LastReads(reactor, lambda: self.broker, log)
        self._too_long_logged = False
        self._remarks: tuple[str, ...] = ()
        self._reconnecting = Reconnecting(
            reactor,
            addresses=settings.brokers,
            dial=lambda address: self._dialer(reactor, self.settings, address),
            make_link=self._make_link,
            timeout_s=float(settings.connect_timeout),
            backoff=Backoff(settings.reconnect_min, settings.reconnect_max, random),
            report=OutageReport(log, reactor.seconds),
            down=noted,
            short_lived=lambda times: causes.of_short_lives(client_id, times),
            log=log,
        )

    # For modules, by way of their context.

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted the connection that there is."""
        return self._reconnecting.connected

    @property
    def hears(self) -> bool:
        """Whether messages come in, if the broker has any: it is connected and nothing pauses."""
        return self.connected and not self._pause_reasons

    @property
    def broker(self) -> str:
        """The address in use or tried next, for a log line; without secrets."""
        return str(self._reconnecting.address)

    def subscribe(
        self,
        topic_filter: str,
        qos: int,
        deliver: Deliver,
        *,
        learned: bool = False,
        announcements: bool = False,
    ) -> Cancellable:
        """Get the messages of a filter, now if connected and after each reconnect.

        Args:
            topic_filter: an MQTT filter, wildcards and ``$share/...`` allowed.
            qos: 0 or 1.
            deliver: see `Deliver`; must not raise.
            learned: the filter comes from a device, not from the configuration: it is set aside
                if the broker ends the connection for it.
            announcements: its retained messages are handled before all other messages, see
                `announcement_gate`.

        Returns:
            The subscription. Cancelling it ends the delivery at once; it is unsubscribed once
            the module has subscribed to all that it wants, see `unsubscribe_unwanted`.

        Raises:
            ValueError: the filter is invalid.
        """
        return self._table.add(
            topic_filter, qos, deliver, learned=learned, announcements=announcements
        )

    def publish(self, topic: str, payload: bytes, qos: int = 0) -> bool:
        """Send a message if connected.

        Returns:
            False when there is no connection, the broker does not keep up, the topic is one
            that cannot be published to, or the packet is longer than the broker takes.
        """
        link = self._link
        if link is None or not link.alive or valid_topic(topic) is not None:
            return False
        size, most = link.engine.publish_bytes(topic, payload, qos), link.engine.max_packet_bytes
        if size > most:
            if not self._too_long_logged:
                self._too_long_logged = True
                self._log.error(
                    "{broker} takes packets of at most {most} bytes; a message to {topic!r}, "
                    "{size} bytes, is not sent. Others that are longer are not named.",
                    broker=self.broker,
                    most=most,
                    topic=topic,
                    size=size,
                )
            return False
        return link.publish(topic, payload, qos)

    # For the agent.

    def unsubscribe_unwanted(self) -> None:
        """Unsubscribe from what is not wanted, now that the module has subscribed."""
        self._subscriber.unsubscribe_unwanted()
        self._flush_soon()

    def pause_reading(self, reason: str) -> None:
        """Stop reading until every reason that was given is taken back; pings go on."""
        self._pause_reasons.add(reason)
        if self._link is not None and self._link.accepted:
            self._link.inflow.pause(reason)

    def resume_reading(self, reason: str) -> None:
        """Take back one reason; read again, from the next turn on, if it was the last."""
        self._pause_reasons.discard(reason)
        if self._link is not None:
            self._link.inflow.resume(reason)

    def handle_delivered(self, timeout_s: float, *, comes_back: bool = False) -> Deferred[bool]:
        """Wait until what the broker has delivered so far was handled.

        Never passes while reading is paused: resume first. For a connection that is about
        to end: nothing waits for announcements any more, and one that no broker has accepted yet
        ends at once. `read_no_more` comes next.

        Args:
            timeout_s: at most.
            comes_back: the session will be read again; what it keeps and waits for announcements
                is left there.

        Returns:
            A Deferred of True; of False after the timeout, or when there is no connection.
        """
        link = self._link
        if link is None or not link.accepted:
            # Whatever a broker sends that accepts us only now would be neither handled nor logged.
            self.stopService()
            return succeed(False)
        self.resume_reading(ENDING)
        is_kept = comes_back and self.settings.persistent_session
        self._awaits_announcements = False
        gate = link.inflow.announcement_gate
        if is_kept:
            gate.leave()
        else:
            gate.end()
        return as_deferred(self._last_reads.wait(link, timeout_s, is_kept=is_kept))

    def read_no_more(self, rest_s: float, lifted: Collection[str] = ()) -> Deferred[None]:
        """Read nothing more and hand on what was read, also behind the answer to a barrier.

        Args:
            rest_s: at most.
            lifted: reasons to pause that are taken back for what was read.
        """
        link = self._link
        if link is None:
            return succeed(None)
        was_silent = self._last_reads.was_silent(link)
        self.pause_reading(ENDING)
        for reason in lifted:
            self.resume_reading(reason)
        return as_deferred(self._last_reads.hand_on(link, rest_s, was_silent=was_silent))

    def acknowledged(self, timeout_s: float) -> Deferred[bool]:
        """Wait until all that was handled so far is acknowledged.

        Returns:
            A Deferred of True; of False after the timeout, or when there is no connection any more.
        """
        if self._link is None:
            return succeed(False)
        return at_most(self._reactor, timeout_s, self._link.acknowledged(), otherwise=False)

    def startService(self) -> None:
        """Begin to connect."""
        super().startService()
        self._noted(self.broker, None)
        self._reconnecting.start()

    def stopService(self) -> Deferred[None]:
        """Disconnect in order.

        Returns:
            A Deferred that fires when the connection is closed; safe before start and twice.
        """
        super().stopService()
        self._stop_timers()
        return self._reconnecting.stop()

    # Connecting.

    @property
    def _link(self) -> MqttLink | None:
        return self._reconnecting.link

    def _make_link(self) -> MqttLink:
        version = self._versions.to_try(self.settings.protocol, self._reconnecting.address)
        settings = evolve(self.settings, protocol=version)
        return MqttLink(self._reactor, settings, self.client_id, self._intake, self, self._log)

    # What the link calls.

    def link_accepted(self, link: MqttLink, session_present: bool) -> None:
        """Subscribe to everything wanted; called by the link."""
        self._reconnecting.accepted()
        self._log_remarks(link.engine.remarks)
        self._subscriber.connected(self._table.wanted(), session_present=session_present)
        self._flushes.stop()
        self._flush()
        for reason in self._pause_reasons:
            link.inflow.pause(reason)

    def _log_remarks(self, remarks: tuple[str, ...]) -> None:
        """Log what is odd about the broker's limits, unless it was so the last time."""
        if remarks != self._remarks:
            self._remarks = remarks
            for remark in remarks:
                self._log.warn("Broker {broker}: {remark}.", broker=self.broker, remark=remark)

    def link_answered(self, answer: Subscribed | Unsubscribed | Published) -> None:
        """Take the answer to a SUBSCRIBE or UNSUBSCRIBE; called by the link."""
        if isinstance(answer, Subscribed):
            retry_s = self._subscriber.answered(answer, self.broker)
            if retry_s is not None and not self._resubscribes.active:
                self._resubscribes.start(retry_s)
            if not self._subscriber.waits_for_an_answer:
                self._answers.stop()
            self._noted(self.broker, self._subscriber.problem)
            self._await_announcements()
            self._flush_soon()
        elif isinstance(answer, Unsubscribed):
            self._subscriber.unsubscribed(answer)

    def link_ended(self, link: MqttLink, cause: Cause) -> None:
        """Plan the next attempt, or finish stopping; called by the link."""
        if link is self._link:
            self._stop_timers()
        if not self._reconnecting.ended(link):
            return
        if link.accepted:
            self._subscriber.ended(self._table.learned(), self.broker)
        elif cause.kind == causes.BAD_VERSION and self._use_other_version(link):
            return
        self._reconnecting.retry(cause)

    def _use_other_version(self, link: MqttLink) -> bool:
        """Connect at once with the version of MQTT that the broker has not refused, if any."""
        protocol, address = self.settings.protocol, self._reconnecting.address
        is_known = self._versions.to_try(protocol, address) == "3.1.1"
        if not self._versions.refused(protocol, address, "5" if link.engine.v5 else "3.1.1"):
            return False
        if not is_known:
            self._log.info("{broker} does not speak MQTT 5. Trying MQTT 3.1.1.", broker=self.broker)
        self._reconnecting.again()
        return True

    # Subscribing.

    def _subscriptions_changed(self, topic_filter: str, added: bool) -> None:
        if added:
            self._subscriber.queue(topic_filter)
            self._await_announcements()
        else:
            self._subscriber.keep_unwanted()
        self._flush_soon()

    def _flush_soon(self) -> None:
        # Modules subscribe one filter at a time; one packet carries what one turn brings.
        if self.connected and not self._flushes.active:
            self._flushes.start(0)

    def _flush(self) -> None:
        if self._link is not None and self._link.accepted:
            self._await_announcements()
            gate = self._link.inflow.announcement_gate
            awaits = gate.active
            self._subscriber.flush(
                self._link.engine,
                self._table.wanted(),
                self.broker,
                awaited=self._table.learned() if awaits else None,
                gives_up=gate.complete and not awaits,
            )
            if awaits and not self._later_flushes.active:
                self._later_flushes.start(_LOOK_AGAIN_S)
            self._await_announcements()
            if self._subscriber.waits_for_an_answer and not self._answers.active:
                self._answers.start(self.settings.connect_timeout)
            self._noted(self.broker, self._subscriber.problem)

    def _answer_is_overdue(self) -> float | None:
        if self._link is None or not self._link.inflow.reading:
            return float(self.settings.connect_timeout)  # it may be there, unread
        self._subscriber.answer_is_overdue(self.settings.connect_timeout, self.broker)
        self._noted(self.broker, self._subscriber.problem)
        return None

    def _await_announcements(self) -> None:
        """Have other messages wait from the subscription to a filter of announcements on."""
        filters, link = self._table.announcement_filters, self._link
        if not filters or link is None or not self.connected or not self._awaits_announcements:
            return
        gate = link.inflow.announcement_gate
        if self._subscriber.queued_any(filters):
            gate.begin(filters)
        elif gate.wants_barrier and not self._subscriber.pending_any(filters):
            gate.barrier(link.barrier())

    def _resubscribe(self) -> None:
        self._subscriber.retry()
        self._flush_soon()

    def _stop_timers(self) -> None:
        for timer in (self._flushes, self._later_flushes, self._resubscribes, self._answers):
            timer.stop()
