"""The entities that were announced: their devices, topics and names, bounded in number and bytes.

What a publisher makes up is bounded here: entities, topics, and the bytes of those that take more
than usual. What is beyond is refused, so that a few that are hostile do not keep out those who
came before.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Final

from attrs import evolve

from metrics_agent.errors import PayloadError
from metrics_agent.interfaces import Message
from metrics_agent.limits import (
    HADISCOVERY_ENTITIES,
    HADISCOVERY_ENTITIES_TOGETHER,
    HADISCOVERY_LONG_BYTES,
    HADISCOVERY_STATUS_BYTES,
    HADISCOVERY_TOPICS,
    HADISCOVERY_WILDCARDS_TOGETHER,
)
from metrics_agent.modules.hadiscovery.availability import Availability
from metrics_agent.modules.hadiscovery.discovery import Announced
from metrics_agent.modules.hadiscovery.entity import Device, Entity, Input
from metrics_agent.modules.hadiscovery.entity_config import (
    AvailabilityConfig,
    DeviceInfo,
    EntityConfig,
)
from metrics_agent.modules.hadiscovery.footprint import footprint
from metrics_agent.modules.hadiscovery.names import Names
from metrics_agent.modules.hadiscovery.payload import Payload
from metrics_agent.modules.hadiscovery.template_store import TemplateStore
from metrics_agent.modules.hadiscovery.templates import TemplateError, one_message
from metrics_agent.modules.hadiscovery.topics import wildcard_group

__all__ = ["Key", "Registry", "Route"]

Key = tuple[str, str]
"""Component and discovery id."""
_USUAL_BYTES: Final = 3072
"""What its place among `HADISCOVERY_ENTITIES` pays for; most need less."""


class Route:
    """A topic, and what its messages are for.

    Attributes:
        topic: a filter.
        inputs: values that come on it.
        availabilities: who is there or not by its messages.
        said: the last message, for availabilities that join later; None for none or a long one.
    """

    __slots__ = ("_is_remembered", "availabilities", "inputs", "said", "topic")

    def __init__(self, topic: str, said_before: bytes | None = None) -> None:
        self.topic = topic
        self.said = said_before
        self._is_remembered = said_before is not None
        self.inputs: dict[Input, None] = {}
        self.availabilities: dict[Availability, None] = {}

    def hear(self, message: Message) -> None:
        """Keep a message for those who join: a broker sends what it has stored only once."""
        if not (self.availabilities or message.retain or self.said is not None):
            return  # values that nothing else is read from
        if message.topic == self.topic:  # with a wildcard it says nothing, see Availability.receive
            is_short = len(message.payload) <= HADISCOVERY_STATUS_BYTES
            self.said = message.payload if is_short else None
        self._is_remembered = False

    def join(self, availability: Availability) -> None:
        """Take in who is there or not by its messages.

        Raises:
            TemplateError: its template failed with the last one.
        """
        if availability in self.availabilities:
            return
        self.availabilities[availability] = None
        if self.said is not None and self.topic not in availability.seen:
            with one_message():
                said = Payload(self.said)
                availability.receive(self.topic, said, is_remembered=self._is_remembered)


class Registry:
    """Entities by component and discovery id.

    Args:
        names: gives points their names.
        added: called with the route of each new topic.
        removed: called with the route of each topic that has no use any more.
        failed: called with an availability, a topic and why its template failed.

    Attributes:
        templates: of all entities.
        entities: by component and discovery id.
        said_before: what the topics of availability said last in an earlier run.
    """

    def __init__(
        self,
        names: Names,
        added: Callable[[Route], object],
        removed: Callable[[Route], object],
        failed: Callable[[Availability, str, TemplateError], object],
    ) -> None:
        self.templates = TemplateStore()
        self.entities: dict[Key, Entity] = {}
        self.said_before: dict[str, bytes] = {}
        self._names = names
        self._added = added
        self._removed = removed
        self._failed = failed
        self._by_unique_id: dict[Key, Entity] = {}
        self._by_topic: dict[str, tuple[Key, ...]] = {}
        self._routes: dict[str, Route] = {}
        self._wildcards: dict[tuple[int, str], dict[Route, None]] = {}
        self._availabilities: dict[AvailabilityConfig, Availability] = {}
        self._devices: dict[str, Device] = {}
        self._long_bytes = 0

    def __len__(self) -> int:
        return len(self.entities)

    @property
    def topics(self) -> int:
        """How many topics there are."""
        return len(self._routes)

    def said(self) -> Iterator[tuple[str, bytes]]:
        """Yield the topics of availability that have said something, and what they said last."""
        for topic, route in self._routes.items():
            if route.availabilities and route.said is not None:
                yield topic, route.said

    def announced_on(self, topic: str) -> list[Entity]:
        """Return the entities that were announced on a discovery topic."""
        return [self.entities[key] for key in self._by_topic.get(topic, ())]

    def announce(self, topic: str, each: Announced, config: EntityConfig, now_s: float) -> bool:
        """Take what a publisher says of an entity.

        Returns:
            Whether anything is another than before.

        Raises:
            PayloadError: there is no room, or it is another entity's.
        """
        key = (each.component, each.id)
        entity = self.entities.get(key)
        if entity is None:
            self._add(key, topic, each, config)
            return True
        if entity.topic != topic:
            raise PayloadError(
                "announced_twice", f"{each.id!r:.60} was announced on {entity.topic!r:.80} before"
            )
        config = _with_earlier_template(config, entity.config)
        # Home Assistant does not take another id for an entity that it has.
        config = evolve(config, unique_id=entity.config.unique_id)
        if entity.config == config:
            return False
        self._change(entity, config, now_s)
        return True

    def remove(self, entity: Entity) -> None:
        """Forget an entity."""
        key = entity.key
        del self.entities[key]
        keys = tuple(each for each in self._by_topic[entity.topic] if each != key)
        if keys:
            self._by_topic[entity.topic] = keys
        else:
            del self._by_topic[entity.topic]
        if entity.config.unique_id is not None:
            del self._by_unique_id[entity.config.component, entity.config.unique_id]
        self._long_bytes -= _long_bytes_of(entity.key, entity.topic, entity.config)
        self._leave_device(entity)
        self._disconnect(entity)
        self.templates.release(entity.config)

    def _add(self, key: Key, topic: str, each: Announced, config: EntityConfig) -> None:
        unique_id = config.unique_id
        if unique_id is not None and (config.component, unique_id) in self._by_unique_id:
            raise PayloadError("duplicate_unique_id", f"the unique_id {unique_id!r:.80} is taken")
        if len(self.entities) >= HADISCOVERY_ENTITIES:
            raise PayloadError("too_many_entities", f"limit {HADISCOVERY_ENTITIES}")
        long_bytes = self._check_room(key, topic, config, None)
        availability = self._availability(config.availability)
        config = self._share(config, availability)
        entity = Entity(key, topic, each.object, config, availability)
        self.entities[key] = entity
        self._by_topic[topic] = (*self._by_topic.get(topic, ()), key)
        if unique_id is not None:
            self._by_unique_id[config.component, unique_id] = entity
        self._long_bytes = long_bytes
        self.templates.retain(config)
        self._join_device(entity)
        self._connect(entity)

    def _change(self, entity: Entity, config: EntityConfig, now_s: float) -> None:
        self._long_bytes = self._check_room(entity.key, entity.topic, config, entity)
        earlier = entity.config
        availability = self._availability(config.availability, entity.availability)
        config = self._share(config, availability)
        device = entity.device
        self._leave_device(
            entity, stays=device is not None and device.id == _device_of(entity.key, config).id
        )
        # New topics first: one that stays is not given up for a moment.
        before = (entity.inputs, entity.availability)
        entity.take_config(config, availability, now_s)
        self.templates.retain(config)
        self._connect(entity)
        self._disconnect_from(entity, earlier, *before)
        self.templates.release(earlier)
        self._join_device(entity)

    def _share(self, config: EntityConfig, availability: Availability) -> EntityConfig:
        """Return a config with the parts that other entities have too."""
        info = config.device
        if info is not None:
            device = self._devices.get(info.id)
            if device is not None and device.said == info:
                info = device.said
        return evolve(config, availability=availability.config, device=info)

    def _check_room(self, key: Key, topic: str, config: EntityConfig, entity: Entity | None) -> int:
        """Return the memory of all entities with a config: a new entity's, or the next of one.

        Raises:
            PayloadError: there is no room for it.
        """
        long_bytes = self._long_bytes + _long_bytes_of(key, topic, config)
        if entity is not None:
            long_bytes -= _long_bytes_of(key, topic, entity.config)
        if long_bytes > HADISCOVERY_LONG_BYTES:
            raise PayloadError("too_many_entities", "large entities have no more room")
        for each in config.inputs:
            route = self._routes.get(each.topic)
            if route is not None and _is_full({one.entity for one in route.inputs}, entity):
                raise PayloadError(
                    "too_many_entities",
                    f"limit {HADISCOVERY_ENTITIES_TOGETHER} that read {each.topic!r:.80}",
                )
        device = self._devices.get(_device_of(key, config).id)
        if device is not None and _is_full(device.entities, entity):
            raise PayloadError(
                "too_many_entities", f"limit {HADISCOVERY_ENTITIES_TOGETHER} of one device"
            )
        topics = {each.topic for each in config.sources}
        for one in topics:
            self._check_wildcards(one, entity)
        new = sum(one not in self._routes for one in topics)
        if len(self._routes) + new > HADISCOVERY_TOPICS:
            raise PayloadError("too_many_topics", f"limit {HADISCOVERY_TOPICS}")
        return long_bytes

    def _check_wildcards(self, topic: str, entity: Entity | None) -> None:
        """Refuse a filter with a wildcard where too much may come by one message already."""
        group = wildcard_group(topic)
        if group is None or (entity and any(one.topic == topic for one in entity.config.sources)):
            return
        together = sum(max(1, len(route.inputs)) for route in self._wildcards.get(group, ()))
        if together >= HADISCOVERY_WILDCARDS_TOGETHER:
            limit = HADISCOVERY_WILDCARDS_TOGETHER
            raise PayloadError(
                "too_many_entities",
                f"limit {limit} with wildcards that may have a topic in common, as {topic!r:.80}",
            )

    # Topics.

    def _availability(
        self, config: AvailabilityConfig, earlier: Availability | None = None
    ) -> Availability:
        found = self._availabilities.get(config)
        if found is None:
            found = self._availabilities[config] = Availability(config, earlier)
        return found

    def _connect(self, entity: Entity) -> None:
        new: list[Route] = []
        for each in entity.inputs:
            self._route(each.config.topic, new).inputs[each] = None
        availability = entity.availability
        availability.entities[entity] = None
        for topic in availability.config.topics:
            route = self._route(topic.topic, new)
            try:
                route.join(availability)
            except TemplateError as error:
                self._failed(availability, topic.topic, error)
        for route in new:
            self._added(route)

    def _route(self, topic: str, new: list[Route]) -> Route:
        route = self._routes.get(topic)
        if route is None:
            route = self._routes[topic] = Route(topic, self.said_before.pop(topic, None))
            group = wildcard_group(topic)
            if group is not None:
                self._wildcards.setdefault(group, {})[route] = None
            new.append(route)
        return route

    def _disconnect(self, entity: Entity) -> None:
        topics = [(each.config.topic, each) for each in entity.inputs]
        self._leave_routes(entity, topics, entity.availability)

    def _disconnect_from(
        self,
        entity: Entity,
        config: EntityConfig,
        inputs: tuple[Input, ...],
        availability: Availability,
    ) -> None:
        """Leave what an entity had before it got another config."""
        stays = {(each.config.topic, each) for each in entity.inputs}
        left = [
            (each.topic, one)
            for each, one in zip(config.inputs, inputs, strict=True)
            if (each.topic, one) not in stays
        ]
        self._leave_routes(
            entity, left, None if availability is entity.availability else availability
        )

    def _leave_routes(
        self, entity: Entity, topics: list[tuple[str, Input]], availability: Availability | None
    ) -> None:
        for topic, one in topics:
            route = self._routes.get(topic)
            if route is not None:
                route.inputs.pop(one, None)
                self._drop_route(route)
        if availability is None:
            return
        del availability.entities[entity]
        if availability.entities:
            return
        del self._availabilities[availability.config]
        for each in availability.config.topics:
            route = self._routes.get(each.topic)
            if route is not None:
                route.availabilities.pop(availability, None)
                self._drop_route(route)

    def _drop_route(self, route: Route) -> None:
        if not route.inputs and not route.availabilities:
            del self._routes[route.topic]
            group = wildcard_group(route.topic)
            if group is not None:
                del self._wildcards[group][route]
                if not self._wildcards[group]:
                    del self._wildcards[group]
            self._removed(route)

    # Devices.

    def _join_device(self, entity: Entity) -> None:
        info = _device_of(entity.key, entity.config)
        device = self._devices.get(info.id)
        if device is None:
            device = self._devices[info.id] = Device(info)
        device.said = info
        device.entities[entity] = None
        entity.device = device
        self._names.describe(device, entity)
        self._names.add(entity)

    def _leave_device(self, entity: Entity, *, stays: bool = False) -> None:
        self._names.remove(entity)
        device = entity.device
        if device is None or stays:
            return
        entity.device = None
        del device.entities[entity]
        if device.entities:
            self._names.describe(device, entity)
        else:
            del self._devices[device.id]


def _device_of(key: Key, config: EntityConfig) -> DeviceInfo:
    """Return the device of an entity: one of its own if the publisher does not say."""
    return config.device or DeviceInfo(identifiers=(config.unique_id or key[1],))


def _with_earlier_template(config: EntityConfig, earlier: EntityConfig) -> EntityConfig:
    """Return a sensor's next config: an update takes no template away, in Home Assistant either."""
    if config.component != "sensor" or config.inputs[0].template_text is not None:
        return config
    was, [now] = earlier.inputs[0], config.inputs
    if was.template_text is None:
        return config
    kept = evolve(now, template_text=was.template_text, template=was.template)
    return evolve(config, inputs=(kept,))


def _is_full(entities: Collection[Entity], entity: Entity | None) -> bool:
    """Say whether there is no room for an entity among those that are handled at once."""
    return len(entities) >= HADISCOVERY_ENTITIES_TOGETHER and entity not in entities


def _long_bytes_of(key: Key, topic: str, config: EntityConfig) -> int:
    """Return what an entity takes beyond what is usual."""
    return max(0, footprint(key, topic, config) - _USUAL_BYTES)
