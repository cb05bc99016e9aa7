"""The service: announcements, subscriptions, and the values of messages.

Theory of operation. Announcements come first: the connection holds back other messages until those
that the broker has stored are handled, and what was announced in an earlier run is restored before
that. Each topic that entities name has one subscription with a handler of its own, so that the
connection's look-up of topics, which is indexed, is the only one. A message is decoded once for all
entities that read it; their values with equal tags share a line.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from zope.interface import implementer

from metrics_agent.errors import PayloadError
from metrics_agent.interfaces import Cancellable, IModule, Message, ModuleContext
from metrics_agent.limits import HADISCOVERY_TOPICS
from metrics_agent.logs.burst import Burst
from metrics_agent.metric import Metric
from metrics_agent.modules.hadiscovery.arrivals import Arrivals
from metrics_agent.modules.hadiscovery.availability import Availability
from metrics_agent.modules.hadiscovery.components import SUPPORTED, read_entity
from metrics_agent.modules.hadiscovery.config import HadiscoverySettings
from metrics_agent.modules.hadiscovery.discovery import (
    Announced,
    parse_discovery,
    parse_topic,
)
from metrics_agent.modules.hadiscovery.entity import Device, Entity, Input
from metrics_agent.modules.hadiscovery.entity_config import EntityConfig
from metrics_agent.modules.hadiscovery.log_names import device_name, entity_name
from metrics_agent.modules.hadiscovery.names import Names, online_series
from metrics_agent.modules.hadiscovery.payload import Payload
from metrics_agent.modules.hadiscovery.points import Points
from metrics_agent.modules.hadiscovery.registry import Registry, Route
from metrics_agent.modules.hadiscovery.remembered import FORGET_AFTER_S, Remembered
from metrics_agent.modules.hadiscovery.remembered_availability import RememberedAvailability
from metrics_agent.modules.hadiscovery.templates import TemplateError, one_message
from metrics_agent.modules.hadiscovery.topics import announcement_filters, check_topic

__all__ = ["HadiscoveryModule"]

_ONLINE: Final = "online"
_LARGE_BYTES: Final = 4096
"""A message is kept until the next one; a larger one, with its JSON, for this turn only."""


@implementer(IModule)
class HadiscoveryModule(Service):
    """Collects from everything at one broker that announces itself to Home Assistant.

    Args:
        settings: checked ones.
        context: the door to the agent.
    """

    def __init__(self, settings: HadiscoverySettings, context: ModuleContext) -> None:
        self._settings = settings
        self._broker = settings.connection_settings()
        self._context = context
        self._log = context.log
        self._elsewhere = context.collected_elsewhere(self._broker)
        self._ignored = frozenset(map(str.lower, settings.ignore))
        self._taken: dict[int, int] = {}
        self._changed: dict[Device, None] = {}
        self._message: Message | None = None
        self._payload = Payload(b"")
        self._will_forget = False
        self._subscriptions: dict[str, Cancellable] = {}
        self._registry = Registry(
            Names(settings.sensor_names, self._log_clash),
            self._subscribe,
            self._unsubscribe,
            self._leave_out,
        )
        self._arrivals = Arrivals(context, self._come_or_go)
        self._remembered = Remembered(context, self._forget)
        self._remembered_availability = RememberedAvailability(
            context, map(str, self._broker.brokers), self._registry.said
        )
        # Devices come in bursts: one line for all of them.
        self._found = Burst(
            self._log,
            context.reactor,
            "Discovered {count} entities, the first: {first}.",
            one="Discovered entity {first}.",
        )
        self._gone = Burst(
            self._log,
            context.reactor,
            "{count} entities were removed, the first: {first}.",
            one="Entity {first} was removed.",
        )

    def startService(self) -> Deferred[None]:
        """Subscribe, and restore what was announced before the last stop."""
        super().startService()
        for topic_filter in announcement_filters(self._settings.discovery_prefix):
            self._context.subscribe(
                self._broker, topic_filter, self._on_config, place="discovery", announcements=True
            )
        self._registry.said_before = said = self._remembered_availability.read()
        if said:
            self._context.later(FORGET_AFTER_S, said.clear, place="forget")
        return self._context.watch(self._remembered.restore(self._restore), place="restore")

    def stopService(self) -> None:
        """Save what has changed."""
        super().stopService()
        self._remembered.close()
        self._remembered_availability.close()
        self._found.flush()
        self._gone.flush()

    @property
    def registry(self) -> Registry:
        """What was announced, for tests."""
        return self._registry

    # Announcements.

    def _on_config(self, message: Message) -> Iterable[Metric]:
        if not self._announce(message.topic, message.payload):
            return ()
        points = Points()
        # One that joins others, of which that is known, or no longer waits for what it had to.
        self._come_or_go(
            self._registry.announced_on(message.topic), message.received_ns, points, self._changed
        )
        return points.metrics()

    def _restore(self, topic: str, payload: bytes) -> None:
        self._announce(topic, payload)

    def _forget(self, topic: str) -> None:
        """Forget what announced itself in an earlier run and has not been heard since."""
        if not any(entity.has_sent for entity in self._registry.announced_on(topic)):
            self._changed.clear()
            self._remove_all(topic)
            self._remembered.remove(topic)
            points = Points()
            self._come_or_go((), self._context.now_ns(), points, self._changed)
            self._context.emit(points.metrics())

    def _announce(self, topic: str, payload: bytes) -> bool:
        """Take an announcement; False if nothing has changed."""
        self._changed.clear()
        try:
            return self._take_all(topic, payload)
        finally:
            self._registry.templates.end_announcement()

    def _take_all(self, topic: str, payload: bytes) -> bool:
        try:
            place = parse_topic(self._settings.discovery_prefix, topic)
            discovery = parse_discovery(place, payload, self._registry.templates.compile)
        except PayloadError as error:
            self._refuse(topic, error)
            return False
        if discovery.removes_all:
            if discovery.migrates and not self._may_migrate(topic):
                return False
            self._remembered.remove(topic)
            return self._remove_all(topic)
        changed = [self._take(topic, each) for each in discovery.announced]
        if self._registry.announced_on(topic):
            self._remembered.note(topic, payload)
        return any(changed)

    def _take(self, topic: str, each: Announced) -> bool:
        """Take what is announced of one entity; False if nothing has changed."""
        known = self._registry.entities.get((each.component, each.id))
        if known is not None and known.topic != topic:
            known = None
        before = known.device if known is not None else None
        if each.payload is None:
            return known is not None and self._remove(known)
        if each.component not in SUPPORTED:
            self._context.drop(f"kind_{each.component}")
            return False
        try:
            config = read_entity(each.component, each.payload, self._registry.templates.compile)
            if not self._is_wanted(config):
                return known is not None and self._remove(known)
            for one in config.sources:
                check_topic(one.topic, self._settings.discovery_prefix)
            changed = self._registry.announce(topic, each, config, self._context.reactor.seconds())
        except PayloadError as error:
            place = f"{topic} {each.object}" if each.object not in topic else topic
            self._refuse(place, error, device_name(each.payload))
            return False
        if changed and known is None:
            self._found.add(each.id)
        if changed:
            device = self._registry.entities[each.component, each.id].device
            self._expect(device)
            if before is not device:
                self._expect(before)
        return changed

    def _is_wanted(self, config: EntityConfig) -> bool:
        """Say whether the settings want an entity."""
        settings = self._settings
        if config.category == "config" and not settings.config_entities:
            return False
        if not config.enabled and not settings.disabled_entities:
            return False
        if config.component == "sensor" and not config.numeric and not settings.texts:
            return False
        maker = config.device.manufacturer if config.device is not None else ""
        for name in (config.origin, maker):
            why = self._why_left_out(name.lower(), config)
            if why:
                self._context.left_out(
                    name, "ignored_publisher", f"its entities: {why}", harmless=True
                )
                return False
        return True

    def _why_left_out(self, publisher: str, config: EntityConfig) -> str:
        """Say why the entities of a publisher are left out; empty if they are not."""
        if publisher in self._ignored:
            return "the setting ignore has it"
        topics = [each.topic for each in config.inputs or config.availability.topics]
        for each in self._elsewhere:
            if publisher in each.publishers and any(map(each.takes, topics)):
                return f"module {each.module} collects them"
        return ""

    def _may_migrate(self, topic: str) -> bool:
        """Say whether what was announced on a topic can go to another one."""
        configs = [entity.config for entity in self._registry.announced_on(topic)]
        return all(each.unique_id is not None and each.device is not None for each in configs)

    def _remove_all(self, topic: str) -> bool:
        entities = self._registry.announced_on(topic)
        for entity in entities:
            self._remove(entity)
        return bool(entities)

    def _remove(self, entity: Entity) -> bool:
        _cancel_off(entity)
        device = entity.device
        self._registry.remove(entity)
        self._expect(device)
        self._gone.add(entity.key[1])
        return True

    def _expect(self, device: Device | None) -> None:
        """Pass on after which silence the entities of a device that has changed expire."""
        if device is not None:
            self._changed[device] = None
            all_s = [each.config.expire_after for each in device.entities]
            expiring_s = [float(each) for each in all_s if each] or [0.0]
            self._context.expect(device.id, min(expiring_s), max(expiring_s))

    def _refuse(self, topic: str, error: PayloadError, device: str = "") -> None:
        of = f" of {device:.40}" if device else ""
        where = f"the announcement{of}: {error.detail}"
        self._context.left_out(topic[:200], error.reason, where)

    def _log_clash(self, entity: Entity, other: Entity) -> None:
        self._context.drop("same_name")
        self._log.warn(
            "Entities {entity} and {other} of a device have the same name: the first is left out. "
            "Rename one of them with sensor_names.",
            entity=entity_name(entity),
            other=entity_name(other),
            fold=("entity", "other"),
        )

    # Subscriptions.

    def _subscribe(self, route: Route) -> None:
        self._subscriptions[route.topic] = self._context.subscribe(
            self._broker,
            route.topic,
            partial(self._on_message, route),
            qos=self._settings.qos,
            learned=True,
        )

    def _unsubscribe(self, route: Route) -> None:
        self._subscriptions.pop(route.topic).cancel()

    # Messages.

    def _on_message(self, route: Route, message: Message) -> Iterable[Metric]:
        # Filters with wildcards may have it in common with others.
        again = message is self._message
        if not again:
            self._message, self._payload = message, Payload(message.payload)
            if len(message.payload) > _LARGE_BYTES and not self._will_forget:
                self._will_forget = True
                self._context.later(0, self._forget_message, place="forget")
        with one_message(again=again):
            return self._handle(route, message, self._payload)

    def _forget_message(self) -> None:
        self._will_forget = False
        self._message, self._payload = None, Payload(b"")

    def _handle(self, route: Route, message: Message, payload: Payload) -> Iterable[Metric]:
        points = Points()
        route.hear(message)
        changed = [
            each for each in route.availabilities if self._receive(each, message.topic, payload)
        ]
        if route.inputs:
            if self._is_old(route, message):
                # Stored at the broker, perhaps for days: its time of receipt would be a lie.
                self._context.drop("retained")
            else:
                now_s = self._context.reactor.seconds()
                for each in route.inputs:
                    self._read(each, payload, message, now_s, points)
        if changed:
            self._remembered_availability.change()
            self._arrivals.begin(changed, message.received_ns, points)
        return points.metrics()

    def _is_old(self, route: Route, message: Message) -> bool:
        """Say whether a message is one that the broker has stored and is not to be taken."""
        if self._settings.retained == "ignore":
            return message.retain
        # The broker sends it after each subscription without a session, and it is for each filter
        # that it matches.
        topic, payload = hash((route.topic, message.topic)), hash(message.payload)
        is_old = message.retain and self._taken.get(topic) == payload
        self._taken[topic] = payload
        if len(self._taken) > HADISCOVERY_TOPICS:
            del self._taken[next(iter(self._taken))]
        return is_old

    def _receive(self, availability: Availability, topic: str, payload: Payload) -> bool:
        try:
            return availability.receive(topic, payload)
        except TemplateError as error:
            self._leave_out(availability, topic, error)
            return False

    def _leave_out(self, availability: Availability, topic: str, error: TemplateError) -> None:
        """Log an availability that is not known, with the first of the entities that share it."""
        entity = entity_name(next(iter(availability.entities)))
        where = f"the availability of {entity}: {error}"
        self._context.left_out(topic[:200], "template_error", where)

    def _read(
        self, each: Input, payload: Payload, message: Message, now_s: float, points: Points
    ) -> None:
        entity = each.entity
        had_expired = entity.touch(now_s)
        try:
            has_value = each.read(payload)
        except TemplateError as error:
            self._context.left_out(entity_name(entity), "template_error", f"its value: {error}")
            return
        if not has_value:
            if had_expired:
                entity.show(now_s)
            return
        if entity.config.off_delay is not None:
            self._switch_off_later(each, entity.config.off_delay)
        each.is_stored = message.retain
        if not entity.may_show(each, now_s):
            each.show(is_available=False)
            each.pending_ns = message.received_ns
        elif each.show(is_available=True):
            _write(each, message.received_ns, points)
        else:
            self._context.left_out(entity_name(entity), "invalid_value", f"{payload.data!r:.60}")

    def _come_or_go(
        self,
        entities: Iterable[Entity],
        received_ns: int,
        points: Points,
        changed: Iterable[Device] = (),
    ) -> None:
        """Show the entities that have come, or not those that have gone."""
        now_s = self._context.reactor.seconds()
        devices = dict.fromkeys(changed)
        for entity in entities:
            for each in entity.show(now_s):
                _write(each, each.pending_ns, points)
            if entity.device is not None:
                devices[entity.device] = None
        for device in devices:
            self._write_online(device, points, received_ns)

    def _write_online(self, device: Device, points: Points, received_ns: int) -> None:
        online = device.is_online() if device.entities else None
        if online is not None and online is not device.online:
            device.online = online
            points.add(online_series(device), _ONLINE, online, received_ns)

    def _switch_off_later(self, each: Input, delay_s: float) -> None:
        _cancel_off(each.entity)
        if each.native is True:
            each.entity.off_call = self._context.later(
                delay_s, self._switch_off, each, place="off_delay"
            )

    def _switch_off(self, each: Input) -> None:
        each.entity.off_call = None
        each.native = False
        each.pending_ns = self._context.now_ns()
        if each.entity.may_show(each, self._context.reactor.seconds()):
            each.show(is_available=True)
            points = Points()
            _write(each, each.pending_ns, points)
            self._context.emit(points.metrics())


def _write(each: Input, time_ns: int, points: Points) -> None:
    each.pending_ns = 0
    shown = each.shown
    if each.point is not None and each.series is not None and isinstance(shown, float | bool | str):
        value = each.point.value(shown)
        if value == value:  # noqa: PLR0124 - not a number: the unit has none for it
            points.add(each.series, each.point.field, value, time_ns)


def _cancel_off(entity: Entity) -> None:
    if entity.off_call is not None and entity.off_call.active():
        entity.off_call.cancel()
    entity.off_call = None
