"""What answers of the API mean."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.config import Secret
from metrics_agent.interfaces import HttpReply
from metrics_agent.modules.netatmo.answers import Judgement, NextStep, judge
from tests.modules.netatmo.support import HTML, USAGE, document, error, reply, station

TOKEN = Secret("uid|access-1")
NOW_S = 1_700_000_000.0


def of(answer: HttpReply) -> Judgement:
    """Judge an answer."""
    return judge(answer, TOKEN, NOW_S)


class Judge(SynchronousTestCase):
    """Statuses and codes."""

    def test_devices(self) -> None:
        verdict = of(reply(document(station())))
        self.assertIs(verdict.action, NextStep.USE)
        self.assertEqual(len(verdict.document["body"]["devices"]), 1)
        self.assertNotIn("anna", repr(verdict))

    def test_only_the_token_s_own_faults_cost_a_refresh(self) -> None:
        """Every status with every code: a new token is fetched for these and for no others."""
        renewed = set()
        for status in (200, 301, 400, 401, 403, 404, 406, 418, 429, 500, 502, 503):
            for code in (None, 1, 2, 3, 9, 11, 13, 21, 26, 30, "3"):
                value = {"error": {"code": code}} if code is not None else {}
                if of(reply(value, status)).action is NextStep.RENEW:
                    renewed.add((status, code))
        self.assertEqual(
            renewed,
            {(403, 2), (403, 3)} | {(401, code) for code in (None, 1, 2, 3, 9, 21, 30, "3")},
        )

    def test_table(self) -> None:
        """The table of the vendor's errors."""
        for answer, action, kind, person in (
            (USAGE, NextStep.PAUSE, "usage", False),
            (error(429, 26), NextStep.PAUSE, "usage", False),
            (error(403, 13, "no good scope rights"), NextStep.LEAVE, "scope", True),
            (error(406, 5, "Application is deactivated"), NextStep.LEAVE, "deactivated", True),
            (error(429, 11), NextStep.RETRY, "busy", False),
            (error(403, 11), NextStep.RETRY, "busy", False),
            (reply({}, 429), NextStep.RETRY, "http_429", False),
            (error(404, 9), NextStep.LEAVE, "http_404", True),
            (error(400, 21, "invalid argument"), NextStep.LEAVE, "http_400", True),
            (error(403, 77), NextStep.DOUBT, "forbidden", False),
            (HttpReply(403, b"<html>"), NextStep.DOUBT, "forbidden", False),
            (reply({"error": "invalid_token"}, 403), NextStep.RENEW, "token", False),
            (HTML, NextStep.RETRY, "http_500", False),
            (HttpReply(503, b""), NextStep.RETRY, "http_503", False),
            (HttpReply(406, b""), NextStep.RETRY, "http_406", False),
            (HttpReply(302, b""), NextStep.LEAVE, "redirect", True),
            (reply({"error": {"code": 26}}, 200), NextStep.PAUSE, "usage", False),
        ):
            verdict = of(answer)
            self.assertEqual(
                (verdict.action, verdict.cause.kind, verdict.cause.needs_user_action),
                (action, kind, person),
            )

    def test_no_devices(self) -> None:
        for value, kind in (
            (document(), "no_devices"),
            ({"body": {"devices": None}, "status": "ok"}, "no_devices"),
            ({"body": {}, "status": "ok"}, "no_devices"),
            ({"body": {"errors": [{"code": 6}]}, "status": "ok"}, "body_errors"),
        ):
            verdict = of(reply(value))
            self.assertEqual((verdict.action, verdict.cause.kind), (NextStep.LEAVE, kind))

    def test_unreadable(self) -> None:
        """A good status with a body that is none is tried again, and never shown."""
        for body in (b"", b"<html>uid|access-1", b"[", b"\xff", b"[]", b"null", b'{"body":[]}'):
            verdict = of(HttpReply(200, body))
            self.assertIs(verdict.action, NextStep.RETRY)
            self.assertNotIn("uid", verdict.cause.text)
            self.assertNotIn("html", verdict.cause.text)

    def test_retry_after(self) -> None:
        """A wait that the server asks for is kept, within reason."""
        for text, wait_s in (("120", 120), ("999999", 3600), ("soon", 0), ("-5", 0), ("", 0)):
            answer = HttpReply(503, b"", {"retry-after": text})
            self.assertEqual(of(answer).cause.retry_after_s, wait_s)

    def test_retry_after_a_date(self) -> None:
        """By the server's own clock, or by ours."""
        until = {"retry-after": "Tue, 14 Nov 2023 22:15:00 GMT"}
        by_ours = of(HttpReply(503, b"", until))
        by_its = of(HttpReply(503, b"", {**until, "date": "Tue, 14 Nov 2023 22:14:00 GMT"}))
        self.assertEqual((by_ours.cause.retry_after_s, by_its.cause.retry_after_s), (100.0, 60.0))

    def test_texts(self) -> None:
        """What was answered is shown in one line, bounded, without the token."""
        told = f"Invalid access token {TOKEN.reveal()}\n" + "x" * 1000
        for text in (
            of(error(403, 2, "no access-1")).cause.text,
            of(reply({"error": "access-1"})).cause.text,
        ):
            self.assertNotIn("access-1", text)
            self.assertIn("***", text)
        for answer in (error(403, 2, told), reply({"error": told}, 403)):
            text = of(answer).cause.text
            self.assertIn("Invalid access token ***", text)
            self.assertNotIn("uid", text)
            self.assertNotIn("\n", text)
            self.assertLess(len(text), 150)
        cut = json.dumps({"error": {"code": 2, "message": "x" * 75 + TOKEN.reveal()}}).encode()
        self.assertNotIn("uid", of(HttpReply(403, cut)).cause.text)
