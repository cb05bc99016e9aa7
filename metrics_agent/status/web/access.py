"""Who may see the status page. Pure.

A page of another site that is open in the same browser can send requests here. Three checks keep it
from the state: the name by which we are addressed (DNS rebinding), where the request comes from,
and the cookie's SameSite. The page itself, which needs no token, is the same for everyone.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

from metrics_agent.host_port import HOST_PORT, is_address

__all__ = ["Access"]

_BEARER: Final = "bearer "
_COOKIE_OF: Final = b"metrics-agent status page"
_OWN_SITES: Final = frozenset({"same-origin", "none"})


class Access:
    """Judges requests.

    Args:
        token: what a client must know; empty: nothing.
        hosts: names by which we may be addressed, beside addresses and localhost.
    """

    def __init__(self, token: str, hosts: Sequence[str]) -> None:
        self._token = token.encode()
        self._hosts = {_plain(host) for host in hosts} | {"localhost"}

    @property
    def needs_token(self) -> bool:
        """Whether there is a token to know."""
        return bool(self._token)

    @property
    def cookie(self) -> str:
        """What a browser is known by; not the token, since it is sent to other ports as well."""
        return hmac.new(self._token, _COOKIE_OF, hashlib.sha256).hexdigest()

    def is_our_name(self, hosts: Sequence[str]) -> bool:
        """Return whether a name by which we are addressed may be ours.

        Args:
            hosts: the headers Host of a request.
        """
        where = HOST_PORT.fullmatch(hosts[0]) if len(hosts) == 1 else None
        if where is None:
            return False
        host = _plain(where["v6"] or where["host"])
        return host in self._hosts or is_address(host)

    def is_from_elsewhere(self, host: str, origin: str | None, fetch_site: str | None) -> bool:
        """Return whether the page of another site has sent a request.

        Args:
            host: the header Host.
            origin: the header Origin.
            fetch_site: the header Sec-Fetch-Site, which browsers send to addresses they trust.
        """
        if fetch_site is not None and fetch_site not in _OWN_SITES:
            return True
        return origin is not None and origin not in {f"http://{host}", f"https://{host}"}

    def fits(self, token: str) -> bool:
        """Return whether a token is the one that is needed."""
        return not self._token or hmac.compare_digest(token.encode(), self._token)

    def knows(self, authorization: str, cookie: str) -> bool:
        """Return whether a client may see the state.

        Args:
            authorization: the header of that name, or empty.
            cookie: ours, or empty.
        """
        if not self._token:
            return True
        start = len(_BEARER)
        if authorization[:start].lower() == _BEARER and self.fits(authorization[start:].strip()):
            return True
        return hmac.compare_digest(cookie.encode(), self.cookie.encode())


def _plain(host: str) -> str:
    return host.lower().removesuffix(".")
