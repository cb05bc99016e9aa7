"""The supervisors of all modules that run, and those of old ones that are still leaving."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, DeferredList, succeed

from metrics_agent.supervision.guard import Caught, Guard
from metrics_agent.supervision.supervisor import Supervisor

__all__ = ["ModuleGroup"]


class ModuleGroup(MultiService):
    """Parent of the supervisors. There are never two instances of one name at the same time.

    Args:
        guard: contains the faults of making, starting and stopping a supervisor.
    """

    def __init__(self, guard: Guard) -> None:
        super().__init__()
        self._guard = guard
        self._leaving: dict[str, tuple[Supervisor, Deferred[Any]]] = {}
        self._stops = 0

    @property
    def supervisors(self) -> list[Supervisor]:
        """Those that were started and not asked to stop, in the order of the file."""
        return [child for child in self if isinstance(child, Supervisor)]

    def start_when_gone(
        self, name: str, make: Callable[[], Supervisor], still_wanted: Callable[[], bool]
    ) -> None:
        """Make and start a supervisor as soon as no old one of that name is there.

        Never if `stop_all` is called before that.

        Args:
            name: of the module, ``tasmota`` or ``tasmota:garage``.
            make: makes the supervisor; may raise.
            still_wanted: asked when it is time.
        """
        stops = self._stops

        def start(_gone: object) -> None:
            # One of an earlier reload would run beside that of the later one.
            if stops != self._stops or not still_wanted():
                return
            supervisor = self._guard.run("supervisor", make)
            if not isinstance(supervisor, Caught):
                # A child of a running parent is started as it is added.
                self._guard.run("supervisor", supervisor.setServiceParent, self)

        self._gone(name).addCallback(start)

    def stop_all(self) -> Deferred[Any]:
        """Stop all; fires when these and those that were leaving before are gone."""
        self._stops += 1
        for supervisor in self.supervisors:
            gone = self._guard.run("stop", supervisor.disownServiceParent)
            if isinstance(gone, Deferred):
                self._note(supervisor, gone)
        return DeferredList([self._gone(name) for name in self._leaving])

    def abandon(self) -> None:
        """Wait no longer for those that were asked to stop and have not."""
        for supervisor, _gone in list(self._leaving.values()):
            self._guard.run("stop", supervisor.abandon)

    def first_starts(self) -> Deferred[Any]:
        """Fires when the first start of each has succeeded or failed."""
        return DeferredList([supervisor.first_start() for supervisor in self.supervisors])

    def _note(self, supervisor: Supervisor, gone: Deferred[Any]) -> None:
        name, entry = supervisor.module_name, (supervisor, gone)

        def left(_result: object) -> None:
            if self._leaving.get(name) is entry:
                del self._leaving[name]

        self._leaving[name] = entry
        self._guard.watch("stop", gone).addCallback(left)

    def _gone(self, name: str) -> Deferred[None]:
        if name not in self._leaving:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._leaving[name][1].addCallback(lambda _result: waiting.callback(None))
        return waiting
