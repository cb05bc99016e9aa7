"""The sample configuration, made from the settings classes.

A line with ``##`` and a space explains. ``#`` right before a key or a table is what a user takes
away to use it; ``##`` right before one marks a table that replaces a setting, so that taking away
every single ``#`` leaves a file that is accepted.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

from attrs import frozen

from metrics_agent.config.agent import AgentSettings
from metrics_agent.config.declared import Declared, declared, needed
from metrics_agent.config.faults import join
from metrics_agent.config.load import CommonSettings

__all__ = ["Subject", "sample_file", "sample_modules"]

_WIDTH = 79
_RULE = "## " + "-" * (_WIDTH - 3)
_LEGEND = (
    (
        "Lines with ## explain. A setting behind # is shown with its default; remove the # to "
        "change it. One that is required or not set is shown with an example."
    ),
    (
        'Durations: "250ms", "30s", "1h30m", "2d". Sizes: "256KiB", "16MiB" or a number of '
        'bytes. Secrets: "text", { env = "NAME" } or { file = "path" }.'
    ),
    "After a change: sudo -u telegraf metrics-agent check -c FILE",
)


@frozen
class Subject:
    """A module to show.

    Attributes:
        name: the key of its table under ``[modules]``.
        purpose: what it is for, or why it cannot be used.
        settings: its settings class; None if it cannot be used.
    """

    name: str
    purpose: str
    settings: type[Any] | None


def sample_file(subjects: Iterable[Subject]) -> str:
    """Return a whole file: global settings and modules, all behind ``#``."""
    heading = (
        "Configuration of metrics-agent.",
        *_LEGEND,
        "A module runs if its table says enabled = true: remove the # in front of both.",
    )
    lines = [*_prose(*heading), "", *_settings(AgentSettings, "", "#")]
    for subject in subjects:
        lines += _module(subject, "#")
    return _text(lines)


def sample_modules(subjects: Iterable[Subject]) -> str:
    """Return the tables of some modules, enabled, what they require filled with examples."""
    heading = (*_LEGEND, "Global settings: metrics-agent sample-config")
    lines = [*_prose(*heading), ""]
    for subject in subjects:
        lines += _module(subject, "")
    return _text(lines)


def _text(lines: Iterable[str]) -> str:
    return "\n".join(lines).rstrip("\n") + "\n"


def _module(subject: Subject, mark: str) -> Iterator[str]:
    yield _RULE
    yield from _prose(f"{subject.name}: {subject.purpose}")
    if subject.settings is None:
        yield ""
        return
    path = join("modules", subject.name)
    yield f"{mark}[{path}]"
    yield f"{mark}enabled = true"
    yield ""
    for each in declared(CommonSettings):
        if each.name != "enabled":
            yield from _setting(each, each.sample, "#", each.default_text)
    yield from _settings(subject.settings, path, mark)


def _settings(cls: type[Any], path: str, mark: str) -> Iterator[str]:
    """Yield the settings of a table.

    Args:
        cls: the class.
        path: of the table, empty at the top.
        mark: in front of what a file needs: empty, ``#`` or ``##``.
    """
    needs = needed(cls)
    settings = list(declared(cls))
    replaced = {each.instead_of: each.name for each in settings if each.instead_of}
    for each in settings:
        if each.table is not None:
            continue
        if each.name in needs:
            unless = f" unless {replaced[each.name]} is set" if each.name in replaced else ""
            yield from _setting(each, each.sample, mark, f"required{unless}")
        else:
            status = "" if each.default else each.default_text
            yield from _setting(each, each.default or each.sample, mark or "#", status)
    for each in settings:
        if each.table is not None:
            own_mark = "##" if each.instead_of else mark if each.required else mark or "#"
            inner = join(path, each.name)
            yield from _prose(_meaning(each, "" if each.default else each.default_text))
            if each.instead_of:
                yield from _prose(f"To use it, remove {each.instead_of} and each ## below.")
            yield f"{own_mark}[{inner}]"
            yield ""
            yield from _settings(each.table, inner, own_mark)


def _setting(each: Declared, value: str, mark: str, status: str) -> Iterator[str]:
    yield from _prose(_meaning(each, status))
    yield f"{mark}{each.name} = {value}"
    yield ""


def _meaning(each: Declared, status: str) -> str:
    choices = f"one of {', '.join(each.choices)}" if each.choices else ""
    facts = "; ".join(filter(None, (choices or each.type_name, *each.limits, status)))
    example = f" Example: {each.example}." if each.example and not status else ""
    return f"{each.doc}{example} [{facts}]"


def _prose(*paragraphs: str) -> Iterator[str]:
    for paragraph in paragraphs:
        # A module of another package may write anything; a comment of TOML may not.
        text = "".join(char if char.isprintable() else " " for char in paragraph)
        yield from textwrap.wrap(
            text,
            _WIDTH,
            initial_indent="## ",
            subsequent_indent="## ",
            break_long_words=False,
            break_on_hyphens=False,
        )
