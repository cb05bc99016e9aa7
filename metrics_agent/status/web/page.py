"""Puts the page together: what it shows, who may see it, and its web server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from metrics_agent.config.output import read_output
from metrics_agent.config.status import StatusSettings
from metrics_agent.limited_site import LimitedSite, SiteLimits
from metrics_agent.limits import (
    STATUS_BODY_BYTES,
    STATUS_CONNECTIONS,
    STATUS_HEADER_BYTES,
    STATUS_HEADERS,
)
from metrics_agent.status import snapshot
from metrics_agent.status.units import UNITS
from metrics_agent.status.web.access import Access
from metrics_agent.status.web.files import page_files
from metrics_agent.status.web.history import History
from metrics_agent.status.web.prometheus import exposition
from metrics_agent.status.web.root import Root, State
from metrics_agent.supervision.counters import Counters
from metrics_agent.supervision.reports import Reports

__all__ = ["Page", "make_page"]

_LIMITS: Final = SiteLimits(
    connections=STATUS_CONNECTIONS,
    # A proxy brings all of them from one address.
    connections_per_peer=STATUS_CONNECTIONS,
    headers=STATUS_HEADERS,
    header_bytes=STATUS_HEADER_BYTES,
    body_bytes=STATUS_BODY_BYTES,
)


class Page:
    """What is served, until `end`.

    Args:
        reactor: the clock.
        state: where the answers come from.
        history: of the modules.
        settings: who may see what.
        caught: called with a fault of our own.

    Attributes:
        site: makes the connections.

    Raises:
        OSError: the files of the page cannot be read.
    """

    def __init__(
        self,
        reactor: Any,
        state: State,
        history: History,
        settings: StatusSettings,
        caught: Callable[[BaseException], object],
    ) -> None:
        self._history = history
        self._root = Root(reactor, state, page_files(), _access(settings), caught)
        self.site = LimitedSite(self._root, _LIMITS, reactor)
        history.start()

    def configure(self, settings: StatusSettings) -> None:
        """Put settings into force, and take note of the modules that there are."""
        self._root.access = _access(settings)
        self._history.start()

    def cut(self) -> None:
        """End all connections."""
        self.site.cut_connections()

    def end(self) -> None:
        """Set no more timers."""
        self._history.stop()


def make_page(
    reactor: Any,
    reports: Reports,
    settings: StatusSettings,
    caught: Callable[[BaseException], object],
) -> Page:
    """Make the page of an agent.

    Args:
        reactor: the clock.
        reports: of the agent.
        settings: who may see what.
        caught: called with a fault of our own.

    Raises:
        OSError: see `Page`.
    """

    def counters() -> Iterator[tuple[str, Counters]]:
        for each in reports.agent.plan.modules:
            yield each.name, reports.counters.of(each.name)

    history = History(reactor, counters, caught)
    opened_at_once = read_output(reports.output).kind in {"stdout", "file"}
    state = State(
        whole=lambda: snapshot.whole(reports),
        devices=lambda: snapshot.devices(reports),
        more=lambda: {"history": history.values(), "units": UNITS},
        has_output=lambda: opened_at_once or reports.sink.has_worked,
        metrics=exposition,
    )
    return Page(reactor, state, history, settings, caught)


def _access(settings: StatusSettings) -> Access:
    return Access(settings.needed_token, settings.hosts)
