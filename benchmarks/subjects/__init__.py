"""What is measured: the agent, and whoever else can be started for the same job."""

from benchmarks.subjects.agent import BEFORE, Agent
from benchmarks.subjects.base import Setup, Subject
from benchmarks.subjects.clients import CLIENTS, ParsingClient
from benchmarks.subjects.command import CommandSubject
from benchmarks.subjects.floors import FLOORS, Floor
from benchmarks.subjects.telegraf import Telegraf

__all__ = [
    "BEFORE",
    "CLIENTS",
    "FLOORS",
    "Agent",
    "CommandSubject",
    "Floor",
    "ParsingClient",
    "Setup",
    "Subject",
    "Telegraf",
]
