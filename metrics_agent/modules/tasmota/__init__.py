"""Module ``tasmota``: devices with Tasmota firmware, at an MQTT broker."""

from __future__ import annotations

from collections.abc import Sequence

from metrics_agent.interfaces import ModuleKind
from metrics_agent.modules.tasmota.config import TasmotaSettings
from metrics_agent.transports.mqtt.settings import CUSTOM_IGNORED, MqttSettings

__all__ = ["MODULE"]


def _brokers(settings: TasmotaSettings) -> Sequence[MqttSettings]:
    return (settings.connection_settings(),)


MODULE = ModuleKind(
    name="tasmota",
    settings=TasmotaSettings,
    service=f"{__name__}.service:TasmotaModule",
    brokers=_brokers,
    custom_ignored=CUSTOM_IGNORED,
    quiet_hint=(
        "Tasmota devices send every TelePeriod, 300 s by default: "
        "`metrics-agent once --seconds 310` hears each of them"
    ),
    quiet_s=300.0,
)
