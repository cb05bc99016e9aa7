"""`metrics-agent login`: which module, and how it ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock

from metrics_agent.commands import loading
from metrics_agent.commands.login import login
from metrics_agent.module_kind import ModuleKind
from metrics_agent.modules.demo import MODULE as DEMO
from metrics_agent.process.boot import Process
from metrics_agent.transports.http import HttpClient
from tests.commands.case import FAULTY, GLOBAL_FAULT, GOOD, CommandCase

Login = Callable[..., Any]


class WaitingReactor(MemoryReactorClock):
    """A reactor whose run is over when someone stops it, or when the test's signal came."""

    on_run: Callable[[], None] = staticmethod(list)

    def run(self) -> None:
        self.running = True
        self.hasRun = True
        for call, args, kwargs in self.whenRunningHooks:
            call(*args, **kwargs)
        self.on_run()
        self.advance(0)

    def callFromThread(self, call: Callable[..., object], *args: object) -> None:
        self.callLater(0, call, *args)


class LoginTests(CommandCase):
    """With a module whose login is the test's."""

    def setUp(self) -> None:
        super().setUp()
        self.reactor = WaitingReactor()
        self.use_reactor(self.reactor)
        self.process = Process()
        self.patch(self.process.signals, "install_early", lambda: None)
        self.asked: list[tuple[Any, ...]] = []

    def login(self, log_in: Login | None, *, text: str = GOOD, instance: str = "demo") -> int:
        kind = evolve(DEMO, login=log_in)
        kinds: dict[str, ModuleKind] = {"demo": kind}
        self.patch(loading, "find_kind", kinds.get)
        state = f'state_dir = "{self.directory}"\n'
        return login(self.process, self.write(state + text), instance)

    def gives(self, result: Any) -> Login:
        async def log_in(*args: Any) -> Any:
            self.asked.append(args)
            if isinstance(result, BaseException):
                raise result
            return result

        return log_in

    def test_logged_in(self) -> None:
        """True is 0; the module gets its settings, its directory, the user's terminal."""
        self.assertEqual(self.login(self.gives(True)), 0)
        ((settings, directory, reactor, http, stdin, stdout),) = self.asked
        self.assertEqual((settings.interval, directory), (1.0, Path(self.directory) / "demo"))
        self.assertEqual((reactor, stdout), (self.reactor, self.stdout))
        self.assertFalse(self.reactor.running)
        self.assertIsNotNone(stdin)
        self.assertIsInstance(http(timeout_s=1, body_limit=1), HttpClient)

    def test_not_logged_in(self) -> None:
        """Anything else is 1."""
        for result in (False, None, "yes"):
            self.setUp()
            self.assertEqual(self.login(self.gives(result)), 1, result)

    def test_raises(self) -> None:
        """A login that fails says why in one line."""
        for error in (ValueError("no oven"), SystemExit(3)):
            self.setUp()
            self.assertEqual(self.login(self.gives(error)), 1)
            self.assertEqual(self.stderr.getvalue(), f"error: {error!r}\n")

    def test_does_not_even_begin(self) -> None:
        """So does one that is not a coroutine."""
        for broken in (lambda *_args: 1 / 0, lambda *_args: 5):
            self.setUp()
            self.assertEqual(self.login(broken), 1)
            self.assertTrue(self.stderr.getvalue().startswith("error: "))

    def test_interrupted(self) -> None:
        """A signal ends a login that waits, with 1."""
        self.reactor.on_run = lambda: self.process.signals._handle(2, None)  # type: ignore[method-assign]
        self.assertEqual(self.login(lambda *_args: Deferred()), 1)
        self.assertFalse(self.reactor.running)

    def test_not_enabled(self) -> None:
        """The module need not be enabled yet."""
        self.assertEqual(self.login(self.gives(True), text=GOOD.replace("true", "false")), 0)

    def test_no_such_module(self) -> None:
        """A module that is not there, or has no login, names those that have one."""
        self.assertEqual(self.login(self.gives(True), instance="demo:two"), 78)
        self.assertIn(
            "there is no module 'demo:two', modules with a login: demo\n", self.stderr.getvalue()
        )
        self.setUp()
        self.assertEqual(self.login(None), 78)
        self.assertIn(
            "module 'demo' has no login, no module in this file has a login\n",
            self.stderr.getvalue(),
        )
        self.assertFalse(self.reactor.hasRun)

    def test_wrong_configuration(self) -> None:
        """A wrong file, and wrong settings of this module, are reported on a line each."""
        for text, count in ((GLOBAL_FAULT + GOOD, 2), (FAULTY, 1)):
            self.setUp()
            self.assertEqual(self.login(self.gives(True), text=text), 78)
            lines = self.stderr.getvalue().splitlines()
            self.assertEqual(len(lines), count)
            self.assertTrue(all(line.startswith("error: ") for line in lines), lines)
