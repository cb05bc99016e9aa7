"""Addresses of WebSockets: a text of the configuration to what an endpoint is made of."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from attrs import frozen

from metrics_agent.host_port import (
    HOST_PORT,
    SCHEME,
    UNPRINTABLE,
    read_host,
    read_port,
    shown,
)

__all__ = ["WebSocketAddress", "parse_address"]

_SECURE: Final = {"ws": False, "http": False, "wss": True, "https": True}
_PORTS: Final = {False: 80, True: 443}
# What may stand in a target as it is; the rest is written with percent signs.
_KEPT_IN_TARGET: Final = "/?:@!$&'()*+,;=%-._~"


@frozen
class WebSocketAddress:
    """Where a WebSocket is; ``str()`` is fit for a log.

    Attributes:
        secure: TLS is spoken there.
        host: a name or an IP address without brackets, lower case.
        port: 1 to 65,535.
        target: path with its query, as it is sent.
    """

    secure: bool
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """Host and port as the header ``Host`` has them: a standard port is left out."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.secure] else f"{host}:{self.port}"

    def __str__(self) -> str:
        # A query may hold a token.
        path = self.target.partition("?")[0]
        return f"{'wss' if self.secure else 'ws'}://{self.authority}{path}"


def parse_address(text: str, default_path: str = "/") -> WebSocketAddress:
    """Read ``ws://``, ``wss://``, ``http://`` or ``https://host:port/path``, or only a part.

    Args:
        text: as it was written; without a scheme it is ``ws://``.
        default_path: where none is written.

    Raises:
        ValueError: with a sentence that says what was got and what was expected, and never
            shows a login.
    """
    scheme = SCHEME.match(text)
    name = scheme[1].lower() if scheme else "ws"
    rest = text[scheme.end() :] if scheme else text
    if name not in _SECURE:
        known = ", ".join(f"{each}://" for each in _SECURE)
        raise ValueError(f"got the scheme {shown(name)}, expected one of {known}")
    # Before anything is shown, and wherever the "@" is: a password may hold a "/".
    if "@" in rest.partition("?")[0]:
        raise ValueError("got a login in the address, use the settings username and password")
    if UNPRINTABLE.search(rest):
        raise ValueError(f"got a space or a control character in {shown(text)}")
    end = min(at for mark in "/?#" if (at := f"{rest}{mark}".find(mark)) >= 0)
    authority, target = rest[:end], rest[end:]
    where = HOST_PORT.fullmatch(authority)
    if where is None:
        raise ValueError(
            f"got {shown(text)}, expected a URL such as http://host:port{default_path}"
        )
    secure = _SECURE[name]
    return WebSocketAddress(
        secure,
        read_host(where, text),
        read_port(where["port"], _PORTS[secure]),
        _target(target, default_path),
    )


def _target(text: str, default_path: str) -> str:
    if "#" in text:
        raise ValueError("got a # in the address, expected none")
    path, mark, query = text.partition("?")
    if path in {"", "/"}:
        path = default_path
    return quote(path + mark + query, safe=_KEPT_IN_TARGET)
