"""Whose login it is, and the requests of OAuth2's authorisation code flow, formed by oauthlib."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

from attrs import field, frozen

from metrics_agent.config.secret import Secret
from metrics_agent.errors import MissingDependency, how_to_install

try:
    from oauthlib.oauth2 import WebApplicationClient
except ImportError as error:
    raise MissingDependency(
        f"OAuth2 needs a package that is not installed ({error}): {how_to_install('http')}"
    ) from error

__all__ = ["Provider"]

_VERIFIER_LENGTH: Final = 64


@frozen
class Provider:
    """A service that people log in to.

    Attributes:
        name: as people know it.
        authorise_url, token_url: ``https://`` both, oauthlib takes no other.
        client_id, client_secret: of the app that was registered there.
        redirect_uri: where it sends the browser back to; as it was registered.
        scopes: what we ask for.
        pkce: the server takes PKCE (RFC 7636).
        default_lifetime_s: of an access token whose lifetime the server does not state.
    """

    name: str
    authorise_url: str
    token_url: str
    client_id: str
    client_secret: Secret
    redirect_uri: str
    scopes: tuple[str, ...]
    pkce: bool = False
    default_lifetime_s: float = field(default=3600.0, kw_only=True)

    @property
    def authorise_origin(self) -> str:
        """Scheme, host and port of the page where people log in."""
        parts = urlsplit(self.authorise_url)
        return f"{parts.scheme}://{parts.netloc}"

    def make_verifier(self) -> str:
        """Return a new secret for PKCE; empty where the server does not take it."""
        if not self.pkce:
            return ""
        verifier: str = self._client().create_code_verifier(_VERIFIER_LENGTH)
        return verifier

    def authorisation_url(self, state: str, verifier: str) -> str:
        """Return the address where the user allows us what we ask for; no secret in it.

        Args:
            state: comes back in the redirect.
            verifier: of `make_verifier`.
        """
        client = self._client()
        challenge: dict[str, Any] = {}
        if verifier:
            challenge["code_challenge"] = client.create_code_challenge(verifier, "S256")
            challenge["code_challenge_method"] = "S256"
        url: str = client.prepare_request_uri(
            self.authorise_url,
            redirect_uri=self.redirect_uri,
            scope=list(self.scopes),
            state=state,
            **challenge,
        )
        return url

    def code_form(self, code: str, verifier: str) -> bytes:
        """Return the form that turns a code into tokens."""
        body: str = self._client().prepare_request_body(
            code=code,
            redirect_uri=self.redirect_uri,
            client_secret=self.client_secret.reveal(),
            code_verifier=verifier or None,
            scope=list(self.scopes),
        )
        return body.encode()

    def refresh_form(self, refresh: Secret) -> bytes:
        """Return the form that turns a refresh token into new tokens."""
        body: str = self._client().prepare_refresh_body(
            refresh_token=refresh.reveal(),
            client_id=self.client_id,
            client_secret=self.client_secret.reveal(),
        )
        return body.encode()

    def _client(self) -> Any:
        return WebApplicationClient(self.client_id)
