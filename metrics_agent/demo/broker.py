"""An MQTT broker for machines without one: ``python -m metrics_agent.demo.broker --port 1883``.

Listens on 127.0.0.1 only and lets everybody in. Made of ``amqtt`` (the extra ``demo``); speaks MQTT
3.1.1 and refuses 5. Nothing is written to standard output. Standard error gets the line
``ready 127.0.0.1:PORT`` once connections are accepted, and what the broker warns of. ``ending``
says when it ends.

Exit status: 0 told to end; 1 it cannot listen, or amqtt is missing; 2 wrong arguments.

The socket is ours and not amqtt's: port 0 takes a free one that can be told, and a port that is
taken is one clear line.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from metrics_agent.demo.ending import Ending, ignore_interrupt

if TYPE_CHECKING:
    import asyncio
    import socket

__all__ = ["HOST", "READY", "main"]

HOST = "127.0.0.1"
READY = "ready"
"""The first word of the line that tells that a process is ready."""

_LISTENER = "default"
_BACKLOG = 128
_MAX_PORT = 65535

# amqtt ends a connection exactly at the keepalive, MQTT says at one and a half; clients send their
# ping at the keepalive.
_PATIENCE_S = 30
_STOP_TIMEOUT_S = 0.5

_FIXED_HEADER_BYTES = 5
"""At most: the type, and the length in up to four bytes."""
_MQTT_5 = b"\0\4MQTT\5"
_REFUSAL = b"\x20\2\0\1"
"""CONNACK of MQTT 3.1.1: unacceptable protocol version."""


def main(arguments: list[str] | None = None) -> int:
    """Run the broker until its end; return the exit status."""
    ignore_interrupt()
    port = _read_port(arguments)
    ending = Ending()
    try:
        from amqtt.broker import Broker  # noqa: F401 - is it there?
    except ImportError as error:
        from metrics_agent.demo.requirements import missing_broker

        return _fail(str(missing_broker(error)))
    import asyncio
    import socket

    try:
        listening = socket.create_server((HOST, port), backlog=_BACKLOG)
    except OSError as error:
        return _fail(
            f"cannot listen on {HOST}:{port}: {os.strerror(error.errno or 0)}; "
            "choose another port with --port, 0 takes a free one"
        )
    asyncio.run(_serve(listening, ending))
    return 0


def _read_port(arguments: list[str] | None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m metrics_agent.demo.broker", description="An MQTT broker on 127.0.0.1."
    )
    parser.add_argument("--port", type=_port, default=1883, help="TCP port, 0 for any free one")
    port: int = parser.parse_args(arguments).port
    return port


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > _MAX_PORT:
        raise argparse.ArgumentTypeError(f"expected a port from 0 to {_MAX_PORT}, got {text!r}")
    return int(text)


def _fail(reason: str) -> int:
    sys.stderr.write(f"{reason[0].upper()}{reason[1:]}\n")
    return 1


async def _read_version(reader: asyncio.StreamReader) -> bytes:
    """Read a CONNECT up to the version of MQTT, its last byte."""
    head = await reader.readexactly(2)
    while head[-1] & 0x80 and len(head) < _FIXED_HEADER_BYTES:
        head += await reader.readexactly(1)
    return head + await reader.readexactly(len(_MQTT_5))


async def _serve(listening: socket.socket, ending: Ending) -> None:
    import asyncio
    import logging
    from contextlib import suppress

    from amqtt.adapters import StreamReaderAdapter, StreamWriterAdapter
    from amqtt.broker import Broker

    # Only warnings and worse, by the handler of last resort: to stderr, the text alone.
    broker = Broker(
        {
            "listeners": {_LISTENER: {"type": "external"}},
            "timeout_disconnect_delay": _PATIENCE_S,
            "plugins": {
                "amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}
            },
        }
    )
    await broker.start()

    class Resumed(StreamReaderAdapter):
        """What was read already comes first."""

        head = b""

        async def read(self, n: int = -1) -> bytes:
            end = n if n >= 0 else len(self.head)
            data, self.head = self.head[:end], self.head[end:]
            return data if len(data) == n else data + await super().read(max(n - len(data), -1))

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        resumed = Resumed(reader)
        with suppress(asyncio.IncompleteReadError, OSError):
            resumed.head = await _read_version(reader)
        if resumed.head.endswith(_MQTT_5):
            # amqtt would wait for the rest of what it misreads.
            writer.write(_REFUSAL)
            writer.close()
            return
        await broker.external_connected(resumed, StreamWriterAdapter(writer), _LISTENER)

    server = await asyncio.start_server(connected, sock=listening)
    sys.stderr.write(f"{READY} {HOST}:{listening.getsockname()[1]}\n")
    sys.stderr.flush()
    await asyncio.to_thread(ending.wait)
    # From here on a connection that breaks is no news.
    logging.disable(logging.CRITICAL)
    server.close()
    with suppress(Exception):
        await asyncio.wait_for(broker.shutdown(), _STOP_TIMEOUT_S)


if __name__ == "__main__":
    sys.exit(main())
