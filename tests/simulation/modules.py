"""A module that turns each numbered message into a point, and fails on demand in many ways."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from attrs import frozen
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from zope.interface import implementer

from metrics_agent.config import setting
from metrics_agent.interfaces import IModule, Message
from metrics_agent.metric import FieldValue, Metric, Series
from metrics_agent.module_kind import ModuleKind
from metrics_agent.transports.mqtt.settings import MqttSettings
from tests.simulation.polls import Poller
from tests.simulation.raising import raise_if_wrong
from tests.simulation.seams import SeamChecks, Seams

__all__ = ["NUMBERED", "NumberedModule", "is_broken", "is_odd", "numbered_kind"]

NUMBERED = "numbered"
_ODD: Final = 401, 7
_WRONG: Final = 601, 11
"""One line in so many, from which on, has what `http_model` says that databases do not take."""
_LONG_EVERY: Final = 97
_LONG_BYTES: Final = 9000
"""Every so many lines one has up to so many bytes, which no buffer always takes whole."""


@frozen
class NumberedSettings(MqttSettings):
    """Settings of the module."""

    topic: str = setting(default="numbers", doc="Where the numbers come.")


@implementer(IModule)
class NumberedModule(Service):
    """Writes the number in each message.

    Args:
        settings: see there.
        context: of the module.
        plan: asked for each step (make, start, message, tick, stop) what goes wrong, "" if nothing.
        seen: called with each number that gives no point, and why.
        checks: see `seams`.
    """

    def __init__(
        self,
        settings: NumberedSettings,
        context: Any,
        plan: Callable[[str, str], str],
        seen: Callable[[str, bytes, str], None],
        checks: SeamChecks,
    ) -> None:
        self._settings = settings
        self._context = context
        self._plan = plan
        self._seen = seen
        self._seams = Seams(settings, context, plan, checks)
        self._poller = Poller(context, plan, checks.polls)
        self._seams.on_stopped = self._poller.stopped
        self._series = [
            Series("number", {"module": context.name.partition(":")[2], "qos": str(qos)})
            for qos in (0, 1, 2)
        ]
        raise_if_wrong("make", plan(context.name, "make"))

    def startService(self) -> Any:
        super().startService()
        wrong = self._plan(self._context.name, "start")
        raise_if_wrong("start", wrong)
        self._seams.start()
        self._poller.start()
        self._context.every(1.0, self._tick)
        self._context.subscribe(
            self._settings.connection_settings(), f"{self._settings.topic}/#", self._take
        )
        if wrong == "raises late":
            raise RuntimeError("start raises late")
        if wrong == "fails later":
            later: Deferred[None] = Deferred()
            self._context.reactor.callLater(0.5, later.errback, RuntimeError("fails later"))
            return later
        if wrong == "hangs":
            return Deferred()
        if wrong == "slow":
            slow: Deferred[None] = Deferred()
            self._context.reactor.callLater(0.8, slow.callback, None)
            return slow
        return None

    def stopService(self) -> Any:
        super().stopService()
        wrong = self._plan(self._context.name, "stop")
        if wrong != "slow":
            self._seams.stopping(hangs=wrong == "hangs")
        raise_if_wrong("stop", wrong)
        if wrong == "hangs":
            return Deferred()
        if wrong == "slow":
            slow: Deferred[None] = Deferred()
            self._context.reactor.callLater(0.3, self._stopped, slow)
            return slow
        return None

    def _stopped(self, slow: Deferred[None]) -> None:
        self._plan(self._context.name, "stopped")
        self._seams.stopped()
        slow.callback(None)

    def _take(self, message: Message) -> Iterable[Metric]:
        wrong = self._plan(self._context.name, "message")
        if wrong in {"raises", "exits"}:
            self._seen(self._context.name, message.payload, "raised")
            raise_if_wrong("message", wrong)
        if wrong == "nothing":
            self._seen(self._context.name, message.payload, "nothing")
            return ()
        if wrong == "fails":
            self._context.fail(RuntimeError("the module says that it is over"))
        qos, number = message.payload.split(b":")
        series = self._series[int(qos)]
        fields: dict[str, FieldValue] = {"n": int(number)}
        if int(number) % _ODD[0] == _ODD[1]:
            fields["odd"] = True
        if is_broken(int(number)):
            fields["wrong"] = True
        if int(number) % _LONG_EVERY == 0:
            fields["text"] = "x" * (int(number) * 7919 % _LONG_BYTES)
        return [Metric(series, fields, message.received_ns)]

    def _tick(self) -> Any:
        wrong = self._plan(self._context.name, "tick")
        raise_if_wrong("tick", wrong)
        self._seams.tick()
        if wrong == "hangs":
            return Deferred()
        if wrong == "fails":
            self._context.fail(RuntimeError("a tick says that all is over"))
        if wrong == "late":
            late: Deferred[Iterable[Metric]] = Deferred()
            self._context.reactor.callLater(1.5, late.callback, ())
            return late
        return ()


def is_broken(number: int) -> bool:
    """Say whether no database takes the line of a number."""
    return number % _WRONG[0] == _WRONG[1]


def is_odd(number: int) -> bool:
    """Say whether the line of a number may be one that a database does not take."""
    return number % _ODD[0] == _ODD[1] or is_broken(number)


def numbered_kind(
    plan: Callable[[str, str], str],
    seen: Callable[[str, bytes, str], None],
    checks: SeamChecks,
) -> ModuleKind:
    """Make the kind for one simulation."""
    return ModuleKind(
        NUMBERED,
        NumberedSettings,
        lambda settings, context: NumberedModule(settings, context, plan, seen, checks),
        brokers=lambda settings: (settings,),
    )
