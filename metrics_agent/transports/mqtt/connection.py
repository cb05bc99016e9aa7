"""The connection to one broker: it comes back for ever, and modules subscribe through it.

Theory of operation. At any time there is at most one of: an attempt to get a transport, a `Link`
(from an open transport to its end), a timer until the next attempt. A link reports its end exactly
once, which is the only way back to the timer. What outlives a link is here: the table of
subscriptions, the counters, the reasons to pause, the backoff and what was said about the outage.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from attrs import evolve
from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.defer import TimeoutError as DeferTimeoutError
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from metrics_agent.backoff import Backoff
from metrics_agent.interfaces import Cancellable
from metrics_agent.looping import GuardedLoop
from metrics_agent.output.batch import Batch
from metrics_agent.state.directory import StateFile
from metrics_agent.transports.mqtt import causes
from metrics_agent.transports.mqtt.address import BrokerAddress
from metrics_agent.transports.mqtt.causes import Cause
from metrics_agent.transports.mqtt.dial import Dial, dial
from metrics_agent.transports.mqtt.engine import Subscribed, Unsubscribed
from metrics_agent.transports.mqtt.intake import Intake, Stats
from metrics_agent.transports.mqtt.link import Link
from metrics_agent.transports.mqtt.settings import MqttSettings
from metrics_agent.transports.mqtt.subscriber import Subscriber
from metrics_agent.transports.mqtt.topics import Deliver, SubscriptionTable, valid_topic
from metrics_agent.transports.mqtt.versions import BrokerVersions
from metrics_agent.transports.outage import PROVEN_S, OutageReport

__all__ = ["MqttConnection"]

SHORT_LIVES: Final = 3
"""Connections closed soon after being accepted, in a row, that are worth a hint."""


class MqttConnection(Service):
    """A service: connects when started, disconnects in order when stopped.

    Args:
        reactor: clock, TCP, UNIX sockets, name resolution.
        settings: of the broker.
        client_id: stable and unique.
        write: takes the lines of what was received.
        log: where outages and refusals are told.
        now_ns: the wall clock, nanoseconds since the epoch.
        random: gives floats from 0 to below 1, for the jitter.
        count: called with a snake_case reason and a number for messages that are dropped.
        noted: told of an address and of what is wrong with it, as
            `ModuleContext.note_connection` has it.
        state: remembers the filters of a persistent session; None: not at all.
        versions: what is known of brokers' versions of MQTT; None: nothing.
        dialer: makes the way to an address; a seam for tests.

    Attributes:
        settings: as given.
        client_id: as given.
        stats: counters since this object was made.
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
        self._intake = Intake(self._table, write, now_ns, count, log, settings.max_payload)
        self._subscriber = Subscriber(log, state)
        self._backoff = Backoff(settings.reconnect_min, settings.reconnect_max, random)
        self._report = OutageReport(log, reactor.seconds)
        self._addresses = settings.brokers
        self._next_address = 0
        self._pause_reasons: set[str] = set()
        self._stop_waiters: list[Deferred[None]] = []
        self._dial: Dial | None = None
        self._attempt: Deferred[Any] | None = None
        self._link: Link | None = None
        self._retries = GuardedLoop(reactor, self._connect)
        self._proof = GuardedLoop(reactor, self._proven)
        self._flushes = GuardedLoop(reactor, self._flush)
        self._resubscribes = GuardedLoop(reactor, self._resubscribe)
        self._answers = GuardedLoop(reactor, self._answer_is_overdue)
        self._short_lives = 0
        self._accepted_count = 0
        self._told_up = False
        self._proved_itself = False

    # For modules, by way of their context.

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted the connection that there is."""
        return self._link is not None and self._link.accepted and self._link.lost is None

    @property
    def stats(self) -> Stats:
        """The counters."""
        return self._intake.stats

    @property
    def broker(self) -> str:
        """The address in use or tried next, for a log line; without secrets."""
        return str(self._addresses[self._next_address])

    def subscribe(
        self, topic_filter: str, qos: int, deliver: Deliver, *, learned: bool = False
    ) -> Cancellable:
        """Get the messages of a filter, now if connected and after each reconnect.

        Args:
            topic_filter: an MQTT filter, wildcards and ``$share/...`` allowed.
            qos: 0 or 1.
            deliver: see `Deliver`; must not raise.
            learned: the filter comes from a device, not from the configuration: it is set aside
                if the broker ends the connection for it.

        Returns:
            The subscription. Cancelling it ends the delivery at once; the broker is told at the
            next `reconcile` at the earliest.

        Raises:
            ValueError: the filter is invalid.
        """
        return self._table.add(topic_filter, qos, deliver, learned=learned)

    def publish(self, topic: str, payload: bytes, qos: int = 0) -> bool:
        """Send a message if connected.

        Returns:
            False when there is no connection, the broker does not keep up, or the topic is one
            that cannot be published to.
        """
        link = self._link
        if not self.connected or link is None or valid_topic(topic) is not None:
            return False
        return link.publish(topic, payload, qos)

    # For the agent.

    def reconcile(self) -> None:
        """Give up filters at the broker that nobody wants: everybody has subscribed by now."""
        self._subscriber.reconcile()
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

    def settle(self, timeout_s: float) -> Deferred[bool]:
        """Wait until what the broker has delivered so far was handled.

        Never passes while reading is paused: resume first.

        Returns:
            A Deferred of True; of False after the timeout, or when there is no connection.
        """
        if self._link is None or not self._link.accepted:
            return succeed(False)
        passed = self._link.barrier()
        passed.addTimeout(timeout_s, self._reactor)

        def timed_out(failure: Failure) -> bool:
            failure.trap(DeferTimeoutError)  # type: ignore[no-untyped-call]  # Twisted's is
            return False

        return passed.addErrback(timed_out)

    def flush_acknowledgements(self) -> None:
        """Send the acknowledgements whose turn has come, without waiting for the next turn."""
        if self._link is not None:
            self._link.acknowledgements.flush()

    def startService(self) -> None:
        """Begin to connect."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's is untyped
        self._noted(self.broker, None)
        self._connect()

    def stopService(self) -> Deferred[None]:
        """Disconnect in order.

        Returns:
            A Deferred that fires when the connection is closed; safe before start and twice.
        """
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted's is untyped
        self._stop_timers()
        if self._attempt is not None:
            self._attempt.cancel()
        if self._link is None:
            return succeed(None)
        ended: Deferred[None] = Deferred()
        self._stop_waiters.append(ended)
        if len(self._stop_waiters) == 1:
            self._link.leave()
        return ended

    # Connecting.

    def _connect(self) -> None:
        timeout_s = float(self.settings.connect_timeout)
        try:
            self._dial = self._dialer(
                self._reactor, self.settings, self._addresses[self._next_address]
            )
            attempt = self._dial.endpoint.connect(_LinkFactory(self._make_link))
        except Exception:
            # A certificate that cannot be read, a package that is missing: tried again later,
            # a person may have put it right.
            failure = Failure()  # type: ignore[no-untyped-call]  # Twisted's is untyped
            self._failed(causes.of_connect_failure(failure, timeout_s))
            return
        self._attempt = attempt
        attempt.addTimeout(timeout_s, self._reactor)
        attempt.addCallbacks(self._transport_open, self._transport_failed)
        attempt.addErrback(
            lambda failure: self._log.failure("while connecting to the broker", failure)
        )

    def _make_link(self) -> Link:
        version = self._versions.to_try(self.settings.protocol, self._addresses[self._next_address])
        settings = evolve(self.settings, protocol=version)
        return Link(self._reactor, settings, self.client_id, self._intake, self, self._log)

    def _transport_open(self, link: Link) -> None:
        self._attempt = None
        self._link = link
        if link.ended_by is not None:
            self.link_ended(link, link.ended_by)

    def _transport_failed(self, failure: Failure) -> None:
        self._attempt = None
        if self.running:
            cause = causes.of_connect_failure(failure, float(self.settings.connect_timeout))
            self._failed(self._explained(cause))

    def _explained(self, cause: Cause) -> Cause:
        return cause if self._dial is None else self._dial.explain(cause)

    def _failed(self, cause: Cause) -> None:
        broker = self.broker
        self._retry_later(cause)
        self._report.failed(broker, cause)
        self._noted(broker, f"cannot connect: {cause.text}")

    def _retry_later(self, cause: Cause) -> None:
        self._next_address = (self._next_address + 1) % len(self._addresses)
        if self._next_address != 0:
            delay_s = self._backoff.first_delay_s()
        elif cause.for_a_person:
            delay_s = self._backoff.longest_delay_s()
        else:
            delay_s = self._backoff.next_delay_s()
        self._retries.start(delay_s)

    # What the link tells.

    def link_accepted(self, link: Link, session_present: bool) -> None:
        """Subscribe to everything wanted; called by the link."""
        self._link = link
        self._accepted_count += 1
        self.stats.reconnects = self._accepted_count - 1
        self._proved_itself = False
        self._proof.start(PROVEN_S)
        # After some short lives the next one is not told before it has lasted.
        self._told_up = self._short_lives < SHORT_LIVES - 1
        if self._told_up:
            self._report.up(self.broker)
        self._subscriber.connected(self._table.wanted(), session_present=session_present)
        self._flushes.stop()
        self._flush()
        for reason in self._pause_reasons:
            link.inflow.pause(reason)

    def link_answered(self, answer: Subscribed | Unsubscribed) -> None:
        """Take the answer to a SUBSCRIBE or UNSUBSCRIBE; called by the link."""
        if isinstance(answer, Subscribed):
            retry_s = self._subscriber.answered(answer, self.broker)
            if retry_s is not None and not self._resubscribes.active:
                self._resubscribes.start(retry_s)
            if not self._subscriber.waits_for_an_answer:
                self._answers.stop()
            self._noted(self.broker, self._subscriber.problem)
            self._flush_soon()
        else:
            self._subscriber.given_up(answer)

    def link_ended(self, link: Link, cause: Cause) -> None:
        """Plan the next attempt, or finish stopping; called by the link."""
        if link is not self._link:
            return  # it ended before we were told of it: see _transport_open
        self._link = None
        self._stop_timers()
        if not self.running:
            waiters, self._stop_waiters = self._stop_waiters, []
            for ended in waiters:
                ended.callback(None)
            return
        cause = self._explained(cause)
        if not link.accepted:
            if cause.kind != causes.BAD_VERSION or not self._use_other_version():
                self._failed(cause)
            return
        self._subscriber.ended(self._table.learned(), self.broker)
        if self._proved_itself:
            self._short_lives = 0
        else:
            self._short_lives += 1
            if self._short_lives >= SHORT_LIVES and cause.kind == "closed":
                cause = causes.of_short_lives(self.client_id, self._short_lives)
        broker = self.broker
        self._retry_later(cause)
        self._report.lost(broker, cause)
        self._noted(broker, f"lost the connection: {cause.text}")

    def _use_other_version(self) -> bool:
        """Connect at once with the version of MQTT that the broker has not refused, if any."""
        address = self._addresses[self._next_address]
        if not self._versions.refused(self.settings.protocol, address):
            return False
        self._log.info("{broker} does not speak MQTT 5. Trying MQTT 3.1.1.", broker=self.broker)
        self._retries.start(0)
        return True

    def _proven(self) -> None:
        if not self.connected:
            return  # what it brought is still being handled, no more
        self._proved_itself = True
        self._backoff.reset()
        self._report.proven()
        if not self._told_up:
            self._told_up = True
            self._report.up(self.broker)

    # Subscribing.

    def _subscriptions_changed(self, topic_filter: str, added: bool) -> None:
        if added:
            self._subscriber.ask(topic_filter)
        else:
            self._subscriber.hold()
        self._flush_soon()

    def _flush_soon(self) -> None:
        # Modules subscribe one filter at a time; one packet carries what one turn brings.
        if self.connected and not self._flushes.active:
            self._flushes.start(0)

    def _flush(self) -> None:
        if self._link is not None and self._link.accepted:
            self._subscriber.flush(self._link.engine, self._table.wanted(), self.broker)
            if self._subscriber.waits_for_an_answer and not self._answers.active:
                self._answers.start(self.settings.connect_timeout)
            self._noted(self.broker, self._subscriber.problem)

    def _answer_is_overdue(self) -> float | None:
        if self._link is None or not self._link.inflow.reading:
            return float(self.settings.connect_timeout)  # it may be there, unread
        self._subscriber.answer_is_overdue(self.settings.connect_timeout, self.broker)
        self._noted(self.broker, self._subscriber.problem)
        return None

    def _resubscribe(self) -> None:
        self._subscriber.retry()
        self._flush_soon()

    def _stop_timers(self) -> None:
        for loop in (
            self._retries,
            self._proof,
            self._flushes,
            self._resubscribes,
            self._answers,
        ):
            loop.stop()


class _LinkFactory(Factory):
    """Makes links, quietly."""

    noisy = False

    def __init__(self, make: Callable[[], Link]) -> None:
        self._make = make

    def buildProtocol(self, _address: IAddress | None) -> Link:
        return self._make()
