"""Acknowledge what has been read of a connection at once, as TCP.

The kernel puts that off by up to 40 ms, to send it with the next data. Meanwhile a sender with
Nagle's algorithm, as mosquitto without ``set_tcp_nodelay true``, holds back what it has. Where it
sends few messages before one is acknowledged, as MQTT, that happens with each round of them.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any, Final

__all__ = ["acknowledge_now"]

_OPTION: Final[int | None] = getattr(socket, "TCP_QUICKACK", None)


def acknowledge_now(transport: Any) -> None:
    """Have the kernel acknowledge what was read; the option resets itself afterwards.

    Args:
        transport: of any kind, also TLS or a WebSocket above one; without a socket of TCP, or
            without one any more, nothing happens.
    """
    while (below := getattr(transport, "transport", None)) is not None:
        transport = below
    handle = getattr(transport, "getHandle", None)
    if _OPTION is not None and handle is not None:
        with suppress(AttributeError, OSError):
            handle().setsockopt(socket.IPPROTO_TCP, _OPTION, 1)
