"""Kinds of faults of the device that is polled by HTTP, and of the module that polls it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from tests.simulation.http_device import WAYS
from tests.simulation.polls import POLLING

if TYPE_CHECKING:
    from tests.simulation.world import World

__all__ = ["DEVICE_ERRS", "DEVICE_KINDS"]

DEVICE_ERRS: Final = "device_errs"


def _device_errs(world: World) -> Callable[[], None]:
    """Have the device err in one way, or in another one with each answer."""
    device, chance = world.device, world.chance
    device.ways = ways = chance.choice((WAYS, (chance.choice(WAYS),)))

    def heal() -> None:
        if device.ways is ways:
            device.ways = ()

    return heal


def _module_poll(world: World) -> None:
    if POLLING in world.scope.modules:
        wrong, times = world.chance.choice(("raises", "exits")), world.chance.choice((1, 2, 5))
        world.steps.go_wrong(world.config.instance(POLLING), "poll", wrong, times)


DEVICE_KINDS: Final[dict[str, Callable[[World], Callable[[], None] | None]]] = {
    DEVICE_ERRS: _device_errs,
    "module_poll": _module_poll,
}
