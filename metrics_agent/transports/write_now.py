"""Write on a connection in this turn of the reactor, where nothing waits to be written before.

Twisted's `write` leaves that to the next turn: for a few bytes it has the kernel watch the socket,
waits, sends, and has the kernel watch it no more. At a calm pace these four system calls cost more
than all the rest of an acknowledgement.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.abstract import FileDescriptor

__all__ = ["write_now"]


def write_now(reactor: Any, transport: Any, data: bytes) -> None:
    """Write like ``transport.write``, but at once as much as the kernel takes.

    Whatever is in the way (bytes that wait, TLS, a socket that is full or closed) is left to
    ``transport.write``, so order and the report of a loss are as ever.

    Args:
        reactor: provides getWriters, which shows whether bytes wait.
        transport: of any kind.
        data: goes after all that was written before.
    """
    if (
        isinstance(transport, FileDescriptor)
        and transport.connected
        and not transport.disconnecting
        and transport not in reactor.getWriters()
    ):
        sent = transport.writeSomeData(data)
        if isinstance(sent, int):
            data = data[sent:]
    if data:
        transport.write(data)
