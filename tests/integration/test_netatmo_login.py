"""`metrics-agent login netatmo` as a user uses it: a terminal here, a browser elsewhere."""

from __future__ import annotations

import os
import pty
import re
import ssl
import stat
import subprocess
from pathlib import Path
from typing import Any
from unittest import SkipTest
from urllib.parse import urlencode
from urllib.request import HTTPRedirectHandler, HTTPSHandler, Request, build_opener

from twisted.internet import reactor
from twisted.internet.threads import deferToThread

from tests.integration.test_netatmo import NetatmoCase
from tests.integration.watching import argv, environment, pause, until

SERVICE_USER = 990


class _NoRedirect(HTTPRedirectHandler):
    """Stops where the browser would be sent on."""

    def redirect_request(self, *_args: Any, **_more: Any) -> None:
        return None


class Terminal:
    """The command at a terminal of its own; ends with the test."""

    def __init__(self, case: NetatmoCase, *words: str) -> None:
        self._mine, its = pty.openpty()
        self.process = subprocess.Popen(
            argv("metrics-agent", "login", *words, "-c", str(case.config_path)),
            stdin=its,
            stdout=its,
            stderr=its,
            env=environment(),
            start_new_session=True,
        )
        os.close(its)
        self.text = ""
        reactor.addReader(self)
        case.addCleanup(self.end)

    def fileno(self) -> int:
        return self._mine

    def logPrefix(self) -> str:
        return "terminal"

    def doRead(self) -> None:
        try:
            self.text += os.read(self._mine, 4096).decode()
        except OSError:
            reactor.removeReader(self)

    def connectionLost(self, _reason: Any) -> None:
        """The reactor has stopped."""

    def type(self, line: str) -> None:
        """Type a line."""
        os.write(self._mine, f"{line}\n".encode())

    async def shows(self, text: str) -> None:
        """Wait for a text."""
        await until(lambda: text in self.text, lambda: f"{text!r} in {self.text}", 30)

    async def ended(self) -> int:
        """Wait for the command's end; return its exit code."""
        await until(lambda: self.process.poll() is not None, lambda: f"the end: {self.text}", 30)
        return int(self.process.returncode)

    def end(self) -> None:
        reactor.removeReader(self)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(20)
        os.close(self._mine)


class OnATerminal(NetatmoCase):
    """Logins on a terminal."""

    def consent(self, terminal: Terminal, decision: str = "yes") -> str:
        """Do what a browser elsewhere does; return the address that it cannot open."""
        address = re.findall(r"https://\S+/oauth2/authorize\?\S+", terminal.text)[-1]
        context = ssl.create_default_context(cafile=str(self.peer.authority.path))
        opener = build_opener(_NoRedirect, HTTPSHandler(context=context))
        query = address.partition("?")[2]
        body = urlencode({"decision": decision}).encode()
        request = Request(f"{self.peer.url}/oauth2/decide?{query}", body)
        try:
            opener.open(request, timeout=20).close()
        except OSError as answer:
            return str(answer.headers["Location"])  # type: ignore[attr-defined]
        raise AssertionError("no redirect")

    async def test_pasted_while_the_agent_runs(self) -> None:
        """A pasted address is a login, and the agent that waits for one goes on by itself."""
        self.configure(self.peer.config())
        parent = await self.start()
        await self.said(parent, "A login at Netatmo is needed", "E")
        terminal = Terminal(self, "netatmo")
        await terminal.shows("paste it here")
        # The agent's own page has the port.
        await terminal.shows("cannot be taken here")
        terminal.type("what?")
        await terminal.shows("That is not the address")
        terminal.type(self.consent(terminal))
        await terminal.shows("The login is stored in")
        await terminal.shows("weather stations: 1 found")
        self.assertEqual(await terminal.ended(), 0)
        await self.metrics(parent)
        await self.said(parent, "Login at Netatmo restored.", "I")
        self.assertEqual(len(self.lines_with(parent, "", "E")), 1)
        for word in self.peer.secrets():
            self.assertNotIn(word, terminal.text)
        self.assert_nothing_secret(parent)
        self.assert_private()

    async def test_browser_on_this_machine(self) -> None:
        """Without an agent the command takes the browser's answer itself."""
        self.configure(self.peer.config())
        terminal = Terminal(self, "netatmo")
        await terminal.shows("paste it here")
        address = self.consent(terminal)
        opener = build_opener()
        answer = await deferToThread(opener.open, address, None, 20)
        self.assertEqual(answer.geturl(), f"http://127.0.0.1:{self.peer.login_port}/done")
        self.assertIn(b"Connected to Netatmo", answer.read())
        answer.close()
        self.assertEqual(await terminal.ended(), 0)
        self.assertEqual(self.stored().refresh.reveal(), self.peer.pair["refresh_token"])

    async def test_declined(self) -> None:
        """A refusal is said, with another address to try; Ctrl-C ends the command."""
        self.configure(self.peer.config())
        terminal = Terminal(self, "netatmo")
        await terminal.shows("paste it here")
        terminal.type(self.consent(terminal, "no"))
        await terminal.shows("Netatmo gave no permission: you declined.")
        await terminal.shows("To try again open this address")
        terminal.process.send_signal(2)
        self.assertEqual(await terminal.ended(), 1)
        self.assertFalse(self.tokens.exists())

    async def test_wrong_words(self) -> None:
        """A module without a login, or none of that name, is named with those that have one."""
        self.configure(self.peer.config() + "[modules.demo]\n")
        for name in ("demo", "nonsense"):
            terminal = Terminal(self, name)
            self.assertEqual(await terminal.ended(), 78)
            await terminal.shows("modules with a login: netatmo")

    async def test_by_root(self) -> None:
        """What root leaves belongs to the service, which can use and replace it."""
        if os.geteuid() != 0:
            raise SkipTest("only root can become somebody else")
        state = self.directory / "state"
        state.mkdir()
        os.chown(state, SERVICE_USER, SERVICE_USER)
        self.let_the_service_in()
        self.configure(self.peer.config())
        terminal = Terminal(self, "netatmo")
        await terminal.shows("paste it here")
        terminal.type(self.consent(terminal))
        self.assertEqual(await terminal.ended(), 0)
        for path in (self.tokens.parent, *self.tokens.parent.iterdir()):
            status = path.stat()
            self.assertEqual(status.st_uid, SERVICE_USER, path)
            mode = 0o700 if path.is_dir() else 0o600
            self.assertEqual(stat.S_IMODE(status.st_mode), mode, path)
        await pause(0)

    def let_the_service_in(self) -> None:
        """Open the test's own directories, which only root can enter, for this test."""
        for path in (self.directory, *self.directory.parents):
            if path == Path("/"):
                break
            mode = stat.S_IMODE(path.stat().st_mode)
            if not mode & 0o001:
                path.chmod(mode | 0o001)
                self.addCleanup(path.chmod, mode)
