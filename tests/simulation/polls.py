"""An instance of the test module polls a device by HTTP, and each number must come out once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import CancelledError

from metrics_agent.cause import CauseError
from metrics_agent.metric import Metric, Series
from tests.simulation.broker_session import Publication
from tests.simulation.configuration import module_of
from tests.simulation.http_device import BODY_LIMIT, DEVICE_PORT, HttpDevice
from tests.simulation.raising import raise_if_wrong

if TYPE_CHECKING:
    from tests.simulation.world import World

__all__ = ["POLLED", "POLLING", "Poller", "Polls"]

POLLING: Final = "b"
"""The module that polls."""
POLLED: Final = "poll"
"""Its numbers in the accounts."""
_TIMEOUT_S: Final = 3.0
_INTERVAL_S: Final = 1.0
_CLOSED_WITHIN_S: Final = 0.001
_SLACK_S: Final = 0.1


class Polls:
    """What must be true of all polls.

    Args:
        world: that they are in.
        violate: called with what must not happen, as `SeamChecks` does.

    Attributes:
        given_s: when the module was given a number last.
    """

    def __init__(self, world: World, violate: Callable[[str], object]) -> None:
        self._world = world
        self.violate = violate
        self.device: HttpDevice = world.device
        self.given_s = 0.0

    def given(self, number: int) -> None:
        """Take note that the module was given a number, and emits it."""
        world = self._world
        if not world.acts:
            return
        if number not in self.device.whole:
            self.violate(f"a module is given {number}, which no whole answer of its device had")
        self.given_s = world.clock.now_s
        publication = Publication(f"{POLLED}/x", b"0:%d" % number, 0)
        world.ledger.sent[POLLED, 0, number] = world.clock.now_s
        world.ledger.transmit(publication)
        world.accounting.given(publication, lambda: True)

    def stood_s(self) -> float:
        """Return for how long the process has stood still."""
        process = self._world.process
        assert process is not None
        return process.reactor.stood_s


class Poller:
    """What one instance polls.

    Args:
        context: of the instance.
        plan: see `modules.NumberedModule`.
        polls: see there.
    """

    def __init__(self, context: Any, plan: Callable[[str, str], str], polls: Polls) -> None:
        self._context = context
        self._plan = plan
        self._polls = polls
        self._series = Series("number", {"module": POLLED, "qos": "0"})
        self._is_polling = module_of(context.name) == POLLING
        self._began_s = 0.0
        self._stood_s = 0.0
        self._stopped = False

    def start(self) -> None:
        """Poll from now on, where the instance is one that polls."""
        if self._is_polling:
            self._note_begin()
            self._http = self._context.http(timeout_s=_TIMEOUT_S, body_limit=BODY_LIMIT)
            self._context.every(_INTERVAL_S, self._poll, place="poll")

    def _note_begin(self) -> None:
        self._began_s, self._stood_s = self._context.reactor.seconds(), self._polls.stood_s()

    async def _poll(self) -> Iterable[Metric]:
        self._check_running("a poll begins")
        waited_s = self._context.reactor.seconds() - self._began_s
        most_s = _TIMEOUT_S + _INTERVAL_S + _SLACK_S
        if waited_s > most_s and self._polls.stood_s() == self._stood_s:
            self._polls.violate(f"a poll comes {waited_s:.1f} s after the one before")
        self._note_begin()
        try:
            reply = await self._http.get(f"http://192.0.2.1:{DEVICE_PORT}/number")
        except CauseError:
            self._context.drop("no_answer")
            return ()
        except CancelledError:
            raise
        except Exception as fault:
            self._polls.violate(f"what became of a request is not explained: {fault!r}")
            return ()
        self._check_running("a poll goes on")
        raise_if_wrong("poll", self._plan(self._context.name, "poll"))
        number = _number(reply.body) if reply.status == 200 else None
        if number is None:
            self._context.drop("no_number")
            return ()
        self._polls.given(number)
        return [Metric(self._series, {"n": number}, self._context.now_ns())]

    def _check_running(self, what: str) -> None:
        if self._stopped:
            self._polls.violate(f"{what} after the stop of its module")

    def stopped(self) -> None:
        """Take note that nothing may go on."""
        if self._is_polling and not self._stopped:
            self._stopped = True
            left = self._polls.device.open_connections()
            self._context.reactor.callLater(_CLOSED_WITHIN_S, self._look_at, left)

    def _look_at(self, left: Iterable[Any]) -> None:
        if any(each.open for each in left):
            self._polls.violate("a stopped module leaves a connection to its device open")


def _number(body: bytes) -> int | None:
    """Return the number in an answer; None if there is none."""
    try:
        number = json.loads(body)["n"]
    except (ValueError, TypeError, KeyError):
        return None
    return number if isinstance(number, int) else None
