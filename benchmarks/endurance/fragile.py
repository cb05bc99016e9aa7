"""A module that fails now and then: after a while, or at its start."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any, Final

from attrs import frozen
from twisted.application.service import Service
from twisted.internet.task import deferLater
from zope.interface import implementer

from metrics_agent.config import Duration, setting
from metrics_agent.interfaces import IModule, Message, ModuleContext
from metrics_agent.metric import Metric, Series
from metrics_agent.module_kind import ModuleKind
from metrics_agent.transports.mqtt.settings import MqttSettings

__all__ = ["MODULE", "TOPIC"]

TOPIC: Final = "own/{device}/number"


@frozen
class FragileSettings(MqttSettings):
    """The broker, and how long it lives."""

    life: Duration = setting(default="10s", doc="From a start to the next failure, on average.")
    refuses: float = setting(default=0.3, doc="The share of its starts that fail.")


@implementer(IModule)
class Fragile(Service):
    """Hands on numbers until it fails."""

    def __init__(self, settings: FragileSettings, context: ModuleContext) -> None:
        self._settings = settings
        self._context = context
        self._chance = random.Random()

    def startService(self) -> Any:
        """Subscribe, before or after a while, or fail."""
        super().startService()
        context, chance = self._context, self._chance
        if chance.random() < self._settings.refuses:
            raise RuntimeError("it fails at its start")
        context.later(chance.expovariate(1 / self._settings.life), self._fail)
        if chance.random() < 0.5:
            return deferLater(context.reactor, chance.random()).addCallback(self._subscribe)
        self._subscribe()
        return None

    def _subscribe(self, _result: object = None) -> None:
        self._context.subscribe(
            self._settings.connection_settings(), TOPIC.format(device="+"), self._take, qos=1
        )

    def _fail(self) -> None:
        self._context.fail(RuntimeError("it fails after a while"))

    def _take(self, message: Message) -> Iterator[Metric]:
        number = json.loads(message.payload)["ENERGY"]["Total"]
        series = Series("electricity", {"device": message.topic.split("/")[1]})
        yield Metric(series, {"energy_total": float(number)}, self._context.now_ns())


MODULE = ModuleKind(
    name="fragile",
    settings=FragileSettings,
    service=Fragile,
    brokers=lambda settings: (settings.connection_settings(),),
)
