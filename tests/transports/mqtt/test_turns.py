"""However dear the messages of a read are, a turn of the reactor is short; none of them is lost."""

from __future__ import annotations

from twisted.internet.error import ConnectionDone

from metrics_agent.interfaces import Message
from metrics_agent.transports.mqtt.inflow import FRAMES_A_LOOK, TURN_S
from tests.transports.mqtt.scripted import ConnectedCase, publish

MESSAGES = 5 * FRAMES_A_LOOK + 3


class TurnTests(ConnectedCase):
    """A connection whose messages take long."""

    def setUp(self) -> None:
        super().setUp()
        self.handled: list[int] = []
        self.script.connection.subscribe("dear", 1, self.handle)

    def handle(self, message: Message, lines: list[bytes]) -> None:
        """Take so long that the first look at the clock ends the turn."""
        self.handled.append(int(message.payload))
        self.script.clock.rightNow += 1.1 * TURN_S / FRAMES_A_LOOK
        lines.append(b"x\n")

    def send(self, first: int = 0) -> None:
        numbers = range(first, first + MESSAGES)
        self.script.send(b"".join(publish(False, b"dear", b"%d" % each) for each in numbers))

    def turn(self) -> None:
        """Run what is due, not what that sets: the handler itself moves the clock."""
        clock = self.script.clock
        for call in [call for call in clock.getDelayedCalls() if call.time <= clock.seconds()]:
            clock.calls.remove(call)
            call.called = 1
            call.func(*call.args, **call.kw)

    def test_a_turn_ends(self) -> None:
        """Some are handled in each turn, in order; nothing more is read until all are."""
        self.send()
        for turn in range(1, 6):
            self.assertEqual(self.handled, list(range(turn * FRAMES_A_LOOK)))
            self.assertFalse(self.reading)
            self.turn()
        self.assertEqual(self.handled, list(range(MESSAGES)))
        self.assertTrue(self.reading)

    def test_what_comes_meanwhile(self) -> None:
        """It is handled after what waits."""
        self.send()
        self.send(MESSAGES)
        for _ in range(20):
            self.turn()
        self.assertEqual(self.handled, list(range(2 * MESSAGES)))
        self.assertTrue(self.reading)

    def test_pause(self) -> None:
        """A pause meanwhile holds the rest."""
        self.send()
        self.script.connection.pause_reading("pressure")
        self.turn()
        self.assertEqual(len(self.handled), FRAMES_A_LOOK)
        self.script.connection.resume_reading("pressure")
        for _ in range(10):
            self.turn()
        self.assertEqual(self.handled, list(range(MESSAGES)))

    def test_lost(self) -> None:
        """What was read before the end is handled before it."""
        self.send()
        self.transport.lost(ConnectionDone())
        for _ in range(10):
            self.turn()
        self.assertEqual(self.handled, list(range(MESSAGES)))
        self.assertIn("the broker closed the connection", self.script.logged()[1])

    def test_stop(self) -> None:
        """A stop meanwhile leaves no timer, see `stop`."""
        self.send()
        self.assertEqual(len(self.handled), FRAMES_A_LOOK)
