"""The demo's devices at any broker: ``python -m metrics_agent.demo.devices HOST``.

The same devices as those of `simulation`, with the DTU by MQTT too; deploy/compose.yaml runs it. It
waits for the broker, and announces all devices at each connection. It has nothing to save, so it
ends by a signal.
"""

from __future__ import annotations

import argparse
import threading
import time
from typing import Final

from metrics_agent.demo.announced import make_announced
from metrics_agent.demo.household import make_household
from metrics_agent.demo.opendtu import Dtu
from metrics_agent.demo.published import DTU_ONLINE, as_published
from metrics_agent.demo.publisher import Publisher

__all__ = ["main"]

_PORT: Final = 1883
_INTERVAL_S: Final = 10.0
_DTU_INTERVAL_S: Final = 1.0


def main() -> None:
    """Publish; never returns."""
    parser = argparse.ArgumentParser(prog="python -m metrics_agent.demo.devices")
    parser.add_argument("host", help="of the broker, which takes clients without a login")
    parser.add_argument("--port", type=int, default=_PORT, help=f"of it, {_PORT} by default")
    parser.add_argument(
        "--interval",
        type=float,
        default=_INTERVAL_S,
        metavar="SECONDS",
        help=f"between two messages of a device, {_INTERVAL_S:g} by default",
    )
    options = parser.parse_args()
    connected = threading.Event()
    household, announced = make_household(time.time()), make_announced()
    publisher = Publisher(household, announced, options.host, options.port, connected.set)
    dtu, interval, due_s = Dtu(), 0, 0.0
    while True:
        if connected.is_set():
            connected.clear()
            dtu, interval, due_s = Dtu(), 0, 0.0
            publisher.publish([DTU_ONLINE])
        if time.monotonic() >= due_s:
            publisher.send(interval)
            interval, due_s = interval + 1, time.monotonic() + options.interval
        publisher.publish(as_published(dtu, time.time()))
        connected.wait(min(_DTU_INTERVAL_S, options.interval))


if __name__ == "__main__":
    main()
