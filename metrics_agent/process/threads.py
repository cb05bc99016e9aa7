"""Threads for the blocking calls of modules.

A call that hangs keeps its thread. In the reactor's own pool ten of them would leave none for what
the agent does there: no host name would be looked up any more, so that no connection could be made,
and no state written. So each module has a pool of its own.

Calls that wait for a thread are kept here and not in the pool, where none can be taken back.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import Any, Final

from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger
from twisted.python.threadpool import ThreadPool

from metrics_agent.errors import MetricsAgentError
from metrics_agent.process.bounded_thread import use_bounded_threads

__all__ = ["MODULE_CALLS", "MODULE_THREADS", "ModuleCalls", "ModuleThreads", "make_pool"]

MODULE_THREADS: Final = 4
"""Blocking calls of one module at the same time; others wait."""

MODULE_CALLS: Final = 1000
"""Blocking calls of one module that wait."""


class TooManyCalls(MetricsAgentError):  # noqa: N818 - says what it is
    """A module asked for more blocking calls than may wait."""


class _Pool(ThreadPool):
    """A pool that ends with the reactor, as the reactor's own does, unless it is released."""

    def __init__(self, reactor: Any, name: str) -> None:
        super().__init__(0, MODULE_THREADS, name)
        use_bounded_threads(self)
        self._reactor = reactor
        self.start()
        self._trigger = reactor.addSystemEventTrigger("during", "shutdown", self.stop)

    def release(self) -> None:
        """Have the reactor forget it, once: no call is under way, and none comes."""
        trigger, self._trigger = self._trigger, None
        if trigger is not None:
            self._reactor.removeSystemEventTrigger(trigger)


def make_pool(reactor: Any, name: str) -> Any:
    """Make a pool.

    Args:
        reactor: the reactor.
        name: of the threads.
    """
    return _Pool(reactor, name)


class ModuleCalls:
    """The blocking calls of one module, over its restarts.

    Args:
        reactor: provides callFromThread.
        name: of the module.
        pool: see `make_pool`.

    Attributes:
        under_way: how many are in a thread.
    """

    def __init__(self, reactor: Any, name: str, pool: Any) -> None:
        self.under_way = 0
        self._reactor = reactor
        self._name = name
        self._pool = pool
        self._waiting: dict[Deferred[Any], tuple[Any, ...]] = {}
        self._ended = False

    def run(self, call: Callable[..., Any], *args: object) -> Deferred[Any]:
        """Call in a thread, as soon as one is free; never, if it is cancelled before that."""
        if len(self._waiting) >= MODULE_CALLS:
            text = (
                f"module {self._name}: {MODULE_CALLS} blocking calls wait for a thread already, "
                f"expected no more; {self.under_way} are under way, which are slow or hang: "
                "wait for results before asking for more"
            )
            return fail(TooManyCalls(text))
        deferred: Deferred[Any] = Deferred(self._cancelled)
        self._waiting[deferred] = (call, *args)
        self._begin()
        return deferred

    def end(self) -> None:
        """Let the threads end, each as soon as it has nothing to do; no call comes any more."""
        self._ended = True
        self._wind_down()

    def _begin(self) -> None:
        while self._waiting and self.under_way < MODULE_THREADS:
            deferred, work = next(iter(self._waiting.items()))
            del self._waiting[deferred]
            self.under_way += 1
            on_result = partial(self._reactor.callFromThread, self._over, deferred)
            try:
                self._pool.callInThreadWithCallback(on_result, _unless_cancelled, deferred, *work)
            except BaseException:
                # Such as where the machine has no more threads.
                self.under_way -= 1
                deferred.errback()

    def _over(self, deferred: Deferred[Any], success: bool, result: Any) -> None:
        self.under_way -= 1
        self._begin()
        self._wind_down()
        if not deferred.called:
            (deferred.callback if success else deferred.errback)(result)

    def _cancelled(self, deferred: Deferred[Any]) -> None:
        if self._waiting.pop(deferred, None) is not None:
            self._wind_down()

    def _wind_down(self) -> None:
        if self._ended and not self._waiting:
            self._pool.adjustPoolsize(0, 0)
            if not self.under_way:
                self._pool.release()


class ModuleThreads:
    """The blocking calls of all modules; each has a pool, made when it is needed.

    Args:
        reactor: the reactor.
        make_log: of a module, by its name.
        make: see `make_pool`.
    """

    def __init__(
        self,
        reactor: Any,
        make_log: Callable[[str], Logger],
        make: Callable[[Any, str], Any] = make_pool,
    ) -> None:
        self._reactor = reactor
        self._make_log = make_log
        self._make = make
        self._calls: dict[str, ModuleCalls] = {}

    def keep(self, modules: Collection[str]) -> None:
        """End the threads of all other modules, each as soon as it has nothing to do."""
        for name in self._calls.keys() - modules:
            calls = self._calls.pop(name)
            if calls.under_way:
                log = self._make_log(name)
                log.warn(
                    "Removed with blocking calls under way: {count}; their threads end with them.",
                    count=calls.under_way,
                    fold=False,
                )
            calls.end()

    def of(self, module: str) -> ModuleCalls:
        """Return the calls of a module, which outlive its instances."""
        if module not in self._calls:
            pool = self._make(self._reactor, module)
            self._calls[module] = ModuleCalls(self._reactor, module, pool)
        return self._calls[module]


def _unless_cancelled(deferred: Deferred[Any], call: Callable[..., Any], *args: object) -> Any:
    """Call, in a thread."""
    return None if deferred.called else call(*args)
