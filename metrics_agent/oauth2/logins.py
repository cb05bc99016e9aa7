"""Logins under way, and what the address says that a browser was sent back to. Pure.

Each login has a random state, good once and for a few minutes. A login that began in a browser is
bound to it by a second random text, which the browser keeps in a cookie: an address that someone
else made, to have us collect from an account of theirs, is refused.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import parse_qs, urlsplit

from attrs import field, frozen

from metrics_agent.config.secret import Secret
from metrics_agent.errors import MetricsAgentError
from metrics_agent.oauth2.provider import Provider
from metrics_agent.oauth2.quoting import shown

__all__ = ["Granted", "Logins", "RedirectRefused", "Unknown"]

VALID_S: Final = 15 * 60.0
_MOST: Final = 16
_MAX_FIELDS: Final = 32
_MAX_QUERY: Final = 8192


class Unknown(MetricsAgentError):  # noqa: N818 - says what is the case
    """An address that belongs to no login of ours, or to one that is over."""


class RedirectRefused(MetricsAgentError):  # noqa: N818 - says what is the case
    """The person, or the server, said no.

    Args:
        error: the server's word.
        description: its sentence, or empty.
        secrets: what it may know and must not get into the text.
    """

    def __init__(self, error: str, description: str, secrets: Sequence[Secret] = ()) -> None:
        self.error = shown(error, secrets) or "an error"
        self.declined = error == "access_denied"
        super().__init__(shown(description, secrets) or self.error)


@frozen
class Granted:
    """A code that can be turned into tokens, once.

    Attributes:
        code: from the server.
        verifier: the secret of PKCE that belongs to it, or empty.
    """

    code: str = field(repr=False)
    verifier: str = field(repr=False)


@frozen
class _Pending:
    verifier: str = field(repr=False)
    browser: str = field(repr=False)
    until_s: float


class Logins:
    """The logins that began and did not end.

    Args:
        provider: where people are sent to.
        seconds: the reactor's clock.
        random_text: gives texts that cannot be guessed.
    """

    def __init__(
        self,
        provider: Provider,
        seconds: Callable[[], float],
        random_text: Callable[[], str] = secrets.token_urlsafe,
    ) -> None:
        self._provider = provider
        self._seconds = seconds
        self._random_text = random_text
        self._pending: dict[str, _Pending] = {}

    def new_browser(self) -> str:
        """Return the text by which a browser will be known."""
        return self._random_text()

    def begin(self, browser: str = "") -> str:
        """Begin a login and return the address to open.

        Args:
            browser: of `new_browser`; empty for a login that is not bound to one, as on a
                terminal.
        """
        state = self._random_text()
        verifier = self._provider.make_verifier()
        while len(self._pending) >= _MOST:
            del self._pending[next(iter(self._pending))]
        self._pending[state] = _Pending(verifier, browser, self._seconds() + VALID_S)
        return self._provider.authorisation_url(state, verifier)

    def end(self, address: str, browser: str = "") -> Granted:
        """Read the address that a browser was sent back to; its state is used up.

        Args:
            address: whole, or its query.
            browser: what the browser's cookie says.

        Raises:
            Unknown: it is none of ours, or was used, or is too late.
            RedirectRefused: there is no code in it but an error.
        """
        query = _query(address)
        state = query.get("state", "")
        pending = self._pending.get(state)
        if pending is None:
            raise Unknown("this answer belongs to no login that was begun here")
        same = secrets.compare_digest(pending.browser.encode(), browser.encode())
        if pending.browser and not same:
            raise Unknown("this answer belongs to a login that began in another browser")
        del self._pending[state]
        if self._seconds() > pending.until_s:
            raise Unknown("this login took too long")
        if query.get("error"):
            description = query.get("error_description", "")
            sent = map(Secret, (query.get("code", ""), pending.verifier))
            hidden = [self._provider.client_secret, *sent]
            raise RedirectRefused(query["error"], description, hidden)
        if not query.get("code"):
            raise RedirectRefused("no_code", "there is no code in the answer")
        return Granted(query["code"], pending.verifier)


def _query(address: str) -> dict[str, str]:
    """Return the fields of a query; a field that is there twice counts as none."""
    try:
        text = urlsplit(address.strip()).query if "?" in address else address.strip()
        fields = parse_qs(text[:_MAX_QUERY], keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError:
        return {}
    return {name: values[0] for name, values in fields.items() if len(values) == 1}
