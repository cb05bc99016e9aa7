"""What the test module does by its context beside messages and ticks, and what must be true of it.

It sets timers, awaits work, has a library call back, blocks a thread, keeps a value in a file and
publishes. Each of these may fail, hang or come late; that must cost nothing but a line in the log,
and when the instance has been stopped none of it may go on.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred

from tests.simulation.configuration import MODULE_STOP_S
from tests.simulation.polls import Polls
from tests.simulation.raising import raise_if_wrong
from tests.simulation.values import Values

if TYPE_CHECKING:
    from tests.simulation.world import World

__all__ = ["SEAM_STEPS", "SeamChecks", "Seams"]

SEAM_STEPS: Final = ("timer", "work", "callback", "thread")
"""Also the places that the log names."""
_SOON_S: Final = 0.3
_LATE_S: Final = 5.0
_HANGS_S: Final = 600.0
_TOGETHER: Final = 4
"""So many threads hang at once."""
_LOGGED_WITHIN_S: Final = 0.01
"""What a thread raises takes a turn."""
_AT_ONCE_EVERY: Final = 3


class SeamChecks:
    """What must be true of all instances of the test module.

    Args:
        world: that they are in.

    Attributes:
        values: what their files must hold.
        polls: what must be true of what they poll.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.values = Values(self.violate, world.disk)
        self.polls = Polls(world, self.violate)
        self._unlogged: dict[tuple[str, str], float] = {}
        self._published: dict[str, int] = {}

    def process_starts(self) -> None:
        """Forget what belongs to the process before."""
        self._unlogged.clear()
        self.values.process_starts()

    def violate(self, text: str) -> None:
        """Record what must not happen; whatever follows a kill has not happened."""
        if self._world.acts:
            self._world.violate(text)

    def expect_log(self, name: str, place: str) -> None:
        """Take note that an instance raises, which the log must have in a moment."""
        self._unlogged.setdefault((name, place), self._seconds() + _LOGGED_WITHIN_S)

    def stopped(self, name: str) -> None:
        """Take note that an instance is stopped: what its threads raise is of no interest now."""
        for each in [each for each in self._unlogged if each[0] == name]:
            del self._unlogged[each]

    def logged(self, event: Any) -> None:
        """Take an event of the log."""
        if "log_failure" in event:
            self._unlogged.pop((event.get("module", ""), event.get("place", "")), None)

    def look(self) -> None:
        """See whether everything that was raised has been logged, after each turn."""
        for (name, place), until_s in self._unlogged.items():
            if self._seconds() > until_s:
                self.violate(f"what {place} of {name} raised is not logged")

    def _seconds(self) -> float:
        process = self._world.process
        assert process is not None
        return process.reactor.seconds()

    @property
    def acts(self) -> bool:
        """Whether the process has not ended in this turn."""
        return self._world.acts

    def publish(self, topic: str, payload: bytes) -> None:
        """Take a message that a broker gets from an instance."""
        number = int(payload)
        if number <= self._published.get(topic, 0):
            self._world.violate(f"{topic} {number} comes after {self._published[topic]}")
        if number > self.values.last(topic.rpartition("/")[2]):
            self._world.violate(f"{topic} {number} was never published")
        self._published[topic] = number


class Seams:
    """What one instance uses.

    Args:
        settings: of the instance.
        context: of the instance.
        plan: see `modules.NumberedModule`.
        checks: see there.

    Attributes:
        on_stopped: called when nothing may go on.
    """

    def __init__(
        self,
        settings: Any,
        context: Any,
        plan: Callable[[str, str], str],
        checks: SeamChecks,
    ) -> None:
        self._broker = settings.connection_settings()
        self._context = context
        self._name = context.name
        self._plan = plan
        self._checks = checks
        self.on_stopped: Callable[[], None] = lambda: None
        self._stopped = False
        self._turn = 0
        self._uses = self._set_timer, self._begin_work, self._await_call, self._block, self._keep
        self._file = context.state_file("number.json")

    def start(self) -> None:
        """Read what is kept."""
        self._checks.values.read(self._name, str(self._file.path), self._file.read())

    def tick(self) -> None:
        """Use one after the other."""
        self._turn += 1
        self._uses[self._turn % len(self._uses)]()

    def stopping(self, *, hangs: bool) -> None:
        """Take note that the instance ends, at once or when its stop has taken too long."""
        if hangs:
            self._context.reactor.callLater(MODULE_STOP_S, self.stopped)
        else:
            self.stopped()

    def stopped(self) -> None:
        """Take note that nothing may go on."""
        self._stopped = True
        self._checks.stopped(self._name)
        self.on_stopped()

    def _runs(self, step: str) -> None:
        if self._stopped:
            self._checks.violate(f"{step} of {self._name} goes on after its stop")

    def _go_wrong(self, step: str, wrong: str) -> None:
        if wrong in {"raises", "exits"}:
            self._checks.expect_log(self._name, step)
        raise_if_wrong(step, wrong)

    # -- timers ------------------------------------------------------------------------------

    def _set_timer(self) -> None:
        self._context.later(2 * _SOON_S, self._timer)

    def _timer(self) -> None:
        self._runs("timer")
        self._go_wrong("timer", self._plan(self._name, "timer"))

    # -- work --------------------------------------------------------------------------------

    def _begin_work(self) -> None:
        work = self._context.watch(self._work(), place="work")
        work.addCallback(lambda _none: self._runs("what waits for work"))

    async def _work(self) -> None:
        wrong = self._plan(self._name, "work")
        waiting: Deferred[None] = Deferred()
        if wrong != "hangs":
            delay_s = _LATE_S if wrong == "late" else _SOON_S
            self._context.reactor.callLater(delay_s, waiting.callback, None)
        await waiting
        self._runs("work")
        self._go_wrong("work", wrong)

    # -- a library that calls back -----------------------------------------------------------

    def _await_call(self) -> None:
        wrong = self._plan(self._name, "callback")
        delay_s = _LATE_S if wrong == "late" else _SOON_S
        self._context.reactor.callLater(delay_s, self._context.guarded(self._called), wrong)

    def _called(self, wrong: str) -> None:
        self._runs("callback")
        self._go_wrong("callback", wrong)

    # -- threads -----------------------------------------------------------------------------

    def _block(self) -> None:
        wrong = self._plan(self._name, "thread")
        call: Any = partial(self._blocking, wrong)
        call.takes_s = {"hangs": _HANGS_S, "late": _LATE_S}.get(wrong)
        for _ in range(_TOGETHER if wrong == "hangs" else 1):
            done = self._context.in_thread(call)
            done.addCallback(lambda _none: self._runs("what waits for a thread"))

    def _blocking(self, wrong: str) -> None:
        # A thread cannot be ended; but then no-one waits for what it raises.
        if not self._stopped:
            self._go_wrong("thread", wrong)

    # -- a file and a topic ------------------------------------------------------------------

    def _keep(self) -> None:
        number = self._checks.values.next(self._name)
        at_once = number % _AT_ONCE_EVERY == 0
        self._file.write(number, at_once=at_once)
        if self._checks.acts:
            self._checks.values.written(self._name, at_once=at_once)
        if self._file.read() != number:
            self._checks.violate(f"{self._name} does not read the value that it has written")
        self._context.publish(self._broker, f"out/{self._name}", b"%d" % number)
