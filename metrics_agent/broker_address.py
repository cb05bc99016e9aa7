"""Addresses of brokers: a text of the configuration to what an endpoint is made of."""

from __future__ import annotations

from typing import Final, Literal
from urllib.parse import quote, unquote

from attrs import frozen

from metrics_agent.host_port import (
    HOST_PORT,
    SCHEME,
    UNPRINTABLE,
    read_host,
    read_port,
    shown,
)

__all__ = ["BrokerAddress", "Kind", "parse_address"]

Kind = Literal["tcp", "tls", "ws", "wss", "unix"]

_KINDS: Final[dict[str, Kind]] = {
    "tcp": "tcp",
    "mqtt": "tcp",
    "ssl": "tls",
    "tls": "tls",
    "mqtts": "tls",
    "ws": "ws",
    "wss": "wss",
    "unix": "unix",
}
_PORTS: Final[dict[Kind, int]] = {"tcp": 1883, "tls": 8883, "ws": 80, "wss": 443, "unix": 0}
_WEBSOCKETS: Final = frozenset({"ws", "wss"})
_EXPECTED: Final = (
    "host, host:port, or a URL such as tcp://host:1883, tls://host:8883, "
    "ws://host/mqtt, wss://host/mqtt, unix:///path"
)


@frozen
class BrokerAddress:
    """Where a broker listens; ``str()`` gives it back in one form and is fit for a log.

    Attributes:
        kind: how it is spoken to.
        host: a name or an IP address without brackets, lower case; empty for ``unix``.
        port: 1 to 65,535; 0 for ``unix``.
        path: of the WebSocket with its query, or of the Unix socket; otherwise empty.
    """

    kind: Kind
    host: str
    port: int
    path: str = ""

    @property
    def secure(self) -> bool:
        """Whether TLS is spoken on it."""
        return self.kind in {"tls", "wss"}

    @property
    def websocket(self) -> bool:
        """Whether MQTT travels inside a WebSocket."""
        return self.kind in _WEBSOCKETS

    @property
    def url(self) -> str:
        """The address in one form, which `parse_address` reads; a query may hold a token."""
        if self.kind == "unix":
            return f"unix://{quote(self.path)}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.kind}://{host}:{self.port}{self.path}"

    def __str__(self) -> str:
        return f"unix://{self.path}" if self.kind == "unix" else self.url.partition("?")[0]


def parse_address(text: str) -> BrokerAddress:
    """Read the address of a broker.

    Raises:
        ValueError: with a sentence that says what was got and what was expected, and never
            shows a login.
    """
    scheme = SCHEME.match(text)
    kind: Kind = "tcp"
    rest = text
    if scheme:
        if scheme[1].lower() not in _KINDS:
            known = ", ".join(f"{name}://" for name in _KINDS)
            raise ValueError(f"got the scheme {shown(scheme[1])}, expected one of {known}")
        kind = _KINDS[scheme[1].lower()]
        rest = text[scheme.end() :]
    # Before anything is shown, and wherever the "@" is: a password may hold a "/".
    if "@" in rest and not (kind == "unix" and rest.startswith("/")):
        raise ValueError("got a login in the address, use the settings username and password")
    if kind == "unix":
        return _unix(rest)
    authority, slash, path = rest.partition("/")
    if UNPRINTABLE.search(rest):
        raise ValueError(f"got a space or a control character in {shown(text)}")
    where = HOST_PORT.fullmatch(authority)
    if where is None:
        raise ValueError(f"got {shown(text)}, expected {_EXPECTED}")
    if kind not in _WEBSOCKETS and path:
        raise ValueError(f"got the path {shown('/' + path)}, expected none for {kind}://")
    return BrokerAddress(
        kind,
        read_host(where, text),
        read_port(where["port"], _PORTS[kind]),
        _path(kind, slash, path),
    )


def _path(kind: Kind, slash: str, path: str) -> str:
    if kind not in _WEBSOCKETS:
        return ""
    if "#" in path:
        raise ValueError("got a # in the path of a WebSocket, expected none")
    # Without a path: where mosquitto, EMQX, HiveMQ and VerneMQ all answer.
    return slash + path if path else "/mqtt"


def _unix(rest: str) -> BrokerAddress:
    path = unquote(rest)
    if not path.startswith("/") or path == "/" or "\0" in path:
        raise ValueError(
            f"got {shown('unix://' + rest)}, expected unix:// with an absolute path, "
            "such as unix:///run/mosquitto.sock"
        )
    return BrokerAddress("unix", "", 0, path)
