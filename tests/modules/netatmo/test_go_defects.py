"""Defects of the Go agent that this module must not have; the numbers are of our list of them."""

from __future__ import annotations

import os
import stat
from urllib.parse import parse_qs, urlsplit

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.cause import Cause, CauseError
from metrics_agent.interfaces import HttpReply
from metrics_agent.oauth2.tokens import write_stored
from tests.modules.netatmo.support import START_S, Rig, document, outdoor, station, tokens
from tests.oauth2.test_login_page import browser_for

STATIONS = "getstationsdata"
RUN_OUT_S = 10800 - 300


class GoDefects(SynchronousTestCase):
    """One test a defect."""

    def test_zero_is_a_value(self) -> None:
        """B26: tests for ``!= 0`` left out 0 degrees and 0 %."""
        rig = Rig(self)
        rig.new_lines()
        zero = {"time_utc": START_S + 1, "Temperature": 0, "Humidity": 0, "CO2": 0, "Noise": 0}
        rig.api.devices[STATIONS] = document(station(dashboard_data=zero, modules=None))
        rig.context.advance(300)
        climate, _device = rig.new_lines()
        self.assertIn(" co2=0.0,humidity=0.0,noise=0.0,temperature=0.0 ", climate)

    def test_no_devices(self) -> None:
        """B27: an account without devices was a panic at each poll."""
        rig = Rig(self)
        rig.api.devices[STATIONS] = document()
        rig.wait(3600)
        self.assertEqual(rig.context.failures, [])
        self.assertEqual(len(rig.api.asked), 13)

    def test_each_module_has_its_own_time(self) -> None:
        """B27: the time of the first station was that of every module."""
        rig = Rig(self)
        times = {line.rsplit(" ", 1)[1] for line in rig.new_lines()}
        self.assertEqual(times, {f"{START_S - 30}000000000", f"{START_S - 60}000000000"})

    def test_an_outage_starts_no_login(self) -> None:
        """B28: whatever kept a refresh from working opened a login, for five minutes a poll."""
        rig = Rig(self)
        for answer in (
            CauseError(Cause("dns", "api.netatmo.com: the host name cannot be resolved")),
            CauseError(Cause("timeout", "api.netatmo.com: no answer within 30 s")),
            HttpReply(500, b"<html>"),
            HttpReply(403, b'{"error":{"code":26}}'),
        ):
            rig.api.token_answers = [answer] * 1000
            rig.wait(RUN_OUT_S + 600)
        self.assertEqual(rig.context.reactor.tcpServers, [])
        self.assertEqual(rig.context.logged("error"), [])
        rig.api.token_answers = []
        rig.wait(300)
        self.assertEqual(rig.stored().refresh.reveal(), "uid|refresh-2")

    def test_login_of_somebody_else(self) -> None:
        """B29: the ``state`` was a constant and never checked."""
        rig = Rig(self, logged_in=False)
        rig.api.codes.add("c0de")
        browser = browser_for(rig.context.reactor, rig.module._page)
        states = set()
        for _ in range(3):
            there = urlsplit(browser.ask("POST", "/start").headers["location"])
            states.add(parse_qs(there.query)["state"][0])
        self.assertEqual(len(states), 3)
        for query in ("code=c0de", "code=c0de&state=netatmo_auth", "code=c0de&state="):
            self.assertIn(browser.ask("GET", f"/callback?{query}").status, {400, 404})
        victim = browser_for(rig.context.reactor, rig.module._page)
        self.assertEqual(victim.ask("GET", f"/callback?code=c0de&state={states.pop()}").status, 400)
        self.assertEqual(rig.api.asked, [])

    def test_parameters_are_escaped(self) -> None:
        """B29: parameters were pasted into the address as they were."""
        rig = Rig(self, {"client_id": "a&b=c", "home_coaches": True}, logged_in=False)
        there = urlsplit(
            browser_for(rig.context.reactor, rig.module._page)
            .ask("POST", "/start")
            .headers["location"]
        )
        fields = parse_qs(there.query, strict_parsing=True)
        self.assertEqual(fields["client_id"], ["a&b=c"])
        self.assertEqual(fields["redirect_uri"], ["http://127.0.0.1:9127/callback"])
        self.assertEqual(fields["scope"], ["read_station read_homecoach"])

    def test_only_loopback_and_a_fixed_port(self) -> None:
        """B29: it listened on all interfaces, at a random port that no app can register."""
        rig = Rig(self, logged_in=False)
        rig.restart()
        for port, _factory, _backlog, interface in rig.context.reactor.tcpServers:
            self.assertEqual((port, interface), (9127, "127.0.0.1"))

    def test_torn_file(self) -> None:
        """B30: a torn file counted as empty, without a word, and a login followed."""
        whole = write_stored(tokens())
        for length in (0, 1, len(whole) // 2, len(whole) - 3):
            rig = Rig(self, logged_in=False)
            rig.stop()
            rig.store(whole[:length])
            rig.start()
            self.assertIn("set aside as", rig.context.logged("error")[0])
            self.assertEqual((rig.state / "tokens.json.damaged").read_bytes(), whole[:length])

    def test_tokens_are_secret(self) -> None:
        """B31: tokens were readable by everybody."""
        old_mask = os.umask(0)
        self.addCleanup(os.umask, old_mask)
        rig = Rig(self)
        rig.context.reactor.advance(RUN_OUT_S)
        self.assertEqual(rig.stored().serial, 2)
        for path in rig.state.iterdir():
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600, path)

    def test_damaged_tokens(self) -> None:
        """B32: a stored token of another type was a panic."""
        for content in (b"[]", b"5", b"null", b'{"version":1,"access_token":5}', b"\xff\xfe"):
            rig = Rig(self, logged_in=False)
            rig.stop()
            rig.store(content)
            rig.start()
            self.assertEqual(rig.context.failures, [])
            self.assertIn("A login at Netatmo is needed", rig.context.logged("error")[1])

    def test_stop_during_a_refresh(self) -> None:
        """B33: a refresh could not be interrupted, for 30 seconds.

        A stop waits for it no longer than the agent lets it, and what has been answered is kept.
        """
        from twisted.internet.defer import Deferred

        rig = Rig(self)
        waiting: Deferred[HttpReply] = Deferred()

        async def post(*_args: object, **_more: object) -> HttpReply:
            return await waiting

        rig.api.post = post  # type: ignore[method-assign]
        rig.context.reactor.advance(RUN_OUT_S)
        stopping = rig.module.stopService()
        rig.context.stop()
        self.assertEqual(rig.context.reactor.getDelayedCalls(), [])
        waiting.errback(CauseError(Cause("timeout", "api.netatmo.com: no answer within 30 s")))
        self.successResultOf(stopping)
        self.assertEqual(rig.stored(), tokens())

    def test_unreachable_modules_and_floats(self) -> None:
        """Of the same kind: a module out of reach, and 28.6 where 28 was declared."""
        rig = Rig(self)
        rig.new_lines()
        lost = outdoor(reachable=False, dashboard_data=None)
        odd = {"time_utc": START_S + 1, "Temperature": 28.6, "Humidity": 44.5, "CO2": 812.5}
        rig.api.devices[STATIONS] = document(station(dashboard_data=odd, modules=[lost]))
        rig.context.advance(300)
        climate, _device, offline = rig.new_lines()
        self.assertIn("co2=812.5,humidity=44.5,temperature=28.6", climate)
        self.assertIn("online=false", offline)
