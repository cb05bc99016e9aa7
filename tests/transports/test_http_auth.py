"""HTTP logins, judged by Twisted's own server side."""

from __future__ import annotations

from base64 import b64decode

from twisted.cred.credentials import DigestCredentialFactory
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.cause import CauseError
from metrics_agent.config import Secret
from metrics_agent.errors import MissingDependency
from metrics_agent.transports import http_auth
from metrics_agent.transports.http_auth import Login

PASSWORD = "s3cr3t-Schlüssel"
REALM = "live websocket"
OF_THE_FIRMWARE = 'Digest realm="live websocket", qop="auth", nonce="0a1b", opaque="2c3d"'


def challenge_of(factory: DigestCredentialFactory) -> str:
    """Write the factory's challenge as a server does."""
    parts = {
        name: value.decode() if isinstance(value, bytes) else value
        for name, value in factory.getChallenge(b"192.0.2.1").items()
    }
    return "Digest " + ", ".join(f'{name}="{value}"' for name, value in parts.items())


class LoginTests(SynchronousTestCase):
    """What a server is reported, by what it asked for."""

    def login(self, scheme: str = "auto", password: str | None = PASSWORD) -> Login:
        return Login("admin", None if password is None else Secret(password), scheme)

    def refused(self, login: Login, *challenges: str) -> str:
        """Return why a challenge cannot be answered; it shows no password."""
        fault = self.assertRaises(CauseError, login.challenged, challenges, "/livedata")
        self.assertTrue(fault.cause.needs_user_action)
        self.assertNotIn(PASSWORD, repr(fault) + fault.cause.text)
        return fault.cause.text

    def test_says_nothing_unasked(self) -> None:
        """Before a challenge nothing is sent, with and without a password."""
        self.assertEqual(self.login().authorization("/"), "")
        self.assertEqual(self.login(password=None).authorization("/"), "")
        self.assertEqual(self.login("basic", None).authorization("/"), "")

    def test_basic(self) -> None:
        """Basic carries name and password in UTF-8."""
        login = self.login()
        login.challenged(['Basic realm="x"'], "/livedata")
        scheme, _, pair = login.authorization("/livedata").partition(" ")
        self.assertEqual((scheme, b64decode(pair).decode()), ("Basic", f"admin:{PASSWORD}"))

    def test_basic_at_once_when_set(self) -> None:
        """With login = "basic" no challenge is waited for."""
        self.assertTrue(self.login("basic").authorization("/").startswith("Basic "))

    def test_digest_is_accepted_by_a_server(self) -> None:
        """MD5 and SHA, for each request again: an independent server accepts the password."""
        for algorithm in (b"md5", b"sha"):
            factory = DigestCredentialFactory(algorithm, REALM.encode())
            login = self.login()
            login.challenged([challenge_of(factory)], "/livedata")
            for target in ("/livedata", "/livedata?a=b%20c"):
                answer = login.authorization(target).partition(" ")[2].encode()
                accepted = factory.decode(answer, b"GET", b"192.0.2.1")
                self.assertEqual(accepted.username, b"admin")
                self.assertEqual(accepted.fields["uri"], target.encode())
                self.assertTrue(accepted.checkPassword(PASSWORD.encode()))
                self.assertFalse(accepted.checkPassword(b"another"))

    def test_digest_counts_the_nonce(self) -> None:
        """A nonce that is used again is counted up, as servers demand."""
        login = self.login()
        login.challenged([OF_THE_FIRMWARE], "/livedata")
        first, second = login.authorization("/livedata"), login.authorization("/livedata")
        self.assertEqual([first.count("nc=00000001"), second.count("nc=00000002")], [1, 1])
        # The firmware's parser splits at commas and takes the quotes off both ends.
        for name in ("username", "realm", "nonce", "uri", "response", "qop", "nc", "cnonce"):
            self.assertIn(f"{name}=", second)

    def test_digest_wins(self) -> None:
        """Where both are offered, in two headers or in one, the password itself is not sent."""
        for challenges in (
            ['Basic realm="x"', OF_THE_FIRMWARE],
            [f'Basic realm="x", {OF_THE_FIRMWARE}'],
            [f'{OF_THE_FIRMWARE}, Basic realm="x"'],
        ):
            login = self.login()
            login.challenged(challenges, "/livedata")
            self.assertTrue(login.authorization("/").startswith("Digest "), challenges)

    def test_second_of_two_digests(self) -> None:
        """A challenge of an unknown algorithm is passed over for one that can be answered."""
        login = self.login()
        login.challenged(
            ['Digest realm="x", nonce="y", algorithm=NEWEST', OF_THE_FIRMWARE], "/live"
        )
        self.assertIn('nonce="0a1b"', login.authorization("/"))

    def test_sha_256(self) -> None:
        """The algorithm of RFC 7616, which Shelly devices use."""
        login = self.login()
        login.challenged(
            ['Digest qop="auth", realm="x", nonce="1694692867", algorithm=SHA-256'], "/live"
        )
        self.assertIn("algorithm=SHA-256", login.authorization("/"))

    def test_no_downgrade_when_digest_is_set(self) -> None:
        """With login = "digest" no one on the way gets the password by asking for Basic."""
        text = self.refused(self.login("digest"), 'Basic realm="x"')
        self.assertIn('another login (basic) than login = "digest"', text)
        self.refused(self.login("digest"))

    def test_no_upgrade_when_basic_is_set(self) -> None:
        """With login = "basic" a server that wants only Digest hears of."""
        self.assertIn("(digest)", self.refused(self.login("basic"), OF_THE_FIRMWARE))

    def test_challenge_without_a_word(self) -> None:
        """A 401 that does not say how is answered with Basic (seen in firmware of 2024)."""
        login = self.login()
        login.challenged([], "/livedata")
        self.assertTrue(login.authorization("/").startswith("Basic "))

    def test_without_password(self) -> None:
        """A server that asks and a file that has no password: said so."""
        self.assertIn("set the password", self.refused(self.login(password=None), OF_THE_FIRMWARE))

    def test_other_schemes(self) -> None:
        """What neither side can do is named."""
        text = self.refused(self.login(), "Negotiate", 'Bearer realm="x"')
        self.assertIn("(bearer, negotiate) than Basic or Digest", text)

    def test_garbage(self) -> None:
        """A challenge that cannot be read is a refusal, never an exception of another kind."""
        for challenge in ("Digest", "Digest x", 'Digest realm="x"', "Digest =,=,", "Digest \x00"):
            self.assertIn("cannot be answered", self.refused(self.login(), challenge))

    def test_package_is_missing(self) -> None:
        """Without httpx the text says what to install."""

        def none_of_them(name: str) -> None:
            raise ImportError(name)

        self.patch(http_auth, "import_module", none_of_them)
        fault = self.assertRaises(
            MissingDependency, self.login().challenged, [OF_THE_FIRMWARE], "/live"
        )
        self.assertIn("pip install '.[digest]'", str(fault))

    def test_older_httpx_will_do(self) -> None:
        """Httpx is taken where httpx2 is not there."""
        asked = []
        library = http_auth._library()

        def only_the_second(name: str):
            asked.append(name)
            if name == "httpx2":
                raise ImportError(name)
            return library

        self.patch(http_auth, "import_module", only_the_second)
        login = self.login()
        login.challenged([OF_THE_FIRMWARE], "/livedata")
        self.assertEqual(asked, ["httpx2", "httpx"])

    def test_nothing_is_imported_for_basic(self) -> None:
        """The library is loaded when a server asks for Digest, not before."""
        asked = []
        self.patch(http_auth, "import_module", asked.append)
        for scheme in ("auto", "basic"):
            login = self.login(scheme)
            login.challenged(["Basic"], "/livedata")
            login.authorization("/")
        self.assertEqual(asked, [])

    def test_nothing_shows_the_password(self) -> None:
        """Neither a repr nor a refusal shows it."""
        login = self.login()
        login.challenged([OF_THE_FIRMWARE], "/livedata")
        self.assertNotIn(PASSWORD, repr(login) + repr(vars(login)))
