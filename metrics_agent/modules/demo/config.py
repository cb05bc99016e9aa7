"""Settings of the module ``demo``."""

from __future__ import annotations

from attrs import frozen

from metrics_agent.config.setting import setting
from metrics_agent.config.types import Duration

__all__ = ["DemoSettings"]


@frozen
class DemoSettings:
    """What the demo module writes, how often, and when it fails."""

    interval: Duration = setting(
        default="10s", minimum=0.01, doc="Time between two metrics.", example="1s"
    )
    trigger_file: str = setting(
        default="",
        doc="While a file of this path exists, every tick raises: to see how the agent contains "
        "a fault. Empty: off.",
        file="watched",
    )
