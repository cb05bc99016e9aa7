"""The last stop of a run: all works, but often the reader stalls and the process stands still."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.simulation.configuration import NUMBERED

if TYPE_CHECKING:
    from tests.simulation.process import AgentProcess
    from tests.simulation.world import World

__all__ = ["last_stop"]

UNHINDERED_STOP_S: Final = 2.0
"""How long a stop takes at most while brokers and reader answer: less than it waits for either."""
_STANDS_STILL_SHARE: Final = 0.2
_STANDS_STILL_S: Final = (1.8, 2.2)
"""Less than after which a broker ends a connection that has a keepalive of 5 s."""
_STALLS_S: Final = (3.4, 3.8)
"""How long the reader stalls after that: all in all for longer than the `drain_timeout`, in which
the time that the process stands still does not count."""


def last_stop(world: World, process: AgentProcess) -> None:
    """Stop the agent, which must have done all that it can when it has ended."""
    random = world.random
    settles_s = random.choice((0.0, 0.001, 0.01))
    # Modules that no fault concerns must not notice anything.
    stands_still = not world.scope.bystanders and random.random() < _STANDS_STILL_SHARE
    if not stands_still and random.random() < 0.3:
        # Then one module waits for its restart, which does not come about soon.
        name = random.choice(NUMBERED)
        world.steps.go_wrong(f"numbered:{name}", "message", "fails", 1)
        world.steps.go_wrong(f"numbered:{name}", "start", "hangs", 1)
        settles_s = 0.3
    if stands_still:
        world.reader.stall()
        settles_s = 0.1
    world.devices.send_each()
    world.clock.run(settles_s)
    process.terminate()
    if stands_still:
        _stand_still(world, process)
    world.clock.run(UNHINDERED_STOP_S)
    if process.alive:
        world.violate(
            f"a stop takes longer than {UNHINDERED_STOP_S:g} s although all brokers and the "
            "reader answer"
        )


def _stand_still(world: World, process: AgentProcess) -> None:
    """Have the process stand still, and the reader go on when it has run again for some time."""
    world.clock.run(0.1)
    process.reactor.freeze()
    world.clock.run(world.random.uniform(*_STANDS_STILL_S))
    process.reactor.thaw()
    world.clock.run(world.random.uniform(*_STALLS_S))
    world.reader.resume()
