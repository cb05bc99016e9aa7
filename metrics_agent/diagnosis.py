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
  end of stdin is no request to stop.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from attrs import evolve, field, frozen

from metrics_agent.config import AgentConfig
from metrics_agent.interfaces import Cancellable
from metrics_agent.plan import Plan
from metrics_agent.supervision.counters import CountersByModule
from metrics_agent.topic_filters import inner_filter, valid_filter
from metrics_agent.transports.mqtt.settings import MqttSettings
from metrics_agent.transports.mqtt.topics import Deliver

if TYPE_CHECKING:
    from metrics_agent.transports.mqtt.connection import MqttConnection

__all__ = ["ConnectionProblems", "Diagnosis", "ListenOnly"]

_PREFIX: Final = "metrics-agent"
_RANDOM_BYTES: Final = 4
"""With the prefix and a hyphen 22 characters: MQTT 3.1.1 lets a broker refuse more than 23."""


class ConnectionProblems:
    """What is known of the connections of each module.

    For each address: None while the answer is pending, empty when it works, else a clause that
    says what is wrong.
    """

    def __init__(self) -> None:
        self._problems: dict[str, dict[str, str | None]] = {}
        self._worked: set[str] = set()

    def note(self, module: str, address: str, problem: str | None) -> None:
        """Record the latest about one connection."""
        self._problems.setdefault(module, {})[address] = problem
        if problem == "":
            self._worked.add(module)

    def only_failed(self, module: str) -> bool:
        """Say whether a module has connections and none of them has worked so far."""
        return module in self._problems and module not in self._worked

    def of(self, module: str) -> Mapping[str, str | None]:
        """Return what is known of the connections of a module, by address."""
        return dict(self._problems.get(module, {}))


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
        # An id that is configured stays its beginning, which brokers may have rules for.
        client_id = f"{settings.client_id or _PREFIX}-{os.urandom(_RANDOM_BYTES).hex()}"
        return evolve(settings, client_id=client_id, persistent_session=False, session_expiry=0)

    def _config(self, config: AgentConfig) -> AgentConfig:
        return evolve(config, settings=evolve(config.settings, output=self.output))


class ListenOnly:
    """What a module gets for a connection to a broker: it may listen.

    Args:
        connection: the connection.
    """

    def __init__(self, connection: MqttConnection) -> None:
        self._connection = connection

    def subscribe(
        self,
        topic_filter: str,
        qos: int,
        deliver: Deliver,
        *,
        learned: bool = False,
        announcements: bool = False,
    ) -> Cancellable:
        """Subscribe to the filter as it is without ``$share``.

        Raises:
            ValueError: the filter is invalid.
        """
        plain = topic_filter
        while valid_filter(plain) is None and plain != inner_filter(plain):
            plain = inner_filter(plain)  # once more: a share of a share is one too
        return self._connection.subscribe(
            plain, qos, deliver, learned=learned, announcements=announcements
        )

    def publish(self, _topic: str, _payload: bytes, _qos: int = 0) -> bool:
        """Publish nothing; as if the broker was away."""
        return False
