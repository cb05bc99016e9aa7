"""The subscriptions: a filter for each distinct shape of topics and each subtopic.

Shapes are learnt from announcements. They are also kept in a small file: after a restart the
broker must not be told to forget a filter, nor may a message be missed, while the announcement
that asks for it is still on its way.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from metrics_agent.interfaces import Cancellable, Handler, ModuleContext
from metrics_agent.modules.tasmota.topics import (
    DEFAULT_FULL_TOPIC,
    DEFAULT_PREFIXES,
    Shape,
)
from metrics_agent.transports.mqtt.settings import MqttSettings
from metrics_agent.transports.mqtt.topics import covers, valid_filter

__all__ = ["MAX_SHAPES", "Filters", "user_filters"]

MAX_SHAPES: Final = 256
"""Distinct shapes that are learnt; a fleet has a handful."""

_STATE_FILE: Final = "topics.json"
_TELEMETRY: Final = ("SENSOR", "STATE", "LWT", "ZbReceived")
_STATUS: Final = ("RESULT", "ENERGYTOTAL", "STATUS8", "STATUS10", "STATUS11")


def user_filters(topics: Iterable[str]) -> tuple[list[Shape], list[str]]:
    """Tell FullTopics from plain filters.

    Args:
        topics: from the settings. With a ``%`` token or a slash at its end it is a FullTopic.

    Returns:
        The shapes, the default one first, and the plain filters.
    """
    shapes = [Shape.of(DEFAULT_FULL_TOPIC, DEFAULT_PREFIXES)]
    plain = []
    for topic in topics:
        if "%" in topic or topic.endswith("/"):
            shapes.append(Shape.of(topic, DEFAULT_PREFIXES))
        else:
            plain.append(topic)
    return shapes, plain


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
        self._shapes: dict[Shape, None] = {}
        self._remembered: list[Shape] = []
        self._subscribed: dict[str, Cancellable] = {}
        self._said_full = False

    def add_shape(self, shape: Shape, *, learned: bool = False) -> None:
        """Subscribe to all that devices of a shape send."""
        if shape in self._shapes:
            return
        if len(self._shapes) >= MAX_SHAPES:
            self._context.drop("too_many_topics")
            self._say_full(shape)
            return
        self._shapes[shape] = None
        for base, subtopics in ((shape.telemetry, _TELEMETRY), (shape.status, _STATUS)):
            for subtopic in subtopics:
                self.add(f"{base}/{subtopic}", learned=learned)

    def _say_full(self, shape: Shape) -> None:
        if not self._said_full:
            self._said_full = True
            self._log.warn(
                "Devices have more than {most} different FullTopics: {base}/# and what else is new "
                "is not subscribed to until the next start, unless a filter in topics covers it.",
                most=MAX_SHAPES,
                base=shape.telemetry,
            )

    def learn(self, shape: Shape) -> None:
        """Subscribe as ``add_shape`` does, at the next start without an announcement."""
        if shape not in self._shapes:
            self.add_shape(shape, learned=True)
            self.remember(self._shapes)

    def add(self, topic_filter: str, *, learned: bool = False) -> None:
        """Subscribe to a filter; filters that it covers are given up after that."""
        if any(covers(wide, topic_filter) for wide in self._subscribed):
            return
        # A device's FullTopic must not make a shared subscription or read the broker's own topics.
        if topic_filter.startswith("$") or valid_filter(topic_filter) is not None:
            self._context.drop("bad_topic")
            return
        narrower = [each for each in self._subscribed if covers(topic_filter, each)]
        self._subscribed[topic_filter] = self._context.subscribe(
            self._broker,
            self._group + topic_filter,
            self._handler,
            qos=self._qos,
            learned=learned,
        )
        for each in narrower:
            self._subscribed.pop(each).cancel()

    def restore(self) -> None:
        """Subscribe to the shapes that devices had before the last stop."""
        stored = self._state.read()
        for bases in stored if isinstance(stored, list) else ():
            if (
                isinstance(bases, list)
                and len(bases) == len(Shape._fields)
                and all(isinstance(base, str) for base in bases)
            ):
                self.add_shape(Shape(*bases), learned=True)

    def remember(self, shapes: Iterable[Shape]) -> None:
        """Keep these, and no others, for the next start."""
        wanted = list(shapes)
        if wanted != self._remembered and self._state.write(wanted):
            self._remembered = wanted
