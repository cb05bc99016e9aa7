"""When messages are acknowledged."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.errors import ProtocolError
from metrics_agent.transports.mqtt.acknowledge import FEW, NARROW_WINDOW, AckWindow
from metrics_agent.transports.mqtt.settings import MOST_IN_FLIGHT
from tests.transports.mqtt.scripted import puback


class AckWindowTests(SynchronousTestCase):
    """In order, together, and never for a connection that is gone."""

    def setUp(self) -> None:
        self.written: list[bytes] = []
        self.window = AckWindow(self.written.append)

    def test_in_order_of_arrival(self) -> None:
        """What is settled early waits for what came before it."""
        first = self.window.hold([1, 2])
        second = self.window.hold([3])
        self.window.release([4])
        second()
        self.assertEqual((self.written, len(self.window)), ([], 4))
        first()
        self.assertEqual((self.written, len(self.window)), ([puback(1, 2, 3, 4)], 0))

    def test_pressing(self) -> None:
        """Once half the window waits, whatever of it, until enough is acknowledged."""
        for window, half in ((1, 1), (20, 10), (1000, 500), (7, 4)):
            acknowledgements = AckWindow(self.written.append, window=window)
            settle = acknowledgements.hold([1])
            if half > 1:
                self.assertFalse(acknowledgements.pressing)
                acknowledgements.release(range(2, half))
                self.assertFalse(acknowledgements.pressing)
                acknowledgements.hold([half])()
            self.assertTrue(acknowledgements.pressing)
            settle()
            self.assertFalse(acknowledgements.pressing)

    def test_pressing_where_the_window_is_not_known(self) -> None:
        """It is as large as has been seen, up to the usual one; at first each message presses."""
        self.window.hold([1])()
        settles = [self.window.hold([1])]
        self.assertTrue(self.window.pressing)
        settles += [self.window.hold([number]) for number in range(2, 100)]
        for settle in settles[9:]:
            settle()
        for settle in settles[:9]:
            settle()
        settles = [self.window.hold([number]) for number in range(1, 10)]
        self.assertFalse(self.window.pressing)
        self.window.hold([10])
        self.assertTrue(self.window.pressing)

    def test_a_broker_that_may_hold_back_the_next(self) -> None:
        """While few wait, and while any wait in a small window."""
        for window, most in ((1000, FEW), (NARROW_WINDOW, NARROW_WINDOW)):
            acknowledgements = AckWindow(self.written.append, window=window)
            self.assertFalse(acknowledgements.delays_the_next)
            acknowledgements.hold(range(1, 1 + most))
            self.assertTrue(acknowledgements.delays_the_next)
        acknowledgements = AckWindow(self.written.append, window=1000)
        acknowledgements.hold(range(FEW + 1))
        self.assertFalse(acknowledgements.delays_the_next)

    def test_settled_together(self) -> None:
        """Who settles many begins with the last: then they are acknowledged in one write."""
        settles = [self.window.hold([number]) for number in range(1, 51)]
        for settle in reversed(settles):
            settle()
        self.assertEqual(self.written, [puback(*range(1, 51))])
        self.window.release([51])
        self.assertEqual(self.written[1:], [puback(51)])

    def test_a_broker_that_waits_for_no_acknowledgement_breaks_the_protocol(self) -> None:
        """It can have no more messages in flight than there are packet ids."""
        settle = self.window.hold(list(range(1, MOST_IN_FLIGHT)))
        self.window.release([MOST_IN_FLIGHT])
        self.window.check()
        self.window.release([1])
        fault = self.assertRaises(ProtocolError, self.window.check)
        self.assertEqual(fault.reason, "too_many_in_flight")
        settle()
        self.window.check()

    def test_closed(self) -> None:
        """After close nothing is written, whatever settles late."""
        settle = self.window.hold([1])
        self.window.close()
        settle()
        self.window.release([2])
        self.assertEqual(self.written, [])
