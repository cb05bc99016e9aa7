"""Modules that others import in passing are loaded when they are used.

Twisted imports asyncio and an HTTP client's cookies for what the agent never asks of it, paho an
opener of URLs and TLS: 8 MB, half of it OpenSSL's own library. Until one of their attributes is
asked for, such a module is an empty one that loads the real one then, and hands on to it what is
asked, set and deleted; so nothing is different for those who use it, whoever they are. Only its
`__dict__` and `__file__` are not those of the real one.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from threading import RLock
from types import ModuleType
from typing import Any, Final, cast

__all__ = ["import_late"]

_LATE: Final[Mapping[str, Mapping[str, str]]] = {
    "asyncio": {
        "AbstractEventLoop": "asyncio.events",
        "Future": "asyncio.futures",
        "iscoroutine": "asyncio.coroutines",
    },
    "hashlib": {"blake2b": "_blake2"},
    "http.cookiejar": {},
    "ssl": {},
    "stringprep": {},
    "urllib.request": {},
}
"""Names of modules. For some of their attributes another module is enough."""


class _Late(ModuleType):
    """A module that is loaded when something is asked of it."""

    def __getattr__(self, name: str) -> Any:
        if name == "__all__":  # `from ... import *`
            real = self._real()
            return getattr(real, name, [each for each in vars(real) if not each.startswith("_")])
        # What looks through all modules, such as a traceback, has no use for them.
        if _is_special(name):
            raise AttributeError(name)
        known = _LATE[self.__name__]
        if name in known:
            with suppress(ImportError):
                return getattr(import_module(known[name]), name)
        elif known and self._has_part(name):
            return import_module(f"{self.__name__}.{name}")
        return getattr(self._real(), name)

    def __setattr__(self, name: str, value: object) -> None:
        # The import sets special names, and the parts of a package once it has loaded them.
        if _is_special(name) or sys.modules.get(f"{self.__name__}.{name}", self) is value:
            super().__setattr__(name, value)
        else:
            setattr(self._real(), name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._real(), name)

    def __dir__(self) -> list[str]:
        return dir(self._real())

    def _has_part(self, name: str) -> bool:
        path = self.__dict__.get("__path__")
        return bool(path) and PathFinder.find_spec(f"{self.__name__}.{name}", path) is not None

    def _real(self) -> ModuleType:
        _FINDER.make_room_for_real(self)
        # Of two threads that come here, the import has one wait for the other.
        return import_module(self.__name__)


def _is_special(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


class _LateLoader:
    """Makes modules that are empty at first.

    Not an `importlib.abc.Loader`: that alone loads half a megabyte.
    """

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Make an empty one."""
        return _Late(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Leave it empty."""


class _RealLoader(SourceFileLoader):
    """Loads a package some parts of which are loaded already."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Make it with the parts that it would have loaded itself."""
        module = ModuleType(spec.name)
        for name, part in sys.modules.copy().items():
            package, _, last = name.rpartition(".")
            if package == spec.name:
                setattr(module, last, part)
        return module


class _Finder:
    """Finds what is to be loaded late, before the finders of Python do."""

    def __init__(self) -> None:
        # A signal handler or a `__del__` may ask for a module while this thread holds it.
        self._lock = RLock()
        self._wanted: set[str] = set()

    def make_room_for_real(self, late: ModuleType) -> None:
        """Have the next import find the real module."""
        with self._lock:  # the real one may be there already, by another thread
            self._wanted.add(late.__name__)
            if sys.modules.get(late.__name__) is late:
                del sys.modules[late.__name__]

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how to make the module, None for all that are not to be loaded late."""
        if fullname not in _LATE:
            return None
        real = PathFinder.find_spec(fullname, path, target)
        if real is None or not isinstance(real.loader, SourceFileLoader):
            return None
        if fullname in self._wanted:
            real.loader = _RealLoader(real.loader.name, real.loader.path)
            return real
        late = ModuleSpec(fullname, cast("Any", _LateLoader()))
        late.submodule_search_locations = real.submodule_search_locations
        return late


_FINDER: Final = _Finder()


def import_late() -> None:
    """Load what is not used by most agents when it is used; what is loaded already stays."""
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)
