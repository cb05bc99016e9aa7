"""Module ``opendtu``: Hoymiles inverters behind OpenDTU or OpenDTU-OnBattery."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from metrics_agent.interfaces import ModuleContext, ModuleKind
from metrics_agent.modules.opendtu.config import CUSTOM_IGNORED, OpenDtuSettings
from metrics_agent.transports.mqtt.settings import MqttSettings

__all__ = ["MODULE"]


def _make(settings: OpenDtuSettings, context: ModuleContext) -> Any:
    from metrics_agent.modules.opendtu.service import OpenDtuModule

    return OpenDtuModule(settings, context)


def _brokers(settings: OpenDtuSettings) -> Sequence[MqttSettings]:
    return () if settings.mqtt is None else (settings.mqtt.connection_settings(),)


def _needs(settings: OpenDtuSettings) -> Sequence[str]:
    return (f"{__name__}.service", *(settings.needs if settings.mqtt is None else ()))


MODULE = ModuleKind(
    name="opendtu",
    settings=OpenDtuSettings,
    make=_make,
    brokers=_brokers,
    needs=_needs,
    custom_ignored=CUSTOM_IGNORED,
)
