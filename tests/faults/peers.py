"""Servers that give numbers, for the places of `faulty_peers`: each number once, from 1 on."""

from __future__ import annotations

from itertools import count
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import LoopingCall
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import Site

from tests.integration.opendtu_simulator import Simulator

__all__ = ["PEERS"]

SEND_EVERY_S = 0.05


class _Numbers(Resource):
    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self._numbers = count(1)

    def render_GET(self, _request: Any) -> bytes:
        return b"%d" % next(self._numbers)


def _over_http(case: TestCase) -> str:
    """Start a server that answers each request with the next number; return its URL."""
    site = Site(_Numbers())
    site.noisy = False
    port = reactor.listenTCP(0, site, interface="127.0.0.1")
    case.addCleanup(port.stopListening)
    return f"http://127.0.0.1:{port.getHost().port}/"


def _over_websocket(case: TestCase) -> str:
    """Start a server that sends the next number now and then; return its URL."""
    simulator = Simulator(case)
    numbers = count(1)

    def send() -> None:
        if simulator.events("open"):
            simulator.do("send", text=str(next(numbers)))

    sending = LoopingCall(send)
    sending.start(SEND_EVERY_S)
    case.addCleanup(sending.stop)
    return f"{simulator.url()}{simulator.behaviour.path}"


PEERS = {"body": _over_http, "frame": _over_websocket}
"""By the place that needs it: starts one, gives its URL."""
