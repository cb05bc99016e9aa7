"""A connection that is going to end: its last acknowledgements."""

from __future__ import annotations

from twisted.internet.error import ConnectionLost

from tests.transports.mqtt.scripted import ConnectedCase, Scripted, puback, publish


class LastAcknowledgementTests(ConnectedCase):
    """Waiting for them."""

    def handle(self, *packet_ids: int) -> None:
        """Have messages handled, each in a read of its own; their lines are on their way."""
        self.script.written()
        for packet_id in packet_ids:
            self.script.send(publish(self.script.v5, b"a", b"1", packet_id))

    def test_nothing_to_wait_for(self) -> None:
        """Where all is acknowledged, or there is no connection, it fires at once."""
        connection = self.script.connection
        self.assertTrue(self.successResultOf(connection.acknowledged(5.0)))
        self.script.send(publish(self.script.v5, b"unknown", b"1", 9))
        self.assertTrue(self.successResultOf(connection.acknowledged(5.0)))
        self.assertFalse(self.successResultOf(Scripted().connection.acknowledged(5.0)))

    def test_it_fires_when_the_last_is_written(self) -> None:
        """Once the reader has taken the lines of all; not read any more, it acknowledges still."""
        self.handle(1, 2)
        self.script.connection.pause_reading("module")
        waiting = self.script.connection.acknowledged(5.0)
        first, second = self.script.batches
        second.settle()
        self.script.clock.advance(0)
        self.assertNoResult(waiting)
        first.settle()
        self.script.clock.advance(0)
        self.assertEqual(self.transport.value(), puback(1, 2))
        self.assertTrue(self.successResultOf(waiting))

    def test_a_reader_that_takes_nothing(self) -> None:
        """After the timeout it is over; what is settled later is acknowledged as ever."""
        self.handle(1)
        waiting = self.script.connection.acknowledged(5.0)
        self.script.clock.advance(5.0)
        self.assertFalse(self.successResultOf(waiting))
        self.script.batches[0].settle()
        self.script.clock.advance(0)
        self.assertEqual(self.transport.value(), puback(1))

    def test_the_connection_is_lost(self) -> None:
        """They cannot be sent any more; so also while what it brought may not be handled."""
        self.handle(1)
        self.script.connection.pause_reading("module")
        self.script.send(publish(self.script.v5, b"a", b"2", 2))
        waiting = self.script.connection.acknowledged(5.0)
        self.transport.lost(ConnectionLost())
        self.assertFalse(self.successResultOf(waiting))
        self.assertFalse(self.successResultOf(self.script.connection.acknowledged(5.0)))
