"""Topics of a Tasmota device: built as the firmware builds them, and the filters that catch them.

The firmware (``GetTopic_P``) replaces ``%prefix%``, ``%topic%``, ``%hostname%`` and ``%id%`` in
the FullTopic, removes ``#``, makes ``//`` one slash, and ends it in a slash; the subtopic
follows. Where ``%prefix%`` is missing it is appended for commands only, so that what the device
sends under ``stat`` and ``tele`` shares one topic.

A *base* is such a topic without the last slash. Devices with the same FullTopic and prefixes share
a *shape*: their bases with a wildcard for each level that differs from device to device. One
subscription a shape and subtopic serves them all.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

__all__ = ["DEFAULT_FULL_TOPIC", "DEFAULT_PREFIXES", "Identity", "TopicShape", "build_base"]

DEFAULT_FULL_TOPIC = "%prefix%/%topic%/"
DEFAULT_PREFIXES = ("cmnd", "stat", "tele")

# In place of what differs from device to device while a shape is built; cannot be in a topic.
_VARIES = "\0"


class Identity(NamedTuple):
    """The values of a FullTopic's tokens."""

    topic: str
    hostname: str
    id: str


def build_base(full_topic: str, prefix: str, identity: Identity, *, command: bool = False) -> str:
    """Build the base of a topic as the firmware does.

    Args:
        full_topic: the template, such as ``%prefix%/%topic%/``.
        prefix: one of the device's three prefixes.
        identity: the values of the other tokens.
        command: the prefix is the one for commands, which is never left out.
    """
    if command and "%prefix%" not in full_topic:
        full_topic += "/%prefix%"
    base = (
        full_topic.replace("%prefix%", prefix)
        .replace("%topic%", identity.topic)
        .replace("%hostname%", identity.hostname)
        .replace("%id%", identity.id)
        .replace("#", "")
        # A wildcard cannot be in the name of a topic; a broker would refuse it.
        .replace("+", "")
    )
    while "//" in base:
        base = base.replace("//", "/")
    return base.removesuffix("/")


class TopicShape(NamedTuple):
    """The bases of all devices with one FullTopic and prefixes, with ``+`` where they differ.

    Attributes:
        command, status, telemetry: base filters, such as ``tele/+``.
    """

    command: str
    status: str
    telemetry: str

    @classmethod
    def of(
        cls, full_topic: str, prefixes: tuple[str, str, str], topic_levels: int = 1
    ) -> TopicShape:
        """Make the shape of a FullTopic.

        Args:
            full_topic: the template.
            prefixes: those for commands, status and telemetry.
            topic_levels: levels of the devices' topics: 2 for ``house/boiler``.
        """
        return _shape_of(full_topic, prefixes, topic_levels)

    def topic_of(self, base: str) -> str | None:
        """Return the name of the device that a base belongs to; None if it has another shape."""
        for mine in (self.telemetry, self.status):
            varying = _varying(mine, base)
            if varying is not None:
                # A FullTopic without %topic% belongs to one device: its base is its name.
                return "/".join(varying) or base
        return None

    @property
    def behind_bridge(self) -> str | None:
        """The base filter of what a bridge sends for each device behind it (SetOption89).

        The bridge puts the device's name behind its own topic: ``tele/+/+``. None where levels of
        other tokens are between.
        """
        return _behind_bridge(self.telemetry)

    def bridge_of(self, base: str) -> str | None:
        """Return the base of the bridge that a base belongs to; None if it has another shape."""
        behind = self.behind_bridge
        varying = _varying(behind, base) if behind is not None else None
        return None if varying is None else _fill(self.telemetry, varying[:-1])

    def bases(self, base: str) -> tuple[str, str, str] | None:
        """Return the bases for command, status and telemetry of the device that has one of them."""
        for mine in (self.telemetry, self.status):
            varying = _varying(mine, base)
            if varying is not None:
                return (
                    _fill(self.command, varying),
                    _fill(self.status, varying),
                    _fill(self.telemetry, varying),
                )
        return None


# Thousands of devices have the same.
@lru_cache(maxsize=256)
def _shape_of(full_topic: str, prefixes: tuple[str, str, str], topic_levels: int) -> TopicShape:
    varies = Identity("/".join([_VARIES] * topic_levels), _VARIES, _VARIES)
    bases = [
        build_base(full_topic, prefix, varies, command=index == 0)
        for index, prefix in enumerate(prefixes)
    ]
    return TopicShape(
        *[
            "/".join(["+" if _VARIES in level else level for level in base.split("/")])
            for base in bases
        ]
    )


@lru_cache(maxsize=256)
def _behind_bridge(telemetry: str) -> str | None:
    levels = telemetry.split("/")
    wild = [index for index, level in enumerate(levels) if level == "+"]
    if not wild or wild[-1] - wild[0] >= len(wild):
        return None
    return "/".join([*levels[: wild[0]], "+", *levels[wild[0] :]])


def _varying(mine: str, base: str) -> list[str] | None:
    """Return the levels of a base at the places of a base filter's wildcards."""
    wanted = mine.split("/")
    given = base.split("/")
    if len(wanted) != len(given):
        return None
    varying = []
    for level, found in zip(wanted, given, strict=True):
        if level == "+":
            varying.append(found)
        elif level != found:
            return None
    return varying


def _fill(base_filter: str, levels: Iterable[str]) -> str:
    """Put levels where a base filter has its wildcards."""
    rest = iter(levels)
    return "/".join(next(rest, "") if level == "+" else level for level in base_filter.split("/"))
