"""The service: asks the API now and then, hands its answers to the decoder, asks for logins.

Theory of operation. One turn asks for each kind of devices and says when the next turn is due: at
the usual interval, sooner with a longer wait each time while something is down, within minutes and
then at the next hour when there were too many requests. A fault of the network, of the API or of
the disk is logged once and waited out; the user is asked for a login, and the page is there, only
when the keeper says that one is needed or new tokens are refused for some minutes. Meanwhile turns
go on: a login in another process, or a server that takes the tokens again, is noticed by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, Final

from attrs import evolve
from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, ensureDeferred
from twisted.internet.interfaces import IDelayedCall
from zope.interface import implementer

from metrics_agent.backoff import Backoff
from metrics_agent.cause import Cause, CauseError
from metrics_agent.config import Secret
from metrics_agent.interfaces import IModule, ModuleContext
from metrics_agent.metric import Metric
from metrics_agent.modules.netatmo.account import TOKEN_FILE, Account, Endpoint
from metrics_agent.modules.netatmo.answers import Judgement, NextStep
from metrics_agent.modules.netatmo.config import NetatmoSettings
from metrics_agent.modules.netatmo.decode import StationNames, StationReading, decode
from metrics_agent.modules.netatmo.go_compat import to_original
from metrics_agent.modules.netatmo.status import Status
from metrics_agent.oauth2.keeper import LoginNeeded
from metrics_agent.oauth2.login_page import CannotServe, LoginPage
from metrics_agent.oauth2.logins import Granted, Logins
from metrics_agent.oauth2.store import StoreBusy

__all__ = ["NetatmoModule"]

_NS_PER_S: Final = 1_000_000_000
_HOUR_S: Final = 3600.0
_RETRY_MIN_S: Final = 15.0
_RETRY_MAX_S: Final = 15 * 60.0
_BUSY_S: Final = 2.0
_SHORT_PAUSE_S: Final = 120.0
"""There is a limit for ten seconds, and one for an hour."""
_REFUSED: Final = 6
"""So often a new token is refused before the user is asked: for some minutes."""
_LONG_BUSY: Final = 30
_LOOK_S: Final = 10.0
"""How often, while a login is needed, to look whether there is one."""

_DOUBTS: Final = 3
_MORE_DOUBTS: Final = 20
_MAX_REMEMBERED: Final = 10_000
_FAILED_TURNS: Final = 3
_API: Final = "values from Netatmo"


class _Later(Exception):  # noqa: N818 - no error
    """The turn is over, and the next one is due after a while."""

    def __init__(self, delay_s: float) -> None:
        self.delay_s = delay_s
        super().__init__(delay_s)


@implementer(IModule)
class NetatmoModule(Service):
    """Collects from all stations and Home Coaches of one account.

    Args:
        settings: checked ones.
        context: the door to the agent.
    """

    def __init__(self, settings: NetatmoSettings, context: ModuleContext) -> None:
        self._settings = settings
        self._context = context
        self._log = context.log
        self._original = settings.field_names == "original"
        self._naming = StationNames.of(settings.friendly_name_overrides, original=self._original)
        self._status = Status(context, context.reactor.seconds)
        longest_s = min(_RETRY_MAX_S, settings.interval)
        self._backoff = Backoff(_RETRY_MIN_S, longest_s, context.random)
        self._account: Account | None = None
        self._sent: dict[str, float] = {}
        self._doubts = 0
        self._busy = 0
        self._pauses = 0
        self._refusals = 0
        self._failed_turns = 0
        self._next: IDelayedCall | None = None
        self._turn: Deferred[Any] | None = None
        self._page: LoginPage | None = None
        self._login_needed = False

    def startService(self) -> None:
        """Begin with a turn at once."""
        super().startService()
        self._account = Account(
            self._settings,
            self._context.reactor,
            self._context.http,
            self._context.state_path(TOKEN_FILE),
            self._log,
            lambda: self._context.now_ns() / _NS_PER_S,
            self._context.random,
            may_ask=not self._context.read_only,
        )
        self._context.note_connection(_API, None)
        self._schedule(0)

    def stopService(self) -> Deferred[Any]:
        """Stop; fires when no refresh is under way, since its answer must reach the disk."""
        super().stopService()
        if self._next is not None and self._next.active():
            self._next.cancel()
        if self._turn is not None:
            self._turn.cancel()
        waiting: list[Deferred[Any]] = [self._close_page()]
        if self._account is not None:
            waiting.append(self._account.keeper.settled())
        return DeferredList(waiting, consumeErrors=True)

    # Turns.

    def _schedule(self, delay_s: float) -> None:
        self._next = self._context.later(delay_s, self._begin_turn, place="poll")

    def _begin_turn(self) -> None:
        if not self.running:
            return
        turn = ensureDeferred(self._take_turn())
        # Each request has its own limit; this one is for the unforeseen.
        turn.addTimeout(4 * self._settings.timeout + 60, self._context.reactor)
        self._turn = turn
        self._context.watch(turn, place="poll").addBoth(self._end_turn)

    def _end_turn(self, delay_s: Any) -> Any:
        """Set the next turn, whatever became of this one: the context logs its fault."""
        self._turn = None
        if not self.running:
            return delay_s
        if isinstance(delay_s, (int, float)):
            self._failed_turns = 0
            self._schedule(delay_s)
            return delay_s
        self._failed_turns += 1
        if self._failed_turns >= _FAILED_TURNS:
            self._context.fail(RuntimeError(f"{self._failed_turns} turns in a row failed"))
        else:
            self._schedule(self._backoff.next_delay_s())
        return delay_s

    async def _take_turn(self) -> float:
        """Ask for everything once; return when to do so again."""
        account = self._account
        assert account is not None
        try:
            for endpoint in account.endpoints:
                await self._collect(account, endpoint)
        except _Later as later:
            return later.delay_s
        except StoreBusy as busy:
            # The instance before this one, or `login`, is just writing.
            self._busy += 1
            if self._busy < _LONG_BUSY:
                return _BUSY_S
            return self._wait_out(Cause("busy_store", str(busy)))
        except LoginNeeded as need:
            return self._ask_for_login(need)
        except CauseError as fault:
            return self._wait_out(fault.cause)
        self._all_is_well()
        return self._settings.interval

    def _wait_out(self, cause: Cause) -> float:
        self._status.failed(_API, cause)
        return max(self._backoff.next_delay_s(), cause.retry_after_s)

    def _all_is_well(self) -> None:
        self._backoff.reset()
        self._doubts = 0
        self._busy = 0
        self._pauses = 0
        self._refusals = 0
        self._status.recovered(_API)
        if self._login_needed:
            self._login_needed = False
            self._log.info("Login at Netatmo restored.")
            if self._page is not None and not self._page.is_completing:
                self._context.watch(self._close_page(), place="login_page")

    async def _collect(self, account: Account, endpoint: Endpoint) -> None:
        token = await account.keeper.access()
        verdict = await account.ask(endpoint, token)
        if verdict.action is NextStep.RENEW:
            verdict = await self._ask_with_new_token(account, endpoint, token, verdict)
        elif verdict.action is NextStep.DOUBT and self._doubts_too_long():
            verdict = await self._ask_with_another_token(account, endpoint, token, verdict)
        if verdict.action is NextStep.USE:
            self._status.recovered(endpoint.name)
            self._take(verdict)
        elif verdict.action is NextStep.LEAVE:
            self._status.failed(endpoint.name, verdict.cause)
        elif verdict.action is NextStep.PAUSE:
            raise _Later(self._pause(verdict.cause))
        else:
            raise _Later(self._wait_out(verdict.cause))

    async def _ask_with_new_token(
        self, account: Account, endpoint: Endpoint, token: Secret, verdict: Judgement
    ) -> Judgement:
        """Ask again after a refresh; return an answer that does not refuse the token.

        Raises:
            LoginNeeded: new tokens have been refused for some minutes.
            _Later: this one is: a server may need some seconds to know a token that it gave.
        """
        try:
            other = await account.keeper.renew(token)
        except LoginNeeded as need:
            if need.is_cheap:
                raise
        else:
            verdict = await account.ask(endpoint, other)
            if verdict.action is not NextStep.RENEW:
                return verdict
        self._refusals += 1
        cause = evolve(verdict.cause, text=f"{verdict.cause.text}, although the token is new")
        if self._refusals >= _REFUSED:
            raise LoginNeeded(cause.text, is_cheap=False)
        raise _Later(self._wait_out(cause))

    def _pause(self, cause: Cause) -> float:
        """Report that there were too many requests; return how long to ask nothing."""
        self._pauses += 1
        rest_s = self._until_next_hour_s()
        if self._pauses == 1:
            text = f"{cause.text}, trying again within minutes"
            self._status.failed(_API, evolve(cause, text=text))
            return min(rest_s, _SHORT_PAUSE_S * (1 + self._context.random()))
        text = f"{cause.text}, waiting for the next hour"
        self._status.failed(_API, evolve(cause, kind=f"{cause.kind}_hour", text=text))
        return rest_s

    def _doubts_too_long(self) -> bool:
        """Return whether something is refused, without a number that we know, for quite a while.

        Should it be the token after all, another mends it; but each costs a refresh.
        """
        self._doubts += 1
        return self._doubts == _DOUBTS or self._doubts % _MORE_DOUBTS == 0

    async def _ask_with_another_token(
        self, account: Account, endpoint: Endpoint, token: Secret, verdict: Judgement
    ) -> Judgement:
        try:
            other = await account.keeper.renew(token)
        except LoginNeeded as need:
            if need.is_cheap:
                raise
            # The token is new: it is not the reason.
            return verdict
        return await account.ask(endpoint, other)

    def _until_next_hour_s(self) -> float:
        now_s = self._context.now_ns() / _NS_PER_S
        # Not all at once when the hour begins.
        return _HOUR_S - now_s % _HOUR_S + 60 * self._context.random()

    # Devices.

    def _take(self, verdict: Judgement) -> None:
        readings = list(
            decode(
                verdict.document,
                self._naming,
                received_ns=self._context.now_ns(),
                stale_after_s=self._settings.stale_after,
                drop=partial(self._context.left_out, harmless=True),
            )
        )
        self._status.devices(readings)
        metrics: Iterable[Metric] = (
            metric for reading in self._news(readings) for metric in reading.metrics
        )
        self._context.emit(to_original(metrics) if self._original else metrics)

    def _news(self, readings: Iterable[StationReading]) -> Iterator[StationReading]:
        """Leave out what was sent before: stations send less often than they are asked."""
        if len(self._sent) > _MAX_REMEMBERED:
            self._sent.clear()
        for reading in readings:
            if reading.time_s is not None:
                if self._sent.get(reading.device) == reading.time_s:
                    continue
                self._sent[reading.device] = reading.time_s
            yield reading

    # Logins.

    def _ask_for_login(self, need: LoginNeeded) -> float:
        """Ask the user for a login, once."""
        self._context.note_connection(_API, f"a login is needed, {need}")
        if not self._login_needed:
            self._login_needed = True
            self._log.error(
                "A login at Netatmo is needed, {why}. {how}",
                why=str(need),
                how=self._open_page(),
                fold=False,
            )
        return _LOOK_S if need.is_cheap else self._backoff.next_delay_s()

    def _open_page(self) -> str:
        """Open the page if one is wanted; return what the user can do."""
        command = f"`metrics-agent login {self._context.name}`"
        if self._context.read_only or not self._settings.login_page:
            return f"Run {command}."
        account = self._account
        assert account is not None
        reactor = self._context.reactor
        self._page = LoginPage(
            reactor,
            self._settings.login_host,
            self._settings.login_port,
            account.provider,
            account.look,
            Logins(account.provider, reactor.seconds),
            self._finish_login,
            self._log,
        )
        try:
            self._page.start()
        except CannotServe as fault:
            self._page = None
            return f"Run {command}; the page for it cannot be served ({fault})."
        self._context.later(
            self._settings.login_timeout, self._end_page, self._page, place="login_page"
        )
        return f"Open {self._page.address} in a browser on this machine, or run {command}."

    async def _finish_login(self, granted: Granted) -> None:
        account = self._account
        assert account is not None
        await account.keeper.log_in(granted.code, granted.verifier)
        self._log.info("Logged in at Netatmo.")
        self._turn_now()

    def _turn_now(self) -> None:
        if self.running and self._turn is None:
            if self._next is not None and self._next.active():
                self._next.cancel()
            self._schedule(0)

    def _end_page(self, page: LoginPage) -> None:
        if self._page is not page or not self._login_needed:
            return
        self._log.warn(
            "No login within {minutes:g} min; the login page is closed. Run `metrics-agent "
            "login {name}`, or reload the agent (SIGHUP) for the page.",
            minutes=self._settings.login_timeout / 60,
            name=self._context.name,
            fold=False,
        )
        self._context.watch(self._close_page(), place="login_page")

    def _close_page(self) -> Deferred[None]:
        page, self._page = self._page, None
        if page is not None:
            return page.stop()
        closed: Deferred[None] = Deferred()
        closed.callback(None)
        return closed
