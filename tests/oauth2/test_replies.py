"""What a token endpoint answers."""

from __future__ import annotations

import json

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.cause import CauseError
from metrics_agent.config.secret import Secret
from metrics_agent.http_interface import HttpReply
from metrics_agent.oauth2.replies import (
    GrantRefused,
    read_reply,
)
from tests.oauth2.support import PROVIDER, SECRET, START_S, reply

GOOD = {"access_token": "uid|a", "refresh_token": "uid|r", "expires_in": 10800}


class Good(SynchronousTestCase):
    """Answers with tokens."""

    def test_as_the_document_has_it(self) -> None:
        """Netatmo's form: scope is a list, the lifetime is there twice."""
        found = read_reply(
            reply({**GOOD, "scope": ["read_station"], "expire_in": 10800}), PROVIDER, START_S
        )
        self.assertEqual((found.access.reveal(), found.refresh.reveal()), ("uid|a", "uid|r"))
        self.assertEqual(found.scopes, ("read_station",))
        self.assertEqual(found.expires_at_s, START_S + 10800)
        self.assertEqual(found.client_id, "client")

    def test_as_the_rfc_has_it(self) -> None:
        """The scope is a text, and there may be no new refresh token."""
        document = {"access_token": "a", "token_type": "Bearer", "scope": "one two"}
        found = read_reply(reply(document), PROVIDER, START_S, previous=Secret("old"))
        self.assertEqual(found.scopes, ("one", "two"))
        self.assertEqual(found.refresh.reveal(), "old")

    def test_lifetimes(self) -> None:
        """Of a lifetime that makes no sense, the other key or the usual one counts."""
        for document, lifetime_s in (
            ({"expires_in": "7200"}, 7200),
            ({"expires_in": None, "expire_in": 60}, 60),
            ({"expires_in": 0}, 10800),
            ({"expires_in": -5}, 10800),
            ({"expires_in": True}, 10800),
            ({"expires_in": 1e300}, 10800),
            ({"expires_in": [1]}, 10800),
        ):
            found = read_reply(reply({**GOOD, "expires_in": None, **document}), PROVIDER, 0.0)
            self.assertEqual(found.expires_at_s, lifetime_s, document)

    def test_odd_scopes(self) -> None:
        for scope in (None, 5, {}, [[], 5, "a b"]):
            self.assertEqual(read_reply(reply({**GOOD, "scope": scope}), PROVIDER, 0).scopes, ())


class Bad(SynchronousTestCase):
    """Answers without."""

    def fault(self, answer: HttpReply, kind: type[CauseError]) -> CauseError:
        fault = self.assertRaises(CauseError, read_reply, answer, PROVIDER, 0.0)
        self.assertIs(type(fault), kind, fault)
        return fault

    def test_refused(self) -> None:
        """A refused token needs a user, and so does a wrong client: not the same one."""
        for word in ("invalid_grant", "redirect_uri_mismatch"):
            fault = self.fault(reply({"error": word}, 400), GrantRefused)
            self.assertEqual(str(fault), f"Service answered '{word}'")
            self.assertTrue(fault.cause.needs_user_action)
        for status in (400, 401):
            fault = self.fault(reply({"error": "invalid_client"}, status), CauseError)
            self.assertIn("check client_id and client_secret", str(fault))

    def test_refused_with_status_200(self) -> None:
        self.fault(reply({"error": "invalid_grant"}), GrantRefused)

    def test_nobody_is_needed(self) -> None:
        """Everything else may be over soon, whatever its status is."""
        html = b"<html><body>invalid_grant" + b"x" * 10_000
        for status in (200, 400, 403, 404, 406, 429, 500, 502, 503):
            for body in (b"", html, b"{", b"[]", b"null", b"\xff", b'{"error":{"code":26}}'):
                fault = self.fault(HttpReply(status, body), CauseError)
                self.assertFalse(fault.cause.needs_user_action)
                self.assertNotIn("html", str(fault))
        self.fault(reply({"error": "temporarily_unavailable"}, 503), CauseError)

    def test_tokens_that_are_none(self) -> None:
        for key in ("access_token", "refresh_token"):
            for value in ("", None, 5, [], {}, "a\r\nX-Injected: b", "a b"):
                self.fault(reply({**GOOD, key: value}), CauseError)

    def test_nothing_secret_in_the_text(self) -> None:
        """A server that quotes what it refuses does not get it into the log."""
        logged = f"bad token uid|r0 for {SECRET}"
        document = {"error": "invalid_grant", "error_description": logged}
        fault = self.assertRaises(
            GrantRefused, read_reply, reply(document, 400), PROVIDER, 0, previous=Secret("uid|r0")
        )
        self.assertEqual(str(fault), "Service answered 'invalid_grant' ('bad token *** for ***')")
        long = json.dumps({"error": "x" * 500, "error_description": "\n" * 500}).encode()
        fault = self.fault(HttpReply(400, long), CauseError)
        self.assertLess(len(str(fault)), 400)
        self.assertNotIn("\n", str(fault))

    def test_every_secret_everywhere(self) -> None:
        """The word of a fault is foreign text too, and all that the server knows is secret."""
        secrets = [Secret("uid|access-of-before"), Secret("c0de-of-a-login")]
        new = {"access_token": "uid|new-access-token", "refresh_token": "uid|new-refresh-token"}
        for leak in (
            SECRET,
            SECRET.upper(),
            "uid|refresh-of-before",
            "refresh-of-before",
            "uid%7Crefresh-of-before",
            "access-of-before",
            "c0de-of-a-login",
            "new-access-token",
            "uid|new-refresh-token",
        ):
            for document in (
                {"error": f"{leak} is used", "error_description": f"it is {leak}!"},
                {"error": f"{leak} is used", **new},
                {"error": "x" * 75 + leak, "error_description": "y" * 70 + leak},
            ):
                fault = self.assertRaises(
                    CauseError,
                    read_reply,
                    reply({**document, **new}),
                    PROVIDER,
                    0.0,
                    previous=Secret("uid|refresh-of-before"),
                    others=secrets,
                )
                for text in (str(fault), fault.cause.kind):
                    for piece in (leak, leak[:5], leak[-5:]):
                        self.assertNotIn(piece.lower(), text.lower(), document)
        fault = self.fault(reply({"error": f"{SECRET} is used"}), CauseError)
        self.assertEqual(str(fault), "Service answered '*** is used'")

    def test_short_secrets(self) -> None:
        """Of a text with a short secret in it nothing is quoted: the gaps would show it."""
        provider = evolve(PROVIDER, client_secret=Secret("ab"))
        document = {"error": "tab is used", "error_description": "no such secret: ab"}
        fault = self.assertRaises(CauseError, read_reply, reply(document, 400), provider, 0.0)
        self.assertEqual((str(fault), fault.cause.kind), ("Service answered an error", "http_400"))
        document = {"error": "invalid_grant", "error_description": "it is used"}
        fault = self.assertRaises(GrantRefused, read_reply, reply(document, 400), provider, 0.0)
        self.assertEqual(str(fault), "Service answered 'invalid_grant' ('it is used')")
