"""Answers that are no WebSocket, in words."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.transports.websocket.conversation import HandshakeRefused
from metrics_agent.transports.websocket.refusals import cause_of_refusal

NOW_S = 1_700_000_000.0


class RefusalTests(SynchronousTestCase):
    """One clear line each."""

    def explain(self, status: int, **headers: str):
        pairs = [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()]
        return cause_of_refusal(HandshakeRefused(status, pairs), NOW_S)

    def test_texts(self) -> None:
        """What it is, and whether waiting helps."""
        for status, words, needs_user_action in (
            (200, "answers with a page", True),
            (401, "refuses the user name or password", True),
            (403, "does not let us in", True),
            (404, "no WebSocket at that path", True),
            (408, "refuses the WebSocket", False),
            (418, "refuses the WebSocket", True),
            (429, "too fast", False),
            (500, "a fault of its own", False),
            (503, "not available", False),
            (599, "a fault of its own", False),
        ):
            cause = self.explain(status)
            self.assertIn(words, cause.text)
            self.assertIn(f"(HTTP {status})", cause.text)
            self.assertEqual(
                (cause.kind, cause.needs_user_action), (f"http_{status}", needs_user_action)
            )

    def test_redirect(self) -> None:
        """Where to is said, without a login, a token or an endless tail."""
        for status in (301, 302, 303, 307, 308):
            cause = self.explain(status, location="https://a:s3cr3t@dtu/live?t=s3cr3t")
            self.assertIn("redirects to 'https://***@dtu/live', set url", cause.text)
            self.assertTrue(cause.needs_user_action)
        self.assertLess(len(self.explain(301, location="x" * 5000).text), 200)
        self.assertIn("without saying where", self.explain(302).text)

    def test_retry_after(self) -> None:
        """Seconds or a date; within reason, and nothing of what cannot be read."""
        for text, seconds in (
            ("60", 60.0),
            ("0", 0.0),
            ("99999999999999999999999", 3600.0),
            ("Tue, 14 Nov 2023 22:15:20 GMT", 120.0),
            ("Tue, 14 Nov 2023 22:13:00 GMT", 0.0),
            ("soon", 0.0),
            ("-5", 0.0),
            ("٣", 0.0),
            ("", 0.0),
        ):
            cause = self.explain(429, retry_after=text)
            self.assertEqual(cause.retry_after_s, seconds, text)
        self.assertEqual(self.explain(503, retry_after="7").retry_after_s, 7.0)

    def test_a_date_by_the_clock_of_the_server(self) -> None:
        """Ours may be wrong by hours; it counts where the server does not say what time it has."""
        back = "Tue, 14 Nov 2023 22:15:20 GMT"
        for date, seconds in (
            ("Tue, 14 Nov 2023 22:15:00 GMT", 20.0),
            ("Tue, 14 Nov 2023 23:15:00 GMT", 0.0),
            ("now", 120.0),
        ):
            cause = self.explain(503, retry_after=back, date=date)
            self.assertEqual(cause.retry_after_s, seconds, date)
