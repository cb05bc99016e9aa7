"""The reactor of one simulated process: it ends with the process, whatever is still due."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from select import POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT
from typing import Any, Final

from twisted.internet import error, tcp
from twisted.internet.address import IPv4Address
from twisted.internet.base import DelayedCall
from twisted.internet.defer import maybeDeferred
from twisted.internet.interfaces import (
    IConnector,
    IReactorFDSet,
    IReactorFromThreads,
    IReactorPluggableNameResolver,
    IReactorTCP,
    IReactorTime,
)
from twisted.internet.posixbase import _DisconnectSelectableMixin, _PollLikeMixin
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.simulation.clock import Event, SimClock
from tests.simulation.network import Connection
from tests.simulation.threads import SimThreads

__all__ = ["Dialler", "ProcessReactor"]

_POLL_S: Final = (*(0.0002,) * 9, 0.02)
"""How long the reactor takes to look after something became ready: sometimes it is busy. Calls that
are due meanwhile come first, as in every reactor."""
_OUTPUT_PORT: Final = 8094
_PIECES: Final = (0, 0, 300, 16384)
"""TLS and WebSocket bring a read in pieces, all of them in spite of a pause; 0: in one."""

_THREADS: Final = 10
"""Of the reactor's own pool."""

Dialler = Callable[[Connection], None]
"""Takes the agent's new connection to a peer; raises OSError where no one listens."""


class ProcessReactor(_PollLikeMixin, _DisconnectSelectableMixin):
    """See the module. Descriptors are handled as Twisted's reactor for epoll does.

    Args:
        clock: of the simulation.
        listeners: what accepts connections, by port.
        on_error: called with an exception that left a call.

    Attributes:
        alive: the process has not ended.
        connections: of the process.
        attempts: to connect, under way.
        kernel: of the process.
        stood_s: for how long it was frozen.
    """

    _POLL_IN, _POLL_OUT = POLLIN, POLLOUT
    _POLL_DISCONNECTED = POLLHUP | POLLERR | POLLNVAL

    def __init__(
        self,
        clock: SimClock,
        listeners: dict[int, Dialler],
        on_error: Callable[[BaseException], None],
    ) -> None:
        self.clock = clock
        self.alive = True
        self.connections: list[Connection] = []
        self.attempts: list[_Attempt] = []
        self.on_end: Callable[[], None] = lambda: None
        self.on_stop: Callable[[], Any] = lambda: None
        self.on_thaw: Callable[[], object] = lambda: None
        self._when_running: list[Callable[[], object]] | None = []
        self._listeners = listeners
        self._on_error = on_error
        self._stopping = False
        self._frozen: list[tuple[Callable[..., object], Any, Any]] | None = None
        self._frozen_at_s = 0.0
        self._left_out_s = 0.0
        self.stood_s = 0.0
        self.leaves_out_standstill = False
        self._threads = SimThreads(self, _THREADS)
        self.nameResolver = _Names()
        self.calls: dict[DelayedCall, Event] = {}
        self.kernel: Any = None
        self._selectables: dict[int, Any] = {}
        self._reads: set[int] = set()
        self._writes: set[int] = set()
        self._polls = False

    # -- the process -------------------------------------------------------------------------

    def run(self, call: Callable[..., object], *args: Any, **named: Any) -> None:
        """Run a call in this process, if it lives; what it raises is a fault of the agent."""
        if not self.alive:
            return
        if self._frozen is not None:
            self._frozen.append((call, args, named))
            return
        try:
            call(*args, **named)
        except Exception as raised:
            if self.alive:
                self._on_error(raised)

    def begin(self, start: Callable[[], object]) -> None:
        """Start the service and run: twistd in this order, our command the other way round."""
        if self.clock.random.random() < 0.5:
            self.run(start)
        else:
            self.callWhenRunning(self.run, start)
        calls, self._when_running = self._when_running or [], None
        for call in calls:
            call()

    def freeze(self) -> None:
        """Do nothing until `thaw`: SIGSTOP, or a machine that is asleep."""
        if self._frozen is None:
            self._frozen = []
            self._frozen_at_s = self.clock.now_s

    def thaw(self) -> None:
        """Run again; all that has come due runs at once. Harmless when it is not frozen."""
        if self._frozen is None:
            return
        calls, self._frozen = self._frozen, None
        self.stood_s += self.clock.now_s - self._frozen_at_s
        if self.leaves_out_standstill:
            self._left_out_s += self.clock.now_s - self._frozen_at_s
            for delayed in list(self.calls):
                self._moved(delayed)
        self.on_thaw()
        for call, args, named in calls:
            self.run(call, *args, **named)
        for connection in self.connections:
            connection.from_peer.resume()
        self.poll_later()

    @property
    def is_frozen(self) -> bool:
        """Whether the process does not run."""
        return self._frozen is not None

    def kill(self) -> None:
        """End at once."""
        if self.alive:
            self.alive = False
            for event in self.calls.values():
                event.cancel()
            self.calls.clear()
            for connection in tuple(self.connections):
                connection.process_ends()
            self.kernel.end()
            self.on_end()

    def stop(self) -> None:
        """Stop in order: the service first, then the process."""
        if self._stopping:
            return
        self._stopping = True
        stopped = maybeDeferred(self.on_stop)
        stopped.addErrback(lambda failure: self._on_error(failure.value))
        stopped.addCallback(lambda _result: self.kill())

    # -- IReactorTime ------------------------------------------------------------------------

    def seconds(self) -> float:
        return self.clock.now_s - self._left_out_s

    def callLater(self, delay: float, call: Callable[..., object], *args: Any, **kw: Any) -> Any:
        delayed = DelayedCall(
            self.seconds() + delay, call, args, kw, self._cancelled, self._moved, self.seconds
        )
        self._put(delayed)
        return delayed

    def getDelayedCalls(self) -> list[DelayedCall]:
        return list(self.calls)

    def _put(self, delayed: DelayedCall) -> None:
        if self.alive:
            event_s = delayed.time + self._left_out_s
            while event_s - self._left_out_s < delayed.time:  # as rounding may have it
                event_s = math.nextafter(event_s, math.inf)
            event = Event(event_s, lambda: self._due(delayed))
            self.calls[delayed] = event
            self.clock.put(event)

    def _due(self, delayed: DelayedCall) -> None:
        if self._frozen is not None:
            self._frozen.append((self._due_late, (delayed,), {}))
            return
        del self.calls[delayed]
        if delayed.delayed_time > 0:
            delayed.activate_delay()
            self._put(delayed)
            return
        delayed.called = 1
        self.run(delayed.func, *delayed.args, **delayed.kw)

    def _due_late(self, delayed: DelayedCall) -> None:
        # Unless it was cancelled, or is due later, meanwhile.
        if delayed in self.calls and delayed.time <= self.seconds():
            self._cancelled(delayed)
            self._put(delayed)

    def _cancelled(self, delayed: DelayedCall) -> None:
        event = self.calls.pop(delayed, None)
        if event is not None:
            event.cancel()

    def _moved(self, delayed: DelayedCall) -> None:
        self._cancelled(delayed)
        self._put(delayed)

    # -- threads -----------------------------------------------------------------------------

    def callFromThread(self, call: Callable[..., object], *args: Any, **kw: Any) -> None:
        self.callLater(0, call, *args, **kw)

    def callWhenRunning(self, call: Callable[..., object], *args: Any, **kw: Any) -> None:
        if self._when_running is None:
            call(*args, **kw)
        else:
            self._when_running.append(partial(call, *args, **kw))

    def getThreadPool(self) -> SimThreads:
        return self._threads

    # -- descriptors -------------------------------------------------------------------------

    def addReader(self, reader: Any) -> None:
        self._watch(reader, self._reads)

    def addWriter(self, writer: Any) -> None:
        self._watch(writer, self._writes)

    def removeReader(self, reader: Any) -> None:
        self._forget(reader, self._reads, self._writes)

    def removeWriter(self, writer: Any) -> None:
        self._forget(writer, self._writes, self._reads)

    def removeAll(self) -> list[Any]:
        raise NotImplementedError

    def getReaders(self) -> list[Any]:
        return [self._selectables[fd] for fd in self._reads]

    def getWriters(self) -> list[Any]:
        return [self._selectables[fd] for fd in self._writes]

    def _watch(self, selectable: Any, kind: set[int]) -> None:
        fd = selectable.fileno()
        if fd not in kind:
            kind.add(fd)
            self._selectables[fd] = selectable
            self.poll_later()

    def _forget(self, selectable: Any, kind: set[int], other: set[int]) -> None:
        fd = selectable.fileno()
        if fd == -1:  # closed before
            fd = next((each for each, one in self._selectables.items() if one is selectable), -1)
        kind.discard(fd)
        if fd not in other:
            self._selectables.pop(fd, None)

    def poll_later(self) -> None:
        """See what is ready, soon."""
        if not self._polls and self.alive:
            self._polls = True
            random = self.clock.random
            self.clock.later(random.choice(_POLL_S) * random.random() ** 2, self._poll)

    def _poll(self) -> None:
        self._polls = False
        if self._frozen is not None:
            return
        for fd, selectable in list(self._selectables.items()):
            if not self.alive or self._selectables.get(fd) is not selectable:
                continue
            wanted = self._POLL_DISCONNECTED
            wanted |= (POLLIN if fd in self._reads else 0) | (POLLOUT if fd in self._writes else 0)
            event = self.kernel.events(fd) & wanted
            if event:
                self.run(self._doReadOrWrite, selectable, fd, event)
                self.poll_later()

    def addSystemEventTrigger(self, *_args: Any, **_kw: Any) -> None:
        """The service is stopped by `stop`."""

    # -- IReactorTCP -------------------------------------------------------------------------

    def connectTCP(
        self, host: str, port: int, factory: Any, timeout: float = 30, bindAddress: Any = None
    ) -> Any:
        return _Attempt(self, port, factory, timeout)

    def listenTCP(self, *_args: Any, **_kw: Any) -> Any:
        raise NotImplementedError

    def connectUNIX(
        self, address: str, factory: Any, timeout: float = 30, checkPID: bool = False
    ) -> Any:
        """Connect to the output, the only Unix socket that there is."""
        return _Attempt(self, _OUTPUT_PORT, factory, timeout)

    def listener(self, port: int) -> Dialler | None:
        """Return what listens at a port."""
        return self._listeners.get(port)


# Not by a decorator: the classes' other methods are none of the simulation's business.
for _interface in (
    IReactorTime,
    IReactorTCP,
    IReactorFDSet,
    IReactorFromThreads,
    IReactorPluggableNameResolver,
):
    implementer(_interface)(ProcessReactor)


@implementer(IConnector)
class _Attempt:
    """One attempt to connect."""

    def __init__(self, reactor: ProcessReactor, port: int, factory: Any, timeout_s: float) -> None:
        self._reactor = reactor
        self._port = port
        self.factory = factory
        self._over = False
        self._transport: Any = None
        reactor.attempts.append(self)
        factory.doStart()
        factory.startedConnecting(self)
        clock = reactor.clock
        clock.later(0.0002 + 0.01 * clock.random.random() ** 6, reactor.run, self._connect)
        self._timeout = clock.later(timeout_s, reactor.run, self._fail, error.TimeoutError())

    def _connect(self) -> None:
        if self._over:
            return
        reactor = self._reactor
        if self._port == _OUTPUT_PORT:
            self._connect_output()
            return
        accept = reactor.listener(self._port)
        if accept is None:
            self._fail(error.ConnectionRefusedError())
            return
        address = IPv4Address("TCP", "192.0.2.1", self._port)
        protocol = self.factory.buildProtocol(address)
        random = reactor.clock.random
        capacity = random.choice((4096, 65536, 262144, 1048576))
        connection = Connection(reactor.clock, capacity, reactor.run, protocol)
        connection.from_peer.is_frozen = lambda: reactor.is_frozen
        connection.from_peer.piece_bytes = random.choice(_PIECES)
        try:
            accept(connection)
        except error.ConnectionRefusedError as refusal:
            self._fail(refusal)
            return
        if not reactor.alive:
            connection.reset()
            return
        self._end()
        self._transport = connection.transport
        reactor.connections.append(connection)
        closed = connection.on_closed

        def gone() -> None:
            if connection in reactor.connections:
                reactor.connections.remove(connection)
            closed()

        connection.on_closed = gone
        protocol.makeConnection(connection.transport)

    def _connect_output(self) -> None:
        """Make Twisted's own transport, on a socket of the simulated kernel."""
        kernel = self._reactor.kernel
        try:
            socket = kernel.socket_of(kernel.open_output())
        except ConnectionRefusedError:
            self._fail(error.ConnectionRefusedError())
            return
        self._end()
        protocol = self.factory.buildProtocol(self.getDestination())
        transport = self._transport = _OutputTransport(socket, protocol, self._reactor)
        transport.connected = True
        transport.startReading()
        protocol.makeConnection(transport)

    def _end(self) -> None:
        self._over = True
        self._timeout.cancel()
        self._reactor.attempts.remove(self)

    def _fail(self, reason: Exception) -> None:
        if not self._over:
            self._end()
            self.factory.clientConnectionFailed(self, Failure(reason))

    def stopConnecting(self) -> None:
        self._fail(error.UserError())

    def disconnect(self) -> None:
        if self._transport is None:
            self.stopConnecting()
        else:
            self._transport.loseConnection()

    def connect(self) -> None:
        raise NotImplementedError

    def getDestination(self) -> IPv4Address:
        return IPv4Address("TCP", "192.0.2.1", self._port)


class _OutputTransport(tcp.Connection):
    """A client's transport that is connected already."""

    logstr = "output"

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", "192.0.2.1", _OUTPUT_PORT)


class _Names:
    """Resolves every name at once."""

    def resolveHostName(self, receiver: Any, hostName: str, portNumber: int = 0, **_kw: Any) -> Any:
        receiver.resolutionBegan(self)
        receiver.addressResolved(IPv4Address("TCP", "192.0.2.1", portNumber))
        receiver.resolutionComplete()
        return self

    def cancel(self) -> None:
        """Nothing to cancel."""
