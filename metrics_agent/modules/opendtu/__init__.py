"""Module ``opendtu``: Hoymiles inverters behind OpenDTU or OpenDTU-OnBattery."""

from __future__ import annotations

from collections.abc import Sequence

from metrics_agent.interfaces import ModuleKind
from metrics_agent.modules.opendtu.config import CUSTOM_IGNORED, OpenDtuSettings
from metrics_agent.transports.mqtt.settings import MqttSettings

__all__ = ["MODULE"]


def _brokers(settings: OpenDtuSettings) -> Sequence[MqttSettings]:
    return () if settings.mqtt is None else (settings.mqtt.connection_settings(),)


def _needs(settings: OpenDtuSettings) -> Sequence[str]:
    return settings.needs if settings.mqtt is None else ()


MODULE = ModuleKind(
    name="opendtu",
    settings=OpenDtuSettings,
    service=f"{__name__}.service:OpenDtuModule",
    brokers=_brokers,
    needs=_needs,
    custom_ignored=CUSTOM_IGNORED,
)
