"""The service: subscriptions and devices; hands payloads to the decoders.

Theory of operation. A message's topic is a base and a subtopic (``tele/tasmota_C0FFEE`` and
``SENSOR``): the base finds the device, the subtopic the handler, one dict lookup each. One
wildcard subscription for each distinct shape of topics serves all devices with that shape, so a
message costs the same however many devices there are.

Names come first: what devices said of themselves in an earlier run is restored at the start
(``known``), and the connection hands on announcements before all other messages. So a message from
an unknown base is that of a device without announcement, a stranger, and is taken at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from zope.interface import implementer

from metrics_agent.errors import PayloadError
from metrics_agent.interfaces import IModule, Message, ModuleContext
from metrics_agent.limits import (
    TASMOTA_DEVICE_BYTES,
    TASMOTA_DEVICES,
    TASMOTA_NAME_CHARS,
    TASMOTA_TOPIC_CHARS,
)
from metrics_agent.logs.burst import Burst
from metrics_agent.metric import Metric
from metrics_agent.modules.tasmota.config import TasmotaSettings
from metrics_agent.modules.tasmota.decode import (
    ZIGBEE,
    as_object,
    decode_availability,
    decode_document,
    decode_reply,
    decode_state_document,
    read_object,
)
from metrics_agent.modules.tasmota.device import Device, DeviceNaming
from metrics_agent.modules.tasmota.discovery import parse_config
from metrics_agent.modules.tasmota.filters import (
    BLUETOOTH,
    BLUETOOTH_FILTER,
    POWER,
    TELEMETRY,
    Filters,
    announcement_filter,
    is_full_topic,
    user_filters,
)
from metrics_agent.modules.tasmota.go_compat import to_original
from metrics_agent.modules.tasmota.known import KnownDevices
from metrics_agent.modules.tasmota.meters import MeterTable, parse_meter_field
from metrics_agent.modules.tasmota.plans import Plans
from metrics_agent.modules.tasmota.registry import Registry
from metrics_agent.modules.tasmota.remarks import REASONS, Remarks
from metrics_agent.modules.tasmota.silence import Silence
from metrics_agent.modules.tasmota.topics import DEFAULT_PREFIXES, TopicShape
from metrics_agent.modules.tasmota.totals import refuses, should_ask, sum_of
from metrics_agent.modules.tasmota.zigbee import names_device
from metrics_agent.topic_filters import covers

__all__ = ["TasmotaModule"]

_BLUETOOTH_BASE: Final = f"/{BLUETOOTH}"

_Read = Callable[[Device, Message], list[Metric]]


@implementer(IModule)
class TasmotaModule(Service):
    """Collects from all Tasmota devices at one broker.

    Args:
        settings: checked ones.
        context: the door to the agent.
    """

    def __init__(self, settings: TasmotaSettings, context: ModuleContext) -> None:
        self._settings = settings
        self._broker = settings.connection_settings()
        self._context = context
        self._log = context.log
        self._original = settings.field_names == "original"
        shapes, filters = user_filters(settings.topics)
        self._registry = Registry(
            DeviceNaming(settings.friendly_name_overrides, self._original), shapes
        )
        self._filters = Filters(context, self._broker, self._on_message, settings.qos)
        self._known = KnownDevices(context, self._registry, self._filters)
        self._wanted = (shapes, filters)
        self._said_full = False
        self._current_device = ""
        self._has_remarks = False
        # Devices come in bursts: one line for all of them.
        self._found = Burst(
            self._log,
            context.reactor,
            "Discovered {count} devices, the first: {first}.",
            one="Discovered device {first}.",
        )
        self._gone = Burst(
            self._log,
            context.reactor,
            "{count} devices were removed, the first: {first}.",
            one="Device {first} was removed.",
        )
        self._meters: dict[str, MeterTable] = {
            name: {key: parse_meter_field(text) for key, text in keys.items()}
            for name, keys in settings.meters.items()
        }
        self._plans = Plans(self._meters)
        self._remarks = Remarks(context)
        self._silence = Silence(settings, context, self._registry)
        self._usual_readers: Mapping[str, _Read] = {
            "SENSOR": self._read_sensor,
            "STATE": self._read_state,
            "LWT": self._read_lwt,
            ZIGBEE: self._read_zigbee,
            "RESULT": self._read_reply,
            "ENERGYTOTAL": self._read_reply,
            "STATUS8": self._read_status_sensor,
            "STATUS10": self._read_status_sensor,
            "STATUS11": self._read_status_state,
            **dict.fromkeys(POWER, self._read_power),
        }
        # Until something was heard; later messages need not be looked at for that.
        self._readers: Mapping[str, _Read] = {
            **self._usual_readers,
            **{name: self._first(self._usual_readers[name]) for name in TELEMETRY},
        }

    def startService(self) -> Deferred[None]:
        """Subscribe, and restore the devices that were known at the last stop.

        All filters go out in one turn, so no telemetry is missed by being later.
        """
        super().startService()
        shapes, filters = self._wanted
        self._context.subscribe(
            self._broker,
            announcement_filter(self._settings.discovery_prefix),
            self._on_config,
            place="discovery",
            announcements=True,
        )
        self._filters.restore()
        for shape in shapes:
            self._filters.add_shape(shape)
        for topic_filter in (BLUETOOTH_FILTER, *filters):
            self._filters.add(topic_filter)
        if self._settings.silent_after:
            self._context.later(self._settings.silent_after, self._look_around, place="look_around")
        return self._known.restore()

    def stopService(self) -> None:
        """Save what has changed."""
        super().stopService()
        self._known.close()
        self._found.flush()
        self._gone.flush()

    # Messages.

    def _on_message(self, message: Message) -> Iterable[Metric]:
        base, _, subtopic = message.topic.rpartition("/")
        device = self._registry.find(base)
        if device is None:
            device = self._stranger(base, subtopic, message)
        return () if device is None else self._read(device, subtopic, message)

    def _stranger(self, base: str, subtopic: str, message: Message) -> Device | None:
        """Return the device, not known so far, of a message; None if no device sends such."""
        if subtopic not in self._readers and not base.endswith(_BLUETOOTH_BASE):
            return None
        if len(message.topic) > TASMOTA_TOPIC_CHARS:
            self._context.drop("topic_too_long")
            self._log.warn(
                "Messages on topics of more than {limit} characters are left out, the first on "
                "{topic}...; no Tasmota device has such a topic.",
                limit=TASMOTA_TOPIC_CHARS,
                topic=f"{message.topic:.80}",
            )
            return None
        # SetOption89: a topic for each device behind a bridge. The bridge is the device.
        behind = names_device(message.payload, base.split("/"))
        bridge = self._registry.bridge(base) if behind else None
        return bridge or self._registry.stranger(base)

    def _read(self, device: Device, subtopic: str, message: Message) -> Iterable[Metric]:
        """Decode a message of a device."""
        reader = self._readers.get(subtopic)
        if reader is None:
            if device.topic != BLUETOOTH:
                return ()
            reader = self._read_bluetooth
        if message.retain and subtopic != "LWT":
            # Stored at the broker, perhaps for days: its time of receipt would be a lie.
            self._context.drop("retained")
            if subtopic in TELEMETRY and self._readers is not self._usual_readers:
                self._heard()
            return ()
        self._current_device = device.topic
        try:
            metrics = reader(device, message)
        except PayloadError as error:
            self._drop(error.reason, f"a message on {message.topic}: {error.detail}")
            return ()
        if self._has_remarks:
            self._has_remarks = False
            self._remarks.flush(device.topic)
        return to_original(metrics, device) if self._original else metrics

    def _first(self, reader: _Read) -> _Read:
        def read(device: Device, message: Message) -> list[Metric]:
            self._heard()
            return reader(device, message)

        return read

    def _heard(self) -> None:
        """Note that the broker lets us have telemetry."""
        self._readers = self._usual_readers
        self._silence.heard()

    def _read_sensor(self, device: Device, message: Message) -> list[Metric]:
        document = read_object(message.payload)
        metrics = self._plans.decode(document, device, message.received_ns, self._drop)
        # Only several channels give several points, so most messages skip this.
        if len(metrics) > 1 and self._settings.request_channel_totals:
            self._ask_totals(device, document)
        return metrics

    def _read_bluetooth(self, device: Device, message: Message) -> list[Metric]:
        name = message.topic.rpartition("/")[2]
        document = as_object(read_object(message.payload), name)
        return decode_document(document, device, message.received_ns, self._drop, self._meters)

    def _read_zigbee(self, device: Device, message: Message) -> list[Metric]:
        document = {ZIGBEE: read_object(message.payload)}
        return decode_document(document, device, message.received_ns, self._drop, self._meters)

    def _read_status_sensor(self, device: Device, message: Message) -> list[Metric]:
        document = read_object(message.payload, "StatusSNS")
        return decode_document(document, device, message.received_ns, self._drop, self._meters)

    def _read_state(self, device: Device, message: Message) -> list[Metric]:
        document = read_object(message.payload)
        return decode_state_document(document, device, message.received_ns, self._drop)

    def _read_status_state(self, device: Device, message: Message) -> list[Metric]:
        document = read_object(message.payload, "StatusSTS")
        return decode_state_document(document, device, message.received_ns, self._drop)

    def _read_power(self, device: Device, message: Message) -> list[Metric]:
        # The same comes as a text too, on the same topic.
        return self._read_reply(device, message) if message.payload.startswith(b"{") else []

    def _read_lwt(self, device: Device, message: Message) -> list[Metric]:
        return decode_availability(message.payload, device, message.received_ns, self._drop)

    def _read_reply(self, device: Device, message: Message) -> list[Metric]:
        document = read_object(message.payload)
        if refuses(document, device, self._context.reactor.seconds()):
            device.never_ask = True
            self._log.info(
                "{device} does not know EnergyTotal, so there are no counters of its channels; "
                "Tasmota 9.5.0.5 or newer has it, or SetOption129 1.",
                device=device.topic,
            )
            return []
        return decode_reply(document, device, message.received_ns, self._drop)

    def _ask_totals(self, device: Device, document: Mapping[str, object]) -> None:
        total = sum_of(document.get("ENERGY"))
        now_s = self._context.reactor.seconds()
        if total is None or not should_ask(device, total, now_s):
            return
        if not self._may_command(device):
            self._drop(
                "command_topic",
                f"the question for the counters of its channels, on {device.command_base}: we "
                "publish below cmnd and where a FullTopic of the setting topics says so",
            )
            return
        # Empty: with a payload the command would set the counter.
        if self._context.publish(self._broker, f"{device.command_base}/EnergyTotal", b""):
            device.asked_at_s = now_s
            device.asked_for = total

    def _may_command(self, device: Device) -> bool:
        """Say whether we may publish where a device says that it takes commands.

        We have rights at the broker that whoever announces a device need not have.
        """
        levels = device.topic.count("/") + 1
        return device.command_base.startswith(f"{DEFAULT_PREFIXES[0]}/") or any(
            covers(TopicShape.of(topic, DEFAULT_PREFIXES, levels).command, device.command_base)
            for topic in self._settings.topics
            if is_full_topic(topic)
        )

    # Announcements.

    def _on_config(self, message: Message) -> Iterable[Metric]:
        mac = message.topic.rsplit("/", 2)[1]
        if len(mac) > TASMOTA_NAME_CHARS:
            return self._refuse(mac, PayloadError("topic_too_long", f"{len(mac)} characters"))
        if not message.payload:
            self._remove(mac)
            return ()
        left_out: list[tuple[str, str]] = []
        try:
            config = parse_config(message.payload, lambda *what: left_out.append(what))
        except PayloadError as error:
            return self._refuse(mac, error)
        if other := self._registry.sharing(mac, config):
            self._log.warn(
                "Devices {mac} and {other} have the same topic {topic!r}: their metrics are mixed "
                "until one of them gets another.",
                mac=mac,
                other=other,
                topic=config.topic,
                fold=("mac", "other"),
            )
        announced, previous = self._registry.announced, self._registry.get(mac)
        device = self._registry.discover(mac, config)
        if device is None:
            self._context.drop("too_many_devices")
            self._say_full(mac)
            return ()
        if self._registry.announced > announced:
            self._found.add(device.topic)
        if device is not previous:
            self._known.note_change()
        if not config.deep_sleep:
            self._silence.announced(retained=message.retain)
        self._current_device = device.topic
        for reason, where in left_out:
            self._drop(reason, where)
        self._filters.learn(config.shape, own_replies=config.own_replies)
        return ()

    def _remove(self, mac: str) -> None:
        device = self._registry.remove(mac)
        if device is not None:
            self._gone.add(device.topic)
            self._known.note_change()

    def _refuse(self, mac: str, error: PayloadError) -> tuple[()]:
        self._context.drop(error.reason)
        self._log.warn(
            "The announcement of device {mac} cannot be used: {error}",
            mac=f"{mac:.40}",
            error=str(error),
            fold=("mac", "error"),
        )
        return ()

    def _say_full(self, mac: str) -> None:
        if not self._said_full:
            self._said_full = True
            self._log.warn(
                "{count} devices are known, and there is no room for the announcement of {mac} (at "
                "most {most} devices with {size} bytes each on average). It and others that are "
                "new are ignored until the next start: such devices are collected without their "
                "names.",
                count=len(self._registry),
                mac=mac,
                most=TASMOTA_DEVICES,
                size=TASMOTA_DEVICE_BYTES,
            )

    # What users see in the log.

    def _drop(self, reason: str, where: str) -> None:
        if reason in REASONS:
            self._remarks.add(reason, where)
            self._has_remarks = True
        else:
            self._context.left_out(self._current_device, reason, where)

    def _look_around(self) -> None:
        """Say so when nothing at all was seen; else forget shapes that no device has any more."""
        if self._registry.seen_any or self._readers is self._usual_readers:
            self._filters.remember(self._registry.shapes)
            return
        self._log.warn(
            "No Tasmota device was seen within {seconds:g} s at {broker}. Likely causes: the "
            "devices are at another broker; they do not announce themselves (SetOption19 is 1) "
            "and have another FullTopic than %prefix%/%topic%/ (set topics); the login may not "
            "read {prefix}/# and tele/#.",
            seconds=self._settings.silent_after,
            broker=" or ".join(map(str, self._settings.brokers)),
            prefix=self._settings.discovery_prefix,
        )
