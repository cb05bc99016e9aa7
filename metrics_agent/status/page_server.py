"""Listens where `[status] listen` says, and has the page served there.

All that is loaded while there is no page; what serves it is imported with the first address.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.error import CannotListenError
from twisted.logger import Logger

from metrics_agent.backoff import Backoff
from metrics_agent.config.status import Listen, StatusSettings, read_listen
from metrics_agent.state.local_socket import Listening
from metrics_agent.timer import Timer

if TYPE_CHECKING:
    from metrics_agent.status.web.page import Page

__all__ = ["LONGEST_WAIT_S", "PageServer"]

FIRST_WAIT_S: Final = 1.0
LONGEST_WAIT_S: Final = 60.0
_BACKLOG: Final = 64


class PageServer(Service):
    """Serves the page while it is configured; that it cannot costs a log line.

    Args:
        reactor: the reactor.
        make_page: makes what is served, of the settings.
        listen_unix: see `state.local_socket.listen`; without its reactor.
        random: floats from 0 to below 1.
        log: the agent's.
        caught: called with a fault of our own.
    """

    def __init__(
        self,
        reactor: Any,
        *,
        make_page: Callable[[StatusSettings], Page],
        listen_unix: Callable[[Path, Any, Callable[[], object], int], Listening],
        random: Callable[[], float],
        log: Logger,
        caught: Callable[[BaseException], object],
    ) -> None:
        self._reactor = reactor
        self._make_page = make_page
        self._listen_unix = listen_unix
        self._log = log
        self._settings = StatusSettings()
        self._listen: Listen | None = None
        self._page: Page | None = None
        # Takes no more connections; may return a Deferred.
        self._stop_listening: Callable[[], Any] | None = None
        self._closing: Deferred[Any] = succeed(None)
        self._reason = ""
        self._backoff = Backoff(FIRST_WAIT_S, LONGEST_WAIT_S, random)
        self._attempts = Timer(reactor, self._attempt, caught)

    @property
    def problem(self) -> str:
        """Why there is no page although one is configured, and where; empty if all is well."""
        return f"{self._settings.listen}: {self._reason}" if self._reason else ""

    def configure(self, settings: StatusSettings) -> None:
        """Serve the page as the settings say from now on."""
        if not self.running:
            return
        self._settings = settings
        if self._page is not None:
            self._page.configure(settings)
        listen = read_listen(settings.listen) if settings.listen else None
        if listen == self._listen:
            return
        self._listen = listen
        self._reason = ""
        self._backoff.reset()
        closed = self._close()
        if listen is None:
            self._end()
        else:
            # The new address may be the old port.
            closed.addBoth(lambda _result: self._begin(listen))

    def stopService(self) -> Deferred[None]:
        """Take no more connections and cut those there are; safe before start and twice."""
        super().stopService()
        self._listen = None
        self._reason = ""
        closed = self._close()
        self._end()
        return closed

    def _begin(self, listen: Listen) -> None:
        if self._listen is listen:
            self._attempts.run()

    def _attempt(self) -> float | None:
        listen = self._listen
        if listen is None:
            return None
        try:
            if self._page is None:
                self._page = self._make_page(self._settings)
            self._stop_listening, url = self._open(listen, self._page)
        except (CannotListenError, OSError) as error:
            self._cannot(_reason(error))
            return self._backoff.next_delay_s()
        self._reason = ""
        self._log.info(
            "Status page at {url}{hint}.",
            url=url,
            hint="; it asks for the token of [status]" if self._settings.needed_token else "",
            fold=False,
        )
        return None

    def _open(self, listen: Listen, page: Page) -> tuple[Callable[[], Any], str]:
        if listen.kind == "unix":
            port = self._listen_unix(Path(listen.path), page.site, self._removed, listen.mode)
            return port.stop, listen.path
        tcp = self._reactor.listenTCP(
            listen.port, page.site, interface=listen.interface, backlog=_BACKLOG
        )
        return tcp.stopListening, listen.url(tcp.getHost().port)

    def _removed(self) -> None:
        """Make the socket again that has lost its name."""
        self._stop_listening = None
        self._attempts.run()

    def _cannot(self, reason: str) -> None:
        """Report why the page cannot be had; each reason once."""
        if reason != self._reason:
            self._reason = reason
            self._log.warn(
                "The status page cannot listen at {listen}: {reason}. It is tried again; "
                "everything else works.",
                listen=self._settings.listen,
                reason=reason,
                fold=False,
            )

    def _close(self) -> Deferred[None]:
        """Return what fires when no port is open any more."""
        self._attempts.stop()
        if self._page is not None:
            self._page.cut()
        stop, self._stop_listening = self._stop_listening, None
        if stop is not None:
            self._closing = maybeDeferred(stop)
        closed: Deferred[None] = Deferred()
        self._closing.addBoth(lambda _result: closed.callback(None))
        return closed

    def _end(self) -> None:
        page, self._page = self._page, None
        if page is not None:
            page.end()


def _reason(error: CannotListenError | OSError) -> str:
    inner = getattr(error, "socketError", error)
    return str(getattr(inner, "strerror", None) or inner)
