"""Module ``hadiscovery``: what announces itself to Home Assistant, at an MQTT broker."""

from __future__ import annotations

from collections.abc import Sequence

from metrics_agent.interfaces import ModuleKind
from metrics_agent.modules.hadiscovery.config import HadiscoverySettings
from metrics_agent.transports.mqtt.settings import CUSTOM_IGNORED, MqttSettings

__all__ = ["MODULE"]


def _brokers(settings: HadiscoverySettings) -> Sequence[MqttSettings]:
    return (settings.connection_settings(),)


def _filters(settings: HadiscoverySettings) -> Sequence[str]:
    from metrics_agent.modules.hadiscovery.topics import announcement_filters

    return announcement_filters(settings.discovery_prefix)


MODULE = ModuleKind(
    name="hadiscovery",
    settings=HadiscoverySettings,
    service=f"{__name__}.service:HadiscoveryModule",
    brokers=_brokers,
    filters=_filters,
    custom_ignored=CUSTOM_IGNORED,
    quiet_hint=(
        "battery-powered sensors send every hour or less often: "
        "`metrics-agent once --seconds 3700` hears most of them"
    ),
    quiet_s=3600.0,
)
