"""What happened to each numbered message."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection
from typing import Final

from tests.simulation.broker import Publication
from tests.simulation.configuration import module_of, owner_of

__all__ = ["BYSTANDER_S", "Key", "Ledger", "key_of"]

_NUMBER: Final = re.compile(rb"number,module=(\w+),qos=(\d) n=(\d+)i")
_TASMOTA: Final = re.compile(
    rb"electricity,device=(\w+q(\d))(,friendly=Name_(\w+?)(_\d+)?)?,vendor=tasmota "
    rb"energy_total=(\d+)"
)

BYSTANDER_S: Final = 2.0
"""How long a message may take to a module that no fault concerns; it takes up to 0.05 s."""

Key = tuple[str, int, int]
"""Module, QoS and number."""


_ANNOUNCED: Final = re.compile(
    rb"electricity,device=(h\dq(\d)),friendly=Name_\d+,vendor=sim energy_total=(\d+)[.0]*,"
    rb"power=(\d+)"
)
_TOTAL: Final = re.compile(rb"electricity,device=total,vendor=opendtu[^ ]* power=(\d+)")


class Ledger:
    """Follows every number from the device to the reader.

    Args:
        violate: called with what must not happen.
        seconds: the clock.

    Attributes:
        sent: numbers that the broker took for a session, and when.
        bystanders: modules that no fault concerns.
        delivered: how often the reader got each.
        nothing: numbers that the running module handled without giving a point.
        forgotten: numbers that the broker dropped because of a limit or lost in a restart.
        on_socket: at QoS 0, a call that says whether the agent's socket delivered it.
        nameless: lines of an announced device without its name.
        transmitted: how often brokers sent each.
        may_repeat: the output may write lines again that its reader already has.
        answered: looks which answers of a database have come; None where what was written counts
            as delivered.
        known: numbers of which the agent knows that the database has stored them.
        refused: numbers of lines that a database will never store, which the agent may know.
        dropped_metrics: gives how many metrics were dropped from a full queue. Such a message comes
            late if its acknowledgement is lost with its connection and the broker sends it again.
    """

    def __init__(self, violate: Callable[[str], object], seconds: Callable[[], float]) -> None:
        self._violate = violate
        self._seconds = seconds
        self._last: dict[tuple[str, int], int] = {}
        self._late = 0
        self._seen: set[Key] = set()
        self.answered: Callable[[], object] | None = None
        self.known: set[Key] = set()
        self.refused: set[Key] = set()
        self.dropped_metrics: Callable[[], int] = lambda: 0
        self.sent: dict[Key, float] = {}
        self.bystanders: Collection[str] = ()
        self.delivered: Counter[Key] = Counter()
        self.nothing: set[Key] = set()
        self.forgotten: dict[Key, str] = {}
        self.nameless = 0
        self.on_socket: dict[Key, Callable[[], bool]] = {}
        self.transmitted: Counter[Key] = Counter()
        self.may_repeat = False
        self._last_stamp: dict[tuple[str, int], tuple[int, bytes]] = {}

    def line(self, line: bytes) -> None:
        """Take a line that the reader has read, or a database stored."""
        found = self._read(line)
        if found is None:
            return
        self._check_order(found, line)
        instance, qos, number = found
        module = module_of(instance)
        key = module, qos, number
        if instance.startswith("d") and b",friendly=" not in line:
            self.nameless += 1
        self.delivered[key] += 1
        if self.delivered[key] > self.transmitted[key] and not self.may_repeat:
            self._violate(f"{module} {qos}:{number} is written more often than it was sent")
        if owner_of(module) in self.bystanders:
            now_s = self._seconds()
            under_way_s = now_s - self.sent.get(key, now_s)
            if under_way_s > BYSTANDER_S:
                self._violate(f"{module}, which no fault concerns, waited {under_way_s:.1f} s")

    def request(self, line: bytes) -> None:
        """Take a line of a request, which the database may store, later than another one."""
        found = self._read(line)
        if found is not None:
            self._check_order(found, line)

    def settle(self, line: bytes) -> None:
        """Take note that the agent knows of a line that it is stored."""
        found = self._read(line)
        if found is not None:
            self.known.add((module_of(found[0]), *found[1:]))

    def refuse(self, line: bytes) -> None:
        """Take note that the agent may count a line as one that the database never stores."""
        found = self._read(line)
        if found is not None:
            self.refused.add((module_of(found[0]), *found[1:]))

    def _read(self, line: bytes) -> Key | None:
        """Return instance, QoS and number of a line that has them."""
        if (found := _NUMBER.match(line)) is not None:
            return found[1].decode(), int(found[2]), int(found[3])
        if (found := _TASMOTA.match(line)) is not None:
            name = found[1].decode()
            if found[4] is not None and found[4] != found[1]:
                self._violate(f"{name} has the name of another device: {line!r}")
            return name, int(found[2]), int(found[6])
        if (found := _ANNOUNCED.match(line)) is not None:
            if found[3] != found[4]:
                self._violate(f"values of two messages in a line: {line!r}")
            return found[1].decode(), int(found[2]), int(found[3])
        if (found := _TOTAL.match(line)) is not None:
            return "opendtu", 0, int(found[1])
        return None

    def _check_order(self, found: Key, line: bytes) -> None:
        # Each instance has a session of its own, with its own order.
        instance, qos, number = found
        module = module_of(instance)
        key = module, qos, number
        last = self._last.get((instance, qos), -1)
        if number > last:
            self._last[instance, qos] = number
        elif not (key in self._seen or key in self.nothing or key in self.refused):
            self._late += 1
            if qos == 0 or self._late > self.dropped_metrics():
                self._violate(f"{module} {qos}:{number} comes first after {last}")
        self._seen.add(key)
        stamp = line.rstrip(b"\n").rpartition(b" ")[2]
        last_number, last_stamp = self._last_stamp.get((instance, qos), (number, b""))
        if last_stamp == stamp and last_number != number:
            self._violate(f"{module} {qos}:{number} has the time of {last_number}")
        self._last_stamp[instance, qos] = number, stamp

    def dropped(self, publication: Publication, why: str) -> None:
        """Note a message that the broker drops."""
        self.forgotten[key_of(publication)] = why

    def given(self, publication: Publication, delivered: Callable[[], bool]) -> None:
        """Take note of a message at QoS 0 that was given to a connection."""
        self.on_socket[key_of(publication)] = delivered

    def transmit(self, publication: Publication) -> None:
        """Take note of a message that goes out to a client."""
        if not publication.retain:
            self.transmitted[key_of(publication)] += 1

    def looked_at(self, name: str, payload: bytes) -> None:
        """Take note of a message that gives no point."""
        qos, number = payload.split(b":")
        self.nothing.add((module_of(name), int(qos), int(number)))

    def may_be_acknowledged(self, publication: Publication) -> bool:
        """Say whether a message has been delivered, or handled without a point."""
        key = key_of(publication)
        if key[0] == "opendtu" or key in self.nothing:
            return True
        if self.answered is None:
            return key in self.delivered
        self.answered()
        return key in self.known or key in self.refused

    def missing(self, qos: int, at_broker: set[Key]) -> list[Key]:
        """Return the numbers that are unaccounted for."""
        return [
            key
            for key in self.sent
            if key[1] == qos
            and key not in self.delivered
            and key not in self.nothing
            and key not in self.refused
            and key not in self.forgotten
            and key not in at_broker
        ]


def key_of(publication: Publication) -> Key:
    """Return the key of a message."""
    levels = publication.topic.split("/")
    if levels[0] == "solar":
        return "opendtu", publication.qos, int(publication.payload)
    if levels[0] == "ha" and publication.payload.startswith(b"{"):
        number = int(publication.payload.partition(b'"power":')[2][:-1])
        return levels[1], int(levels[1][-1]), number
    if levels[0] in {"ha", "homeassistant", "tasmota"}:
        return levels[-1], publication.qos, -1
    if levels[0] == "tele":
        return levels[1], int(levels[1][-1]), int(publication.payload.split(b'"Total":')[1][:-2])
    qos, number = publication.payload.split(b":")
    return levels[0], int(qos), int(number)
