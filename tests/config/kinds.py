"""Module kinds that stand in for real ones: every type of setting, and the keys of Go files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from attrs import frozen

from metrics_agent.config import Duration, Fault, Secret, Size, setting
from metrics_agent.module_kind import ModuleKind


@frozen
class Tls:
    """A nested table."""

    ca: str = setting(doc="The CA's file.")
    key: Secret | None = setting(default=None, doc="The key.")
    verify: bool = setting(default=True, doc="Whether the peer is checked.")

    def check(self) -> Iterator[Fault]:
        if self.ca == "none" and self.verify:
            yield Fault("verify", "true", 'false while ca is "none"')


@frozen
class Plain:
    """A setting of every type."""

    name: str = setting(default="n", doc="A string.")
    count: int = setting(default=3, minimum=1, maximum=10, doc="An integer.")
    ratio: float = setting(default=0.5, doc="A number.")
    active: bool = setting(default=False, doc="A boolean.")
    interval: Duration = setting(default="30s", minimum=1, doc="A duration.", zero="off")
    pause: Duration | None = setting(default=None, doc="A duration or nothing.")
    limit: Size = setting(default="1KiB", doc="A size.")
    password: Secret | None = setting(default=None, doc="A secret.")
    keys: tuple[Secret, ...] = setting(default=(), doc="Secrets.")
    broker: str | tuple[str, ...] = setting(default="tcp://localhost", doc="One or more.")
    topics: tuple[str, ...] = setting(default=(), doc="Two | things.")
    mode: Literal["fast", "slow"] = setting(default="fast", doc="A choice.")
    size_class: int = setting(default=1, choices=(1, 2, 4), doc="A choice of numbers.")
    friendly_name_overrides: dict[str, str] = setting(default={}, doc="Names.")
    numbers: list[float] = setting(default=[], doc="Numbers.")
    tls: Tls | None = setting(default=None, doc="A table.")
    login: Secret | tuple[str, ...] | None = setting(default=None, doc="A secret or a list.")

    def check(self) -> Iterator[Fault]:
        if self.name == "both" and self.active:
            yield Fault("active", "true", 'false while name is "both"')


@frozen
class Account:
    """Required settings."""

    client_id: str = setting(doc="Required.")
    client_secret: Secret = setting(doc="Required too.")
    timeout: Duration = setting(default="10s", doc="A duration.")
    interval: Duration = setting(default="5m", doc="A duration.")


@frozen
class Netatmo:
    """The keys of the module of that name."""

    client_id: str = setting(doc="d")
    client_secret: Secret = setting(doc="d")
    timeout: Duration = setting(default="10s", doc="d")
    interval: Duration = setting(default="5m", doc="d")
    home_coaches: bool = setting(default=False, doc="d")
    login_port: int = setting(default=9127, doc="d")
    field_names: str = setting(default="standard", choices=("standard", "original"), doc="d")
    friendly_name_overrides: dict[str, str] = setting(default={}, doc="d")


@frozen
class Tasmota:
    """The keys of the module of that name."""

    broker: str | tuple[str, ...] = setting(default="tcp://localhost:1883", doc="d")
    username: str = setting(default="", doc="d")
    password: Secret | None = setting(default=None, doc="d")
    client_id: str = setting(default="", doc="d")
    keepalive: Duration = setting(default="60s", doc="d")
    friendly_name_overrides: dict[str, str] = setting(default={}, doc="d")
    field_names: str = setting(default="standard", choices=("standard", "original"), doc="d")
    request_channel_totals: bool = setting(default=True, doc="d")
    topics: tuple[str, ...] = setting(default=(), doc="d")
    discovery_prefix: str = setting(default="tasmota/discovery", doc="d")
    timeout: Duration = setting(default="10s", doc="d")


@frozen
class OpenDtu:
    """The keys of the module of that name."""

    url: str = setting(default="", doc="d")
    username: str = setting(default="admin", doc="d")
    password: Secret | None = setting(default=None, doc="d")
    field_names: str = setting(default="standard", choices=("standard", "original"), doc="d")
    friendly_name_overrides: dict[str, str] = setting(default={}, doc="d")


@frozen
class Demo:
    """The keys of the module of that name."""

    interval: Duration = setting(default="10s", doc="d")
    trigger_file: str = setting(default="", doc="d")


def _make(settings: object, context: object) -> object:
    raise AssertionError("the configuration never makes a module")


_KINDS = {
    "plain": ModuleKind("plain", Plain, _make),
    "account": ModuleKind("account", Account, _make, custom_ignored={"hostname": "not needed"}),
    "netatmo": ModuleKind("netatmo", Netatmo, _make, custom_ignored={"hostname": "not needed"}),
    "tasmota": ModuleKind(
        "tasmota",
        Tasmota,
        _make,
        custom_ignored={"keep_alive": "use keepalive", "ping_timeout": "see keepalive"},
    ),
    "opendtu": ModuleKind("opendtu", OpenDtu, _make),
    "demo": ModuleKind("demo", Demo, _make),
}
KNOWN = tuple(_KINDS)


def kinds(name: str) -> ModuleKind | None:
    """Look a kind up; ``broken`` and ``exiting`` stand for modules whose import fails."""
    if name == "broken":
        raise ImportError("no module named oven")
    if name == "exiting":
        raise SystemExit(3)
    return _KINDS.get(name)
