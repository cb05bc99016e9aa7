"""What can be wrong with a template, and the limits on all of them."""

from __future__ import annotations

from typing import Final

from metrics_agent.errors import MetricsAgentError

__all__ = [
    "MAX_INT_BITS",
    "MAX_RESULT",
    "MAX_TEMPLATE",
    "MAX_TEXT",
    "MISSING",
    "TemplateError",
    "TemplateFault",
    "excerpt",
]

MAX_TEMPLATE: Final = 4096
"""Characters of a template. The longest of Zigbee2MQTT, for actions of buttons, has some 1,600."""

MAX_RESULT: Final = 64 * 1024
"""Characters of a result. Home Assistant's state has at most 255."""

MAX_TEXT: Final = 256 * 1024
"""Characters of any text on the way to a result, and elements of any list."""

MAX_INT_BITS: Final = 4096
"""Bits of any integer on the way to a result. JSON's have 64."""

_EXCERPT: Final = 60


class _Missing:
    """Says that a payload is not JSON; None is JSON's null."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()


class TemplateFault(MetricsAgentError):  # noqa: N818 - names what is wrong
    """A template that is not run.

    Args:
        reason: ``too_long``, ``too_deep``, ``not_allowed``, ``needs_jinja2`` where Home Assistant
            would run it; ``invalid`` where it refuses the entity too.
        clause: why, for the end of a sentence.
    """

    def __init__(self, reason: str, clause: str) -> None:
        self.reason = reason
        super().__init__(clause)


class TemplateError(MetricsAgentError):
    """A template that has no result for a payload.

    Args:
        clause: why, for the end of a sentence.
        undefined: something in it is undefined, or out of bounds for Home Assistant's sandbox: it
            then takes the payload itself, or a default. Otherwise it ignores the message.
    """

    def __init__(self, clause: str, *, undefined: bool = False) -> None:
        self.undefined = undefined
        super().__init__(clause)


def excerpt(value: object) -> str:
    """Show a value in an error: bounded, whatever it is."""
    if isinstance(value, str):
        return repr(value if len(value) <= _EXCERPT else value[:_EXCERPT] + "...")
    if isinstance(value, float | bool) or value is None:
        return repr(value)
    return f"the {type(value).__name__}"
