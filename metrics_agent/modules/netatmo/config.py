"""Settings of the module ``netatmo``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from types import MappingProxyType
from typing import Final, Literal
from urllib.parse import urlsplit

from attrs import frozen

from metrics_agent.config import Duration, Fault, Secret, setting
from metrics_agent.config.faults import quote

__all__ = ["CUSTOM_IGNORED", "NetatmoSettings"]

CUSTOM_IGNORED: Final[Mapping[str, str]] = MappingProxyType(
    {"hostname": "use redirect_uri, and login_host if the page shall be seen by other machines"}
)
"""Keys of the Go agent's ``custom`` table that mean nothing here, with what to say."""

_MAX_TEXT: Final = 1024
_IPV6: Final = 6
_LOOPBACK: Final = MappingProxyType({4: "127.0.0.1", _IPV6: "[::1]"})


@frozen
class NetatmoSettings:
    """The app that was registered with Netatmo, what to collect, and how to log in."""

    client_id: str = setting(
        doc="Id of the app that you made at https://dev.netatmo.com/apps.",
        example="5f00aa11bb22cc33dd44ee55",
    )
    client_secret: Secret = setting(doc="Secret of that app.")
    refresh_token: Secret | None = setting(
        default=None,
        doc=(
            "A refresh token from the token generator of that page, instead of a login. It is used "
            "once; what comes of it is stored and used until you set another token here."
        ),
    )
    interval: Duration = setting(
        default="5m",
        minimum=60,
        maximum=24 * 3600,
        doc="How often to ask. Stations send every 10 minutes, modules about every 5.",
    )
    timeout: Duration = setting(
        default="30s", minimum=1, maximum=300, doc="How long one request may take as a whole."
    )
    weather_stations: bool = setting(
        default=True, doc="Collect weather stations and their modules (scope read_station)."
    )
    favorites: bool = setting(
        default=False, doc="Collect the stations of others that you marked as favourites too."
    )
    home_coaches: bool = setting(
        default=False, doc="Collect Home Coaches (scope read_homecoach; needs a login with it)."
    )
    friendly_name_overrides: dict[str, str] = setting(
        default={},
        doc="Names by the device's hardware address; they win over those in the account.",
        example={"70:ee:50:0a:0b:0c": "Living room"},
    )
    field_names: Literal["standard", "original"] = setting(
        default="standard",
        doc=(
            "original: climate as the Go agent wrote it: without the tag sensor, humidity, co2 and "
            "noise as integers."
        ),
        choices=("standard", "original"),
    )
    stale_after: Duration = setting(
        default="1h",
        minimum=15 * 60,
        doc="A reading that is older is left out, and its device counts as not online.",
    )
    login_page: bool = setting(
        default=True, doc="Serve a page to log in when a login is needed, and no longer than that."
    )
    login_host: str = setting(
        default="127.0.0.1",
        doc="IP address to serve it at; 0.0.0.0 shows it to all machines that can reach this one.",
    )
    login_port: int = setting(default=9127, minimum=1, maximum=65535, doc="Port of the page.")
    login_timeout: Duration = setting(
        default="15m", minimum=30, maximum=24 * 3600, doc="How long the page stays open."
    )
    redirect_uri: str = setting(
        default="",
        doc=(
            "Where Netatmo sends the browser back to; must be what is registered for the app, if "
            "something is. Empty: http://<login_host>:<login_port>/callback, with 127.0.0.1 for "
            "0.0.0.0 and localhost."
        ),
    )
    pkce: bool = setting(
        default=False, doc="Protect the login with PKCE; for servers that take it."
    )
    api_url: str = setting(
        default="https://api.netatmo.com", doc="The API's address, for a proxy or a test."
    )
    auth_url: str = setting(
        default="", doc="Address of the login, if it is another; empty for that of the API."
    )
    tls_ca: str = setting(
        default="",
        doc="PEM file with the authorities to trust; empty for those of the system.",
        file="authorities",
    )

    @property
    def redirect_address(self) -> str:
        """The redirect address, written out."""
        return self.redirect_uri or f"http://{self._reachable_host()}:{self.login_port}/callback"

    def _reachable_host(self) -> str:
        """Return the IP address that the page is bound to, as a URL writes it.

        Not a name: what `localhost` leads to may belong to another process (RFC 8252, 8.3).
        """
        try:
            address = ip_address(self.login_host)
        except ValueError:
            return _LOOPBACK[4]
        if address.is_unspecified:
            return _LOOPBACK[address.version]
        return f"[{address}]" if address.version == _IPV6 else str(address)

    @property
    def scopes(self) -> tuple[str, ...]:
        """What a login has to allow."""
        wanted = (("read_station", self.weather_stations), ("read_homecoach", self.home_coaches))
        return tuple(scope for scope, is_wanted in wanted if is_wanted)

    def check(self) -> Iterator[Fault]:
        """Yield what is wrong although each setting alone has the right type."""
        yield from self._check_texts()
        if not self.scopes:
            hint = "set weather_stations or home_coaches"
            yield Fault("weather_stations", "nothing to collect", "one kind of device", hint)
        if self.favorites and not self.weather_stations:
            yield Fault("favorites", "true", "weather_stations = true with it")
        for key, url in (("api_url", self.api_url), ("auth_url", self.auth_url)):
            if key == "auth_url" and not url:
                continue
            if not _is_url(url, "https") or urlsplit(url).query:
                yield Fault(key, quote(url), "an address that begins with https://")
        if not _is_url(self.redirect_address, "http", "https"):
            yield Fault(
                "redirect_uri", quote(self.redirect_uri), "an address with http:// or https://"
            )
        if not _is_interface(self.login_host):
            yield Fault(
                "login_host", quote(self.login_host), "an IP address of this machine, or localhost"
            )

    def _check_texts(self) -> Iterator[Fault]:
        if not _is_word(self.client_id):
            yield Fault("client_id", quote(self.client_id), "the id of an app, without blanks")
        # What secrets are must not be shown.
        if not _is_word(self.client_secret.reveal()):
            yield Fault("client_secret", "an empty text or one with blanks", "the app's secret")
        if self.refresh_token is not None and not _is_word(self.refresh_token.reveal()):
            yield Fault("refresh_token", "an empty text or one with blanks", "a refresh token")


def _is_word(text: str) -> bool:
    return 0 < len(text) <= _MAX_TEXT and text.isascii() and text.isprintable() and " " not in text


def _is_url(text: str, *schemes: str) -> bool:
    try:
        parts = urlsplit(text)
        # Reading the port checks it.
        return (
            parts.scheme in schemes
            and bool(parts.hostname)
            and (parts.port is None or parts.port > 0)
            and parts.username is None
            and not parts.fragment
            and _is_word(text)
        )
    except ValueError:
        return False


def _is_interface(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return text == "localhost"
    return True
