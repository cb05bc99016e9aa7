"""Who may use the login page: only who has read the log. Pure.

The address in the log holds a random token. The first button that is pressed on a page opened by it
uses it up, and the browser is known by a cookie from then on. Looking at the page uses nothing
up, since programs that make previews of addresses look too.

A page of another site that is open in the same browser can send requests here. It knows neither
token nor cookie, and three checks keep it from using the browser's: the name by which we are
addressed (DNS rebinding), the origin of a form, and the cookie's SameSite.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final
from urllib.parse import SplitResult, urlsplit

from metrics_agent.host_port import is_address

__all__ = ["Gate", "HostMatch"]

_LOCAL_NAME: Final = "localhost"


class HostMatch(Enum):
    """How the name by which a browser addresses us relates to the one of the redirect address."""

    OURS = "ours"
    ALIAS = "alias"
    """Leads here too, but the cookie would not come along."""

    FOREIGN = "foreign"
    """A name that another party may have pointed here."""


class Gate:
    """Lets one browser in.

    Args:
        redirect_uri: where the service sends the browser to.
        port: where the page listens.
        random_text: gives texts that cannot be guessed.

    Attributes:
        origin: scheme, host and port of the redirect address.
    """

    def __init__(
        self,
        redirect_uri: str,
        port: int,
        random_text: Callable[[], str] = secrets.token_urlsafe,
    ) -> None:
        parts = urlsplit(redirect_uri)
        self.origin = f"{parts.scheme}://{parts.netloc}"
        self._netloc = parts.netloc.lower()
        # Otherwise a proxy is in between, which may address us as it likes, but not by a name.
        self._is_direct = _is_literal(parts) and (parts.port or 80) == port
        self._random_text = random_text
        self._token = random_text()
        self._is_used = False
        self._browser = ""

    @property
    def is_secure(self) -> bool:
        """Whether the browser comes by https."""
        return self.origin.startswith("https:")

    def address(self, token: str = "") -> str:
        """Return the address of the first page, with a token if there is one."""
        return f"{self.origin}/?token={token}" if token else f"{self.origin}/"

    @property
    def first_address(self) -> str:
        """The address to log: it lets one browser in."""
        return self.address(self._token)

    def place(self, hosts: Sequence[str]) -> HostMatch:
        """Judge the Host headers of a request."""
        if len(hosts) != 1:
            return HostMatch.FOREIGN
        if hosts[0].lower() == self._netloc:
            return HostMatch.OURS
        try:
            parts = urlsplit(f"http://{hosts[0]}")
            known = parts.netloc == hosts[0] and parts.username is None and _is_literal(parts)
        except ValueError:
            known = False
        if not known:
            return HostMatch.FOREIGN
        return HostMatch.ALIAS if self._is_direct else HostMatch.OURS

    def is_own_form(self, host: str, origin: str | None, fetch_site: str | None) -> bool:
        """Return whether a form that was sent is one of our own pages.

        Args:
            host: by which we are addressed.
            origin: the header Origin; ``null`` is what browsers say that hide it.
            fetch_site: the header Sec-Fetch-Site, which browsers send to addresses they trust.
        """
        if fetch_site is not None and fetch_site != "same-origin":
            return False
        if origin is None or origin == "null":
            return fetch_site is not None
        return origin in {self.origin, f"http://{host}", f"https://{host}"}

    def fits(self, token: str) -> bool:
        """Return whether a token is the one of the log, and not used up."""
        return not self._is_used and secrets.compare_digest(token.encode(), self._token.encode())

    def knows(self, browser: str) -> bool:
        """Return whether a cookie is that of the browser that was let in."""
        same = secrets.compare_digest(browser.encode(), self._browser.encode())
        return same and bool(self._browser)

    def enter(self) -> str:
        """Use the token up; return the text by which the browser will be known."""
        self._is_used = True
        self._browser = self._random_text()
        return self._browser


def _is_literal(parts: SplitResult) -> bool:
    """Return whether a host is an IP address or this machine: no DNS can point that elsewhere."""
    host = parts.hostname or ""
    return host == _LOCAL_NAME or is_address(host)
