"""The fakes that people who write modules test with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.interfaces import Message
from metrics_agent.metric import Metric, metric
from metrics_agent.testing import START_NS, FakeContext, topic_matches
from metrics_agent.transports.mqtt.settings import MqttSettings
from metrics_agent.transports.websocket.settings import WebSocketSettings

BROKER = MqttSettings()
POINT = metric("demo", {"module": "x"}, {"value": 1.5}, 17)


class Messages(SynchronousTestCase):
    """Subscribing, delivering, publishing."""

    def setUp(self) -> None:
        self.context = FakeContext()
        self.got: list[Message] = []

    def handler(self, message: Message) -> list[Metric]:
        self.got.append(message)
        return [POINT]

    def test_deliver(self) -> None:
        """A message reaches the handlers of matching filters; what they give is recorded."""
        self.context.subscribe(BROKER, "a/+", self.handler, qos=0, place="here")
        self.context.subscribe(BROKER, "b/#", self.handler)
        self.assertEqual(self.context.deliver("a/x", b"1", qos=1, retain=True), [POINT])
        self.assertEqual(self.got, [Message("a/x", b"1", 1, True, START_NS)])
        self.assertEqual(self.context.lines(), ["demo,module=x value=1.5 17"])
        self.assertEqual(self.context.filters(), ["a/+", "b/#"])

    def test_no_two_messages_have_the_same_time(self) -> None:
        self.context.subscribe(BROKER, "#", self.handler)
        self.context.deliver("a")
        self.context.deliver("a")
        self.context.advance(1)
        self.context.deliver("a")
        self.assertEqual(
            [message.received_ns - START_NS for message in self.got], [0, 1, 1_000_000_000]
        )

    def test_nobody_subscribed(self) -> None:
        """A topic that no one wants is a mistake of the test."""
        subscription = self.context.subscribe(BROKER, "a", self.handler)
        self.assertRaises(LookupError, self.context.deliver, "b")
        subscription.cancel()
        self.assertRaises(LookupError, self.context.deliver, "a")
        self.assertEqual(self.context.filters(), [])

    def test_a_raising_handler_is_seen(self) -> None:
        self.context.subscribe(BROKER, "a", lambda _message: 1 // 0)
        self.assertRaises(ZeroDivisionError, self.context.deliver, "a")

    def test_publish(self) -> None:
        """Messages are recorded; a broker that is away takes none."""
        self.assertTrue(self.context.publish(BROKER, "a", b"x", qos=1))
        self.context.connected = False
        self.assertFalse(self.context.publish(BROKER, "b", b"x"))
        self.assertEqual([(each.topic, each.qos) for each in self.context.published], [("a", 1)])

    def test_websocket(self) -> None:
        """The test plays the server; the module's end is seen."""
        got: list[bytes] = []
        settings = WebSocketSettings(url="http://device.example")
        socket = self.context.websocket(settings, got.append)
        self.context.websockets[0].received(b"a")
        self.assertEqual((got, self.context.websockets[0].settings), ([b"a"], settings))
        self.successResultOf(socket.cancel())
        self.assertFalse(self.context.websockets[0].active)

    def test_http(self) -> None:
        """The module gets the client that the test has made, and none by itself."""
        with self.assertRaises(LookupError):
            self.context.http(timeout_s=1, body_limit=1)
        client: Any = object()
        self.context.http_client = client
        self.assertIs(self.context.http(timeout_s=1, body_limit=1), client)

    def test_guarded(self) -> None:
        """What a library would call raises where the test calls it."""
        with self.assertRaises(ZeroDivisionError):
            self.context.guarded(lambda: 1 // 0)()

    def test_topic_matches(self) -> None:
        for topic_filter, topic, expected in (
            ("a/+", "a/b", True),
            ("a/+", "a", False),
            ("a/+", "a/b/c", False),
            ("a/#", "a/b/c", True),
            ("$share/g/a/+", "a/b", True),
            ("a/b", "a/c", False),
        ):
            self.assertIs(topic_matches(topic_filter, topic), expected, (topic_filter, topic))


class Time(SynchronousTestCase):
    """Timers run on a Clock."""

    def setUp(self) -> None:
        self.context = FakeContext()
        self.ticks = 0

    def tick(self) -> list[Metric]:
        self.ticks += 1
        return [POINT]

    def test_every(self) -> None:
        """The first tick comes at once, unless it shall not; cancel ends them."""
        timer = self.context.every(10, self.tick)
        later = self.context.every(10, self.tick, now=False)
        self.assertEqual(self.ticks, 1)
        self.context.advance(10)
        self.assertEqual((self.ticks, len(self.context.metrics)), (3, 3))
        timer.cancel()
        later.cancel()
        self.context.advance(10)
        self.assertEqual((self.ticks, self.context.reactor.getDelayedCalls()), (3, []))

    def test_cancelled_within_a_tick(self) -> None:
        """A tick that ends its own timer is the last."""
        timer = self.context.every(10, lambda: timer.cancel(), now=False)  # noqa: PLW0108 - not made yet
        self.context.advance(10)
        self.assertEqual(self.context.reactor.getDelayedCalls(), [])

    def test_ticks_go_on_after_a_fault(self) -> None:
        self.context.every(10, lambda: 1 // 0, now=False)
        self.assertRaises(ZeroDivisionError, self.context.advance, 10)
        self.assertRaises(ZeroDivisionError, self.context.advance, 10)

    def test_asynchronous_ticks_wait_for_each_other(self) -> None:
        """The next interval begins when the Deferred or coroutine is done."""
        waiting: Deferred[list[Metric]] = Deferred()

        async def work() -> list[Metric]:
            return await waiting

        self.context.every(10, work)
        self.context.advance(100)
        self.assertEqual(self.context.metrics, [])
        waiting.callback([POINT])
        self.assertEqual(self.context.metrics, [POINT])
        self.context.every(10, Deferred)
        self.assertEqual(len(self.context.reactor.getDelayedCalls()), 1)

    def test_later_and_clocks(self) -> None:
        """``later`` calls once; both clocks move together."""
        seen: list[int] = []
        self.context.later(5, seen.append, 1)
        self.context.advance(5)
        self.context.advance(5)
        self.assertEqual((seen, self.context.now_ns()), ([1], START_NS + 10_000_000_000))

    def test_stop_cancels_everything(self) -> None:
        """As the agent does: timers, subscriptions, Deferreds; cleared scratch directory."""
        self.context.later(5, self.tick)
        self.context.every(5, self.tick, now=False)
        self.context.subscribe(BROKER, "a", self.tick)
        never: Deferred[None] = Deferred()
        self.context.watch(never)
        scratch = self.context.state_path("x").parent
        self.context.stop()
        self.assertEqual((self.context.reactor.getDelayedCalls(), self.context.filters()), ([], []))
        self.assertTrue(never.called)
        self.assertFalse(scratch.exists())


class Rest(SynchronousTestCase):
    """Counters, logs, failures, threads, state."""

    def test_records(self) -> None:
        context = FakeContext(name="mine", state_dir=Path("/tmp"))
        context.emit(iter([POINT]))
        context.drop("null_value")
        context.drop("null_value", 2)
        error = ValueError("x")
        context.fail(error)
        log = context.log
        log.warn("{what} is odd.", what="This")
        log.info("Fine.")
        self.assertEqual(context.metrics, [POINT])
        self.assertEqual(context.dropped, {"null_value": 3})
        self.assertEqual(context.failures, [error])
        self.assertEqual((context.logged(), context.logged("info")), (["This is odd."], ["Fine."]))
        self.assertEqual(context.state_path("x"), Path("/tmp/x"))
        context.stop()

    def test_threads_and_work(self) -> None:
        """A thread's call runs at once; its failure is in the Deferred."""
        context = FakeContext()
        self.assertEqual(self.successResultOf(context.in_thread(max, 1, 2)), 2)
        self.failureResultOf(context.in_thread(lambda: 1 // 0), ZeroDivisionError)

        async def work() -> int:
            return 5

        self.assertEqual(self.successResultOf(context.watch(work())), 5)
        context.stop()
