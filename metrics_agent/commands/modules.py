"""`metrics-agent modules`: what can be enabled, and the settings of one module."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

from metrics_agent.commands.kinds import all_subjects, subject_or_complain
from metrics_agent.commands.stdout import say, say_lines
from metrics_agent.config.declared import Declared, declared
from metrics_agent.config.faults import join
from metrics_agent.config.load import CommonSettings
from metrics_agent.config.sample import Subject
from metrics_agent.process.exit import ExitCode

__all__ = ["modules"]

_WIDTH = 79


def modules(name: str | None = None) -> int:
    """Write to stdout the modules, one a line, or the settings of one module.

    Args:
        name: of a module; None for the list.

    Returns:
        0; 2 for an unknown name; 1 for a module that cannot be used.
    """
    if name is None:
        subjects = all_subjects()
        width = max(len(each.name) for each in subjects)
        for each in subjects:
            say(f"{each.name:<{width}}  {each.purpose}")
        return ExitCode.STOPPED
    subject = subject_or_complain(name)
    if isinstance(subject, int):
        return subject
    say_lines("\n".join(_settings_of(subject)))
    return ExitCode.STOPPED


def _settings_of(subject: Subject) -> Iterator[str]:
    name = subject.name
    yield from _wrapped(f"{name}: {subject.purpose}", "", "  ")
    yield ""
    yield f"Settings of [{join('modules', name)}]:"
    yield from _rows(CommonSettings, "")
    if subject.settings is not None:
        yield from _rows(subject.settings, "")
    yield ""
    yield 'Durations: "250ms", "30s", "1h30m", "2d". Sizes: "256KiB", "16MiB".'
    yield 'Secrets: "text", { env = "NAME" } or { file = "path" }.'
    yield f"A table to copy: metrics-agent sample-config {name}"


def _rows(cls: type[Any], prefix: str) -> Iterator[str]:
    for each in declared(cls):
        yield ""
        yield from _wrapped(f"  {prefix}{each.name}: {_facts(each)}", "", " " * 8)
        example = f" Example: {each.example}." if each.example else ""
        yield from _wrapped(f"{each.doc}{example}", " " * 6, " " * 6)
        for nested in each.inside:
            yield from _rows(nested, f"{prefix}{each.name}.")


def _facts(each: Declared) -> str:
    default = each.default_text if each.default is None else f"default {each.default}"
    choices = f"one of {', '.join(each.choices)}" if each.choices else ""
    return "; ".join(filter(None, (each.type_name, default, choices, *each.limits)))


def _wrapped(text: str, first: str, others: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=others,
        break_on_hyphens=False,
    )
