"""Simulated Tasmota devices at a broker: ``python -m metrics_agent.demo.fleet --port 1883``.

Each of them is a client of its own, with client id, keepalive, last will, retained announcements,
and STATE and SENSOR at each interval; ``household`` says who they are. Nothing is written to
standard output. Standard error gets the line ``ready 127.0.0.1:PORT`` once every device has been
connected, and a line when the broker is lost and when it is back. ``ending`` says when it ends.

Exit status: 0 told to end; 2 wrong arguments.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from metrics_agent.demo.ending import Ending, ignore_interrupt

if TYPE_CHECKING:
    from metrics_agent.demo.station import Station

__all__ = ["Fleet", "Sleeper", "main"]

_MIN_INTERVAL_S = 0.05
_POLL_S = 0.05
_SLEEP_INTERVALS = 3

# How long the broker has for a goodbye, and how long a disconnection may take.
_GOODBYE_S = 0.1
_LEAVE_S = 0.4


class Sleeper:
    """Wakes a device that is offline most of the time: it connects, sends, and goes to sleep.

    Args:
        station: the device at the broker.
    """

    def __init__(self, station: Station) -> None:
        self._station = station
        self._steps = self._life()

    def start(self) -> None:
        """Wake up for the first time."""
        next(self._steps)

    def tick(self) -> None:
        """Do the next step of its life."""
        next(self._steps)

    def _life(self) -> Iterator[None]:
        while True:
            self._station.start()
            yield
            while not self._station.connected:
                yield
            self._station.say_goodbye()
            yield
            self._station.disconnect()
            yield from [None] * _SLEEP_INTERVALS


class Fleet:
    """All devices; told when an interval has passed.

    Args:
        stations: the devices at the broker.
        tell: takes a line for a person.
    """

    def __init__(self, stations: Sequence[Station], tell: Callable[[str], None]) -> None:
        self._stations = stations
        self._awake = [station for station in stations if not station.device.sleeps]
        self._sleepers = [Sleeper(station) for station in stations if station.device.sleeps]
        self._tell = tell
        self._lost = False

    @property
    def ready(self) -> bool:
        """Every device was connected at least once."""
        return all(station.seen for station in self._stations)

    @property
    def gone(self) -> bool:
        """No device is connected any more."""
        return not any(station.connected for station in self._stations)

    def start(self) -> None:
        """Connect all devices."""
        for station in self._awake:
            station.start()
        for sleeper in self._sleepers:
            sleeper.start()

    def tick(self) -> None:
        """Send what is due after one more interval."""
        for station in self._awake:
            station.send_telemetry()
        for sleeper in self._sleepers:
            sleeper.tick()
        lost = self.ready and not any(station.connected for station in self._awake)
        if lost != self._lost:
            self._lost = lost
            self._tell("Lost the broker, trying again." if lost else "The broker is back.")

    def say_goodbye(self) -> None:
        """Have all devices say that they go offline."""
        for station in self._stations:
            station.say_goodbye()

    def disconnect(self) -> None:
        """Disconnect all devices."""
        for station in self._stations:
            station.disconnect()


def main(arguments: list[str] | None = None) -> int:
    """Run the devices until the end; return the exit status."""
    ignore_interrupt()
    options = _parse(arguments)
    ending = Ending()
    from metrics_agent.demo.broker import HOST, READY
    from metrics_agent.demo.household import make_household
    from metrics_agent.demo.station import Station

    def tell(line: str) -> None:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()

    fleet = Fleet(
        tuple(
            Station(device, HOST, options.port, options.interval, time.time)
            for device in make_household(time.time())
        ),
        tell,
    )
    fleet.start()
    _run(fleet, options.interval, ending, lambda: tell(f"{READY} {HOST}:{options.port}"))
    _leave(fleet)
    return 0


def _run(fleet: Fleet, interval_s: float, ending: Ending, tell_ready: Callable[[], None]) -> None:
    """Tick at each interval, without drift, until the end."""
    due_s = time.monotonic() + interval_s
    told = False
    while True:
        left_s = max(0.0, due_s - time.monotonic())
        if ending.wait(left_s if told else min(left_s, _POLL_S)):
            return
        if not told and fleet.ready:
            told = True
            tell_ready()
        now_s = time.monotonic()
        if now_s >= due_s:
            fleet.tick()
            # Intervals that were missed while the machine slept are not made up for.
            due_s = max(due_s + interval_s, now_s)


def _leave(fleet: Fleet) -> None:
    if not fleet.gone:
        fleet.say_goodbye()
        time.sleep(_GOODBYE_S)
    fleet.disconnect()
    deadline_s = time.monotonic() + _LEAVE_S
    while not fleet.gone and time.monotonic() < deadline_s:
        time.sleep(_POLL_S / 10)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m metrics_agent.demo.fleet",
        description="Simulated Tasmota devices at a broker on 127.0.0.1.",
    )
    parser.add_argument("--port", type=int, default=1883, help="TCP port of the broker")
    parser.add_argument(
        "--interval", type=_interval, default=1.0, help="seconds between two messages of a device"
    )
    return parser.parse_args(arguments)


def _interval(text: str) -> float:
    try:
        interval_s = float(text)
    except ValueError:
        interval_s = 0.0
    if not interval_s >= _MIN_INTERVAL_S:
        raise argparse.ArgumentTypeError(
            f"expected seconds, at least {_MIN_INTERVAL_S}, got {text!r}"
        )
    return interval_s


if __name__ == "__main__":
    sys.exit(main())
