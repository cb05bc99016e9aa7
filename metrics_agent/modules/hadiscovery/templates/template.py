"""A template of either tier, and the one way to get it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from attrs import field, frozen

from metrics_agent.errors import how_to_install
from metrics_agent.modules.hadiscovery.templates.faults import (
    MAX_TEMPLATE,
    MISSING,
    TemplateFault,
)
from metrics_agent.modules.hadiscovery.templates.paths import compile_path, path_at

__all__ = ["Render", "Template", "compile_template", "is_surely_valid"]

Render = Callable[[str | bytes, object], str]
"""Payload as text or bytes, payload as JSON or `MISSING` -> result without blanks around it."""

_MARK: Final = re.compile(r"\{[{%#]")
_PATH_BYTES: Final = 1200
_PATH_BYTES_PER_CHAR: Final = 55
_JINJA_BYTES: Final = 4000
_JINJA_BYTES_PER_CHAR: Final = 30


@frozen
class Template:
    """A template that is ready to run; it keeps nothing of a payload, so entities may share it.

    Attributes:
        text: the template, without blanks around it.
        render: see `Render`. Raises `TemplateError` where the payload gives no result.
        needs_jinja: Jinja2 renders it.
    """

    text: str
    render: Render = field(repr=False)
    needs_jinja: bool

    @property
    def memory_bytes(self) -> int:
        """Return at least the memory it takes, to bound many of them."""
        if self.needs_jinja:
            return _JINJA_BYTES + _JINJA_BYTES_PER_CHAR * len(self.text)
        return _PATH_BYTES + _PATH_BYTES_PER_CHAR * len(self.text)


def compile_template(text: str) -> Template:
    """Make a template of a config ready to run.

    Args:
        text: as it is in the config.

    Raises:
        TemplateFault: it is not run, and why.
    """
    text = text.strip()
    if len(text) > MAX_TEMPLATE:
        raise TemplateFault("too_long", f"it has more than {MAX_TEMPLATE:,} characters")
    if _MARK.search(text) is None:
        return Template(text, _constant(text), needs_jinja=False)
    render = compile_path(text)
    if render is not None:
        return Template(text, render, needs_jinja=False)
    try:
        from metrics_agent.modules.hadiscovery.templates.jinja import compile_jinja
    except ImportError as error:
        raise TemplateFault(
            "needs_jinja2", f"it needs Jinja2 ({error}): {how_to_install('templates')}"
        ) from error
    return Template(text, compile_jinja(text), needs_jinja=True)


def is_surely_valid(text: str) -> bool:
    """Say whether a template is text around paths: what Home Assistant takes, without Jinja2."""
    at = 0
    while (mark := _MARK.search(text, at)) is not None:
        path = path_at(text, mark.start())
        if path is None or compile_path(path) is None:
            return False
        at = mark.start() + len(path)
    return len(text) <= MAX_TEMPLATE


def _constant(text: str) -> Render:
    def render(value: str | bytes, value_json: object = MISSING) -> str:  # noqa: ARG001 - a Render
        return text

    return render
