"""The subscriptions: a filter for each distinct shape of topics and each subtopic.

Shapes are learnt from announcements. They are also kept in a small file: after a restart the
broker must not be asked to forget a filter, nor may a message be missed, while the announcement
that asks for it is still on its way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from metrics_agent.interfaces import Cancellable, Handler, ModuleContext
from metrics_agent.limits import TASMOTA_TOPIC_CHARS, TASMOTA_TOPIC_LEVELS
from metrics_agent.modules.tasmota.filter_set import FilterSet
from metrics_agent.modules.tasmota.topics import (
    DEFAULT_FULL_TOPIC,
    DEFAULT_PREFIXES,
    TopicShape,
)
from metrics_agent.topic_filters import valid_filter
from metrics_agent.transports.mqtt.settings import MqttSettings

__all__ = [
    "BLUETOOTH",
    "BLUETOOTH_FILTER",
    "MAX_SHAPES",
    "POWER",
    "TELEMETRY",
    "Filters",
    "announcement_filter",
    "is_full_topic",
    "settings_filters",
    "user_filters",
]

MAX_SHAPES: Final = 256
"""Distinct shapes that are learnt; a fleet has a handful."""

_STATE_FILE: Final = "topics.json"
TELEMETRY: Final = ("SENSOR", "STATE", "LWT", "ZbReceived")
"""What devices send by themselves."""
POWER: Final = ("POWER", *(f"POWER{channel}" for channel in range(1, 9)))
"""Replies of what is switched, of devices with SetOption4: others say the same as RESULT."""
BLUETOOTH: Final = "tasmota_ble"
"""Bridges with MI32Option6 1 send on tele/tasmota_ble/<name of the sensor>, as one device."""
BLUETOOTH_FILTER: Final = f"{DEFAULT_PREFIXES[2]}/{BLUETOOTH}/+"
_LONGEST_SUBTOPIC: Final = "ENERGYTOTAL"
_BEHIND_BRIDGE: Final = ("SENSOR", "ZbReceived")
"""What a bridge sends for each device behind it, on a topic of that device (SetOption89)."""
_STATUS: Final = ("RESULT", "ENERGYTOTAL", "SENSOR", "STATUS8", "STATUS10", "STATUS11")
"""Replies; a Bluetooth bridge sends what it has just heard as SENSOR there."""


def is_full_topic(topic: str) -> bool:
    """Say whether a topic of the settings is a FullTopic; else it is a plain filter."""
    return "%" in topic or topic.endswith("/")


def user_filters(topics: Iterable[str]) -> tuple[list[TopicShape], list[str]]:
    """Separate FullTopics from plain filters.

    Args:
        topics: from the settings. With a ``%`` token or a slash at its end it is a FullTopic.

    Returns:
        The shapes, the default one first, and the plain filters.
    """
    shapes = [TopicShape.of(DEFAULT_FULL_TOPIC, DEFAULT_PREFIXES)]
    plain = []
    for topic in topics:
        if is_full_topic(topic):
            shapes.append(TopicShape.of(topic, DEFAULT_PREFIXES))
        else:
            plain.append(topic)
    return shapes, plain


def shape_filters(shape: TopicShape) -> Iterator[str]:
    """Yield the filters of all that devices of a shape send."""
    for base, subtopics in ((shape.telemetry, TELEMETRY), (shape.status, _STATUS)):
        for subtopic in subtopics:
            yield f"{base}/{subtopic}"
    if shape.behind_bridge is not None:
        for subtopic in _BEHIND_BRIDGE:
            yield f"{shape.behind_bridge}/{subtopic}"


def settings_filters(discovery_prefix: str, topics: Iterable[str]) -> Iterator[str]:
    """Yield the filters that are subscribed to before anything is learnt.

    Args:
        discovery_prefix: of the settings.
        topics: of the settings.
    """
    shapes, plain = user_filters(topics)
    yield announcement_filter(discovery_prefix)
    for shape in shapes:
        yield from shape_filters(shape)
    yield BLUETOOTH_FILTER
    yield from plain


def announcement_filter(discovery_prefix: str) -> str:
    """Return the filter of announcements."""
    return f"{discovery_prefix}/+/config"


class Filters:
    """Subscribes to what is not covered by another subscription already.

    Args:
        context: of the module.
        broker: where to subscribe.
        handler: gets the messages.
        qos: to subscribe with.
    """

    def __init__(
        self, context: ModuleContext, broker: MqttSettings, handler: Handler, qos: int
    ) -> None:
        self._context = context
        self._log = context.log
        self._state = context.state_file(_STATE_FILE)
        self._broker = broker
        self._handler = handler
        self._qos = qos
        self._group = f"$share/{broker.shared_group}/" if broker.shared_group else ""
        self._shapes: dict[TopicShape, None] = {}
        self._subscribed: dict[str, Cancellable] = {}
        self._set = FilterSet()
        self._said_full = False

    def add_shape(self, shape: TopicShape, *, learned: bool = False) -> None:
        """Subscribe to all that devices of a shape send.

        Args:
            shape: new or not.
            learned: it comes from a device, now or before the last stop.
        """
        if shape in self._shapes:
            return
        reason = _fault(shape)
        if reason is not None:
            self._context.drop("bad_topic")
            self._log.warn(
                "The topics {base}/# of a device are not subscribed to: {reason}.",
                base=f"{shape.telemetry:.80}",
                reason=reason,
            )
            return
        if len(self._shapes) >= MAX_SHAPES:
            self._context.drop("too_many_topics")
            self._say_full(shape)
            return
        self._shapes[shape] = None
        for each in shape_filters(shape):
            self.add(each, learned=learned)

    def _say_full(self, shape: TopicShape) -> None:
        if not self._said_full:
            self._said_full = True
            self._log.warn(
                "Devices have more than {most} different FullTopics: {base}/# and what else is new "
                "is not subscribed to until the next start, unless a filter in topics covers it.",
                most=MAX_SHAPES,
                base=shape.telemetry,
            )

    def learn(self, shape: TopicShape, *, own_replies: bool = False) -> None:
        """Subscribe as ``add_shape`` does, at the next start without an announcement.

        Args:
            shape: new or not.
            own_replies: a device with it has SetOption4.
        """
        known = len(self._shapes)
        self.add_shape(shape, learned=True)
        if own_replies and shape in self._shapes:
            for subtopic in POWER:
                self.add(f"{shape.status}/{subtopic}", learned=True)
        if len(self._shapes) > known:
            self.remember(self._shapes)

    def add(self, topic_filter: str, *, learned: bool = False) -> None:
        """Subscribe to a filter; filters that it covers are given up after that."""
        if self._set.covers(topic_filter):
            return
        if topic_filter.startswith("$"):
            # From the settings: it has no place in a group, nor have the broker's own topics.
            self._context.drop("bad_topic")
            return
        narrower = self._set.covered_by(topic_filter)
        self._set.add(topic_filter)
        self._subscribed[topic_filter] = self._context.subscribe(
            self._broker,
            self._group + topic_filter,
            self._handler,
            qos=self._qos,
            learned=learned,
        )
        for each in narrower:
            self._set.remove(each)
            self._subscribed.pop(each).cancel()

    def restore(self) -> None:
        """Subscribe to the shapes that devices had before the last stop."""
        stored = self._state.read()
        for bases in stored if isinstance(stored, list) else ():
            if (
                isinstance(bases, list)
                and len(bases) == len(TopicShape._fields)
                and all(isinstance(base, str) for base in bases)
            ):
                self.add_shape(TopicShape(*bases), learned=True)

    def remember(self, shapes: Iterable[TopicShape]) -> None:
        """Keep these, as far as they are subscribed to, and no others for the next start."""
        self._state.write([shape for shape in shapes if shape in self._shapes])


def _fault(shape: TopicShape) -> str | None:
    """Say why a shape's filters cannot be subscribed to, or None if they can."""
    for base in (shape.telemetry, shape.status):
        # A device's FullTopic must not make a shared subscription or read the broker's own topics.
        if base.startswith("$"):
            return "they begin with $"
        if len(base) > TASMOTA_TOPIC_CHARS:
            return f"{len(base)} characters, limit {TASMOTA_TOPIC_CHARS}"
        if base.count("/") + 1 >= TASMOTA_TOPIC_LEVELS:
            return f"{base.count('/') + 2} levels, limit {TASMOTA_TOPIC_LEVELS}"
        reason = valid_filter(f"{base}/{_LONGEST_SUBTOPIC}")
        if reason is not None:
            return reason
    return None
