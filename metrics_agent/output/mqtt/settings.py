"""The settings of the connection to the broker of the output."""

from __future__ import annotations

from typing import Final

from attrs import fields

from metrics_agent.config.output import OutputSettings, Target
from metrics_agent.config.tls import TlsSettings
from metrics_agent.transports.mqtt.settings import MqttSettings

__all__ = ["OUTPUT", "broker_settings"]

OUTPUT: Final = "(output)"
"""In place of a module's name in what a client id is made of; no module can have it."""


def broker_settings(target: Target, settings: OutputSettings) -> MqttSettings:
    """Return the settings of the output as those of a connection to a broker.

    Args:
        target: a topic at a broker.
        settings: of the output.
    """
    assert target.broker is not None
    return MqttSettings(
        broker=target.broker.url,
        username=settings.username or None,
        password=settings.password,
        client_id=settings.client_id,
        protocol="5",
        persistent_session=False,
        connect_timeout=settings.timeout,
        **{each.name: getattr(settings, each.name) for each in fields(TlsSettings)},
    )
