"""A login on a terminal."""

from __future__ import annotations

import io
import re
import threading
from typing import Any

from twisted.internet.defer import Deferred, DeferredQueue, ensureDeferred, fail, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.errors import MetricsAgentError
from metrics_agent.oauth2.console import LineReader, log_in_on_console
from metrics_agent.oauth2.login_page import LoginPage
from metrics_agent.oauth2.logins import Logins
from tests.hostile_text import unsafe
from tests.oauth2.support import PROVIDER, SECRET
from tests.oauth2.test_login_page import LOOK, Browser


class ConsoleTests(SynchronousTestCase):
    """What is said, and what is taken."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.logins = Logins(PROVIDER, self.reactor.seconds)
        self.lines: DeferredQueue[str | None] = DeferredQueue()
        self.said: list[str] = []
        self.codes: list[str] = []
        self.faults: list[Exception] = []
        self.page = LoginPage(
            self.reactor,
            "127.0.0.1",
            9127,
            PROVIDER,
            LOOK,
            self.logins,
            self.finish,
            Logger(observer=lambda _event: None),  # type: ignore[arg-type]
        )
        self.addCleanup(self.nothing_is_left)

    def nothing_is_left(self) -> None:
        self.assertIsNone(self.page._listening)
        for _, factory, *_ in self.reactor.tcpServers:
            factory.doStop()
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertNotIn(SECRET, "".join(self.said))

    def finish(self, granted: Any) -> Deferred[None]:
        self.codes.append(granted.code)
        return fail(self.faults.pop()) if self.faults else succeed(None)

    def start(self, *, page: bool = True) -> Deferred[bool]:
        return ensureDeferred(
            log_in_on_console(
                PROVIDER,
                self.logins,
                self.finish,
                next_line=self.lines.get,
                say=self.said.append,
                page=self.page if page else None,
            )
        )

    def state(self) -> str:
        """Return the state in the address that was said last."""
        return re.findall(r"state=([^&\s]+)", "".join(self.said))[-1]

    def test_pasted(self) -> None:
        """The address that the browser ended at, pasted, is a login."""
        login = self.start()
        text = "".join(self.said)
        self.assertIn("https://auth.example/oauth2/authorize?", text)
        self.assertIn("paste it here", text)
        self.assertNoResult(login)
        self.lines.put(f"  http://127.0.0.1:9127/callback?state={self.state()}&code=c0de ")
        self.assertTrue(self.successResultOf(login))
        self.assertEqual(self.codes, ["c0de"])

    def test_browser_on_this_machine(self) -> None:
        """The page takes the answer of a browser that runs here; nothing has to be pasted."""
        login = self.start()
        browser = Browser(self.reactor)
        browser.ask("GET", f"/callback?state={self.state()}&code=c0de")
        self.assertNoResult(login)
        self.assertIn("Connected", browser.ask("GET", "/done").body)
        self.reactor.advance(0)
        self.assertTrue(self.successResultOf(login))
        self.assertEqual(self.codes, ["c0de"])

    def test_nonsense(self) -> None:
        """What is no such address is said, and the next line is awaited."""
        login = self.start(page=False)
        for line in ("", "  ", "yes", "http://127.0.0.1:9127/callback?code=c0de&state=guess"):
            self.lines.put(line)
            self.assertNoResult(login)
        self.assertEqual("".join(self.said).count("That is not the address"), 2)
        self.lines.put(f"state={self.state()}&code=c0de")
        self.assertTrue(self.successResultOf(login))

    def test_declined_and_failed(self) -> None:
        """After a refusal or a fault there is a new address to try."""
        login = self.start(page=False)
        first = self.state()
        self.lines.put(f"?state={first}&error=access_denied")
        self.assertIn("Service gave no permission: you declined.", "".join(self.said))
        self.assertNotEqual(self.state(), first)
        self.faults.append(MetricsAgentError("api.example: no answer within 30 s"))
        self.lines.put(f"?state={self.state()}&code=c1")
        self.assertIn("could not be completed: api.example: no answer", "".join(self.said))
        self.lines.put(f"?state={self.state()}&code=c2")
        self.assertTrue(self.successResultOf(login))
        self.assertEqual(self.codes, ["c1", "c2"])

    def test_text_of_the_server(self) -> None:
        """What the server says is shown, but does not steer the terminal."""
        login = self.start(page=False)
        self.lines.put(f"?state={self.state()}&error=e&error_description=a%0A%1B[2K%E2%80%AEb")
        self.faults.append(MetricsAgentError("c\r\x9b2Kd"))
        self.lines.put(f"?state={self.state()}&code=c1")
        said = "".join(self.said)
        self.assertEqual(unsafe(said.replace("\n", "")), [])
        self.assertRegex(said, r"Service gave no permission: .*\\x1b\[2K.*b\.\n")
        self.assertIn("could not be completed: c\\r\\x9b2Kd.\n", said)
        self.assertNoResult(login)

    def test_end_of_input(self) -> None:
        """Without a terminal the page is what is left; without both there is no login."""
        login = self.start(page=False)
        self.lines.put(None)
        self.assertFalse(self.successResultOf(login))
        login = self.start()
        self.lines.put(None)
        self.assertNoResult(login)
        Browser(self.reactor).ask("GET", f"/callback?state={self.state()}&code=c0de")
        self.reactor.advance(10)
        self.assertTrue(self.successResultOf(login))

    def test_port_in_use(self) -> None:
        """The running agent may have the port: its page is named, and pasting works."""

        def listen(port: int, *_args: Any, **_more: Any) -> None:
            raise CannotListenError("127.0.0.1", port, OSError(98, "Address already in use"))

        self.patch(self.reactor, "listenTCP", listen)
        login = self.start()
        text = "".join(self.said)
        self.assertIn("127.0.0.1 port 9127: Address already in use", text)
        self.assertIn("the address in its log works as well", text)
        self.lines.put(f"?state={self.state()}&code=c2")
        self.assertTrue(self.successResultOf(login))


class LinesTests(SynchronousTestCase):
    """Reading a blocking stream."""

    def lines_of(self, stream: Any) -> list[str | None]:
        found: list[str | None] = []
        over = threading.Event()

        def call(put: Any, line: str | None) -> None:
            found.append(line)
            if line is None:
                over.set()

        LineReader(stream, call)
        self.assertTrue(over.wait(10))
        return found

    def test_lines(self) -> None:
        self.assertEqual(self.lines_of(io.StringIO("a\r\n\nb")), ["a", "", "b", None])

    def test_endless_line(self) -> None:
        """A line without an end is cut to pieces, and does not grow without end."""
        pieces = self.lines_of(io.StringIO("x" * 40_000))
        self.assertEqual([len(piece or "") for piece in pieces], [16384, 16384, 7232, 0])

    def test_not_text(self) -> None:
        """A stream that cannot be read is one that has ended."""
        stream = io.TextIOWrapper(io.BytesIO(b"\xff\xfe\n"), encoding="utf-8")
        self.assertEqual(self.lines_of(stream), [None])
