"""`metrics-agent demo`: the agent at work, with a broker and devices of its own."""

from __future__ import annotations

from metrics_agent.process.boot import Process
from metrics_agent.process.exit import ExitCode

__all__ = ["demo"]


def demo(process: Process, for_s: float | None) -> ExitCode:
    raise NotImplementedError
