"""The memory that an entity keeps: all of its texts and parts, none left out."""

from __future__ import annotations

from functools import cache
from sys import getsizeof
from typing import Final

from attrs import fields, has

from metrics_agent.modules.hadiscovery.entity_config import EntityConfig
from metrics_agent.modules.hadiscovery.templates import Template

__all__ = ["footprint"]

_PER_TOPIC: Final = 256
"""What is noted of an availability topic beside the config: who shares it, what it said."""
_PER_KEY: Final = 64
"""An entry of an index."""


def footprint(key: tuple[str, str], topic: str, config: EntityConfig) -> int:
    """Return the bytes that an entity takes for what its publisher made up.

    Parts that it shares with others count in full: they may be gone before it is.

    Args:
        key: component and discovery id.
        topic: the one it was announced on.
        config: what was announced.
    """
    size = getsizeof(key[1]) + getsizeof(topic) + _bytes_of(config)
    return size + _PER_TOPIC * len(config.availability.topics) + 2 * _PER_KEY


def _bytes_of(value: object) -> int:
    if isinstance(value, str):
        return getsizeof(value)
    if isinstance(value, tuple):
        return getsizeof(value) + sum(map(_bytes_of, value))
    kind = type(value)
    if value is None or isinstance(value, Template) or not has(kind):
        return 0  # templates are counted where they are kept, once for all entities
    return getsizeof(value) + sum([_bytes_of(getattr(value, name)) for name in _names(kind)])


@cache
def _names(kind: type) -> tuple[str, ...]:
    return tuple(each.name for each in fields(kind))
