"""`metrics-agent tap`: the lines of the running agent, as they go to its output."""

from __future__ import annotations

from metrics_agent.commands.asking import (
    NO_AGENT,
    NoAnswerError,
    answer_lines,
    ask,
    end_like_a_tool,
    find_places,
    refuse,
)
from metrics_agent.commands.stdout import say, say_error
from metrics_agent.errors import ConfigError
from metrics_agent.process.boot import Process
from metrics_agent.process.exit import ExitCode

__all__ = ["tap"]

_REMARK = b"# "


def tap(process: Process, config: str | None, name: str | None) -> int:
    """Write the lines to stdout, remarks to stderr, until the agent or this process ends.

    Args:
        process: what `boot` made.
        config: the configuration file, None to look for it.
        name: of a module or a device; None for all.

    Returns:
        0 when the agent has ended, 1 without a stdout, 3 if no agent answers, 78 if none
        answers and the configuration cannot be used.
    """
    if process.stdout_problem:
        say_error(f"error: {process.stdout_problem}")
        return ExitCode.FAILED
    end_like_a_tool()
    try:
        with ask(find_places(config), ask="tap", name=name) as connection:
            connection.settimeout(None)
            say_error(f"# lines of {name or 'all modules'} as they are written; Ctrl-C ends this")
            for line in answer_lines(connection):
                text = line.decode("utf-8", "replace")
                (say_error if line.startswith(_REMARK) else say)(text)
    except NoAnswerError as error:
        say_error(f"error: {error}")
        return NO_AGENT
    except ConfigError as error:
        return refuse(error)
    say_error("# the agent has ended")
    return ExitCode.STOPPED
