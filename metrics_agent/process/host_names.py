"""Looks up host names in threads that nothing else uses.

A name server that does not answer keeps a look-up, and its thread, for up to a minute, and no one
can end it. In the reactor's own pool ten of them would keep all other names from being looked up,
and state from being written. So each look-up has a thread of its own, and a name that is asked for
again meanwhile is looked up once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from socket import gaierror, getaddrinfo
from typing import Any, Final, cast

from twisted.internet._resolver import GAIResolver
from twisted.internet.interfaces import (
    IAddress,
    IHostnameResolver,
    IHostResolution,
    IReactorPluggableNameResolver,
    IResolutionReceiver,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from metrics_agent.process.bounded_thread import BoundedThread

__all__ = ["SHARED_FOR_S", "SharedLookups", "look_up_in_own_threads"]

SHARED_FOR_S: Final = 30.0
"""A look-up that has lasted longer is not waited for by new ones: a library may hang."""


def look_up_in_own_threads(reactor: Any) -> None:
    """Have the reactor look up host names as `SharedLookups` does, if it lets others do that."""
    threads: Any = _Threads()
    resolver = GAIResolver(reactor, lambda: threads, cast("Any", _addresses))
    shared = SharedLookups(resolver, reactor.seconds)
    if IReactorPluggableNameResolver.providedBy(reactor):
        reactor.installNameResolver(shared)


def _addresses(*question: Any) -> Any:
    """Ask the system; whatever it raises, the name has no address.

    Twisted would wait without an end where anything else is raised, as Python does for names that
    cannot be encoded.
    """
    try:
        return getaddrinfo(*question)
    except (OSError, UnicodeError, ValueError) as error:
        raise gaierror(str(error)) from error


class _Threads:
    """Makes a thread for each call, which ends with it and keeps no process from ending."""

    def callInThreadWithCallback(
        self, on_result: Callable[[bool, Any], object], call: Callable[..., Any], *args: Any
    ) -> None:
        """Call in a thread, as Twisted's thread pools do."""

        def work() -> None:
            try:
                result = True, call(*args)
            except BaseException:
                result = False, Failure()
            on_result(*result)

        try:
            BoundedThread(work, "host name", daemon=True).start()
        except (RuntimeError, MemoryError) as error:  # no thread can be made
            on_result(False, Failure(gaierror(str(error))))


@implementer(IResolutionReceiver)
class _Lookup:
    """A look-up under way, and who waits for it.

    Args:
        began_s: when it began.
        ended: called when it is over.
    """

    _log = Logger()

    def __init__(self, began_s: float, ended: Callable[[_Lookup], object]) -> None:
        self.began_s = began_s
        self._ended = ended
        self._addresses: list[IAddress] = []
        self.receivers: list[IResolutionReceiver] = []

    def resolutionBegan(self, resolution: IHostResolution) -> None:
        """Those who wait hear that from `SharedLookups`."""

    def addressResolved(self, address: IAddress) -> None:
        """Keep an address."""
        self._addresses.append(address)

    def resolutionComplete(self) -> None:
        """Give all that wait the addresses."""
        self._ended(self)
        for receiver in self.receivers:
            self._give(receiver)

    def _give(self, receiver: IResolutionReceiver) -> None:
        try:
            for address in self._addresses:
                receiver.addressResolved(address)
            receiver.resolutionComplete()
        except Exception:
            self._log.failure("One that waited for a host name fails.")


@implementer(IHostResolution)
class _Resolution:
    """What Twisted gives to who waits."""

    def __init__(self, name: str) -> None:
        self.name = name

    def cancel(self) -> None:
        """Nothing ends a look-up; its result is not used."""


@implementer(IHostnameResolver)
class SharedLookups:
    """Looks up each host name once at a time, for all that ask meanwhile.

    Args:
        resolver: does it.
        seconds: the clock.
    """

    def __init__(self, resolver: Any, seconds: Callable[[], float]) -> None:
        self._resolver = resolver
        self._seconds = seconds
        self._under_way: dict[Any, _Lookup] = {}

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        """Look up a name; see `IHostnameResolver`."""
        types = None if addressTypes is None else tuple(addressTypes)
        question = hostName, portNumber, types, transportSemantics
        now_s = self._seconds()
        lookup = self._under_way.get(question)
        is_new = lookup is None or now_s - lookup.began_s > SHARED_FOR_S
        if lookup is None or is_new:
            lookup = _Lookup(now_s, partial(self._end, question))
            self._under_way[question] = lookup
        resolution = _Resolution(hostName)
        resolutionReceiver.resolutionBegan(resolution)
        lookup.receivers.append(resolutionReceiver)
        if is_new:
            self._resolver.resolveHostName(lookup, hostName, portNumber, types, transportSemantics)
        return resolution

    def _end(self, question: Any, lookup: _Lookup) -> None:
        if self._under_way.get(question) is lookup:
            del self._under_way[question]
