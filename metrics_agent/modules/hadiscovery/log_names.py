"""Names of entities and devices for log lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metrics_agent.modules.hadiscovery.entity import Entity

__all__ = ["device_name", "entity_name"]


def entity_name(entity: Entity) -> str:
    """Name an entity for a log line."""
    device = entity.device
    name = "" if device is None else device.name or device.id
    return f"{name:.60} {entity.key[0]} {entity.key[1]:.80}".strip()


def device_name(payload: Mapping[str, Any]) -> str:
    """Return the name of a device as far as an announcement that is refused has one."""
    device = payload.get("device")
    found = device if isinstance(device, dict) else {}
    name = found.get("name") or found.get("identifiers")
    if isinstance(name, list):
        name = next(iter(name), "")
    return name if isinstance(name, str) else ""
