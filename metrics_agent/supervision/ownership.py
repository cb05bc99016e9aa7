"""What one instance of a module has begun, so that it can be ended with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall

from metrics_agent.supervision.guard import Guard

__all__ = ["Nothing", "Owned", "Ownership"]

_PURGE_AT: Final = 64
_CANCEL_ROUNDS: Final = 3


class Nothing:
    """What there is to cancel when nothing was started."""

    def cancel(self) -> Any:
        """Do nothing."""
        return succeed(None)


class Owned:
    """Something that is cancelled at stop, unless the module has done so before.

    Attributes:
        noun: what it is, for the log.
    """

    __slots__ = ("_cancel", "_forget", "noun")

    def __init__(
        self, noun: str, cancel: Callable[[], Any], forget: Callable[[Owned], object]
    ) -> None:
        self.noun = noun
        self._cancel = cancel
        self._forget = forget

    def cancel(self) -> Any:
        """End it; harmless when it has ended. A Deferred fires when a connection has."""
        self._forget(self)
        return self._cancel()


class Ownership:
    """Subscriptions, connections, timers and requests; ``len()`` is how many are kept.

    Args:
        guard: contains what cancelling them raises.
    """

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._owned: dict[Owned, None] = {}
        self._calls: list[IDelayedCall] = []
        self._purge_at = _PURGE_AT
        self._work: dict[Deferred[Any], None] = {}
        self._cancelling = False

    def __len__(self) -> int:
        return len(self._owned) + len(self._calls) + len(self._work)

    def own(self, noun: str, cancel: Callable[[], Any]) -> Owned:
        """Keep something that is ended by a call; return what the module cancels it with."""
        owned = Owned(noun, cancel, self._forget)
        self._owned[owned] = None
        return owned

    def own_call(self, call: IDelayedCall) -> None:
        """Keep a delayed call."""
        self._calls.append(call)
        if len(self._calls) >= self._purge_at:
            self._calls = [each for each in self._calls if each.active()]
            self._purge_at = max(_PURGE_AT, 2 * len(self._calls))

    def own_work(self, work: Deferred[Any]) -> None:
        """Keep a Deferred until `over`."""
        self._work[work] = None

    def over(self, work: Deferred[Any]) -> None:
        """Forget a Deferred that has its result."""
        self._work.pop(work, None)

    def end(self, last: IDelayedCall | None) -> str:
        """Cancel everything.

        Args:
            last: a call of our own to cancel with it, which does not count.

        Returns:
            What there was, for the log: ``2 subscriptions, 1 timer``; empty if nothing.
        """
        owned, self._owned = list(self._owned), {}
        calls = [each for each in self._calls if each.active()]
        self._calls.clear()
        left = Counter(each.noun for each in owned)
        left["timer"] += len(calls)
        left["request"] += len(self._work)
        for each in owned:
            self._guard.run("clean_up", each.cancel)
        if last is not None:
            calls.append(last)
        for call in calls:
            # Cancelling something else may have run code of the module that cancelled this.
            if call.active():
                call.cancel()
        self.cancel_work()
        return ", ".join(
            f"{left[noun]} {noun}" if left[noun] == 1 else f"{left[noun]} {noun}s"
            for noun in ("subscription", "connection", "timer", "request")
            if left[noun]
        )

    def cancel_work(self) -> None:
        """Cancel what is under way, and what that starts instead, for some rounds."""
        if self._cancelling:
            return
        self._cancelling = True
        for _ in range(_CANCEL_ROUNDS):
            work, self._work = list(self._work), {}
            for deferred in work:
                self._guard.run("clean_up", deferred.cancel)
        self._work.clear()
        self._cancelling = False

    def _forget(self, owned: Owned) -> None:
        self._owned.pop(owned, None)
