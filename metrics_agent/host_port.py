"""Hosts and ports as people write them, for the addresses of all transports. Pure."""

from __future__ import annotations

import re
from typing import Final

from metrics_agent.pem import hide_keys

__all__ = [
    "HOST_PORT",
    "NAME",
    "SCHEME",
    "UNPRINTABLE",
    "is_address",
    "read_host",
    "read_port",
    "shown",
]

SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
HOST_PORT: Final = re.compile(
    r"(?:\[(?P<v6>[0-9A-Fa-f:.]+(?:%[0-9A-Za-z_.-]+)?)\]|(?P<host>[^\s:/@\[\]?#\\]+))"
    r"(?::(?P<port>[0-9]{1,5}))?"
)
"""``host``, ``host:port`` or ``[IPv6]:port``; for `read_host` and `read_port`."""

NAME: Final = re.compile(r"([A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?")
"""A name in ASCII that can be looked up, or an IPv4 address."""

UNPRINTABLE: Final = re.compile("[\\x00-\\x20\\x7f-\\x9f]")
_MAX_PORT: Final = 65_535
_MAX_HOST: Final = 253
_SHOWN: Final = 60


def read_host(where: re.Match[str], text: str) -> str:
    """Return the host of a match of `HOST_PORT`, in lower case and without brackets.

    Args:
        where: the match.
        text: as it was written, for the message.

    Raises:
        ValueError: with a sentence that says what was got and what was expected.
    """
    host: str = where["v6"] or where["host"]
    if where["v6"]:
        from ipaddress import AddressValueError, IPv6Address

        try:
            IPv6Address(host)
        except AddressValueError:
            raise ValueError(f"got {shown(text)}, expected an IPv6 address in []") from None
    elif len(host) > _MAX_HOST or not _is_name(host):
        raise ValueError(f"got the host {shown(host)}, expected a name or an IP address")
    return host.lower()


def read_port(text: str | None, default: int) -> int:
    """Return the port of a match of `HOST_PORT`.

    Raises:
        ValueError: with a sentence that says what was got and what was expected.
    """
    if text is None:
        return default
    port = int(text)
    if not 1 <= port <= _MAX_PORT:
        raise ValueError(f"got the port {port}, expected 1 to {_MAX_PORT}")
    return port


def is_address(host: str) -> bool:
    """Return whether a host is an IP address, without brackets: no DNS can point that elsewhere."""
    from ipaddress import ip_address

    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def shown(text: str) -> str:
    """Return a text as an error shows it: quoted, and no more than a piece of a long one."""
    text = hide_keys(text)
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")


def _is_name(host: str) -> bool:
    """Return whether a name can be looked up: its characters, and the lengths of its labels."""
    if host.isascii():
        # The same answer without the codec, which brings tables of all Unicode with it.
        return NAME.fullmatch(host) is not None
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return True
