"""Module ``netatmo``: Netatmo weather stations and Home Coaches, by the vendor's API."""

from __future__ import annotations

from metrics_agent.interfaces import ModuleKind
from metrics_agent.modules.netatmo.config import CUSTOM_IGNORED, NetatmoSettings

__all__ = ["MODULE"]


MODULE = ModuleKind(
    name="netatmo",
    settings=NetatmoSettings,
    service=f"{__name__}.service:NetatmoModule",
    needs=lambda _settings: ("metrics_agent.transports.http", "metrics_agent.transports.tls"),
    custom_ignored=CUSTOM_IGNORED,
    login=f"{__name__}.login:log_in",
)
