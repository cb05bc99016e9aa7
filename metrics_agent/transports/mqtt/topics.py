"""Which subscriptions a topic belongs to.

Theory of operation. Devices send on the same topics again and again, so the answer for a topic
is kept: a message costs one dict lookup, however many devices and filters there are. Only a
topic that was not seen since the table last changed is looked up in the tree of filters, one
level of the topic at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from sys import getsizeof
from typing import Final, NamedTuple, TypeAlias

from metrics_agent.bounded import BoundedCache
from metrics_agent.interfaces import Message
from metrics_agent.limits import CACHED_TOPIC_BYTES, TOPIC_CACHE_BYTES
from metrics_agent.topic_filters import has_wildcard, inner_filter, valid_filter

__all__ = [
    "Change",
    "Deliver",
    "Route",
    "Subscription",
    "SubscriptionTable",
]

Deliver: TypeAlias = Callable[[Message, list[bytes]], None]
"""Takes a message and appends encoded lines to the list; never raises."""

Change: TypeAlias = Callable[[str, bool], None]
"""Called with the filter, and True when a subscription was added, False when one was cancelled."""

# A dictionary's slot and a Route, measured.
_ROUTE_BYTES: Final = 118
_MAX_COMBINATIONS: Final = 1000


class Route(NamedTuple):
    """Where the messages of a topic go.

    Attributes:
        topic: the topic, or None if it is invalid (not UTF-8, a wildcard, NUL).
        receivers: to be called in this order; empty if it is not wanted.
        copies: beside one of a message, how many more a broker may send: with MQTT 5 mosquitto
            sends one for each filter that the topic belongs to.
    """

    topic: str | None
    receivers: tuple[Deliver, ...]
    copies: int = 0


class Subscription:
    """One receiver of a filter; made by `SubscriptionTable.add`.

    Attributes:
        topic_filter: as it was added, with ``$share/...``.
        qos: the highest QoS that the receiver wants.
        learned: the filter comes from a device, not from the configuration.
        announcements: its retained messages are to be handled before all others.
    """

    __slots__ = ("_deliver", "_number", "_table", "announcements", "learned", "qos", "topic_filter")

    def __init__(
        self,
        table: SubscriptionTable,
        number: int,
        topic_filter: str,
        qos: int,
        deliver: Deliver,
        *,
        learned: bool,
        announcements: bool,
    ) -> None:
        self._table: SubscriptionTable | None = table
        self._number = number
        self._deliver = deliver
        self.topic_filter = topic_filter
        self.qos = qos
        self.learned = learned
        self.announcements = announcements

    def cancel(self) -> None:
        """Deliver nothing more to it; harmless when it has been cancelled."""
        table, self._table = self._table, None
        if table is not None:
            table._remove(self)  # noqa: SLF001 - the two are one thing


class _Node:
    """A level of the tree; a wildcard is a child like any other."""

    __slots__ = ("children", "subscriptions")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.subscriptions: list[Subscription] = []


class SubscriptionTable:
    """The subscriptions of a connection.

    Args:
        cache_bytes: the most memory for routes that are kept.

    Attributes:
        announcement_filters: the filters of announcements.
    """

    def __init__(self, cache_bytes: int = TOPIC_CACHE_BYTES) -> None:
        self._cache: BoundedCache[bytes, Route] = BoundedCache(cache_bytes)
        self._receivers: dict[tuple[Deliver, ...], tuple[Deliver, ...]] = {}
        self._root = _Node()
        self._by_filter: dict[str, list[Subscription]] = {}
        self._listeners: list[Change] = []
        self._added = 0
        self.announcement_filters: set[str] = set()

    def on_change(self, call: Change) -> None:
        """Have a callable called for each subscription that is added or cancelled, afterwards.

        It is called for a second subscription of the same filter too: only when the filter is
        sent to the broker again do retained messages come for the new receiver.
        """
        self._listeners.append(call)

    def add(
        self,
        topic_filter: str,
        qos: int,
        deliver: Deliver,
        *,
        learned: bool = False,
        announcements: bool = False,
    ) -> Subscription:
        """Add a receiver; a filter may have several.

        A receiver gets a message once, however many of its filters the topic belongs to.

        Args:
            topic_filter: valid by `valid_filter`.
            qos: 0 or 1.
            deliver: see `Deliver`.
            learned: see `Subscription`.
            announcements: see `Subscription`.

        Raises:
            ValueError: the filter is not valid.
        """
        reason = valid_filter(topic_filter)
        if reason is not None:
            raise ValueError(f"got the topic filter {topic_filter!r:.200}: {reason}")
        self._added += 1
        subscription = Subscription(
            self,
            self._added,
            topic_filter,
            qos,
            deliver,
            learned=learned,
            announcements=announcements,
        )
        self._by_filter.setdefault(topic_filter, []).append(subscription)
        if announcements:
            self.announcement_filters.add(topic_filter)
        node = self._root
        for level in inner_filter(topic_filter).split("/"):
            node = node.children.setdefault(level, _Node())
        node.subscriptions.append(subscription)
        self._changed(topic_filter, added=True)
        return subscription

    def wanted(self) -> dict[str, int]:
        """Return each wanted filter with the highest QoS asked for."""
        return {
            topic_filter: max(subscription.qos for subscription in subscriptions)
            for topic_filter, subscriptions in self._by_filter.items()
        }

    def learned(self) -> set[str]:
        """Return the filters that only devices asked for."""
        return {
            topic_filter
            for topic_filter, subscriptions in self._by_filter.items()
            if all(subscription.learned for subscription in subscriptions)
        }

    def match(self, topic: bytes) -> Route:
        """Return where the messages of a topic go, from the cache if it was asked before.

        Args:
            topic: the raw bytes of a PUBLISH packet; any bytes.
        """
        route = self._cache.get(topic)
        if route is None:
            route = self._look_up(topic)
            if len(topic) <= CACHED_TOPIC_BYTES:
                size_bytes = _ROUTE_BYTES + getsizeof(topic) + getsizeof(route.topic)
                self._cache.put(topic, route, size_bytes)
        return route

    def match_once(self, topic: bytes) -> Route:
        """Return the same, for a topic that will hardly be asked for again: not kept."""
        return self._cache.get(topic) or self._look_up(topic)

    def _look_up(self, topic: bytes) -> Route:
        try:
            text: str | None = topic.decode()
        except UnicodeDecodeError:
            text = None
        # A client that sends such a topic cannot get past a broker, but bytes are bytes.
        if not text or "\0" in text or has_wildcard(text):
            route = Route(None, ())
        else:
            found = sorted(self._find(text), key=_number)
            # Whoever announces devices can make hundreds of filters that one topic belongs to.
            receivers = tuple(dict.fromkeys([subscription._deliver for subscription in found]))  # noqa: SLF001
            # Thousands of topics share a handful of these; but filters that overlap can
            # make any number of them.
            if len(self._receivers) >= _MAX_COMBINATIONS:
                self._receivers.clear()
            filters = {subscription.topic_filter for subscription in found}
            copies = max(0, len(filters) - 1)
            route = Route(text, self._receivers.setdefault(receivers, receivers), copies)
        return route

    def _find(self, topic: str) -> Iterator[Subscription]:
        levels = topic.split("/")
        nodes = [self._root]
        # MQTT 3.1.1, 4.7.2: a wildcard at the beginning does not match topics such as $SYS.
        wildcards = not topic.startswith("$")
        for level in levels:
            below = []
            for node in nodes:
                children = node.children
                if level in children:
                    below.append(children[level])
                if wildcards:
                    if "+" in children:
                        below.append(children["+"])
                    if "#" in children:
                        yield from children["#"].subscriptions
            if not below:  # a topic may have thousands of levels more
                return
            nodes = below
            wildcards = True
        for node in nodes:
            yield from node.subscriptions
            # 4.7.1.2: # includes the level above it.
            if "#" in node.children:
                yield from node.children["#"].subscriptions

    def _remove(self, subscription: Subscription) -> None:
        topic_filter = subscription.topic_filter
        subscriptions = self._by_filter[topic_filter]
        subscriptions.remove(subscription)
        if not subscriptions:
            del self._by_filter[topic_filter]
        if not any(each.announcements for each in subscriptions):
            self.announcement_filters.discard(topic_filter)
        path = []
        node = self._root
        for level in inner_filter(topic_filter).split("/"):
            path.append((node, level))
            node = node.children[level]
        node.subscriptions.remove(subscription)
        for parent, level in reversed(path):
            child = parent.children[level]
            if child.children or child.subscriptions:
                break
            del parent.children[level]
        self._changed(topic_filter, added=False)

    def _changed(self, topic_filter: str, *, added: bool) -> None:
        self._cache.clear()
        self._receivers.clear()
        for call in tuple(self._listeners):
            call(topic_filter, added)


def _number(subscription: Subscription) -> int:
    return subscription._number  # noqa: SLF001
