"""The states of a supervised module, and how one follows from another. Pure: a table.

::

    NEW -> STARTING -> RUNNING          a first start that works
              |           |
              +-----------+--> CLEARING    it failed: the instance is stopped and cleaned up
                                  |
                 BACKING_OFF <----+----> PARKED        by the restart policy
                      |                     |
                      +------> STARTING <---+          when the wait is over: a new instance

    STOP leads to STOPPING where there is an instance to stop, else to STOPPED; nothing leads out of
    STOPPED: a module that is to run again gets a new supervisor.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final

__all__ = ["TRANSITIONS", "Action", "Event", "State"]


class State(Enum):
    """What a supervisor is doing. ``code`` and ``word`` are what the self-metrics say."""

    NEW = (0, "new")
    STARTING = (1, "starting")
    RUNNING = (2, "running")
    CLEARING = (3, "clearing")
    BACKING_OFF = (3, "backing_off")
    PARKED = (4, "parked")
    STOPPING = (0, "stopping")
    STOPPED = (0, "stopped")

    @property
    def code(self) -> int:
        """The number in the self-metrics."""
        return self.value[0]

    @property
    def word(self) -> str:
        """The word in the self-metrics."""
        return self.value[1]


class Event(Enum):
    """What can happen to a supervised module."""

    START = "the supervisor was started"
    STARTED = "the module has started"
    FAILED = "its start failed, or it reported a fatal error"
    RETRY = "the failed instance is gone; the policy allows another after a delay"
    PARK = "the failed instance is gone; there were too many restarts"
    DUE = "the wait is over"
    STOP = "the supervisor was asked to stop"
    CLEARED = "the instance that was stopped is gone"


class Action(Enum):
    """What a supervisor does on entering a state."""

    LAUNCH = "make and start a new instance"
    LOG_STARTED = "log that it runs"
    CLEAR = "stop the instance and clean up after it"
    WAIT = "set the timer of the policy"
    CANCEL_WAIT = "cancel that timer, then finish"
    FINISH = "report that it has stopped"
    NOTHING = "nothing: the current work continues"


TRANSITIONS: Final[Mapping[tuple[State, Event], tuple[State, Action]]] = MappingProxyType(
    {
        (State.NEW, Event.START): (State.STARTING, Action.LAUNCH),
        (State.NEW, Event.STOP): (State.STOPPED, Action.FINISH),
        (State.STARTING, Event.STARTED): (State.RUNNING, Action.LOG_STARTED),
        (State.STARTING, Event.FAILED): (State.CLEARING, Action.CLEAR),
        (State.STARTING, Event.STOP): (State.STOPPING, Action.CLEAR),
        (State.RUNNING, Event.FAILED): (State.CLEARING, Action.CLEAR),
        (State.RUNNING, Event.STOP): (State.STOPPING, Action.CLEAR),
        (State.CLEARING, Event.RETRY): (State.BACKING_OFF, Action.WAIT),
        (State.CLEARING, Event.PARK): (State.PARKED, Action.WAIT),
        (State.CLEARING, Event.STOP): (State.STOPPING, Action.NOTHING),
        (State.BACKING_OFF, Event.DUE): (State.STARTING, Action.LAUNCH),
        (State.BACKING_OFF, Event.STOP): (State.STOPPED, Action.CANCEL_WAIT),
        (State.PARKED, Event.DUE): (State.STARTING, Action.LAUNCH),
        (State.PARKED, Event.STOP): (State.STOPPED, Action.CANCEL_WAIT),
        (State.STOPPING, Event.CLEARED): (State.STOPPED, Action.FINISH),
    }
)
"""What is not in here changes nothing: it came too late, or means nothing in that state."""
