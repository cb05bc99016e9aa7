"""What answers mean: those of the databases' sources, and of what is in between."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis.strategies import binary, dictionaries, integers, sampled_from
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.http_interface import HttpReply
from metrics_agent.output.http.answers import (
    Accepted,
    Again,
    Partly,
    Rejected,
    TooLarge,
    judge,
)

LINE = "electricity,device=a power=1"
FAILURE = "failure writing points to database"


def said(status: int, body: str = "", **headers: str) -> HttpReply:
    """Make an answer."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpReply(status, body.encode(), named)


class AnswerTests(SynchronousTestCase):
    """One table for each kind of verdict."""

    def test_success(self) -> None:
        """204, or 200 with nothing in it."""
        for answer in (said(204), said(200), said(200, "\n")):
            self.assertEqual(judge(answer, 0), Accepted())

    def test_partly(self) -> None:
        """The rest is stored: the lines that were left out are counted."""
        conflict = 'field type conflict: input field "power" on measurement "e" is type float'
        lines3 = [
            {"original_line": LINE, "line_number": n, "error_message": "bad field"} for n in (1, 3)
        ]
        text3 = "partial write of line protocol occurred"
        for answer, count, reason in (
            # InfluxDB 1
            (said(400, json.dumps({"error": f"partial write: {conflict} dropped=7"})), 7, conflict),
            (
                said(
                    400,
                    json.dumps(
                        {
                            "error": f"partial write: unable to parse '{LINE} x': bad timestamp\n"
                            f"unable to parse 'b': missing fields dropped=0"
                        }
                    ),
                ),
                2,
                "bad timestamp unable to parse 'b'",
            ),
            # InfluxDB 2
            (
                said(
                    422,
                    json.dumps(
                        {
                            "code": "unprocessable entity",
                            "message": "failure writing points to database: partial write: points "
                            "beyond retention policy dropped=3",
                        }
                    ),
                ),
                3,
                "beyond retention policy",
            ),
            # InfluxDB 3
            (said(400, json.dumps({"error": text3, "data": lines3})), 2, f"{text3}: bad field"),
            (said(422, json.dumps({"error": text3, "data": None})), 1, text3),
            # cut at the limit
            (said(400, json.dumps({"error": text3, "data": lines3})[:-15]), 2, text3),
            (said(400, '{"error":"partial write: unable to parse \'x\\u00'), 1, "unable to parse"),
            # InfluxDB 1, a page of a proxy in place of its text
            (said(400, "<html>", x_influxdb_error="partial write: x dropped=2"), 2, "dropped=2"),
        ):
            verdict = judge(answer, 0)
            self.assertIsInstance(verdict, Partly, answer)
            self.assertEqual(verdict.count, count)
            self.assertIn(reason, verdict.reason)

    def test_count(self) -> None:
        """It is what the server has written behind the reason, not what it quotes of a line."""
        conflict = 'field type conflict: input field "x dropped=77" on measurement "m dropped=88"'
        unable = "unable to parse 't x=\"dropped=999999999\" 9z': bad timestamp"
        where = " for database: d dropped for retention policy: r"
        outside = "dropped 3 points outside retention policy - oldest point m,a=dropped\\=9"
        for reason, count in (
            (f"{conflict} is type float dropped=4", 4),
            (f"{conflict} is type float dropped=4{where}", 4),
            (f"{outside} dropped=3{where}", 3),
            (f"{outside} dropped={'9' * 5000}", 1),
            (f"{unable} dropped=0", 1),
            ("unable to parse 'x unable to parse 'y' dropped=7': bad dropped=0", 1),
        ):
            for answer in (
                said(400, json.dumps({"error": f"partial write: {reason}"})),
                said(422, json.dumps({"message": f"{FAILURE}: partial write: {reason}"})),
            ):
                verdict = judge(answer, 0)
                self.assertIsInstance(verdict, Partly)
                self.assertEqual(verdict.count, count, reason)
        unable3 = f"partial write: {unable}\n{unable}\nunable to parse 'u': bad dropped=0"
        self.assertEqual(judge(said(400, json.dumps({"error": unable3})), 0).count, 3)
        listed = '{"original_line":"m x=\\"\\\\\\"error_message\\":","error_message":"e"}'
        cut = f'{{"error":"partial write of line protocol occurred","data":[{listed},{listed},'
        self.assertEqual(judge(said(400, cut), 0).count, 2)

    def test_quoted_line(self) -> None:
        """What a server quotes of a request with a bad line says nothing of what is stored."""
        text = 'text,device=log text="partial write failed" 1'
        partly = '{"error":"partial write: x dropped=1"}'
        for answer in (
            # VictoriaMetrics: from the bad line to the end
            said(400, f'cannot process influx line protocol data: incorrect influx line "{text}"'),
            said(400, f"cannot process influx line protocol data: {partly}"),
            # InfluxDB 1 and 2
            said(400, json.dumps({"error": f"unable to parse '{text}': bad"})),
            said(400, json.dumps({"error": f"unable to parse '{text}': bad"})[:-15]),
            said(400, json.dumps({"error": "unable to parse 'partial write: x dropped=1': bad"})),
            said(400, json.dumps({"code": "invalid", "message": f"unable to parse '{text}': bad"})),
            said(400, json.dumps({"message": f"unable to parse '{FAILURE}: partial write: a': b"})),
            said(400, "{}", x_influxdb_error="unable to parse 'partial write: x': bad"),
            # InfluxDB 3
            said(400, json.dumps({"error": "parsing failed", "data": {"original_line": text}})),
            said(400, json.dumps({"error": "x", "data": [{"error_message": "partial write: x"}]})),
            # others
            said(400, json.dumps({"x": partly, "error": 7})),
            said(400, json.dumps([partly])),
            said(400, json.dumps(partly)),
            said(400, f" {partly[1:]}"),
            said(400, "partial write: x dropped=1"),
        ):
            self.assertIsInstance(judge(answer, 0), Rejected, answer.body)

    def test_rejected(self) -> None:
        """Nothing is stored."""
        for answer, reason in (
            (
                said(400, json.dumps({"error": f"unable to parse '{LINE} x': bad timestamp"})),
                "unable to parse",
            ),
            (
                said(400, json.dumps({"code": "invalid", "message": "unable to parse 'x'"})),
                "unable to parse 'x'",
            ),
            (said(400, 'unsupported path requested: "/writ"'), "unsupported path"),
            (said(400, "cannot process influx line protocol data: x\n"), "cannot process"),
            (said(422, json.dumps({"error": "Adding a new database would exceed"})), "Adding"),
            (said(400), "it answered 400"),
            (said(400, "<html>Bad Request</html>"), "a page of HTML"),
            (said(400, '{"error": 7}'), '{"error": 7}'),
            (said(400, "[" * 5000), "[[["),
            (said(400, '{"a":' * 5000), '{"a":'),
        ):
            verdict = judge(answer, 0)
            self.assertIsInstance(verdict, Rejected, answer)
            self.assertIn(reason, verdict.reason)
            self.assertLess(len(verdict.reason), 210)

    def test_too_large(self) -> None:
        """413."""
        verdict = judge(said(413, json.dumps({"error": "Request Entity Too Large"})), 0)
        self.assertIsInstance(verdict, TooLarge)
        self.assertIn("HTTP 413: Request Entity Too Large", verdict.reason)

    def test_again(self) -> None:
        """What passes, and what the user has to put right; each with its words."""
        for answer, text, user, wait_s in (
            (said(500, '{"error":"timeout"}'), "it answered HTTP 500: timeout", False, 0),
            (said(502, "<html>"), "it answered HTTP 502: a page of HTML", False, 0),
            (said(503, retry_after="17"), "it answered HTTP 503", False, 17),
            (said(429, retry_after="99999"), "it answered HTTP 429", False, 3600),
            (said(503, retry_after="Thu, 01 Jan 1970 00:01:00 GMT"), "HTTP 503", False, 50),
            (
                said(
                    503,
                    retry_after="Thu, 01 Jan 1970 01:01:00 GMT",
                    date="Thu, 01 Jan 1970 01:00:57 GMT",
                ),
                "HTTP 503",
                False,
                3,
            ),
            (said(503, retry_after="Thu Jan  1 00:01:00 1970"), "HTTP 503", False, 50),
            (said(503, retry_after="000000000017"), "it answered HTTP 503", False, 17),
            (said(503, retry_after="soon"), "it answered HTTP 503", False, 0),
            (said(408), "it answered HTTP 408", False, 0),
            (said(401), "check output_settings (HTTP 401)", True, 0),
            (said(403, '{"error":"no"}'), "may not write there", True, 0),
            (said(404, '{"error":"database not found"}'), "HTTP 404: database not found", True, 0),
            (said(405), "it answered HTTP 405", True, 0),
            (said(200, "<html>Welcome"), "answers with a page, not as a database", True, 0),
            (said(206), "not as a database does (HTTP 206)", True, 0),
            (said(301, location="https://u:p@h/write?p=x"), "redirects to 'h/write'", True, 0),
            (said(302), "it redirects (HTTP 302)", True, 0),
        ):
            verdict = judge(answer, 10)
            self.assertIsInstance(verdict, Again, answer)
            self.assertIn(text, verdict.cause.text)
            self.assertEqual(verdict.cause.needs_user_action, user, answer)
            self.assertEqual(verdict.cause.retry_after_s, wait_s, answer)
            self.assertEqual(verdict.cause.kind, f"http_{answer.status}")

    @given(
        integers(100, 599),
        binary(max_size=80),
        dictionaries(
            sampled_from(["retry-after", "location"]), sampled_from(["", "x", "-1", "9e9"])
        ),
    )
    def test_any_answer_has_a_verdict(self, status: int, body: bytes, headers: dict) -> None:
        """Nothing raises, and nothing but 204 and an empty 200 is a success."""
        verdict = judge(HttpReply(status, body, headers), 0)
        if isinstance(verdict, Accepted):
            self.assertTrue(status == 204 or (status == 200 and not body.strip()))
