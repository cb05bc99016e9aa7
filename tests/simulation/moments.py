"""Moments in which chance alone rarely has a fault strike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import frozen

from metrics_agent.transports.mqtt.inflow import ENDING
from tests.simulation.configuration import DEVICES

if TYPE_CHECKING:
    from collections.abc import Callable

    from metrics_agent.agent import Agent
    from tests.simulation.world import World

__all__ = ["MOMENTS", "READS_NO_MORE", "SAVES_DEVICES", "Moment", "rename_some"]


@frozen
class Moment:
    """What an agent may be doing for a moment.

    Attributes:
        is_now: says whether it does.
        prepare: has it do that soon, if that is not common.
    """

    is_now: Callable[[Agent], bool]
    prepare: Callable[[World], object] = lambda _world: None


def rename_some(world: World) -> None:
    """Have Tasmota devices announce other names, which are saved a moment later."""
    for module in world.scope.modules:
        if module in DEVICES:
            world.devices.rename(module)


def _sets_aside(agent: Agent) -> bool:
    """Messages wait for announcements."""
    links = (each._link for each in agent._parts.connections.all())
    return any(link is not None and link.inflow.announcement_gate._frames for link in links)


def _saves_devices(agent: Agent) -> bool:
    """Known devices are being written down."""
    modules = (each._life.module for each in agent.supervisors)
    return any(hasattr(each, "_known") and each._known._is_saving for each in modules)


def _reads_no_more(agent: Agent) -> bool:
    """What was read on connections that a reload ends is handed on."""
    connections = agent._parts.connections
    return not agent.stopping and any(ENDING in each._pause_reasons for each in connections.all())


READS_NO_MORE: Final = Moment(_reads_no_more)
SAVES_DEVICES: Final = Moment(_saves_devices, rename_some)
MOMENTS: Final = (Moment(_sets_aside), SAVES_DEVICES)
