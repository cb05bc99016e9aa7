"""A module that turns each numbered message into a numbered point: who accounts for messages.

A message is on the topic ``numbers/<receiver>/<qos>/<number>``; the receiver is the client id of
the connection, so that the broker's log and the output speak of the same message.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final

from attrs import frozen
from twisted.application.service import Service
from zope.interface import implementer

from metrics_agent.config import setting
from metrics_agent.interfaces import IModule, Message, ModuleContext
from metrics_agent.metric import Metric, Series
from metrics_agent.module_kind import ModuleKind
from metrics_agent.transports.mqtt.settings import MqttSettings

__all__ = ["NUMBERED", "PLACE", "number_of", "numbers_filter", "point_of"]

PLACE: Final = "numbers"
"""What the handler of numbered messages is called in the counters."""


def numbers_filter(receiver: str) -> str:
    """Return the filter of a receiver's messages."""
    return f"numbers/{receiver}/+/+"


def number_of(topic: str) -> tuple[int, int]:
    """Return QoS and number of a message."""
    _numbers, _receiver, qos, number = topic.split("/")
    return int(qos), int(number)


def point_of(message: Message) -> Metric:
    """Return the point that a numbered message becomes."""
    _numbers, receiver, qos, number = message.topic.split("/")
    series = Series("numbers", {"to": receiver, "qos": qos})
    return Metric(series, {"number": int(number)}, time.monotonic_ns())


@frozen
class NumberedSettings(MqttSettings):
    """Those of the connection.

    Attributes:
        wall_clock: points have the time of their messages, which databases expect.
    """

    wall_clock: bool = setting(default=False, doc="Points have the time of their messages.")


@implementer(IModule)
class Numbered(Service):
    """Takes numbered messages."""

    def __init__(self, settings: NumberedSettings, context: ModuleContext) -> None:
        self._settings = settings
        self._context = context

    def startService(self) -> None:
        """Subscribe."""
        super().startService()
        broker = self._settings.connection_settings()
        self._context.subscribe(
            broker, numbers_filter(self._settings.client_id), self._take, place=PLACE
        )

    def _take(self, message: Message) -> Iterator[Metric]:
        point = point_of(message)
        yield point._replace(time_ns=message.received_ns) if self._settings.wall_clock else point


def _brokers(settings: Any) -> tuple[MqttSettings, ...]:
    return (settings.connection_settings(),)


NUMBERED = ModuleKind(
    name="numbered", settings=NumberedSettings, service=Numbered, brokers=_brokers
)
