"""What the registry knows of a module before it is made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

from attrs import field, frozen

from metrics_agent.http_interface import Http

if TYPE_CHECKING:
    from metrics_agent.interfaces import ModuleContext
    from metrics_agent.transports.mqtt.settings import MqttSettings

__all__ = ["Collected", "ModuleKind", "named"]

T = TypeVar("T")

Login = Callable[[Any, Path, Any, Callable[..., Http], TextIO, TextIO], Awaitable[bool]]
"""See `ModuleKind.login`."""


@frozen
class Collected:
    """What a module collects at a broker, so that another one does not collect it too.

    Attributes:
        broker: where.
        publishers: names of their software or their makers, in lower case.
        takes: says of a topic, or a filter, whether values come from it.
        module: the name of the module; the plan sets it.
    """

    broker: MqttSettings
    publishers: frozenset[str]
    takes: Callable[[str], bool] = field(eq=False)
    module: str = ""


@frozen
class ModuleKind:
    """What the registry knows of a module; one constant ``MODULE`` in each module's package.

    Attributes:
        name: lower_snake_case, the key under ``[modules]``.
        settings: a frozen attrs class made with ``metrics_agent.config.setting``.
        service: the module's class: ``package.module:Class``, imported when it is needed, or any
            callable. Takes settings and context, and gives a module that is not started. Must do
            no I/O.
        brokers: the brokers whose connections the settings ask for.
        collects: what devices a module with these settings collects, where another module could
            find them too; see `ModuleContext.collected_elsewhere`.
        needs: names of Python modules that ``service`` does not import as it is imported itself,
            and that it will need with these settings. See `all_needs`.
        filters: the filters of topics that the settings have it subscribe to at any broker. An
            output that publishes on one of these topics is refused by `metrics-agent check`.
        login: a function, named as ``service`` is, that guides the user through a login on a
            terminal, for `metrics-agent login`; None for a module without one. Takes the settings,
            the directory of the module's state, the reactor, a maker of HTTP clients as
            `ModuleContext.http` is one, and where to read lines and write text; gives something to
            await that is True if there is a login now.
        quiet_hint: for `metrics-agent once`: how long to wait where devices send seldom.
        quiet_s: a run that was at least as long does not need the hint.
        custom_ignored: keys of the Go agent's ``custom`` table that mean nothing here, with
            what to say about each.
    """

    name: str
    settings: type[Any]
    service: str | Callable[[Any, ModuleContext], Any]
    brokers: Callable[[Any], Sequence[MqttSettings]] = lambda _settings: ()
    collects: Callable[[Any], Sequence[Collected]] = lambda _settings: ()
    needs: Callable[[Any], Sequence[str]] = lambda _settings: ()
    filters: Callable[[Any], Sequence[str]] = lambda _settings: ()
    custom_ignored: Mapping[str, str] = field(factory=dict)
    login: str | Login | None = None
    quiet_hint: str = ""
    quiet_s: float = 0.0

    def make(self, settings: Any, context: ModuleContext) -> Any:
        """Make a module that is not started; may raise anything."""
        return named(self.service)(settings, context)

    def all_needs(self, settings: Any) -> tuple[str, ...]:
        """Return the names of the Python modules that a module with these settings needs.

        They are imported before any module starts, so that none holds up the others, and
        `metrics-agent check` tries them, since packages that they need may be missing.
        """
        own = (self.service.partition(":")[0],) if isinstance(self.service, str) else ()
        return (*own, *self.needs(settings))


def named(thing: str | T) -> T:
    """Return a thing, or import the one that ``package.module:name`` names."""
    if not isinstance(thing, str):
        return thing
    module, _, name = thing.partition(":")
    found: T = getattr(import_module(module), name)
    return found
