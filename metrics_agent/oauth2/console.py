"""A login on a terminal: for machines without a browser, and for people who are there by SSH.

The address of the service is printed; the person opens it anywhere. If the browser runs on this
machine, the page of `page` takes its answer. If not, the browser ends at an address that it cannot
open, and the person copies that from its address bar and pastes it here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, TextIO

from twisted.internet.defer import Deferred, DeferredQueue

from metrics_agent.characters import visible
from metrics_agent.errors import MetricsAgentError
from metrics_agent.oauth2.login_page import CannotServe, LoginPage
from metrics_agent.oauth2.logins import Granted, Logins, RedirectRefused, Unknown
from metrics_agent.oauth2.provider import Provider
from metrics_agent.process.bounded_thread import BoundedThread

__all__ = ["LineReader", "log_in_on_console"]

_MAX_LINE: Final = 16 * 1024


class LineReader:
    """The lines of a blocking stream, read by a thread that does not keep the process alive.

    Args:
        stream: to read; at its end ``get`` gives None from then on.
        call_from_thread: hands a call to the reactor.
    """

    def __init__(self, stream: TextIO, call_from_thread: Callable[..., object]) -> None:
        self._stream = stream
        self._call_from_thread = call_from_thread
        self._queue: DeferredQueue[str | None] = DeferredQueue()
        BoundedThread(self._read, "login-input", daemon=True).start()

    def get(self) -> Deferred[str | None]:
        """Return the next line, None at the end."""
        return self._queue.get()

    def _read(self) -> None:
        try:
            while line := self._stream.readline(_MAX_LINE):
                self._call_from_thread(self._queue.put, line.rstrip("\r\n"))
        except (OSError, ValueError):
            pass  # closed, or no text: there is nothing more to read
        self._call_from_thread(self._queue.put, None)


async def log_in_on_console(
    provider: Provider,
    logins: Logins,
    finish: Callable[[Granted], Awaitable[None]],
    *,
    next_line: Callable[[], Deferred[str | None]],
    say: Callable[[str], object],
    page: LoginPage | None,
) -> bool:
    """Guide the user through a login.

    Args:
        provider: who to log in to.
        logins: the logins under way; the page has the same.
        finish: turns a code into tokens.
        next_line: what the person types, None at its end.
        say: shows a text.
        page: takes the browser's answer if it runs here; None without.

    Returns:
        True if there is a login now.
    """
    listening = _listen(page, say)
    say(
        f"Log in to {provider.name}:\n\n"
        f"1. Open this address in a browser, on any machine:\n\n   {logins.begin()}\n\n"
        "2. Log in there and give the permission.\n\n"
    )
    say(
        "3. When the browser says that it is connected, you are done. If it cannot open the last\n"
        f"   page ({provider.redirect_uri}...), copy its whole address and paste it here:\n"
    )
    try:
        on_page: Deferred[None] = Deferred() if page is None else page.completed
        return await _wait(provider, logins, finish, next_line, say, on_page, listening)
    finally:
        if page is not None:
            await page.stop()


def _listen(page: LoginPage | None, say: Callable[[str], object]) -> bool:
    if page is None:
        return False
    try:
        page.start()
    except CannotServe as fault:
        say(
            f"(The answer of a browser on this machine cannot be taken here: {fault}. If the agent "
            "is running and serves its own page there, the address in its log works as well.)\n\n"
        )
        return False
    return True


async def _wait(
    provider: Provider,
    logins: Logins,
    finish: Callable[[Granted], Awaitable[None]],
    next_line: Callable[[], Deferred[str | None]],
    say: Callable[[str], object],
    on_page: Deferred[None],
    listening: bool,
) -> bool:
    line = next_line()
    while True:
        await _first_of(line, on_page)
        if on_page.called:
            line.addBoth(lambda _result: None)
            line.cancel()
            return True
        text = await line
        if text is None:
            if not listening:
                say("There is nothing more to read, and no login.\n")
                return False
            await on_page
            return True
        if text.strip() and await _take(text, provider, logins, finish, say):
            return True
        line = next_line()


async def _take(
    text: str,
    provider: Provider,
    logins: Logins,
    finish: Callable[[Granted], Awaitable[None]],
    say: Callable[[str], object],
) -> bool:
    """Use what was pasted; say what is wrong with it."""
    try:
        await finish(logins.end(text))
    except Unknown:
        say(
            "That is not the address that the browser was sent back to. It begins with\n"
            f"{provider.redirect_uri} and has state= and code= in it. Paste it whole:\n"
        )
        return False
    except RedirectRefused as refusal:
        reason = "you declined" if refusal.declined else visible(str(refusal))
        say(f"{provider.name} gave no permission: {reason}.\n")
    except MetricsAgentError as fault:
        say(f"The login could not be completed: {visible(str(fault))}.\n")
    else:
        return True
    say(f"\nTo try again open this address, and paste where you end:\n\n   {logins.begin()}\n\n")
    return False


def _first_of(*waiting: Deferred[Any]) -> Deferred[None]:
    """Return a Deferred that fires with the first; the others go on, their results stay."""
    first: Deferred[None] = Deferred()

    def fire(result: Any) -> Any:
        if not first.called:
            first.callback(None)
        return result

    for each in waiting:
        each.addBoth(fire)
    return first
