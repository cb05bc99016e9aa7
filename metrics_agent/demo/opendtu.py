"""A simulated DTU: ``python -m metrics_agent.demo.opendtu --port 8080``.

Serves ``/livedata`` on 127.0.0.1 as today's firmware does: it looks once a second, sends a message
about each inverter that was heard, and about each at least every ten seconds. Made of
``websockets`` (the extra ``demo``). Nothing is written to standard output. Standard error gets the
line ``ready 127.0.0.1:PORT`` once connections are accepted. ``ending`` says when it ends.

Exit status: 0 told to end; 1 it cannot listen, or websockets is missing; 2 wrong arguments.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from metrics_agent.demo.ending import Ending, ignore_interrupt
from metrics_agent.errors import how_to_install

if TYPE_CHECKING:
    import socket

    from metrics_agent.demo.roof import Roof

__all__ = ["Dtu", "main"]

PATH: Final = "/livedata"
LOOK_EVERY_S: Final = 1.0
REPEAT_AFTER_S: Final = 10.0
MAX_CLIENTS: Final = 8
_MAX_PORT: Final = 65535
_NOT_FOUND: Final = 404
_TRY_AGAIN_LATER: Final = 1013


class Dtu:
    """Says what is to be sent, and when.

    Args:
        roof: what there is.
    """

    def __init__(self, roof: Roof) -> None:
        self._roof = roof
        self._sent: dict[str, tuple[float, float]] = {}
        self._parts_s = 0.0

    def messages(self, now_s: float) -> Iterator[str]:
        """Yield the messages that are due; to be called once a second.

        Args:
            now_s: seconds since the epoch.
        """
        if now_s - self._parts_s >= REPEAT_AFTER_S:
            self._parts_s = now_s
            yield self._roof.parts(now_s)
        for inverter in self._roof.inverters:
            heard_s = inverter.heard_at(now_s)
            before_s, sent_s = self._sent.get(inverter.serial, (0.0, 0.0))
            if heard_s > before_s or now_s - sent_s >= REPEAT_AFTER_S:
                self._sent[inverter.serial] = (heard_s, now_s)
                yield self._roof.frame(inverter, now_s)


def main(arguments: list[str] | None = None) -> int:
    """Run the DTU until its end; return the exit status."""
    ignore_interrupt()
    port = _read_port(arguments)
    ending = Ending()
    try:
        import websockets.asyncio.server  # noqa: F401 - is it there?
    except ImportError as error:
        return _fail(
            f"the demo's DTU needs the package websockets, which is not installed ({error}): "
            f"{how_to_install('demo')}"
        )
    import asyncio
    import logging
    import socket

    from metrics_agent.demo.broker import HOST
    from metrics_agent.demo.roof import make_roof

    # A client that goes away is no news.
    logging.disable(logging.CRITICAL)
    try:
        listening = socket.create_server((HOST, port))
    except OSError as error:
        return _fail(
            f"cannot listen on {HOST}:{port}: {os.strerror(error.errno or 0)}; "
            "choose another port with --port, 0 takes a free one"
        )
    asyncio.run(_serve(listening, Dtu(make_roof()), ending.wait))
    return 0


async def _serve(listening: socket.socket, dtu: Dtu, wait: Callable[[], object]) -> None:
    import asyncio

    from websockets.asyncio.server import broadcast, serve

    from metrics_agent.demo.broker import HOST, READY

    clients: list[Any] = []

    async def talk(client: Any) -> None:
        clients.append(client)
        if len(clients) > MAX_CLIENTS:
            await clients[0].close(_TRY_AGAIN_LATER)
        try:
            await client.wait_closed()
        finally:
            clients.remove(client)

    def check(client: Any, request: Any) -> Any:
        return None if request.path == PATH else client.respond(_NOT_FOUND, "Not found\n")

    async def send() -> None:
        while True:
            # As the firmware: without clients nothing is looked at.
            if clients:
                for message in dtu.messages(time.time()):
                    broadcast(clients, message)
            await asyncio.sleep(LOOK_EVERY_S)

    async with serve(talk, sock=listening, process_request=check):
        sys.stderr.write(f"{READY} {HOST}:{listening.getsockname()[1]}\n")
        sys.stderr.flush()
        sending = asyncio.create_task(send())
        await asyncio.to_thread(wait)
        sending.cancel()


def _read_port(arguments: list[str] | None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m metrics_agent.demo.opendtu", description="A simulated DTU on 127.0.0.1."
    )
    parser.add_argument("--port", type=_port, default=8080, help="TCP port, 0 for any free one")
    port: int = parser.parse_args(arguments).port
    return port


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > _MAX_PORT:
        raise argparse.ArgumentTypeError(f"expected a port from 0 to {_MAX_PORT}, got {text!r}")
    return int(text)


def _fail(reason: str) -> int:
    sys.stderr.write(f"{reason[0].upper()}{reason[1:]}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
