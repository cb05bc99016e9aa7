"""The devices that are known, over a restart.

Not every broker gives announcements again: RabbitMQ has no retained messages for a filter with a
wildcard. So what devices said of themselves is kept in a file, as the shortest announcement that
says the same, and read back as an announcement is: whoever could write to the file can do no more
than a device can.

A fleet's file takes longer than a turn of the reactor may, both ways: it is done in slices.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from attrs import fields_dict
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from metrics_agent.errors import PayloadError
from metrics_agent.interfaces import ModuleContext
from metrics_agent.limits import (
    STATE_FILE_BYTES,
    TASMOTA_NAME_CHARS,
    TASMOTA_REMEMBERED_DEVICES,
)
from metrics_agent.modules.tasmota.discovery import DeviceConfig, read_config
from metrics_agent.modules.tasmota.filters import Filters
from metrics_agent.modules.tasmota.registry import Registry

__all__ = ["FORGET_AFTER_S", "KnownDevices"]

FORGET_AFTER_S: Final = 24 * 60 * 60.0
"""How long a device of an earlier run may be silent. One that comes back announces itself."""
SAVE_EVERY_S: Final = 60.0
"""The least time between two looks at all devices; the file itself is written less often."""
_BURST_S: Final = 2.0
"""Announcements come in bursts."""
_SLICE_S: Final = 0.02
_STATE_FILE: Final = "devices.json"
_DEVICES_A_LOOK: Final = 32
"""So many are handled between two looks at the clock."""

_KEYS: Final = tuple(
    (key, name, fields_dict(DeviceConfig)[name].default)
    for key, name in (
        ("hn", "hostname"),
        ("ft", "full_topic"),
        ("tp", "prefixes"),
        ("onln", "online"),
        ("ofln", "offline"),
        ("state", "states"),
        ("dslp", "deep_sleep"),
        ("so", "own_replies"),
    )
)
"""The key in an announcement of what most devices have in common, and its usual value."""
_Item = TypeVar("_Item")
_encode: Final = json.JSONEncoder().encode


def _to_document(mac: str, config: DeviceConfig) -> dict[str, object]:
    """Return the shortest announcement that `_of_document` makes the same of."""
    document: dict[str, object] = {"t": config.topic}
    names = config.friendly_names
    if names:
        document["fn"] = names
    if config.device_name != (names[0] if names else ""):
        document["dn"] = config.device_name
    if config.mac != mac:
        document["mac"] = config.mac
    for key, name, usual in _KEYS:
        value = getattr(config, name)
        if value != usual:
            document[key] = value
    return document


def _of_document(mac: str, document: object) -> DeviceConfig:
    """Read what `_to_document` made.

    Raises:
        PayloadError: it is not a usable announcement.
    """
    if len(mac) > TASMOTA_NAME_CHARS:
        raise PayloadError("topic_too_long", f"{len(mac)} characters")
    if isinstance(document, dict):
        names = document.get("fn")
        first = names[0] if isinstance(names, list) and names else ""
        document = {"dn": first, "mac": mac, **document}
    return read_config(document)


class KnownDevices:
    """Keeps the devices of a registry in a file.

    Args:
        context: of the module.
        registry: of its devices.
        filters: to subscribe to what restored devices send.
    """

    def __init__(self, context: ModuleContext, registry: Registry, filters: Filters) -> None:
        self._context = context
        self._registry = registry
        self._filters = filters
        self._file = context.state_file(_STATE_FILE)
        self._restored = False
        self._changed = False
        self._is_saving = False
        self._save_is_due = False
        self._may_save_at_s = 0.0

    def restore(self) -> Deferred[None]:
        """Make known what was known at the last stop.

        Returns:
            A Deferred that fires when that is done; for some hundred devices it has fired.
        """
        self._context.later(FORGET_AFTER_S, self._forget_silent, place="forget")
        return self._context.watch(self._restore(), place="restore")

    def note_change(self) -> None:
        """Note that a device is new, another than before, or gone: it is saved soon."""
        self._changed = True
        if not self._save_is_due:
            now_s = self._context.reactor.seconds()
            delay_s = max(_BURST_S, self._may_save_at_s - now_s)
            self._context.later(delay_s, self._save_later, place="save")
            self._save_is_due = True

    def close(self) -> None:
        """Save at once what is not saved yet."""
        if (self._changed or self._is_saving) and self._restored:
            self._changed = self._is_saving = False
            saving = _Saving(self._registry)
            for mac in self._registry.latest(TASMOTA_REMEMBERED_DEVICES):
                saving.add(mac)
            self._file.write_encoded(saving.data())

    async def _restore(self) -> None:
        stored = self._file.read()
        faults = _Faults()
        if isinstance(stored, dict):
            devices = list(stored.items())[:TASMOTA_REMEMBERED_DEVICES]
            stored = None
            # The latest is first in the file. What was read gives its memory to what comes of it.
            last_first = (devices.pop() for _ in range(len(devices)))
            await self._for_each(last_first, lambda each: self._restore_one(each, faults))
        elif stored is not None:
            faults.add("the file", f"it holds a {type(stored).__name__}, expected an object")
        self._restored = True
        if faults.count:
            self._context.log.warn(
                "{count} devices that are remembered in {path} cannot be used and are ignored, the "
                "last: {fault}.",
                count=faults.count,
                path=str(self._file.path),
                fault=faults.last,
            )

    def _restore_one(self, each: tuple[str, object], faults: _Faults) -> None:
        mac, document = each
        try:
            config = _of_document(mac, document)
        except PayloadError as error:
            faults.add(mac, str(error))
            return
        if self._registry.restore(mac, config):
            self._filters.learn(config.shape, own_replies=config.own_replies)

    def _save_later(self) -> None:
        self._save_is_due = False
        if self._restored and self._changed:
            self._may_save_at_s = self._context.reactor.seconds() + SAVE_EVERY_S
            self._context.watch(self._save(), place="save")
        elif self._changed:
            self.note_change()

    async def _save(self) -> None:
        self._changed, self._is_saving = False, True
        saving = _Saving(self._registry)
        await self._for_each(self._registry.latest(TASMOTA_REMEMBERED_DEVICES), saving.add)
        self._is_saving = False
        self._file.write_encoded(saving.data())

    async def _for_each(self, items: Iterable[_Item], call: Callable[[_Item], object]) -> None:
        """Call with each item, for some milliseconds in each turn of the reactor."""
        seconds = self._context.reactor.seconds
        until_s = seconds() + _SLICE_S
        for index, item in enumerate(items, 1):
            call(item)
            if not index % _DEVICES_A_LOOK and seconds() >= until_s:
                await deferLater(self._context.reactor, 0)
                until_s = seconds() + _SLICE_S

    def _forget_silent(self) -> None:
        if self._registry.forget_silent():
            self.note_change()
            self._filters.remember(self._registry.shapes)


class _Saving:
    """What goes into the file: as many devices as fit, encoded one by one to take little memory."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._data = bytearray()

    def add(self, mac: str) -> None:
        """Add a device, unless it has gone since."""
        device = self._registry.get(mac)
        if device is None or device.config is None:
            return
        text = _encode({mac: _to_document(mac, device.config)})
        # The braces around one are as long as what separates it from the one before.
        if len(self._data) + len(text) < STATE_FILE_BYTES:
            self._data += b", " if self._data else b"{"
            self._data += text[1:-1].encode("ascii")

    def data(self) -> bytes:
        """Return the JSON of an object by address."""
        return bytes(self._data or b"{") + b"}"


class _Faults:
    """What a file holds that cannot be used."""

    def __init__(self) -> None:
        self.count = 0
        self.last = ""

    def add(self, where: str, fault: str) -> None:
        self.count += 1
        self.last = f"{where:.40}: {fault}"
