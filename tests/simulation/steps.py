"""Which steps of the test modules go wrong, and which instances of them run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tests.simulation.configuration import module_of
from tests.simulation.seams import SEAM_STEPS

__all__ = ["Steps"]

_SAME_MOMENT_S: Final = 1e-6
LASTING_S = 45.0
"""How long a module may be without messages after a step went wrong, until its restart."""


class Steps:
    """See the module.

    Args:
        violate: called with what must not happen.
        excuse: called with a module, for which messages may be lost, and for how long.
        seconds: the clock.

    Attributes:
        ticked_s: when each instance was asked for metrics last.
    """

    def __init__(
        self,
        violate: Callable[[str], object],
        excuse: Callable[[str, float], object],
        seconds: Callable[[], float],
    ) -> None:
        self._violate = violate
        self._excuse = excuse
        self._seconds = seconds
        self.ticked_s: dict[str, float] = {}
        self._wrong: dict[tuple[str, str], list[str]] = {}
        self._running: set[str] = set()

    def go_wrong(self, instance: str, step: str, wrong: str, times: int) -> None:
        """Have a step of an instance go wrong the next times."""
        self._wrong[instance, step] = [wrong] * times

    def will_go_wrong(self, instance: str) -> bool:
        """Say whether a step of an instance goes wrong some time."""
        return any(
            plan
            for (name, step), plan in self._wrong.items()
            if name == instance and step not in SEAM_STEPS
        )

    def heal(self) -> None:
        """Have nothing more go wrong."""
        self._wrong.clear()

    def process_starts(self) -> None:
        """Forget the instances that ran."""
        self._running.clear()

    def take(self, instance: str, step: str) -> str:
        """Return what goes wrong in a step that begins now, "" if nothing."""
        if step == "start":
            if instance in self._running:
                self._violate(f"two instances of {instance} run")
            self._running.add(instance)
            self.ticked_s.pop(instance, None)
        elif step == "tick":
            now_s = self._seconds()
            if now_s - self.ticked_s.get(instance, 0.0) < _SAME_MOMENT_S:
                self._violate(f"{instance} is asked for metrics twice at the same moment")
            self.ticked_s[instance] = now_s
        plan = self._wrong.get((instance, step))
        wrong = plan.pop(0) if plan else ""
        # One whose stop hangs is abandoned; a slow one is there until it has stopped.
        if step == "stopped" or (step == "stop" and wrong != "slow"):
            self._running.discard(instance)
        if wrong and step not in SEAM_STEPS:
            self._excuse(module_of(instance), LASTING_S)
        return wrong
