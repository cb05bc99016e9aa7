"""The rule for commands that look at a running system: `once`, `check --connect`.

They run the modules themselves, so that what they see is what the agent would see, but change
nothing outside their own process. `assembly.assemble` follows the rule wherever an agent touches
the world, so a module, ours or another's, cannot break it by mistake:

- At a broker: a client id of its own and no session, since a broker hands session and messages of
  an id to whoever comes last; the plain filter instead of ``$share``, which would take messages
  from the group; nothing is published, and there is no will.
- On the disk: modules read and write a private copy of the state directory, which goes away.
- Tokens that can be used once are not used: `ModuleContext.read_only` says so to the modules.
- Metrics go where the command wants them, whatever `output` says; systemd is not notified, and the
  end of stdin is not a request to stop.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from attrs import evolve, field, frozen

from metrics_agent.config import AgentConfig
from metrics_agent.plan import Plan
from metrics_agent.supervision.connection_problems import ConnectionProblems
from metrics_agent.supervision.counters import CountersByModule
from metrics_agent.transports.mqtt.client_id import throwaway_id
from metrics_agent.transports.mqtt.settings import MqttSettings

__all__ = ["Diagnosis"]


@frozen
class Diagnosis:
    """The rule, and what came out.

    Attributes:
        state_dir: used in place of the state directory, see `commands.diagnosing`.
        output: used in place of the setting `output`.
        counters: what the modules collected.
        problems: what is known of their connections.
    """

    state_dir: Path
    output: str
    counters: CountersByModule = field(factory=CountersByModule)
    problems: ConnectionProblems = field(factory=ConnectionProblems)

    def plan(self, plan: Plan) -> Plan:
        """Return the plan to run instead."""
        return evolve(plan, config=self._config(plan.config))

    def loader(self, load: Callable[[], AgentConfig]) -> Callable[[], AgentConfig]:
        """Return what reads the configuration again, for a reload."""
        return lambda: self._config(load())

    def connection_settings(self, settings: MqttSettings) -> MqttSettings:
        """Return the settings to connect with instead: another client id, and no session."""
        name = throwaway_id(settings.client_id)
        return evolve(settings, client_id=name, persistent_session=False)

    def _config(self, config: AgentConfig) -> AgentConfig:
        return evolve(config, settings=evolve(config.settings, output=self.output))
