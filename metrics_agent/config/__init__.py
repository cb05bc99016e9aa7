"""The configuration: one file becomes frozen typed objects, every fault at once.

Nothing in here imports Twisted.
"""

from metrics_agent.config.agent import AgentSettings, state_directory
from metrics_agent.config.faults import Fault
from metrics_agent.config.load import AgentConfig, ModuleConfig, load
from metrics_agent.config.search import Found, find
from metrics_agent.config.setting import setting
from metrics_agent.config.structure import structure
from metrics_agent.config.types import Duration, Secret, Size

__all__ = [
    "AgentConfig",
    "AgentSettings",
    "Duration",
    "Fault",
    "Found",
    "ModuleConfig",
    "Secret",
    "Size",
    "find",
    "load",
    "setting",
    "state_directory",
    "structure",
]
