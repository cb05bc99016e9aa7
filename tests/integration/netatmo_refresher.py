"""Refreshes tokens as fast as it can, to be killed in the middle of it; run as a program.

``python -m tests.integration.netatmo_refresher STATE_FILE API_URL CA_FILE``

Its clock leaps, so that each access token has run out by the next question. It ends with 3 when a
login is needed.
"""

from __future__ import annotations

import sys
import time
from functools import partial
from itertools import count
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import react
from twisted.logger import Logger

from metrics_agent.config import Secret
from metrics_agent.modules.netatmo.account import Account
from metrics_agent.modules.netatmo.config import NetatmoSettings
from metrics_agent.oauth2.keeper import LoginNeeded
from metrics_agent.transports.http import HttpClient
from tests.integration.netatmo_brain import CLIENT_ID, CLIENT_SECRET

LEAP_S = 4 * 3600


async def refresh_for_ever(path: str, url: str, ca_file: str) -> None:
    """Ask for tokens, again and again."""
    settings = NetatmoSettings(
        client_id=CLIENT_ID, client_secret=Secret(CLIENT_SECRET), api_url=url, tls_ca=ca_file
    )
    start_s = time.time()
    leaps = count()
    account = Account(
        settings,
        reactor,
        partial(HttpClient, reactor),
        Path(path),
        Logger(observer=lambda _event: None),  # type: ignore[arg-type]  # takes an event
        now_s=lambda: start_s + LEAP_S * next(leaps),
    )
    try:
        while True:
            await account.keeper.access()
    except LoginNeeded:
        raise SystemExit(3) from None


if __name__ == "__main__":
    react(lambda _reactor, *words: Deferred.fromCoroutine(refresh_for_ever(*words)), sys.argv[1:])
