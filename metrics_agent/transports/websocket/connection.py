"""The connection to one WebSocket: it always reconnects.

Theory of operation. `Reconnecting` makes the attempts; a `WebSocketLink` is one connection, from
an open transport to its end. When the server only asked who we are, the next attempt comes at once
and says so; once for each attempt that the wait was for, so that a refused login is not an endless
loop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from attrs import evolve
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from metrics_agent.backoff import Backoff
from metrics_agent.cause import Cause, CauseError
from metrics_agent.transports.causes import of_connect_failure
from metrics_agent.transports.dial import dial_host
from metrics_agent.transports.http_auth import Login
from metrics_agent.transports.outage import OutageReport
from metrics_agent.transports.reconnecting import Dial, Reconnecting
from metrics_agent.transports.websocket.conversation import HandshakeRefused
from metrics_agent.transports.websocket.link import Handshake, WebSocketLink
from metrics_agent.transports.websocket.refusals import cause_of_refusal
from metrics_agent.transports.websocket.settings import WebSocketSettings

__all__ = ["WebSocketConnection", "dial"]

_UNAUTHORIZED: Final = 401
_SHORT_LIVES: Final = Cause(
    "short_lives", "it keeps closing the connection soon after accepting it (too many clients?)"
)


def dial(reactor: Any, settings: WebSocketSettings) -> Dial:
    """Prepare an attempt to connect, see `dial_host`."""
    address = settings.address
    tls = settings if address.secure else None
    return dial_host(reactor, address.host, address.port, float(settings.connect_timeout), tls)


class WebSocketConnection(Service):
    """A service: connects when started, closes in order when stopped.

    Args:
        reactor: clock, TCP, name resolution.
        settings: of the connection.
        log: for outages: one line down, one line up.
        received: takes each whole message; must not raise.
        random: gives floats from 0 to below 1, for the jitter.
        now_ns: the wall clock, nanoseconds since the epoch.
        changed: called with True when the WebSocket is open, with False when it is lost or cannot
            be had at first; not called at a stop. Must not raise.
        oversized: called for each message that was too large; must not raise.
        noted: called with the address and what is wrong with it, as
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
        self._answered_challenge = False
        self._is_open: bool | None = None
        self._reconnecting = Reconnecting(
            reactor,
            addresses=(settings.address,),
            dial=lambda _address: self._dial(),
            make_link=self._make_link,
            timeout_s=float(settings.connect_timeout),
            backoff=Backoff(settings.reconnect_min, settings.reconnect_max, random),
            report=OutageReport(log, reactor.seconds),
            down=self._down,
            short_lived=lambda _times: self._with_hint(_SHORT_LIVES),
            log=log,
        )

    @property
    def connected(self) -> bool:
        """Whether the WebSocket is open."""
        return self._reconnecting.connected

    def startService(self) -> None:
        """Begin to connect."""
        super().startService()
        self._noted(str(self._address), None)
        self._reconnecting.start()

    def stopService(self) -> Deferred[None]:
        """Close in order.

        Returns:
            A Deferred that fires when the socket is closed; safe before start and twice.
        """
        super().stopService()
        return self._reconnecting.stop()

    # Connecting.

    def _dial(self) -> Dial:
        way = self._dialer(self._reactor, self._settings)
        return evolve(way, explain=lambda cause: self._with_hint(way.explain(cause)))

    def _with_hint(self, cause: Cause) -> Cause:
        hint = self._hints.get(cause.kind, "")
        return evolve(cause, text=f"{cause.text}; {hint}") if hint else cause

    def _make_link(self) -> WebSocketLink:
        settings = self._settings
        handshake = Handshake(
            authority=self._address.authority,
            target=self._address.target,
            authorization=self._login.authorization(self._address.target),
            ping_interval_s=float(settings.ping_interval),
            ping_timeout_s=float(settings.ping_timeout),
            max_message=settings.max_message,
        )
        return WebSocketLink(self._reactor, handshake, self, self._log)

    def _down(self, address: str, problem: str) -> None:
        self._answered_challenge = False
        self._noted(address, problem)
        self._set_open(False)

    # Called by the link.

    def link_opened(self) -> None:
        """Take note that the WebSocket is open; called by the link."""
        self._reconnecting.accepted()
        self._noted(str(self._address), "")
        self._set_open(True)

    def link_received(self, data: bytes) -> None:
        """Hand a message on; called by the link."""
        self._received(data)

    def link_oversized(self) -> None:
        """Hand on that a message was too large; called by the link."""
        self._oversized()

    def link_ended(
        self, link: WebSocketLink, cause: Cause, refused: HandshakeRefused | None
    ) -> None:
        """Plan the next attempt, or finish stopping; called by the link."""
        if not self._reconnecting.ended(link):
            return
        if refused is None:
            self._reconnecting.retry(cause)
        else:
            self._was_refused(refused)

    def _was_refused(self, refused: HandshakeRefused) -> None:
        cause = cause_of_refusal(refused, self._now_ns() / 1e9)
        if refused.status == _UNAUTHORIZED and not self._answered_challenge:
            try:
                self._login.challenged(_challenges(refused), self._address.target)
            except CauseError as fault:
                cause = evolve(fault.cause, retry_after_s=cause.retry_after_s)
            except Exception:
                failure = Failure()
                cause = of_connect_failure(failure, 0.0)
            else:
                self._answered_challenge = True
                self._reconnecting.again()
                return
        self._reconnecting.retry(cause)

    def _set_open(self, is_open: bool) -> None:
        if is_open is not self._is_open:
            self._is_open = is_open
            self._changed(is_open)


def _challenges(refused: HandshakeRefused) -> list[str]:
    return [
        value.decode("latin-1") for name, value in refused.headers if name == b"www-authenticate"
    ]
