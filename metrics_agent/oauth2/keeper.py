"""Has the tokens of one account.

Theory of operation. Whatever needs an access token asks the keeper; nothing else sees the
refresh token. Refreshing, and all else that touches the file, is work that no asker owns: who is
cancelled while it runs (a module that is stopped, a reload) does not cancel it, since its answer
must reach the disk. One piece of such work runs at a time, with the store's lock held. A refresh
reads the file again (another process may have refreshed, or the user logged in), makes room on
the disk, asks, writes, and only then are the new tokens used.

What the server says decides what the user is asked: only refused tokens ask for a login. A
network fault, an answer that cannot be read, a server under maintenance, a full disk: each is
logged and retried later, and the tokens stay what they are. Since servers have been seen refusing
good tokens for a while, refused ones are tried again now and then too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, TypeVar

from attrs import evolve
from twisted.internet.defer import Deferred, DeferredLock, ensureDeferred
from twisted.logger import Logger

from metrics_agent.backoff import Backoff
from metrics_agent.cause import Cause, CauseError
from metrics_agent.config.secret import Secret
from metrics_agent.errors import MetricsAgentError
from metrics_agent.http_interface import Http
from metrics_agent.oauth2.provider import Provider
from metrics_agent.oauth2.replies import GrantRefused, read_reply
from metrics_agent.oauth2.store import Damaged, Reservation, StoreFault, TokenStore
from metrics_agent.oauth2.tokens import Tokens, fingerprint
from metrics_agent.state.files import Stamp

__all__ = ["Keeper", "LoginNeeded"]

T = TypeVar("T")
InThread = Callable[..., Awaitable[Any]]

_FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}
_ASK_AGAIN_MIN_S: Final = 60.0
_ASK_AGAIN_MAX_S: Final = 3600.0
_NEW_S: Final = 600.0
"""An access token that the API refuses at this age would not be mended by another refresh."""


class LoginNeeded(MetricsAgentError):  # noqa: N818 - says what is the case
    """Needs user action: there are no tokens, or they are refused; the text says why.

    Args:
        text: a clause.
        is_cheap: the server was not asked, or not often: asking the keeper again is fine.
    """

    def __init__(self, text: str, *, is_cheap: bool = True) -> None:
        self.is_cheap = is_cheap
        super().__init__(text)


class Keeper:
    """The tokens of one account.

    Args:
        provider: who gives them.
        store: where they are kept.
        http: how the provider is asked.
        log: where to.
        now_s: the wall clock, seconds since the epoch.
        seconds: the reactor's clock.
        in_thread: runs a blocking call elsewhere; its result must come even without a waiter.
        configured: a refresh token from the configuration. It is used once; what came of it
            stays in use until another token is configured.
        random: floats from 0 to below 1, for the delays.
        may_ask: the provider may be asked for tokens. If not, an access token that is stored is
            used until it runs out, and no refresh token is used up.
    """

    def __init__(
        self,
        provider: Provider,
        store: TokenStore,
        http: Http,
        *,
        log: Logger,
        now_s: Callable[[], float],
        seconds: Callable[[], float],
        in_thread: InThread,
        random: Callable[[], float],
        configured: Secret | None = None,
        may_ask: bool = True,
    ) -> None:
        self._provider = provider
        self._store = store
        self._http = http
        self._log = log
        self._now_s = now_s
        self._seconds = seconds
        self._in_thread = in_thread
        self._configured = configured
        self._may_ask = may_ask
        self._seed = "" if configured is None else fingerprint(configured)
        self._turn = DeferredLock()
        # The tokens, whether the file lacks them, and the state of the file that we know.
        self._tokens: Tokens | None = None
        self._unsaved = False
        self._stamp: Stamp | None = None
        self._looked = False
        # Refresh tokens that were refused, and when they may be tried again.
        self._refused: set[Secret] = set()
        self._ask_again_s = 0.0
        self._backoff = Backoff(_ASK_AGAIN_MIN_S, _ASK_AGAIN_MAX_S, random)

    async def access(self) -> Secret:
        """Return an access token that should be good, after a refresh if it has run out.

        Raises:
            LoginNeeded: the user has to log in.
            CauseError: the provider gave none this time, or the file cannot be used.
            StoreBusy: another process uses the file just now.
        """
        await self._look()
        tokens = self._usable()
        if tokens is None or tokens.has_run_out(self._now_s()):
            tokens = await self._alone(self._refresh)
        return tokens.access

    async def renew(self, refused: Secret) -> Secret:
        """Return another access token than one that the API has refused.

        Args:
            refused: the access token; if it is not the current one the current one is returned.

        Raises:
            As `access`.
        """
        tokens = self._usable()
        if tokens is not None and tokens.access == refused:
            age_s = self._now_s() - tokens.obtained_at_s
            if 0 <= age_s < _NEW_S:
                text = f"{self._provider.name} refuses tokens that it gave just now"
                raise LoginNeeded(text, is_cheap=False)
            tokens = None
        if tokens is None:
            tokens = await self._alone(lambda: self._refresh(unless=refused))
        return tokens.access

    async def log_in(self, code: str, verifier: str) -> None:
        """Turn the code of a login into tokens, and keep them.

        Raises:
            CauseError, StoreBusy: as `access`.
        """
        form = self._provider.code_form(code, verifier)
        await self._alone(lambda: self._ask(form, None, [Secret(code), Secret(verifier)]))

    def settled(self) -> Deferred[None]:
        """Return a Deferred that fires when no refresh is under way."""
        return self._turn.run(lambda: None)

    # Work without an owner.

    def _alone(self, work: Callable[[], Awaitable[T]]) -> Deferred[T]:
        """Do work when it is its turn, with the lock held.

        Returns:
            A Deferred of the asker's own: cancelling it does not end the work.
        """
        waiter: Deferred[T] = Deferred()

        async def locked() -> T:
            lock = await self._in_thread(self._store.lock)
            try:
                return await work()
            finally:
                await self._in_thread(lock.release)

        def hand_on(result: Any) -> None:
            if not waiter.called:
                waiter.callback(result)

        self._turn.run(lambda: ensureDeferred(locked())).addBoth(hand_on)
        return waiter

    # What is known.

    def _ours(self) -> Tokens | None:
        """Return the tokens of this client."""
        tokens = self._tokens
        if tokens is None or tokens.client_id != self._provider.client_id:
            return None
        return tokens

    def _candidates(self) -> list[Secret]:
        """Return the refresh tokens there are, the one to try first before the other."""
        tokens = self._ours()
        found = []
        if self._configured is not None and (tokens is None or tokens.seed != self._seed):
            found.append(self._configured)
        if tokens is not None:
            found.append(tokens.refresh)
        return found

    def _known(self) -> list[Secret]:
        """Return the tokens that a server may repeat."""
        known = [] if self._configured is None else [self._configured]
        if self._tokens is not None:
            known += [self._tokens.access, self._tokens.refresh]
        return known

    def _usable(self) -> Tokens | None:
        """Return our tokens, unless the configuration has a newer refresh token."""
        tokens = self._ours()
        if tokens is None:
            return None
        fresh = [each for each in self._candidates() if each not in self._refused]
        return tokens if not fresh or fresh[0] == tokens.refresh else None

    async def _look(self) -> None:
        """See whether the file has changed; write what could not be written before."""
        if not self._looked:
            await self._alone(self._first_look)
        elif self._unsaved:
            await self._save_late()
        elif await self._in_thread(self._store.stamp) != self._stamp:
            await self._alone(self._read)

    async def _first_look(self) -> None:
        recovered = await self._in_thread(self._store.recover)
        if recovered is not None:
            self._log.info(
                "A refresh that was cut off is completed: its tokens had been written to {path}.",
                path=str(self._store.path),
            )
        await self._read()
        if await self._in_thread(self._store.narrow):
            self._log.warn(
                "{path} was readable by other users; permissions fixed.",
                path=str(self._store.path),
            )
        self._looked = True

    async def _read(self) -> None:
        """Take what the file says; a damaged one is set aside and logged."""
        stamp = await self._in_thread(self._store.stamp)
        tokens: Tokens | None
        try:
            tokens = await self._in_thread(self._store.load)
        except Damaged as damage:
            aside = await self._in_thread(self._store.set_aside)
            self._log.error(
                "The file of tokens is damaged and was set aside as {aside}: {damage}.",
                aside=str(aside),
                damage=str(damage),
            )
            tokens, stamp = None, None
        self._stamp = stamp
        if self._tokens is None or (tokens is not None and _is_later(tokens, self._tokens)):
            self._tokens = tokens
            self._unsaved = False
        elif tokens != self._tokens:
            # The file is gone, or older than what we have: ours is good and is written again.
            self._unsaved = True

    # Refreshing.

    async def _refresh(self, unless: Secret | None = None) -> Tokens:
        """Get new tokens for old; with the lock held.

        Args:
            unless: an access token that the API has refused.
        """
        if self._unsaved:
            await self._write()
        await self._read()
        good = self._good(unless)
        if good is not None:
            # Another process was faster, or the user has logged in.
            return good
        candidates = self._candidates()
        if not candidates:
            raise self._nothing_to_ask_with()
        fresh = [each for each in candidates if each not in self._refused]
        if not fresh and self._seconds() >= self._ask_again_s:
            fresh = candidates
        refusal: GrantRefused | None = None
        for candidate in fresh:
            try:
                return await self._ask(self._provider.refresh_form(candidate), candidate)
            except GrantRefused as fault:  # noqa: PERF203 - there are two at most
                refusal = fault
                self._refuse(candidate, fault)
                good = self._good(unless)
                if good is not None:
                    return good
        raise LoginNeeded(
            "the refresh token is refused; it was used elsewhere or the login was revoked"
        ) from refusal

    def _good(self, unless: Secret | None) -> Tokens | None:
        """Return our tokens if they need no refresh."""
        tokens = self._usable()
        if tokens is None or tokens.access == unless or tokens.has_run_out(self._now_s()):
            return None
        return tokens

    def _nothing_to_ask_with(self) -> LoginNeeded:
        if self._tokens is not None:
            return LoginNeeded("the stored login belongs to another client_id")
        return LoginNeeded("there was no login yet")

    def _refuse(self, candidate: Secret, fault: GrantRefused) -> None:
        if candidate == self._configured and candidate not in self._refused:
            self._log.error(
                "The refresh_token of the configuration is refused ({fault}). Each is good for "
                "one use: it was used already, or revoked.",
                fault=str(fault),
            )
        self._refused.add(candidate)
        self._ask_again_s = self._seconds() + self._backoff.next_delay_s()

    async def _ask(
        self, form: bytes, previous: Secret | None, sent: Iterable[Secret] = ()
    ) -> Tokens:
        """Get tokens and keep them; with the lock held.

        Args:
            form: for the server.
            previous: the refresh token in it.
            sent: other secrets in it, but for the client's.

        Raises:
            CauseError: there are none, or none may be asked for.
        """
        if not self._may_ask:
            text = (
                "no valid access token is stored, and a command that only looks does not renew it: "
                "that would use up the refresh token, which the agent needs"
            )
            raise CauseError(Cause("not_asked", text))
        room: Reservation = await self._in_thread(self._store.prepare)
        try:
            reply = await self._http.post(self._provider.token_url, form, headers=_FORM)
            tokens = read_reply(
                reply,
                self._provider,
                self._now_s(),
                previous=previous,
                others=[*sent, *self._known()],
            )
            serial = 0 if self._tokens is None else self._tokens.serial
            tokens = evolve(tokens, serial=serial + 1, seed=self._seed)
            await self._commit(room, tokens)
        finally:
            await self._in_thread(room.discard)
        self._refused.clear()
        self._backoff.reset()
        return tokens

    async def _commit(self, room: Reservation, tokens: Tokens) -> None:
        """Write tokens, and use them from then on."""
        try:
            await self._in_thread(room.commit, tokens)
        except StoreFault as fault:
            # The access token serves until it runs out. The refresh token is not used before it
            # is on the disk, see `_refresh`.
            self._tokens = tokens
            self._unsaved = True
            self._log.error(
                "New tokens could not be written: {fault}. It is tried again; should this process "
                "end before, a login will be needed.",
                fault=str(fault),
            )
            return
        self._tokens = tokens
        await self._written()

    async def _written(self) -> None:
        self._unsaved = False
        self._stamp = await self._in_thread(self._store.stamp)

    async def _save_late(self) -> None:
        """Write what could not be written when it came."""
        try:
            await self._alone(self._write)
        except MetricsAgentError as fault:
            self._log.warn("The tokens are still not written: {fault}.", fault=str(fault))

    async def _write(self) -> None:
        """Write the tokens we have; with the lock held."""
        assert self._tokens is not None
        room: Reservation = await self._in_thread(self._store.prepare)
        try:
            await self._in_thread(room.commit, self._tokens)
        finally:
            await self._in_thread(room.discard)
        await self._written()
        self._log.info("The tokens are written to {path} now.", path=str(self._store.path))


def _is_later(one: Tokens, other: Tokens) -> bool:
    """Return whether a file's tokens are newer than those in memory."""
    return one.serial > other.serial or one.obtained_at_s > other.obtained_at_s
