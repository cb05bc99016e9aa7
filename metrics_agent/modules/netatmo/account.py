"""The account at Netatmo: what the service and `login` both need."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import random
from typing import Any, Final

from attrs import field, frozen
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorThreads
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from metrics_agent.clock import wall_s
from metrics_agent.config import Secret
from metrics_agent.interfaces import Http
from metrics_agent.modules.netatmo.answers import Judgement, judge
from metrics_agent.modules.netatmo.config import NetatmoSettings
from metrics_agent.oauth2.html import Look
from metrics_agent.oauth2.keeper import Keeper
from metrics_agent.oauth2.provider import Provider
from metrics_agent.oauth2.store import TokenStore
from metrics_agent.transports.settings import TlsSettings

__all__ = ["TOKEN_FILE", "Account", "Endpoint"]

TOKEN_FILE: Final = "tokens.json"  # noqa: S105 - a name
_NAME: Final = "Netatmo"
_LIFETIME_S: Final = 3 * 3600
_BODY_LIMIT: Final = 1 << 20
"""Bytes; an answer with a hundred stations has about half a megabyte."""

_GIVES: Final = {
    "read_station": "read the values of your weather stations",
    "read_homecoach": "read the values of your Home Coaches",
}


@frozen
class Endpoint:
    """One kind of devices.

    Attributes:
        name: for people.
        url: where they are asked for.
        params: of the query.
    """

    name: str
    url: str
    params: dict[str, str] = field(factory=dict)


class Account:
    """Knows whom to ask, and what for.

    Args:
        settings: checked ones.
        reactor: the reactor.
        http: makes a client, see `ModuleContext.http`.
        path: of the file of tokens.
        log: where to.
        now_s: the wall clock.
        random: floats from 0 to below 1.
        may_ask: tokens may be asked for, see `Keeper`.
    """

    def __init__(
        self,
        settings: NetatmoSettings,
        reactor: Any,
        http: Callable[..., Http],
        path: Path,
        log: Logger,
        now_s: Callable[[], float] = wall_s,
        random: Callable[[], float] = random,
        *,
        may_ask: bool = True,
    ) -> None:
        api = settings.api_url.rstrip("/")
        auth = settings.auth_url.rstrip("/") or api
        self.provider = Provider(
            name=_NAME,
            authorise_url=f"{auth}/oauth2/authorize",
            token_url=f"{api}/oauth2/token",
            client_id=settings.client_id,
            client_secret=settings.client_secret,
            redirect_uri=settings.redirect_address,
            scopes=settings.scopes,
            pkce=settings.pkce,
            default_lifetime_s=_LIFETIME_S,
        )
        self.look = Look(
            _NAME, tuple(_GIVES[scope] for scope in settings.scopes), settings.redirect_address
        )
        self.endpoints = tuple(_endpoints(settings, api))
        self._now_s = now_s
        self._http = http(
            timeout_s=settings.timeout,
            body_limit=_BODY_LIMIT,
            tls=TlsSettings(tls_ca=settings.tls_ca),
        )
        self.keeper = Keeper(
            self.provider,
            TokenStore(path),
            self._http,
            log=log,
            now_s=now_s,
            seconds=reactor.seconds,
            in_thread=lambda call, *args: _in_thread(reactor, call, *args),
            random=random,
            configured=settings.refresh_token,
            may_ask=may_ask,
        )

    async def ask(self, endpoint: Endpoint, token: Secret) -> Judgement:
        """Ask for the devices of an endpoint.

        Raises:
            CauseError: there is no answer.
        """
        headers = {"Authorization": f"Bearer {token.reveal()}"}
        reply = await self._http.get(endpoint.url, params=endpoint.params, headers=headers)
        return judge(reply, token, self._now_s())


def _endpoints(settings: NetatmoSettings, api: str) -> list[Endpoint]:
    endpoints = []
    if settings.weather_stations:
        favorites = "true" if settings.favorites else "false"
        endpoints.append(
            Endpoint("weather stations", f"{api}/api/getstationsdata", {"get_favorites": favorites})
        )
    if settings.home_coaches:
        endpoints.append(Endpoint("Home Coaches", f"{api}/api/gethomecoachsdata"))
    return endpoints


def _in_thread(reactor: Any, call: Callable[..., Any], *args: object) -> Deferred[Any]:
    """Run a call that waits for the disk where it holds up nothing else.

    Not by the module's context, which would cancel it at a stop: what was begun must be finished.
    """
    if IReactorThreads.providedBy(reactor):
        return deferToThreadPool(reactor, reactor.getThreadPool(), call, *args)
    return maybeDeferred(call, *args)
