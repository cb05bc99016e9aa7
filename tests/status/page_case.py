"""A status page on a reactor that is not there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from twisted.internet.testing import MemoryReactorClock
from twisted.logger import Logger, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.config.secret import Secret
from metrics_agent.config.status import StatusSettings
from metrics_agent.status.page_server import PageServer
from metrics_agent.status.web.history import History
from metrics_agent.status.web.page import Page
from metrics_agent.status.web.prometheus import exposition
from metrics_agent.status.web.root import State
from tests.browser import Answer, Browser
from tests.status.fakes import FakeSockets

__all__ = ["LOOPBACK", "TOKEN", "PageCase", "whole"]

LOOPBACK = "tcp:9127:interface=127.0.0.1"
TOKEN = "0123456789abcdef"


def whole(**changes: Any) -> dict[str, Any]:
    """Return a state without devices in which all is well."""
    values: dict[str, Any] = {
        "problems": [],
        "agent": {"version": "1", "instance": "pi", "uptime": 3.0},
        "modules": [{"module": "demo", "state": 2, "state_text": "running", "metrics": 7}],
        "connections": [],
        "outputs": [{"output": "stdout", "state": 2, "state_text": "running", "metrics": 7}],
    }
    return values | changes


class PageCase(SynchronousTestCase):
    """A server, not configured yet."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.sockets = FakeSockets()
        self.events: list[dict[str, Any]] = []
        self.faults: list[BaseException] = []
        self.state: Mapping[str, Any] = whole()
        self.devices: list[dict[str, Any]] = [{"device": "a"}, {"device": "b"}]
        self.counted: list[Any] = []
        self.has_output = True
        self.pages = 0
        self.server = PageServer(
            self.reactor,
            make_page=self.make_page,
            listen_unix=self.sockets.listen_unix,
            random=lambda: 1.0,
            log=Logger(observer=self.events.append),  # type: ignore[arg-type]  # a list's method
            caught=self.faults.append,
        )
        self.server.startService()
        self.browser = Browser(self.reactor)
        self.addCleanup(self.nothing_is_left)

    def make_page(self, settings: StatusSettings) -> Page:
        self.pages += 1
        state = State(
            whole=lambda: dict(self.state),
            devices=lambda: self.each_device(),  # noqa: PLW0108 - a test may replace it
            more=lambda: {"more": 1},
            has_output=lambda: self.has_output,
            metrics=exposition,
        )
        history = History(self.reactor, lambda: self.counted, self.faults.append)
        return Page(self.reactor, state, history, settings, self.faults.append)

    def each_device(self) -> Iterator[dict[str, Any]]:
        yield from self.devices

    def configure(self, listen: str = LOOPBACK, token: str = "", **settings: Any) -> None:
        self.server.configure(self.settings(listen, token, **settings))

    def settings(self, listen: str = LOOPBACK, token: str = "", **settings: Any) -> StatusSettings:
        return StatusSettings(listen=listen, token=Secret(token), **settings)

    def get(self, path: str, **headers: str) -> Answer:
        """Get an answer, all of it."""
        self.browser.ask("GET", path, **headers)
        return self.rest()

    def rest(self) -> Answer:
        """Let the reactor turn until the answer is complete."""
        for _ in range(1000):
            if self.browser.transport.disconnecting:
                break
            self.reactor.advance(0)
        answer = self.browser.answer()
        assert answer is not None
        return answer

    def nothing_is_left(self) -> None:
        self.server.stopService()
        self.server.stopService()
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual(self.faults, [])

    def logged(self) -> list[str | None]:
        return [formatEvent(event) for event in self.events]
