"""Puts the status socket and the status page of an agent together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet.protocol import Factory
from twisted.logger import Logger

from metrics_agent.config.status import StatusSettings
from metrics_agent.state.directory import StateDirectory
from metrics_agent.state.local_socket import Listening
from metrics_agent.status.names import SOCKET
from metrics_agent.status.page_server import PageServer
from metrics_agent.status.socket import StatusSocket
from metrics_agent.status.tapping import Tap
from metrics_agent.supervision.guard import Guard
from metrics_agent.supervision.reports import Reports

if TYPE_CHECKING:
    from metrics_agent.status.web.page import Page

__all__ = ["make_page_server", "make_status_socket"]


def make_status_socket(
    reactor: Any,
    reports: Reports,
    state: StateDirectory,
    *,
    listen: Callable[[Path, Factory, Callable[[], object]], Listening],
    tap: Tap,
    log: Logger,
    guard: Guard,
) -> StatusSocket:
    """Make the socket of an agent; it is not started.

    Args:
        reactor: the clock.
        reports: of the agent.
        state: its directory.
        listen: see `Platform.listen`; without its reactor.
        tap: of the lines.
        log: the agent's.
        guard: contains its faults.
    """

    def whole() -> dict[str, Any]:
        # Not loaded where no one asks.
        from metrics_agent.status import snapshot

        return snapshot.whole(reports)

    def devices(module: str | None, name: str | None) -> Iterator[dict[str, Any]]:
        from metrics_agent.status import snapshot

        return snapshot.devices(reports, module, name)

    return StatusSocket(
        reactor,
        path=state.root / SOCKET,
        listen=listen,
        whole=whole,
        devices=devices,
        tap=tap,
        log=log,
        faults=state.faults,
        caught=lambda error: guard.caught("status", error),
    )


def make_page_server(
    reactor: Any,
    reports: Reports,
    *,
    listen: Callable[..., Listening],
    random: Callable[[], float],
    log: Logger,
    guard: Guard,
) -> PageServer:
    """Make what serves the status page of an agent; it is neither started nor configured.

    Args:
        reactor: the reactor.
        reports: of the agent.
        listen: see `Platform.listen`; without its reactor.
        random: floats from 0 to below 1.
        log: the agent's.
        guard: contains its faults.
    """

    def caught(error: BaseException) -> None:
        guard.caught("status", error)

    def page(settings: StatusSettings) -> Page:
        from metrics_agent.status.web.page import make_page

        return make_page(reactor, reports, settings, caught)

    return PageServer(
        reactor, make_page=page, listen_unix=listen, random=random, log=log, caught=caught
    )
