"""Pools of threads: a call in a thread is one event, some time later, if a thread is free."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.python.failure import Failure

if TYPE_CHECKING:
    from tests.simulation.reactor import ProcessReactor

__all__ = ["SimThreads"]


class SimThreads:
    """See the module.

    Args:
        reactor: of the process.
        most: how many threads it has.

    Attributes:
        on_module_call: called when a blocking call of a module is to have one.
    """

    def __init__(self, reactor: ProcessReactor, most: int) -> None:
        self._reactor = reactor
        self._free = most
        self._waiting: deque[Callable[[], object]] = deque()
        self.on_module_call: Callable[[], object] = lambda: None

    def adjustPoolsize(self, _least: int, _most: int) -> None:
        """Threads that have nothing to do are not counted."""

    def release(self) -> None:
        """Nothing of it is kept anywhere."""

    def callInThreadWithCallback(
        self, on_result: Callable[[bool, Any], object], call: Callable[..., Any], *args: Any
    ) -> None:
        """Call in a thread.

        ``takes_s`` of it or of an argument says how long, where it is not None; calls of modules
        have that.
        """
        if any(hasattr(each, "takes_s") for each in (call, *args)):
            self.on_module_call()

        def work() -> None:
            try:
                result = True, call(*args)
            except BaseException:
                result = False, Failure()
            on_result(*result)
            self._free += 1
            while self._waiting and self._free:
                self._waiting.popleft()()

        def begin() -> None:
            self._free -= 1
            clock = self._reactor.clock
            given_s = (getattr(each, "takes_s", None) for each in (call, *args))
            takes_s = next((each_s for each_s in given_s if each_s is not None), None)
            if takes_s is None:
                takes_s = clock.thread_s * clock.random.random() ** 4
            self._reactor.callLater(takes_s, work)

        if self._free:
            begin()
        else:
            self._waiting.append(begin)
