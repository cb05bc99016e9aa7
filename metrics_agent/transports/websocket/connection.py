"""The connection to one WebSocket: it comes back for ever.

Theory of operation. At any time there is at most one of: an attempt to get a transport, a `Link`
(from an open transport to its end), a timer until the next attempt. So there is never a second
socket to a server that has few. A link reports its end exactly once, which is the only way on: to
the timer, or, when the server only asked who we are, at once to an attempt that says so; once for
each attempt of the timer, so that a refused login is not an endless loop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from attrs import evolve
from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from metrics_agent.backoff import Backoff
from metrics_agent.looping import GuardedLoop
from metrics_agent.transports.causes import CannotConnect, Cause, of_connect_failure
from metrics_agent.transports.http_auth import Login
from metrics_agent.transports.outage import PROVEN_S, OutageReport
from metrics_agent.transports.websocket.conversation import Refused
from metrics_agent.transports.websocket.dial import Dial, dial
from metrics_agent.transports.websocket.link import Handshake, Link
from metrics_agent.transports.websocket.refusals import explain_refusal
from metrics_agent.transports.websocket.settings import WebSocketSettings

__all__ = ["WebSocketConnection"]

_UNAUTHORIZED: Final = 401
_SHORT_LIVES: Final = 3
"""Connections in a row that the server ended soon, after which the line says so."""


class WebSocketConnection(Service):
    """A service: connects when started, closes in order when stopped.

    Args:
        reactor: clock, TCP, name resolution.
        settings: of the connection.
        log: where outages are told: one line down, one line up.
        received: takes each whole message; must not raise.
        random: gives floats from 0 to below 1, for the jitter.
        now_ns: the wall clock, nanoseconds since the epoch.
        changed: told True when the WebSocket is open, False when it is not any more or cannot be
            had at first; not told of a stop. Must not raise.
        oversized: told of each message that was too large; must not raise.
        noted: told of the address and of what is wrong with it, as
            `ModuleContext.note_connection` has it.
        hints: what else to say of a cause, by its kind (``http_404``, ``http_401``).
        dialer: makes the way to the address; a seam for tests.
    """

    def __init__(
        self,
        reactor: Any,
        settings: WebSocketSettings,
        *,
        log: Logger,
        received: Callable[[bytes], object],
        random: Callable[[], float],
        now_ns: Callable[[], int],
        changed: Callable[[bool], object] = bool,
        oversized: Callable[[], object] = bool,
        noted: Callable[[str, str | None], object] = lambda _address, _problem: None,
        hints: Mapping[str, str] = MappingProxyType({}),
        dialer: Callable[[Any, WebSocketSettings], Dial] = dial,
    ) -> None:
        self._reactor = reactor
        self._settings = settings
        self._address = settings.address
        self._log = log
        self._received = received
        self._changed = changed
        self._oversized = oversized
        self._noted = noted
        self._hints = hints
        self._dialer = dialer
        self._now_ns = now_ns
        self._login = Login(settings.username, settings.password, settings.login)
        self._backoff = Backoff(settings.reconnect_min, settings.reconnect_max, random)
        self._report = OutageReport(log, reactor.seconds)
        self._dial: Dial | None = None
        self._attempt: Deferred[Any] | None = None
        self._link: Link | None = None
        self._retries = GuardedLoop(reactor, self._connect)
        self._proof = GuardedLoop(reactor, self._has_proven_itself)
        self._answered_challenge = False
        self._is_open: bool | None = None
        self._short_lives = 0
        self._told_up = True
        self._proven = False
        self._stopped: list[Deferred[None]] = []

    @property
    def connected(self) -> bool:
        """Whether the WebSocket is open."""
        return self._link is not None and self._link.opened

    def startService(self) -> None:
        """Begin to connect."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's is untyped
        self._noted(str(self._address), None)
        self._connect()

    def stopService(self) -> Deferred[None]:
        """Close in order.

        Returns:
            A Deferred that fires when the socket is closed; safe before start and twice.
        """
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted's is untyped
        self._stop_timers()
        if self._attempt is not None:
            self._attempt.cancel()
        if self._link is None:
            return succeed(None)
        ended: Deferred[None] = Deferred()
        self._stopped.append(ended)
        self._link.leave()
        return ended

    # Connecting.

    def _connect(self) -> None:
        timeout_s = float(self._settings.connect_timeout)
        try:
            handshake = self._handshake()
            self._dial = self._dialer(self._reactor, self._settings)
            attempt = self._dial.endpoint.connect(_LinkFactory(lambda: self._make_link(handshake)))
        except Exception:
            # A certificate that cannot be read, a package that is missing: tried again later,
            # a person may have put it right.
            failure = Failure()  # type: ignore[no-untyped-call]  # Twisted's is untyped
            self._failed(of_connect_failure(failure, timeout_s))
            return
        self._attempt = attempt
        attempt.addTimeout(timeout_s, self._reactor)
        attempt.addCallbacks(self._transport_open, self._transport_failed)
        attempt.addErrback(lambda failure: self._log.failure("while connecting", failure))

    def _handshake(self) -> Handshake:
        settings = self._settings
        return Handshake(
            authority=self._address.authority,
            target=self._address.target,
            authorization=self._login.authorization(self._address.target),
            timeout_s=float(settings.connect_timeout),
            ping_interval_s=float(settings.ping_interval),
            ping_timeout_s=float(settings.ping_timeout),
            max_message=settings.max_message,
        )

    def _make_link(self, handshake: Handshake) -> Link:
        # Owned from here on: a link may end before its endpoint says that it began.
        self._link = Link(self._reactor, handshake, self, self._log)
        return self._link

    def _transport_open(self, _link: Link) -> None:
        self._attempt = None

    def _transport_failed(self, failure: Failure) -> None:
        self._attempt = None
        if self.running:
            cause = of_connect_failure(failure, float(self._settings.connect_timeout))
            self._failed(self._explained(cause))

    def _failed(self, cause: Cause, wait_s: float = 0.0) -> None:
        self._answered_challenge = False
        self._retry_later(cause, wait_s)
        self._report.failed(str(self._address), cause)
        self._noted(str(self._address), f"cannot connect: {cause.text}")
        self._set_open(False)

    def _retry_later(self, cause: Cause, wait_s: float = 0.0) -> None:
        if cause.for_a_person:
            delay_s = self._backoff.longest_delay_s()
        else:
            delay_s = self._backoff.next_delay_s()
        self._retries.start(max(delay_s, wait_s))

    def _explained(self, cause: Cause) -> Cause:
        if self._dial is not None:
            cause = self._dial.explain(cause)
        hint = self._hints.get(cause.kind, "")
        return evolve(cause, text=f"{cause.text}; {hint}") if hint else cause

    # What the link tells.

    def link_opened(self) -> None:
        """Take note that the WebSocket is open; called by the link."""
        self._proven = False
        self._proof.start(PROVEN_S)
        # A server that drops us again and again is not told of as back each time.
        self._told_up = self._short_lives == 0
        if self._told_up:
            self._report.up(str(self._address))
        self._noted(str(self._address), "")
        self._set_open(True)

    def link_received(self, data: bytes) -> None:
        """Hand a message on; called by the link."""
        self._received(data)

    def link_oversized(self) -> None:
        """Hand on that a message was too large; called by the link."""
        self._oversized()

    def link_ended(self, link: Link, cause: Cause, refused: Refused | None) -> None:
        """Plan the next attempt, or finish stopping; called by the link."""
        if link is not self._link:
            return  # its endpoint had a better one
        self._link = None
        self._stop_timers()
        if not self.running:
            waiting, self._stopped = self._stopped, []
            for ended in waiting:
                ended.callback(None)
        elif link.opened:
            self._lost(cause)
        elif refused is None:
            self._failed(self._explained(cause))
        else:
            self._was_refused(refused)

    def _lost(self, cause: Cause) -> None:
        self._short_lives = 0 if self._proven else self._short_lives + 1
        if self._short_lives >= _SHORT_LIVES and cause.kind == "closed":
            text = "it keeps closing the connection soon after accepting it"
            cause = Cause("short_lives", f"{text} (too many clients?)")
        self._answered_challenge = False
        self._retry_later(cause)
        cause = self._explained(cause)
        self._report.lost(str(self._address), cause)
        self._noted(str(self._address), f"lost the connection: {cause.text}")
        self._set_open(False)

    def _was_refused(self, refused: Refused) -> None:
        refusal = explain_refusal(refused, self._now_ns() / 1e9)
        cause = refusal.cause
        if refused.status == _UNAUTHORIZED and not self._answered_challenge:
            try:
                self._login.challenged(_challenges(refused), self._address.target)
            except CannotConnect as fault:
                cause = fault.cause
            except Exception:
                failure = Failure()  # type: ignore[no-untyped-call]  # Twisted's is untyped
                cause = of_connect_failure(failure, 0.0)
            else:
                self._answered_challenge = True
                self._retries.start(0)
                return
        self._failed(self._explained(cause), refusal.retry_after_s)

    def _set_open(self, is_open: bool) -> None:
        if is_open is not self._is_open:
            self._is_open = is_open
            self._changed(is_open)

    def _has_proven_itself(self) -> None:
        self._proven = True
        self._answered_challenge = False
        self._short_lives = 0
        self._backoff.reset()
        self._report.proven()
        if not self._told_up:
            self._told_up = True
            self._report.up(str(self._address))

    def _stop_timers(self) -> None:
        self._retries.stop()
        self._proof.stop()


def _challenges(refused: Refused) -> list[str]:
    return [
        value.decode("latin-1") for name, value in refused.headers if name == b"www-authenticate"
    ]


class _LinkFactory(Factory):
    """Makes links, quietly."""

    noisy = False

    def __init__(self, make: Callable[[], Link]) -> None:
        self._make = make

    def buildProtocol(self, _address: IAddress | None) -> Link:
        return self._make()
