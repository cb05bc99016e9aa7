"""The loop below brokers, WebSockets and outputs: attempts, deadlines, addresses, delays, words."""

from __future__ import annotations

from attrs import evolve
from twisted.internet import error
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.backoff import Backoff
from metrics_agent.cause import Cause, CauseError
from metrics_agent.transports.outage import PROVEN_S
from metrics_agent.transports.reconnecting import SHORT_LIVES, Dial, Reconnecting
from tests.transports.mqtt.scripted import FakeEndpoint

CLOSED = Cause("closed", "it closed")
LOGIN = Cause("login", "the login is wrong", needs_user_action=True)
TIMEOUT_S = 2.0


class FakeLink:
    """A connection; the test says when it ends."""

    def __init__(self, case: ReconnectingTests) -> None:
        self._case = case
        self.alive = False
        self.left = 0
        self.over = False
        self.retries = False

    def makeConnection(self, _transport: object) -> None:
        """Begin to wait for the other side."""

    def accept(self) -> None:
        self.alive = True
        self._case.loop.accepted()

    def disconnect(self) -> None:
        self.left += 1

    def accept_timed_out(self, timeout_s: float) -> None:
        self.end(Cause("silent", f"silent for {timeout_s:g} s"))

    def end(self, cause: Cause, wait_s: float = 0.0, *, again: bool = False) -> None:
        self.alive = False
        self.over = True
        if self._case.loop.ended(self):
            self.retries = True
            if again:
                self._case.loop.again()
            else:
                self._case.loop.retry(evolve(cause, retry_after_s=wait_s))


class Endpoint(FakeEndpoint):
    """One attempt."""

    def open(self) -> FakeLink:
        link = self.factory.buildProtocol(None)
        link.makeConnection(StringTransport())
        self.result.callback(link)
        return link


class ReconnectingTests(SynchronousTestCase):
    """A loop over two addresses, and everything around it faked."""

    def setUp(self) -> None:
        self.make(["one"])

    def make(self, addresses: list[str]) -> None:
        self.clock = Clock()
        self.attempts: list[Endpoint] = []
        self.said: list[str] = []
        self.down: list[str] = []
        self.dial_error: Exception | None = None
        self.explain = lambda cause: cause
        self.backoff = Backoff(1.0, 60.0, lambda: 1.0)
        self.loop: Reconnecting[FakeLink] = Reconnecting(
            self.clock,
            addresses=addresses,
            dial=self.dial,
            make_link=lambda: FakeLink(self),
            timeout_s=TIMEOUT_S,
            backoff=self.backoff,
            report=self,
            down=lambda address, problem: self.down.append(f"{address} {problem}"),
            short_lived=lambda times: Cause("short_lives", f"{times} times"),
            log=Logger(observer=self.said.append),
        )

    # The report.

    def failed(self, address: str, cause: Cause) -> None:
        self.said.append(f"failed {address}: {cause.text}")

    def lost(self, address: str, cause: Cause) -> None:
        self.said.append(f"lost {address}: {cause.text}")

    def up(self, address: str) -> None:
        self.said.append(f"up {address}")

    def proven(self) -> None:
        self.said.append("proven")

    def dial(self, address: str) -> Dial:
        if self.dial_error is not None:
            raise self.dial_error
        self.attempts.append(Endpoint(address))
        return Dial(self.attempts[-1], self.explain)

    def up_again(self, lasts_s: float = 0.0) -> FakeLink:
        """Wait for the next attempt, let it succeed, and last."""
        attempts = len(self.attempts)
        if self.attempts:
            while len(self.attempts) == attempts:
                self.clock.advance(0.25)
        else:
            self.loop.start()
        link = self.attempts[-1].open()
        link.accept()
        self.clock.advance(lasts_s)
        return link

    def delay_s(self) -> float:
        """Return how long the next attempt is away."""
        return min(call.getTime() for call in self.clock.getDelayedCalls()) - self.clock.seconds()

    # One deadline.

    def test_deadline_for_the_transport(self) -> None:
        """An attempt without a transport ends with it."""
        self.loop.start()
        self.clock.advance(TIMEOUT_S - 0.01)
        self.assertFalse(self.attempts[0].cancelled)
        self.clock.advance(0.01)
        self.assertTrue(self.attempts[0].cancelled)
        self.assertEqual(self.said, ["failed one: no connection within 2 s"])
        self.assertEqual(self.down, ["one cannot connect: no connection within 2 s"])

    def test_deadline_for_all_of_an_attempt(self) -> None:
        """A transport that comes late leaves less for the other side's answer."""
        self.loop.start()
        self.clock.advance(TIMEOUT_S - 0.1)
        link = self.attempts[0].open()
        self.clock.advance(0.09)
        self.assertFalse(link.over)
        self.clock.advance(0.01)
        self.assertTrue(link.over)
        self.assertEqual(self.said, ["failed one: silent for 2 s"])

    def test_each_attempt_has_its_own(self) -> None:
        """The time that the one before took does not count."""
        self.loop.start()
        self.clock.advance(TIMEOUT_S - 0.5)
        self.attempts[0].fail(error.ConnectionRefusedError())
        self.clock.advance(1)
        link = self.attempts[1].open()
        self.clock.advance(TIMEOUT_S - 0.01)
        self.assertFalse(link.over)
        self.clock.advance(0.01)
        self.assertTrue(link.over)

    def test_none_once_it_is_accepted(self) -> None:
        """The deadline is that of the attempt."""
        link = self.up_again(10 * TIMEOUT_S)
        self.assertFalse(link.over)

    def test_attempt_that_fails_after_it_made_a_link(self) -> None:
        """That link is not the connection."""
        self.loop.start()
        endpoint = self.attempts[0]
        link = endpoint.factory.buildProtocol(None)
        endpoint.result.errback(Failure(error.ConnectionRefusedError()))
        self.assertIsNone(self.loop.link)
        link.end(CLOSED)
        self.assertFalse(link.retries)
        self.assertEqual(len(self.said), 1)

    def test_link_that_ends_before_its_attempt_does(self) -> None:
        """It counts once."""
        self.loop.start()
        endpoint = self.attempts[0]
        link = endpoint.factory.buildProtocol(None)
        link.end(CLOSED)
        endpoint.result.callback(link)
        self.assertEqual(self.said, ["failed one: it closed"])
        self.clock.advance(1)
        self.assertEqual(len(self.attempts), 2)

    # Delays.

    def test_delays(self) -> None:
        """They grow, until a connection has lasted."""
        link = self.up_again()
        for expected_s in (1, 2, 4):
            link.end(CLOSED)
            self.assertEqual(self.delay_s(), expected_s)
            link = self.up_again(PROVEN_S - 0.5)
        self.clock.advance(0.5)
        link.end(CLOSED)
        self.assertEqual(self.delay_s(), 1)

    def test_addresses(self) -> None:
        """All are tried soon; the delay grows with the rounds."""
        self.make(["one", "two"])
        self.loop.start()
        delays = []
        for _ in range(6):
            self.attempts[-1].fail(error.ConnectionRefusedError())
            delays.append(self.delay_s())
            self.clock.advance(delays[-1])
        self.assertEqual(delays, [1, 1, 1, 2, 1, 4])
        self.assertEqual([each.address for each in self.attempts[:4]], ["one", "two"] * 2)

    def test_fault_of_the_settings(self) -> None:
        """It waits the longest, since trying does not help."""
        self.dial_error = CauseError(LOGIN)
        self.loop.start()
        self.assertEqual(self.delay_s(), 60)
        self.assertEqual(self.said, ["failed one: the login is wrong"])
        self.loop.stop()

    def test_the_other_side_asks_for_a_wait(self) -> None:
        """It has it, where it is longer than ours."""
        self.up_again().end(CLOSED, 300)
        self.assertEqual(self.delay_s(), 300)
        self.up_again().end(CLOSED, 0.5)
        self.assertEqual(self.delay_s(), 2)

    def test_again_at_once(self) -> None:
        """An answer that only asks for something else is not a failure."""
        self.loop.start()
        self.attempts[0].open().end(CLOSED, again=True)
        self.clock.advance(0)
        self.assertEqual(len(self.attempts), 2)
        self.assertEqual(self.said, [])

    # What is said.

    def test_closed_again_and_again(self) -> None:
        """It is not reported as up each time, and the cause gets a hint."""
        for _ in range(SHORT_LIVES + 1):
            self.up_again().end(CLOSED)
        closed, up = "lost one: it closed", "up one"
        lives = f"lost one: {SHORT_LIVES} times", f"lost one: {SHORT_LIVES + 1} times"
        self.assertEqual(self.said, [up, closed, up, closed, *lives])
        self.up_again(PROVEN_S)
        self.assertEqual(self.said[-2:], ["proven", up])

    def test_lasting_connections_are_no_short_lives(self) -> None:
        """Only those in a row count: one that lasted begins a new row."""
        for lasts_s in (0, 0, PROVEN_S, 0, 0):
            self.up_again(lasts_s).end(CLOSED)
        self.assertNotIn("times", "".join(self.said))
        self.up_again().end(CLOSED)
        self.assertEqual(self.said[-1], f"lost one: {SHORT_LIVES} times")

    def test_failure_after_a_loss(self) -> None:
        """It is one, whatever the connection before was."""
        self.up_again().end(CLOSED)
        self.clock.advance(1)
        self.attempts[1].open().end(CLOSED)
        self.assertEqual(self.said[-1], "failed one: it closed")

    def test_another_cause_is_no_short_life(self) -> None:
        """Where the other side says why, that is reported."""
        for _ in range(SHORT_LIVES):
            self.up_again().end(LOGIN)
        self.assertEqual(self.said[-1], "lost one: the login is wrong")

    def test_explanation(self) -> None:
        """The cause is as precise as the attempt can make it, which counts for the delay too."""
        self.explain = lambda _cause: LOGIN
        self.loop.start()
        self.attempts[0].fail(error.ConnectionRefusedError())
        self.assertEqual((self.said, self.delay_s()), (["failed one: the login is wrong"], 60))
        self.dial_error = CauseError(CLOSED)
        self.clock.advance(60)
        self.assertEqual(self.said[-1], "failed one: it closed")
        self.loop.stop()

    def test_link_that_is_drained_proves_nothing(self) -> None:
        """What a lost connection brought may be handled for long."""
        link = self.up_again()
        link.alive = False
        self.clock.advance(PROVEN_S)
        self.assertNotIn("proven", self.said)

    # Stopping.

    def test_stop(self) -> None:
        """At any time; it waits for the end of the connection, and nothing is left."""
        self.successResultOf(self.loop.stop())
        link = self.up_again()
        first, second = self.loop.stop(), self.loop.stop()
        self.assertEqual(link.left, 1)
        self.assertNoResult(first)
        link.end(CLOSED)
        self.successResultOf(first)
        self.successResultOf(second)
        self.assertFalse(link.retries)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_during_an_attempt(self) -> None:
        """It is cancelled, without a word."""
        self.loop.start()
        self.successResultOf(self.loop.stop())
        self.assertTrue(self.attempts[0].cancelled)
        self.assertEqual((self.said, self.clock.getDelayedCalls()), ([], []))

    def test_stop_while_it_waits(self) -> None:
        """There is no next attempt."""
        self.up_again().end(CLOSED)
        self.successResultOf(self.loop.stop())
        self.assertEqual(self.clock.getDelayedCalls(), [])
