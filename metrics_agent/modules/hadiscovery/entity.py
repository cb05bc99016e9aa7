"""The state of entities: what they say, what is shown of it, when it expires.

Theory of operation. A value has two places, as in Home Assistant: what the last message said
(``native``), and what is shown (``shown``). What is refused, such as a text that is not a number,
takes the first place but never the second, and nothing is shown of an entity that is not there.
Expiry needs no timer: it is looked at when there is a reason to look.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from metrics_agent.metric import Series
from metrics_agent.modules.hadiscovery.availability import Availability, render_or_raw
from metrics_agent.modules.hadiscovery.entity_config import DeviceInfo, EntityConfig, InputConfig
from metrics_agent.modules.hadiscovery.naming import Point
from metrics_agent.modules.hadiscovery.payload import Payload
from metrics_agent.modules.hadiscovery.templates import TemplateError
from metrics_agent.modules.hadiscovery.values import IGNORED, Odd, Read, Value, reader_of

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

__all__ = ["UNAVAILABLE", "Device", "Entity", "Input"]


class _Unavailable:
    """The type of `UNAVAILABLE`."""

    def __repr__(self) -> str:
        return "UNAVAILABLE"


UNAVAILABLE: Final = _Unavailable()
"""What is shown of an entity that is not there."""


class Device:
    """A device: its names, and the series of its entities.

    Attributes:
        id: the tag ``device``, by which entities belong to it.
        said: what was said of it last.
        name, vendor: its tags; empty where none of its entities says so.
        said_by: the entities that said these two.
        entities: its entities.
        online: what was last written; None for nothing.
        series: by measurement and sensor.
        taken: inputs by measurement, sensor and field, those with the same name in order.
    """

    __slots__ = ("entities", "id", "name", "online", "said", "said_by", "series", "taken", "vendor")

    def __init__(self, info: DeviceInfo) -> None:
        self.id = info.id
        self.said = info
        self.name = self.vendor = ""
        self.said_by: list[Entity | None] = [None, None]
        self.entities: dict[Entity, None] = {}
        self.online: bool | None = None
        self.series: dict[tuple[str, str], Series] = {}
        self.taken: dict[tuple[str, str, str], tuple[Input, ...]] = {}

    def is_online(self) -> bool | None:
        """Say whether any of its entities is there.

        Returns:
            None if no topic says so or the opposite, or one that may say so is only remembered.
        """
        online: bool | None = None
        has_topics = may_be_there = False
        for entity in self.entities:
            availability = entity.availability
            if not availability.config.topics:
                continue
            has_topics = True
            heard = availability.heard()
            if heard:
                return True
            if heard is False:
                online = False
            elif availability.verdict:
                may_be_there = True
        if may_be_there:
            return None
        if self.online is not None and not has_topics:
            return True  # what was away is there: nothing says any more when it is not
        return online


class Input:
    """One value of an entity.

    Attributes:
        entity: whose it is.
        config: where it comes from.
        native: what the last message said.
        shown: what Home Assistant shows.
        pending_ns: when a value came that could not be shown yet; 0 if none did.
        is_stored: the value is one that the broker had stored, perhaps for days.
        wanted: what its values would be called.
        point: what they are called; None if they are not written.
        series: of that point.
    """

    __slots__ = (
        "_encoding",
        "_is_sensor",
        "_read",
        "_template",
        "config",
        "entity",
        "is_stored",
        "native",
        "pending_ns",
        "point",
        "series",
        "shown",
        "wanted",
    )

    def __init__(self, entity: Entity, config: InputConfig) -> None:
        self.entity = entity
        self.config = config
        self.native: Value | Odd = None
        self.shown: Value | _Unavailable = UNAVAILABLE
        self.pending_ns = 0
        self.is_stored = False
        self.wanted: Point | None = None
        self.point: Point | None = None
        self.series: Series | None = None
        self._use(config)

    def take_config(self, config: InputConfig) -> None:
        """Take what the publisher now says; the value stays."""
        self.config = config
        self._use(config)

    def _use(self, config: InputConfig) -> None:
        """Keep at hand what each message needs."""
        of_entity = self.entity.config
        self._read: Read = reader_of(of_entity, config.role)
        self._encoding = of_entity.encoding
        self._is_sensor = of_entity.component == "sensor"
        self._template = config.template

    def read(self, payload: Payload) -> bool:
        """Take a message.

        Returns:
            Whether it had a value, or said that there is none.

        Raises:
            TemplateError: the template failed; the value stays.
        """
        template = self._template
        if template is None:
            text = payload.text(self._encoding)
        elif self._is_sensor:
            variables = payload.variables(self._encoding)
            try:
                text = None if variables is None else template.render(*variables)
            except TemplateError as error:
                if not error.undefined:
                    raise
                return False  # the message does not concern it
        else:
            text = render_or_raw(template, payload, self._encoding)
        if text is None:
            return False
        value = self._read(self.entity.config, text)
        if value is IGNORED:
            return False
        self.native = value
        return True

    def show(self, *, is_available: bool) -> bool:
        """Make what was said what is shown.

        Returns:
            False for what Home Assistant refuses to show, such as a text where a number has to
            be: what was shown stays.
        """
        if not is_available:
            self.shown = UNAVAILABLE
        elif isinstance(self.native, Odd):
            return False
        else:
            self.shown = self.native
        return True


class Entity:
    """An entity and its values.

    Args:
        key: component and discovery id.
        topic: the one it was announced on.
        object_id: its part of the id.
        config: what was announced.
        availability: shared with others.

    Attributes:
        device: its own one if the publisher does not say; None while it has no place.
        has_sent: a message of it came since the start.
        off_call: switches a binary sensor off that does not say so itself.
    """

    __slots__ = (
        "_expires_at_s",
        "_has_expired",
        "availability",
        "config",
        "device",
        "has_sent",
        "inputs",
        "key",
        "object_id",
        "off_call",
        "topic",
    )

    def __init__(
        self,
        key: tuple[str, str],
        topic: str,
        object_id: str,
        config: EntityConfig,
        availability: Availability,
    ) -> None:
        self.key = key
        self.topic = topic
        self.object_id = object_id
        self.config = config
        self.availability = availability
        self.device: Device | None = None
        self.has_sent = False
        self.off_call: IDelayedCall | None = None
        self._expires_at_s: float | None = None
        self._has_expired = bool(config.expire_after)
        self.inputs = tuple(Input(self, each) for each in config.inputs)
        for each in self.inputs:
            each.show(is_available=self.is_available(0.0))

    def take_config(self, config: EntityConfig, availability: Availability, now_s: float) -> None:
        """Take what the publisher now says; the values stay where their roles do."""
        self.config = config
        self.availability = availability
        earlier = {each.config.role: each for each in self.inputs}
        inputs: list[Input] = []
        for each in config.inputs:
            found = earlier.get(each.role)
            if found is None:
                found = Input(self, each)
            else:
                found.take_config(each)
            inputs.append(found)
        self.inputs = tuple(inputs)
        self._has_expired = bool(config.expire_after)
        self._expires_at_s = None
        self.show(now_s)

    def is_available(self, now_s: float) -> bool:
        """Say whether it is there and has not expired."""
        # Home Assistant takes silence as absence.
        is_there = self.availability.verdict is True
        if not self.config.expire_after:
            return is_there
        return is_there and not self.has_expired(now_s)

    def has_expired(self, now_s: float) -> bool:
        """Say whether too much time has passed since the last message."""
        expires_at_s = self._expires_at_s
        if expires_at_s is not None and now_s >= expires_at_s:
            self._expires_at_s = None
            self._has_expired = True
            self.show(now_s)
        return self._has_expired

    def touch(self, now_s: float) -> bool:
        """Note a message on the state topic, whatever it says.

        Returns:
            Whether the entity had expired.
        """
        self.has_sent = True
        expire_after = self.config.expire_after
        if not expire_after:
            return False
        had_expired = self.has_expired(now_s)
        self._has_expired = False
        self._expires_at_s = now_s + expire_after
        return had_expired

    def show(self, now_s: float) -> Iterable[Input]:
        """Show all values, as they are; returns those that were waiting for it."""
        shown = []
        for each in self.inputs:
            may_show = self.may_show(each, now_s)
            if each.show(is_available=may_show) and may_show and each.pending_ns:
                shown.append(each)
        return shown

    def may_show(self, each: Input, now_s: float) -> bool:
        """Say whether a value can be shown now."""
        # A stored value may be as old as what is remembered: the stored availability decides.
        if each.is_stored and not self.availability.heard():
            return False
        return self.is_available(now_s)
