"""A wire between agent and broker that can be cut."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.protocols.portforward import ProxyFactory, ProxyServer
from twisted.trial.unittest import TestCase

__all__ = ["Wire"]


class _Server(ProxyServer):
    """One connection; known to the wire."""

    def connectionMade(self) -> None:
        """Note it, and connect to the broker."""
        self.factory.connections.append(self)
        super().connectionMade()


class Wire:
    """Passes connections on to a port of this machine; ends with the test."""

    def __init__(self, case: TestCase, port: int) -> None:
        self._factory: Any = ProxyFactory("127.0.0.1", port)
        self._factory.noisy = False
        self._factory.protocol = _Server
        self._factory.connections = []
        listening = reactor.listenTCP(0, self._factory, interface="127.0.0.1")
        case.addCleanup(listening.stopListening)
        case.addCleanup(self.cut)
        self.url = f"tcp://127.0.0.1:{listening.getHost().port}"

    def cut(self) -> None:
        """Cut both sides of the connections that there are, without a word."""
        for each in self._factory.connections:
            each.transport.abortConnection()
            if each.peer is not None:
                each.peer.transport.abortConnection()
        self._factory.connections.clear()
