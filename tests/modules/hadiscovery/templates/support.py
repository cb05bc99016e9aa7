"""Rendering in tests: results and failures as plain values."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

from metrics_agent.modules.hadiscovery.templates import (
    MISSING,
    TemplateError,
    TemplateFault,
    compile_template,
)

__all__ = ["FAILED", "UNDEFINED", "json_of", "outcome", "reason", "render"]

UNDEFINED = ("undefined",)
"""The outcome of a template in which something is undefined."""

FAILED = ("failed",)
"""The outcome of a template that raised."""


def json_of(payload: str) -> object:
    """Return a payload as Home Assistant reads JSON: what is too large for a float is none."""

    def refuse(text: str) -> float:
        raise ValueError(text)

    def finite(text: str) -> float:
        return float(text) if math.isfinite(float(text)) else refuse(text)

    try:
        return json.loads(payload, parse_constant=refuse, parse_float=finite)
    except ValueError:
        return MISSING


def outcome(render: Callable[[str, object], str], payload: str) -> object:
    """Return what a template gives for a payload."""
    try:
        return render(payload, json_of(payload))
    except TemplateError as error:
        return UNDEFINED if error.undefined else FAILED


def render(text: str, payload: str = "{}") -> object:
    """Return what the text of a template gives for a payload."""
    return outcome(compile_template(text).render, payload)


def reason(text: str) -> str:
    """Return why a template is not run, empty if it is."""
    try:
        compile_template(text)
    except TemplateFault as fault:
        return fault.reason
    return ""
