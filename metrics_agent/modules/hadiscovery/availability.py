"""Whether entities are there, by what topics say.

Theory of operation. Messages that say whether an entity is there come on topics that most entities
of a device, and often those of hundreds of devices, have in common. So entities with equal
`AvailabilityConfig` share one `Availability`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from metrics_agent.modules.hadiscovery.entity_config import AvailabilityConfig, AvailabilityTopic
from metrics_agent.modules.hadiscovery.payload import Payload
from metrics_agent.modules.hadiscovery.templates import Template, TemplateError

if TYPE_CHECKING:
    from metrics_agent.modules.hadiscovery.entity import Entity

__all__ = ["Availability", "render_or_raw"]

_NONE: Final[frozenset[str]] = frozenset()
"""One for all: most have heard of all of their topics."""


class Availability:
    """Whether the entities with one `AvailabilityConfig` are there.

    Args:
        config: theirs.
        earlier: of an entity that gets another config: what is known of its topics stays known.

    Attributes:
        entities: who shares it.
        seen: what its topics said last.
        latest: what the last message of any of them said; None for nothing.
        remembered: topics of which ``seen`` has only what they said in an earlier run.
        verdict: what that comes to; None while it depends on topics that said nothing yet.
    """

    __slots__ = ("config", "entities", "latest", "remembered", "seen", "verdict")

    def __init__(self, config: AvailabilityConfig, earlier: Availability | None = None) -> None:
        self.config = config
        self.entities: dict[Entity, None] = {}
        self.seen: dict[str, bool] = {}
        self.remembered = _NONE
        self.latest: bool | None = None
        if earlier is not None:
            self.latest = earlier.latest
            self.remembered = earlier.remembered.intersection(
                [each.topic for each in config.topics]
            )
            self.seen = {
                each.topic: earlier.seen[each.topic]
                for each in config.topics
                if each.topic in earlier.seen
            }
        self.verdict = self._evaluate()

    def heard(self) -> bool | None:
        """Return the verdict without what is only remembered."""
        return self._evaluate(self.remembered) if self.remembered else self.verdict

    def _evaluate(self, without: Collection[str] = ()) -> bool | None:
        topics = self.config.topics
        if not topics:
            return True
        if self.config.mode == "latest":
            is_heard = not without or len(self.seen) > len(without)
            return self.latest if is_heard else None
        said = {None if each.topic in without else self.seen.get(each.topic) for each in topics}
        one_is_enough = self.config.mode == "any"
        if one_is_enough in said:
            return one_is_enough
        return None if None in said else not one_is_enough

    def receive(self, topic: str, payload: Payload, *, is_remembered: bool = False) -> bool:
        """Take a message on one of the topics.

        Args:
            topic: one of the config's.
            payload: of the message.
            is_remembered: it is one of an earlier run.

        Returns:
            Whether the entities have come or gone, are known to be away, or what was remembered of
            the topic is now known.

        Raises:
            TemplateError: the template failed; nothing has changed.
        """
        each = next((each for each in self.config.topics if each.topic == topic), None)
        if each is None:
            return False  # a topic with a wildcard, of which Home Assistant knows no state either
        said = self._read(each, payload)
        if said is None:
            return False
        before = self.verdict
        self.seen[topic] = self.latest = said
        self.verdict = self._evaluate()
        was_remembered = topic in self.remembered
        if is_remembered:
            self.remembered |= {topic}
        elif was_remembered:
            self.remembered = self.remembered - {topic} or _NONE
        return self.verdict is not before or was_remembered

    def _read(self, each: AvailabilityTopic, payload: Payload) -> bool | None:
        encoding = self.config.encoding
        if each.template is not None:
            # Hundreds of devices have the same template for the topic of their bridge.
            text = payload.rendered(each.template, encoding, render_or_raw)
        else:
            text = payload.text(encoding)
        if text == each.available:
            return True
        return False if text == each.not_available else None


def render_or_raw(template: Template, payload: Payload, encoding: str) -> str | None:
    """Render; where something is undefined Home Assistant takes the payload itself."""
    variables = payload.variables(encoding)
    if variables is None:
        return None
    try:
        return template.render(*variables)
    except TemplateError as error:
        if not error.undefined:
            raise
        return payload.text(encoding)
