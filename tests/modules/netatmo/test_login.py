"""`metrics-agent login netatmo`, without a terminal."""

from __future__ import annotations

import io
import re
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, DeferredQueue, ensureDeferred
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.config import Secret
from metrics_agent.modules.netatmo import login
from metrics_agent.modules.netatmo.config import NetatmoSettings
from metrics_agent.oauth2.tokens import read_stored
from tests.modules.netatmo.support import SECRET, Api, document, error, station


class LoginTests(SynchronousTestCase):
    """What a person reads, types, and gets."""

    def setUp(self) -> None:
        self.api = Api(codes={"c0de"}, devices={"getstationsdata": document(station(), station())})
        self.lines: DeferredQueue[str | None] = DeferredQueue()
        self.out = io.StringIO()
        scratch = tempfile.TemporaryDirectory(prefix="metrics-agent-")
        self.addCleanup(scratch.cleanup)
        self.directory = Path(scratch.name) / "netatmo"
        self.patch(login, "LineReader", lambda *_args: self)

    def get(self) -> Deferred[str | None]:
        return self.lines.get()

    def start(self, **changes: Any) -> Deferred[bool]:
        settings = NetatmoSettings(client_id="client", client_secret=Secret(SECRET), **changes)
        reactor = MemoryReactorClock()
        reactor.callFromThread = None
        self.addCleanup(lambda: [server[1].doStop() for server in reactor.tcpServers])
        return ensureDeferred(
            login.log_in(
                settings,
                self.directory,
                reactor,
                lambda **_limits: self.api,
                io.StringIO(),
                self.out,
            )
        )

    def state(self) -> str:
        return re.findall(r"state=([^&\s]+)", self.out.getvalue())[-1]

    def test_pasted(self) -> None:
        """The tokens are stored for the service, and what they give is shown."""
        done = self.start()
        self.lines.put(f"http://127.0.0.1:9127/callback?state={self.state()}&code=c0de")
        self.assertTrue(self.successResultOf(done))
        path = self.directory / "tokens.json"
        self.assertEqual(read_stored(path.read_bytes()).refresh.reveal(), "uid|refresh-2")
        text = self.out.getvalue()
        self.assertIn(f"The login is stored in {path}.", text)
        self.assertIn("weather stations: 2 found", text)
        for word in (SECRET, "uid|", "c0de"):
            self.assertNotIn(word, text)

    def test_what_the_login_does_not_allow(self) -> None:
        """A login that works and does not allow something is a login; that is said."""
        done = self.start()
        self.api.answers = [error(403, 13, "no good scope rights")]
        self.lines.put(f"?state={self.state()}&code=c0de")
        self.assertTrue(self.successResultOf(done))
        self.assertIn("weather stations: it answered 403 (13)", self.out.getvalue())

    def test_no_login(self) -> None:
        """Without one nothing is stored."""
        done = self.start()
        self.lines.put(f"?state={self.state()}&code=wrong")
        self.assertIn(
            "could not be completed: Netatmo answered 'invalid_grant'", self.out.getvalue()
        )
        self.assertNoResult(done)
        done.cancel()
        self.failureResultOf(done)
        self.assertFalse((self.directory / "tokens.json").exists())

    def test_directory_that_cannot_be_used(self) -> None:
        """A login that cannot be stored is not asked for: the fault is reported, with the path."""
        self.directory.write_text("a file in its place")
        self.start()
        self.lines.put(f"?state={self.state()}&code=c0de")
        self.assertIn(f"{self.directory}/tokens.json cannot be locked: ", self.out.getvalue())
