"""Puts the status socket of an agent together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from twisted.internet.protocol import Factory
from twisted.logger import Logger

from metrics_agent.state.directory import StateDirectory
from metrics_agent.state.local_socket import Listening
from metrics_agent.status.names import SOCKET
from metrics_agent.status.socket import StatusSocket
from metrics_agent.status.tapping import Tap
from metrics_agent.supervision.guard import Guard
from metrics_agent.supervision.reports import Reports

__all__ = ["make_status_socket"]


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
