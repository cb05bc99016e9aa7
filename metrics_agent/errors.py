"""The errors this package raises.

::

    MetricsAgentError           never raised itself; catches all of ours
    |-- ConfigError             the configuration cannot be used; carries every fault
    |-- MetricRefused           a metric that line protocol cannot carry; carries a reason
    |-- PayloadError            a device's message that cannot be read; carries a reason
    |-- ProtocolError           a peer broke its protocol (MQTT, WebSocket)
    |   `-- MalformedLength     so that nothing after it can be read; carries what came before
    |-- MissingDependency       an optional package is not installed; says what to install
    |-- TooManyCalls            a module asked for more blocking calls than may wait for a thread
    |-- TemplateFault           a template of a device that is not run; carries a reason
    |-- TemplateError           a template that has no result for a payload
    |-- OutputError             the output cannot be opened or written
    |-- CauseError              a connection, request or file failed; carries the cause
    |   |-- GrantRefused        the code or refresh token is not accepted
    |   `-- StoreFault          the file with tokens cannot be read or written
    |-- LoginNeeded             there are no tokens until the user logs in
    |-- CannotServe             the port of the login page cannot be opened
    |-- Unknown                 the address belongs to no pending login
    |-- RedirectRefused         the user or the server refused the login
    |-- StoreBusy               another process or instance is replacing the tokens
    |-- Damaged                 that file holds no tokens
    `-- DemoError               the simulation of `metrics-agent demo` cannot be started

A class that one file alone raises is in that file; a test compares this drawing with the classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from metrics_agent.config.faults import Fault

__all__ = [
    "ConfigError",
    "MetricRefused",
    "MetricsAgentError",
    "MissingDependency",
    "OutputError",
    "PayloadError",
    "ProtocolError",
    "how_to_install",
]


class MetricsAgentError(Exception):
    """Base of all errors of this package; never raised itself."""


class ConfigError(MetricsAgentError):
    """The configuration cannot be used.

    Args:
        faults: every fault that was found, at least one, in the order of the file.
    """

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(str(fault) for fault in self.faults))


class _ReasonedError(MetricsAgentError):
    """An error with a short, countable reason beside its sentence."""

    def __init__(self, reason: str, detail: str = "") -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}" if detail else reason)


class MetricRefused(_ReasonedError):  # noqa: N818 - names what happened
    """A metric that cannot be written as line protocol.

    Args:
        reason: one of a small fixed set of snake_case words, used as a counter's name,
            such as ``no_fields`` or ``int_out_of_range``.
        detail: what was got and what was expected.
        known: the same was refused before, so it is counted and not logged again.
    """

    def __init__(self, reason: str, detail: str = "", *, known: bool = False) -> None:
        self.known = known
        super().__init__(reason, detail)


class PayloadError(_ReasonedError):
    """A message of a device that cannot be read.

    Args:
        reason: one of a small fixed set of snake_case words, such as ``invalid_json``.
        detail: what was got and what was expected.
    """


class ProtocolError(_ReasonedError):
    """A peer broke its protocol; the connection cannot go on."""


class MissingDependency(MetricsAgentError):  # noqa: N818 - names what is wrong
    """An optional package is needed and not installed; the text says what to install."""


def how_to_install(extra: str = "") -> str:
    """Say how to install what is missing, for the text of a `MissingDependency`.

    It names no package of ours for pip's index: we are on none, so anybody could take the name.

    Args:
        extra: the extra that is missing; without it, a package that is never optional.
    """
    if not extra:
        return "run install.sh --reinstall, or in a checkout pip install ., and restart"
    if extra == "demo":
        return "in a checkout, run pip install '.[demo]'"
    return f"run install.sh --extras all, or in a checkout pip install '.[{extra}]', and restart"


class OutputError(MetricsAgentError):
    """The output cannot be opened or written."""
