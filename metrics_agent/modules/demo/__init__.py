"""Module ``demo``: a metric every interval, and a fault on demand."""

from __future__ import annotations

from typing import Any

from metrics_agent.interfaces import ModuleContext, ModuleKind
from metrics_agent.modules.demo.config import DemoSettings

__all__ = ["MODULE"]


def _make(settings: DemoSettings, context: ModuleContext) -> Any:
    from metrics_agent.modules.demo.service import DemoModule

    return DemoModule(settings, context)


MODULE = ModuleKind(name="demo", settings=DemoSettings, make=_make)
