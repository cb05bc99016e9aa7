"""What is measured: the agent, and whoever else can be started for the same job."""

from benchmarks.subjects.agent import Agent
from benchmarks.subjects.base import Setup, Subject
from benchmarks.subjects.clients import CLIENTS, ParsingClient
from benchmarks.subjects.command import CommandSubject
from benchmarks.subjects.telegraf import Telegraf

__all__ = ["CLIENTS", "Agent", "CommandSubject", "ParsingClient", "Setup", "Subject", "Telegraf"]
