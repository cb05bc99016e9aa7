"""Module ``tasmota``: devices with Tasmota firmware, at an MQTT broker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from metrics_agent.interfaces import ModuleContext, ModuleKind
from metrics_agent.modules.tasmota.config import TasmotaSettings
from metrics_agent.transports.mqtt.settings import CUSTOM_IGNORED, MqttSettings

__all__ = ["MODULE"]


def _make(settings: TasmotaSettings, context: ModuleContext) -> Any:
    from metrics_agent.modules.tasmota.service import TasmotaModule

    return TasmotaModule(settings, context)


def _brokers(settings: TasmotaSettings) -> Sequence[MqttSettings]:
    return (settings.connection_settings(),)


MODULE = ModuleKind(
    name="tasmota",
    settings=TasmotaSettings,
    make=_make,
    brokers=_brokers,
    needs=lambda _settings: (f"{__name__}.service",),
    custom_ignored=CUSTOM_IGNORED,
    quiet_hint=(
        "Tasmota devices send every TelePeriod, 300 s by default: "
        "`metrics-agent once --seconds 310` hears each of them"
    ),
    quiet_s=300.0,
)
