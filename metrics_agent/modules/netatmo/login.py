"""`metrics-agent login netatmo`: a login on a terminal, and a look at what it gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from twisted.logger import LogEvent, Logger, LogLevel, formatEvent

from metrics_agent.characters import visible
from metrics_agent.errors import MetricsAgentError
from metrics_agent.interfaces import Http
from metrics_agent.modules.netatmo.account import TOKEN_FILE, Account
from metrics_agent.modules.netatmo.answers import NextStep
from metrics_agent.modules.netatmo.config import NetatmoSettings
from metrics_agent.oauth2.console import LineReader, log_in_on_console
from metrics_agent.oauth2.login_page import LoginPage
from metrics_agent.oauth2.logins import Granted, Logins

__all__ = ["log_in"]


async def log_in(
    settings: NetatmoSettings,
    directory: Path,
    reactor: Any,
    http: Callable[..., Http],
    lines: TextIO,
    out: TextIO,
) -> bool:
    """Guide the user through a login.

    Args:
        settings: checked ones.
        directory: of the module's state. What root leaves there belongs to the owner of the
            agent's directory above it, so that the service can use it.
        reactor: running.
        http: makes a client, see `ModuleContext.http`.
        lines: what the person types.
        out: what the person reads.

    Returns:
        True if there is a login now.
    """

    def say(text: str) -> None:
        out.write(text)
        out.flush()

    log = Logger(namespace="login", observer=_Observer(say))  # type: ignore[arg-type]  # takes an event
    account = Account(settings, reactor, http, directory / TOKEN_FILE, log)
    logins = Logins(account.provider, reactor.seconds)

    async def finish(granted: Granted) -> None:
        await account.keeper.log_in(granted.code, granted.verifier)

    page = LoginPage(
        reactor,
        settings.login_host,
        settings.login_port,
        account.provider,
        account.look,
        logins,
        finish,
        log,
    )
    done = await log_in_on_console(
        account.provider,
        logins,
        finish,
        next_line=LineReader(lines, reactor.callFromThread).get,
        say=say,
        page=page,
    )
    if done:
        say(f"\nThe login is stored in {directory / TOKEN_FILE}.\n")
        await _show(account, say)
    return done


async def _show(account: Account, say: Callable[[str], object]) -> None:
    """Say what the login gives; what goes wrong here changes nothing of it."""
    for endpoint in account.endpoints:
        try:
            verdict = await account.ask(endpoint, await account.keeper.access())
        except MetricsAgentError as fault:
            say(f"{endpoint.name}: {visible(str(fault))}\n")
            continue
        if verdict.action is not NextStep.USE:
            say(f"{endpoint.name}: {visible(verdict.cause.text)}\n")
            continue
        devices = verdict.document["body"]["devices"]
        say(f"{endpoint.name}: {len(devices)} found\n")


class _Observer:
    """Shows what the parts have to say."""

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say = say

    def __call__(self, event: LogEvent) -> None:
        if event.get("log_level") not in {LogLevel.debug, LogLevel.info}:
            self._say(f"{visible(formatEvent(event))}\n")
