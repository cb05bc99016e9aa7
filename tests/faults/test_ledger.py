"""The accounts of numbered messages: what each piece of evidence is taken for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from twisted.trial.unittest import SynchronousTestCase

from tests.faults.broker_log import BrokerLog
from tests.faults.ledger import Account, Found, account, counted, delivered, unread

STARTING = "mosquitto version 2.0.11 starting"
HERE = "Sending CONNACK to me ({}, 0)"
SUBSCRIBED = "Sending SUBACK to me"
PONG = "Sending PINGRESP to me"
BYE = "Received DISCONNECT from me"
ASKED = HERE.format(1)
"""The last connection, of who asks what is left."""


def came(qos: int, *numbers: int) -> list[str]:
    """Return the lines of messages that the broker gets."""
    return [
        f"Received PUBLISH from sender (d0, q{qos}, r0, m1, 'numbers/me/{qos}/{number}', "
        "... (0 bytes))"
        for number in numbers
    ]


def passed(qos: int, *numbers: int) -> list[str]:
    """Return the lines of messages that it sends to us; the packet id is the number."""
    return [
        f"Sending PUBLISH to me (d0, q{qos}, r0, m{number * qos}, 'numbers/me/{qos}/{number}', "
        "... (0 bytes))"
        for number in numbers
    ]


def acknowledged(*numbers: int) -> list[str]:
    """Return the lines of our acknowledgements."""
    return [f"Received PUBACK from me (Mid: {number}, RC:0)" for number in numbers]


class AccountTests(SynchronousTestCase):
    """Three messages at QoS 1, three at QoS 0."""

    def judge(
        self,
        log: Iterable[str],
        one: Iterable[int] = (),
        zero: Iterable[int] = (),
        left: Iterable[int] = (),
        *,
        counted: int = 0,
        killed: bool = False,
        unread: int = 0,
        rival_keepalive: int = 0,
    ) -> tuple[Account, Account]:
        """Account for what is in the output, and left at the broker at QoS 1."""
        found = Found(
            {1: Counter(one), 0: Counter(zero)},
            [f"numbers/me/1/{number}" for number in left],
            BrokerLog("\n".join(log), "me", rival_keepalive),
            counted,
            killed,
            unread,
        )
        return account("me", {1: 3, 0: 3}, found)

    def whole(self, *end: str) -> list[str]:
        """Return the log of a connection on which all was sent to us."""
        begin = [STARTING, HERE.format(0), SUBSCRIBED]
        return [
            *begin,
            *came(1, 1, 2, 3),
            *passed(1, 1, 2, 3),
            *came(0, 1, 2, 3),
            *passed(0, 1, 2, 3),
            *end,
            ASKED,
        ]

    def test_all_delivered(self) -> None:
        """Each once, one of them twice."""
        one, zero = self.judge(self.whole(PONG, BYE), [1, 2, 2, 3], [1, 2, 3])
        self.assertEqual(one, Account(sent=3, delivered=3, duplicates=1))
        self.assertEqual((one.lost, zero), (0, Account(sent=3, delivered=3)))

    def test_nothing_found(self) -> None:
        """What the broker has sent and is nowhere is lost, whatever was acknowledged."""
        one, zero = self.judge(self.whole(*acknowledged(1, 2, 3), PONG, BYE), [1], [1])
        self.assertEqual((one.lost, zero.lost), (2, 2))

    def test_at_the_broker(self) -> None:
        """What comes when its session is taken over; what was delivered too counts once."""
        one, _zero = self.judge(self.whole(BYE), [1, 2], left=[2, 3])
        self.assertEqual((one.at_broker, one.lost), (1, 0))

    def test_counted(self) -> None:
        """A counter explains what nothing else does, at both QoS; one too many is an error too."""
        one, zero = self.judge(self.whole(PONG, BYE), [1, 2], [1, 2], counted=2)
        self.assertEqual((one.counted, zero.counted, one.lost, zero.lost), (1, 1, 0, 0))
        one, _zero = self.judge(self.whole(PONG, BYE), [1, 2], [1, 2, 3], counted=2)
        self.assertEqual((one.counted, one.lost), (2, -1))

    def test_no_session(self) -> None:
        """What comes before there is a session is not passed on; afterwards it must be."""
        log = [*came(1, 1), *came(0, 1), HERE.format(0), SUBSCRIBED, *came(1, 2, 3), *came(0, 2, 3)]
        one, zero = self.judge([STARTING, *log, PONG, BYE, ASKED], [3])
        self.assertEqual((one.not_passed, one.lost), (1, 1))
        self.assertEqual((zero.not_passed, zero.lost), (3, 0))

    def test_broker_forgets(self) -> None:
        """What was not acknowledged when the broker forgot us is not our loss, the rest is."""
        log = self.whole(*acknowledged(1))[:-1]
        one, _zero = self.judge([*log, STARTING, HERE.format(0), ASKED], [3])
        self.assertEqual((one.cut, one.lost), (1, 1))
        one, _zero = self.judge([*log, STARTING, HERE.format(1), ASKED], [3])
        self.assertEqual((one.cut, one.lost), (0, 2))

    def test_session_ended_by_us(self) -> None:
        """Only a restart of the broker or a rival may end a session."""
        who = "New client connected from 127.0.0.1:1 as me (p2, c1, k{})."
        log = self.whole()[:-1]
        again = [who.format(7), HERE.format(0), ASKED]
        one, _zero = self.judge([*log, *again], [1])
        self.assertEqual((one.cut, one.lost), (0, 2))
        one, _zero = self.judge([*log, *again], [1], rival_keepalive=7)
        self.assertEqual((one.cut, one.lost), (2, 0))

    def test_cut_off(self) -> None:
        """At QoS 0 the last on a connection may be missing, but none before one that arrived."""
        one, zero = self.judge(self.whole(), [1, 2, 3], [2])
        self.assertEqual((one.lost, zero.cut, zero.lost), (0, 1, 1))

    def test_cut_off_in_order(self) -> None:
        """Where we ended it, all before the last answered PING must have arrived."""
        log = self.whole()[:-1]
        _one, zero = self.judge([*log[:-1], PONG, log[-1], BYE, ASKED], [1, 2, 3], [1])
        self.assertEqual((zero.cut, zero.lost), (1, 1))

    def test_killed(self) -> None:
        """The same where a process was killed."""
        _one, zero = self.judge(self.whole(), [1, 2, 3], [1], killed=True)
        self.assertEqual((zero.cut, zero.killed, zero.lost), (0, 2, 0))

    def test_unread(self) -> None:
        """A report that no one has read some lines explains what is missing at QoS 0 only."""
        one, zero = self.judge(self.whole(PONG, BYE), [1, 2], [1, 2], unread=7)
        self.assertEqual((one.lost, zero.unread, zero.lost), (1, 1, 0))

    def test_strange(self) -> None:
        """What was never sent cannot be delivered."""
        self.assertRaises(AssertionError, self.judge, self.whole(), [4])


class OutputTests(SynchronousTestCase):
    """What the agent has written."""

    def test_delivered(self) -> None:
        """By receiver and QoS."""
        lines = [
            b"numbers,qos=1,to=me number=1i 5",
            b"numbers,qos=1,to=me number=1i 6",
            b"numbers,qos=0,to=other number=2i 5",
            b"steady number=1i 5",
        ]
        found = delivered(lines)
        self.assertEqual(found["me"], {1: Counter({1: 2}), 0: Counter()})
        self.assertEqual(found["other"][0], Counter({2: 1}))

    def test_unread(self) -> None:
        """Of the last line of the log."""
        text = "[agent] Stopped: 122 metrics written, 16 were not read within 0.1 s and are lost."
        self.assertEqual(unread(["[agent] Stopping: no more.", text]), 16)

    def test_counted(self) -> None:
        """Of this connection and this module, over restarts of the process, what costs messages."""
        lines = [
            b"metrics_agent,client_id=me,module=mqtt dropped=2i,dropped_unrouted=2i 1",
            b"metrics_agent,client_id=me,module=mqtt dropped_copy=2i,dropped_unrouted=3i 2",
            b"metrics_agent,client_id=you,module=mqtt dropped=9i,dropped_oversized=9i 2",
            b"metrics_agent,module=mine errors=8i,errors_numbers=1i,errors_tick=7i 2",
            b"metrics_agent,client_id=me,module=mqtt dropped=1i,dropped_unrouted=1i 3",
        ]
        self.assertEqual(counted(lines, "me", "mine", ["numbers"]), 5)
