"""What writes on a connection of the output: plain sockets and TLS, one rule for both.

A plain socket is written past the transport's own buffer, so that each write is one that the
kernel takes whole (`whole_lines`); the transport says when there is room again, and when the
connection ends. Over TLS each chunk is one record, which passes through the transport.
"""

from __future__ import annotations

import sys
from typing import Any, Final
from typing import Protocol as Seam

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IHandshakeListener,
    IPullProducer,
    IPushProducer,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from metrics_agent.cause import Cause
from metrics_agent.output.buffers import Buffer, SocketBuffer
from metrics_agent.output.whole_lines import EMPTY_CHECK_S, Outcome, hand_over
from metrics_agent.output.writer import Source
from metrics_agent.process.kernel import Kernel
from metrics_agent.timer import Timer
from metrics_agent.transports.causes import of_error

__all__ = ["OutputProtocol", "Owner"]

_RECORD_BYTES: Final = 16 * 1024
"""The most that one record of TLS holds."""


class Owner(Seam):
    """What a connection reports to."""

    def connected(self) -> None:
        """Take note that the connection can be written, with TLS after the handshake."""
        ...

    def disconnected(self, protocol: OutputProtocol, cause: Cause) -> None:
        """Queue again what was not taken, and connect again."""
        ...


class TlsBuffer:
    """The way through TLS: Twisted's buffer, then the kernel's."""

    atomic_bytes = _RECORD_BYTES

    def __init__(self, kernel: Kernel, reactor: Any, transport: Any) -> None:
        self._kernel = kernel
        self._reactor = reactor
        self._transport = transport
        self._socket = transport.transport
        self._in_hand = 0
        self.paused = False

    def ready(self) -> bool:
        """Return whether Twisted's buffer has room."""
        return not self.paused

    def unread(self) -> int:
        """Count what may be in Twisted's buffer, and what the kernel holds.

        Ciphertext is longer than its plaintext, so the kernel's number is never too small.
        """
        if not self.paused and self._socket not in self._reactor.getWriters():
            self._in_hand = 0
        return self._in_hand + self._kernel.unsent(self.fileno())

    def capacity(self) -> int:
        """Return the length of a record."""
        return _RECORD_BYTES

    def send(self, chunk: bytes) -> int:
        """Encrypt, and have it sent in the reactor's next turn."""
        self._in_hand += len(chunk)
        # Not by the transport's own `write`, which joins chunks into records of another length.
        _tls_class().write(self._transport, chunk)
        return len(chunk)

    def fileno(self) -> int:
        """Return the descriptor of the socket."""
        return int(self._socket.getHandle().fileno())


@implementer(IPullProducer, IPushProducer, IHandshakeListener)
class OutputProtocol(Protocol):
    """One connection; writes until its buffer is full, then waits for the transport.

    To a plain transport it is a pull producer, which is asked whenever there is room after
    `startWriting`; to TLS a push producer, since TLS would ask a pull producer without end.

    Args:
        kernel: its calls.
        reactor: IReactorTime and IReactorFDSet.
        owner: hears of the beginning and the end.
        source: where the bytes come from.
    """

    def __init__(self, kernel: Kernel, reactor: Any, owner: Owner, source: Source) -> None:
        self._kernel = kernel
        self._reactor = reactor
        self._owner = owner
        self._source = source
        self._buffer: Buffer | None = None
        self._tls: TlsBuffer | None = None
        self._waiting = False
        self._later = Timer(reactor, self.wake)
        self._cause: Cause | None = None

    def connectionMade(self) -> None:
        """Begin to write; over TLS when the handshake is done."""
        tls = _tls_class()
        if tls is None or not isinstance(self.transport, tls):
            self._begin(SocketBuffer(self._kernel, self._transport.getHandle()), streaming=False)

    def handshakeCompleted(self) -> None:
        """Begin to write over TLS."""
        self._tls = TlsBuffer(self._kernel, self._reactor, self._transport)
        self._begin(self._tls, streaming=True)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Notify the owner, which connects again."""
        self._end()
        self._owner.disconnected(self, self._cause or _of_loss(reason))

    # What the transport calls.

    def resumeProducing(self) -> None:
        """Write, there is room."""
        self._wait(wait=False)
        self.wake()

    def pauseProducing(self) -> None:
        """Write no more: the buffer of TLS is full."""
        self._wait(wait=True)

    def stopProducing(self) -> None:
        """Nothing to do: connectionLost follows."""

    # What the owner calls.

    def wake(self) -> None:
        """Write, unless we wait for room."""
        buffer = self._buffer
        if buffer is None or self._waiting:
            return
        try:
            outcome = hand_over(self._source, buffer)
        except OSError:
            self._end()
            self._transport.abortConnection()  # connectionLost follows
            return
        if outcome is Outcome.LONG:
            self._later.start(EMPTY_CHECK_S)
        elif outcome is not Outcome.DONE and self._tls is None:
            self._waiting = True
            self._transport.startWriting()
        elif outcome is Outcome.TURN:
            self._later.start(0)

    def untaken(self) -> int | None:
        """Ask how much the other side has not taken, see `Buffer.unread`; None: not known."""
        if self._buffer is None:
            return None
        untaken = self._buffer.unread()
        fd = self._tls.fileno() if self._tls is not None else self._transport.getHandle().fileno()
        # A closing peer throws away what it has not read; connectionLost follows in a moment.
        return None if self._kernel.hung_up(fd) else untaken

    @property
    def alive(self) -> bool:
        """Whether it can be written."""
        return self._buffer is not None

    @property
    def stalled(self) -> bool:
        """Whether the other side leaves no room to write."""
        return self._waiting

    def disconnect(self) -> None:
        """End the connection in order: a reset would cut what the kernel still has in mid-line."""
        begun = self.alive
        self._end()
        if begun:
            self._transport.unregisterProducer()
            self._transport.loseConnection()
        else:
            self._transport.abortConnection()

    def accept_timed_out(self, timeout_s: float) -> None:
        """End, since TLS has not come about in time."""
        self._cause = Cause("silent", f"no answer to the TLS handshake within {timeout_s:g} s")
        self._transport.abortConnection()

    # Inside.

    def _begin(self, buffer: Buffer, *, streaming: bool) -> None:
        self._buffer = buffer
        self._owner.connected()
        self._transport.registerProducer(self, streaming=streaming)
        if streaming:
            self.wake()

    def _end(self) -> None:
        self._buffer = None
        self._later.stop()

    def _wait(self, *, wait: bool) -> None:
        self._waiting = wait
        if self._tls is not None:
            self._tls.paused = wait

    @property
    def _transport(self) -> Any:
        return self.transport


def _of_loss(reason: Failure) -> Cause:
    if isinstance(reason.value, ConnectionDone):
        return Cause("closed", "the other side closed the connection")
    return of_error(reason)


def _tls_class() -> Any:
    """Return the class of transports over TLS; None where TLS is not loaded."""
    module = sys.modules.get("twisted.protocols.tls")
    return getattr(module, "TLSMemoryBIOProtocol", None)
