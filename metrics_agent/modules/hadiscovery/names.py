"""The names that points have, over all entities: no two values write the same field of a series."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from metrics_agent.catalogue import DEVICE
from metrics_agent.metric import Series
from metrics_agent.modules.hadiscovery.entity import Device, Entity, Input
from metrics_agent.modules.hadiscovery.naming import Point, name_point

__all__ = ["Names", "online_series"]

_Place = tuple[Device, str, str, str]


class Names:
    """Gives inputs their points.

    Where two have the same, the one with the smaller unique id has it, whichever came first.

    Args:
        overrides: the tag ``sensor`` by unique id.
        log_clash: called with the entity that is left out and the one that is not.
    """

    def __init__(
        self, overrides: Mapping[str, str], log_clash: Callable[[Entity, Entity], object]
    ) -> None:
        self._overrides = overrides
        self._log_clash = log_clash
        self._taken: dict[_Place, list[Input]] = {}

    def add(self, entity: Entity) -> None:
        """Name the values of an entity that has a device."""
        device = entity.device
        if device is None:
            return
        node = entity.key[1].split(" ")[:-1]
        info = device.info
        own = (*node, *info.identifiers, info.name, *(address for _, address in info.connections))
        for each in entity.inputs:
            point = name_point(entity.config, each.config.role, entity.object_id, own)
            sensor = self._overrides.get(entity.config.unique_id or "")
            if sensor is not None:
                point = point.with_sensor(sensor)
            each.wanted = point
            holders = self._taken.setdefault(_place(device, point), [])
            holders.append(each)
            self._decide(device, holders, each)

    def remove(self, entity: Entity) -> None:
        """Take the names of an entity away; another one may get them."""
        device = entity.device
        if device is None:
            return
        for each in entity.inputs:
            point, each.wanted = each.wanted, None
            each.point = each.series = None
            if point is None:
                continue
            place = _place(device, point)
            holders = self._taken[place]
            holders.remove(each)
            if holders:
                self._decide(device, holders)
            else:
                del self._taken[place]

    def rename(self, entity: Entity) -> None:
        """Make the series of an entity anew: its device has another name."""
        device = entity.device
        if device is None:
            return
        for each in entity.inputs:
            if each.point is not None:
                each.series = _series(device, each.point)

    def _decide(self, device: Device, holders: list[Input], new: Input | None = None) -> None:
        holders.sort(key=_rank)
        first, *others = holders
        if first.point is None and first.wanted is not None:
            first.point = first.wanted
            first.series = _series(device, first.wanted)
        for each in others:
            if each.point is not None or each is new:
                each.point = each.series = None
                self._log_clash(each.entity, first.entity)


def _place(device: Device, point: Point) -> _Place:
    return (device, point.measurement, point.sensor, point.field)


def _rank(each: Input) -> tuple[str, str, str]:
    return (each.entity.config.unique_id or "", each.entity.key[1], each.config.role)


def _series(device: Device, point: Point) -> Series:
    key = (point.measurement, point.sensor)
    found = device.series.get(key)
    if found is None:
        tags = {
            "vendor": device.vendor,
            "device": device.info.id,
            "friendly": device.info.name,
            "sensor": point.sensor,
        }
        found = Series(point.measurement, {name: value for name, value in tags.items() if value})
        device.series[key] = found
    return found


def online_series(device: Device) -> Series:
    """Return the series of whether a device is there."""
    return _series(device, Point(DEVICE.name, DEVICE.key("online")))
