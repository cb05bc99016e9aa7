"""Owns one module: starts it, starts a new instance when it fails, parks it, stops it.

The transitions are in `lifecycle`, the restart delays in `policy`; this is the work and the log.
A supervisor never ends the process: it reports its state, the agent decides.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from attrs import frozen
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from metrics_agent.deferreds import as_deferred
from metrics_agent.supervision.context import Context
from metrics_agent.supervision.counters import Counters
from metrics_agent.supervision.guard import Caught
from metrics_agent.supervision.lifecycle import TRANSITIONS, Action, Event, State
from metrics_agent.supervision.policy import RestartDecision, RestartPolicy

__all__ = ["State", "Supervisor", "Timeouts"]


@frozen
class Timeouts:
    """How long a module may take to start and to stop, in seconds."""

    start_s: float
    stop_s: float


class _Life:
    """One instance of the module and what belongs to it."""

    def __init__(self) -> None:
        self.context: Context | None = None
        self.module: Any = None
        self.starting: Deferred[Any] | None = None
        self.timeout: IDelayedCall | None = None
        self.stopping: Deferred[Any] | None = None
        self.stopping_since_s = 0.0


class Supervisor(Service):
    """The supervisor of one configured module.

    Args:
        name: of the module, ``tasmota`` or ``tasmota:garage``.
        clock: provides seconds and callLater.
        make_context: makes the context of a new instance; takes what `Context` has as on_fail.
        make_module: makes a new instance; may raise.
        policy: when to try again.
        timeouts: see there.
        counters: of this module.
        log: stamps the module.
        on_state: called with this supervisor after each change of its state.

    Attributes:
        state: what it is doing.
        since_s: when that began, on the clock.
    """

    def __init__(
        self,
        name: str,
        *,
        clock: Any,
        make_context: Callable[[Callable[[BaseException], None]], Context],
        make_module: Callable[[Context], Any],
        policy: RestartPolicy,
        timeouts: Timeouts,
        counters: Counters,
        log: Logger,
        on_state: Callable[[Supervisor], None] = lambda _supervisor: None,
    ) -> None:
        # Not Service's ``name``: two generations of a module may be children at the same time.
        self.module_name = name
        self.state = State.NEW
        self.since_s = clock.seconds()
        self._clock = clock
        self._make_context = make_context
        self._make_module = make_module
        self._policy = policy
        self._timeouts = timeouts
        self._counters = counters
        self._log = log
        self._on_state = on_state
        self._life = _Life()
        self._verdict = RestartDecision(0.0, parked=False, restart=0)
        self._wait: IDelayedCall | None = None
        self._launched = 0
        self._awaiting_first_start: list[Deferred[None]] = []
        self._finished: list[Deferred[None]] = []
        self._actions: dict[Action, Callable[[], None]] = {
            Action.LAUNCH: self._launch,
            Action.LOG_STARTED: self._log_started,
            Action.CLEAR: self._clear,
            Action.WAIT: self._set_wait,
            Action.CANCEL_WAIT: self._cancel_wait,
            Action.FINISH: self._finish,
            Action.NOTHING: lambda: None,
        }

    @property
    def recent_restarts(self) -> int:
        """Restarts within the window of the policy."""
        return self._policy.recent(self._clock.seconds())

    # -- IService ----------------------------------------------------------------------------

    def startService(self) -> None:
        """Make and start the module."""
        super().startService()
        self._happened(Event.START)

    def stopService(self) -> Deferred[None]:
        """Stop the module; fires when it is gone, at the latest at its stop timeout."""
        super().stopService()
        self._happened(Event.STOP)
        if self.state is State.STOPPED:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._finished.append(waiting)
        return waiting

    def abandon(self) -> None:
        """Wait no longer for a module that is stopping: its time is over now."""
        if self.state is State.STOPPING:
            self._stop_timed_out(self._life)

    def first_start(self) -> Deferred[None]:
        """Return a Deferred that fires when the first start has succeeded or failed."""
        if self.state not in {State.NEW, State.STARTING}:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._awaiting_first_start.append(waiting)
        return waiting

    # -- the machine -------------------------------------------------------------------------

    def _happened(self, event: Event) -> None:
        # The state is reported after the action, but for CLEAR, and by whoever changed it last.
        step = TRANSITIONS.get((self.state, event))
        if step is None:
            return
        if step[0] is not self.state:
            self.since_s = self._clock.seconds()
        self.state, action = step
        if action is Action.CLEAR:
            # Before the instance is touched: what is read for it from now on would be lost with it.
            self._on_state(self)
        self._actions[action]()
        if step[0] is not self.state:
            return  # the action caused the next transition, which has reported it
        if action is not Action.CLEAR:
            self._on_state(self)
        if self.state not in {State.NEW, State.STARTING}:
            _fire(self._awaiting_first_start)

    # -- starting ----------------------------------------------------------------------------

    def _launch(self) -> None:
        self._wait = None
        self._launched += 1
        if self._launched > 1:
            self._counters.restarts += 1
        life = self._life = _Life()

        life.context = self._make_context(lambda _error: self._event_from(life, Event.FAILED))
        guard = life.context.guard
        module = guard.run("make", self._make_module, life.context)
        if module is None:
            module = guard.caught("make", TypeError("got no module, expected an IModule"))
        if isinstance(module, Caught):
            self._event_from(life, Event.FAILED)
            return
        life.module = module
        result = guard.run("start", _call, module, "startService")
        if isinstance(result, Caught):
            self._event_from(life, Event.FAILED)
        if self._life is not life or self.state is not State.STARTING:
            return
        if isinstance(result, Awaitable):
            self._wait_for_start(life, as_deferred(result))
        else:
            self._event_from(life, Event.STARTED)

    def _wait_for_start(self, life: _Life, starting: Deferred[Any]) -> None:
        assert life.context is not None
        life.starting = starting
        life.timeout = self._clock.callLater(self._timeouts.start_s, self._start_timed_out, life)

        def not_by_us(failure: Failure) -> Failure:
            # For the guard what was cancelled has not failed; a start that was has.
            if life.starting is starting and isinstance(failure.value, CancelledError):
                raise RuntimeError("the module cancelled its own start")
            return failure

        def over(result: object) -> None:
            if isinstance(result, Caught):
                self._event_from(life, Event.FAILED)
            else:
                self._start_finished(life, starting)

        life.context.guard.watch("start", starting.addErrback(not_by_us)).addCallback(over)

    def _start_finished(self, life: _Life, starting: Deferred[Any]) -> None:
        if life.starting is not starting:
            return  # it failed, or is being stopped: the timeout is the stop's now
        life.starting = None
        self._stop_timeout(life)
        self._event_from(life, Event.STARTED)

    def _start_timed_out(self, life: _Life) -> None:
        assert life.context is not None
        error = TimeoutError(f"it did not start within {self._timeouts.start_s:g} s")
        life.context.guard.caught("start", error)
        self._event_from(life, Event.FAILED)

    def _event_from(self, life: _Life, event: Event) -> None:
        """Take an event of an instance, unless it is a former one."""
        if life is self._life:
            self._happened(event)

    def _log_started(self) -> None:
        if self._launched > 1:
            self._log.info("Started again, restart {count}.", count=self._launched - 1, fold=False)
        else:
            self._log.info("Started.", fold=False)

    # -- stopping ----------------------------------------------------------------------------

    def _clear(self) -> None:
        """Stop the instance within the timeout, then clean up after it."""
        life = self._life
        if self.state is State.CLEARING:
            self._verdict = self._policy.failed(self._clock.seconds())
        self._stop_timeout(life)
        starting, life.starting = life.starting, None
        assert life.context is not None
        guard = life.context.guard
        if starting is not None:
            guard.run("start", starting.cancel)
        result = None
        if life.module is not None:
            result = guard.run("stop", _call, life.module, "stopService")
        if not isinstance(result, Awaitable):
            self._cleared(life)
            return
        stopping = life.stopping = as_deferred(result)
        life.stopping_since_s = self._clock.seconds()
        life.timeout = self._clock.callLater(self._timeouts.stop_s, self._stop_timed_out, life)
        guard.watch("stop", stopping)
        stopping.addCallback(lambda _result: self._cleared(life))

    def _stop_timed_out(self, life: _Life) -> None:
        stopping = life.stopping
        if stopping is None:
            return  # asked by the module itself, in its stopService
        waited_s = self._clock.seconds() - life.stopping_since_s
        self._log.warn("Did not stop within {seconds:g} s; abandoned.", seconds=round(waited_s, 1))
        assert life.context is not None
        guard = life.context.guard
        self._cleared(life)
        guard.run("stop", stopping.cancel)

    def _cleared(self, life: _Life) -> None:
        context, life.context, life.module = life.context, None, None
        if context is None:
            return  # abandoned before
        self._stop_timeout(life)
        left = context.guard.run("clean_up", context.close)
        if self.state is State.STOPPING:
            text = f"Stopped, and cleaned up: {left}." if left else "Stopped."
            self._log.info("{text}", text=text, fold=False)
            self._happened(Event.CLEARED)
        else:
            self._happened(Event.PARK if self._verdict.parked else Event.RETRY)

    def _stop_timeout(self, life: _Life) -> None:
        timeout, life.timeout = life.timeout, None
        if timeout is not None and timeout.active():
            timeout.cancel()

    # -- waiting and the end -----------------------------------------------------------------

    def _set_wait(self) -> None:
        verdict = self._verdict
        if verdict.parked:
            self._log.error(
                "Parked after too many restarts; next attempt in {seconds:g} s.",
                seconds=verdict.delay_s,
                fold=False,
            )
        else:
            self._log.warn(
                "Restart {restart} in {seconds:.1f} s.",
                restart=verdict.restart,
                seconds=verdict.delay_s,
                fold=False,
            )
        self._wait = self._clock.callLater(verdict.delay_s, self._happened, Event.DUE)

    def _cancel_wait(self) -> None:
        if self._wait is not None and self._wait.active():
            self._wait.cancel()
        self._wait = None
        self._log.info("Stopped; it was waiting to be restarted.", fold=False)
        self._finish()

    def _finish(self) -> None:
        _fire(self._finished)


def _call(module: Any, method: str) -> Any:
    """Look a method up inside the guard: it is any object that was made."""
    return getattr(module, method)()


def _fire(waiting: list[Deferred[None]]) -> None:
    ready = list(waiting)
    waiting.clear()
    for deferred in ready:
        deferred.callback(None)
