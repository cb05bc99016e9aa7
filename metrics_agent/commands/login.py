"""`metrics-agent login MODULE`: a login on a terminal, for the modules that need one."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

from metrics_agent.commands.loading import load_found, locate
from metrics_agent.commands.stdout import say_error
from metrics_agent.config import AgentConfig, ModuleConfig, state_directory
from metrics_agent.errors import ConfigError
from metrics_agent.module_kind import named
from metrics_agent.process.boot import Process
from metrics_agent.process.exit import ExitCode
from metrics_agent.state.directory import state_directory_name

__all__ = ["login"]


def login(process: Process, config: str | None, name: str) -> ExitCode:
    """Guide the user through the login of a module, on stdin and stdout.

    Args:
        process: what `boot` made.
        config: the configuration file, None to look for it.
        name: the module, ``netatmo`` or ``netatmo:second``; it need not be enabled.

    Returns:
        0 if there is a login now, 1 if not, 78 if the configuration cannot be used.
    """
    try:
        found = load_found(locate(config))
        module = _module(found, name)
    except ConfigError as error:
        for fault in error.faults:
            say_error(f"error: {fault}")
        return ExitCode.CONFIG
    if module.settings is None:
        for fault in module.faults:
            say_error(f"error: {fault}")
        return ExitCode.CONFIG
    directory = state_directory(found.settings, os.environ) / state_directory_name(name)
    return _log_in(process, module, directory.absolute())


def _module(config: AgentConfig, name: str) -> ModuleConfig:
    """Return the table of a module that has a login.

    Raises:
        ConfigError: there is none; the text says which there are.
    """
    from metrics_agent.config import Fault

    with_login = [
        module.name
        for module in config.modules
        if module.kind is not None and module.kind.login is not None
    ]
    for module in config.modules:
        if module.name == name and name in with_login:
            return module
    known = any(module.name == name for module in config.modules)
    got = f"module {name!r} has no login" if known else f"there is no module {name!r}"
    others = ", ".join(with_login)
    hint = f"modules with a login: {others}" if others else "no module in this file has a login"
    raise ConfigError([Fault(str(config.path), got, hint=hint)])


def _log_in(process: Process, module: ModuleConfig, directory: Path) -> ExitCode:
    from twisted.internet import reactor
    from twisted.internet.defer import Deferred, ensureDeferred
    from twisted.python.failure import Failure

    from metrics_agent.transports.http import HttpClient

    assert module.kind is not None
    assert module.kind.login is not None
    guide = module.kind.login
    running: Any = reactor
    codes: list[ExitCode] = []

    async def run() -> bool:
        http = partial(HttpClient, reactor)
        return await named(guide)(module.settings, directory, reactor, http, sys.stdin, sys.stdout)

    def over(result: bool | Failure) -> None:
        if isinstance(result, Failure):
            say_error(f"error: {result.value!r}")
        codes.append(ExitCode.STOPPED if result is True else ExitCode.FAILED)
        running.callWhenRunning(_stop, running)

    def begin() -> None:
        work: Deferred[bool] = ensureDeferred(run())
        work.addBoth(over)

    running.callWhenRunning(begin)
    process.signals.attach(running, lambda _name: _stop(running), lambda: None)
    running.run()
    return codes[0] if codes else ExitCode.FAILED


def _stop(reactor: Any) -> None:
    if reactor.running:
        reactor.stop()
