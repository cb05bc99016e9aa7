"""When messages are acknowledged."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.errors import ProtocolError
from metrics_agent.transports.mqtt.acknowledge import AckWindow
from metrics_agent.transports.mqtt.settings import MOST_IN_FLIGHT
from tests.transports.mqtt.scripted import puback


class AckWindowTests(SynchronousTestCase):
    """In order, together, and never for a connection that is gone."""

    def setUp(self) -> None:
        self.written: list[bytes] = []
        self.soon: list = []
        self.window = AckWindow(self.written.append, self.soon.append)

    def test_in_order_of_arrival(self) -> None:
        """What is settled early waits for what came before it."""
        first = self.window.hold([1, 2])
        second = self.window.hold([3])
        self.window.release([4])
        second()
        self.window.flush()
        self.assertEqual((self.written, len(self.window)), ([], 4))
        first()
        self.window.flush()
        self.assertEqual((self.written, len(self.window)), ([puback(1, 2, 3, 4)], 0))

    def test_pressing(self) -> None:
        """Once half the window waits, whatever of it, until enough is acknowledged."""
        for window, half in ((1, 1), (20, 10), (1000, 500), (7, 4)):
            acknowledgements = AckWindow(self.written.append, self.soon.append, window=window)
            settle = acknowledgements.hold([1])
            if half > 1:
                self.assertFalse(acknowledgements.pressing)
                acknowledgements.release(range(2, half))
                self.assertFalse(acknowledgements.pressing)
                acknowledgements.hold([half])()
            self.assertTrue(acknowledgements.pressing)
            settle()
            acknowledgements.flush()
            self.assertFalse(acknowledgements.pressing)

    def test_one_flush_a_turn(self) -> None:
        """Many settlements in a turn ask for one flush; the next turn for another."""
        settles = [self.window.hold([number]) for number in range(1, 51)]
        for settle in settles:
            settle()
        self.assertEqual(len(self.soon), 1)
        self.soon.pop()()
        self.assertEqual(self.written, [puback(*range(1, 51))])
        self.window.release([51])
        self.assertEqual(len(self.soon), 1)

    def test_a_broker_that_waits_for_no_acknowledgement_breaks_the_protocol(self) -> None:
        """It can have no more messages in flight than there are packet ids."""
        settle = self.window.hold(list(range(1, MOST_IN_FLIGHT)))
        self.window.release([MOST_IN_FLIGHT])
        self.window.check()
        self.window.release([1])
        fault = self.assertRaises(ProtocolError, self.window.check)
        self.assertEqual(fault.reason, "too_many_in_flight")
        settle()
        self.window.flush()
        self.window.check()

    def test_closed(self) -> None:
        """After close nothing is written or asked for, whatever settles late."""
        settle = self.window.hold([1])
        self.window.close()
        settle()
        self.window.release([2])
        self.window.flush()
        self.assertEqual((self.written, self.soon), ([], []))
