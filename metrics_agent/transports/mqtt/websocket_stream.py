"""MQTT inside a WebSocket: a Twisted endpoint whose protocol sees a plain stream.

wsproto does the framing. MQTT packets and WebSocket frames need not line up (MQTT 3.1.1, 6.0), so
what comes is handed on piece by piece and nothing is collected here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IStreamClientEndpoint, ITransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from metrics_agent.broker_address import BrokerAddress
from metrics_agent.cause import Cause, CauseError
from metrics_agent.errors import MissingDependency, ProtocolError, how_to_install

try:
    from wsproto import ConnectionType, WSConnection
    from wsproto.events import (
        AcceptConnection,
        BytesMessage,
        CloseConnection,
        Event,
        Message,
        Ping,
        RejectConnection,
        Request,
    )
    from wsproto.utilities import ProtocolError as WebSocketError
except ImportError as error:
    raise MissingDependency(
        f"WebSocket needs a package that is not installed ({error}): {how_to_install()}"
    ) from error

__all__ = ["over_websocket"]

SUBPROTOCOL: Final = "mqtt"
NORMAL_CLOSURE: Final = 1000
_GOOD_CLOSURES: Final = {NORMAL_CLOSURE, 1001, 1005, 1006}
"""The broker is done, goes away, gave no code, or just closed."""
_STANDARD_PORTS: Final = {"ws": 80, "wss": 443}


def over_websocket(endpoint: Any, address: BrokerAddress) -> Any:
    """Wrap an endpoint in a WebSocket.

    Args:
        endpoint: of the bytes below.
        address: host, port and path for the handshake.

    Returns:
        An endpoint; its Deferred fires when the handshake is done, with the inner protocol.
    """
    return _WebSocketEndpoint(endpoint, address)


@implementer(IStreamClientEndpoint)
class _WebSocketEndpoint:
    def __init__(self, endpoint: Any, address: BrokerAddress) -> None:
        self._endpoint = endpoint
        self._address = address

    def connect(self, factory: Any) -> Deferred[Any]:
        wrapper: Deferred[_Stream] = self._endpoint.connect(_StreamFactory(factory, self._address))
        return wrapper.addCallback(lambda stream: stream.opened)


class _StreamFactory(Factory):
    noisy = False

    def __init__(self, inner: Factory, address: BrokerAddress) -> None:
        self._inner = inner
        self._address = address

    def buildProtocol(self, address: IAddress | None) -> _Stream:
        return _Stream(self._inner, self._address, address)


@implementer(ITransport)
class _Stream(Protocol):
    """A protocol towards the socket, a transport towards the inner protocol."""

    def __init__(self, factory: Factory, address: BrokerAddress, peer: IAddress | None) -> None:
        self.opened: Deferred[Any] = Deferred(lambda _: self._below.abortConnection())
        self._factory = factory
        self._address = address
        self._peer = peer
        self._inner: Any = None
        self._frames = WSConnection(ConnectionType.CLIENT)
        self._refused: Cause | None = None
        self._broken: ProtocolError | None = None
        self._closing = False

    @property
    def _below(self) -> Any:
        return self.transport

    # Towards the socket.

    def connectionMade(self) -> None:
        address = self._address
        host = f"[{address.host}]" if ":" in address.host else address.host
        if address.port != _STANDARD_PORTS[address.kind]:
            host = f"{host}:{address.port}"
        self._send(Request(host=host, target=address.path, subprotocols=[SUBPROTOCOL]))

    def dataReceived(self, data: bytes) -> None:
        try:
            self._frames.receive_data(data)
            for event in self._frames.events():
                self._handle(event)
        except (WebSocketError, ValueError) as fault:
            # ValueError: header fields that are not ASCII where wsproto expects it.
            self._break_off(f"the port does not speak WebSocket ({fault})", fault)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._inner is not None:
            self._inner.connectionLost(_failure(self._broken) if self._broken else reason)
        elif not self.opened.called:
            refused = CauseError(self._refused) if self._refused else None
            self.opened.errback(_failure(refused) if refused else reason)

    def _handle(self, event: Event) -> None:
        if isinstance(event, Message):
            if isinstance(event, BytesMessage):
                # A frame may be empty, a read of a stream never is.
                if event.data:
                    self._inner.dataReceived(bytes(event.data))
            else:
                self._break_off("", ProtocolError("text_frame", "the broker sent text"))
        elif isinstance(event, Ping):
            self._send(event.response())
        elif isinstance(event, AcceptConnection):
            self._accept(event)
        elif isinstance(event, RejectConnection):
            self._break_off(f"the WebSocket is refused with HTTP status {event.status_code}")
        elif isinstance(event, CloseConnection):
            self._close(event)

    def _close(self, event: CloseConnection) -> None:
        # A frame that cannot be read comes as a close too, by wsproto in the broker's name.
        if event.code not in _GOOD_CLOSURES:
            self._broken = ProtocolError("websocket", f"code {event.code}, {event.reason}")
        if not self._closing:
            # From here on nothing may be sent, however long the socket takes to close.
            self._closing = True
            self._send(event.response())
        self._below.loseConnection()

    def _accept(self, event: AcceptConnection) -> None:
        if event.subprotocol != SUBPROTOCOL:
            self._break_off("the WebSocket there does not carry MQTT")
            return
        self._inner = self._factory.buildProtocol(self._peer)
        self._inner.makeConnection(self)
        self.opened.callback(self._inner)

    def _break_off(self, text: str, fault: Exception | None = None) -> None:
        if self._inner is None:
            self._refused = self._refused or Cause("websocket", text, needs_user_action=True)
        else:
            self._broken = ProtocolError("websocket", str(fault))
        self._below.abortConnection()

    def _send(self, event: Event) -> None:
        self._below.write(self._frames.send(event))

    # Towards the inner protocol: its transport.

    def write(self, data: bytes) -> None:
        if not self._closing:
            self._send(BytesMessage(data=data))

    def writeSequence(self, data: Iterable[bytes]) -> None:
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        if not self._closing:
            self._closing = True
            self._send(CloseConnection(code=NORMAL_CLOSURE))
            self._below.loseConnection()

    def abortConnection(self) -> None:
        self._closing = True
        self._below.abortConnection()

    def pauseProducing(self) -> None:
        self._below.pauseProducing()

    def resumeProducing(self) -> None:
        self._below.resumeProducing()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self._below.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        self._below.unregisterProducer()

    def getPeer(self) -> IAddress:
        peer: IAddress = self._below.getPeer()
        return peer

    def getHost(self) -> IAddress:
        host: IAddress = self._below.getHost()
        return host


def _failure(fault: Exception) -> Failure:
    return Failure(fault)
