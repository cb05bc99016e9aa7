"""A configuration made ready to run: pure, so that a reload can look before it leaps."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import evolve, frozen

from metrics_agent.config import AgentConfig, Fault, ModuleConfig
from metrics_agent.config.faults import join, quote
from metrics_agent.config.output import read_output
from metrics_agent.module_kind import Collected, ModuleKind
from metrics_agent.output.mqtt.settings import OUTPUT, broker_settings
from metrics_agent.topic_filters import covers, inner_filter
from metrics_agent.transports.mqtt.client_id import client_id
from metrics_agent.transports.mqtt.settings import MqttSettings, mqtt_tables

__all__ = ["ModulePlan", "Plan", "build"]


@frozen
class ModulePlan:
    """One enabled module whose settings are right.

    Attributes:
        name: of the module, ``tasmota`` or ``tasmota:garage``.
        kind: what makes it.
        settings: an instance of ``kind.settings``.
        brokers: the connections it uses.
        needs: Python modules to import before it starts.
        collects: see `ModuleKind.collects`.
    """

    name: str
    kind: ModuleKind
    settings: object
    brokers: tuple[MqttSettings, ...]
    needs: tuple[str, ...] = ()
    collects: tuple[Collected, ...] = ()


@frozen
class Plan:
    """What shall run.

    Attributes:
        config: what it was built from.
        modules: the enabled modules that can run, in the order of the file.
        faulty: the enabled modules that cannot, each with its faults.
    """

    config: AgentConfig
    modules: tuple[ModulePlan, ...]
    faulty: tuple[tuple[str, tuple[Fault, ...]], ...]

    @property
    def connections(self) -> tuple[tuple[str, MqttSettings], ...]:
        """The connections of all modules: the name of each module with each of its brokers."""
        return tuple((module.name, broker) for module in self.modules for broker in module.brokers)

    @property
    def needs(self) -> tuple[str, ...]:
        """All Python modules to import before the modules start."""
        of_modules = (name for module in self.modules for name in module.needs)
        return (*of_modules, *self.config.settings.status.needs)

    def collected_elsewhere(self, name: str, broker: MqttSettings) -> tuple[Collected, ...]:
        """Return what the modules beside one of that name collect at a broker."""
        addresses = set(broker.brokers)
        return tuple(
            each
            for module in self.modules
            if module.name != name
            for each in module.collects
            if not addresses.isdisjoint(each.broker.brokers)
        )

    @property
    def faults(self) -> tuple[Fault, ...]:
        """All faults of enabled modules."""
        return tuple(fault for _name, faults in self.faulty for fault in faults)

    @property
    def nothing_can_run(self) -> bool:
        """Modules are enabled, and none of them is right."""
        return bool(self.faulty) and not self.modules


def build(config: AgentConfig) -> Plan:
    """Make the plan of a configuration; a module that cannot be planned is a faulty one."""
    modules: list[ModulePlan] = []
    faulty: list[tuple[str, tuple[Fault, ...]]] = []
    output = read_output(config.settings.output)
    taken: dict[str, str] = {}
    if output.broker is not None:
        broker = broker_settings(output, config.settings.output_settings)
        taken[client_id(broker, "", "", OUTPUT)] = OUTPUT
    for module in config.modules:
        if not module.enabled:
            continue
        planned = _plan_module(module, output.topic)
        if isinstance(planned, ModulePlan):
            shared = tuple(map(config.lines.locate, _shared_ids(planned, taken)))
            if shared:
                faulty.append((module.name, shared))
            else:
                modules.append(planned)
        else:
            faulty.append((module.name, tuple(planned)))
    return Plan(config=config, modules=tuple(modules), faulty=tuple(faulty))


def _plan_module(module: ModuleConfig, topic: str) -> ModulePlan | Iterator[Fault]:
    """Plan a module.

    Args:
        module: enabled.
        topic: that the output publishes to; empty where the output is not a broker.
    """
    if module.faults or module.kind is None:
        return iter(module.faults)
    try:
        brokers = tuple(module.kind.brokers(module.settings))
        hash(brokers)
        needs = [*module.kind.all_needs(module.settings)]
        collects = tuple(
            evolve(each, module=module.name) for each in module.kind.collects(module.settings)
        )
        # Only then, since it may import a module's code.
        filters = module.kind.filters(module.settings) if topic else ()
        wanted = [each for each in filters if covers(inner_filter(each), topic)]
        wrong = [each for each in brokers if not isinstance(each, MqttSettings)]
        if not wrong:
            needs += [name for broker in brokers for name in broker.needs]
    except BaseException as error:
        # A module of another package may do anything in here; it must not reach the others.
        return iter((_wrong_brokers(module, f"{type(error).__name__}: {error}"),))
    if wrong:
        return iter((_wrong_brokers(module, f"a {type(wrong[0]).__name__}"),))
    if wanted:
        return iter((_own_topic(module, wanted[0], topic),))
    return ModulePlan(
        name=module.name,
        kind=module.kind,
        settings=module.settings,
        brokers=brokers,
        needs=tuple(needs),
        collects=collects,
    )


def _own_topic(module: ModuleConfig, topic_filter: str, topic: str) -> Fault:
    """Return the fault of a module that would take the lines of the output for messages.

    Whatever the broker: one broker has many names, and a topic is easily changed.
    """
    return Fault(
        "output",
        f"the topic {quote(topic)}, which module {module.name} reads: it subscribes to "
        f"{quote(topic_filter)}",
        "a topic that no module reads",
        "change one of them",
    )


def _shared_ids(module: ModulePlan, taken: dict[str, str]) -> Iterator[Fault]:
    """Yield a fault for each client id that another connection has, and note those it takes.

    A broker ends the connection of a client when another comes with its id.

    Args:
        module: the module.
        taken: by client id, the module that has it; those of this module are added if all are free.
    """
    own: dict[str, str] = {}
    shared = False
    for broker in dict.fromkeys(each.connection_settings() for each in module.brokers):
        # The host is the same for all of them.
        name = client_id(broker, "", "", module.name)
        if name in taken or name in own:
            shared = True
            yield _shared_id(module, broker, taken.get(name, module.name))
        own[name] = module.name
    if not shared:
        taken |= own


def _shared_id(module: ModulePlan, broker: MqttSettings, other: str) -> Fault:
    path = join("modules", module.name)
    tables = [name for name, _ in mqtt_tables(module.settings)]
    if len(tables) == 1:
        path = join(join(path, tables[0]) if tables[0] else path, "client_id")
    if other == OUTPUT:
        got = f"{quote(broker.client_id)}, which output_settings has too"
    elif other != module.name:
        got = f"{quote(broker.client_id)}, which module {other} has too"
    elif broker.client_id:
        got = f"{quote(broker.client_id)} for two connections"
    else:
        got = f"two connections to {broker.brokers[0]} without one"
    hint = "or remove it" if broker.client_id else "set one"
    return Fault(path, got, "a client id of its own for each connection", hint)


def _wrong_brokers(module: ModuleConfig, got: str) -> Fault:
    return Fault(f"modules.{module.name}", got, "settings that name its brokers")
