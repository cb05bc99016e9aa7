"""What a publisher said of an entity, checked: immutable, shared where equal."""

from __future__ import annotations

from attrs import field, frozen

from metrics_agent.modules.hadiscovery.templates import Template

__all__ = [
    "AvailabilityConfig",
    "AvailabilityTopic",
    "DeviceInfo",
    "EntityConfig",
    "InputConfig",
]


@frozen
class DeviceInfo:
    """The device of an entity.

    Attributes:
        identifiers, connections: at least one of them is not empty.
        name, manufacturer, model, via_device: empty where the publisher does not say.
    """

    identifiers: tuple[str, ...]
    connections: tuple[tuple[str, str], ...] = ()
    name: str = ""
    manufacturer: str = ""
    model: str = ""
    via_device: str = ""

    @property
    def keys(self) -> tuple[str | tuple[str, str], ...]:
        """What it may be found by."""
        return (*self.identifiers, *self.connections)

    @property
    def id(self) -> str:
        """The tag ``device``: the first identifier, or the first address."""
        return self.identifiers[0] if self.identifiers else self.connections[0][1]


@frozen
class AvailabilityTopic:
    """A topic that says whether an entity is there.

    Attributes:
        topic: where.
        available, not_available: the two payloads that count, after rendering.
        template_text: makes of a payload what is compared; None for the payload itself.
    """

    topic: str
    available: str
    not_available: str
    template_text: str | None = None
    template: Template | None = field(default=None, eq=False, repr=False)


@frozen
class AvailabilityConfig:
    """How several such topics go together; no topics mean that the entity is always there.

    Attributes:
        mode: ``all``, ``any`` or ``latest``.
        topics: each once.
        encoding: of the payloads.
    """

    mode: str
    topics: tuple[AvailabilityTopic, ...]
    encoding: str


@frozen
class InputConfig:
    """One value of an entity: where it comes from. Most entities have one.

    Attributes:
        role: what the value is: ``state``, ``current_temperature``, ``position`` ...
        topic: a filter.
        template_text: makes of a payload the value; None for the payload itself.
    """

    role: str
    topic: str
    template_text: str | None = None
    template: Template | None = field(default=None, eq=False, repr=False)


@frozen
class EntityConfig:
    """An entity of a supported component.

    Attributes:
        component: ``sensor``, ``binary_sensor`` ...
        inputs: its values; none for one that only takes commands.
        availability: when it is there.
        device: None if the publisher does not say.
        unique_id: None if the publisher does not say.
        origin: the name of the publishing software; empty if it does not say.
        encoding: of the payloads; empty for bytes.
        expire_after: seconds after which a value no longer counts; None or 0 for never.
        options: of a sensor with class ``enum``: what its state may be; empty for anything.
        numeric: the state of a sensor has to be a number.
        on, off: the payloads of a binary sensor, switch or humidifier.
        off_delay: seconds after which a binary sensor goes off by itself.
        least, most: bounds of a number or a target humidity; the positions of a cover or valve
            that is closed and open.
        reset: the payload of a number that means unknown.
        state_words: of a cover or valve: ``(opening, closing)``.
    """

    component: str
    inputs: tuple[InputConfig, ...]
    availability: AvailabilityConfig
    device: DeviceInfo | None = None
    unique_id: str | None = None
    origin: str = ""
    name: str | None = None
    category: str = ""
    enabled: bool = True
    encoding: str = "utf-8"
    device_class: str = ""
    unit: str = ""
    state_class: str = ""
    expire_after: int | None = None
    options: tuple[object, ...] = ()
    numeric: bool = False
    on: str = "ON"
    off: str = "OFF"
    off_delay: int | None = None
    least: float = 0.0
    most: float = 0.0
    reset: str = "None"
    state_words: tuple[str, ...] = ()

    @property
    def sources(self) -> tuple[InputConfig | AvailabilityTopic, ...]:
        """All that it reads from topics."""
        return (*self.inputs, *self.availability.topics)
