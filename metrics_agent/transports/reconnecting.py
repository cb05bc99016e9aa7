"""A connection that is always wanted: to brokers, WebSockets and outputs alike.

Theory of operation. At any time there is at most one of: an attempt to get a transport, a link
(from an open transport to its end), a timer until the next attempt. So there is never a second
socket to a peer that has few. A link ends exactly once, which is the only way back to the timer.

An attempt has one deadline for all of it, from looking up the name until the other side accepts
the connection, however slowly each step goes.

The delays grow with each round of all addresses that failed, and are forgotten once a connection
has lasted for `PROVEN_S`. Before the next address of a round the wait is the shortest. A fault
that only a change of the settings can end waits the longest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, TypeVar
from typing import Protocol as TypingProtocol

from attrs import frozen
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from metrics_agent.backoff import Backoff
from metrics_agent.cause import Cause
from metrics_agent.timer import Timer
from metrics_agent.transports.causes import of_connect_failure
from metrics_agent.transports.outage import PROVEN_S

__all__ = ["SHORT_LIVES", "Dial", "Link", "Reconnecting", "Report"]

SHORT_LIVES: Final = 3
"""Connections closed soon after being accepted, in a row, that are worth a hint."""


def _unchanged(cause: Cause) -> Cause:
    return cause


@frozen
class Dial:
    """The way to an address, for one attempt.

    Attributes:
        endpoint: an IStreamClientEndpoint.
        explain: makes a cause more precise by what this attempt has noted.
    """

    endpoint: Any
    explain: Callable[[Cause], Cause] = _unchanged


class Link(TypingProtocol):
    """The Twisted protocol of one connection."""

    @property
    def alive(self) -> bool:
        """Whether the other side has accepted it and it is not lost."""
        ...

    def disconnect(self) -> None:
        """End the connection in order; its end is reported as any other."""
        ...

    def accept_timed_out(self, timeout_s: float) -> None:
        """End the connection, since it was not accepted within so many seconds."""
        ...


class Report(TypingProtocol):
    """What is said about the ups and downs, see `OutageReport`."""

    def failed(self, address: str, cause: Cause) -> None:
        """Report that a connection could not be had."""
        ...

    def lost(self, address: str, cause: Cause) -> None:
        """Report that a connection that had been accepted has ended."""
        ...

    def up(self, address: str) -> None:
        """Report that there is a connection."""
        ...

    def proven(self) -> None:
        """Note that the connection has held for a while."""
        ...


_Link = TypeVar("_Link", bound=Link)


class Reconnecting(Generic[_Link]):
    """Connects, and connects again, until it is stopped.

    Args:
        clock: the reactor's.
        addresses: one at least, tried in turn; as text they are shown in logs.
        dial: makes the way to an address; what it raises is the cause of a failed attempt.
        make_link: makes the protocol of a connection. Its owner calls `accepted` and `ended`.
        timeout_s: for a whole attempt.
        backoff: the delays.
        report: what is said.
        short_lived: gives the cause to report when the other side closed so many connections in a
            row soon after accepting them.
        log: for faults of our own.
        down: called with the address and a clause, when it cannot connect or has lost the
            connection.
    """

    def __init__(
        self,
        clock: Any,
        *,
        addresses: Sequence[Any],
        dial: Callable[[Any], Dial],
        make_link: Callable[[], _Link],
        timeout_s: float,
        backoff: Backoff,
        report: Report,
        short_lived: Callable[[int], Cause],
        log: Logger,
        down: Callable[[str, str], object] = lambda _address, _problem: None,
    ) -> None:
        self._addresses = addresses
        self._make_dial = dial
        self._make_link = make_link
        self._timeout_s = timeout_s
        self._backoff = backoff
        self._report = report
        self._down = down
        self._short_lived = short_lived
        self._log = log
        self._next_address = 0
        self._running = False
        self._stopped: list[Deferred[None]] = []
        self._dial: Dial | None = None
        self._attempt: Deferred[Any] | None = None
        self._link: _Link | None = None
        self._accepted = False
        self._proved_itself = False
        self._short_lives = 0
        self._reported_up = False
        self._retries = Timer(clock, self._connect)
        self._deadline = Timer(clock, self._out_of_time)
        self._proof = Timer(clock, self._proven)

    @property
    def link(self) -> _Link | None:
        """The link, from an open transport to its end."""
        return self._link

    @property
    def connected(self) -> bool:
        """Whether the other side has accepted the connection that there is."""
        return self._link is not None and self._link.alive

    @property
    def address(self) -> Any:
        """The address in use or tried next."""
        return self._addresses[self._next_address]

    def start(self) -> None:
        """Begin to connect."""
        self._running = True
        self._connect()

    def stop(self) -> Deferred[None]:
        """End the connection in order, or the attempts to have one.

        Returns:
            A Deferred that fires when the connection has ended; safe before `start` and twice.
        """
        self._running = False
        self._stop_timers()
        if self._attempt is not None:
            self._attempt.cancel()
        if self._link is None:
            return succeed(None)
        stopped: Deferred[None] = Deferred()
        self._stopped.append(stopped)
        if len(self._stopped) == 1:
            self._link.disconnect()
        return stopped

    # What the link's owner calls.

    def accepted(self) -> None:
        """Note that the other side has accepted the connection."""
        self._deadline.stop()
        self._accepted = True
        self._proved_itself = False
        self._proof.start(PROVEN_S)
        # After some short lives the next one is not reported before it has lasted.
        self._reported_up = self._short_lives < SHORT_LIVES - 1
        if self._reported_up:
            self._report.up(str(self.address))

    def ended(self, link: _Link) -> bool:
        """Note that a link has ended.

        Returns:
            Whether `retry` or `again` has to be called; not when it was stopped, or for one of
            several parallel attempts that lost.
        """
        if link is not self._link:
            return False
        self._link = None
        self._stop_timers()
        if not self._running:
            stopped, self._stopped = self._stopped, []
            for waiting in stopped:
                waiting.callback(None)
        return self._running

    def again(self) -> None:
        """Connect again at once: the other side only asked for something else."""
        self._retries.start(0)

    def retry(self, cause: Cause) -> None:
        """Report a connection that failed or was lost, and connect again later."""
        wait_s = cause.retry_after_s
        if self._dial is not None:
            cause = self._dial.explain(cause)
        accepted = self._accepted
        if accepted:
            self._short_lives = 0 if self._proved_itself else self._short_lives + 1
            if self._short_lives >= SHORT_LIVES and cause.kind == "closed":
                cause = self._short_lived(self._short_lives)
        address = str(self.address)
        self._retries.start(max(self._delay_s(cause), wait_s))
        if accepted:
            self._report.lost(address, cause)
            self._down(address, f"lost the connection: {cause.text}")
        else:
            self._report.failed(address, cause)
            self._down(address, f"cannot connect: {cause.text}")

    # Inside.

    def _delay_s(self, cause: Cause) -> float:
        self._next_address = (self._next_address + 1) % len(self._addresses)
        if self._next_address != 0:
            return self._backoff.first_delay_s()
        if cause.needs_user_action:
            return self._backoff.longest_delay_s()
        return self._backoff.next_delay_s()

    def _connect(self) -> None:
        self._accepted = False
        self._dial = None
        self._deadline.start(self._timeout_s)
        try:
            self._dial = self._make_dial(self.address)
            attempt = self._dial.endpoint.connect(_LinkFactory(self._own_link))
        except Exception:
            # A certificate that cannot be read, a package that is missing: tried again later,
            # the user may have put it right.
            self._failed(Failure())
            return
        self._attempt = attempt
        attempt.addCallbacks(self._transport_open, self._transport_failed)
        attempt.addErrback(lambda failure: self._log.failure("while connecting", failure))

    def _own_link(self) -> _Link:
        # Owned from here on: a link may end before its endpoint says that it began.
        self._link = self._make_link()
        return self._link

    def _transport_open(self, _link: _Link) -> None:
        self._attempt = None

    def _transport_failed(self, failure: Failure) -> None:
        self._attempt = None
        self._link = None
        if self._running:
            self._failed(failure)

    def _failed(self, failure: Failure) -> None:
        self._stop_timers()
        self.retry(of_connect_failure(failure, self._timeout_s))

    def _out_of_time(self) -> None:
        if self._attempt is not None:
            self._attempt.cancel()
        elif self._link is not None:
            self._link.accept_timed_out(self._timeout_s)

    def _proven(self) -> None:
        if not self.connected:
            return  # what it brought is still being handled, no more
        self._proved_itself = True
        self._backoff.reset()
        self._report.proven()
        if not self._reported_up:
            self._reported_up = True
            self._report.up(str(self.address))

    def _stop_timers(self) -> None:
        for timer in (self._retries, self._deadline, self._proof):
            timer.stop()


class _LinkFactory(Factory, Generic[_Link]):
    """Makes links, quietly."""

    noisy = False

    def __init__(self, make: Callable[[], _Link]) -> None:
        self._make = make

    def buildProtocol(self, _address: IAddress | None) -> Any:
        return self._make()
