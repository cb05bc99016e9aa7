"""Kinds of faults of the device that is polled by HTTP, and of the module that polls it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from tests.simulation.http_device import WAYS
from tests.simulation.polls import POLLING

if TYPE_CHECKING:
    from tests.simulation.world import World

__all__ = ["DEVICE_KINDS"]


def _device_errs(*ways: str) -> Callable[[World], Callable[[], None]]:
    def fault(world: World) -> Callable[[], None]:
        device = world.device
        device.wrong = wrong = world.chance.choice(ways)

        def heal() -> None:
            if device.wrong == wrong:
                device.wrong = ""

        return heal

    return fault


def _module_poll(world: World) -> None:
    if POLLING in world.scope.modules:
        wrong, times = world.chance.choice(("raises", "exits")), world.chance.choice((1, 2, 5))
        world.steps.go_wrong(world.config.instance(POLLING), "poll", wrong, times)


DEVICE_KINDS: Final[dict[str, Callable[[World], Callable[[], None] | None]]] = {
    "device_errs": _device_errs(*WAYS),
    "module_poll": _module_poll,
}
