"""The `output` setting: stdout, a file, or a socket."""

from __future__ import annotations

import re
from typing import Final, Literal

from attrs import frozen

from metrics_agent.errors import OutputError
from metrics_agent.host_port import HOST_PORT, SCHEME, read_host, read_port, shown

__all__ = ["EXPECTED_OUTPUT", "STDOUT", "Target", "needs_tls", "read_output"]

STDOUT: Final = "stdout"

EXPECTED_OUTPUT: Final = (
    "stdout, the absolute path of a file, tcp://host:port, tls://host:port or unix:///path"
)
_DATAGRAMS: Final = frozenset({"udp", "udp4", "udp6", "unixgram", "ip"})
_SCHEMES: Final[dict[str, Literal["tcp", "tls"]]] = {
    "tcp": "tcp",
    "tcp4": "tcp",
    "tcp6": "tcp",
    "tls": "tls",
    "ssl": "tls",
}
_ENDPOINT = re.compile(r"([a-z][a-z0-9]*):(.*)", re.DOTALL)
_ARGUMENT = re.compile(r"((?:\\.|[^:\\])*)(?::|\Z)", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


@frozen
class Target:
    """Where the lines go.

    Attributes:
        kind: what it is; ``endpoint`` is any other client endpoint of Twisted.
        path: of the file or the Unix socket.
        host: of a TCP socket, with or without TLS, without brackets.
        port: of that.
        description: of the endpoint, as Twisted reads it.
    """

    kind: Literal["stdout", "file", "tcp", "tls", "unix", "endpoint"]
    path: str = ""
    host: str = ""
    port: int = 0
    description: str = ""


def read_output(setting: str) -> Target:
    """Read the setting: ``stdout``, a path, a URL as Telegraf writes it, or a Twisted endpoint.

    Raises:
        OutputError: it is none of them; the text says what was got and what was expected.
    """
    if setting == STDOUT:
        return Target("stdout")
    if setting.startswith("/"):
        return Target("file", path=_absolute(setting, setting))
    scheme = SCHEME.match(setting)
    try:
        if scheme:
            return _from_url(scheme[1].lower(), setting[scheme.end() :], setting)
        where = HOST_PORT.fullmatch(setting)
        if where and where["port"] and where["host"] not in {*_SCHEMES, *_DATAGRAMS, "unix"}:
            raise OutputError(f"got {shown(setting)}, expected tcp://{setting} for a TCP socket")
        endpoint = _ENDPOINT.fullmatch(setting)
        if endpoint:
            return _from_description(endpoint[1], endpoint[2], setting)
    except ValueError as error:
        raise OutputError(str(error)) from None
    if setting == "stderr":
        raise OutputError(f"got 'stderr', which is for the log, expected {EXPECTED_OUTPUT}")
    raise OutputError(f"got {shown(setting)}, expected {EXPECTED_OUTPUT}")


def needs_tls(setting: str) -> bool:
    """Return whether the output speaks TLS, for which OpenSSL is loaded."""
    return setting.lower().startswith(("tls:", "ssl:"))


def _from_url(scheme: str, rest: str, setting: str) -> Target:
    if scheme in _DATAGRAMS:
        raise _datagrams(setting)
    if scheme == "unix":
        return Target("unix", path=_absolute(rest, setting))
    if scheme not in _SCHEMES:
        raise OutputError(f"got the scheme {shown(scheme)}, expected {EXPECTED_OUTPUT}")
    if "@" in rest:  # before anything is shown: it may hold a password
        raise OutputError(f"got a login in the address, expected {scheme}://host:port")
    authority, _slash, path = rest.partition("/")
    where = None if path else HOST_PORT.fullmatch(authority)
    return _socket(_SCHEMES[scheme], where, setting)


def _socket(kind: Literal["tcp", "tls"], where: re.Match[str] | None, setting: str) -> Target:
    if where is None or where["port"] is None:
        raise OutputError(f"got {shown(setting)}, expected {kind}://host:port")
    host, port = read_host(where, setting), read_port(where["port"], 0)
    return Target(kind, host=host, port=port)


def _from_description(kind: str, rest: str, setting: str) -> Target:
    """Read the description of a Twisted client endpoint, such as ``tcp:host=a:port=1``."""
    if kind in _DATAGRAMS:
        raise _datagrams(setting)
    where = HOST_PORT.fullmatch(rest)
    if kind in _SCHEMES and where and where["port"]:
        return _socket(_SCHEMES[kind], where, setting)
    named, unnamed = _arguments(rest)
    if kind == "unix":
        path = _absolute(named.pop("path", unnamed[0] if unnamed else ""), setting)
        if not named:
            return Target("unix", path=path)
    elif kind == "ssl":
        raise OutputError(
            f"got {shown(setting)}, which does not check whose certificate it is, "
            "expected tls:host=...:port=..."
        )
    elif kind in {"tcp", "tls"}:
        values = dict(zip(("host", "port"), unnamed, strict=False)) | named
        if not values.get("host") or not values.get("port", "").isdecimal():
            raise OutputError(f"got {shown(setting)}, expected {_SCHEMES[kind]}://host:port")
        read_port(values["port"], 0)
    return Target("endpoint", description=setting)


def _arguments(rest: str) -> tuple[dict[str, str], list[str]]:
    """Split what follows the kind, the way Twisted does: named and unnamed arguments."""
    named: dict[str, str] = {}
    unnamed: list[str] = []
    for part in _ARGUMENT.findall(rest):
        name, equals, value = part.partition("=")
        if equals and name.isidentifier():
            named[name] = _ESCAPED.sub(r"\1", value)
        elif part:
            unnamed.append(_ESCAPED.sub(r"\1", part))
    return named, unnamed


def _absolute(path: str, setting: str) -> str:
    if path == "/":
        raise OutputError(
            f"got {shown(setting)}, a directory, expected the absolute path of a file"
        )
    if not path.startswith("/") or "\0" in path:
        raise OutputError(f"got {shown(setting)}, expected an absolute path")
    return path


def _datagrams(setting: str) -> OutputError:
    return OutputError(
        f"got {shown(setting)}: datagrams are lost without notice, expected tcp://host:port, "
        "tls://host:port or unix:///path, which Telegraf's socket_listener accepts too"
    )
