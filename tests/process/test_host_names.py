"""Host names are looked up once at a time, in threads that nothing else uses."""

from __future__ import annotations

from socket import gaierror
from threading import Event, active_count
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorPluggableNameResolver
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from metrics_agent.process import host_names
from metrics_agent.process.host_names import SHARED_FOR_S, SharedLookups

ADDRESS = IPv4Address("TCP", "192.0.2.1", 1883)


class Receiver:
    """Waits for a name."""

    def __init__(self, *, fails: bool = False) -> None:
        self.began = False
        self.addresses: list[Any] = []
        self.completed = 0
        self._fails = fails

    def resolutionBegan(self, resolution: Any) -> None:
        self.began = True
        resolution.cancel()

    def addressResolved(self, address: Any) -> None:
        if self._fails:
            raise ZeroDivisionError
        self.addresses.append(address)

    def resolutionComplete(self) -> None:
        self.completed += 1


class Resolver:
    """Takes note of what is asked, and answers when the test does."""

    def __init__(self) -> None:
        self.lookups: list[tuple[Any, Any]] = []

    def resolveHostName(self, receiver: Any, *question: Any) -> None:
        self.lookups.append((receiver, question))


def answer(lookup: tuple[Any, Any], *addresses: Any) -> None:
    """End a look-up."""
    for address in addresses:
        lookup[0].addressResolved(address)
    lookup[0].resolutionComplete()


class SharedLookupsTests(SynchronousTestCase):
    """With a resolver of the test."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.resolver = Resolver()
        self.shared = SharedLookups(self.resolver, self.clock.seconds)

    def ask(self, name: str = "broker.example", port: int = 1883, **more: Any) -> Receiver:
        receiver = Receiver(**more)
        self.shared.resolveHostName(receiver, name, port)  # type: ignore[arg-type]
        self.assertTrue(receiver.began)
        return receiver

    def test_once_at_a_time(self) -> None:
        """All that ask meanwhile wait for the one look-up; who asks later has another."""
        receivers = [self.ask() for _ in range(50)]
        other = self.ask("other.example")
        self.assertEqual(len(self.resolver.lookups), 2)
        answer(self.resolver.lookups[0], ADDRESS)
        for receiver in receivers:
            self.assertEqual((receiver.addresses, receiver.completed), ([ADDRESS], 1))
        self.assertEqual(other.completed, 0)
        self.ask()
        self.assertEqual(len(self.resolver.lookups), 3)

    def test_one_that_lasts(self) -> None:
        """After a while a name is asked for again, and either answer is given."""
        first = self.ask()
        self.clock.advance(SHARED_FOR_S + 1)
        second = self.ask()
        old, new = self.resolver.lookups
        answer(old)
        self.assertEqual((first.completed, second.completed), (1, 0))
        third = self.ask()
        answer(new, ADDRESS)
        self.assertEqual((second.addresses, third.addresses), ([ADDRESS], [ADDRESS]))
        self.assertEqual(len(self.resolver.lookups), 2)

    def test_one_that_raises(self) -> None:
        """What one raises who waits does not concern the others."""
        receivers = [self.ask(fails=True), self.ask()]
        answer(self.resolver.lookups[0], ADDRESS)
        self.assertEqual(receivers[1].completed, 1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class ThreadsTests(SynchronousTestCase):
    """With real threads, each of which the test ends."""

    def look_up(self, call: Any) -> tuple[bool, Any]:
        done, results = Event(), []

        def on_result(*result: Any) -> None:
            results.append(result)
            done.set()

        host_names._Threads().callInThreadWithCallback(on_result, call, "x")
        self.assertTrue(done.wait(10))
        return results[0]

    def test_results(self) -> None:
        """The result, or what was raised."""
        self.assertEqual(self.look_up(str.upper), (True, "X"))
        success, failure = self.look_up(int)
        self.assertFalse(success)
        self.assertIs(failure.type, ValueError)

    def test_many_that_hang(self) -> None:
        """Fifty that hang keep no other waiting."""
        goes_on, before = Event(), active_count()
        try:
            for _ in range(50):
                host_names._Threads().callInThreadWithCallback(lambda *_: None, goes_on.wait)
            self.assertGreater(active_count(), before)
            self.assertEqual(self.look_up(str.upper), (True, "X"))
        finally:
            goes_on.set()

    def test_no_thread(self) -> None:
        """Where no thread can be made, the name has no address."""

        def fails(_self: Any) -> None:
            raise RuntimeError("can't start new thread")

        self.patch(host_names.BoundedThread, "start", fails)
        success, failure = self.look_up(str.upper)
        self.assertFalse(success)
        self.assertIs(failure.type, gaierror)

    def test_odd_names(self) -> None:
        """A name that cannot be encoded has no address."""
        for name in ("n" * 64 + ".example", "a..b", "\0"):
            self.assertRaises(gaierror, host_names._addresses, name, 1883)


class InstalledTests(SynchronousTestCase):
    """In a reactor."""

    def test_it_is_used(self) -> None:
        """A reactor's names go that way."""
        installed: list[Any] = []

        @implementer(IReactorPluggableNameResolver)
        class Reactor(Clock):
            nameResolver = None

            def installNameResolver(self, resolver: Any) -> None:
                installed.append(resolver)

            def callFromThread(self, call: Any, *args: Any) -> None:
                call(*args)

        done: Deferred[None] = Deferred()
        self.patch(host_names._Threads, "callInThreadWithCallback", _at_once)
        host_names.look_up_in_own_threads(Reactor())
        receiver = Receiver()
        receiver.resolutionComplete = lambda: done.callback(None)  # type: ignore[method-assign]
        installed[0].resolveHostName(receiver, "127.0.0.1", 1883)
        self.successResultOf(done)
        self.assertEqual(receiver.addresses[0].host, "127.0.0.1")


def _at_once(_self: Any, on_result: Any, call: Any, *args: Any) -> None:
    on_result(True, call(*args))
