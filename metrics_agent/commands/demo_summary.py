"""What the demo shows on a terminal: how it goes, and some last values. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from metrics_agent.commands.status_table import WIDTH, fit, shown_name, value_text

__all__ = ["Summary"]

_FIRST: Final = ("power", "temperature", "charge")
"""The fields that people look for, the first one that a device has."""

_State = Mapping[str, Any]


class Summary:
    """Makes the lines of one look after the other; each shows other devices."""

    def __init__(self) -> None:
        self._metrics = 0
        self._at_s = 0.0
        self._next = 0

    def lines(self, whole: _State, devices: Sequence[_State]) -> Iterator[str]:
        """Yield lines, 80 columns wide.

        Args:
            whole: the state of all but devices, see `status.snapshot`.
            devices: all of them.
        """
        yield ""
        agent = whole["agent"]
        rate = self._rate(agent["metrics"], agent["uptime"])
        yield fit(f"{rate:.0f} metrics/s of {len(devices)} devices; {_modules(whole['modules'])}")
        for each in whole["modules"]:
            if each["state_text"] != "running" and each.get("last_error"):
                yield fit(f"  {each['module']}: {each['last_error']}")
        values = [text for text in map(_value_of, devices) if text]
        if values:
            yield fit(f"  {self._some(values)}")

    def _some(self, values: Sequence[str]) -> str:
        """Return as many values as fit on a line, those that follow the last ones."""
        start = self._next % len(values)
        line, *others = [*values[start:], *values[:start]]
        count = 1
        for each in others:
            longer = f"{line}, {each}"
            if len(longer) > WIDTH - len("  "):
                break
            line, count = longer, count + 1
        self._next = start + count
        return line

    def _rate(self, metrics: int, now_s: float) -> float:
        """Return how many came in a second since the last look."""
        since_s = now_s - self._at_s
        rate = (metrics - self._metrics) / since_s if since_s > 0 else 0.0
        self._metrics, self._at_s = metrics, now_s
        return rate


def _modules(modules: Sequence[_State]) -> str:
    by_state: dict[str, list[str]] = {}
    for each in modules:
        by_state.setdefault(each["state_text"].replace("_", " "), []).append(each["module"])
    return "; ".join(f"{state}: {', '.join(names)}" for state, names in by_state.items())


def _value_of(device: _State) -> str:
    """Return one value of a device, with its name; empty where it has none."""
    for name in _FIRST:
        # That of the whole device, not that of one of its channels.
        for series in sorted(device["series"], key=lambda each: len(each["tags"])):
            if name in series["fields"]:
                text = value_text(series["measurement"], name, series["fields"][name])
                return f"{shown_name(device)} {text}"
    return ""
