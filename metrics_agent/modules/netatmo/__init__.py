"""Module ``netatmo``: Netatmo weather stations and Home Coaches, by the vendor's API."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TextIO

from metrics_agent.interfaces import ModuleContext, ModuleKind
from metrics_agent.modules.netatmo.config import CUSTOM_IGNORED, NetatmoSettings

__all__ = ["MODULE"]


def _make(settings: NetatmoSettings, context: ModuleContext) -> Any:
    from metrics_agent.modules.netatmo.service import NetatmoModule

    return NetatmoModule(settings, context)


def _login(
    settings: NetatmoSettings, directory: Path, reactor: Any, lines: TextIO, out: TextIO
) -> Any:
    from metrics_agent.modules.netatmo.login import log_in

    return log_in(settings, directory, reactor, lines, out)


MODULE = ModuleKind(
    name="netatmo",
    settings=NetatmoSettings,
    make=_make,
    needs=lambda _settings: ("metrics_agent.transports.tls", f"{__name__}.service"),
    custom_ignored=CUSTOM_IGNORED,
    login=_login,
)
