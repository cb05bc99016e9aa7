"""The table `[status]`: where the status page listens, and who may see it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, Literal

from attrs import frozen

from metrics_agent.config.endpoint import endpoint_arguments
from metrics_agent.config.faults import Fault, quote
from metrics_agent.config.secret import Secret
from metrics_agent.config.setting import setting
from metrics_agent.host_port import NAME, shown

__all__ = ["Listen", "StatusSettings", "read_listen"]

_EXPECTED: Final = "tcp:PORT:interface=ADDRESS or unix:PATH, such as tcp:8686:interface=127.0.0.1"
_SHORTEST, _LONGEST = 16, 128
_TOKEN: Final = re.compile(rf"[A-Za-z0-9._~-]{{{_SHORTEST},{_LONGEST}}}")
_FORM: Final = f"{_SHORTEST} to {_LONGEST} letters, digits, dots, dashes, tildes or underscores"
_HINT: Final = "make one with `openssl rand -hex 16`"
_MAX_PORT: Final = 65_535
_MODE: Final = re.compile(r"[0-7]{3,4}")
_OWNER_ONLY: Final = 0o600


@frozen
class Listen:
    """Where the status page listens.

    Attributes:
        kind: of the socket.
        interface: the address of a TCP socket; empty for all of them.
        port: of that; 0 for any that is free.
        path: of a Unix socket.
        mode: of its file.
    """

    kind: Literal["tcp", "unix"]
    interface: str = ""
    port: int = 0
    path: str = ""
    mode: int = _OWNER_ONLY

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches it."""
        from ipaddress import ip_address

        if self.kind == "unix":
            return True
        return self.interface != "" and ip_address(self.interface).is_loopback

    def url(self, port: int | None = None) -> str:
        """Return the address as a browser takes it, of a Unix socket its path.

        Args:
            port: that is listened on; None for the one of the setting.
        """
        if self.kind == "unix":
            return self.path
        host = self.interface or "0.0.0.0"  # noqa: S104 - shown, not bound
        return f"http://{f'[{host}]' if ':' in host else host}:{port or self.port}/"


@frozen
class StatusSettings:
    """Where the status page listens, and who may see it."""

    listen: str = setting(
        default="",
        doc="Where the status page listens, as Twisted describes a server: `tcp:PORT` with "
        r"`:interface=ADDRESS` (IPv6: `'tcp:8686:interface=\:\:1'`), or `unix:PATH` (with "
        "`:mode=660` for a proxy of another user). "
        "Empty: there is no page.",
        example="tcp:8686:interface=127.0.0.1",
    )
    token: Secret | None = setting(
        default=None,
        doc="Whoever wants to see the state needs it: a browser opens `/?token=...` once, a "
        "program sends `Authorization: Bearer ...`. Required where `listen` is not a loopback "
        "address.",
        example="",
    )
    hosts: tuple[str, ...] = setting(
        default=(),
        doc="Names by which browsers and proxies address the page. `localhost` and IP addresses "
        "always work; other names are refused, since any site could point one here.",
        example=["pi.local"],
    )

    @property
    def needs(self) -> tuple[str, ...]:
        """Python modules to import before the page is served."""
        return ("metrics_agent.status.web.page",) if self.listen else ()

    @property
    def needed_token(self) -> str:
        """The token that a reader of the state has to send, in plain text; empty: none."""
        return "" if self.token is None else self.token.reveal()

    def check(self) -> Iterator[Fault]:
        """Yield what is wrong between the settings."""
        yield from self._check_token()
        for index, host in enumerate(self.hosts):
            if not NAME.fullmatch(host):
                expected = "a name alone, without scheme and port"
                yield Fault(f"hosts[{index}]", quote(host), expected)
        if not self.listen:
            return
        try:
            listen = read_listen(self.listen)
        except ValueError as error:
            yield Fault("listen", str(error))
        else:
            if not listen.is_local and not self.needed_token:
                yield Fault(
                    "token",
                    "nothing",
                    f"a token, since {shown(self.listen)} can be reached from other machines",
                    f"{_HINT}, or listen on interface=127.0.0.1",
                )

    def _check_token(self) -> Iterator[Fault]:
        token = self.needed_token
        if token and not _TOKEN.fullmatch(token):
            has_length = _SHORTEST <= len(token) <= _LONGEST
            got = "a text with other characters" if has_length else f"{len(token)} characters"
            yield Fault("token", got, _FORM, _HINT)


def read_listen(text: str) -> Listen:
    """Read the setting `listen`.

    Args:
        text: not empty.

    Raises:
        ValueError: it cannot be used; the text says what was got and what was expected.
    """
    kind, colon, rest = text.partition(":")
    named, unnamed = endpoint_arguments(rest)
    if kind == "tcp" and colon:
        found = _tcp(text, named, unnamed)
    elif kind == "unix" and colon:
        found = _unix(text, named, unnamed)
    else:
        raise ValueError(f"got {shown(text)}, expected {_EXPECTED}")
    if named:
        raise ValueError(f"got {shown(text)}, where {min(named)} has no effect; remove it")
    return found


def _tcp(text: str, named: dict[str, str], unnamed: list[str]) -> Listen:
    port = named.pop("port", "") or (unnamed.pop(0) if unnamed else "")
    interface = named.pop("interface", "")
    if unnamed and "interface=" in text and "::" in text:
        raise ValueError(
            f"got {shown(text)}, expected a backslash before each colon of an IPv6 address, and in "
            r"TOML single quotes around all of it: 'tcp:8686:interface=\:\:1'"
        )
    if unnamed or not port.isascii() or not port.isdecimal():
        raise ValueError(f"got {shown(text)}, expected {_EXPECTED}")
    if int(port) > _MAX_PORT:
        raise ValueError(f"got {shown(text)}, expected a port of at most {_MAX_PORT}")
    if interface:
        from ipaddress import ip_address

        try:
            interface = str(ip_address(interface))
        except ValueError:
            raise ValueError(
                f"got {shown(text)}, expected interface= and an address of this machine, such as "
                r"127.0.0.1 or \:\:1"
            ) from None
    return Listen("tcp", interface=interface, port=int(port))


def _unix(text: str, named: dict[str, str], unnamed: list[str]) -> Listen:
    path = named.pop("address", "") or (unnamed.pop(0) if unnamed else "")
    mode = named.pop("mode", "600")
    if unnamed or not path.startswith("/") or path.endswith("/") or "\0" in path:
        raise ValueError(f"got {shown(text)}, expected unix: and the absolute path of a socket")
    if not _MODE.fullmatch(mode):
        raise ValueError(f"got {shown(text)}, expected mode= and octal digits, such as 660")
    return Listen("unix", path=path, mode=int(mode, 8))
