"""A pair of tokens, and the form in which it is stored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from attrs import frozen

from metrics_agent.config.secret import Secret
from metrics_agent.errors import PayloadError
from metrics_agent.json_payload import loads, number

__all__ = ["Tokens", "fingerprint", "is_token", "read_stored", "write_stored"]

VERSION: Final = 1
_MARGIN_S: Final = 5 * 60
_MARGIN_SHARE: Final = 0.1
_MAX_TOKEN: Final = 4096


@frozen
class Tokens:
    """What a login or a refresh gave; its secrets do not show in a repr.

    Attributes:
        client_id: whose tokens they are: those of one client are worth nothing to another.
        access: shown to the API.
        refresh: good for one refresh.
        obtained_at_s, expires_at_s: of the access token, seconds since the epoch by our clock.
        scopes: what they allow, as far as the server said.
        serial: counts the pairs in a file, so that the later of two is known.
        seed: fingerprint of the configured refresh token that was current when they came, or
            empty: that token is used up.
    """

    client_id: str
    access: Secret
    refresh: Secret
    obtained_at_s: float
    expires_at_s: float
    scopes: tuple[str, ...] = ()
    serial: int = 0
    seed: str = ""

    def has_run_out(self, now_s: float) -> bool:
        """Return whether the access token will not be good for the next requests."""
        lifetime_s = max(0.0, self.expires_at_s - self.obtained_at_s)
        return now_s >= self.expires_at_s - min(_MARGIN_S, lifetime_s * _MARGIN_SHARE)


def fingerprint(secret: Secret) -> str:
    """Return what distinguishes two secrets without giving them away."""
    return hashlib.sha256(secret.reveal().encode()).hexdigest()


def is_token(value: object) -> bool:
    """Return whether a value can be a token: printable ASCII without blanks (RFC 6749, A.12)."""
    return (
        isinstance(value, str)
        and 0 < len(value) <= _MAX_TOKEN
        and value.isascii()
        and value.isprintable()
        and " " not in value
    )


def write_stored(tokens: Tokens) -> bytes:
    """Return the content of a token file."""
    document = {
        "version": VERSION,
        "client_id": tokens.client_id,
        "access_token": tokens.access.reveal(),
        "refresh_token": tokens.refresh.reveal(),
        "obtained_at": tokens.obtained_at_s,
        "expires_at": tokens.expires_at_s,
        "scopes": list(tokens.scopes),
        "serial": tokens.serial,
        "seed": tokens.seed,
    }
    return json.dumps(document, indent=1).encode() + b"\n"


def read_stored(data: bytes) -> Tokens:
    """Read the content of a token file.

    Raises:
        ValueError: it is damaged; the text says where and never shows its content.
    """
    try:
        document = loads(data)
    except PayloadError as error:
        # Its detail shows a piece of the data.
        raise ValueError(f"it is not JSON ({error.reason})") from None
    if not isinstance(document, dict):
        raise ValueError("it holds no JSON object")  # noqa: TRY004 - one kind for the caller
    if number(document.get("version")) != VERSION:
        raise ValueError(f"it is not of version {VERSION}")
    scopes = document.get("scopes")
    if not isinstance(scopes, list) or not all(isinstance(scope, str) for scope in scopes):
        raise ValueError("scopes is not a list of strings")
    return Tokens(
        client_id=_text(document, "client_id"),
        access=_token(document, "access_token"),
        refresh=_token(document, "refresh_token"),
        obtained_at_s=_number(document, "obtained_at"),
        expires_at_s=_number(document, "expires_at"),
        scopes=tuple(scopes),
        serial=int(_number(document, "serial")),
        seed=_text(document, "seed"),
    )


def _text(document: Mapping[str, Any], key: str) -> str:
    value = document.get(key)
    if not isinstance(value, str):
        raise ValueError(f"{key} is not a string")  # noqa: TRY004 - as above
    return value


def _token(document: Mapping[str, Any], key: str) -> Secret:
    value = document.get(key)
    if not is_token(value):
        raise ValueError(f"{key} is not a token")
    return Secret(str(value))


def _number(document: Mapping[str, Any], key: str) -> float:
    value = number(document.get(key))
    if value is None:
        raise ValueError(f"{key} is not a number")
    return value
