"""The keeper: when it refreshes, what it writes, whom it asks."""

from __future__ import annotations

from pathlib import Path

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.cause import Cause, CauseError
from metrics_agent.config.secret import Secret
from metrics_agent.http_interface import HttpReply
from metrics_agent.oauth2.keeper import LoginNeeded
from metrics_agent.oauth2.replies import GrantRefused
from metrics_agent.oauth2.store import StoreBusy, StoreFault
from metrics_agent.oauth2.tokens import fingerprint, read_stored, write_stored
from tests.oauth2.disk import Disk, Inode, Killed
from tests.oauth2.support import (
    DAMAGED,
    INVALID_GRANT,
    NEW,
    PATH,
    PROVIDER,
    SECRET,
    START_S,
    Account,
    Harness,
    put,
    reply,
    tokens,
)

LIFETIME_S = 10800
OUT = LIFETIME_S - 300
"""When the first tokens have run out."""

DOWN = CauseError(Cause("dns", "api.example: the host name cannot be resolved"))
HTML = HttpReply(500, b"<html><h1>500 Internal Server Error</h1></html>")


class KeeperCase(SynchronousTestCase):
    """Has a harness."""

    def setUp(self) -> None:
        self.harness = Harness()
        self.disk = self.harness.disk
        self.account = self.harness.account

    def token(self, asked: Deferred[Secret]) -> str:
        return self.successResultOf(asked).reveal()

    def access(self) -> str:
        return self.token(self.harness.access())

    def stored(self) -> int:
        """Return the serial number of the pair on the disk."""
        return read_stored(self.disk.names[PATH].seen).serial

    def fault(self, asked: Deferred[Secret], *kinds: type[Exception]) -> str:
        """Return the text of a fault; no secret is in it, or in the log."""
        text = str(self.failureResultOf(asked, *kinds).value)
        self.no_secret_in(text)
        return text

    def no_secret_in(self, text: str) -> None:
        for word in ("uid|", SECRET):
            self.assertNotIn(word, text)
            for event in self.harness.events:
                self.assertNotIn(word, repr({**event, "log_failure": None}))


class Tokens(KeeperCase):
    """Access tokens."""

    def test_stored_ones_are_used(self) -> None:
        """As long as they are good no one is asked."""
        self.harness.put(tokens())
        for _ in range(3):
            self.assertEqual(self.access(), "uid|access-1")
            self.harness.clock.advance(1000)
        self.assertEqual(self.account.forms, [])
        self.assertEqual(self.disk.open_files, 0)

    def test_refresh(self) -> None:
        """One that has run out is refreshed, and the new pair is on the disk when it is used."""
        self.harness.put(tokens())
        self.harness.clock.advance(OUT)
        self.assertEqual(self.access(), "uid|access-2")
        self.assertEqual(self.stored(), 2)
        self.assertEqual(
            self.account.forms,
            [
                {
                    "grant_type": "refresh_token",
                    "refresh_token": "uid|refresh-1",
                    "client_id": "client",
                    "client_secret": SECRET,
                }
            ],
        )
        self.assertEqual(self.access(), "uid|access-2")
        self.assertEqual(len(self.account.forms), 1)
        # And again, with the new pair.
        self.harness.clock.advance(OUT)
        self.assertEqual(self.access(), "uid|access-3")
        self.assertEqual(self.stored(), 3)

    def test_a_clock_that_was_wrong(self) -> None:
        """With a clock before the time of the tokens they are taken as good; the API will say."""
        self.harness.put(tokens())
        self.harness.offset_s = -START_S
        self.assertEqual(self.access(), "uid|access-1")
        self.assertEqual(self.token(self.harness.renew("uid|access-1")), "uid|access-2")

    def test_renew(self) -> None:
        """A token that the API refuses is renewed once, whoever else asks for it."""
        self.harness.put(tokens())
        self.harness.clock.advance(3600)
        self.access()
        self.assertEqual(self.token(self.harness.renew("uid|access-1")), "uid|access-2")
        self.assertEqual(self.token(self.harness.renew("uid|access-1")), "uid|access-2")
        self.assertEqual(len(self.account.forms), 1)

    def test_new_tokens_that_are_refused(self) -> None:
        """An API that refuses what was given just now does not burn one token after the other."""
        self.harness.put(tokens())
        self.harness.clock.advance(3600)
        self.access()
        self.token(self.harness.renew("uid|access-1"))
        text = self.fault(self.harness.renew("uid|access-2"), LoginNeeded)
        self.assertIn("refuses tokens that it gave just now", text)
        self.assertEqual(len(self.account.forms), 1)
        self.harness.clock.advance(600)
        self.assertEqual(self.token(self.harness.renew("uid|access-2")), "uid|access-3")

    def test_another_client(self) -> None:
        """Tokens of another client are not sent for this one."""
        self.harness.put(tokens(client_id="former"))
        text = self.fault(self.harness.access(), LoginNeeded)
        self.assertIn("another client_id", text)
        self.assertEqual(self.account.forms, [])

    def test_nobody_has_logged_in(self) -> None:
        text = self.fault(self.harness.access(), LoginNeeded)
        self.assertEqual(text, "there was no login yet")
        self.assertEqual(self.account.forms, [])


class OneAtATime(KeeperCase):
    """A refresh has no owner, and there is one."""

    def setUp(self) -> None:
        super().setUp()
        self.harness.put(tokens())
        self.harness.clock.advance(OUT)
        self.account.held = []

    def test_many_askers(self) -> None:
        """Who asks while a refresh is under way gets what comes of it."""
        asked = [self.harness.access() for _ in range(3)]
        asked.append(self.harness.renew("uid|access-1"))
        self.assertEqual(len(self.account.held), 1)
        self.account.held.pop().callback(None)
        self.assertEqual({self.token(each) for each in asked}, {"uid|access-2"})
        self.assertEqual(len(self.account.forms), 1)

    def test_cancelled(self) -> None:
        """Who is stopped while a refresh is under way does not stop it: it reaches the disk."""
        asked = self.harness.access()
        settled = self.harness.keeper.settled()
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        self.assertNoResult(settled)
        self.account.held.pop().callback(None)
        self.successResultOf(settled)
        self.assertEqual(self.stored(), 2)
        self.account.held = None
        self.assertEqual(self.access(), "uid|access-2")
        self.assertEqual(len(self.account.forms), 1)

    def test_cancelled_and_failed(self) -> None:
        """A refresh that fails when no one waits any more troubles no one."""
        asked = self.harness.access()
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        self.account.answers = [DOWN]
        self.account.held.pop().callback(None)
        self.assertEqual(self.stored(), 1)
        self.assertEqual(self.disk.open_files, 0)

    def test_another_instance(self) -> None:
        """An instance that starts while the last refresh of the one before runs waits for it."""
        asked = self.harness.access()
        other = self.harness.another()
        self.fault(ensureDeferred(other.access()), StoreBusy)
        self.account.held.pop().callback(None)
        self.token(asked)
        self.account.held = None
        self.assertEqual(self.token(ensureDeferred(other.access())), "uid|access-2")
        self.assertEqual(len(self.account.forms), 1)

    def test_another_process_was_faster(self) -> None:
        """Tokens that appear in the file are used, the old refresh token is not sent."""
        self.account.held = None
        self.harness.put(tokens(5, obtained_at_s=START_S + OUT, expires_at_s=START_S + 2 * OUT))
        self.assertEqual(self.access(), "uid|access-5")
        self.assertEqual(self.account.forms, [])

    def test_another_process_was_faster_at_the_last_moment(self) -> None:
        """What appears in the file between our look at it and our lock is used, too."""
        self.account.held = None
        self.harness.clock.advance(-1)
        self.access()
        self.harness.clock.advance(1)
        later = tokens(5, obtained_at_s=START_S + OUT, expires_at_s=START_S + 2 * OUT)
        lock = Disk.lock

        def faster(disk: Disk, path: Path) -> int | None:
            put(disk, write_stored(later))
            return lock(disk, path)

        self.patch(Disk, "lock", faster)
        self.assertEqual(self.access(), "uid|access-5")
        self.assertEqual(self.account.forms, [])

    def test_a_login_while_running(self) -> None:
        """What `login` writes in another process is seen at the next question."""
        self.account.held = None
        self.account.number = 99
        self.fault(self.harness.access(), LoginNeeded)
        self.harness.put(tokens(7, obtained_at_s=START_S + OUT, expires_at_s=START_S + 2 * OUT))
        self.assertEqual(self.access(), "uid|access-7")

    def test_a_login_after_the_file_was_removed(self) -> None:
        """Its serial numbers begin again, so what was obtained later is news all the same."""
        self.account.held = None
        self.harness.put(tokens(8, expires_at_s=START_S + 4 * OUT))
        self.assertEqual(self.access(), "uid|access-8")
        self.harness.put(tokens(1, obtained_at_s=START_S + OUT, expires_at_s=START_S + 4 * OUT))
        self.assertEqual(self.access(), "uid|access-1")


class Outages(KeeperCase):
    """What goes wrong for a while asks no one for a login and loses no token."""

    def setUp(self) -> None:
        super().setUp()
        self.harness.put(tokens())
        self.harness.clock.advance(OUT)

    def test_network_and_server(self) -> None:
        for answer, kind in (
            (DOWN, CauseError),
            (CauseError(Cause("timeout", "api.example: no answer within 30 s")), CauseError),
            (
                CauseError(Cause("tls_expired", "api.example: certificate expired")),
                CauseError,
            ),
            (HTML, CauseError),
            (HttpReply(200, b"<html>"), CauseError),
            (HttpReply(200, b'{"access_token":"uid|x'), CauseError),
            (HttpReply(429, b'{"error":{"code":11}}'), CauseError),
            (HttpReply(403, b'{"error":{"code":26}}'), CauseError),
            (HttpReply(400, b'{"error":"invalid_client"}'), CauseError),
        ):
            self.account.answers = [answer]
            self.fault(self.harness.access(), kind)
            self.assertEqual(self.stored(), 1)
            self.assertEqual((self.disk.open_files, NEW in self.disk.names), (0, False))
        self.assertEqual(self.access(), "uid|access-2")
        self.assertEqual(self.harness.logged("error"), [])

    def test_full_disk(self) -> None:
        """Where the new pair could not be written the old one is not given away."""
        for fault in ("full", "read_only"):
            setattr(self.disk, fault, True)
            text = self.fault(self.harness.access(), StoreFault)
            self.assertIn("tokens.json cannot be written", text)
            setattr(self.disk, fault, False)
        self.assertEqual(self.account.forms, [])
        self.assertEqual(self.access(), "uid|access-2")

    def test_disk_that_fails_after_the_request(self) -> None:
        """The new access token serves; the refresh token is not used before it is written."""
        self.account.held = []
        asked = self.harness.access()
        self.disk.broken.add("rename")
        self.account.held.pop().callback(None)
        self.account.held = None
        self.assertEqual(self.token(asked), "uid|access-2")
        self.assertEqual(self.stored(), 1)
        [line] = self.harness.logged("error")
        self.assertIn("New tokens could not be written", line)
        self.assertEqual(self.access(), "uid|access-2")
        self.assertEqual(len(self.harness.logged("warn")), 1)
        self.harness.clock.advance(OUT)
        self.fault(self.harness.access(), StoreFault)
        self.assertEqual(len(self.account.forms), 1)
        self.disk.broken.clear()
        self.assertEqual(self.access(), "uid|access-3")
        self.assertEqual(self.stored(), 3)
        self.no_secret_in("")

    def test_disk_that_recovers(self) -> None:
        """What could not be written is written as soon as it can be."""
        self.account.held = []
        asked = self.harness.access()
        self.disk.broken.add("rename")
        self.account.held.pop().callback(None)
        self.token(asked)
        self.disk.broken.clear()
        self.assertEqual(self.access(), "uid|access-2")
        self.assertEqual(self.stored(), 2)
        [line] = self.harness.logged("info")
        self.assertEqual(line, "The tokens are written to /state/service/tokens.json now.")

    def test_unreadable_file(self) -> None:
        """A file that belongs to someone else is reported, not thrown away."""
        self.disk.forbidden = True
        text = self.fault(self.harness.access(), StoreFault)
        self.assertIn("cannot be read: Permission denied", text)
        self.assertEqual(self.account.forms, [])
        self.disk.forbidden = False
        self.assertEqual(self.access(), "uid|access-2")


class Refused(KeeperCase):
    """Refresh tokens that the server does not take."""

    def setUp(self) -> None:
        super().setUp()
        self.harness.put(tokens())
        self.harness.clock.advance(OUT)
        self.account.number = 2

    def test_asks_for_a_login(self) -> None:
        """Tokens that the server rotated unseen cannot be mended, but are not thrown away."""
        text = self.fault(self.harness.access(), LoginNeeded)
        self.assertIn("the refresh token is refused", text)
        self.assertEqual(self.stored(), 1)

    def test_is_tried_again_now_and_then(self) -> None:
        """Servers refuse good tokens at times: a minute, then ever longer up to an hour."""
        for _ in range(10):
            self.fault(self.harness.access(), LoginNeeded)
        self.assertEqual(len(self.account.forms), 1)
        for _ in range(24 * 60):
            self.harness.clock.advance(60)
            self.fault(self.harness.access(), LoginNeeded)
        self.assertGreater(len(self.account.forms), 24)
        self.assertLess(len(self.account.forms), 60)
        self.account.number = 1
        self.harness.clock.advance(3600)
        self.assertEqual(self.access(), "uid|access-2")

    def test_log_in(self) -> None:
        """A login gives new tokens, on the disk before anybody uses them."""
        self.fault(self.harness.access(), LoginNeeded)
        self.account.codes.add("c0de")
        self.successResultOf(ensureDeferred(self.harness.keeper.log_in("c0de", "")))
        self.assertEqual(self.stored(), 2)
        self.assertEqual(self.access(), "uid|access-3")
        form = self.account.forms[-1]
        self.assertEqual(
            form,
            {
                "grant_type": "authorization_code",
                "client_id": "client",
                "client_secret": SECRET,
                "code": "c0de",
                "redirect_uri": "http://127.0.0.1:9127/callback",
                "scope": "read_station read_homecoach",
            },
        )

    def test_login_that_fails(self) -> None:
        """A code that is refused, or a network that is down, leaves all as it was."""
        for answer, kind in ((INVALID_GRANT, GrantRefused), (DOWN, CauseError), (HTML, CauseError)):
            self.account.answers = [answer]
            self.failureResultOf(ensureDeferred(self.harness.keeper.log_in("c0de", "")), kind)
            self.assertEqual(self.stored(), 1)

    def test_answers_that_repeat_a_secret(self) -> None:
        """What was sent, and the tokens of before, are in no fault's text."""
        self.fault(self.harness.access(), LoginNeeded)
        reported = f"no c0de-of-a-login, {'v' * 64}, access-1, refresh-1 or {SECRET}"
        answer = {"error": "invalid_grant", "error_description": reported}
        self.account.answers = [reply(answer, 400)]
        login = ensureDeferred(self.harness.keeper.log_in("c0de-of-a-login", "v" * 64))
        fault = self.failureResultOf(login, GrantRefused).value
        self.assertIn("'no ***, ***, ***, *** or ***'", str(fault))

    def test_verifier(self) -> None:
        """Where the server takes PKCE, the code's secret goes with it."""
        harness = Harness(provider=evolve(PROVIDER, pkce=True))
        harness.account.codes.add("c0de")
        self.successResultOf(ensureDeferred(harness.keeper.log_in("c0de", "v" * 64)))
        self.assertEqual(harness.account.forms[-1]["code_verifier"], "v" * 64)


class Configured(KeeperCase):
    """A refresh token in the configuration."""

    def start(self, token: str, *stored: object) -> None:
        self.harness = Harness(configured=Secret(token))
        self.disk, self.account = self.harness.disk, self.harness.account
        for each in stored:
            self.harness.put(each)  # type: ignore[arg-type]

    def restart(self, token: str) -> None:
        self.harness.configured = Secret(token)
        self.harness.keeper = self.harness.another()

    def test_first_start(self) -> None:
        """It is used once; from then on what came of it is, also after a restart."""
        self.start("uid|refresh-1")
        self.assertEqual(self.access(), "uid|access-2")
        self.assertEqual(self.stored(), 1)
        self.restart("uid|refresh-1")
        self.assertEqual(self.access(), "uid|access-2")
        self.harness.clock.advance(OUT)
        self.assertEqual(self.access(), "uid|access-3")
        self.restart("uid|refresh-1")
        self.assertEqual(self.access(), "uid|access-3")
        self.assertEqual(
            [form["refresh_token"] for form in self.account.forms],
            ["uid|refresh-1", "uid|refresh-2"],
        )

    def test_a_new_one_wins(self) -> None:
        """Another token in the configuration is a user's wish: it wins over what is stored."""
        self.start("uid|refresh-9", tokens(seed=fingerprint(Secret("uid|refresh-0"))))
        self.account.number = 9
        self.assertEqual(self.access(), "uid|access-10")

    def test_a_used_one_is_told_and_the_stored_ones_are_used(self) -> None:
        self.start("uid|refresh-0", tokens())
        self.assertEqual(self.access(), "uid|access-1")
        self.harness.clock.advance(OUT)
        self.assertEqual(self.access(), "uid|access-2")
        [line] = self.harness.logged("error")
        self.assertIn("The refresh_token of the configuration is refused", line)
        self.no_secret_in(line)
        self.restart("uid|refresh-0")
        self.assertEqual(self.access(), "uid|access-2")
        self.assertEqual(len(self.account.forms), 2)

    def test_none_is_good(self) -> None:
        """With both refused a login is asked for, and the server is not asked all the time."""
        self.start("uid|refresh-0", tokens())
        self.account.number = 5
        self.harness.clock.advance(OUT)
        for _ in range(5):
            self.fault(self.harness.access(), LoginNeeded)
        self.assertEqual(len(self.account.forms), 2)
        self.assertEqual(len(self.harness.logged("error")), 1)

    def test_a_refused_one_alone(self) -> None:
        self.start("uid|refresh-0")
        for _ in range(5):
            self.fault(self.harness.access(), LoginNeeded)
        self.assertEqual(len(self.account.forms), 1)

    def test_a_login_wins_over_a_used_one(self) -> None:
        """After a login the token in the configuration, which is still there, is not tried."""
        self.start("uid|refresh-0")
        self.fault(self.harness.access(), LoginNeeded)
        self.account.codes.add("c0de")
        self.successResultOf(ensureDeferred(self.harness.keeper.log_in("c0de", "")))
        self.restart("uid|refresh-0")
        self.assertEqual(self.access(), "uid|access-2")
        self.assertEqual(len(self.account.forms), 2)

    def test_network_down(self) -> None:
        """An outage does not use it up."""
        self.start("uid|refresh-1")
        self.account.answers = [DOWN, HTML]
        self.fault(self.harness.access(), CauseError)
        self.fault(self.harness.access(), CauseError)
        self.assertEqual(self.access(), "uid|access-2")

    def test_taken_out(self) -> None:
        """Without it in the configuration the stored tokens stay good."""
        self.start("uid|refresh-1")
        self.access()
        self.harness.configured = None
        self.harness.keeper = self.harness.another()
        self.assertEqual(self.access(), "uid|access-2")


class Looking(KeeperCase):
    """A keeper that may not ask for tokens, as in a diagnostic command."""

    def setUp(self) -> None:
        super().setUp()
        self.harness.put(tokens())
        self.harness.configured = Secret("uid|configured")
        self.harness.keeper = self.harness.another(may_ask=False)

    def test_a_stored_token_is_used(self) -> None:
        """As long as it is valid, no one is asked."""
        self.harness.configured = None
        self.harness.keeper = self.harness.another(may_ask=False)
        self.assertEqual(self.access(), tokens().access.reveal())
        self.assertEqual(self.account.forms, [])

    def test_no_refresh_token_is_used_up(self) -> None:
        """Neither the stored one nor that of the configuration; the text says why."""
        for asked in (self.harness.access(), self.harness.renew(tokens().access.reveal())):
            self.assertIn("would use up the refresh token", self.fault(asked, CauseError))
        self.harness.clock.advance(OUT)
        self.fault(self.harness.access(), CauseError)
        self.assertEqual(self.account.forms, [])


class Files(KeeperCase):
    """What is in the file."""

    def test_damaged(self) -> None:
        """A damaged file is set aside and reported in one line; a login is needed."""
        self.harness.put(b'{"access_token":"uid|half')
        text = self.fault(self.harness.access(), LoginNeeded)
        self.assertEqual(text, "there was no login yet")
        [line] = self.harness.logged("error")
        self.assertIn("set aside as /state/service/tokens.json.damaged", line)
        self.no_secret_in(line)
        self.assertIn(DAMAGED, self.disk.names)
        self.fault(self.harness.access(), LoginNeeded)
        self.assertEqual(len(self.harness.logged("error")), 1)

    def test_damaged_while_running(self) -> None:
        """The tokens in memory are good: they are written again, no one has to log in."""
        self.harness.put(tokens())
        self.access()
        self.harness.put(b"")
        self.assertEqual(self.access(), "uid|access-1")
        self.assertEqual(self.access(), "uid|access-1")
        self.assertEqual(self.stored(), 1)
        self.assertEqual(len(self.harness.logged("error")), 1)

    def test_removed_while_running(self) -> None:
        """A file that someone removed is written again."""
        self.harness.put(tokens())
        self.access()
        del self.disk.names[PATH]
        self.access()
        self.access()
        self.assertEqual(self.stored(), 1)

    def test_an_older_file_while_running(self) -> None:
        """A file from a backup does not replace tokens that are newer."""
        self.harness.put(tokens())
        self.harness.clock.advance(OUT)
        self.access()
        self.harness.put(tokens())
        self.assertEqual(self.access(), "uid|access-2")
        self.access()
        self.assertEqual(self.stored(), 2)

    def test_open_to_others(self) -> None:
        self.harness.put(tokens())
        self.disk.names[PATH].mode = 0o644
        self.access()
        self.assertEqual(self.disk.names[PATH].mode, 0o600)
        self.assertEqual(len(self.harness.logged("warn")), 1)

    def test_a_refresh_that_was_cut_off(self) -> None:
        """Tokens that were written when the process died are used at the next start."""
        self.harness.put(tokens())
        self.disk.names[NEW] = Inode(9, write_stored(tokens(2)))
        self.assertEqual(self.access(), "uid|access-2")
        self.assertEqual(self.stored(), 2)
        self.assertEqual(len(self.harness.logged("info")), 1)


class EveryStep(SynchronousTestCase):
    """The process dies at each system call of a refresh, the server having answered or not."""

    def refresh(self, disk: Disk, account: Account) -> Harness:
        put(disk, write_stored(tokens()))
        harness = Harness(disk=disk, account=account)
        harness.clock.advance(OUT)
        asked = harness.access()
        if disk.dead:
            self.failureResultOf(asked, Killed)
        else:
            self.successResultOf(asked)
        return harness

    def test_every_step(self) -> None:
        """The file parses and holds the old pair or the new one, and the next start goes on.

        It goes on without a login, but where the server has rotated and no byte of its answer
        was written: nothing can help there, and one line says what to do.
        """
        whole = Disk()
        self.refresh(whole, Account())
        logins = []
        for step, call in enumerate(whole.calls):
            account = Account()
            disk = Disk(die_at=step)
            self.refresh(disk, account)
            left = disk.after_kill()
            self.assertIn(read_stored(left.names[PATH].seen), (tokens(1), self.new_pair(whole)))
            after = Harness(disk=left, account=account)
            after.clock.advance(OUT)
            asked = after.access()
            if isinstance(asked.result, Secret):
                self.successResultOf(asked)
                continue
            self.failureResultOf(asked, LoginNeeded)
            self.assertEqual(account.number, 2, "nothing was rotated")
            logins.append(call)
        self.assertEqual(set(logins), {"write"})
        self.assertLessEqual(len(logins), 12)

    def new_pair(self, whole: Disk) -> object:
        return read_stored(whole.names[PATH].seen)
