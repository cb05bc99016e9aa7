"""What the tests of OAuth2 share: a provider, an account with it, a keeper with its fakes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from attrs import define, field
from twisted.internet.defer import Deferred, ensureDeferred, maybeDeferred, succeed
from twisted.internet.task import Clock
from twisted.logger import Logger, LogLevel, formatEvent

from metrics_agent.config.secret import Secret
from metrics_agent.http_interface import HttpReply
from metrics_agent.oauth2.keeper import Keeper
from metrics_agent.oauth2.provider import Provider
from metrics_agent.oauth2.store import TokenStore
from metrics_agent.oauth2.tokens import Tokens, write_stored
from tests.oauth2.disk import Disk, Inode

PATH = Path("/state/service/tokens.json")
NEW = Path("/state/service/tokens.json.new")
DAMAGED = Path("/state/service/tokens.json.damaged")
START_S = 1_700_000_000.0
SECRET = "cl13nt-s3cr3t"

PROVIDER = Provider(
    name="Service",
    authorise_url="https://auth.example/oauth2/authorize",
    token_url="https://api.example/oauth2/token",
    client_id="client",
    client_secret=Secret(SECRET),
    redirect_uri="http://127.0.0.1:9127/callback",
    scopes=("read_station", "read_homecoach"),
    default_lifetime_s=10800,
)


def tokens(number: int = 1, **changes: Any) -> Tokens:
    """Return the tokens that an account gives the n-th time, obtained at the start."""
    values = {
        "client_id": "client",
        "access": Secret(f"uid|access-{number}"),
        "refresh": Secret(f"uid|refresh-{number}"),
        "obtained_at_s": START_S,
        "expires_at_s": START_S + 10800,
        "serial": number,
    }
    return Tokens(**{**values, **changes})


def reply(document: Any, status: int = 200) -> HttpReply:
    """Return an answer with JSON."""
    return HttpReply(status, json.dumps(document).encode())


INVALID_GRANT = reply({"error": "invalid_grant"}, 400)


@define(eq=False)
class Account:
    """A server that rotates refresh tokens, as a HttpClient sees it.

    Attributes:
        number: of the pair that is good now.
        codes: those that can be turned into tokens.
        forms: what was sent, in order.
        answers: given instead of the proper ones, exceptions raised.
        held: if a list, answers wait in it until they are fired.
    """

    number: int = 1
    codes: set[str] = field(factory=set)
    forms: list[dict[str, str]] = field(factory=list)
    answers: list[HttpReply | Exception] = field(factory=list)
    held: list[Deferred[None]] | None = None
    lifetime_s: int = 10800
    lost_answers: int = 0
    """So many requests are served, but their answers never arrive."""

    async def post(self, url: str, body: bytes, *, headers: Any = None) -> HttpReply:
        """Take a form at the token endpoint."""
        assert url == PROVIDER.token_url
        assert headers == {"Content-Type": "application/x-www-form-urlencoded"}
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        self.forms.append(form)
        if self.held is not None:
            waiting: Deferred[None] = Deferred()
            self.held.append(waiting)
            await waiting
        if self.answers:
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer
        return self._serve(form)

    def _serve(self, form: dict[str, str]) -> HttpReply:
        if form["client_secret"] != SECRET:
            return reply({"error": "invalid_client"}, 400)
        if form["grant_type"] == "refresh_token":
            if form["refresh_token"] != f"uid|refresh-{self.number}":
                return INVALID_GRANT
        elif form["code"] not in self.codes:
            return INVALID_GRANT
        self.number += 1
        return reply(
            {
                "access_token": f"uid|access-{self.number}",
                "refresh_token": f"uid|refresh-{self.number}",
                "scope": ["read_station"],
                "expires_in": self.lifetime_s,
                "expire_in": self.lifetime_s,
            }
        )


@define(eq=False)
class Harness:
    """A keeper with its fakes.

    Attributes:
        wall_s: the wall clock beside the reactor's.
    """

    disk: Disk = field(factory=Disk)
    account: Account = field(factory=Account)
    configured: Secret | None = None
    provider: Provider = PROVIDER
    clock: Clock = field(factory=Clock)
    events: list[dict[str, Any]] = field(factory=list)
    offset_s: float = 0.0
    keeper: Keeper = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.keeper = self.another()

    def another(self, *, may_ask: bool = True) -> Keeper:
        """Make another keeper of the same file, as after a restart."""
        return Keeper(
            self.provider,
            TokenStore(PATH, self.disk),
            self.account,  # type: ignore[arg-type]
            log=Logger(observer=self.events.append),  # type: ignore[arg-type]
            now_s=lambda: START_S + self.offset_s + self.clock.seconds(),
            seconds=self.clock.seconds,
            in_thread=maybeDeferred,
            random=lambda: 0.5,
            configured=self.configured,
            may_ask=may_ask,
        )

    def access(self) -> Deferred[Secret]:
        """Ask for an access token."""
        return ensureDeferred(self.keeper.access())

    def renew(self, refused: str) -> Deferred[Secret]:
        """Ask for another one."""
        return ensureDeferred(self.keeper.renew(Secret(refused)))

    def put(self, content: Tokens | bytes) -> None:
        """Put a file in place."""
        data = content if isinstance(content, bytes) else write_stored(content)
        put(self.disk, data)

    def logged(self, level: str) -> list[str]:
        """Return the texts that were logged at a level."""
        wanted = LogLevel.lookupByName(level)
        return [formatEvent(event) for event in self.events if event["log_level"] is wanted]


def put(disk: Disk, data: bytes) -> None:
    """Put the file of tokens on a disk, safely."""
    disk.names[PATH] = Inode(len(disk.names) + 1, data, data)
    disk.safe_names[PATH] = disk.names[PATH]


def nothing() -> Deferred[None]:
    """Return a Deferred that has fired."""
    return succeed(None)
