"""Module ``opendtu``: Hoymiles inverters behind OpenDTU or OpenDTU-OnBattery."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from metrics_agent.interfaces import Collected, ModuleKind
from metrics_agent.modules.opendtu.config import CUSTOM_IGNORED, OpenDtuSettings
from metrics_agent.transports.mqtt.settings import MqttSettings

__all__ = ["MODULE"]


def _brokers(settings: OpenDtuSettings) -> Sequence[MqttSettings]:
    return () if settings.mqtt is None else (settings.mqtt.connection_settings(),)


def _collects(settings: OpenDtuSettings) -> Sequence[Collected]:
    if settings.mqtt is None:
        return ()
    takes = partial(_takes, settings.mqtt.prefix)
    return (Collected(settings.mqtt.connection_settings(), frozenset({"opendtu"}), takes),)


def _takes(prefix: str, topic: str) -> bool:
    from metrics_agent.modules.opendtu.topics import is_taken

    return is_taken(prefix, topic)


def _needs(settings: OpenDtuSettings) -> Sequence[str]:
    return settings.needs if settings.mqtt is None else ()


def _filters(settings: OpenDtuSettings) -> Sequence[str]:
    return () if settings.mqtt is None else settings.mqtt.filters


MODULE = ModuleKind(
    name="opendtu",
    settings=OpenDtuSettings,
    service=f"{__name__}.service:OpenDtuModule",
    brokers=_brokers,
    collects=_collects,
    needs=_needs,
    filters=_filters,
    custom_ignored=CUSTOM_IGNORED,
)
