"""Module ``demo``: a metric every interval, and a fault on demand."""

from __future__ import annotations

from metrics_agent.module_kind import ModuleKind
from metrics_agent.modules.demo.config import DemoSettings

__all__ = ["MODULE"]


MODULE = ModuleKind(name="demo", settings=DemoSettings, service=f"{__name__}.service:DemoModule")
