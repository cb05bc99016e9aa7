"""Filters, topics, and who gets what."""

from __future__ import annotations

import tracemalloc

import hypothesis.strategies as st
from hypothesis import example, given, settings
from paho.mqtt.client import topic_matches_sub
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.interfaces import Message
from metrics_agent.topic_filters import covers, inner_filter, valid_filter, valid_topic
from metrics_agent.transports.mqtt.topics import Deliver, SubscriptionTable

bounded = settings(max_examples=300, derandomize=True)

levels = st.sampled_from(["", "a", "b", "tele", "$SYS", "$"])
topics = st.lists(levels, min_size=1, max_size=5).map("/".join).filter(bool)


@st.composite
def topic_filters(draw: st.DrawFn) -> str:
    """Valid filters made of the same few levels as the topics."""
    parts = draw(st.lists(levels | st.just("+"), max_size=4))
    if not parts or draw(st.booleans()):
        parts.append(draw(st.sampled_from(["#", "+", "a"])))
    return "/".join(parts) or "a"


def deliver(number: int) -> Deliver:
    """Make a receiver that leaves its number."""

    def call(_message: Message, lines: list[bytes]) -> None:
        lines.append(b"%d" % number)

    return call


MESSAGE = Message("t", b"", 0, retain=False, received_ns=1)


def reached(table: SubscriptionTable, topic: str) -> list[int]:
    """The numbers of those who get a message, in order."""
    lines: list[bytes] = []
    for call in table.match(topic.encode()).receivers:
        call(MESSAGE, lines)
    return [int(line) for line in lines]


class OnceTests(SynchronousTestCase):
    """Retained topics are many and come once."""

    def test_the_same_route_and_nothing_kept(self) -> None:
        """The answer is that of `match`; memory does not grow with it."""
        table = SubscriptionTable()
        table.add("a/+", 0, lambda _message, _lines: None)
        route = table.match_once(b"a/1")
        self.assertEqual(len(route.receivers), 1)
        self.assertEqual(len(table._cache), 0)
        self.assertEqual(table.match(b"a/1"), route)
        self.assertIs(table.match_once(b"a/1"), table.match(b"a/1"))


class ValidTests(SynchronousTestCase):
    """What may be subscribed to and published to."""

    def test_filters(self) -> None:
        """The filters of the specification and of shared subscriptions are valid."""
        for text in (
            *("a", "a/b", "/", "/a", "a/", "#", "+", "a/#", "+/+", "a/+/b/#", "/+", "$SYS/#", "ü"),
            *("$share/g/a", "$share/g/+/#", "$share/g//", "$queue/a", "$queue/#", "$queuex"),
            *("a b", "a" * 65_535, "/".join("a" * 200), "a\ufdcf\ufdf0\ufffd\U0001fffd"),
        ):
            self.assertIsNone(valid_filter(text), text)

    def test_wrong_filters(self) -> None:
        """Each way of being wrong has its reason."""
        for text, reason in (
            ("", "empty"),
            ("a" * 65_536, "65536 bytes"),
            ("a\0b", "U+0000"),
            ("a\nb", "U+000A"),
            ("a/st\ufdd0at", "U+FDD0"),
            ("a\ufdef", "U+FDEF"),
            ("a\ufffe", "U+FFFE"),
            ("a\U0001ffff", "U+1FFFF"),
            ("a\U0010fffe/b", "U+10FFFE"),
            ("a/" * 200, "201 levels, at most 200"),
            ("a\ud800", "UTF-8"),
            ("a+", "whole level"),
            ("+a/b", "whole level"),
            ("a#", "whole level"),
            ("a/##", "whole level"),
            ("#/a", "last level"),
            ("a/#/b", "last level"),
            ("$share", "$share/<group>/<filter>"),
            ("$share/g", "$share/<group>/<filter>"),
            ("$share/g/", "$share/<group>/<filter>"),
            ("$share//a", "$share/<group>/<filter>"),
            ("$share/+/a", "$share/<group>/<filter>"),
            ("$share/#/a", "$share/<group>/<filter>"),
            ("$share/g+/a", "whole level"),
            ("$queue", "$queue/<filter>"),
            ("$queue/", "$queue/<filter>"),
            ("$share/g/a/#/b", "last level"),
        ):
            with self.subTest(text=text[:20]):
                self.assertIn(reason, valid_filter(text) or "")

    def test_topics(self) -> None:
        """A topic is what a filter is, without wildcards."""
        self.assertIsNone(valid_topic("tele/a b/SENSOR"))
        for text in ("", "a/+", "a/#", "a+b", "a\0", "\ud800", "\ufdd0", "/" * 200):
            self.assertIsNotNone(valid_topic(text), text)

    def test_inner_filter(self) -> None:
        """Topics of a shared subscription are matched by what follows the group."""
        self.assertEqual(inner_filter("$share/g/a/+"), "a/+")
        self.assertEqual(inner_filter("$queue/a/#"), "a/#")
        self.assertEqual(inner_filter("a/b"), "a/b")


class CoverTests(SynchronousTestCase):
    """Which filter makes another one superfluous."""

    def test_covers(self) -> None:
        """Level by level, a wildcard covers a name and the same wildcard."""
        for wide, narrow, expected in (
            ("#", "a/b", True),
            ("a/#", "a/b/c", True),
            ("a/#", "a", True),
            ("a/+", "a/b", True),
            ("a/+", "a/+", True),
            ("+/+", "a/+", True),
            ("a/b", "a/b", True),
            ("a/b", "a/+", False),
            ("a/+", "a/#", False),
            ("a/+", "a", False),
            ("a/+", "a/b/c", False),
            ("b/+", "a/b", False),
            ("#", "$SYS/a", False),
            ("+/a", "$SYS/a", False),
            ("+/+/+/a", "$share/g/+/a", False),
            ("$share/g/+/a", "$share/g/b/a", True),
            ("$share/g/+/a", "$share/h/b/a", False),
        ):
            self.assertIs(covers(wide, narrow), expected, (wide, narrow))

    @bounded
    @given(topic_filters(), topic_filters(), topics)
    def test_no_topic_slips_through(self, wide: str, narrow: str, topic: str) -> None:
        """What a covered filter matches, by paho's own rule, the other one matches too."""
        if covers(wide, narrow) and topic_matches_sub(narrow, topic):
            self.assertTrue(topic_matches_sub(wide, topic))


class MatchTests(SynchronousTestCase):
    """Which subscriptions a topic reaches."""

    @bounded
    @given(st.lists(topic_filters(), max_size=8), st.lists(topics, max_size=8), st.data())
    @example(["a/#", "+/b", "#", "$SYS/#"], ["a", "a/b", "$SYS", "$SYS/a"], None)
    def test_oracle(self, filters: list[str], names: list[str], data: st.DataObject | None) -> None:
        """Each topic reaches those whose filter paho says matches, also after cancelling some."""
        table = SubscriptionTable()
        alive = {number: table.add(each, 0, deliver(number)) for number, each in enumerate(filters)}
        for _ in range(2):
            for name in names:
                expected = [
                    number
                    for number, subscription in alive.items()
                    if topic_matches_sub(subscription.topic_filter, name)
                ]
                self.assertEqual(reached(table, name), expected)
                self.assertEqual(table.match(name.encode()).topic, name)
            gone = data.draw(st.sets(st.sampled_from(sorted(alive)))) if data and alive else set()
            for number in gone:
                alive.pop(number).cancel()
        for subscription in alive.values():
            subscription.cancel()
        self.assertEqual((table._root.children, table.wanted()), ({}, {}))

    def test_shared(self) -> None:
        """Shared subscriptions and plain ones of the same filter both get the message."""
        table = SubscriptionTable()
        table.add("$share/g/tele/+/SENSOR", 1, deliver(1))
        table.add("$queue/tele/#", 1, deliver(2))
        table.add("tele/+/SENSOR", 1, deliver(3))
        table.add("$share/g/+/x", 1, deliver(4))
        self.assertEqual(reached(table, "tele/x/SENSOR"), [1, 2, 3])
        self.assertEqual(reached(table, "$SYS/x"), [])

    def test_order(self) -> None:
        """Receivers are called in the order in which they subscribed."""
        table = SubscriptionTable()
        for number, each in enumerate(["#", "a/b", "+/b", "a/#", "a/b"]):
            table.add(each, 0, deliver(number))
        self.assertEqual(reached(table, "a/b"), [0, 1, 2, 3, 4])

    def test_no_topic(self) -> None:
        """Bytes that are no topic have no text and reach no one, not even #."""
        table = SubscriptionTable()
        table.add("#", 0, deliver(1))
        for topic in (b"\xff", b"a\0b", b"a/+", b"a/#", b""):
            self.assertEqual(table.match(topic), (None, (), 0))

    def test_unwanted(self) -> None:
        """A topic that no one wants has its text and no receivers."""
        self.assertEqual(SubscriptionTable().match(b"a"), ("a", (), 0))

    def test_invalid_filter(self) -> None:
        """A wrong filter is refused with its reason and leaves no trace."""
        table = SubscriptionTable()
        error = self.assertRaises(ValueError, table.add, "a/#/b", 1, deliver(1))
        self.assertIn("'a/#/b': # may only be the last level", str(error))
        self.assertEqual(table.wanted(), {})


class CacheTests(SynchronousTestCase):
    """The answers that are kept."""

    def test_same_answer(self) -> None:
        """A topic is looked up once; the next message gets the very same route."""
        table = SubscriptionTable()
        table.add("a/+", 0, deliver(1))
        route = table.match(b"a/b")
        self.assertIs(table.match(bytes(bytearray(b"a/b"))), route)
        self.assertIs(table.match(b"a/c").receivers, route.receivers)

    def test_memory_stays_below_limit_whatever_the_topics(self) -> None:
        """The memory is bounded in bytes, as measured: short, long, ASCII and other topics."""
        limit = 512 * 1024
        for name, make in (
            ("short", "t/{}".format),
            ("Latin-1", "t/{}/\xe9\xe9\xe9".format),
            ("wide", ("t/{}/" + "\U0001f600" * 100).format),
            ("longest that are kept", ("t/{:05}/" + "x" * 1015).format),
            ("longer", ("t/{}/" + "x" * 60_000).format),
        ):
            table = SubscriptionTable(cache_bytes=limit)
            table.add("#", 0, deliver(1))
            tracemalloc.start()
            try:
                before, _ = tracemalloc.get_traced_memory()
                for number in range(3000):
                    table.match(make(number).encode())
                    used = tracemalloc.get_traced_memory()[0] - before
                    self.assertLess(used, limit + 150_000, name)
            finally:
                tracemalloc.stop()
            self.assertEqual(reached(table, make(1)), [1])

    def test_fleet_fits(self) -> None:
        """The topics of ten thousand devices, four each, are all kept."""
        table = SubscriptionTable()
        table.add("tele/+/+", 0, deliver(1))
        topics = [f"tele/tasmota_{n:06X}/{s}".encode() for n in range(10_000) for s in "ABCD"]
        for topic in topics:
            table.match(topic)
        self.assertEqual(len(table._cache), len(topics))

    def test_topic_of_thousands_of_levels_costs_no_more_than_its_filters(self) -> None:
        """The tree is left at the first level that no filter has."""
        table = SubscriptionTable()
        table.add("a/b", 0, deliver(1))
        table.add("a/#", 0, deliver(2))
        self.assertEqual(reached(table, "a/b" + "/" * 30_000), [2])

    def test_receiver_of_overlapping_filters(self) -> None:
        """It gets a message once, until none of its filters is left."""
        table = SubscriptionTable()
        one, other = deliver(1), deliver(2)
        first, second = (table.add(name, 0, one) for name in ("a/+/b", "+/a/b"))
        table.add("a/a/+", 0, other)
        self.assertEqual(reached(table, "a/a/b"), [1, 2])
        first.cancel()
        self.assertEqual(reached(table, "a/a/b"), [1, 2])
        second.cancel()
        self.assertEqual(reached(table, "a/a/b"), [2])

    def test_change(self) -> None:
        """A new and a cancelled subscription are seen by the next message."""
        table = SubscriptionTable()
        self.assertEqual(reached(table, "a"), [])
        subscription = table.add("a", 0, deliver(1))
        self.assertEqual(reached(table, "a"), [1])
        subscription.cancel()
        self.assertEqual(reached(table, "a"), [])
        self.assertEqual(table._receivers, {(): ()})


class WantedTests(SynchronousTestCase):
    """What the broker is to be asked for."""

    def test_highest(self) -> None:
        """Of several subscriptions of a filter the highest QoS counts, while it lasts."""
        table = SubscriptionTable()
        low = table.add("a", 0, deliver(1))
        high = table.add("a", 1, deliver(2))
        table.add("$share/g/a", 0, deliver(3))
        self.assertEqual(table.wanted(), {"a": 1, "$share/g/a": 0})
        high.cancel()
        self.assertEqual(table.wanted(), {"a": 0, "$share/g/a": 0})
        low.cancel()
        self.assertEqual(table.wanted(), {"$share/g/a": 0})

    def test_listeners(self) -> None:
        """All who asked hear of each change once, when it has been made."""
        table = SubscriptionTable()
        logged: list[tuple[str, bool, dict[str, int]]] = []
        for _ in range(2):
            table.on_change(lambda name, added: logged.append((name, added, table.wanted())))
        subscription = table.add("a", 1, deliver(1))
        self.assertEqual(logged, [("a", True, {"a": 1})] * 2)
        logged.clear()
        subscription.cancel()
        subscription.cancel()
        self.assertEqual(logged, [("a", False, {})] * 2)

    def test_subscription(self) -> None:
        """A subscription knows its filter and QoS."""
        subscription = SubscriptionTable().add("$share/g/a", 1, deliver(1))
        self.assertEqual((subscription.topic_filter, subscription.qos), ("$share/g/a", 1))
