"""A module that passes on numbered messages, and fails when a file says so.

Tests make it known by an entry point, `case.install_modules`. What is in the file of the setting
`mood` decides: ``fail to start``, ``fail`` (a running instance says that its life is over),
``slow`` (start and stop take a while), anything else: it works.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from attrs import frozen
from twisted.application.service import Service
from twisted.internet.task import deferLater
from zope.interface import implementer

from metrics_agent.config import setting
from metrics_agent.interfaces import IModule, Message, ModuleContext
from metrics_agent.metric import Metric, Series
from metrics_agent.module_kind import ModuleKind
from metrics_agent.transports.mqtt.settings import MqttSettings

__all__ = ["MODULE", "SLOW_S", "numbers"]

SLOW_S: Final = 0.3
LOOK_S: Final = 0.02
_LINE: Final = re.compile(rb"numbers,module=(\S+) number=(\d+)i ")


@frozen
class NumbersSettings(MqttSettings):
    """What it listens to, and where its mood is written."""

    topic: str = setting(default="numbers", doc="The topic of its messages.")
    mood: str = setting(default="", doc="A file, see above.")


@implementer(IModule)
class Numbers(Service):
    """Makes a metric of each number."""

    def __init__(self, settings: NumbersSettings, context: ModuleContext) -> None:
        self._settings = settings
        self._context = context
        self._series = Series("numbers", {"module": context.name})

    def startService(self) -> Any:
        """Listen."""
        super().startService()
        if self._mood() == "fail to start":
            raise RuntimeError("it does not want to start")
        broker = self._settings.connection_settings()
        self._context.subscribe(broker, self._settings.topic, self._take)
        self._context.every(LOOK_S, self._look)
        return self._moment()

    def stopService(self) -> Any:
        """End, perhaps late."""
        super().stopService()
        return self._moment()

    def _moment(self) -> Any:
        return deferLater(self._context.reactor, SLOW_S) if self._mood() == "slow" else None

    def _mood(self) -> str:
        path = Path(self._settings.mood or "/nonexistent")
        return path.read_text("ascii").strip() if path.exists() else ""

    def _look(self) -> None:
        if self._mood() == "fail":
            self._context.fail(RuntimeError("it has had enough"))

    def _take(self, message: Message) -> Iterator[Metric]:
        yield Metric(self._series, {"number": int(message.payload)}, message.received_ns)


def numbers(lines: Iterable[bytes], module: str) -> list[int]:
    """Return the numbers that a module wrote, in the order of the output."""
    found = map(_LINE.match, lines)
    return [int(match[2]) for match in found if match and match[1].decode() == module]


MODULE = ModuleKind(
    name="numbers",
    settings=NumbersSettings,
    service=Numbers,
    brokers=lambda settings: (settings.connection_settings(),),
)
