"""The writer over HTTP, with a database that the test plays."""

from __future__ import annotations

import itertools
import json

from hypothesis import given, settings
from hypothesis.strategies import booleans, lists
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.cause import Cause
from metrics_agent.http_interface import HttpReply
from metrics_agent.output.outgoing import LONE_LINE_S, SMALL_S
from metrics_agent.output.pace import FULL_BYTES, LONGEST_WAIT_S, QUIET_S
from tests.output.http.fakes import OK, WriterCase

BAD = HttpReply(400, b"unable to parse")
A, B, C, D = b"m a=1 1\n", b"m b=1 1\n", b"m c=1 1\n", b"m d=1 1\n"


class LeaveTests(WriterCase):
    """When lines leave."""

    def test_after_a_quiet_moment(self) -> None:
        """What came within 20 ms leaves together when nothing more comes."""
        self.write(A)
        self.advance(QUIET_S / 2)
        self.write(B)
        self.advance(QUIET_S * 0.7)
        self.assertEqual(self.client.requests, [])
        self.advance(QUIET_S / 2)
        self.assertEqual(self.client.requests, [A + B])

    def test_after_a_second(self) -> None:
        """Lines that never cease leave once a second."""
        for _ in range(1100):
            self.write(A)
            self.advance(0.001)
        self.assertEqual(len(self.client.requests), 1)
        self.assertAlmostEqual(self.client.times[0], LONGEST_WAIT_S, places=1)

    def test_full(self) -> None:
        """A full request leaves at once, and what is in the queue counts as room."""
        line = b"m a=1 1\n" * 1000
        for _ in range(FULL_BYTES // len(line) + 1):
            self.write(line)
        self.assertEqual(len(self.client.requests), 1)
        self.assertLessEqual(len(self.client.requests[0]), FULL_BYTES)

    def test_urgent(self) -> None:
        """When a sender waits for its acknowledgement nothing is waited for."""
        self.write(A)
        self.write(B, urgent=True)
        self.assertEqual(self.client.requests, [A + B])
        self.write(C)
        self.client.reply(OK)
        self.assertEqual(self.settled, [A, B])
        self.assertEqual(len(self.client.requests), 1, "C is not urgent")
        self.advance(QUIET_S * 2)
        self.assertEqual(self.client.requests[1:], [C])

    def test_one_in_flight(self) -> None:
        """What comes meanwhile leaves with the answer, in order, if it is due."""
        self.write(A)
        self.advance(0.1)
        self.write(B)
        self.write(C)
        self.advance(5)
        self.assertEqual((self.client.requests, self.settled), ([A], []))
        self.client.reply(OK)
        self.assertEqual(self.client.requests, [A, B + C])
        self.client.reply(OK)
        self.assertEqual(self.settled, [A, B, C])
        self.assertEqual((self.sink.taken_metrics, self.sink.left_metrics), (3, 0))

    def test_batch_is_never_cut(self) -> None:
        """A batch that is longer than a full request is one request."""
        batch = b'm a="x\ny" 1\n' * (FULL_BYTES // 10)
        self.write(batch)
        self.assertEqual(self.client.requests, [batch])

    def test_sleeps_while_idle(self) -> None:
        """With nothing to do, and while a request is in flight, no timer is set."""
        self.write(A)
        self.advance(0.1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.client.reply(OK)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_held(self) -> None:
        """While the queue is held nothing leaves; then all of it does."""
        self.sink.hold(lambda data: data)
        self.write(A)
        self.advance(2)
        self.assertEqual(self.client.requests, [])
        self.sink.release()
        self.advance(0.05)
        self.assertEqual(self.client.requests, [A])


class FailureTests(WriterCase):
    """What is sent again."""

    def fail_once(self, answer: HttpReply | Cause) -> float:
        """Have a request fail; return the seconds until the next."""
        self.write(A)
        self.advance(0.1)
        self.client.reply(answer)
        self.write(B)
        before_s, count = self.clock.seconds(), len(self.client.requests)
        while len(self.client.requests) == count:
            self.advance(0.05)
        self.assertEqual(self.client.requests[count], A, "the same bytes")
        self.assertEqual(self.settled, [])
        return self.clock.seconds() - before_s

    def test_the_same_bytes(self) -> None:
        """A failed request is sent again as it was, then what came meanwhile."""
        self.assertAlmostEqual(self.fail_once(Cause("refused", "connection refused")), 0.5, 1)
        self.assertIn("http://db/write: connection refused", self.sink.problem)
        self.client.reply(OK)
        self.assertEqual(self.sink.problem, "")
        self.assertEqual(self.client.requests[-1], B)
        self.assertEqual(self.settled, [A])

    def test_takes_no_more_while_it_fails(self) -> None:
        """What comes stays in the queue, whose bound is that of the memory."""
        self.client.answer = lambda _body: HttpReply(500, b"")
        self.write(A)
        self.advance(0.1)
        self.write(B, C)
        self.advance(120)
        self.assertEqual(set(self.client.requests), {A})
        self.assertEqual(self.sink.queued_bytes, len(B + C))

    def test_delays_grow(self) -> None:
        """An outage is tried without limit, more and more slowly; each kind is logged once."""
        self.client.answer = lambda _body: HttpReply(500, b"%d" % len(self.client.requests))
        self.write(A)
        self.advance(300)
        times = self.client.times
        gaps = [b - a for a, b in itertools.pairwise(times)]
        self.assertEqual([round(gap, 1) for gap in gaps[:7]], [0.5, 1, 2, 4, 8, 16, 30])
        self.assertEqual(set(self.client.requests), {A})
        self.assertLess(len(times), 20)
        self.client.answer = lambda _body: OK
        self.advance(31)
        self.assertEqual(self.settled, [A])

    def test_retry_after(self) -> None:
        """A server that names the time to come back is obeyed."""
        answer = HttpReply(503, b"", {"retry-after": "7"})
        self.assertAlmostEqual(self.fail_once(answer), 7, 1)

    def test_needs_user_action(self) -> None:
        """A wrong login is tried slowly."""
        self.assertAlmostEqual(self.fail_once(HttpReply(401, b"")), 30, 1)
        self.assertIn("does not accept the login", self.sink.problem)

    def test_kept_connection_that_was_closed(self) -> None:
        """A connection that a server has closed meanwhile is not reported as trouble; twice is."""
        self.write(A)
        self.advance(0.1)
        self.client.reply(OK)
        self.write(B)
        self.advance(0.1)
        cut = Cause("cut", "it ended the connection")
        self.client.reply(cut)
        self.advance(0.001)
        self.assertEqual((self.client.requests, self.sink.problem), ([A, B, B], ""))
        self.client.reply(cut)
        self.assertIn("it ended the connection", self.sink.problem)

    def test_pressure(self) -> None:
        """While the database is away the queue fills up to the mark, and no more is read."""
        self.client.answer = lambda _body: Cause("refused", "connection refused")
        for _ in range(2000):
            self.write(A * 100)
        self.assertEqual(self.pressure, [True])
        self.client.answer = lambda _body: OK
        self.advance(31)
        self.assertEqual(self.pressure, [True, False])
        self.assertEqual((len(self.settled), self.sink.dropped), (2000, {}))

    def test_own_fault(self) -> None:
        """A fault of our own is logged, and the lines are sent again."""
        self.write(A)
        self.advance(0.1)
        self.client.waiting.callback(None)
        self.client.waiting = None
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)
        self.advance(1)
        self.assertEqual(self.client.requests, [A, A])
        self.client.reply(OK)
        self.assertEqual(self.settled, [A])


class SizeTests(WriterCase):
    """Requests that are too large."""

    def test_halves(self) -> None:
        """The halves are sent in order, later requests are smaller, after a while larger again."""
        self.client.answer = lambda body: OK if len(body) < 100 else HttpReply(413, b"")
        lines = [b"m a=%d 1\n" % (number % 10) for number in range(40)]
        self.write(*lines)
        self.advance(1)
        stored = b"".join(body for body in self.client.requests if len(body) < 100)
        self.assertEqual(stored, b"".join(lines))
        self.assertEqual(self.settled, lines)
        count = len(self.client.requests)
        self.write(*lines)
        self.advance(1)
        self.assertTrue(all(len(body) < 100 for body in self.client.requests[count:]))
        self.clock.advance(SMALL_S)
        self.write(*lines)
        self.advance(1)
        self.assertEqual(max(map(len, self.client.requests[count:])), len(b"".join(lines)))
        self.assertEqual(self.sink.dropped, {})

    def test_single_line(self) -> None:
        """A line that is too large for itself is dropped once another one was accepted."""
        self.client.answer = lambda body: OK if len(body) < 100 else HttpReply(413, b"")
        self.write(b"m a=" + b"1" * 200 + b"\n", B)
        self.advance(1)
        self.assertEqual(self.settled[1], B)
        self.assertEqual(self.sink.dropped, {"rejected": 1})
        self.write(b"m a=" + b"1" * 200 + b"\n")
        self.advance(LONE_LINE_S + 1)
        self.assertEqual(self.sink.dropped, {"rejected": 2})

    def test_single_line_holds_nothing_up(self) -> None:
        """One that fills a request by itself is searched with the lines behind it, at once."""
        self.client.answer = lambda body: OK if len(body) < 100 else HttpReply(413, b"")
        long = b"m a=" + b"1" * 200 + b"\n"
        self.write(long, B)
        self.advance(1)
        self.write(long, B)
        self.advance(1)
        self.assertEqual(self.settled, [long, B, long, B])
        self.assertEqual(self.sink.dropped, {"rejected": 2})


class BadLineTests(WriterCase):
    """Lines that the database rejects."""

    def reject(self, *bad: bytes) -> None:
        """Have it reject every request with one of these lines."""

        def answer(body: bytes) -> HttpReply:
            return BAD if any(line in body for line in bad) else OK

        self.client.answer = answer

    def test_partly(self) -> None:
        """Where the rest is stored the count is all there is to do."""
        said = json.dumps({"error": "partial write: field type conflict dropped=2"})
        self.client.answer = lambda _body: HttpReply(400, said.encode())
        self.write(A, B, C)
        self.advance(0.1)
        self.assertEqual(len(self.client.requests), 1)
        self.assertEqual(self.settled, [A, B, C])
        self.assertEqual(self.sink.dropped, {"rejected": 2})
        self.assertEqual((self.sink.taken_metrics, self.sink.left_metrics), (1, 0))

    def test_partly_by_too_many(self) -> None:
        """No more lines are counted as dropped than were sent."""
        said = json.dumps({"error": "partial write: field type conflict dropped=999999999"})
        self.client.answer = lambda _body: HttpReply(400, said.encode())
        self.write(A, B, C)
        self.advance(0.1)
        self.assertEqual(self.sink.dropped, {"rejected": 3})
        self.assertEqual((self.sink.taken_metrics, self.sink.left_metrics), (0, 0))

    def test_text_that_looks_like_an_answer(self) -> None:
        """A value with "partial write" in it, which the answer quotes, settles nothing."""
        text, bad = b'text,device=log text="partial write failed" 1\n', b"bad\n"

        def answer(body: bytes) -> HttpReply:
            _before, found, rest = body.partition(bad)
            if not found:
                return OK
            quoted = (found + rest).replace(b'"', b'\\"').replace(b"\n", b"\\n")
            return HttpReply(400, b'cannot process: incorrect influx line "' + quoted + b'"')

        self.client.answer = answer
        self.write(A, bad, text, B)
        self.advance(1)
        self.assertEqual(self.sink.dropped, {"rejected": 1})
        stored = b"".join(body for body in self.client.requests if bad not in body)
        self.assertEqual(sorted(stored.splitlines(keepends=True)), sorted([A, text, B]))

    def test_search(self) -> None:
        """One bad line is found and dropped, the others are stored once."""
        self.reject(C)
        self.write(A, B, C, D)
        self.advance(1)
        stored = [body for body in self.client.requests if C not in body]
        self.assertEqual(sorted(b"".join(stored).splitlines(keepends=True)), [A, B, D])
        self.assertEqual(self.settled, [A, B, C, D])
        self.assertEqual(self.sink.dropped, {"rejected": 1})

    def test_fault_during_a_search(self) -> None:
        """A database that fails in the middle of a search is waited for."""
        self.reject(C)
        self.write(A, B, C, D)
        self.advance(0.022)
        self.client.answer = lambda _body: HttpReply(500, b"")
        self.advance(20)
        self.assertEqual(self.settled, [])
        self.reject(C)
        self.advance(31)
        stored = self.settled
        self.assertEqual((stored, self.sink.dropped), ([A, B, C, D], {"rejected": 1}))

    def test_address_that_becomes_wrong_during_a_search(self) -> None:
        """After a fault a line has to be accepted again before another one is dropped."""
        lines = [b"m a=%d 1\n" % number for number in range(100)]
        bad, stored = lines[50], []

        def begin(body: bytes) -> HttpReply:
            if bad in body:
                return BAD
            if stored:
                return HttpReply(503, b"")
            stored.append(body)
            return OK

        self.client.answer = begin
        self.write(*lines)
        self.advance(60)
        self.client.answer = lambda _body: BAD
        self.advance(120)
        self.assertEqual((self.settled, self.sink.dropped), ([], {}))
        self.assertIn("it rejects every line, check output", self.sink.problem)
        self.client.requests.clear()
        self.reject(bad)
        self.advance(31)
        stored += [body for body in self.client.requests if bad not in body]
        found = b"".join(stored).splitlines(keepends=True)
        self.assertEqual(sorted(found), sorted({*lines} - {bad}), "each once")
        self.assertEqual((self.settled, self.sink.dropped), (lines, {"rejected": 1}))

    def test_wrong_path(self) -> None:
        """Where every line is rejected none is dropped, and what comes later waits too."""
        self.client.answer = lambda _body: BAD
        self.write(A, B)
        self.advance(60)
        self.assertEqual((self.settled, self.sink.dropped), ([], {}))
        self.assertIn("it rejects every line, check output", self.sink.problem)
        self.write(C)
        self.advance(60)
        self.assertEqual((self.settled, self.sink.dropped), ([], {}))
        self.assertLess(len(self.client.requests), 100)
        self.client.answer = lambda _body: OK
        self.advance(31)
        self.assertEqual(self.settled, [A, B, C])
        self.assertEqual(self.sink.problem, "")

    def test_bad_lines_are_searched_with_the_next(self) -> None:
        """Bad lines that came together hold nothing up: the next line shows that they are bad."""
        self.reject(A, B)
        for waited_s in (0.5, 20.0, 200.0):
            self.write(A, B)
            self.advance(waited_s)
            self.write(C)
            self.advance(3.0 if waited_s < 1 else 0.1)
            self.assertEqual(self.settled, [A, B, C])
            self.assertEqual(self.sink.problem, "")
            self.forget_settled()

    def test_many_bad_lines(self) -> None:
        """As many as fit into a request, or more, are searched with those that come later."""
        for count in (300, 900):
            bad = [b'bad n=%d,text="%s" 1\n' % (number, b"x" * 1000) for number in range(count)]
            self.client.answer = lambda body: BAD if b"bad" in body else OK
            for line in bad:
                self.write(line)
            self.advance(1)
            dropped = self.sink.dropped.get("rejected", 0)
            for _ in range(12):
                self.write(C)
                self.advance(10)
            self.assertEqual(self.sink.dropped["rejected"], dropped + count)
            self.assertEqual(self.settled, [*bad, *[C] * 12])
            self.assertEqual(self.sink.problem, "")
            self.forget_settled()

    def test_bad_lines_where_requests_are_short(self) -> None:
        """After one that was too large, bad ones as long as a request hold nothing up either."""
        self.client.answer = lambda body: HttpReply(413, b"") if body == A + B else OK
        self.write(A, B)
        self.advance(1)
        self.reject(C, D)
        self.write(C, D)
        self.advance(40)
        self.write(A)
        self.advance(1)
        self.assertEqual(self.settled, [A, B, C, D, A])
        self.assertEqual(self.sink.dropped, {"rejected": 2})

    def test_wrong_path_while_lines_come(self) -> None:
        """Those that come do not have it tried again and again."""
        self.client.answer = lambda _body: BAD
        for _ in range(600):
            self.write(A)
            self.advance(1)
        self.assertEqual((self.settled, self.sink.dropped), ([], {}))
        # Some 40 rounds of a request with all and 16 with a line each.
        self.assertLess(len(self.client.requests), 1000)

    def test_lone_line_is_searched_with_the_next(self) -> None:
        """A bad line that came alone waits for the next, which shows that it is bad."""
        self.client.answer = lambda _body: OK
        self.write(D)
        self.advance(1)
        self.reject(A)
        self.write(A)
        self.advance(LONE_LINE_S / 2)
        self.assertEqual(self.sink.dropped, {})
        self.write(B)
        self.advance(0.1)
        self.assertEqual(self.sink.dropped, {"rejected": 1})
        self.assertEqual(self.settled, [D, A, B])
        self.assertEqual(self.sink.problem, "")

    def test_lone_line_where_no_other_comes(self) -> None:
        """After a while it is dropped, since this address has accepted a line before."""
        self.client.answer = lambda _body: OK
        self.write(D)
        self.advance(1)
        self.reject(A)
        self.write(A)
        self.advance(LONE_LINE_S - 0.1)
        self.assertEqual(self.sink.dropped, {})
        self.advance(0.3)
        self.assertEqual((len(self.settled), self.sink.dropped), (2, {"rejected": 1}))

    def test_lone_lines_one_after_the_other(self) -> None:
        """Only one is dropped until a line is accepted again: the address may be wrong now."""
        self.client.answer = lambda _body: OK
        self.write(D)
        self.advance(1)
        self.reject(A, B, C)
        for line in (A, B, C):
            self.write(line)
            self.advance(LONE_LINE_S * 4)
        self.assertEqual((self.settled, self.sink.dropped), ([D, A], {"rejected": 1}))
        self.assertIn("it rejects every line, check output", self.sink.problem)
        self.write(D)
        self.advance(31)
        self.assertEqual((len(self.settled), self.sink.dropped), (5, {"rejected": 3}))
        self.reject(A)
        self.write(A)
        self.advance(LONE_LINE_S + 1)
        self.assertEqual(self.sink.dropped, {"rejected": 4})

    def test_database_away_while_a_line_waits_alone(self) -> None:
        """What comes meanwhile does not have it tried without a pause."""
        self.client.answer = lambda _body: OK
        self.write(D)
        self.advance(1)
        self.reject(A)
        self.write(A)
        self.advance(1)
        self.client.answer = lambda _body: Cause("refused", "connection refused")
        count = len(self.client.requests)
        for _ in range(20):
            self.write(B)
            self.advance(0.1)
        self.assertLess(len(self.client.requests) - count, 5)

    def test_lone_line_at_an_address_that_took_none(self) -> None:
        """It is kept: the address may be wrong."""
        self.client.answer = lambda _body: BAD
        self.write(A)
        self.advance(120)
        self.assertEqual((self.settled, self.sink.dropped), ([], {}))

    def test_slow_rounds(self) -> None:
        """From the second round on every line that is rejected is tried after the longest delay."""
        self.client.answer = lambda _body: BAD
        self.write(A, B)
        self.advance(200)
        gaps = [b - a for a, b in itertools.pairwise(self.client.times)]
        self.assertEqual([round(gap, 1) for gap in gaps if gap > 0.1], [0.5] + [30.0] * 6)
        self.client.answer = lambda _body: OK
        self.advance(31)
        self.write(C)
        self.advance(1)
        self.client.answer = lambda _body: BAD
        self.write(A, B)
        self.advance(1)
        gaps = [b - a for a, b in itertools.pairwise(self.client.times[-6:])]
        self.assertIn(0.5, [round(gap, 1) for gap in gaps], "the next search begins quickly again")

    def test_a_few_bad_lines_hold_nothing_up_for_long(self) -> None:
        """Two bad lines of one device wait for the next device's line."""
        self.reject(A, B)
        self.write(A, B)
        self.advance(0.2)
        self.write(C)
        self.advance(2)
        self.assertEqual(self.settled, [A, B, C])
        self.assertEqual(self.sink.dropped, {"rejected": 2})

    def test_one_example_is_logged(self) -> None:
        """Many bad lines are one line in the log, with one of them."""
        self.reject(A)
        logged: list[dict] = []
        self.sink._log = self.sink._log.__class__(observer=logged.append)
        for _ in range(5):
            self.write(A, B)
            self.advance(0.2)
        errors = [event for event in logged if event["log_level"].name == "error"]
        self.assertEqual(len(errors), 1)
        self.assertIn("m a=1 1", str(errors[0]["example"]))
        self.assertEqual((errors[0]["count"], self.sink.dropped), (1, {"rejected": 5}))
        self.clock.advance(600)
        self.write(A, B)
        self.advance(0.2)
        self.assertEqual(logged[-1]["count"], 6, "of all so far")


class StopTests(WriterCase):
    """A stop sends what there is."""

    def test_drain_waits_for_nothing(self) -> None:
        """The last lines leave at once, and the drain ends with their answer."""
        self.write(A)
        drained = self.sink.drain(4)
        self.assertEqual(self.client.requests, [A])
        self.assertNoResult(drained)
        self.client.reply(OK)
        self.assertEqual(self.successResultOf(drained), 0)

    def test_drain_tries_once_more(self) -> None:
        """A database that was away is tried at once, and every half second."""
        self.client.answer = lambda _body: HttpReply(401, b"")
        self.write(A)
        self.advance(1)
        count = len(self.client.requests)
        drained = self.sink.drain(4)
        self.assertEqual(len(self.client.requests), count + 1)
        self.advance(2)
        self.client.answer = lambda _body: OK
        self.advance(1)
        self.assertEqual(self.successResultOf(drained), 0)

    def test_own_fault(self) -> None:
        """After a fault of our own the next try is soon too."""
        self.client.answer = lambda _body: HttpReply(500, b"")
        self.write(A)
        self.advance(60)
        self.client.answer = None
        drained = self.sink.drain(4)
        assert self.client.waiting is not None
        self.client.waiting.callback(None)
        self.client.waiting = None
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)
        self.client.answer = lambda _body: OK
        self.advance(1)
        self.assertEqual(self.successResultOf(drained), 0)

    def test_what_is_left(self) -> None:
        """What is not stored in time is counted, and settles nothing."""
        self.client.answer = lambda _body: HttpReply(500, b"")
        self.write(A, B)
        drained = self.sink.drain(4)
        self.advance(5)
        self.assertEqual((self.successResultOf(drained), self.settled), (2, []))

    def test_lone_line_is_kept(self) -> None:
        """A line that was rejected alone is not dropped by a stop: the address may be wrong now."""
        self.client.answer = lambda _body: OK
        self.write(B)
        self.advance(1)
        self.client.answer = lambda _body: BAD
        for waited_s in (0.0, 1.0, LONE_LINE_S - 1):
            self.forget_settled()
            self.write(A)
            self.advance(waited_s)
            drained = self.sink.drain(4)
            self.advance(5)
            self.assertEqual(self.successResultOf(drained), 1)
            self.assertEqual((self.settled, self.sink.dropped), ([], {}))
            self.assertIn("it rejects every line, check output", self.sink.problem)
            self.finish()
            self.setUp()
            self.client.answer = lambda _body: OK
            self.write(B)
            self.advance(1)
            self.client.answer = lambda _body: BAD

    def test_lone_line_is_tried_once_more(self) -> None:
        """It is sent again, also at a stop, and stored if the database takes it now."""
        self.client.answer = lambda _body: OK
        self.write(B)
        self.advance(1)
        self.client.answer = lambda _body: BAD
        self.write(A)
        self.advance(1)
        drained = self.sink.drain(4)
        self.advance(0.1)
        self.client.answer = lambda _body: OK
        self.advance(1)
        self.assertEqual((self.successResultOf(drained), self.settled), (0, [B, A]))

    def test_close_in_flight(self) -> None:
        """An answer after the close changes nothing."""
        self.write(A)
        self.advance(0.1)
        self.sink.stopService()
        self.client.reply(OK)
        self.assertEqual(self.settled, [])
        self.successResultOf(self.writer.close())


class AnyTroubleTests(SynchronousTestCase):
    """Whatever the database does, in the end each good line is stored and settled."""

    @settings(max_examples=100)
    @given(lists(booleans(), min_size=1, max_size=30), lists(booleans(), max_size=40))
    def test_nothing_is_lost(self, bad: list[bool], faults: list[bool]) -> None:
        """Bad lines among good ones, and faults at any request."""
        case = WriterCase()
        case.setUp()
        lines = [b"m a=%d 1\n" % number for number in range(len(bad))]
        bad_lines = {line for line, is_bad in zip(lines, bad, strict=True) if is_bad}
        stored: list[bytes] = []
        pending = list(faults)

        def answer(body: bytes) -> HttpReply | Cause:
            if pending and pending.pop():
                return Cause("refused", "connection refused")
            if bad_lines.intersection(body.splitlines(keepends=True)):
                return BAD
            stored.extend(body.splitlines(keepends=True))
            return OK

        case.client.answer = answer
        for line in lines:
            case.write(line)
            case.clock.pump([0.01] * 3)
        last = [b"m last=%d 1\n" % number for number in range(len(faults) + 1)]
        for line in last:  # each fault may leave bad lines that wait for another one
            case.write(line)
            case.clock.advance(31)
        for _ in range(1000):
            if len(case.settled) == len(lines) + len(last):
                break
            case.advance_to_next()
        self.assertEqual(set(case.settled), {*lines, *last})
        self.assertEqual(sorted(stored), sorted({*lines, *last} - bad_lines))
        self.assertEqual(case.sink.dropped.get("rejected", 0), len(bad_lines))
        case.sink.stopService()
