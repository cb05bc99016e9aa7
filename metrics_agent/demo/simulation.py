"""The demo's broker and devices: ``python -m metrics_agent.demo.simulation``.

On 127.0.0.1, at free ports: an MQTT broker for all clients that speaks 3.1.1, with the devices of
`household` and `announced` at it, and the socket of the `Dtu`. Nothing is written to standard
output. Standard error gets the line ``ready MQTT_PORT DTU_PORT`` once the devices are connected,
and warnings. It has nothing to save, so it ends by a signal, or at once when its standard input
does: a pipe whose other end the command holds.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import Any, Final

from amqtt.adapters import StreamReaderAdapter, StreamWriterAdapter
from amqtt.broker import Broker
from websockets.asyncio.server import broadcast, serve

from metrics_agent.demo.announced import make_announced
from metrics_agent.demo.configuration import HOST, READY
from metrics_agent.demo.household import make_household
from metrics_agent.demo.opendtu import Dtu
from metrics_agent.demo.publisher import Publisher

__all__ = ["main"]

_INTERVAL_S: Final = 1.0
_LISTENER: Final = "default"
_DTU_PATH: Final = "/livedata"

# amqtt ends a connection exactly at the keepalive, MQTT says at one and a half; clients send their
# ping at the keepalive.
_KEEPALIVE_GRACE_S: Final = 30
_MQTT_5: Final = b"\0\4MQTT\5"
_CONNECT_BYTES: Final = 12
"""A CONNECT up to the version of MQTT, at most."""
_REFUSAL: Final = b"\x20\2\0\1"
"""CONNACK of MQTT 3.1.1: unacceptable protocol version."""


async def main() -> None:
    """Run the simulation; never returns."""
    loop = asyncio.get_running_loop()
    loop.add_reader(0, lambda: os.read(0, 4096) or os._exit(0))
    mqtt_port = await _start_broker()
    connected = asyncio.Event()
    devices = Publisher(
        make_household(time.time()),
        make_announced(),
        HOST,
        mqtt_port,
        lambda: loop.call_soon_threadsafe(connected.set),
    )
    await connected.wait()
    clients: set[Any] = set()

    async def talk(client: Any) -> None:
        clients.add(client)
        await client.wait_closed()
        clients.discard(client)

    def check(client: Any, request: Any) -> Any:
        return None if request.path == _DTU_PATH else client.respond(404, "Not found\n")

    async with serve(talk, HOST, 0, process_request=check) as server:
        (dtu_port,) = (each.getsockname()[1] for each in server.sockets)
        dtu, interval, due_s = Dtu(), 0, loop.time()
        while True:
            devices.send(interval)
            # As the firmware: without clients nothing is looked at.
            if clients:
                for message in dtu.messages(time.time()):
                    broadcast(clients, message)
            if interval == 0:
                sys.stderr.write(f"{READY} {mqtt_port} {dtu_port}\n")
                sys.stderr.flush()
            interval += 1
            # Intervals that were missed while the machine slept are not made up for.
            due_s = max(due_s + _INTERVAL_S, loop.time())
            await asyncio.sleep(due_s - loop.time())


class _Refusing(asyncio.StreamReaderProtocol):
    """Refuses MQTT 5, which amqtt misreads: it would wait for more."""

    _head = b""
    _socket: Any

    def connection_made(self, transport: Any) -> None:
        """Keep the transport."""
        self._socket = transport
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Look at the version first."""
        if len(self._head) < _CONNECT_BYTES:
            self._head += data[:_CONNECT_BYTES]
            if _MQTT_5 in self._head:
                self._socket.write(_REFUSAL)
                self._socket.close()
                return
        super().data_received(data)


async def _start_broker() -> int:
    """Start the broker; return its port."""
    # Only warnings and worse are logged, by the handler of last resort: to stderr, the text alone.
    plugins = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
    broker = Broker(
        {
            "listeners": {_LISTENER: {"type": "external"}},
            "timeout_disconnect_delay": _KEEPALIVE_GRACE_S,
            "plugins": plugins,
        }
    )
    await broker.start()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await broker.external_connected(
            StreamReaderAdapter(reader), StreamWriterAdapter(writer), _LISTENER
        )

    # amqtt does not say which port it has, so the socket is ours.
    server = await asyncio.get_running_loop().create_server(
        lambda: _Refusing(asyncio.StreamReader(), connected), HOST, 0
    )
    port: int = server.sockets[0].getsockname()[1]
    return port


if __name__ == "__main__":
    asyncio.run(main())
