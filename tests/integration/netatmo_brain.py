"""What a fake Netatmo knows: the app, its codes and tokens. oauthlib's server side decides.

So that one misreading of OAuth2 does not prove itself, nothing in here is of the agent: which
requests are right, and what is answered, is the library's affair. Ours is what it stores, and
where Netatmo differs from the standard (a scope list, two lifetimes, tokens that rotate).
"""

from __future__ import annotations

import json
import secrets
import threading
from typing import Any

from oauthlib.oauth2 import RequestValidator, WebApplicationServer

__all__ = ["CLIENT_ID", "CLIENT_SECRET", "Brain"]

CLIENT_ID = "5f00aa11bb22cc33dd44ee55"
CLIENT_SECRET = "cl13nt-s3cr3t-0f-the-app"
_SCOPES = frozenset({"read_station", "read_homecoach", "read_thermostat"})


class _App:
    """What oauthlib calls a client."""

    client_id = CLIENT_ID


class _Validator(RequestValidator):
    """Answers oauthlib's questions from what the brain has stored."""

    def __init__(self, brain: Brain) -> None:
        super().__init__()
        self._brain = brain

    def validate_client_id(self, client_id: str, request: Any, *_args: Any, **_more: Any) -> bool:
        request.client = _App()
        return client_id == CLIENT_ID

    def validate_redirect_uri(self, _client_id: str, uri: str, *_args: Any, **_more: Any) -> bool:
        return uri == self._brain.redirect_uri

    def get_default_redirect_uri(self, *_args: Any, **_more: Any) -> str:
        return self._brain.redirect_uri

    def validate_response_type(self, _client_id: str, kind: str, *_args: Any, **_more: Any) -> bool:
        return kind == "code"

    def validate_scopes(
        self, _client_id: str, scopes: list[str], *_args: Any, **_more: Any
    ) -> bool:
        return set(scopes) <= _SCOPES

    def get_default_scopes(self, *_args: Any, **_more: Any) -> list[str]:
        return ["read_station"]

    def client_authentication_required(self, *_args: Any, **_more: Any) -> bool:
        return True

    def authenticate_client(self, request: Any, *_args: Any, **_more: Any) -> bool:
        request.client = _App()
        return request.client_id == CLIENT_ID and request.client_secret == CLIENT_SECRET

    def validate_grant_type(self, _client_id: str, kind: str, *_args: Any, **_more: Any) -> bool:
        return kind in {"authorization_code", "refresh_token"}

    def is_pkce_required(self, *_args: Any) -> bool:
        return self._brain.pkce

    def save_authorization_code(
        self, _client_id: str, code: dict[str, str], request: Any, *_args: Any, **_more: Any
    ) -> None:
        self._brain.codes[code["code"]] = {
            "scopes": list(request.scopes),
            "redirect_uri": request.redirect_uri,
            "challenge": request.code_challenge,
            "method": request.code_challenge_method,
        }

    def validate_code(
        self, _client_id: str, code: str, _client: Any, request: Any, *_args: Any, **_more: Any
    ) -> bool:
        known = self._brain.codes.get(code)
        if known is None:
            return False
        request.scopes = known["scopes"]
        request.user = "anna"
        return True

    def confirm_redirect_uri(
        self, _client_id: str, code: str, uri: str, *_args: Any, **_more: Any
    ) -> bool:
        return self._brain.codes[code]["redirect_uri"] == uri

    def get_code_challenge(self, code: str, _request: Any) -> str | None:
        return self._brain.codes[code]["challenge"]

    def get_code_challenge_method(self, code: str, _request: Any) -> str | None:
        return self._brain.codes[code]["method"]

    def invalidate_authorization_code(
        self, _client_id: str, code: str, *_args: Any, **_more: Any
    ) -> None:
        del self._brain.codes[code]

    def rotate_refresh_token(self, _request: Any) -> bool:
        return True

    def validate_refresh_token(
        self, token: str, _client: Any, request: Any, *_args: Any, **_more: Any
    ) -> bool:
        request.user = "anna"
        return bool(self._brain.pairs) and token == self._brain.pairs[-1]["refresh_token"]

    def get_original_scopes(self, *_args: Any, **_more: Any) -> list[str]:
        return list(self._brain.pairs[-1]["scopes"])

    def save_bearer_token(self, token: dict[str, Any], _request: Any, *_a: Any, **_m: Any) -> None:
        # The newest pair is the only one that is good.
        self._brain.pairs.append(
            {
                "access_token": token["access_token"],
                "refresh_token": token["refresh_token"],
                "scopes": token["scope"].split(),
            }
        )


class Brain:
    """One app and one account.

    Attributes:
        redirect_uri: what is registered for the app.
        pkce: a login must have it.
        lifetime_s: of new access tokens.
        pairs: all that were given, the good one last.
        expired: the current access token has run out.
    """

    def __init__(self, redirect_uri: str) -> None:
        self.lock = threading.RLock()
        self.redirect_uri = redirect_uri
        self.pkce = False
        self.lifetime_s = 10800
        self.codes: dict[str, dict[str, Any]] = {}
        self.pairs: list[dict[str, Any]] = []
        self.expired = False
        self._server = WebApplicationServer(
            _Validator(self),
            token_expires_in=lambda _request: self.lifetime_s,
            token_generator=_new_token,
            refresh_token_generator=_new_token,
        )

    def give_pair(self) -> dict[str, Any]:
        """Make a pair as the token generator on the developers' page does."""
        with self.lock:
            self.pairs.append(
                {
                    "access_token": _new_token(None),
                    "refresh_token": _new_token(None),
                    "scopes": ["read_station", "read_homecoach"],
                }
            )
            return self.pairs[-1]

    def consent_wanted(self, uri: str) -> list[str]:
        """Return the scopes that an authorisation address asks for.

        Raises:
            oauthlib.oauth2.OAuth2Error: the address is wrong.
        """
        scopes, _credentials = self._server.validate_authorization_request(uri)
        return list(scopes)

    def consent(self, uri: str, scopes: list[str]) -> str:
        """Give consent and return where the browser goes."""
        with self.lock:
            headers, _body, _status = self._server.create_authorization_response(
                uri, scopes=scopes, credentials={}
            )
            return str(headers["Location"])

    def token(self, uri: str, body: str, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """Answer at the token endpoint, in Netatmo's words."""
        with self.lock:
            _headers, text, status = self._server.create_token_response(
                uri, "POST", body, headers, {}
            )
            document = json.loads(text)
            if status == 200:
                self.expired = False
                document.pop("token_type")
                document["scope"] = document["scope"].split()
                document["expire_in"] = document["expires_in"]
            elif document["error"] == "invalid_client":
                status = 400
            return status, document

    def refusal(self, authorization: str) -> tuple[int, dict[str, Any]] | None:
        """Return what the API answers to a wrong access token, None for the right one."""
        with self.lock:
            token = authorization.removeprefix("Bearer ")
            if not self.pairs or token != self.pairs[-1]["access_token"]:
                return 403, {"error": {"code": 2, "message": "Invalid access token"}}
            if self.expired:
                return 403, {"error": {"code": 3, "message": "Access token expired"}}
            return None


def _new_token(_request: Any) -> str:
    return f"5f00aa|{secrets.token_hex(16)}"
