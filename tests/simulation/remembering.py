"""A stop leaves a file with all devices that have announced themselves, and a start reads it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from metrics_agent.agent import Agent
from metrics_agent.supervision.lifecycle import State
from tests.simulation.disk import SimDisk

__all__ = ["Remembering"]


class Remembering:
    """Compares the file with what a module knows when it has ended.

    Args:
        violate: called with what must not happen.
        disk: has the file; where it fails in the stop, nothing is judged.
    """

    def __init__(self, violate: Callable[[str], object], disk: SimDisk) -> None:
        self._violate = violate
        self._disk = disk
        self._failures = 0
        self._modules: list[Any] = []

    def started(self, agent: Agent, name: str) -> None:
        """See that a module that has started knows what was announced in an earlier run."""
        for each in agent.supervisors:
            module = each._life.module
            if each.module_name == name and hasattr(module, "_remembered"):
                restored, registry = module._remembered._restored, module._registry
                missing = [topic for topic in restored if not registry.announced_on(topic)]
                if missing:
                    self._violate(f"{name} has started without {missing[0]}, announced before")

    def stop_begins(self, agent: Agent) -> None:
        """Take note of the modules that run."""
        self._failures = self._disk.failures
        running = (each for each in agent.supervisors if each.state is State.RUNNING)
        self._modules = [each._life.module for each in running]

    def check_end(self) -> None:
        """Compare, after an orderly stop."""
        if self._disk.failures != self._failures:
            return
        for module in self._modules:
            if hasattr(module, "_known"):
                self._check_known(module)
            elif hasattr(module, "_remembered") and module._remembered._is_complete:
                self._check_remembered(module._remembered)

    def _check_remembered(self, remembered: Any) -> None:
        path = str(remembered._file.path)
        stored = _object(self._disk.content(path))
        missing = [
            topic for topic, text in remembered._payloads.items() if stored.get(topic) != text
        ]
        if missing:
            self._violate(f"a stop does not save {missing[:5]} in {path}")

    def _check_known(self, module: Any) -> None:
        known, registry = module._known, module._registry
        path = str(known._file.path)
        names = _names(self._disk.content(path))
        forgotten = [
            device.topic
            for mac, device in registry._by_mac.items()
            if device.config is not None and names.get(mac) != tuple(device.config.friendly_names)
        ]
        if forgotten:
            self._violate(f"a stop does not save {forgotten[:5]} in {path}")


def _object(data: bytes) -> dict[str, Any]:
    """Return the object in a file; an empty one if it is damaged."""
    try:
        stored = json.loads(data)
    except ValueError:
        return {}
    return stored if isinstance(stored, dict) else {}


def _names(data: bytes) -> dict[str, tuple[str, ...]]:
    """Return the names of the devices in a file, by address; none if it is damaged."""
    return {mac: tuple(document.get("fn", ())) for mac, document in _object(data).items()}
