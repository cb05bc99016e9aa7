"""What the tests of this module share: documents of the API, and an API in memory."""

from __future__ import annotations

import copy
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from attrs import define, evolve, field
from twisted.internet.testing import MemoryReactorClock

from metrics_agent.config import Secret
from metrics_agent.errors import MetricsAgentError
from metrics_agent.interfaces import HttpReply
from metrics_agent.modules.netatmo.config import NetatmoSettings
from metrics_agent.modules.netatmo.service import NetatmoModule
from metrics_agent.oauth2.tokens import Tokens, read_stored, write_stored
from metrics_agent.testing import START_NS, FakeContext

START_S = START_NS // 1_000_000_000
SECRET = "cl13nt-s3cr3t"
STATION = "70:ee:50:0a:0b:0c"
MODULE_ID = "02:00:00:0a:0b:0c"


def outdoor(time_s: float = START_S - 60, **changes: Any) -> dict[str, Any]:
    """Return an outdoor module."""
    module = {
        "_id": MODULE_ID,
        "type": "NAModule1",
        "module_name": "Garten",
        "data_type": ["Temperature", "Humidity"],
        "battery_percent": 63,
        "battery_vp": 5320,
        "rf_status": 71,
        "reachable": True,
        "firmware": 53,
        "last_message": time_s + 6,
        "last_seen": time_s,
        "dashboard_data": {"time_utc": time_s, "Temperature": 0, "Humidity": 93},
    }
    return _without_none({**module, **changes})


def station(time_s: float = START_S - 30, **changes: Any) -> dict[str, Any]:
    """Return an indoor base."""
    device = {
        "_id": STATION,
        "type": "NAMain",
        "station_name": "Haus (Wohnzimmer)",
        "module_name": "Wohnzimmer",
        "home_name": "Haus",
        "wifi_status": 58,
        "reachable": True,
        "co2_calibrating": False,
        "last_status_store": time_s + 6,
        "dashboard_data": {"time_utc": time_s, "Temperature": 21, "CO2": 812},
        "modules": [outdoor()],
    }
    return _without_none({**device, **changes})


def document(*devices: Any, **changes: Any) -> dict[str, Any]:
    """Return an answer with devices."""
    body = {"devices": list(devices), "user": {"mail": "anna@example.org"}}
    return {"body": body, "status": "ok", "time_server": START_S, **changes}


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in copy.deepcopy(values).items() if value is not None}


def reply(value: Any, status: int = 200, **headers: str) -> HttpReply:
    """Return an answer with JSON."""
    return HttpReply(status, json.dumps(value).encode(), headers)


def error(status: int, code: int, message: str = "") -> HttpReply:
    """Return an answer as the API gives it for an error."""
    return reply({"error": {"code": code, "message": message}}, status)


HTML = HttpReply(500, b"<html><body><h1>Internal Server Error</h1></body></html>")
EXPIRED = error(403, 3, "Access token expired")
INVALID = error(403, 2, "Invalid access token")
USAGE = error(403, 26, "User usage reached")


@define(eq=False, slots=False)
class Api:
    """Netatmo, as a HttpClient sees it.

    Attributes:
        devices: the answer, by the end of the path.
        answers: given instead, in order; exceptions are raised.
        asked: what was asked for: the end of the path, or ``refresh`` and ``code``.
        access: the number of the access token that is good.
    """

    devices: dict[str, Any] = field(factory=dict)
    answers: list[HttpReply | Exception] = field(factory=list)
    token_answers: list[HttpReply | Exception] = field(factory=list)
    asked: list[str] = field(factory=list)
    params: list[dict[str, str]] = field(factory=list)
    access: int = 1
    refresh: int = 1
    codes: set[str] = field(factory=set)

    async def get(self, url: str, *, params: Any = None, headers: Any = None) -> HttpReply:
        """Answer at the API."""
        name = urlsplit(url).path.rpartition("/")[2]
        self.asked.append(name)
        self.params.append(dict(params or {}))
        if self.answers:
            return self._given(self.answers)
        if headers["Authorization"] != f"Bearer uid|access-{self.access}":
            return EXPIRED
        return reply(self.devices.get(name, document(station())))

    async def post(self, _url: str, body: bytes, *, headers: Any = None) -> HttpReply:
        """Answer at the token endpoint; refresh tokens rotate."""
        assert headers
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        is_refresh = form["grant_type"] == "refresh_token"
        self.asked.append("refresh" if is_refresh else "code")
        if self.token_answers:
            return self._given(self.token_answers)
        given = form.get("refresh_token") == f"uid|refresh-{self.refresh}"
        if not given and form.get("code") not in self.codes:
            return reply({"error": "invalid_grant"}, 400)
        self.access = self.refresh = self.refresh + 1
        return reply(
            {
                "access_token": f"uid|access-{self.access}",
                "refresh_token": f"uid|refresh-{self.refresh}",
                "scope": ["read_station"],
                "expires_in": 10800,
                "expire_in": 10800,
            }
        )

    @staticmethod
    def _given(answers: list[HttpReply | Exception]) -> HttpReply:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@define(eq=False)
class Rig:
    """A module with its API and context.

    Args:
        case: the test.
        settings: changes of the usual ones.
        logged_in: there are tokens in its state directory.
        read_only: it runs in a diagnostic command.
    """

    case: Any
    settings: dict[str, Any] = field(factory=dict)
    logged_in: bool = True
    read_only: bool = False
    api: Api = field(factory=Api)
    state: Path = field(factory=lambda: Path(tempfile.mkdtemp(prefix="metrics-agent-")))
    context: FakeContext = field(init=False)
    module: NetatmoModule = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.case.addCleanup(self._remove)
        if self.logged_in:
            self.store(tokens())
        self.start()

    def start(self) -> None:
        """Make and start a module, as after a restart."""
        self.context = FakeContext(
            name="netatmo",
            state_dir=self.state,
            reactor=MemoryReactorClock(),
            read_only=self.read_only,
            http_client=self.api,
        )
        values = {"client_id": "client", "client_secret": Secret(SECRET), **self.settings}
        self.module = NetatmoModule(NetatmoSettings(**values), self.context)
        self.module.startService()
        self.context.advance(0)
        self.case.addCleanup(self.stop)

    def stop(self) -> None:
        """Stop it, and see that nothing is left and nothing secret was said."""
        self.case.successResultOf(self.module.stopService())
        self.context.stop()
        for _, factory, *_ in self.context.reactor.tcpServers:
            factory.doStop()
        self.context.reactor.advance(0)
        self.case.assertEqual(self.context.reactor.getDelayedCalls(), [])
        for event in self.context.events:
            text = repr({**event, "log_source": None, "log_logger": None})
            for word in ("uid|", SECRET, "anna@example.org"):
                self.case.assertNotIn(word, text)

    def restart(self, **settings: Any) -> None:
        """Stop it and start another."""
        self.stop()
        self.settings = {**self.settings, **settings}
        self.start()

    def store(self, value: Tokens | bytes) -> None:
        """Put a file of tokens into the state directory."""
        data = value if isinstance(value, bytes) else write_stored(value)
        (self.state / "tokens.json").write_bytes(data)
        (self.state / "tokens.json").chmod(0o600)

    def stored(self) -> Tokens:
        """Return the tokens there."""
        return read_stored((self.state / "tokens.json").read_bytes())

    def new_lines(self) -> list[str]:
        """Return the lines since the last question."""
        lines = self.context.lines()
        self.context.metrics.clear()
        return lines

    def wait(self, seconds: float) -> None:
        """Let time pass second by second: a Clock that jumps would skip turns."""
        for _ in range(int(seconds)):
            self.context.advance(1)

    def until(self, condition: Callable[[], bool], limit_s: float = 7200) -> float:
        """Advance second by second until something is so; return how long it took."""
        waited_s = 0
        while not condition():
            assert waited_s < limit_s, "it never was"
            self.context.advance(1)
            waited_s += 1
        return waited_s

    def _remove(self) -> None:
        for path in self.state.iterdir():
            path.unlink()
        self.state.rmdir()


def tokens(number: int = 1, **changes: Any) -> Tokens:
    """Return tokens that are good from the start of the clock."""
    value = Tokens(
        client_id="client",
        access=Secret(f"uid|access-{number}"),
        refresh=Secret(f"uid|refresh-{number}"),
        obtained_at_s=START_S - 700.0,
        expires_at_s=START_S + 10800.0,
        serial=number,
    )
    return evolve(value, **changes)


__all__ = [
    "EXPIRED",
    "HTML",
    "INVALID",
    "MODULE_ID",
    "SECRET",
    "START_S",
    "STATION",
    "USAGE",
    "Api",
    "MetricsAgentError",
    "Rig",
    "document",
    "error",
    "outdoor",
    "reply",
    "station",
    "tokens",
]
