"""Messages -> points; pure: no clock, no log, no socket."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Final

from metrics_agent.catalogue import DEVICE
from metrics_agent.errors import PayloadError
from metrics_agent.json_payload import loads
from metrics_agent.limits import TASMOTA_MESSAGE_BYTES, TASMOTA_OBJECTS
from metrics_agent.metric import Metric
from metrics_agent.modules.tasmota.device import Device
from metrics_agent.modules.tasmota.discovery import DeviceConfig
from metrics_agent.modules.tasmota.energy import decode_energy, decode_energy_fully
from metrics_agent.modules.tasmota.meters import (
    MeterTable,
    decode_mapped,
    decode_meter,
    has_meter_keys,
    may_be_meter,
)
from metrics_agent.modules.tasmota.sensor_table import ENVELOPE, IGNORED_OBJECTS
from metrics_agent.modules.tasmota.sensors import (
    MAX_ITEMS,
    decode_sensor,
    driver_stem,
    is_sensor,
    is_shutter,
    stem_of,
)
from metrics_agent.modules.tasmota.state import decode_inputs, decode_state, decode_switched
from metrics_agent.modules.tasmota.values import (
    Drop,
    PointBuilder,
    Units,
    ignore_drop,
    is_reading,
    point_time,
    short_enough,
)
from metrics_agent.modules.tasmota.zigbee import (
    ZIGBEE,
    decode_lorawan,
    decode_zigbee,
    is_lorawan,
    is_zigbee,
)

__all__ = [
    "ZIGBEE",
    "as_object",
    "decode_availability",
    "decode_document",
    "decode_reply",
    "decode_state_document",
    "read_object",
    "states_of",
]

_NO_NUMBER = re.compile(rb"(?<=[:,\[])[ ]?-?(?:nan|inf)(?=[,}\]])")
_BRIDGES: Final = (ZIGBEE, "LwReceived", "LwDecoded")
_DEFAULT_CONFIG: Final = DeviceConfig("-")
_ENERGY_REPLIES: Final = ("EnergyTotal", "EnergyToday", "EnergyYesterday")


def read_object(payload: bytes, inside: str = "") -> dict[str, object]:
    """Read a payload that shall be a JSON object.

    Args:
        payload: the bytes.
        inside: the key of the object that is meant, ``StatusSNS`` in a STATUS10; empty for itself.

    Raises:
        PayloadError: one of ``json_payload.REASONS``, or ``not_an_object``.
    """
    try:
        document = loads(payload, max_bytes=TASMOTA_MESSAGE_BYTES)
    except PayloadError:
        if len(payload) > TASMOTA_MESSAGE_BYTES:
            raise
        # Old versions print nan and inf as C does: only the value is lost, not the message.
        repaired = _NO_NUMBER.sub(b"null", payload)
        if repaired == payload:
            raise
        document = loads(repaired)
    if document.__class__ is dict and not inside:
        return document
    if inside and isinstance(document, dict):
        document = document.get(inside)
    if not isinstance(document, dict):
        raise PayloadError("not_an_object", f"expected an object, got a {type(document).__name__}")
    return document


def decode_document(
    document: Mapping[str, object],
    device: Device,
    received_ns: int,
    drop: Drop,
    meters: Mapping[str, MeterTable],
) -> list[Metric]:
    """Return the points of a SENSOR message, or of ``StatusSNS``.

    Args:
        document: the message.
        device: who sent it.
        received_ns: when it came.
        drop: called with what is left out.
        meters: the user's mappings by name of the object.
    """
    time_ns = point_time(document, received_ns)
    metrics: list[Metric] = []
    points: PointBuilder | None = None
    for name, content in _members(document, drop):
        if content.__class__ is not dict:
            # Most messages have no more than these beside their objects.
            if name not in ENVELOPE and points is None:
                points = PointBuilder(drop)
            continue
        if name == "ENERGY":
            if meters and name in meters:
                if points is None:
                    points = PointBuilder(drop)
                _decode_mapped_energy(content, points, drop, Units(document), meters[name])
                continue
            metrics = decode_energy(content, device, time_ns, drop, document)
            continue
        if points is None:
            points = PointBuilder(drop)
        _decode_object(name, content, points, drop, Units(document), meters)
    if points is None:
        return metrics
    _decode_top(document, points, drop, meters, states_of(device))
    decode_inputs(document, points, states_of(device))
    return metrics + points.metrics(device, time_ns)


def _decode_top(
    document: Mapping[str, object],
    points: PointBuilder,
    drop: Drop,
    meters: Mapping[str, MeterTable],
    states: tuple[str, str],
) -> None:
    """Read the values beside a message's objects, as scripts and some drivers send them."""
    loose = {
        name: content
        for name, content in _members(document, ignore_drop)
        if name not in ENVELOPE
        and content.__class__ is not dict
        and is_reading(content)
        # A state is read as an input.
        and not (content.__class__ is str and content in states)
    }
    if is_zigbee("", document):
        # With SetOption119 the message is the device's own object.
        decode_zigbee("", {**loose, **_texts(document)}, points, drop, meters)
        return
    units = Units(document)
    for name, content in list(loose.items()):
        if content.__class__ is list and any(each.__class__ is dict for each in content):
            del loose[name]
            if len(content) > MAX_ITEMS:
                drop("too_many_channels", name)
            for index, each in enumerate(content[:MAX_ITEMS], 1):
                called = name if len(content) == 1 else f"{name}-{index}"
                if each.__class__ is dict:
                    _decode_object(called, each, points, drop, units, meters)
                elif is_reading(each):
                    drop("unmapped_key", called)
    if loose and ("" in meters or has_meter_keys(loose)):
        decode_meter("", loose, points, drop, units, meters.get(""))
    elif loose:
        decode_sensor("", loose, points, drop, units)


def _texts(document: Mapping[str, object]) -> dict[str, object]:
    return {
        name: content
        for name, content in document.items()
        if content.__class__ is str and name not in ENVELOPE
    }


def _decode_mapped_energy(
    energy: Mapping[str, object],
    points: PointBuilder,
    drop: Drop,
    units: Units,
    mapping: MeterTable,
) -> None:
    """Read an ENERGY object of which the user has mapped keys; the others keep their meaning."""
    rest = decode_mapped("ENERGY", energy, points, drop, mapping)
    decode_energy_fully(rest, points, drop, units)


def _members(document: Mapping[str, object], drop: Drop) -> Iterable[tuple[str, object]]:
    """Return the members of an object, of which a device has only so many."""
    if len(document) <= TASMOTA_OBJECTS:
        return document.items()
    drop("too_many_objects", f"{len(document)} objects in a message, limit {TASMOTA_OBJECTS}")
    return islice(document.items(), TASMOTA_OBJECTS)


def _decode_object(
    name: str,
    content: dict[str, object],
    points: PointBuilder,
    drop: Drop,
    units: Units,
    meters: Mapping[str, MeterTable],
) -> None:
    """Find out what an object is by its keys, and read it."""
    if not short_enough(name, drop):
        return
    if name in IGNORED_OBJECTS or stem_of(name) in IGNORED_OBJECTS:
        return
    if name in _BRIDGES:
        _decode_bridged(content, points, drop, meters)
    elif is_lorawan(content):
        decode_lorawan(name, content, points, drop)
    elif is_zigbee(name, content):
        decode_zigbee(name, content, points, drop, meters)
    elif name in meters:
        decode_meter(name, content, points, drop, units, meters[name])
    elif stem := driver_stem(name, content):
        decode_sensor(name, content, points, drop, units, stem)
    elif has_meter_keys(content):
        decode_meter(name, content, points, drop, units)
    elif is_sensor(name, content):
        decode_sensor(name, content, points, drop, units)
    else:
        _decode_several(name, content, points, drop, units)


def _decode_several(
    name: str, content: Mapping[str, object], points: PointBuilder, drop: Drop, units: Units
) -> None:
    """Read an object of several sensors of a kind, as versions of 2017 sent ``DS18x20``.

    Of one that is unknown, what a meter may have is asked for.
    """
    if may_be_meter(content):
        decode_meter(name, content, points, drop, units)
        return
    sensors: dict[str, Mapping[str, object]] = {}
    others: list[tuple[str, str]] = []
    for key, child in _members(content, drop):
        if isinstance(child, dict):
            if is_sensor(name, child):
                sensors[key] = child
            else:
                others.append(("unknown_object", f"{name}.{key}"))
        elif is_reading(child):
            others.append(("unmapped_key", f"{name}.{key}"))
    if not sensors:
        drop("unknown_object", name)
    for reason, where in others[:MAX_ITEMS]:
        drop(reason, where)
    if len(others) > MAX_ITEMS:
        drop("too_many_keys", f"{name}, {len(others)} keys, limit {MAX_ITEMS}")
    for key, child in sensors.items():
        decode_sensor(f"{name}-{key}", child, points, drop, units)


def _decode_bridged(
    content: Mapping[str, object],
    points: PointBuilder,
    drop: Drop,
    meters: Mapping[str, MeterTable],
) -> None:
    """Read what a bridge has received: objects by address, or with SetOption119 one itself."""
    if "Device" in content:
        decode_zigbee(ZIGBEE, content, points, drop, meters)
        return
    for address, child in _members(content, drop):
        if not isinstance(child, dict):
            continue
        if is_lorawan(child):
            decode_lorawan(address, child, points, drop)
        else:
            decode_zigbee(address, child, points, drop, meters)


def decode_state_document(
    document: Mapping[str, object], device: Device, received_ns: int, drop: Drop
) -> list[Metric]:
    """Return the points of a STATE message, or of ``StatusSTS``."""
    points = PointBuilder(drop)
    decode_state(document, points, drop, states_of(device))
    return points.metrics(device, point_time(document, received_ns))


def decode_reply(
    document: Mapping[str, object], device: Device, received_ns: int, drop: Drop
) -> list[Metric]:
    """Return the points of a reply: counters by channel, and what was switched or moved."""
    points = PointBuilder(drop)
    for name, content in _members(document, drop):
        if content.__class__ is dict and is_shutter(name):
            decode_sensor(name, content, points, drop, Units(document))
    for key in _ENERGY_REPLIES:
        content = document.get(key)
        if isinstance(content, dict):
            decode_energy_fully(content, points, drop, reply=True)
    decode_switched(document, points, drop, states_of(device))
    return points.metrics(device, received_ns)


def as_object(document: Mapping[str, object], name: str) -> Mapping[str, object]:
    """Return a message whose readings are at its top as one with an object of that name.

    A Bluetooth bridge sends both forms, on a topic that ends in the name of the sensor.
    """
    if any(content.__class__ is dict for content in document.values()):
        return document
    envelope = {key: value for key, value in document.items() if key in ENVELOPE}
    rest = {key: value for key, value in document.items() if key not in ENVELOPE}
    return {**envelope, name: rest}


def decode_availability(
    payload: bytes, device: Device, received_ns: int, drop: Drop
) -> list[Metric]:
    """Return whether a device is online, by its LWT.

    A device that sleeps most of the time is offline most of the time, as it should be: of it only
    the other half counts. An empty payload clears a retained one and says nothing.
    """
    config = device.config or _DEFAULT_CONFIG
    text = payload.decode("utf-8", "replace")
    if not text or (text == config.offline and config.deep_sleep):
        return []
    if text not in {config.online, config.offline}:
        drop("unknown_state", "LWT")
        return []
    online = text == config.online
    return [Metric(device.series(DEVICE.name), {DEVICE.key("online"): online}, received_ns)]


def states_of(device: Device) -> tuple[str, str]:
    """Return a device's texts for off and on."""
    return (device.config or _DEFAULT_CONFIG).states
