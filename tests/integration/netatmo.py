"""The fake Netatmo as tests see it: starts it, sets what to do wrong, asks what happened.

::

    peer = NetatmoPeer.start(self, directory)
    peer.control(faults={"data": "huge"})      # 100 MB instead of an answer
    peer.control(faults={"token": "served_gone"})   # refreshes rotate, their answers are lost
    peer.pair                                   # the tokens that are good
"""

from __future__ import annotations

import json
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from twisted.trial.unittest import TestCase

from tests.integration.broker import free_port
from tests.integration.certificates import Authority
from tests.integration.netatmo_brain import CLIENT_ID, CLIENT_SECRET
from tests.integration.watching import environment

__all__ = ["NetatmoPeer", "documents"]

_LIMIT_S = 20


def documents() -> dict[str, Any]:
    """Return answers with a station of two modules, one out of reach, and a Home Coach; of now."""
    now_s = int(time.time())
    station = {
        "_id": "70:ee:50:0a:0b:0c",
        "type": "NAMain",
        "station_name": "Haus (Wohnzimmer)",
        "module_name": "Wohnzimmer",
        "reachable": True,
        "co2_calibrating": False,
        "wifi_status": 58,
        "last_status_store": now_s - 20,
        "dashboard_data": {"time_utc": now_s - 25, "Temperature": 21, "CO2": 812, "Humidity": 44},
        "modules": [
            {
                "_id": "02:00:00:0a:0b:0c",
                "type": "NAModule1",
                "module_name": "Garten",
                "reachable": True,
                "battery_percent": 63,
                "battery_vp": 5320,
                "rf_status": 71,
                "last_seen": now_s - 40,
                "last_message": now_s - 30,
                "dashboard_data": {"time_utc": now_s - 40, "Temperature": 0, "Humidity": 93},
            },
            {
                "_id": "03:00:00:0a:0b:0c",
                "type": "NAModule4",
                "module_name": "Keller",
                "reachable": False,
                "last_seen": now_s - 90_000,
                "last_message": now_s - 90_000,
            },
        ],
    }
    coach = {
        "_id": "70:ee:50:00:0c:01",
        "type": "NHC",
        "station_name": "Schlafzimmer",
        "reachable": True,
        "dashboard_data": {"time_utc": now_s - 26, "Temperature": 19.6, "health_idx": 2},
    }
    return {
        "getstationsdata": _answer(station, now_s),
        "gethomecoachsdata": _answer(coach, now_s),
    }


def _answer(device: dict[str, Any], now_s: int) -> dict[str, Any]:
    body = {"devices": [device], "user": {"mail": "anna@example.org"}}
    return {"body": body, "status": "ok", "time_exec": 0.05, "time_server": now_s}


class NetatmoPeer:
    """The server's process; ends with the test.

    Args:
        case: whose cleanup ends it.
        directory: for certificates.

    Attributes:
        authority: its certificates come from there.
        login_port: of the redirect address that is registered for the app.
    """

    def __init__(self, case: TestCase, directory: Path) -> None:
        self.authority = Authority(directory, "authority")
        self.directory = directory
        self.port = free_port()
        self.login_port = free_port()
        self.redirect_uri = f"http://127.0.0.1:{self.login_port}/callback"
        self.certificate = self.authority.issue("peer", "localhost")
        self._process: subprocess.Popen[str] | None = None
        self._known: list[dict[str, Any]] = []
        self._held: socket.socket | None = None
        case.addCleanup(self.stop)
        case.addCleanup(self._stop_timed_out)

    @classmethod
    def start(cls, case: TestCase, directory: Path) -> NetatmoPeer:
        """Make one and start it, with devices to ask for."""
        peer = cls(case, directory)
        peer.start_again()
        peer.control(documents=documents())
        return peer

    @property
    def url(self) -> str:
        """The address of the API."""
        return f"https://localhost:{self.port}"

    def start_again(self, **wish: Any) -> None:
        """Start the process; it has forgotten all tokens, but what is wished as of `control`."""
        certificate, key = self.certificate
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.integration.netatmo_peer",
                str(certificate),
                str(key),
                str(self.port),
                self.redirect_uri,
                json.dumps(wish),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
            cwd=Path(__file__).parents[2],
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line.strip() == str(self.port), f"the peer did not start: {line!r}"

    def stop(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(_LIMIT_S)
            assert process.stdout is not None
            process.stdout.close()

    def vanish(self) -> None:
        """End the process; `return_` starts it again with the tokens that it knew."""
        self._known = self.control()["pairs"]
        self.stop()
        # Bound and not listened on: no other gets the port, and connections are refused.
        self._held = socket.socket()
        self._held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._held.bind(("127.0.0.1", self.port))

    def return_(self) -> None:
        """Be there again, with all tokens from the first connection on."""
        self.start_again(pairs=self._known, documents=documents())
        self._stop_timed_out()

    def _stop_timed_out(self) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None

    def freeze(self) -> None:
        """Take connections and do nothing with them, as a machine that hangs."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def control(self, **wish: Any) -> dict[str, Any]:
        """Set what it does; return what happened so far."""
        context = ssl.create_default_context(cafile=str(self.authority.path))
        request = Request(f"{self.url}/_control", json.dumps(wish).encode(), method="POST")
        with urlopen(request, timeout=_LIMIT_S, context=context) as answer:
            return dict(json.loads(answer.read()))

    def asked(self, name: str) -> int:
        """Return how often something was asked for."""
        return int(self.control()["asked"].count(name))

    @property
    def pair(self) -> dict[str, str]:
        """The tokens that are good."""
        return dict(self.control()["pairs"][-1])

    def give_pair(self) -> dict[str, str]:
        """Make tokens as the token generator does."""
        return dict(self.control(give_pair=True)["pairs"][-1])

    def secrets(self) -> set[str]:
        """Return all that must never be shown: each token there ever was, and the app's secret."""
        pairs = self.control()["pairs"]
        found = {pair[key] for pair in pairs for key in ("access_token", "refresh_token")}
        # Also the parts that are not the user's id.
        return found | {text.partition("|")[2] for text in found} | {CLIENT_SECRET}

    def config(self, more: str = "", **changes: Any) -> str:
        """Return the table of the module; the secret is in a file."""
        secret = self.directory / "client-secret"
        secret.write_text(CLIENT_SECRET, "utf-8")
        secret.chmod(0o600)
        keys: dict[str, Any] = {
            "client_id": CLIENT_ID,
            "api_url": self.url,
            "tls_ca": str(self.authority.path),
            "timeout": "3s",
            "login_port": self.login_port,
            **changes,
        }
        lines = [f"{key} = {json.dumps(value)}\n" for key, value in keys.items()]
        text = f"client_secret = {{ file = {json.dumps(str(secret))} }}\n"
        return f"[modules.netatmo]\nenabled = true\n{''.join(lines)}{text}{more}\n"

    def token_file(self, token: str) -> str:
        """Return a line of configuration with a refresh token in a file."""
        path = self.directory / "refresh-token"
        path.write_text(token, "utf-8")
        path.chmod(0o600)
        return f"refresh_token = {{ file = {json.dumps(str(path))} }}\n"
