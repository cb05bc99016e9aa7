"""Faults of a database that chance alone rarely brings together."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from tests.simulation.configuration import NUMBERED
from tests.simulation.http_model import Answer, Database
from tests.simulation.http_reader import PATIENCE_S, DatabaseReader, Trouble
from tests.simulation.http_requests import Meaning
from tests.simulation.joint_faults import MOST_WAITING
from tests.simulation.modules import is_broken, is_odd
from tests.simulation.recovery import backlog

if TYPE_CHECKING:
    from tests.simulation.world import World

__all__ = ["HTTP_JOINT_KINDS", "LONE_LINES", "wrong_address"]

LONE_LINES: Final = "database_has_lone_lines"
_PATH: Final = Answer(400, b'unsupported path requested: "/writ"\n')
_PROXY: Final = Answer(400, b"<html>The plain HTTP request was sent to HTTPS port</html>")
_ALONE_S: Final = 11.0
"""A line that is rejected alone waits for others for 10 s."""
_DRAINED_S: Final = 2.0
_ACCEPTED_S: Final = 6.0
"""By then a new agent has written that a device is there: the address is right."""
_REJECTED_S: Final = 16.0
"""By then that line has waited alone, at a wrong address."""
_STOP_S: Final = (5.2, 9.8)
"""So the line has waited for 10 s before the output is drained."""
_STOPPED_S: Final = 16.0
_HELD_UP_S: Final = 3.0
"""How long a good line may wait behind bad ones: they are tried again with it at once."""
_LONGEST_GAP_S: Final = 20.0
"""After this time what was rejected is tried again in any case, as a rule."""
_FAILS: Final = (Trouble(Answer(503)), Trouble(answer_bytes=0))


def wrong_address(reader: DatabaseReader) -> Trouble:
    """Return what a wrong path or port answers, which takes no line."""
    answer = _PATH if reader.database is Database.VICTORIA else _PROXY
    return Trouble(answer, meaning=Meaning.REJECTED)


class _LoneLines:
    """A few lines come at a wrong address, each alone for so long that it might be a bad one.

    In each round the agent is new. The address is wrong from the beginning, or once a line was
    accepted, and some rounds end with a stop while a line waits. In others the address is right,
    and bad lines come together, then a good one.
    """

    def __init__(self, world: World, reader: DatabaseReader) -> None:
        self._world = world
        self._reader = reader
        self._chance = world.chance
        self._wrong = wrong_address(reader)
        self._is_over = False
        # Nor are there answers to polls, or metrics of the agent itself.
        world.devices.quiet = world.device.quiet = True
        self._collect_self_metrics(3600)
        self._later(_DRAINED_S, self._begin)

    def _collect_self_metrics(self, every_s: int) -> None:
        world = self._world
        world.config.self_metrics_s = every_s
        world.config.write()
        if world.process is not None:
            world.process.hang_up()

    def _later(self, after_s: float, call: Callable[[], None]) -> None:
        self._world.clock.later(after_s, lambda: self._is_over or call())

    def _begin(self) -> None:
        if self._reader.trouble is self._wrong:
            self._reader.end_trouble()
        self._reader.patience_s = PATIENCE_S
        way = self._chance.choice(("unproven", "proven", "stop", "stop", "bad", "bad"))
        if way == "unproven":
            self._reader.trouble = self._wrong
        self._world.kill_agent()
        after_s = _REJECTED_S if way == "unproven" else _ACCEPTED_S
        sends = {"stop": self._send_and_stop, "bad": self._send_up_to_bad}
        self._later(after_s, sends.get(way, self._send_some))

    def _send_some(self) -> None:
        self._reader.trouble = self._wrong
        count = self._chance.randint(2, 3)
        for number in range(count):
            self._later(number * _ALONE_S, self._send)
        self._later(count * _ALONE_S, self._begin)

    def _send_and_stop(self) -> None:
        self._reader.trouble = self._wrong
        self._send()
        self._later(self._chance.uniform(*_STOP_S), self._stop)
        self._later(_STOPPED_S, self._begin)

    def _send_up_to_bad(self) -> None:
        good, *bad = self._chance.sample(NUMBERED, 3)
        devices = self._world.devices
        for module in bad:
            while not is_broken(devices.next_number(module, 1)):
                self._world.send(module, 1)
        if is_odd(devices.next_number(good, 1)):
            self._world.send(good, 1)
        self._later(_DRAINED_S, lambda: self._send_bad(good, bad))

    def _send_bad(self, good: str, bad: list[str]) -> None:
        # After a refused login, say, the next try may still be half a minute away, and an answer
        # that is late is waited for.
        begun_s = self._world.clock.now_s if self._is_well() else -math.inf
        for module in bad:
            self._world.send(module, 1)
        gap_s = self._chance.uniform(1.0, _LONGEST_GAP_S)
        self._later(gap_s, lambda: self._send_good(good, begun_s))
        self._later(gap_s + 2 * _HELD_UP_S, self._begin)

    def _is_well(self) -> bool:
        process = self._world.process
        if process is None:
            return False
        sink: Any = process.agent._parts.sink
        return not sink.problem and getattr(sink._writer, "_request", None) is None

    def _send_good(self, good: str, begun_s: float) -> None:
        self._world.send(good, 1)
        if self._reader.ready and self._reader.disturbed_s < begun_s:
            self._reader.patience_s = _HELD_UP_S

    def _send(self) -> None:
        self._world.send(self._chance.choice(NUMBERED), 1)

    def _stop(self) -> None:
        if self._world.process is not None:
            self._world.process.terminate()

    def heal(self) -> None:
        """Have all go on."""
        self._is_over = True
        self._reader.patience_s = PATIENCE_S
        self._world.devices.quiet = self._world.device.quiet = False
        self._collect_self_metrics(10)
        if self._reader.trouble is self._wrong:
            self._reader.end_trouble()


def _has_lone_lines(world: World) -> Callable[[], None] | None:
    reader = world.reader
    if not isinstance(reader, DatabaseReader) or world.devices.quiet:
        return None
    return _LoneLines(world, reader).heal


def _fails_in_search(world: World) -> Callable[[], None] | None:
    """Send a bad line among others; a request of the search fails, then the address is wrong."""
    reader, chance = world.reader, world.chance
    if not isinstance(reader, DatabaseReader) or backlog(world) > MOST_WAITING:
        return None
    troubles = [None] * chance.randint(0, 6) + [chance.choice(_FAILS)]
    troubles += [wrong_address(reader)] * chance.choice((0, 30))
    reader.fail_in_search(troubles)
    module, qos = chance.choice(NUMBERED), chance.randint(0, 1)
    for _ in range(chance.randint(1, 30)):
        world.send(module, qos)
    while not is_broken(world.devices.next_number(module, qos)):
        world.send(module, qos)
    for _ in range(chance.randint(1, 30)):
        world.send(module, qos)

    def heal() -> None:
        reader.fail_in_search(())

    return heal


HTTP_JOINT_KINDS: Final = {
    LONE_LINES: _has_lone_lines,
    "database_fails_in_search": _fails_in_search,
}
