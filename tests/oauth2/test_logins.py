"""Logins under way."""

from __future__ import annotations

import base64
import hashlib
from itertools import count
from urllib.parse import parse_qs, urlsplit

from attrs import evolve
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.oauth2.logins import VALID_S, Logins, RedirectRefused, Unknown
from tests.oauth2.support import PROVIDER, SECRET


class LoginsTests(SynchronousTestCase):
    """States, and the addresses they come back in."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.numbers = count()
        self.logins = self.make()

    def make(self, **changes) -> Logins:
        return Logins(
            evolve(PROVIDER, **changes), self.clock.seconds, lambda: f"random-{next(self.numbers)}"
        )

    def fields(self, url: str) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}

    def begin(self, browser: str = "") -> str:
        """Begin a login and return its state."""
        return self.fields(self.logins.begin(browser))["state"]

    def test_address(self) -> None:
        """The address has all that the server needs, escaped, and no secret."""
        url = self.logins.begin()
        self.assertTrue(url.startswith("https://auth.example/oauth2/authorize?"))
        self.assertEqual(
            self.fields(url),
            {
                "response_type": "code",
                "client_id": "client",
                "redirect_uri": "http://127.0.0.1:9127/callback",
                "scope": "read_station read_homecoach",
                "state": "random-0",
            },
        )
        self.assertNotIn(SECRET, url)

    def test_pkce(self) -> None:
        """With PKCE the address has the hash of a secret that the code will be shown with."""
        self.logins = self.make(pkce=True)
        fields = self.fields(self.logins.begin())
        granted = self.logins.end(f"state={fields['state']}&code=c")
        self.assertGreaterEqual(len(granted.verifier), 43)
        digest = hashlib.sha256(granted.verifier.encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        self.assertEqual(fields["code_challenge"], challenge)
        self.assertEqual(fields["code_challenge_method"], "S256")
        self.assertNotIn(granted.verifier, repr(granted))
        self.assertNotIn("code='", repr(granted))

    def test_random_by_default(self) -> None:
        """States are long and never the same."""
        logins = Logins(PROVIDER, self.clock.seconds)
        states = {self.fields(logins.begin())["state"] for _ in range(50)}
        self.assertEqual(len(states), 50)
        self.assertTrue(all(len(state) >= 43 for state in states))

    def test_end(self) -> None:
        """The whole address, its query, either with blanks around them, give the code once."""
        for form in (
            "http://127.0.0.1:9127/callback?state={}&code=c%2Fd",
            "  http://other:1/x?code=c%2Fd&state={}#fragment \n",
            "state={}&code=c%2Fd",
            "?state={}&code=c%2Fd&scope=a+b",
        ):
            address = form.format(self.begin())
            self.assertEqual(self.logins.end(address).code, "c/d")
            self.assertRaises(Unknown, self.logins.end, address)

    def test_unknown(self) -> None:
        """What is none of ours is refused, and costs a login under way nothing."""
        state = self.begin()
        for address in (
            "",
            "hello",
            "http://localhost/callback",
            "code=c",
            "state=&code=c",
            "state=other&code=c",
            f"state={state}&state=other&code=c",
            "state=\xff\udcff",
            "a=b&" * 1000,
            "http://[::1?state=x",
        ):
            self.assertRaises(Unknown, self.logins.end, address)
        self.logins.end(f"state={state}&code=c")

    def test_bound_to_a_browser(self) -> None:
        """An answer in another browser than the one that began is refused, and not used up."""
        state = self.begin("browser")
        for other in ("", "other"):
            self.assertRaises(Unknown, self.logins.end, f"state={state}&code=c", other)
        self.logins.end(f"state={state}&code=c", "browser")

    def test_too_late(self) -> None:
        state = self.begin()
        self.clock.advance(VALID_S + 1)
        self.assertRaises(Unknown, self.logins.end, f"state={state}&code=c")

    def test_few(self) -> None:
        """However many are begun, few are kept: the latest."""
        states = [self.begin() for _ in range(100)]
        self.assertRaises(Unknown, self.logins.end, f"state={states[0]}&code=c")
        self.logins.end(f"state={states[-1]}&code=c")
        self.assertLess(len(self.logins._pending), 20)

    def test_refused(self) -> None:
        """A user who declines is distinguished from an error of the server."""
        for query, declined, text in (
            ("error=access_denied", True, "access_denied"),
            ("error=redirect_uri_mismatch", False, "redirect_uri_mismatch"),
            ("error=x&error_description=So+sorry", False, "So sorry"),
            ("error=" + "x" * 5000, False, "x" * 80),
            ("", False, "there is no code in the answer"),
        ):
            refusal = self.assertRaises(
                RedirectRefused, self.logins.end, f"state={self.begin()}&{query}"
            )
            self.assertEqual((refusal.declined, str(refusal)), (declined, text))

    def test_refusal_that_repeats_a_secret(self) -> None:
        """A refusal is shown and logged: nothing secret is in it."""
        for query, text in (
            (f"error={SECRET}", "***"),
            (f"error=x&error_description=bad+{SECRET}", "bad ***"),
            ("error=x&code=c0de-of-a-login&error_description=c0de-of-a-login", "***"),
            ("error=c0&code=c0", "an error"),
        ):
            refusal = self.assertRaises(
                RedirectRefused, self.logins.end, f"state={self.begin()}&{query}"
            )
            self.assertEqual(str(refusal), text)
            self.assertNotIn(SECRET, refusal.error)
