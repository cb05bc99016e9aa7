"""The settings of a WebSocket connection."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar, Final, Literal

from attrs import frozen

from metrics_agent.config import Duration, Fault, Secret, Size, setting
from metrics_agent.transports.settings import ConnectionSettings
from metrics_agent.transports.websocket.address import WebSocketAddress, parse_address

__all__ = ["WebSocketSettings"]

_CONTROL: Final = re.compile("[\\x00-\\x1f\\x7f]")


@frozen
class WebSocketSettings(ConnectionSettings):
    """How to reach a WebSocket; base class of the settings of each module that uses one.

    Attributes:
        default_path: where an address names none.
    """

    default_path: ClassVar[str] = "/"

    url: str = setting(
        default="",
        doc=(
            "Address: host, host:port, or a URL that begins with http://, https://, ws:// or "
            "wss://. Without a path it is the one that such a device has."
        ),
        example="http://device.example",
    )
    username: str = setting(default="", doc="Login name.")
    password: Secret | None = setting(default=None, doc="Password, where one is asked for.")
    login: Literal["auto", "basic", "digest"] = setting(
        default="auto",
        doc=(
            "How to log in. auto: as the server asks, Digest before Basic; basic: at once; "
            "digest: nothing else, so that no one on the way can ask for the password itself."
        ),
        choices=("auto", "basic", "digest"),
    )
    connect_timeout: Duration = setting(
        default="10s",
        doc="Time for one attempt to connect, from the name's look-up to the open WebSocket.",
        minimum=0.1,
        maximum=300,
    )
    ping_interval: Duration = setting(
        default="15s", doc="How often the server is asked for a sign of life.", minimum=0.1
    )
    ping_timeout: Duration = setting(
        default="10s",
        doc="A server that has not answered by then is taken for dead.",
        minimum=0.1,
        maximum=300,
    )
    max_message: Size = setting(
        default="256KiB",
        doc="A larger message is dropped and counted. Ten inverters take some 30 KiB.",
        minimum=1024,
        maximum=64 << 20,
    )

    @property
    def address(self) -> WebSocketAddress:
        """Where to connect to.

        Raises:
            ValueError: it is wrong; `check_connection` says so beforehand.
        """
        return parse_address(self.written_address, self.default_path)

    @property
    def written_address(self) -> str:
        """The address as it is written; a subclass may have another setting for it."""
        return self.url

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of our modules that need packages which may be missing, see `ModuleKind`."""
        tls = ("metrics_agent.transports.tls",) if self.address.secure else ()
        return ("metrics_agent.transports.websocket.connection", *tls)

    def check_connection(self) -> Iterator[Fault]:
        """Yield what is wrong although each setting alone is right; paths are the keys."""
        plain = None
        try:
            plain = None if self.address.secure else self.address
        except ValueError as error:
            yield Fault("url", str(error))
        yield from self.check_common("url", "https:// or wss://", plain)
        yield from self._check_login()

    def _check_login(self) -> Iterator[Fault]:
        if self.password is not None and not self.username:
            yield Fault("username", "nothing", "a name", "password is set and needs it")
        if ":" in self.username or _CONTROL.search(self.username):
            yield Fault("username", "a colon or a control character", "a name without them")
        if self.password is not None and _CONTROL.search(self.password.reveal()):
            yield Fault("password", "a control character in it", "a text without them")
