"""A set of topic filters that finds out quickly which of them cover which.

A filter without ``#`` is covered by another one of as many levels that has ``+`` or the same text
on each of them. So filters are kept by their *mask*, the places of their ``+``, of which all
devices with similar FullTopics share a few: with the text at a mask's places replaced by ``+``, a
filter that is covered is one of the set. Filters with ``#`` come from the configuration and are
few: they are compared one by one.
"""

from __future__ import annotations

from collections.abc import Iterator

from metrics_agent.topic_filters import covers

__all__ = ["FilterSet"]

_Mask = tuple[bool, ...]


class FilterSet:
    """Filters, and their relations."""

    def __init__(self) -> None:
        self._open: set[str] = set()
        # By the last level: filters of different subtopics have nothing to do with each other.
        self._groups: dict[str, dict[_Mask, set[str]]] = {}

    def add(self, topic_filter: str) -> None:
        """Add a filter."""
        levels = topic_filter.split("/")
        if levels[-1] == "#":
            self._open.add(topic_filter)
        else:
            masks = self._groups.setdefault(levels[-1], {})
            masks.setdefault(_mask(levels), set()).add(topic_filter)

    def remove(self, topic_filter: str) -> None:
        """Remove a filter that is in the set."""
        levels = topic_filter.split("/")
        if levels[-1] == "#":
            self._open.remove(topic_filter)
            return
        masks = self._groups[levels[-1]]
        mask = _mask(levels)
        masks[mask].remove(topic_filter)
        if not masks[mask]:
            del masks[mask]

    def covers(self, topic_filter: str) -> bool:
        """Say whether one of the set covers a filter; each covers itself."""
        if any(covers(wide, topic_filter) for wide in self._open):
            return True
        levels = topic_filter.split("/")
        if levels[-1] == "#":
            return False
        for last in {levels[-1], "+"}:
            for mask, filters in self._groups.get(last, {}).items():
                if len(mask) != len(levels):
                    continue
                wide = "/".join(
                    ["+" if wild else level for wild, level in zip(mask, levels, strict=True)]
                )
                if wide in filters and covers(wide, topic_filter):
                    return True
        return False

    def covered_by(self, topic_filter: str) -> list[str]:
        """Return those of the set that a filter covers."""
        return [each for each in self._candidates(topic_filter) if covers(topic_filter, each)]

    def _candidates(self, topic_filter: str) -> Iterator[str]:
        levels = topic_filter.split("/")
        last, own = levels[-1], _mask(levels)
        if last == "#":
            yield from self._open
        for masks in self._groups.values() if last in {"#", "+"} else (self._groups.get(last, {}),):
            for mask, filters in masks.items():
                if last == "#":
                    yield from filters
                elif mask == own:
                    # Equal places of + : it covers itself only.
                    yield from filters & {topic_filter}
                elif len(mask) == len(own) and all(map(bool.__ge__, own, mask)):
                    yield from filters


def _mask(levels: list[str]) -> _Mask:
    return tuple([level == "+" for level in levels])
