"""The global settings of a plan, put into force at the start and at each reload."""

from __future__ import annotations

from attrs import fields
from twisted.logger import Logger

from metrics_agent.cardinality import Cardinality
from metrics_agent.config import AgentSettings
from metrics_agent.config.setting import spec_of
from metrics_agent.logs.observer import StderrObserver
from metrics_agent.plan import Plan

__all__ = ["put_into_force"]


def put_into_force(
    plan: Plan,
    start_settings: AgentSettings,
    observer: StderrObserver,
    cardinality: Cardinality,
    log: Logger,
) -> None:
    """Apply the settings that are copied elsewhere, and log the warnings of the file.

    Args:
        plan: what is going to run.
        start_settings: those that are `fixed` stay in force.
        observer: the log.
        cardinality: of the encoder.
        log: the agent's.
    """
    config = plan.config
    settings = config.settings
    levels = {each.name: each.log_level for each in config.modules}
    observer.set_levels(
        settings.log_level, {name: level for name, level in levels.items() if level is not None}
    )
    observer.set_format(settings.log_format)
    cardinality.limit = settings.series_per_device
    for warning in config.warnings:
        log.warn("{warning}", warning=warning, fold=("warning",))
    changed = [
        each.name
        for each in fields(AgentSettings)
        if spec_of(each).fixed
        and getattr(settings, each.name) != getattr(start_settings, each.name)
    ]
    if changed:
        log.warn(
            "Changed settings take effect at the next start of the process: {keys}.",
            keys=", ".join(changed),
        )
