"""The output that a plan asks for, or the fault in its configuration."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from metrics_agent.config import Fault, state_directory
from metrics_agent.config.output import STDOUT
from metrics_agent.errors import ConfigError, OutputError
from metrics_agent.output.target import make_output
from metrics_agent.output.writer import MakeWriter
from metrics_agent.plan import Plan
from metrics_agent.platform import Platform
from metrics_agent.state.owner import give_to_owner

__all__ = ["check_stdout", "make_planned_output"]


def make_planned_output(
    plan: Plan, reactor: Any, take_stdout: Callable[[], int], platform: Platform | None = None
) -> MakeWriter:
    """Return what makes the writer of the output; connects and opens nothing yet.

    Raises:
        ConfigError: Twisted cannot make the endpoint that ``output`` describes.
    """
    config = plan.config
    platform = platform or Platform()
    try:
        state_dir = state_directory(config.settings, platform.environ)
        own = partial(give_to_owner, directory=state_dir)
        return make_output(
            platform,
            reactor,
            config.settings.output,
            take_stdout,
            own,
            config.settings.output_settings,
            config.settings.instance,
        )
    except OutputError as error:
        fault = Fault("output", str(error))
        raise ConfigError([config.lines.locate(fault)]) from error


def check_stdout(plan: Plan, problem: str) -> None:
    """Refuse a stdout that takes nothing: what went to its /dev/null would count as delivered.

    Args:
        plan: whose output is meant.
        problem: of stdout, empty if there is none.

    Raises:
        ConfigError: the output is stdout, and that has a problem.
    """
    config = plan.config
    if problem and config.settings.output == STDOUT:
        text = (
            f'got "{STDOUT}", but {problem}: start the agent with a stdout, or set a file or socket'
        )
        raise ConfigError([config.lines.locate(Fault("output", text))])
