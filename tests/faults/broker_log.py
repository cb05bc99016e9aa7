"""What mosquitto's log says of the messages for one client: the evidence of who had them, and when.

A session is there from a SUBACK, or a CONNACK that says so, until a CONNACK says that there is
none. A broker that was started again says with its next CONNACK whether it has kept it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from attrs import Factory, define

__all__ = ["Arrival", "BrokerLog", "Connection"]

_MESSAGE: Final = r"\(d\d, q\d, r\d, m(\d+), '([^']*)'"
_LINES: Final[Mapping[str, re.Pattern[str]]] = {
    "starting": re.compile(r"()mosquitto version \S+ starting"),
    "connecting": re.compile(r"New client connected from \S+ as (\S+) \(p\d, c\d, k(\d+)"),
    "connack": re.compile(r"Sending CONNACK to (\S+) \((\d), 0\)"),
    "suback": re.compile(r"Sending SUBACK to (\S+)"),
    "pingresp": re.compile(r"Sending PINGRESP to (\S+)"),
    "disconnect": re.compile(r"Received DISCONNECT from (\S+)"),
    "puback": re.compile(r"Received PUBACK from (\S+) \(Mid: (\d+)"),
    "came": re.compile(rf"Received PUBLISH from (\S+) {_MESSAGE}"),
    "passed": re.compile(rf"Sending PUBLISH to (\S+) {_MESSAGE}"),
}
"""The lines that matter: who, then the values."""


@define
class Connection:
    """A connection of the client.

    Attributes:
        passed: topics of the messages that the broker has sent on it, in order.
        answered: how many of them it had sent before its last PINGRESP.
        in_order: the client has sent a DISCONNECT.
    """

    passed: list[str] = Factory(list)
    answered: int = 0
    in_order: bool = False


@define
class Arrival:
    """What the broker knew of a message.

    Attributes:
        has_session: there was a session of the client when it came.
        acknowledged: the client has acknowledged it.
        forgotten: the session has ended since, by a restart of the broker or by another client.
    """

    has_session: bool = False
    acknowledged: bool = False
    forgotten: bool = False


class BrokerLog:
    """The log, read for one client.

    Args:
        text: of the log of one broker, over its restarts.
        client_id: of the client. Its last connection is left out: it is that of
            `publisher.left_at_broker`.
        rival_keepalive: seconds, of another client with that id, which ends the session.

    Attributes:
        connections: of the client, in order.
        arrivals: by topic.
    """

    def __init__(self, text: str, client_id: str, rival_keepalive: int = 0) -> None:
        self.connections: list[Connection] = []
        self.arrivals: dict[str, Arrival] = {}
        self._session = False
        self._topics: dict[int, str] = {}
        self._is_rival = False
        events = list(_events(text, client_id))
        connacks = [at for at, (what, _values) in enumerate(events) if what == "connack"]
        for at, (what, values) in enumerate(events):
            if what == "starting":
                kept = next((events[each][1][0] == "1" for each in connacks if each > at), False)
                self._end_session(kept=kept, forgotten=True)
            elif what == "connecting":
                self._is_rival = int(values[0]) == rival_keepalive
            elif what == "connack":
                self._end_session(kept=values[0] == "1", forgotten=self._is_rival)
                self._topics = {}
                self.connections.append(Connection())
            else:
                self._take(what, values)
        del self.connections[-1:]

    def _take(self, what: str, values: tuple[str, ...]) -> None:
        if what == "suback":
            self._session = self._session or not self._is_rival
        elif what == "came":
            arrival = self.arrivals.setdefault(values[1], Arrival())
            arrival.has_session, arrival.forgotten = self._session, False
        elif what == "passed":
            self.connections[-1].passed.append(values[1])
            self._topics[int(values[0])] = values[1]
        elif what == "puback":
            topic = self._topics.get(int(values[0]), "")
            self.arrivals.setdefault(topic, Arrival()).acknowledged = True
        elif what == "pingresp":
            self.connections[-1].answered = len(self.connections[-1].passed)
        elif what == "disconnect":
            self.connections[-1].in_order = True

    def _end_session(self, *, kept: bool, forgotten: bool) -> None:
        if self._session and not kept and forgotten:
            for arrival in self.arrivals.values():
                arrival.forgotten = True
        self._session = kept

    def passed(self) -> set[str]:
        """Return the topics of all that was sent to the client."""
        return {topic for connection in self.connections for topic in connection.passed}


def _events(text: str, client_id: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Find the lines about the broker, the client, or a message that came from anywhere."""
    for line in text.splitlines():
        for what, pattern in _LINES.items():
            match = pattern.match(line)
            if match is not None:
                who, *values = match.groups()
                if what in {"starting", "came"} or who == client_id:
                    yield what, tuple(values)
                break
