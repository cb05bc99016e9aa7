"""Settings."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.config import Secret
from metrics_agent.config.structure import structure
from metrics_agent.modules.netatmo import MODULE
from metrics_agent.modules.netatmo.config import NetatmoSettings

GOOD = {"client_id": "5f00aa11", "client_secret": "s3cr3t"}


class SettingsTests(SynchronousTestCase):
    """What may stand there."""

    def faults(self, **changes: Any) -> list[str]:
        raw = {key: value for key, value in {**GOOD, **changes}.items() if value is not None}
        found = structure(NetatmoSettings, raw, "modules.netatmo")
        return [str(fault) for fault in found.faults]

    def test_defaults(self) -> None:
        settings = structure(NetatmoSettings, GOOD).value
        assert settings is not None
        self.assertEqual(settings.redirect_address, "http://127.0.0.1:9127/callback")
        self.assertEqual(settings.scopes, ("read_station",))
        self.assertEqual((settings.interval, settings.timeout), (300, 30))
        self.assertNotIn("s3cr3t", repr(settings))

    def test_scopes(self) -> None:
        settings = structure(NetatmoSettings, {**GOOD, "home_coaches": True}).value
        assert settings is not None
        self.assertEqual(settings.scopes, ("read_station", "read_homecoach"))

    def test_wrong(self) -> None:
        """Each fault names its key and what is expected, and no secret."""
        for changes, expected in (
            ({"client_id": None}, "client_id: got nothing"),
            ({"client_secret": None}, "client_secret: got nothing"),
            ({"client_id": ""}, "client_id"),
            ({"client_id": "a b"}, "client_id"),
            ({"client_secret": ""}, "client_secret"),
            ({"client_secret": "s3cr3t s3cr3t"}, "client_secret"),
            ({"refresh_token": "s3cr3t\n"}, "refresh_token"),
            ({"interval": "30s"}, 'interval: got "30s"'),
            ({"weather_stations": False}, "weather_stations"),
            ({"weather_stations": False, "home_coaches": True, "favorites": True}, "favorites"),
            ({"api_url": "http://api.netatmo.com"}, "https://"),
            ({"api_url": "https://"}, "api_url"),
            ({"api_url": "https://api:x/"}, "api_url"),
            ({"api_url": "https://a/?b=c"}, "api_url"),
            ({"api_url": "https://user:s3cr3t@a/"}, "api_url"),
            ({"auth_url": "ftp://a"}, "auth_url"),
            ({"redirect_uri": "localhost:9127"}, "redirect_uri"),
            ({"redirect_uri": "http://localhost/cb#x"}, "redirect_uri"),
            ({"login_host": "example.org"}, "login_host"),
            ({"login_port": 0}, "login_port"),
            ({"login_port": 70000}, "login_port"),
            ({"stale_after": "5m"}, "stale_after"),
            ({"client": "x"}, "did you mean `client_id`?"),
        ):
            faults = self.faults(**changes)
            self.assertEqual(len(faults), 1, (changes, faults))
            self.assertIn(expected, faults[0])
            self.assertNotIn("s3cr3t", faults[0])

    def test_redirect_address(self) -> None:
        """It is the literal address that the page is bound to, loopback for all of them."""
        for host, expected in (
            ("localhost", "127.0.0.1"),
            ("0.0.0.0", "127.0.0.1"),
            ("127.0.0.2", "127.0.0.2"),
            ("::1", "[::1]"),
            ("::", "[::1]"),
            ("192.0.2.1", "192.0.2.1"),
        ):
            settings = NetatmoSettings(client_id="a", client_secret=Secret("b"), login_host=host)
            self.assertEqual(settings.redirect_address, f"http://{expected}:9127/callback")

    def test_right(self) -> None:
        for changes in (
            {"api_url": "https://localhost:8443/netatmo/"},
            {"auth_url": "https://auth.example"},
            {"redirect_uri": "https://home.example/netatmo/callback"},
            {"login_host": "0.0.0.0"},
            {"login_host": "::1"},
            {"login_host": "localhost"},
        ):
            self.assertEqual(self.faults(**changes), [])

    def test_go_configuration(self) -> None:
        """The keys of the Go agent are known, or named as ignored."""
        self.assertIn("hostname", MODULE.custom_ignored)
        self.assertEqual(self.faults(timeout="30s", interval="5m"), [])
