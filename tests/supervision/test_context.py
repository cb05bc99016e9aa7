"""The door of a module: what it asks for while it runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from metrics_agent.errors import PayloadError
from metrics_agent.interfaces import Collected, Handler, Message
from metrics_agent.metric import Metric, Series, metric
from metrics_agent.supervision.context import Context
from metrics_agent.transports.mqtt.settings import MqttSettings
from tests.supervision.fakes import BROKER, FAULTS, ContextCase, raiser

POINT = metric("m", {}, {"f": 1.0})
LINE = b"m f=1.0\n"
BAD = metric("m", {}, {})
MESSAGE = Message("tele/plug/SENSOR", b"{}", 1, retain=False, received_ns=1)


class MessageTests(ContextCase):
    """Subscriptions and their handlers."""

    def deliver(self, handler: Handler, lines: list[bytes] | None = None) -> list[bytes]:
        """Give a message to a handler that has subscribed."""
        lines = [] if lines is None else lines
        self.make_context().subscribe(BROKER, "tele/+/SENSOR", handler)
        self.connection.subscriptions[-1].deliver(MESSAGE, lines)
        return lines

    def test_subscribe(self) -> None:
        """The filter and QoS go to the connection, the metrics come as lines."""
        lines = self.deliver(lambda _message: [POINT, POINT])
        subscription = self.connection.subscriptions[0]
        self.assertEqual((subscription.topic_filter, subscription.qos), ("tele/+/SENSOR", 1))
        self.assertEqual((lines, self.counters.metrics), ([LINE, LINE], 2))

    def test_one_receiver_of_several_filters(self) -> None:
        """A handler is one receiver, whose filters may overlap; at another place it is another."""

        class Unhashable:
            __hash__ = None  # type: ignore[assignment]  # the point

            def __call__(self, _message: Message) -> list[Metric]:
                return [POINT]

        def handler(_message: Message) -> list[Metric]:
            return [POINT]

        context = self.make_context()
        for each, place in (
            *((handler, "message"), (handler, "message"), (handler, "discovery")),
            *((Unhashable(), "message"), (self.take, "message"), (self.take, "message")),
        ):
            context.subscribe(BROKER, "a", each, place=place)
        receivers = [subscription.deliver for subscription in self.connection.subscriptions]
        self.assertEqual([receivers.index(each) for each in receivers], [0, 0, 2, 3, 4, 4])

    def take(self, _message: Message) -> list[Metric]:
        """Take a message, as a method."""
        return [POINT]

    def test_what_others_collect(self) -> None:
        """What another module says of it is contained, whatever it does."""

        def takes(topic: str) -> bool:
            if topic == "bad":
                raise SystemExit
            return topic == "theirs"

        found = Collected(BROKER, frozenset({"x"}), takes, module="other")
        context = Context(
            "demo",
            self.log,
            self.resources,
            self.counters,
            self.failures.append,
            collected_elsewhere=lambda _broker: (found,),
        )
        self.addCleanup(context.close)
        [each] = context.collected_elsewhere(BROKER)
        self.assertEqual(each.module, "other")
        self.assertEqual(
            [each.takes(topic) for topic in ("theirs", "ours", "bad")], [True, False, False]
        )
        self.assertEqual(self.counters.errors, {"collected_elsewhere": 1})

    def test_unknown_broker(self) -> None:
        """A broker that the settings do not name is the module's mistake."""
        other = MqttSettings(broker="tcp://other.test")
        with self.assertRaises(KeyError):
            self.make_context().subscribe(other, "a", lambda _message: ())

    def test_the_topic_of_the_output(self) -> None:
        """A filter that has it is refused: our own lines are no messages of devices."""
        self.resources = evolve(self.resources, output_topic="telegraf/house")
        context = self.make_context()
        for each in ("telegraf/house", "telegraf/#", "$share/group/telegraf/+"):
            with self.assertRaisesRegex(ValueError, "got the topic 'telegraf/house' of the output"):
                context.subscribe(BROKER, each, lambda _message: ())
        context.subscribe(BROKER, "telegraf/+", lambda _message: (), learned=True).cancel()
        self.assertEqual(self.connection.subscriptions, [])
        self.assertEqual(self.counters.dropped, {"output_topic": 1})
        context.subscribe(BROKER, "telegraf/house/+", lambda _message: ())
        with self.assertRaisesRegex(ValueError, "#/a"):
            context.subscribe(BROKER, "#/a", lambda _message: ())
        self.assertEqual(len(self.connection.subscriptions), 1)

    def test_announcements(self) -> None:
        """At QoS 1 brokers send few of them before they get acknowledgements: it is 0."""
        context = self.make_context()
        context.subscribe(BROKER, "a", lambda _message: (), qos=1, announcements=True)
        context.subscribe(BROKER, "b", lambda _message: (), qos=1)
        announced, other = self.connection.subscriptions
        self.assertEqual((announced.qos, announced.announcements), (0, True))
        self.assertEqual((other.qos, other.announcements), (1, False))

    def test_wrong_filter(self) -> None:
        """So is a filter that is none; nothing is owned then."""
        context = self.make_context()
        with self.assertRaises(ValueError):
            context.subscribe(BROKER, "#/a", lambda _message: ())
        self.assertEqual(context.close(), "")

    def test_every_fault(self) -> None:
        """A handler that raises costs this message, not what others had in the same read."""
        for kind in FAULTS:
            self.forget()
            lines = self.deliver(raiser(kind("why")), [b"other 1\n"])
            self.assertEqual(lines, [b"other 1\n"])
            self.assertEqual(
                self.logged(), [f"Error in message of 'tele/plug/SENSOR': {kind.__name__}('why')"]
            )
        self.assertEqual(self.counters.errors, {"message": len(FAULTS)})

    def test_raises_halfway(self) -> None:
        """A message counts as a whole: half of it is nothing."""

        def half(_message: Message) -> Iterator[Metric]:
            yield POINT
            raise SystemExit(1)

        self.assertEqual(self.deliver(half, [b"other 1\n"]), [b"other 1\n"])
        self.assertEqual(self.counters.metrics, 0)

    def test_refused(self) -> None:
        """A metric that cannot be carried is counted, those beside it are written."""
        self.assertEqual(self.deliver(lambda _message: [POINT, BAD, POINT]), [LINE, LINE])
        self.assertIn(f"Metric {BAD.series.describe()} refused: no_fields", self.logged("warn")[0])
        self.assertEqual((self.counters.dropped, self.counters.metrics), ({"no_fields": 1}, 2))

    def test_gives_nothing_iterable(self) -> None:
        """A handler that gives no collection is reported like one that raises."""
        self.assertEqual(self.deliver(lambda _message: None), [])  # type: ignore[arg-type,return-value]
        self.assertEqual(self.counters.errors, {"message": 1})

    def test_payload_error(self) -> None:
        """A message of a device that cannot be read is not a fault of the module: one warning."""
        self.deliver(raiser(PayloadError("invalid_json", "line 1")))
        self.assertEqual(self.counters.errors, {})
        self.assertEqual(self.counters.dropped, {"invalid_json": 1})
        self.assertEqual(
            self.logged("warn"),
            ["A message on 'tele/plug/SENSOR' was dropped: invalid_json: line 1"],
        )

    def test_odd_payload_errors(self) -> None:
        """An error of a module's own kind without a reason is reported like any other."""

        class OwnError(PayloadError):
            def __init__(self) -> None:
                Exception.__init__(self, "own")

        self.deliver(raiser(OwnError()))
        self.deliver(raiser(PayloadError(["odd"])))  # type: ignore[arg-type]  # the point
        self.assertEqual(self.counters.errors, {"message": 2})

    def test_place(self) -> None:
        """The place is the one that the module named."""
        context = self.make_context()
        context.subscribe(BROKER, "a", raiser(ValueError()), place="discovery")
        self.connection.subscriptions[0].deliver(MESSAGE, [])
        self.assertEqual(self.counters.errors, {"discovery": 1})

    def test_publish(self) -> None:
        """A message goes out if the broker is there."""
        context = self.make_context()
        self.assertIs(context.publish(BROKER, "a", b"b", qos=1), True)
        self.connection.connected = False
        self.assertIs(context.publish(BROKER, "a", b"b"), False)
        self.assertEqual(self.connection.published, [("a", b"b", 1)])


class TimerTests(ContextCase):
    """What is called later."""

    def test_later(self) -> None:
        """Called once, with its arguments."""
        calls: list[tuple[object, ...]] = []
        self.make_context().later(5, lambda *args: calls.append(args), 1, 2)
        self.clock.pump([4, 1, 5])
        self.assertEqual(calls, [(1, 2)])

    def test_every_fault(self) -> None:
        """Whatever it raises ends at the guard."""
        context = self.make_context()
        for kind in FAULTS:
            context.later(1, raiser(kind("why")), place="poll")
        self.clock.advance(1)
        self.assertEqual(self.counters.errors, {"poll": len(FAULTS)})

    def test_wrong_delay(self) -> None:
        """A delay that is none is refused: NaN would put all timers of the process in disorder."""
        context = self.make_context()
        for delay_s in (-1.0, float("nan")):
            with self.assertRaisesRegex(ValueError, "got a delay of"):
                context.later(delay_s, list)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_many(self) -> None:
        """Timers that are over are forgotten, however many there were."""
        context = self.make_context()
        for _ in range(10_000):
            context.later(1, list)
            self.clock.advance(1)
        self.assertLess(len(context._owned), 200)

    def test_many_at_a_time(self) -> None:
        """Those that wait are all cancelled at the end."""
        context = self.make_context()
        for _ in range(1000):
            context.later(1, list)
        self.assertEqual(context.close(), "1000 timers")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_ticks(self) -> None:
        """A ticker emits what it collects and is counted at the place it was given."""
        context = self.make_context()
        context.every(10, lambda: [POINT])
        context.every(10, raiser(ValueError("x")), place="poll", now=False)
        self.clock.advance(0)
        self.clock.advance(10)
        self.assertEqual((len(self.lines()), self.counters.errors), (2, {"poll": 1}))

    def test_hopeless_ticks(self) -> None:
        """Three failed ticks in a row are reported, and end the life of the module once."""
        context = self.make_context()
        context.every(10, raiser(ValueError("x")))
        self.clock.advance(0)
        for _ in range(8):
            self.clock.advance(10)
        self.assertEqual([str(each) for each in self.failures], ["x"])
        self.assertIn("3 consecutive ticks failed; restarting the module.", self.logged())


class WorkTests(ContextCase):
    """Deferreds, coroutines, threads."""

    def test_result(self) -> None:
        """A result comes back."""

        async def work() -> int:
            return 3

        context = self.make_context()
        self.assertEqual(self.successResultOf(context.watch(succeed(3))), 3)
        self.assertEqual(self.successResultOf(context.watch(work())), 3)

    def test_every_fault(self) -> None:
        """Whatever it fails with is reported, and the result is None."""
        context = self.make_context()
        for kind in FAULTS:
            work: Deferred[Any] = Deferred()
            watched = context.watch(work, place="login")
            work.errback(kind("why"))
            self.assertIsNone(self.successResultOf(watched))
        self.assertEqual(self.counters.errors, {"login": len(FAULTS)})

    def test_what_cannot_be_awaited(self) -> None:
        """What is not work is reported as its failure."""
        watched = self.make_context().watch(None)  # type: ignore[arg-type]  # the point
        self.assertIsNone(self.successResultOf(watched))
        self.assertEqual(self.counters.errors, {"deferred": 1})

    def test_ended_work_is_forgotten(self) -> None:
        """Only what is under way is kept."""
        context = self.make_context()
        for _ in range(100):
            context.watch(succeed(None))
        self.assertEqual(context.close(), "")

    def test_thread(self) -> None:
        """A blocking call's result and its faults come back into the reactor."""
        context = self.make_context()
        results = [context.in_thread(divmod, 7, 3)]
        results += [context.in_thread(raiser(kind("why"))) for kind in FAULTS]
        for each in results:
            self.assertNoResult(each)
        while self.clock.threads.waiting:
            self.clock.threads.work()
            self.clock.turn()
        self.assertEqual(self.successResultOf(results[0]), (2, 1))
        self.assertEqual([self.successResultOf(each) for each in results[1:]], [None] * 6)
        self.assertEqual(self.counters.errors, {"thread": len(FAULTS)})


class LifeTests(ContextCase):
    """When a module says that its life is over."""

    def test_fail(self) -> None:
        """Reported at once, handed on in a later turn, once."""
        context = self.make_context()
        context.fail(ValueError("gone"))
        context.fail(ValueError("again"))
        self.assertEqual(self.failures, [])
        self.assertEqual(self.logged(), ["Error in life: ValueError('gone')"])
        self.clock.advance(0)
        self.assertEqual([str(each) for each in self.failures], ["gone"])

    def test_fail_with_what_is_no_exception(self) -> None:
        """A reason of any kind ends the life: what the module wants is clear."""
        for reason in ("the socket is gone", None, Failure(ValueError("gone"))):
            self.forget()
            self.make_context().fail(reason)  # type: ignore[arg-type]  # the point
            self.clock.advance(0)
            self.assertEqual(len(self.logged()), 1)
        self.assertEqual(len(self.failures), 3)
        for failure in self.failures:
            self.assertIsInstance(failure, BaseException)

    def test_emit_and_drop(self) -> None:
        """Metrics go to the sink; what a module leaves is counted by its reason."""
        context = self.make_context()
        context.emit([POINT, BAD])
        context.drop("stale", 2)
        self.assertEqual(self.lines(), ["m f=1.0"])
        self.assertEqual(self.counters.dropped, {"no_fields": 1, "stale": 2})

    def test_clock(self) -> None:
        """The wall clock is the one it was made with."""
        self.assertEqual(self.make_context().now_ns(), 1_700_000_000_000_000_000)


class StateTests(ContextCase):
    """Files that outlive the process."""

    def test_path(self) -> None:
        """The file is in a directory of the module, which exists and is its owner's alone."""
        path = self.make_context().state_path("token.json")
        self.assertEqual(path, self.state_dir / "demo" / "token.json")
        self.assertEqual(path.parent.stat().st_mode & 0o777, 0o700)
        self.assertEqual(self.make_context().state_path("token.json"), path)

    def test_instance(self) -> None:
        """The directory of an instance has no colon in its name."""
        context = self.make_context()
        context.name = "demo:garage"
        self.assertEqual(context.state_path("x").parent.name, "demo@garage")

    def test_names_that_are_none(self) -> None:
        """A name that leads elsewhere is refused."""
        context = self.make_context()
        for name in ("", ".", "..", "a/b", "/etc/passwd", "../demo/x"):
            with self.assertRaisesRegex(ValueError, "expected the name of a file"):
                context.state_path(name)


class DeviceTests(ContextCase):
    """What its lines mean for the book of the module's devices."""

    def setUp(self) -> None:
        super().setUp()
        self.context = self.make_context()
        self.book = self.context._devices
        self.book.sweep(0.0, 0, hears=True)

    def heard(self) -> list[str]:
        """Return the devices that were heard since the last call."""
        before = self.book.listened_s
        self.book.sweep(before + 10, 10**10, hears=True)
        return [name for name, each in self.book.devices.items() if each.heard_s > before]

    def test_messages(self) -> None:
        """A message's lines mark their devices; one that is refused or raises marks no more."""
        series = [Series("m", {"device": name}) for name in ("a", "b", "c")]

        def handler(message: Message) -> Iterator[Metric]:
            yield Metric(series[0], {"f": 1.0}, 1)
            yield Metric(series[1], {}, 1)
            yield Metric(Series("m", {}), {"f": 1.0}, 1)
            if message.topic == "raise":
                raise ValueError
            yield Metric(series[2], {"f": 1.0}, 1)

        self.context.subscribe(BROKER, "#", handler)
        deliver = self.connection.subscriptions[-1].deliver
        deliver(MESSAGE._replace(received_ns=10**9), [])
        self.assertEqual(self.heard(), ["a", "c"])
        deliver(MESSAGE._replace(topic="raise", received_ns=2 * 10**9), [])
        self.assertEqual(self.heard(), ["a"])

    def test_lines_are_kept_if_wanted(self) -> None:
        """The line of a message is the device's last one."""
        self.book.keeps_lines = True
        point = metric("m", {"device": "a"}, {"f": 1.0})
        self.context.subscribe(BROKER, "#", lambda _message: [point])
        lines: list[bytes] = []
        self.connection.subscriptions[-1].deliver(MESSAGE, lines)
        kept = self.book.devices["a"].lines
        self.assertEqual([each.line for each in kept], lines)

    def test_emitted(self) -> None:
        """So do metrics that are emitted, at the time of that."""
        self.context.emit([metric("m", {"device": "a"}, {"f": 1.0}), BAD])
        self.assertEqual(self.heard(), ["a"])
        self.assertEqual(self.heard(), [])

    def test_expect(self) -> None:
        """What a device announces goes to the book."""
        self.context.expect("a", 60.0, 120.0)
        self.assertEqual(self.book.devices["a"].announced_s, (60.0, 120.0))
