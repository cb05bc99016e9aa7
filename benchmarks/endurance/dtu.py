"""The DTU of the demo by itself, at a port: ``python -m benchmarks.endurance.dtu PORT``."""

from __future__ import annotations

import asyncio
import sys
import time

from websockets.asyncio.server import broadcast, serve

from metrics_agent.demo.opendtu import Dtu

_INTERVAL_S = 1.0


async def main(port: int) -> None:
    """Send what is due to all clients; never returns."""
    dtu = Dtu()
    async with serve(lambda client: client.wait_closed(), "127.0.0.1", port) as server:
        while True:
            for message in dtu.messages(time.time()):
                broadcast(server.connections, message)
            await asyncio.sleep(_INTERVAL_S)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
