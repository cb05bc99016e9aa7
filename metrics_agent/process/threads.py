"""Threads for the blocking calls of modules.

A call that hangs keeps its thread. In the reactor's own pool ten of them would leave none for what
the agent does there: no host name would be looked up any more, so that no connection could be made,
and no state written. So each module has a pool of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Final

from twisted.python.threadpool import ThreadPool

__all__ = ["MODULE_THREADS", "ModuleThreads", "make_pool"]

MODULE_THREADS: Final = 4
"""Blocking calls of one module at the same time; others wait."""


def make_pool(reactor: Any, name: str) -> ThreadPool:
    """Make a pool that ends with the reactor, as the reactor's own does.

    Args:
        reactor: the reactor.
        name: of the threads.
    """
    pool = ThreadPool(0, MODULE_THREADS, name)
    pool.start()
    reactor.addSystemEventTrigger("during", "shutdown", pool.stop)
    return pool


class ModuleThreads:
    """The pools of all modules, each made when it is needed and kept over restarts.

    Args:
        reactor: the reactor.
        make: see `make_pool`.
    """

    def __init__(self, reactor: Any, make: Callable[[Any, str], Any] = make_pool) -> None:
        self._reactor = reactor
        self._make = make
        self._pools: dict[str, Any] = {}

    def keep(self, modules: Collection[str]) -> None:
        """End the threads of all other modules, each as soon as it has nothing to do."""
        for name in self._pools.keys() - modules:
            self._pools.pop(name).adjustPoolsize(0, 0)

    def of(self, module: str) -> Any:
        """Return the pool of a module."""
        if module not in self._pools:
            self._pools[module] = self._make(self._reactor, module)
        return self._pools[module]
