"""The service between the API and the door of the agent."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.cause import Cause, CauseError
from metrics_agent.config import Secret
from metrics_agent.interfaces import HttpReply, IModule
from metrics_agent.modules.netatmo import MODULE
from metrics_agent.testing import FakeContext
from tests.modules.netatmo.support import (
    EXPIRED,
    HTML,
    INVALID,
    START_S,
    USAGE,
    Rig,
    document,
    error,
    outdoor,
    reply,
    station,
    tokens,
)
from tests.oauth2.test_login_page import browser_for

STATIONS = "getstationsdata"
DOWN = CauseError(Cause("dns", "api.netatmo.com: the host name cannot be resolved"))
RUN_OUT = START_S + 10800 - 300
UNKNOWN_403 = error(403, 77, "no")


class Life(SynchronousTestCase):
    """Starting, polling, stopping."""

    def test_kind(self) -> None:
        """The registry's entry makes a module that provides IModule and can log in."""
        rig = Rig(self)
        self.assertTrue(IModule.providedBy(rig.module))
        self.assertEqual(list(MODULE.brokers(rig.module._settings)), [])
        self.assertIsNotNone(MODULE.login)

    def test_stop_before_start_and_twice(self) -> None:
        rig = Rig(self)
        module = MODULE.make(rig.module._settings, FakeContext())
        self.successResultOf(module.stopService())
        self.successResultOf(module.stopService())
        rig.stop()
        rig.stop()

    def test_polls_at_the_interval(self) -> None:
        """At once, then every five minutes; for each of them one question."""
        rig = Rig(self)
        self.assertEqual(rig.api.asked, [STATIONS])
        self.assertEqual(rig.api.params, [{"get_favorites": "false"}])
        self.assertEqual(len(rig.new_lines()), 4)
        rig.context.advance(299)
        self.assertEqual(len(rig.api.asked), 1)
        rig.context.advance(1)
        self.assertEqual(len(rig.api.asked), 2)

    def test_kinds_of_devices(self) -> None:
        """Each kind that is wanted is asked for; favourites by a parameter."""
        rig = Rig(self, {"favorites": True, "home_coaches": True})
        self.assertEqual(rig.api.asked, [STATIONS, "gethomecoachsdata"])
        self.assertEqual(rig.api.params, [{"get_favorites": "true"}, {}])

    def test_repeats_are_not_sent(self) -> None:
        """An hour with the same answer gives its lines once; a module with news gives its own."""
        rig = Rig(self)
        rig.new_lines()
        rig.api.devices[STATIONS] = document(station())
        for _ in range(11):
            rig.context.advance(300)
        self.assertEqual(rig.new_lines(), [])
        now_s = START_S + 11 * 300
        rig.api.devices[STATIONS] = document(
            station(modules=[outdoor(now_s + 100)]), time_server=now_s + 300
        )
        rig.context.advance(300)
        self.assertEqual(len([line for line in rig.new_lines() if "02:00:00" in line]), 2)

    def test_a_broken_decoder_restarts_the_module(self) -> None:
        """A fault of our own is told by the context; three turns in a row end this life."""
        from metrics_agent.modules.netatmo import service

        def broken(*_args: object, **_more: object) -> None:
            raise ZeroDivisionError

        self.patch(service, "decode", broken)
        rig = Rig(self)
        self.assertEqual(rig.context.failures, [])
        rig.until(lambda: bool(rig.context.failures))
        self.assertEqual(len(rig.api.asked), 3)
        self.assertIn("3 turns in a row failed", str(rig.context.failures[0]))
        rig.wait(3600)
        self.assertEqual(len(rig.api.asked), 3)

    def test_a_turn_that_never_ends(self) -> None:
        """Whatever hangs is given up on, and tried again."""
        from twisted.internet.defer import Deferred

        rig = Rig(self)
        hanging: list[Deferred[None]] = []

        async def get(*_args: object, **_more: object) -> HttpReply:
            hanging.append(Deferred())
            await hanging[-1]
            raise AssertionError

        rig.api.get = get  # type: ignore[method-assign]
        rig.context.advance(300)
        self.assertEqual(len(hanging), 1)
        rig.until(lambda: len(hanging) == 2, 400)


class Looking(SynchronousTestCase):
    """In a diagnostic command, which must not use up what the agent needs."""

    def test_valid_token(self) -> None:
        """It is used; the connection is known to work."""
        rig = Rig(self, read_only=True)
        self.assertEqual(rig.api.asked, [STATIONS])
        self.assertEqual(set(rig.context.connections.values()), {""})

    def test_no_login(self) -> None:
        """No page is served, since its tokens would be lost; nobody is asked for tokens."""
        rig = Rig(self, logged_in=False, read_only=True)
        self.assertEqual(rig.context.reactor.tcpServers, [])
        [problem] = rig.context.connections.values()
        self.assertIn("a login is needed", problem or "")
        self.assertIn("metrics-agent login netatmo", rig.context.logged("error")[0])
        self.assertEqual(rig.api.asked, [])

    def test_token_that_has_run_out(self) -> None:
        """No refresh is asked for, and the text says why."""
        rig = Rig(self, read_only=True)
        rig.context.advance(RUN_OUT - START_S + 300)
        self.assertNotIn("refresh", rig.api.asked)
        [problem] = [text for text in rig.context.connections.values() if text]
        self.assertIn("would use up the refresh token", problem)


class Outages(SynchronousTestCase):
    """What is waited out, and what is said of it."""

    def fail_once(self, answer: HttpReply | Exception) -> tuple[Rig, float]:
        """Let one question fail; return after how many seconds it was asked again."""
        rig = Rig(self)
        rig.new_lines()
        rig.api.answers = [answer]
        rig.context.advance(300)
        asked = rig.api.asked.count(STATIONS)
        return rig, rig.until(lambda: rig.api.asked.count(STATIONS) > asked)

    def test_once_down_once_up(self) -> None:
        """A day without the network is two lines, no more questions than else, no login."""
        rig = Rig(self)
        rig.api.answers = [DOWN] * 1000
        rig.api.token_answers = [DOWN] * 1000
        rig.context.advance(300)
        for _ in range(24 * 60):
            rig.context.advance(60)
        self.assertEqual(
            rig.context.logged("warn"),
            [f"No values from Netatmo: {DOWN}. It is tried again."],
        )
        asked = len(rig.api.asked)
        self.assertGreater(asked, 280)
        self.assertLess(asked, 420)
        self.assertEqual(rig.stored(), tokens())
        rig.api.answers = []
        rig.api.token_answers = []
        rig.wait(900)
        [line] = rig.context.logged("info")
        self.assertRegex(line, r"Values from Netatmo again after 14\d\d min\.")
        self.assertEqual(rig.context.logged("error"), [])
        self.assertEqual(rig.context.reactor.tcpServers, [])

    def test_waits(self) -> None:
        """The first wait is seconds, each is longer, up to the interval."""
        _, waited_s = self.fail_once(HTML)
        self.assertLess(waited_s, 16)
        rig = Rig(self)
        rig.api.answers = [HTML] * 100
        rig.context.advance(300)
        waits = []
        for _ in range(9):
            asked = len(rig.api.asked)
            waits.append(rig.until(lambda asked=asked: len(rig.api.asked) > asked))
        self.assertEqual(waits, sorted(waits))
        self.assertLessEqual(waits[-1], 300)

    def test_one_line_for_each_cause(self) -> None:
        rig = Rig(self)
        rig.api.answers = [DOWN, HTML, DOWN, HTML, HttpReply(200, b"<html>")]
        rig.context.advance(300)
        rig.wait(3600)
        self.assertEqual(
            [line.split(": ", 1)[1] for line in rig.context.logged("warn")],
            [
                "api.netatmo.com: the host name cannot be resolved. It is tried again.",
                "it answered 500. It is tried again.",
                "its answer is no JSON (invalid_json). It is tried again.",
            ],
        )

    def test_retry_after(self) -> None:
        """A server that says how long to wait is not asked before."""
        _, waited_s = self.fail_once(HttpReply(503, b"", {"retry-after": "120"}))
        self.assertEqual(waited_s, 120)

    def test_usage_reached(self) -> None:
        """Too many requests: asked again within minutes, then in the next hour; no refresh."""
        rig, waited_s = self.fail_once(USAGE)
        self.assertTrue(120 <= waited_s <= 240, waited_s)
        self.assertIn("trying again within minutes", rig.context.logged("warn")[0])
        self.assertIn("Values from Netatmo again", rig.context.logged("info")[-1])
        self.assertNotIn("refresh", rig.api.asked)

    def test_usage_reached_for_longer(self) -> None:
        """The limit of the hour: one more question within minutes, none before the next hour."""
        rig = Rig(self)
        rig.api.answers = [USAGE] * 2
        rig.context.advance(300)
        asked = len(rig.api.asked)
        first_s = rig.until(lambda: len(rig.api.asked) > asked)
        self.assertLessEqual(first_s, 240)
        # The clock starts at 22:13:20; 300 s later there are 2500 s left of the hour.
        waited_s = first_s + rig.until(lambda: len(rig.api.asked) > asked + 1)
        self.assertTrue(2500 <= waited_s < 2561, waited_s)
        self.assertIn("waiting for the next hour", rig.context.logged("warn")[1])
        self.assertNotIn("refresh", rig.api.asked)

    def test_deactivated(self) -> None:
        """An application that Netatmo has deactivated needs the user, in one line."""
        rig = Rig(self)
        rig.api.answers = [error(406, 5, "Application is deactivated")] * 1000
        rig.context.advance(300)
        rig.wait(3600)
        [line] = rig.context.logged("error")
        self.assertIn("Netatmo has deactivated the application", line)
        self.assertNotIn("refresh", rig.api.asked)

    def test_certificate(self) -> None:
        """What only a person can mend is an error."""
        fault = CauseError(
            Cause("tls_expired", "a: its certificate has expired", needs_user_action=True)
        )
        rig, _ = self.fail_once(fault)
        self.assertIn("its certificate has expired", rig.context.logged("error")[0])

    def test_requests_stay_within_the_limits(self) -> None:
        """Whatever the answers are, no hour has more than 500 questions, no 10 s more than 50."""
        settings = {"interval": 60.0, "home_coaches": True}
        for answer in (DOWN, HTML, EXPIRED, INVALID, UNKNOWN_403, error(403, 13), error(429, 11)):
            rig = Rig(self, settings)
            rig.api.answers = [answer] * 10_000
            rig.api.token_answers = [HTML] * 10_000
            for _ in range(3600):
                rig.context.advance(1)
            self.assertLess(len(rig.api.asked), 250)
            rig.stop()

    def test_no_state_directory(self) -> None:
        """A disk that cannot be written is told; the tokens that are good serve meanwhile."""
        rig = Rig(self)
        rig.state.joinpath("tokens.json.new").mkdir()
        rig.context.reactor.advance(RUN_OUT - START_S)
        self.assertNotIn("refresh", rig.api.asked)
        [line] = rig.context.logged("error")
        self.assertIn("tokens.json cannot be written", line)
        rig.state.joinpath("tokens.json.new").rmdir()
        rig.wait(3600)
        self.assertIn("refresh", rig.api.asked)


class Kinds(SynchronousTestCase):
    """Answers about one kind of devices."""

    def test_no_devices(self) -> None:
        """An account without a station is told once, and looked at again at the usual time."""
        rig = Rig(self)
        rig.new_lines()
        rig.api.devices[STATIONS] = document()
        rig.wait(600)
        self.assertEqual(
            rig.context.logged("warn"),
            ["No weather stations: there are no such devices in this account. It is tried again."],
        )
        rig.api.devices[STATIONS] = document(station(START_S + 700), time_server=START_S + 900)
        rig.context.advance(300)
        self.assertEqual(rig.context.logged("info")[0], "Weather stations again after 10 min.")

    def test_scope(self) -> None:
        """A login that does not allow Home Coaches costs the stations nothing."""
        rig = Rig(self, {"home_coaches": True})
        rig.new_lines()
        rig.api.devices["gethomecoachsdata"] = document()
        rig.api.devices[STATIONS] = document(station(START_S + 200), time_server=START_S + 300)
        rig.api.answers = []
        original = rig.api.get

        async def get(url: str, **more: object) -> HttpReply:
            if "homecoach" in url:
                return error(403, 13, "Application does not have the good scope rights")
            return await original(url, **more)

        rig.api.get = get  # type: ignore[method-assign]
        rig.context.advance(300)
        self.assertGreater(len(rig.new_lines()), 0)
        [line] = rig.context.logged("error")
        self.assertIn("No Home Coaches: it answered 403 (13)", line)
        self.assertIn("log in again", line)
        self.assertNotIn("refresh", rig.api.asked)
        rig.wait(900)
        self.assertEqual(len(rig.context.logged("error")), 1)


class Tokens(SynchronousTestCase):
    """When a refresh is made."""

    def test_before_the_token_runs_out(self) -> None:
        """The token is refreshed before it has run out; the API never sees an old one."""
        rig = Rig(self)
        rig.context.reactor.advance(RUN_OUT - START_S)
        self.assertEqual(rig.api.asked[-2:], ["refresh", STATIONS])
        self.assertEqual(rig.stored().refresh.reveal(), "uid|refresh-2")

    def test_expired_and_invalid(self) -> None:
        """Codes 3 and 2, and a plain 401, refresh once and ask again, in the same turn."""
        for answer in (EXPIRED, INVALID, reply({}, 401), error(401, 3)):
            rig = Rig(self)
            rig.new_lines()
            rig.api.devices[STATIONS] = document(station(START_S + 200), time_server=START_S + 300)
            rig.api.answers = [answer]
            rig.context.advance(300)
            self.assertEqual(rig.api.asked[1:], [STATIONS, "refresh", STATIONS])
            self.assertGreater(len(rig.new_lines()), 0)
            self.assertEqual(rig.context.logged("warn"), [])
            rig.stop()

    def test_others_cost_no_refresh(self) -> None:
        """Everything else does not use up a token, however long it goes on."""
        for answer in (USAGE, error(403, 13), error(429, 11), HTML, error(400, 21), error(404, 9)):
            rig = Rig(self)
            rig.api.answers = [answer] * 1000
            for _ in range(120):
                rig.context.advance(60)
            self.assertNotIn("refresh", rig.api.asked)
            rig.stop()

    def test_doubtful_answers(self) -> None:
        """A 403 without a number that we know costs a refresh only when it stays."""
        rig = Rig(self)
        rig.api.answers = [UNKNOWN_403] * 2
        rig.context.advance(300)
        rig.wait(600)
        self.assertNotIn("refresh", rig.api.asked)
        rig.api.answers = [UNKNOWN_403] * 1000
        for _ in range(60):
            rig.context.advance(60)
        self.assertEqual(rig.api.asked.count("refresh"), 1)
        self.assertEqual(rig.context.logged("error"), [])
        self.assertEqual(rig.context.reactor.tcpServers, [])

    def test_a_token_that_others_made_useless(self) -> None:
        """Should a code mean the token that we take for something else, a new one mends it."""
        rig = Rig(self)
        rig.new_lines()
        rig.api.devices[STATIONS] = document(station(START_S + 200), time_server=START_S + 300)
        rig.api.answers = [UNKNOWN_403] * 3
        rig.context.advance(300)
        rig.until(lambda: "refresh" in rig.api.asked, 300)
        self.assertGreater(len(rig.new_lines()), 0)

    def test_new_tokens_that_are_refused(self) -> None:
        """An API that refuses every token asks for a login, and few refreshes are made."""
        rig = Rig(self, {"login_page": False})
        rig.api.answers = [INVALID] * 1000
        rig.context.advance(300)
        self.assertEqual(rig.context.logged("error"), [])
        rig.until(lambda: rig.context.logged("error"), 600)
        [line] = rig.context.logged("error")
        self.assertIn("although the token is new", line)
        for _ in range(60):
            rig.context.advance(60)
        self.assertLessEqual(rig.api.asked.count("refresh"), 7)
        rig.api.answers = []
        rig.wait(1800)
        self.assertIn("Login at Netatmo restored.", rig.context.logged("info"))

    def test_a_token_that_is_not_known_yet(self) -> None:
        """A server that refuses the token it has just given, for seconds: no login is asked for."""
        rig = Rig(self)
        rig.api.answers = [EXPIRED, INVALID, INVALID]
        rig.context.advance(300)
        rig.wait(120)
        self.assertEqual(rig.context.logged("error"), [])
        self.assertEqual(rig.api.asked.count("refresh"), 1)
        self.assertEqual(rig.api.asked.count(STATIONS), 5)
        self.assertIn("Values from Netatmo again", rig.context.logged("info")[-1])
        self.assertEqual(rig.context.reactor.tcpServers, [])

    def test_wrong_secret(self) -> None:
        """A client that is refused is the configuration's fault: no login is asked for."""
        rig = Rig(self)
        rig.api.token_answers = [reply({"error": "invalid_client"}, 400)] * 100
        rig.context.reactor.advance(RUN_OUT - START_S)
        [line] = rig.context.logged("error")
        self.assertIn("check client_id and client_secret", line)
        self.assertEqual(rig.context.reactor.tcpServers, [])

    def test_a_refresh_token_in_the_configuration(self) -> None:
        """With one nobody has to log in."""
        rig = Rig(self, {"refresh_token": Secret("uid|refresh-1")}, logged_in=False)
        self.assertEqual(rig.api.asked, ["refresh", STATIONS])
        self.assertGreater(len(rig.new_lines()), 0)
        rig.restart()
        self.assertEqual(rig.api.asked, ["refresh", STATIONS, STATIONS])

    def test_stop_waits_for_a_refresh(self) -> None:
        """A module that is stopped in the middle of a refresh keeps its answer."""
        from twisted.internet.defer import Deferred

        rig = Rig(self)
        original = rig.api.post
        waiting: Deferred[None] = Deferred()

        async def post(*args: object, **more: object) -> HttpReply:
            await waiting
            return await original(*args, **more)  # type: ignore[arg-type]

        rig.api.post = post  # type: ignore[method-assign]
        rig.context.reactor.advance(RUN_OUT - START_S)
        stopping = rig.module.stopService()
        rig.context.stop()
        self.assertNoResult(stopping)
        waiting.callback(None)
        self.successResultOf(stopping)
        self.assertEqual(rig.stored().refresh.reveal(), "uid|refresh-2")


class Logins(SynchronousTestCase):
    """Asking for a login, and the page."""

    def test_asks_once(self) -> None:
        """Without tokens one line says what to open; the API is not asked, turns go on."""
        rig = Rig(self, logged_in=False)
        rig.wait(600)
        [line] = rig.context.logged("error")
        self.assertEqual(
            line,
            "A login at Netatmo is needed, there was no login yet. Open "
            f"{rig.module._page.address} in a browser on this machine, or run `metrics-agent login "
            "netatmo`.",
        )
        self.assertRegex(line, r"Open http://127\.0\.0\.1:9127/\?token=[\w-]{43} in")
        self.assertEqual(rig.api.asked, [])
        port, _factory, _backlog, interface = rig.context.reactor.tcpServers[0]
        self.assertEqual((port, interface), (9127, "127.0.0.1"))

    def test_from_the_first_click_to_the_first_metric(self) -> None:
        rig = Rig(self, logged_in=False)
        rig.api.codes.add("c0de")
        browser = browser_for(rig.context.reactor, rig.module._page)
        first = browser.ask("GET", f"/?token={browser.token}")
        self.assertIn("read the values of your weather stations", first.body)
        there = browser.ask("POST", "/start").headers["location"]
        self.assertTrue(there.startswith("https://api.netatmo.com/oauth2/authorize?"))
        self.assertIn("scope=read_station&", there + "&")
        state = there.partition("state=")[2].partition("&")[0]
        back = browser.ask("GET", f"/callback?state={state}&code=c0de")
        self.assertEqual(back.headers["location"], "done")
        self.assertEqual(rig.stored().refresh.reveal(), "uid|refresh-2")
        rig.context.advance(0)
        self.assertEqual(rig.api.asked, ["code", STATIONS])
        self.assertGreater(len(rig.new_lines()), 0)
        self.assertEqual(browser.ask("GET", "/done").status, 200)
        rig.context.advance(0)
        self.assertIsNone(rig.module._page._listening)
        self.assertEqual(
            rig.context.logged("info"),
            ["Logged in at Netatmo.", "Login at Netatmo restored."],
        )

    def test_rotated_unseen(self) -> None:
        """A refused refresh token is one line; a server that takes it again is noticed."""
        rig = Rig(self)
        rig.api.refresh = 9
        rig.context.reactor.advance(RUN_OUT - START_S)
        rig.context.advance(60)
        [line] = rig.context.logged("error")
        self.assertIn("the refresh token is refused", line)
        self.assertIn("Open http://127.0.0.1:9127/", line)
        self.assertEqual(len(rig.context.reactor.tcpServers), 1)
        rig.api.refresh = 1
        rig.wait(600)
        self.assertIn("Login at Netatmo restored.", rig.context.logged("info"))
        self.assertIsNone(rig.module._page)
        self.assertEqual(len(rig.context.logged("error")), 1)

    def test_login_in_another_process(self) -> None:
        """What `metrics-agent login` stores is used within seconds, and the page is closed."""
        rig = Rig(self, logged_in=False)
        rig.api.access = 5
        rig.store(tokens(5))
        rig.context.advance(10)
        self.assertEqual(rig.api.asked, [STATIONS])
        self.assertIsNone(rig.module._page)

    def test_nobody_comes(self) -> None:
        """After its time the page is gone, and one line says how to go on."""
        rig = Rig(self, logged_in=False)
        page = rig.module._page
        rig.wait(15 * 60)
        self.assertIsNone(page._listening)
        [line] = rig.context.logged("warn")
        self.assertIn("No login within 15 min; the login page is closed.", line)
        self.assertIn("metrics-agent login netatmo", line)
        rig.wait(3600)
        self.assertEqual(len(rig.context.logged("error")), 1)
        self.assertEqual(len(rig.context.reactor.tcpServers), 1)
        # A reload opens it again.
        rig.restart()
        self.assertIsNotNone(rig.module._page._listening)

    def test_without_a_page(self) -> None:
        rig = Rig(self, {"login_page": False}, logged_in=False)
        [line] = rig.context.logged("error")
        self.assertTrue(line.endswith("yet. Run `metrics-agent login netatmo`."))
        self.assertEqual(rig.context.reactor.tcpServers, [])

    def test_port_in_use(self) -> None:
        """A port that somebody has costs the page, not the module."""
        from twisted.internet.error import CannotListenError
        from twisted.internet.testing import MemoryReactorClock

        def listen(_self: object, port: int, *_args: object, **_more: object) -> None:
            raise CannotListenError("127.0.0.1", port, OSError(98, "Address already in use"))

        self.patch(MemoryReactorClock, "listenTCP", listen)
        rig = Rig(self, logged_in=False)
        [line] = rig.context.logged("error")
        self.assertIn("127.0.0.1 port 9127: Address already in use", line)
        rig.store(tokens())
        rig.context.advance(10)
        self.assertEqual(rig.api.asked, [STATIONS])

    def test_login_that_is_not_completed(self) -> None:
        """A code that is refused leaves the page open, and all as it was."""
        rig = Rig(self, logged_in=False)
        browser = browser_for(rig.context.reactor, rig.module._page)
        there = browser.ask("POST", "/start").headers["location"]
        state = there.partition("state=")[2].partition("&")[0]
        back = browser.ask("GET", f"/callback?state={state}&code=wrong")
        self.assertEqual(back.headers["location"], "failed")
        self.assertIn("invalid_grant", browser.ask("GET", "/failed").body)
        self.assertIsNotNone(rig.module._page._listening)

    def test_damaged_file(self) -> None:
        """One line for the file that is set aside, one that asks for a login."""
        rig = Rig(self, logged_in=False)
        rig.stop()
        rig.store(b'{"refresh_token": "uid|half')
        rig.start()
        rig.context.advance(60)
        damage, login = rig.context.logged("error")
        self.assertIn("tokens.json.damaged", damage)
        self.assertIn("A login at Netatmo is needed", login)
        self.assertTrue((rig.state / "tokens.json.damaged").exists())


class Said(SynchronousTestCase):
    """What a person is told of devices."""

    def test_came_and_went(self) -> None:
        """A module that is lost is one line, and one when it is back."""
        rig = Rig(self)
        lost = outdoor(reachable=False, dashboard_data=None)
        rig.api.devices[STATIONS] = document(station(modules=[lost]))
        rig.wait(900)
        self.assertEqual(
            rig.context.logged("warn"),
            ["'Garten' (02:00:00:0a:0b:0c) cannot be reached, or sends nothing new."],
        )
        rig.api.devices[STATIONS] = document(station())
        rig.wait(600)
        self.assertEqual(rig.context.logged("info"), ["'Garten' (02:00:00:0a:0b:0c) is back."])

    def test_left_out(self) -> None:
        """What is left out is counted each time and told once."""
        rig = Rig(self)
        rig.api.devices[STATIONS] = document(
            station(dashboard_data={"time_utc": START_S, "Temperature": None})
        )
        rig.wait(900)
        self.assertEqual(rig.context.dropped, {"null_value": 3})
        self.assertEqual(len(rig.context.logged("info")), 1)
