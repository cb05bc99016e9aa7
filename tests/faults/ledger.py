"""The accounts of numbered messages: what was sent is delivered, counted, at the broker, or lost.

Theory of operation. A publisher numbers messages for each receiver, a module with a connection of
its own. When the agent has ended, each number is looked for: in the output; at the broker, by
taking over the session; in the broker's log, which names each message that came and each one that
was passed on. A number that is found nowhere must have been counted as dropped, else it is lost.

What the agent cannot have, and the evidence of it:

- *not passed on*: the log has no line that the broker has sent it to us. At QoS 0 that is what came
  while there was no connection; at QoS 1 it is accepted only where the broker had no session of
  ours.
- *cut off*: at QoS 0 it was among the last on a connection that has ended: nothing that the broker
  sent later arrived, nor was a PING answered after it if we have ended it in order. At QoS 1 it is
  accepted only where the broker has forgotten it before it was acknowledged.
- *killed*: the same at QoS 0, where a process has not ended in order.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from attrs import evolve, fields, frozen
from line_protocol_parser import parse_line

from tests.faults.broker_log import Arrival, BrokerLog

__all__ = ["Account", "Found", "account", "counted", "delivered", "unread"]

_POINT: Final = re.compile(rb"numbers,qos=(\d),to=(\S+) number=(\d+)i ")

_REASONS: Final = ("dropped_oversized", "dropped_undecodable", "dropped_unrouted")
"""Counters of a connection that cost a message; one copy of several (``dropped_copy``) does not."""

_UNREAD: Final = re.compile(r"Stopped: \d+ metrics written, (\d+) were not read")


@frozen
class Account:
    """What became of the messages at one QoS.

    Attributes:
        sent: how many.
        delivered: of them are in the output.
        duplicates: more lines than that.
        counted: dropped, and counted by the agent.
        unread: lines at QoS 0 of which the agent has reported at its stop that no one read them.
        at_broker: still there, for the next run.
        not_passed: see above, like the following.
        cut: at the end of a connection.
        killed: with a process.
    """

    sent: int = 0
    delivered: int = 0
    duplicates: int = 0
    counted: int = 0
    unread: int = 0
    at_broker: int = 0
    not_passed: int = 0
    cut: int = 0
    killed: int = 0

    @property
    def lost(self) -> int:
        """What is missing; negative where more was counted than is missing."""
        accounted = self.delivered + self.counted + self.unread + self.at_broker
        return self.sent - accounted - self.not_passed - self.cut - self.killed

    def __add__(self, other: Account) -> Account:
        """Return the sums."""
        names = [each.name for each in fields(Account)]
        return Account(**{name: getattr(self, name) + getattr(other, name) for name in names})


@frozen
class Found:
    """What was found of a receiver's messages.

    Attributes:
        delivered: by QoS, how often each number is in the output.
        left: topics of what the broker still has.
        log: of the broker.
        counted: how many the agent has counted as dropped.
        killed: a process has not ended in order.
        unread: how many lines no one read, as the agent has reported at its stop.
    """

    delivered: Mapping[int, Counter[int]]
    left: Sequence[str]
    log: BrokerLog
    counted: int
    killed: bool
    unread: int = 0


def account(receiver: str, sent: Mapping[int, int], found: Found) -> tuple[Account, Account]:
    """Return the accounts of a receiver at QoS 1 and at QoS 0.

    Args:
        receiver: its client id.
        sent: by QoS, the last number.
        found: what was found.

    Raises:
        AssertionError: a number is in the output that was not sent.
    """
    one = _Missing(receiver, 1, sent[1], found)
    zero = _Missing(receiver, 0, sent[0], found)
    # A counter does not say which message: those without another explanation come first.
    left = found.counted
    counts = []
    for number in (len(one.unexplained), len(zero.unexplained), len(zero.cut), len(one.cut)):
        counts.append(min(left, number))
        left -= counts[-1]
    one_account = one.account(counts[0] + counts[3] + left, len(one.cut) - counts[3])
    cut = len(zero.cut) - counts[2]
    unread = min(found.unread, len(zero.unexplained) - counts[1])
    zero_account = evolve(
        zero.account(counts[1] + counts[2], 0 if found.killed else cut),
        killed=cut if found.killed else 0,
        unread=unread,
    )
    return one_account, zero_account


class _Missing:
    """What is missing in the output, and why."""

    def __init__(self, receiver: str, qos: int, sent: int, found: Found) -> None:
        self._sent = sent
        self._delivered = found.delivered.get(qos, Counter())
        numbers = {f"numbers/{receiver}/{qos}/{number}": number for number in range(1, sent + 1)}
        if strange := set(self._delivered) - set(numbers.values()):
            raise AssertionError(f"{receiver} at QoS {qos}: not sent, but delivered: {strange}")
        missing = {topic for topic, number in numbers.items() if number not in self._delivered}
        self._at_broker = missing & set(found.left)
        missing -= self._at_broker
        seen = {topic: found.log.arrivals.get(topic, Arrival()) for topic in missing}
        passed = found.log.passed()
        self._not_passed = {
            topic
            for topic, arrival in seen.items()
            if topic not in passed and (qos == 0 or arrival.forgotten or not arrival.has_session)
        }
        missing -= self._not_passed
        if qos:
            self.cut = {
                topic for topic in missing if seen[topic].forgotten and not seen[topic].acknowledged
            }
        else:
            arrived = set(numbers) - missing
            self.cut = missing & set(_last_ones(found.log, arrived))
        self.unexplained = missing - self.cut

    def account(self, counted: int, cut: int) -> Account:
        return Account(
            sent=self._sent,
            delivered=len(self._delivered),
            duplicates=self._delivered.total() - len(self._delivered),
            counted=counted,
            at_broker=len(self._at_broker),
            not_passed=len(self._not_passed),
            cut=cut,
        )


def _last_ones(log: BrokerLog, arrived: set[str]) -> Iterable[str]:
    """Yield what the broker sent last on each connection, after all that has arrived."""
    for connection in log.connections:
        passed = connection.passed
        first = connection.answered if connection.in_order else 0
        for at in range(len(passed) - 1, first - 1, -1):
            if passed[at] in arrived:
                break
            yield passed[at]


def delivered(lines: Iterable[bytes]) -> dict[str, dict[int, Counter[int]]]:
    """Return by receiver and QoS how often each number is in the output."""
    found: dict[str, dict[int, Counter[int]]] = {}
    for line in lines:
        match = _POINT.match(line)
        if match is not None:
            numbers = found.setdefault(match[2].decode(), {1: Counter(), 0: Counter()})
            numbers[int(match[1])][int(match[3])] += 1
    return found


def unread(log: Iterable[str]) -> int:
    """Return how many lines no one read, as the agent has reported at its stop."""
    return sum(int(match[1]) for match in map(_UNREAD.search, log) if match)


def counted(lines: Iterable[bytes], receiver: str, module: str, places: Iterable[str]) -> int:
    """Return how many messages of a receiver the self-metrics have counted as dropped.

    Over all processes: a counter that is smaller than before belongs to the next one.

    Args:
        lines: the output.
        receiver: its client id.
        module: its name.
        places: of its handlers, whose errors cost a message each.
    """
    total = 0
    wanted = {"mqtt": _REASONS, module: tuple(f"errors_{place}" for place in places)}
    before: dict[tuple[str, str], int] = {}
    for line in lines:
        if not line.startswith(b"metrics_agent,"):
            continue
        row: Any = parse_line(line)
        name = row["tags"]["module"]
        if name == "mqtt" and row["tags"].get("client_id") != receiver:
            continue
        for field in wanted.get(name, ()):
            number = int(row["fields"].get(field, 0))
            last = before.get((name, field), 0)
            total += number - last if number >= last else number
            before[name, field] = number
    return total
