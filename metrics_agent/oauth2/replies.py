"""What a token endpoint answers: tokens, or what is wrong and whether the user must act."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from metrics_agent.cause import Cause, CauseError
from metrics_agent.config.secret import Secret
from metrics_agent.errors import PayloadError
from metrics_agent.http_interface import HttpReply
from metrics_agent.json_payload import loads, text_number
from metrics_agent.oauth2.provider import Provider
from metrics_agent.oauth2.quoting import shown
from metrics_agent.oauth2.tokens import Tokens, is_token

__all__ = ["GrantRefused", "read_reply"]

_OK: Final = 200
_LONGEST_LIFETIME_S: Final = 400 * 24 * 3600
_MAX_DEPTH: Final = 8
_MAX_SCOPES: Final = 100
_CLIENT_ERRORS: Final = frozenset({"invalid_client", "unauthorized_client"})
_GRANT_ERRORS: Final = frozenset({"invalid_grant", "redirect_uri_mismatch"})


class GrantRefused(CauseError):  # noqa: N818 - says what is the case
    """The code or refresh token is not accepted: used, revoked, or too old."""


def read_reply(
    reply: HttpReply,
    provider: Provider,
    now_s: float,
    *,
    previous: Secret | None = None,
    others: Iterable[Secret] = (),
) -> Tokens:
    """Read the answer to a code or a refresh token.

    Args:
        reply: of the token endpoint.
        provider: who was asked.
        now_s: seconds since the epoch.
        previous: the refresh token that was sent; it stays where the server gives no other.
        others: what else the server may know and must not get into a text, such as the code that
            was sent or the tokens that it gave before.

    Raises:
        GrantRefused: see there.
        CauseError: anything else: a wrong id or secret of the client, which a login would not
            help, or a server under maintenance.
    """
    document = _document(reply)
    if reply.status != _OK or "error" in document:
        secrets = [provider.client_secret, *others, *_in_document(document)]
        if previous is not None:
            secrets.append(previous)
        raise _fault(reply.status, document, provider, secrets)
    access, refresh = document.get("access_token"), document.get("refresh_token")
    if refresh is None and previous is not None:
        refresh = previous.reveal()
    if not is_token(access) or not is_token(refresh):
        raise CauseError(Cause("no_tokens", f"{provider.name} answered without tokens"))
    lifetime_s = _lifetime_s(document, provider)
    return Tokens(
        client_id=provider.client_id,
        access=Secret(str(access)),
        refresh=Secret(str(refresh)),
        obtained_at_s=now_s,
        expires_at_s=now_s + lifetime_s,
        scopes=_scopes(document.get("scope")),
    )


def _document(reply: HttpReply) -> Mapping[str, Any]:
    """Return the JSON object of a reply, an empty one if it holds none."""
    try:
        document = loads(reply.body, max_depth=_MAX_DEPTH)
    except PayloadError:
        return {}
    return document if isinstance(document, dict) else {}


def _lifetime_s(document: Mapping[str, Any], provider: Provider) -> float:
    for key in ("expires_in", "expire_in"):
        lifetime_s = text_number(document.get(key))
        if lifetime_s is not None and 0 < lifetime_s <= _LONGEST_LIFETIME_S:
            return lifetime_s
    return provider.default_lifetime_s


def _scopes(value: object) -> tuple[str, ...]:
    """Read scopes: a text with blanks (RFC 6749), or a list of texts (Netatmo)."""
    if isinstance(value, str):
        value = value.split()
    if not isinstance(value, list):
        return ()
    return tuple(scope for scope in value[:_MAX_SCOPES] if is_token(scope))


def _in_document(document: Mapping[str, Any]) -> list[Secret]:
    """Return the tokens of an answer that says it is an error."""
    values = (document.get("access_token"), document.get("refresh_token"))
    return [Secret(value) for value in values if isinstance(value, str)]


def _fault(
    status: int, document: Mapping[str, Any], provider: Provider, secrets: list[Secret]
) -> CauseError:
    word = document.get("error")
    if not isinstance(word, str):
        # An object: the answer of an API, such as "too many requests". Or no JSON at all.
        return CauseError(Cause(f"http_{status}", f"{provider.name} answered {status}"))
    description = document.get("error_description")
    # Some servers quote what they refuse.
    detail = shown(description, secrets) if isinstance(description, str) else ""
    named = shown(word, secrets)
    text = f"{provider.name} answered {named!r}" if named else f"{provider.name} answered an error"
    if detail:
        text = f"{text} ({detail!r})"
    if word in _CLIENT_ERRORS:
        text = f"{text}: check client_id and client_secret"
        return CauseError(Cause(word, text, needs_user_action=True))
    if word in _GRANT_ERRORS:
        return GrantRefused(Cause(word, text, needs_user_action=True))
    return CauseError(Cause(named or f"http_{status}", text))
