"""The names that points have, over all entities: no two values write the same field of a series."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from metrics_agent.catalogue import DEVICE
from metrics_agent.metric import Series
from metrics_agent.modules.hadiscovery.entity import Device, Entity, Input
from metrics_agent.modules.hadiscovery.entity_config import EntityConfig
from metrics_agent.modules.hadiscovery.naming import Point, name_point

__all__ = ["Names", "online_series"]

_MOST_POINTS: Final = 5000
"""Equal ones are kept once, as far as these go."""


class Names:
    """Gives inputs their points.

    Where two have the same, the one with the smaller unique id has it, whichever came first.

    Args:
        overrides: the tag ``sensor`` by unique id, or by component, a dot and unique id.
        log_clash: called with the entity that is left out and the one that is not.
    """

    def __init__(
        self, overrides: Mapping[str, str], log_clash: Callable[[Entity, Entity], object]
    ) -> None:
        self._overrides = overrides
        self._log_clash = log_clash
        self._points: dict[Point, Point] = {}

    def add(self, entity: Entity) -> None:
        """Name the values of an entity that has a device."""
        device = entity.device
        if device is None:
            return
        own = entity.key[1].split(" ")[:-1]
        info = entity.config.device
        if info is not None:
            own += [*info.identifiers, info.name, *(address for _, address in info.connections)]
        for each in entity.inputs:
            point = name_point(entity.config, each.config.role, entity.object_id, own)
            sensor = self._override(entity)
            if sensor is not None:
                point = point.with_sensor(sensor)
            each.wanted = point = self._shared(point)
            self._decide(device, point, each, add=True)

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
            self._decide(device, point, each, add=False)

    def describe(self, device: Device, entity: Entity) -> None:
        """Name a device after its entities, now that one has come, changed or gone.

        Of those that say its name the one with the smallest unique id counts, whichever came
        first, and so with its vendor. Publishers often say both with one entity only.
        """
        is_there = entity in device.entities
        found = []
        for index, said in enumerate((_name, _vendor)):
            first = device.said_by[index]
            says = is_there and said(entity.config)
            if first is entity and not says:
                first = min(
                    [each for each in device.entities if said(each.config)],
                    key=_rank_of,
                    default=None,
                )
            elif says and (first is None or _rank_of(entity) < _rank_of(first)):
                first = entity
            device.said_by[index] = first
            found.append(said(first.config) if first is not None else "")
        name, vendor = found
        if (name, vendor) == (device.name, device.vendor):
            return
        device.name, device.vendor = name, vendor
        device.series.clear()
        for one in device.entities:
            for each in one.inputs:
                if each.point is not None:
                    each.series = _series(device, each.point)

    def _override(self, entity: Entity) -> str | None:
        unique_id = entity.config.unique_id
        if unique_id is None:
            return None
        # Two components may have the same.
        found = self._overrides.get(f"{entity.key[0]}.{unique_id}")
        return self._overrides.get(unique_id) if found is None else found

    def _shared(self, point: Point) -> Point:
        if len(self._points) >= _MOST_POINTS:
            self._points.clear()
        return self._points.setdefault(point, point)

    def _decide(self, device: Device, point: Point, one: Input, *, add: bool) -> None:
        """Decide who has a name, now that one more wants it or no longer does."""
        place = (point.measurement, point.sensor, point.field)
        holders = [each for each in device.taken.get(place, ()) if each is not one]
        if add:
            holders.append(one)
        if not holders:
            del device.taken[place]
            return
        holders.sort(key=_rank)
        device.taken[place] = tuple(holders)
        first, *others = holders
        if first.point is None and first.wanted is not None:
            first.point = first.wanted
            first.series = _series(device, first.wanted)
        for each in others:
            if each.point is not None or (add and each is one):
                each.point = each.series = None
                self._log_clash(each.entity, first.entity)


def _name(config: EntityConfig) -> str:
    return config.device.name if config.device is not None else ""


def _vendor(config: EntityConfig) -> str:
    maker = config.device.manufacturer if config.device is not None else ""
    return (config.origin or maker).lower()


def _rank_of(entity: Entity) -> tuple[str, str, bool, str]:
    component, discovery_id = entity.key
    # What is measured comes before what is set.
    is_set = component == "number"
    return (entity.config.unique_id or "", discovery_id, is_set, component)


def _rank(each: Input) -> tuple[str | bool, ...]:
    return (*_rank_of(each.entity), each.config.role)


def _series(device: Device, point: Point) -> Series:
    key = (point.measurement, point.sensor)
    found = device.series.get(key)
    if found is None:
        tags = {
            "vendor": device.vendor,
            "device": device.id,
            "friendly": device.name,
            "sensor": point.sensor,
        }
        found = Series(point.measurement, {name: value for name, value in tags.items() if value})
        device.series[key] = found
    return found


def online_series(device: Device) -> Series:
    """Return the series of whether a device is there."""
    return _series(device, Point(DEVICE.name, DEVICE.key("online")))
