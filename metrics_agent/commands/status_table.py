"""The state of an agent as lines for people, 80 columns wide. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from unicodedata import combining, east_asian_width

from metrics_agent.characters import visible
from metrics_agent.status.units import UNITS

__all__ = ["MOST_DEVICES", "WIDTH", "fit", "shown_name", "table", "value_text"]

WIDTH: Final = 80
MOST_DEVICES: Final = 50
"""Without a name; the others are counted."""
_CUT: Final = ".."
_NOT_SHOWN: Final = frozenset({"last_seen", "stale"})
_STATES: Final = {"running": "connected", "backing_off": "not connected"}
_UNHEARD: Final = {None: "never", True: "online", False: "offline"}


def table(state: Mapping[str, Any], *, all_of: bool = False) -> Iterator[str]:
    """Yield lines.

    Args:
        state: what a running agent has answered, with ``devices``.
        all_of: show all values of all devices, each series on a line.
    """
    yield from _head(state)
    yield ""
    yield from _modules(state["modules"])
    if state["connections"]:
        yield ""
        yield from _connections(state["connections"])
    yield ""
    yield from _outputs(state["outputs"], state["agent"])
    if state["devices"]:
        yield ""
        yield from _devices(state["devices"], all_of=all_of)


def _head(state: Mapping[str, Any]) -> Iterator[str]:
    agent = state["agent"]
    yield fit(
        f"metrics-agent {agent.get('version', '')} on {agent.get('instance', '')}, up "
        f"{_span(agent.get('uptime'))}" + (", stopping" if agent.get("stopping") else "")
    )
    yield fit(f"{agent.get('config', '')}")
    memory = agent.get("memory")
    parts = [
        f"reactor late by {_seconds(agent.get('reactor_lag_max'))} at most",
        f"{memory / 2**20:.0f} MiB" if memory else "",
        f"{agent['open_files']} files" if agent.get("open_files") else "",
        f"{agent.get('errors', 0)} errors",
    ]
    yield fit(", ".join(filter(None, parts)))
    reload = agent.get("last_reload")
    if reload:
        word = "accepted" if reload["accepted"] else "REJECTED"
        # Why it was rejected is worth some lines.
        yield from _wrapped(f"last reload {_span(reload['since'])} ago, {word} {_what(reload)}")
    problems = state["problems"]
    if not problems:
        yield "All is well."
    for each in problems:
        yield from _wrapped(f"PROBLEM: {each['module']} {each['text']}")


def _what(reload: Mapping[str, Any]) -> str:
    if not reload["accepted"]:
        return f"({reload['reasons']})"
    modules = reload["modules"]
    counts = [f"{len(modules[word])} {word}" for word in modules if modules[word]]
    return f"(modules: {', '.join(counts) or 'none'})"


def _modules(modules: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not modules:
        yield "No module is enabled."
        return
    widths = (22, 13, 8, 9, 10, 9)
    yield _row(("MODULE", "STATE", "SINCE", "RESTARTS", "METRICS", "LAST"), widths)
    for each in modules:
        restarts = f"{each['restarts']}"
        if each["restarts_recent"]:
            restarts += f" ({each['restarts_recent']})"
        cells = (
            each["module"],
            each["state_text"].replace("_", " "),
            _span(each.get("state_since")),
            restarts,
            str(each["metrics"]),
            _span(each.get("last_metric")),
        )
        yield _row(cells, widths)
        counts = [
            f"{each[name]} {word}"
            for name, word in (("messages", "messages"), ("errors", "errors"))
            if each[name]
        ]
        dropped = [
            f"{value} {name.removeprefix('dropped_')}"
            for name, value in each.items()
            if name.startswith("dropped_")
        ]
        if dropped:
            counts.append(f"dropped: {', '.join(dropped)}")
        if counts:
            yield from _wrapped(", ".join(counts), "  ")
        if "last_error" in each:
            ago = f", {_span(each['last_error_since'])} ago" if "last_error_since" in each else ""
            where = f"last error in {each['last_error_place']}{ago}: "
            yield from _wrapped(where + each["last_error"], "  ")


def _connections(connections: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    widths = (40, 22, 14)
    yield _row(("CONNECTION", "MODULE", "STATE"), widths)
    for each in connections:
        state = _STATES.get(each["state_text"], each["state_text"])
        yield _row((each["broker"], each["module_instance"], state), widths)
        if each.get("last_error"):
            yield from _wrapped(each["last_error"], "  ")


def _outputs(outputs: Sequence[Mapping[str, Any]], agent: Mapping[str, Any]) -> Iterator[str]:
    for each in outputs:
        works = "works" if each["state_text"] == "running" else "DOES NOT WORK"
        yield fit(f"OUTPUT {each['output']}: {works}, {each['metrics']} metrics taken")
        if each.get("last_error"):
            yield from _wrapped(each["last_error"], "  ")
        if agent.get("queue_metrics") or agent.get("delivery_lag"):
            yield fit(
                f"  {agent['queue_metrics']} metrics wait ({agent['queue_bytes'] / 1024:.0f} KiB), "
                f"the oldest for {_seconds(agent['delivery_lag'])}"
            )
        if each.get("dropped"):
            yield f"  {each['dropped']} metrics dropped"


def _devices(devices: Sequence[Mapping[str, Any]], *, all_of: bool) -> Iterator[str]:
    ordered = sorted(devices, key=lambda each: (not each["stale"], shown_name(each).casefold()))
    shown = ordered if all_of else ordered[:MOST_DEVICES]
    widths = (26, 12, 40)
    yield _row(("DEVICE", "LAST SEEN", "LAST VALUES"), widths)
    for each in shown:
        heard = _span(each["last_seen"])
        seen = heard or _UNHEARD[each["online"]]
        if each["stale"]:
            seen += " !"
        elif heard and each["online"] is False:
            seen += " off"
        if all_of:
            yield _row((shown_name(each), seen, _about(each)), widths)
            for series in each["series"]:
                yield from _wrapped(f"{_series_name(series)}: {_values(series)}", "    ")
        else:
            values = ", ".join(filter(None, map(_values, each["series"])))
            yield _row((shown_name(each), seen, values), widths)
    if len(shown) < len(ordered):
        more = len(ordered) - len(shown)
        yield f"{more} more; --module, --device and --json show them"


def shown_name(device: Mapping[str, Any]) -> str:
    """Return what people call a device, else its id."""
    return str(device["friendly"].strip() or device["device"])


def _about(device: Mapping[str, Any]) -> str:
    parts = [f"{device['device']} of {device['module']}"]
    if device["interval"]:
        parts.append(f"sends every {_span(device['interval'])}")
    return ", ".join(parts)


def _series_name(series: Mapping[str, Any]) -> str:
    tags = series["tags"].values()
    return " ".join([series["measurement"], *map(str, tags)])


def _values(series: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} {value_text(series['measurement'], name, value)}"
        for name, value in series["fields"].items()
        if name not in _NOT_SHOWN
    )


def value_text(measurement: str, name: str, value: object) -> str:
    """Return the value of a field with the unit of the catalogue."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, int | float):
        return str(value)
    unit = UNITS.get(measurement, {}).get(name)
    return f"{value:.6g} {unit}" if unit else f"{value:.6g}"


def _span(seconds: float | None) -> str:
    """Return a time as people say it, in 7 characters at most; empty if there is none."""
    if seconds is None:
        return ""
    for unit_s, unit in ((24 * 3600, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * unit_s:
            return f"{seconds / unit_s:.0f} {unit}"
    return f"{seconds:.0f} s"


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else _span(seconds)


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    parts = []
    for cell, width in zip(cells, widths, strict=True):
        text = fit(str(cell), width)
        parts.append(text + " " * (width - _columns(text)))
    return " ".join(parts).rstrip()


def _wrapped(text: str, indent: str = "") -> Iterator[str]:
    """Break a text at spaces where it has some."""
    line = indent
    for word in visible(text).split(" "):
        if line != indent and _columns(line) + 1 + _columns(word) > WIDTH:
            yield line
            line = indent + "  "
        elif line.strip():
            line += " "
        line += word
    yield line


def fit(text: str, width: int = WIDTH) -> str:
    """Return a text on one line, with what is too much cut off."""
    text = visible(text)
    if _columns(text) <= width:
        return text
    kept = ""
    room = width - len(_CUT)
    for character in text:
        room -= _columns(character)
        if room < 0:
            break
        kept += character
    return kept + _CUT


def _columns(text: str) -> int:
    """Return how many columns a terminal takes for a text."""
    if text.isascii():
        return len(text)
    return sum(
        0 if combining(each) else 2 if east_asian_width(each) in "WF" else 1 for each in text
    )
