"""Small reads at QoS 0 gather for a moment, and nothing else ever waits."""

from __future__ import annotations

from metrics_agent.transports.mqtt.inflow import (
    COALESCE_BELOW_BYTES,
    COALESCE_FROM_BYTES,
    COALESCE_S,
)
from tests.transports.mqtt.scripted import ConnectedCase, publish

MESSAGE = publish(False, b"a", b"x" * 300)
SOME = MESSAGE * (COALESCE_FROM_BYTES // len(MESSAGE) + 1)


class CoalescingTests(ConnectedCase):
    """When reading pauses by itself, and that it always goes on."""

    def test_some_messages(self) -> None:
        """They are handed on at once; the next read waits."""
        self.script.send(SOME)
        self.assertEqual(
            sum(batch.count for batch in self.script.batches), len(SOME) // len(MESSAGE)
        )
        self.assertFalse(self.reading)
        self.script.clock.advance(COALESCE_S)
        self.assertTrue(self.reading)

    def test_a_few_messages(self) -> None:
        """A thousand a second come one by one: nothing waits."""
        self.script.send(MESSAGE * 2)
        self.assertTrue(self.reading)

    def test_a_full_read(self) -> None:
        """We are behind: nothing waits."""
        self.script.send(MESSAGE * (COALESCE_BELOW_BYTES // len(MESSAGE) + 1))
        self.assertTrue(self.reading)

    def test_qos_1(self) -> None:
        """The broker waits for our acknowledgements: nothing waits for more."""
        self.script.send(SOME + publish(False, b"a", b"x", 7))
        self.assertTrue(self.reading)

    def test_pause_meanwhile(self) -> None:
        """Who has paused decides when it goes on."""
        self.script.send(SOME)
        self.script.connection.pause_reading("pressure")
        self.script.clock.advance(COALESCE_S)
        self.assertFalse(self.reading)
        self.script.connection.resume_reading("pressure")
        self.assertTrue(self.reading)

    def test_none_while_paused(self) -> None:
        """What comes in spite of a pause is kept, as ever."""
        self.script.connection.pause_reading("pressure")
        self.script.send(SOME)
        self.assertEqual(self.script.batches, [])
        self.script.connection.resume_reading("pressure")
        self.script.clock.advance(COALESCE_S)
        self.assertTrue(self.reading)

    def test_stop_meanwhile(self) -> None:
        """A goodbye needs the broker's answer: reading goes on."""
        self.transport.hangs_at_close = True
        self.script.send(SOME)
        done = self.script.connection.stopService()
        self.assertTrue(self.reading)
        self.script.clock.pump([1, 1])
        self.successResultOf(done)

    def test_closed_meanwhile(self) -> None:
        """A transport that is gone is not asked to read; some raise when they are."""
        self.script.send(SOME)
        self.transport.loseConnection()
        self.assertFalse(self.script.connection.connected)

    def test_lost_meanwhile(self) -> None:
        """No timer outlives its connection."""
        self.script.send(SOME)
        self.transport.abortConnection()
        self.script.clock.advance(COALESCE_S)
