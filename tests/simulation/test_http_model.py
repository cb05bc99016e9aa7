"""The model of a database behaves, and what is checked of requests notices what it is there for."""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.http_interface import HttpReply
from metrics_agent.output.http.answers import (
    Accepted,
    Partly,
    Rejected,
    TooLarge,
    judge,
)
from tests.simulation.clock import SimClock
from tests.simulation.http_model import BROKEN, CONFLICT, Database, respond
from tests.simulation.http_rejections import Rejections
from tests.simulation.http_requests import Meaning, Requests

NO_LIMIT = 1 << 20


def line(number: int, more: bytes = b"") -> bytes:
    """Make a line."""
    return b"number,module=a,qos=1 n=%di%b %d\n" % (number, more, number)


GOOD, WRONG, ODD = line(1), line(2, BROKEN), line(3, CONFLICT)


class ModelTests(SynchronousTestCase):
    """By what the agent makes of its answers."""

    def test_verdicts(self) -> None:
        """For each database and kind of request: the verdict, and what is stored."""
        first, second, victoria = Database.INFLUX_1, Database.INFLUX_2, Database.VICTORIA
        for database, body, verdict, stored in (
            (first, [GOOD, GOOD], Accepted, [GOOD, GOOD]),
            (second, [GOOD], Accepted, [GOOD]),
            (victoria, [GOOD, ODD], Accepted, [GOOD, ODD]),
            (first, [GOOD, WRONG], Partly, [GOOD]),
            (first, [GOOD, WRONG, ODD], Partly, [GOOD]),
            (first, [ODD], Partly, []),
            (first, [WRONG, WRONG], Rejected, []),
            (second, [GOOD, WRONG, ODD], Rejected, []),
            (second, [GOOD, ODD], Partly, [GOOD]),
            (victoria, [GOOD, WRONG], Rejected, []),
        ):
            outcome = respond(database, b"".join(body), NO_LIMIT)
            answer = outcome.answer
            got = judge(HttpReply(answer.status, answer.body, answer.headers), 0)
            self.assertIsInstance(got, verdict, (database, body))
            self.assertEqual(list(outcome.stored), stored)
            missing = [each for each in body if each not in stored]
            if verdict is Partly:
                self.assertEqual(sorted(outcome.left_out), sorted(missing))

    def test_too_large(self) -> None:
        """413, or 400 from VictoriaMetrics."""
        for database, verdict in (
            (Database.INFLUX_1, TooLarge),
            (Database.INFLUX_2, TooLarge),
            (Database.VICTORIA, Rejected),
        ):
            answer = respond(database, GOOD, len(GOOD) - 1).answer
            got = judge(HttpReply(answer.status, answer.body, answer.headers), 0)
            self.assertIsInstance(got, verdict)


class RequestsTests(SynchronousTestCase):
    """What is checked from one request to the next."""

    def setUp(self) -> None:
        self.violations: list[str] = []
        self.clock = SimClock(Random(0))
        self.requests = Requests(self.clock, self.violations.append)

    def ask(
        self, body: bytes, meaning: Meaning | None, wait_s: float = 0.0, *, arrives: bool = True
    ) -> None:
        """Send a request that is answered so."""
        request = self.requests.begin(body)
        request.meaning, request.wait_s = meaning, wait_s
        request.answered_s = self.clock.now_s
        request.has_arrived = lambda: arrives

    def test_in_turn(self) -> None:
        """The next after an answer, the same after none, and in time."""
        self.ask(b"a", Meaning.STORED)
        self.ask(b"b", Meaning.REJECTED)
        self.ask(b"c", Meaning.AGAIN)
        self.clock.run(1.0)
        self.ask(b"c", Meaning.AGAIN, 5.0)
        self.clock.run(5.0)
        self.ask(b"c", None)
        self.ask(b"c", Meaning.USER)
        self.clock.run(15.0)
        self.ask(b"c", Meaning.STORED)
        self.ask(b"d", Meaning.STORED, arrives=False)
        self.requests.forget()
        self.ask(b"a", Meaning.STORED)
        self.assertEqual(self.violations, [])

    def test_other_bytes(self) -> None:
        """What became of a request is not known, and another one comes."""
        for meaning, arrives in ((None, True), (Meaning.STORED, False), (Meaning.AGAIN, True)):
            self.violations.clear()
            self.ask(b"a", meaning, arrives=arrives)
            self.clock.run(1.0)
            self.ask(b"b", Meaning.STORED)
            self.assertIn("not known", self.violations[0])

    def test_too_early(self) -> None:
        """Sooner than the answer asks for; a stop does not wait."""
        for meaning, wait_s, passed_s in (
            (Meaning.AGAIN, 5.0, 4.0),
            (Meaning.AGAIN, 0.0, 0.1),
            (Meaning.USER, 0.0, 5.0),
        ):
            for stops in (False, True):
                self.violations.clear()
                self.requests.is_stopping = lambda stops=stops: stops
                self.requests.forget()
                self.ask(b"a", meaning, wait_s)
                self.clock.run(passed_s)
                self.ask(b"a", Meaning.STORED)
                self.assertEqual(len(self.violations), 0 if stops else 1)


class RejectionsTests(SynchronousTestCase):
    """Which lines may be dropped."""

    def setUp(self) -> None:
        self.violations: list[str] = []
        self.rejections = Rejections(self.violations.append)
        self.now_s = 0.0

    def reject(self, *lines: bytes, after_s: float = 0.0) -> bool:
        """Reject a request."""
        self.now_s += after_s
        self.rejections.request([*lines], self.now_s)
        return self.rejections.rejected([*lines], self.now_s, self.now_s)

    def store(self, *lines: bytes) -> None:
        """Accept a request."""
        self.rejections.request([*lines], self.now_s)
        self.rejections.stored([*lines])

    def test_search(self) -> None:
        """Only alone, after another one of the same search, and with no failure in between."""
        self.store(b"0")
        self.assertFalse(self.reject(b"1", b"2", b"3", b"4"))
        self.assertFalse(self.reject(b"1"))
        self.store(b"2")
        self.assertFalse(self.reject(b"3", b"4"))
        self.assertTrue(self.reject(b"1"))
        self.rejections.unknown()
        self.assertFalse(self.reject(b"3"))
        self.store(b"4")
        self.assertTrue(self.reject(b"3"))
        self.assertFalse(self.reject(b"5", b"6"))
        self.assertFalse(self.reject(b"5"))
        self.assertEqual(self.violations, [])

    def test_alone(self) -> None:
        """After some time, once for each line that was accepted."""
        self.assertFalse(self.reject(b"1"))
        self.assertFalse(self.reject(b"1", after_s=10.0))
        self.store(b"1")
        self.assertFalse(self.reject(b"2"))
        self.assertTrue(self.reject(b"2", after_s=10.0))
        self.assertFalse(self.reject(b"3"))
        self.assertFalse(self.reject(b"3", after_s=10.0))
        self.assertEqual(self.violations, [])
        self.assertFalse(self.reject(b"4"))
        self.assertIn("takes none", self.violations[0])

    def test_the_last_of_a_search(self) -> None:
        """It is alone as well."""
        self.assertFalse(self.reject(b"1", b"2"))
        self.store(b"1")
        self.rejections.unknown()
        self.assertFalse(self.reject(b"2"))
        self.assertTrue(self.reject(b"2", after_s=10.0))
