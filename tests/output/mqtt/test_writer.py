"""The writer for a broker, with a connection that the test plays."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from hypothesis import example, given, settings
from hypothesis.strategies import floats, integers, lists, sampled_from, sets, tuples
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.backoff import Backoff
from metrics_agent.cause import Cause
from metrics_agent.output.mqtt.writer import FULL_BYTES, MqttWriter
from metrics_agent.output.outgoing import SMALL_S
from metrics_agent.output.pace import LONGEST_WAIT_S
from tests.output.http.fakes import WriterCase

A, B, C, D = b"m a=1 1\n", b"m b=1 1\n", b"m c=1 1\n", b"m d=1 1\n"
CUT = Cause("closed", "the broker closed the connection")


class FakePublisher:
    """A connection; `answer` is what the broker says of a message, if the test does not."""

    def __init__(self, owner: MqttWriter, clock: Clock) -> None:
        self.owner = owner
        self.clock = clock
        self.messages: list[bytes] = []
        self.accepted: list[bytes] = []
        self.times: list[float] = []
        self.up = False
        self.in_flight = False
        self.longest = 1 << 20
        self.full = False
        self.answer: Callable[[bytes], int | Cause] | None = None
        self.closed = False

    @property
    def ready(self) -> bool:
        return self.up and not self.in_flight

    def start(self) -> None:
        """The test connects."""

    def connect(self) -> None:
        self.up = True
        self.owner.up()
        self.owner.ready()

    def publish(self, topic: str, payload: bytes) -> bool:
        assert self.ready, "one message in flight"
        assert topic == "t/agent"
        assert len(payload) <= self.longest
        if self.full:
            return False
        self.messages.append(payload)
        self.times.append(self.clock.seconds())
        self.in_flight = True
        if self.answer is not None:
            self.clock.callLater(0.001, self.reply, self.answer(payload))
        return True

    def reply(self, answer: int | Cause = 0) -> None:
        """Answer the message, or lose the connection."""
        if self.closed:
            return
        if isinstance(answer, Cause):
            self.lose(answer)
            if self.answer is not None:
                self.clock.callLater(0.5, self.connect)
        elif self.in_flight:
            self.in_flight = False
            if answer == 0:
                self.accepted.append(self.messages[-1])
            self.owner.answered(answer)

    def lose(self, cause: Cause = CUT) -> None:
        unanswered, self.up, self.in_flight = self.in_flight, False, False
        if unanswered:
            self.owner.unanswered()
        self.owner.down(cause)

    def longest_payload(self, _topic: str) -> int:
        return self.longest

    def close(self) -> Deferred[None]:
        self.closed = True
        return succeed(None)


class MqttCase(WriterCase):
    """A sink with the writer, connected."""

    random = 1.0

    def make_writer(self, source) -> MqttWriter:
        def connect(writer: MqttWriter) -> FakePublisher:
            self.broker = FakePublisher(writer, self.clock)
            return self.broker

        backoff = Backoff(0.5, 30, lambda: self.random)
        self.writer = MqttWriter(self.clock, connect, "t/agent", "mqtt://b/t", source, backoff)
        return self.writer

    def setUp(self) -> None:
        super().setUp()
        self.broker.connect()

    def finish(self) -> None:
        self.sink.stopService()
        self.assertTrue(self.broker.closed)
        self.clock.advance(1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def write_lines(self, count: int) -> bytes:
        """Write one batch of lines of 100 bytes, which is to leave at once; return its bytes."""
        data = b"".join(b"m a=%05d,b=%s 1\n" % (n, b"1" * 84) for n in range(count))
        self.write(data, urgent=True)
        return data


class LeaveTests(MqttCase):
    """When lines leave."""

    def test_once_a_second(self) -> None:
        """What comes within a second is one message, also when nothing more comes."""
        self.write(A)
        self.advance(LONGEST_WAIT_S * 0.9)
        self.write(B)
        self.assertEqual(self.broker.messages, [])
        self.advance(0.2)
        self.assertEqual(self.broker.messages, [A + B])
        self.assertEqual(self.clock.getDelayedCalls(), [], "nothing is due while it is in flight")

    def test_urgent(self) -> None:
        """When a sender waits for its acknowledgement it leaves at once."""
        self.write(A)
        self.write(B, urgent=True)
        self.assertEqual(self.broker.messages, [A + B])

    def test_full(self) -> None:
        """A full message leaves at once; no message is longer, however long the batch is."""
        data = self.write_lines(1000)
        self.broker.answer = lambda _payload: 0
        self.broker.reply()
        self.advance(1)
        self.assertEqual(b"".join(self.broker.messages), data)
        self.assertEqual(len(self.broker.messages), 4)
        for each in self.broker.messages:
            self.assertLessEqual(len(each), FULL_BYTES)
            self.assertEqual(each[-1:], b"\n")

    def test_one_in_flight_in_order(self) -> None:
        """The next message leaves with the answer; each is settled with its own."""
        self.write(A, urgent=True)
        self.write(B, urgent=True)
        self.write(C)
        self.assertEqual((self.broker.messages, self.settled), ([A], []))
        self.broker.reply()
        self.assertEqual((self.broker.messages, self.settled), ([A, B + C], [A]))
        self.broker.reply()
        self.assertEqual(self.settled, [A, B, C])
        self.assertEqual((self.sink.taken_metrics, self.sink.left_metrics), (3, 0))

    def test_without_a_connection(self) -> None:
        """Lines stay in the queue, which has a bound, and leave once there is one."""
        self.broker.lose()
        self.write(A)
        self.advance(5)
        self.assertEqual((self.broker.messages, self.sink.queued_metrics), ([], 1))
        self.broker.connect()
        self.assertEqual(self.broker.messages, [A])

    def test_held(self) -> None:
        """While the queue is held nothing leaves; then all of it does."""
        self.sink.hold(lambda data: data)
        self.write(A)
        self.advance(2)
        self.assertEqual(self.broker.messages, [])
        self.sink.release()
        self.advance(1.1)
        self.assertEqual(self.broker.messages, [A])

    def test_connection_that_takes_nothing_now(self) -> None:
        """The message is offered again in a moment."""
        self.broker.full = True
        self.write(A, urgent=True)
        self.assertEqual(self.broker.messages, [])
        self.broker.full = False
        self.advance(0.1)
        self.assertEqual(self.broker.messages, [A])


class AnswerTests(MqttCase):
    """Only 0x00 is delivery."""

    def test_nothing_else_is_delivery(self) -> None:
        """Whatever else the broker answers: nothing is acknowledged, and the same bytes again."""
        for code in (0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99):
            with self.subTest(code):
                self.forget_settled()
                before = len(self.broker.messages)
                self.write(A, urgent=True)
                self.broker.reply(code)
                self.assertEqual(self.settled, [])
                self.assertIn(f"0x{code:02x}", self.sink.problem)
                self.write(B, urgent=True)
                self.advance(31)
                self.assertEqual(self.broker.messages[before:], [A, A])
                self.broker.reply()
                self.broker.reply()
                self.assertEqual((self.settled, self.sink.problem), ([A, B], ""))

    def test_no_subscriber(self) -> None:
        """It is tried again with growing delays, and logged once."""
        self.broker.answer = lambda _payload: 0x10
        self.write(A, urgent=True)
        self.advance(100)
        gaps = [round(b - a, 1) for a, b in itertools.pairwise(self.broker.times)]
        self.assertEqual(gaps[:7], [0.5, 1, 2, 4, 8, 16, 30])
        self.assertIn("mqtt://b/t: Telegraf is not subscribed", self.sink.problem)
        self.broker.answer = lambda _payload: 0
        self.advance(31)
        self.assertEqual((self.settled, self.sink.problem), ([A], ""))
        self.assertEqual(set(self.broker.messages), {A})

    def test_needs_user_action(self) -> None:
        """What only the user can change is tried slowly, whatever comes meanwhile."""
        self.write(A, urgent=True)
        self.broker.reply(0x87)
        self.write(B, urgent=True)
        self.advance(29)
        self.assertEqual(len(self.broker.messages), 1)
        self.advance(2)
        self.assertEqual(self.broker.messages, [A, A])
        self.assertIn("access list", self.sink.problem)

    def test_connection_says_nothing_of_delivery(self) -> None:
        """After a refusal a new connection alone does not count as "works again"."""
        self.write(A, urgent=True)
        self.broker.reply(0x10)
        self.broker.lose()
        self.broker.connect()
        self.assertNotEqual(self.sink.problem, "")
        self.assertEqual(self.broker.messages, [A, A], "but it is tried at once")
        self.broker.reply()
        self.assertEqual(self.sink.problem, "")


class LossTests(MqttCase):
    """A connection that is lost."""

    def test_the_same_bytes(self) -> None:
        """What was not answered is published again as it was, before what came meanwhile."""
        self.write(A, B, urgent=True)
        [first] = self.broker.messages
        self.broker.lose()
        self.assertIn("mqtt://b/t: the broker closed the connection", self.sink.problem)
        self.write(C, urgent=True)
        self.broker.connect()
        self.assertEqual(self.broker.messages, [first, first])
        self.assertNotEqual(self.sink.problem, "", "only the answer shows that it works again")
        self.broker.reply()
        self.assertEqual(self.sink.problem, "")
        self.broker.reply()
        self.broker.reply()
        self.assertEqual(b"".join(self.broker.messages[1:]), A + B + C)
        self.assertEqual(self.settled, [A, B, C])

    def test_idle(self) -> None:
        """With nothing in flight nothing is published again."""
        self.write(A, urgent=True)
        self.broker.reply()
        self.broker.lose()
        self.broker.connect()
        self.advance(2)
        self.assertEqual((self.broker.messages, self.sink.problem), ([A], ""))


class SizeTests(MqttCase):
    """Messages that are too long for the broker."""

    def test_maximum_packet_size(self) -> None:
        """What the broker says that it takes holds, for what was sent before too."""
        data = self.write_lines(250)
        self.assertEqual(self.broker.messages, [data])
        self.broker.lose()
        self.broker.longest = 1000
        self.broker.answer = lambda _payload: 0
        self.broker.connect()
        self.advance(2)
        self.assertEqual(b"".join(self.broker.messages[1:]), data)
        self.assertEqual(self.settled, [data])

    def test_line_that_is_too_long(self) -> None:
        """It is dropped, counted and logged in its turn; the lines around it are delivered."""
        self.broker.longest = 1000
        long = b"m a=%s 1\n" % (b"1" * 2000)
        self.write(A, long + B, C, urgent=True)
        self.broker.answer = lambda _payload: 0
        self.assertEqual(self.settled, [])
        self.broker.reply()
        self.advance(1)
        self.assertEqual(b"".join(self.broker.messages), A + B + C)
        self.assertEqual(self.settled, [A, long + B, C])
        self.assertEqual(dict(self.sink.dropped), {"rejected": 1})

    def test_all_lines_are_too_long(self) -> None:
        """What follows them in the queue leaves, also when nothing more comes."""
        long = b"m a=%s 1\n" % (b"1" * 2000)
        for _ in range(40):
            self.write(long, urgent=True)
        self.write(A)
        self.broker.lose()
        self.broker.longest = 1000
        self.broker.answer = lambda _payload: 0
        self.broker.connect()
        self.advance(2)
        self.assertEqual(self.broker.messages[-1], A)
        self.assertEqual(dict(self.sink.dropped), {"rejected": 40})

    def test_unspoken_limit(self) -> None:
        """A broker that ends the connection for a long message gets shorter ones."""
        limit = 3000
        self.broker.answer = lambda payload: CUT if len(payload) > limit else 0
        data = self.write_lines(500)
        self.advance(30)
        self.assertEqual(self.settled, [data])
        delivered = b"".join(each for each in self.broker.messages if len(each) <= limit)
        self.assertEqual(delivered, data)
        self.broker.answer = lambda _payload: 0
        self.advance(SMALL_S)
        self.write_lines(500)
        self.advance(1)
        self.assertGreater(max(map(len, self.broker.messages[-3:])), FULL_BYTES // 2)

    def test_quota_that_is_a_size(self) -> None:
        """So does one that answers 0x97."""
        self.broker.answer = lambda payload: 0x97 if len(payload) > 3000 else 0
        data = self.write_lines(500)
        self.advance(60)
        self.assertEqual(self.settled, [data])

    def test_restart_of_a_broker(self) -> None:
        """One lost connection makes no message shorter."""
        self.write_lines(200)
        [first] = self.broker.messages
        self.broker.lose()
        self.broker.connect()
        self.assertEqual(self.broker.messages, [first, first])


class TooLargeTests(MqttCase):
    """A broker that says of a message that it is too large: 0x95, as mosquitto does."""

    LONG = b"m a=%s 1\n" % (b"1" * 250)

    def setUp(self) -> None:
        super().setUp()
        self.broker.answer = lambda payload: 0x95 if len(payload) > 200 else 0
        self.logged: list[LogEvent] = []
        globalLogPublisher.addObserver(self.logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.logged.append)

    @property
    def texts(self) -> list[str]:
        return [formatEvent(event) for event in self.logged]

    def test_pace(self) -> None:
        """Messages become shorter at once and stay so; nothing is logged."""
        data = self.write_lines(40)
        self.advance(0.1)
        self.assertEqual(self.settled, [data])
        for _ in range(100):
            self.write(A, urgent=True)
            self.advance(0.002)
        self.assertEqual(self.settled, [data, *[A] * 100])
        self.assertEqual(self.texts, [])

    def test_long_line_among_others(self) -> None:
        """It is dropped and named with its cause; those around it are delivered at once."""
        self.write(A, B, self.LONG, C, D, urgent=True)
        self.advance(0.1)
        self.assertEqual(self.settled, [A, B, self.LONG, C, D])
        self.assertEqual(dict(self.sink.dropped), {"rejected": 1})
        [text] = self.texts
        self.assertIn("the broker says that the message is too large", text)

    def test_long_lines_now_and_then(self) -> None:
        """Each waits for the next line and is dropped then, without other trouble."""
        for number in range(1, 4):
            self.write(A, urgent=True)
            self.write(self.LONG, urgent=True)
            self.advance(5)
            self.assertEqual(self.sink.dropped.get("rejected", 0), number - 1)
            self.write(B, urgent=True)
            self.advance(0.1)
            self.assertEqual(self.settled, [A, self.LONG, B] * number)
            self.assertEqual(self.sink.dropped["rejected"], number)
        self.assertEqual(len(self.texts), 1, self.texts)

    def test_alone_for_long(self) -> None:
        """After a while it is dropped, once: the next one needs another line that was taken."""
        self.write(A, urgent=True)
        self.write(self.LONG, urgent=True)
        self.advance(9)
        self.assertEqual(self.settled, [A])
        self.advance(2)
        self.assertEqual(self.settled, [A, self.LONG])
        self.write(self.LONG, urgent=True)
        self.advance(100)
        self.assertEqual(self.settled, [A, self.LONG])
        self.assertIn("the broker takes no line", self.sink.problem)
        self.write(B, urgent=True)
        self.advance(0.1)
        self.assertEqual(self.settled, [A, self.LONG, self.LONG, B])

    def test_many_long_lines(self) -> None:
        """They hold the lines behind them up for some seconds at most."""
        for count, text in ((300, b"1" * 250), (5, b"1" * 30_000), (1, b"1" * 500_000)):
            self.write(A, urgent=True)
            long = [b"m a=%d%s 1\n" % (number, text) for number in range(count)]
            for line in long:
                self.write(line)
            self.advance(3)
            self.write(B, urgent=True)
            self.advance(5)
            self.assertEqual(self.settled[-count - 2 :], [A, *long, B])
            self.write(C, urgent=True)
            self.advance(0.1)
            self.assertEqual(self.sink.problem, "")
        self.assertEqual(self.sink.dropped, {"rejected": 306})

    def test_no_line_is_small_enough(self) -> None:
        """Nothing is dropped, it is logged once and tried slowly, whatever comes meanwhile."""
        self.broker.answer = lambda _payload: 0x95
        written = [b"m a=%d 1\n" % number for number in range(200)]
        for line in written:
            self.write(line, urgent=True)
            self.advance(1)
        self.assertEqual((self.settled, self.sink.dropped), ([], {}))
        self.assertLess(len(self.broker.messages), 400)
        self.assertEqual(len(self.texts), 1, self.texts)
        self.broker.answer = lambda _payload: 0
        self.advance(31)
        self.assertEqual((self.settled, self.sink.dropped), (written, {}))

    def test_stop(self) -> None:
        """A line alone is kept."""
        self.write(A, urgent=True)
        self.write(self.LONG, urgent=True)
        drained = self.sink.drain(20)
        self.advance(20)
        self.assertEqual((self.successResultOf(drained), self.settled), (1, [A]))


class ContentTests(MqttCase):
    """Lines that the broker refuses for what they are: 0x80, 0x83 and 0x99."""

    def advance_coarsely(self, seconds: float) -> None:
        """Let time pass in steps as long as a broker's answer takes, or until the next timer."""
        end_s = self.clock.seconds() + seconds
        while (calls := self.clock.getDelayedCalls()) and calls[0].getTime() <= end_s:
            self.clock.advance(max(calls[0].getTime() - self.clock.seconds(), 0))
        self.clock.advance(end_s - self.clock.seconds())

    def taken(self) -> list[bytes]:
        """Return the lines that the broker accepted."""
        return b"".join(self.broker.accepted).splitlines(keepends=True)

    def refuse(self, code: int) -> None:
        self.broker.answer = lambda payload: code if b"bad" in payload else 0

    def burst(self, count: int, places: set[int]) -> list[bytes]:
        """Write so many lines at once, bad ones at these places; return them."""
        words = [b"bad" if n in places else b"ok" for n in range(count)]
        lines = [b"%s a=%d 1\n" % (word, n) for n, word in enumerate(words)]
        self.write(*lines, urgent=True)
        return lines

    def burst_and_more(self, places: set[int]) -> None:
        """Write 40 lines, bad ones at these places, and ten good ones within 20 s."""
        self.burst(40, places)
        for number in range(10):
            self.write(b"ok b=%d 1\n" % number)
            self.advance_coarsely(2)

    def test_good_lines_are_not_held_up(self) -> None:
        """Some bad lines in a burst hold up the good ones beside and behind them for seconds."""
        for code in (0x80, 0x83, 0x99):
            for places in ({0}, {0, 1, 2, 3, 4}, {20, 70, 120, 170, 220}):
                with self.subTest(code=code, places=places):
                    self.forget_settled()
                    self.refuse(code)
                    lines = self.burst(280, places)
                    self.write(A)
                    self.advance(5)
                    self.assertEqual(self.settled, [*lines, A])
                    self.assertEqual(self.sink.problem, "")
        self.assertEqual(self.sink.dropped, {"rejected": 3 * 11})

    def test_messages_stay_long(self) -> None:
        """They are shorter after a refusal only where the search finds no bad line."""
        self.refuse(0x83)
        self.write(b"bad a=1 1\n", A, urgent=True)
        self.advance(5)
        self.write_lines(250)
        self.advance(1)
        self.assertGreater(len(self.broker.messages[-1]), 20_000)
        self.broker.answer = lambda payload: 0x80 if len(payload) > 3000 else 0
        for _ in range(5):
            data = self.write_lines(250)
            self.advance(30)
            self.assertEqual(self.settled[-1], data)
        before = len(self.broker.messages)
        self.write_lines(250)
        self.advance(1)
        self.assertLess(len(self.broker.messages) - before, 20)
        self.assertEqual(self.sink.dropped, {"rejected": 1})

    def test_all_are_refused(self) -> None:
        """Nothing is dropped, and it is tried slowly, whether lines come or not."""
        for code in (0x80, 0x83, 0x99):
            for burst, each in ((1, 1), (1, 10), (300, 0)):
                with self.subTest(code=code, burst=burst, each=each):
                    case = ContentTests()
                    case.random = 0.0
                    case.setUp()
                    case.broker.answer = lambda _payload, code=code: code
                    case.write(*[b"m a=%d 1\n" % n for n in range(burst)], urgent=True)
                    for second in range(60):
                        for number in range(each):
                            case.write(b"m a=%d,b=%d 1\n" % (number, second), urgent=True)
                        case.advance_coarsely(1)
                    self.assertEqual((case.settled, case.sink.dropped), ([], {}))
                    self.assertLessEqual(len(case.broker.messages), 50)
                    case.finish()

    def test_all_are_refused_for_a_while(self) -> None:
        """A broker that refuses everything for some seconds, whenever, makes no good line bad."""
        for code in (0x80, 0x83, 0x99):
            for places in ({0}, {39}, {3, 4, 20}, {5, 6, 7, 8, 9, 10, 38, 39}):
                for start, length in itertools.product(range(0, 60, 2), (3, 8, 50)):
                    with self.subTest(code=code, places=places, start=start, length=length):
                        self.refuse_all_for_a_while(code, places, start / 10, length / 10)

    def refuse_all_for_a_while(
        self, code: int, places: set[int], start_s: float, length_s: float
    ) -> None:
        """Write 40 lines, bad ones at these places; all are refused from then on for so long."""
        case = ContentTests()
        case.setUp()

        def answer(payload: bytes) -> int:
            is_out = start_s <= case.clock.seconds() < start_s + length_s
            return code if is_out or b"bad" in payload else 0

        case.broker.answer = answer
        case.burst_and_more(places)
        case.advance_coarsely(30)
        self.assertEqual(len(case.settled), 50)
        good = {line for line in case.settled if line.startswith(b"ok")}
        self.assertLessEqual(good, set(case.taken()))
        self.assertEqual(case.sink.dropped, {"rejected": len(places)})
        case.finish()

    @given(
        sampled_from([0x80, 0x83, 0x97, 0x99]),
        sets(integers(0, 39), min_size=1, max_size=8),
        lists(tuples(floats(0.01, 10), floats(0.01, 10)), min_size=1, max_size=4),
    )
    @example(0x80, {5, 6, 7, 8, 9, 10, 38, 39}, [(2.5, 0.5)])
    @example(0x83, {0}, [(0.2, 0.2)])
    @example(0x99, {39}, [(1.0, 1.0)])
    @example(0x80, {3, 4, 20}, [(0.5, 2.5)])
    @example(0x80, {3, 4, 20}, [(10.0, 1.0)])
    @example(0x97, {5, 6, 7, 8, 9, 10, 38, 39}, [(0.4, 0.4)])
    @settings(deadline=None)
    def test_all_are_refused_again_and_again(
        self, code: int, places: set[int], phases: list[tuple[float, float]]
    ) -> None:
        """No good line is dropped where a broker refuses everything by the time alone."""
        case = ContentTests()
        case.setUp()

        def answer(payload: bytes) -> int:
            at_s = case.clock.seconds() % sum(out_s + up_s for out_s, up_s in phases)
            for out_s, up_s in phases:
                if at_s < out_s:
                    return code
                at_s -= out_s + up_s
                if at_s < 0:
                    break
            return code if b"bad" in payload else 0

        case.broker.answer = answer
        case.burst_and_more(places)
        case.advance_coarsely(100)
        good = {line for line in case.settled if line.startswith(b"ok")}
        self.assertLessEqual(good, set(case.taken()))
        self.assertLessEqual(case.sink.dropped.get("rejected", 0), len(places))
        case.finish()

    def test_limit_on_messages(self) -> None:
        """Where a broker refuses what comes too fast no line is dropped."""
        accepted_s = [-1.0]

        def answer(_payload: bytes) -> int:
            if self.clock.seconds() - accepted_s[-1] < 0.2:
                return 0x83
            accepted_s.append(self.clock.seconds())
            return 0

        self.broker.answer = answer
        lines = [b"m a=%d 1\n" % number for number in range(40)]
        for line in lines:
            self.write(line, urgent=True)
        self.advance(120)
        self.assertEqual((self.settled, self.sink.dropped), (lines, {}))


class LoneLineTests(MqttCase):
    """A single line that the broker does not take, and does not say why."""

    LONG = b"m a=%s 1\n" % (b"1" * 4000)

    def refuse(self, how: int | Cause) -> None:
        """Have the broker take no message of more than 3,000 bytes."""
        self.broker.answer = lambda payload: how if len(payload) > 3000 else 0
        if self.broker.in_flight:
            self.broker.reply(self.broker.answer(self.broker.messages[-1]))

    def delivered(self) -> list[bytes]:
        """Return the lines that the broker accepted; some twice, where others were checked."""
        taken = b"".join(each for each in self.broker.messages if len(each) <= 3000)
        return sorted(set(taken.splitlines(keepends=True)))

    def test_is_dropped_once_another_is_taken(self) -> None:
        """The lines around it are delivered, and it is dropped, counted and logged."""
        for number, how in enumerate((0x95, 0x97, 0x80, CUT), 1):
            with self.subTest(how):
                self.forget_settled()
                self.broker.messages.clear()
                self.broker.answer = None
                self.write(A)
                self.write(self.LONG, urgent=True)
                self.write(B, C, D)
                self.refuse(how)
                self.advance(60)
                self.assertEqual(self.delivered(), [A, B, C, D])
                self.assertEqual(self.settled, [A, self.LONG, B, C, D])
                self.assertEqual(dict(self.sink.dropped), {"rejected": number})
                self.assertEqual(self.sink.problem, "")

    def test_trouble_is_logged_once(self) -> None:
        """That it works again is not reported before all of the message has passed."""
        for how in (0x97, CUT):
            with self.subTest(how):
                logged: list[LogEvent] = []
                globalLogPublisher.addObserver(logged.append)
                self.addCleanup(globalLogPublisher.removeObserver, logged.append)
                self.broker.answer = None
                self.write(A)
                self.write(self.LONG, urgent=True)
                self.write(B, C)
                self.refuse(how)
                self.advance(60)
                texts = [formatEvent(event).split(":")[0] for event in logged]
                rejects = [text for text in texts if text.startswith("The output rejects")]
                wanted = ["Cannot write to the output", *rejects]
                self.assertEqual(texts[:-1], wanted)
                self.assertIn("The output works again", texts[-1])
                self.assertEqual(self.sink.problem, "")

    def test_is_sought_in_a_long_message(self) -> None:
        """So is one among many, and what follows is as long as before."""
        lines = [b"m a=%04d,b=%s 1\n" % (n, b"1" * 84) for n in range(200)]
        lines[100] = self.LONG
        self.write(b"".join(lines), urgent=True)
        self.write(A)
        self.refuse(CUT)
        self.advance(120)
        self.assertEqual(self.delivered(), sorted([*lines[:100], *lines[101:], A]))
        self.assertEqual(len(self.settled), 2)
        self.assertEqual(dict(self.sink.dropped), {"rejected": 1})

    def test_alone_is_kept(self) -> None:
        """Without another line nothing is dropped: it is tried slowly until one comes."""
        for number, how in enumerate((0x97, CUT), 1):
            with self.subTest(how):
                self.forget_settled()
                self.broker.messages.clear()
                self.broker.answer = None
                self.write(self.LONG, urgent=True)
                self.refuse(how)
                self.advance(300)
                self.assertEqual(self.settled, [])
                self.assertIn("the broker takes no line, not even a single one", self.sink.problem)
                self.assertLess(len(self.broker.messages), 50)
                self.write(A)
                self.advance(70)
                self.assertEqual(self.settled, [self.LONG, A])
                self.assertEqual(dict(self.sink.dropped), {"rejected": number})

    def test_quota(self) -> None:
        """Where the broker takes no line at all for a while none is dropped."""
        for how in (0x97, CUT):
            with self.subTest(how):
                self.forget_settled()
                self.broker.messages.clear()
                self.broker.answer = lambda _payload, how=how: how
                lines = [b"m a=%d 1\n" % n for n in range(40)]
                for line in lines:
                    self.write(line, urgent=True)
                self.advance(400)
                self.assertEqual((self.settled, self.sink.dropped), ([], {}))
                self.assertLess(len(self.broker.messages), 300)
                self.broker.messages.clear()
                self.broker.answer = lambda _payload: 0
                self.advance(31)
                delivered = b"".join(self.broker.messages).splitlines(keepends=True)
                self.assertEqual(sorted(delivered), sorted(lines))
                self.assertEqual((self.settled, self.sink.dropped), (lines, {}))

    def test_two_in_a_row(self) -> None:
        """Where the next line is too long as well those after it decide."""
        self.write(self.LONG, self.LONG, self.LONG, urgent=True)
        self.write(A, B)
        self.refuse(0x97)
        self.advance(200)
        self.assertEqual(self.delivered(), [A, B])
        self.assertEqual(dict(self.sink.dropped), {"rejected": 3})

    def test_other_refusals(self) -> None:
        """What says nothing of a single line drops none, also in a search."""
        self.write(self.LONG, urgent=True)
        self.write(A, B)
        self.refuse(0x97)
        self.advance(0.4)
        self.broker.answer = lambda _payload: 0x10
        self.advance(200)
        self.assertEqual((self.settled, self.sink.dropped), ([], {}))
        self.broker.answer = lambda _payload: 0
        self.advance(31)
        self.assertEqual((self.settled, self.sink.dropped), ([self.LONG, A, B], {}))

    def test_limit_that_is_said_later(self) -> None:
        """A Maximum Packet Size on the next connection ends the search."""
        self.write(self.LONG, urgent=True)
        self.refuse(0x97)
        self.advance(5)
        self.write(A, B)
        self.broker.lose()
        self.broker.longest = 3000
        self.broker.connect()
        self.advance(40)
        self.assertEqual(self.settled, [self.LONG, A, B])
        self.assertEqual(dict(self.sink.dropped), {"rejected": 1})

    def test_longer_than_a_full_message(self) -> None:
        """A line that is longer than other messages are is searched as well."""
        self.write(b"m a=%s 1\n" % (b"1" * (FULL_BYTES + 1)), self.LONG, urgent=True)
        self.write(A)
        self.refuse(0x97)
        self.advance(100)
        self.assertEqual(self.delivered(), [A])
        self.assertEqual(dict(self.sink.dropped), {"rejected": 2})

    def test_stop(self) -> None:
        """At a stop it is kept, unless another line is taken."""
        self.write(self.LONG, urgent=True)
        self.refuse(0x97)
        self.advance(5)
        drained = self.sink.drain(4)
        self.advance(5)
        self.assertEqual((self.successResultOf(drained), self.settled), (1, []))


class StopTests(MqttCase):
    """The end."""

    def test_drain(self) -> None:
        """What waits leaves at once, and a refused message is tried twice a second."""
        self.write(A, urgent=True)
        self.broker.reply(0x87)
        self.broker.answer = lambda _payload: 0x10 if len(self.broker.messages) < 6 else 0
        self.write(B)
        drained = self.sink.drain(4)
        self.advance(3.9)
        self.assertEqual(self.successResultOf(drained), 0)
        self.assertEqual(self.settled, [A, B])

    def test_what_is_left_is_not_settled(self) -> None:
        """At QoS 1 the broker of the device has it still."""
        self.write(A, B, urgent=True)
        self.broker.lose()
        drained = self.sink.drain(4)
        self.advance(4.1)
        self.assertEqual(self.successResultOf(drained), 2)
        self.successResultOf(self.sink.stopService())
        self.assertEqual(self.settled, [])

    def test_closed_twice(self) -> None:
        """Nothing happens, and nothing is published after the end."""
        self.write(A)
        self.successResultOf(self.writer.close())
        self.successResultOf(self.writer.close())
        self.writer.wake()
        self.advance(2)
        self.assertEqual(self.broker.messages, [])


class AccountTests(SynchronousTestCase):
    """Whatever the broker does."""

    @given(lists(sampled_from([0, 0, 0x10, 0x87, 0x90]), max_size=12))
    @settings(deadline=None)
    def test_each_line_once_and_in_order(self, answers: list[int | Cause]) -> None:
        """What was answered with 0x00, joined, is all that was written; settled after that."""
        case, written, delivered = self.converse(answers)
        self.assertEqual(delivered, written)
        self.assertEqual(case.sink.dropped, {})

    @given(lists(sampled_from([0, 0, 0x10, 0x80, 0x87, 0x97, 0x99, CUT]), max_size=30))
    @settings(deadline=None)
    def test_each_line_once(self, answers: list[int | Cause]) -> None:
        """Where lines are searched each is delivered or counted as rejected, once."""
        case, written, delivered = self.converse(answers)
        rejected = case.sink.dropped.get("rejected", 0)
        self.assertEqual(len(set(written) - set(delivered)), rejected)

    def converse(self, answers: list[int | Cause]) -> tuple[MqttCase, list[bytes], list[bytes]]:
        """Write lines to a broker that answers so; return them, and those that it took."""
        case = MqttCase()
        case.setUp()
        delivered: list[bytes] = []
        given_answers = iter(answers)

        def answer(payload: bytes) -> int | Cause:
            said = next(given_answers, 0)
            if said == 0:
                delivered.extend(payload.splitlines(keepends=True))
            return said

        case.broker.answer = answer
        written = []
        for number in range(6):
            line = b"m a=%d 1\n" % number
            written.append(line)
            case.write(line, urgent=number % 2 == 0)
            case.clock.pump([0.001] * 3)
        for _ in range(1000):
            if len(case.settled) == len(written):
                break
            case.advance_to_next()
            lost = set(case.settled) - set(delivered)
            self.assertLessEqual(len(lost), case.sink.dropped.get("rejected", 0))
        self.assertEqual(case.settled, written)
        case.finish()
        return case, written, delivered
