"""Module ``tasmota``: devices with Tasmota firmware, at an MQTT broker."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from metrics_agent.interfaces import Collected, ModuleKind
from metrics_agent.modules.tasmota.config import TasmotaSettings
from metrics_agent.topic_filters import covers
from metrics_agent.transports.mqtt.settings import CUSTOM_IGNORED, MqttSettings

__all__ = ["MODULE"]


def _brokers(settings: TasmotaSettings) -> Sequence[MqttSettings]:
    return (settings.connection_settings(),)


def _collects(settings: TasmotaSettings) -> Sequence[Collected]:
    takes = partial(_takes, settings.topics)
    return (Collected(settings.connection_settings(), frozenset({"tasmota"}), takes),)


def _takes(topics: tuple[str, ...], topic: str) -> bool:
    from metrics_agent.modules.tasmota.filters import user_filters

    shapes, plain = user_filters(topics)
    bases = [
        f"{base}/+"
        for shape in shapes
        for base in (shape.telemetry, shape.status, shape.behind_bridge)
        if base is not None
    ]
    return any(covers(each, topic) for each in (*bases, *plain))


def _filters(settings: TasmotaSettings) -> Sequence[str]:
    from metrics_agent.modules.tasmota.filters import settings_filters

    return tuple(settings_filters(settings.discovery_prefix, settings.topics))


MODULE = ModuleKind(
    name="tasmota",
    settings=TasmotaSettings,
    service=f"{__name__}.service:TasmotaModule",
    brokers=_brokers,
    collects=_collects,
    filters=_filters,
    custom_ignored=CUSTOM_IGNORED,
    quiet_hint=(
        "Tasmota devices send every TelePeriod, 300 s by default: "
        "`metrics-agent once --seconds 310` hears each of them"
    ),
    quiet_s=300.0,
)
