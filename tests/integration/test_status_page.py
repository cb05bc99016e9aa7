"""The status page of a real agent: what it answers, when it listens."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

from attrs import frozen
from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.threads import deferToThread

from tests.integration.test_status import DEMO, LIMIT_S, QUICK, StatusCase

TOKEN = "0123456789abcdef"


@frozen
class Answer:
    """What a client got."""

    status: int
    headers: dict[str, str]
    body: bytes


class _UnixConnection(HTTPConnection):
    """HTTP over a Unix socket, by a path that is short enough."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=LIMIT_S)
        self._path = path

    def connect(self) -> None:
        descriptor = os.open(self._path.parent, os.O_PATH)
        try:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(LIMIT_S)
            self.sock.connect(f"/proc/self/fd/{descriptor}/{self._path.name}")
        finally:
            os.close(descriptor)


def ask(connection: HTTPConnection, method: str, path: str, headers: dict[str, str]) -> Answer:
    """Ask once."""
    try:
        connection.putrequest(method, path, skip_host="Host" in headers)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        response: HTTPResponse = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, found, response.read())
    finally:
        connection.close()


class PageCase(StatusCase):
    """Asks as a browser does."""

    def page(self, listen: str = "tcp:0:interface=127.0.0.1", more: str = "") -> str:
        """Return the table of a page, to be put before those of modules."""
        return f'[status]\nlisten = "{listen}"\n{more}'

    async def where(self, parent: Any, times: int = 1) -> int:
        """Wait until the page listens; return its port."""
        await self.said(parent, "Status page at http://", "I", times)
        line = self.lines_with(parent, "Status page at http://")[-1].text
        found = re.search(r"at http://[0-9.]+:(\d+)/", line)
        assert found is not None, line
        self.port = int(found[1])
        return self.port

    async def get(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """Ask the page."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=LIMIT_S)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await deferToThread(ask, connection, method, path, named)

    async def verdict(self, path: str) -> tuple[int, str]:
        answer = await self.get(path)
        return answer.status, answer.body.decode()


class AnswerTests(PageCase):
    """What it says."""

    async def test_answers(self) -> None:
        """Everything that can be had, and nothing else."""
        self.configure(self.page() + DEMO)
        parent = await self.start()
        await self.where(parent)
        page = await self.get("/")
        self.assertEqual((page.status, page.headers["x-content-type-options"]), (200, "nosniff"))
        links = re.findall(r'(?:src|href)="(/?[\w.]+)"', page.body.decode())
        self.assertGreater(len(links), 1)
        for link in links:
            self.assertEqual((await self.get(f"/{link.lstrip('/')}")).status, 200, link)
        answer = await self.get("/status.json")
        _code, state = await self.state()
        found = json.loads(answer.body)
        self.assertEqual(found.keys() - state.keys(), {"history", "units"})
        self.assertEqual(found["history"]["modules"], {"demo": []})
        self.assertEqual(found["agent"].keys(), state["agent"].keys())
        self.assertEqual(await self.verdict("/healthz"), (200, "ok\n"))
        self.assertEqual(await self.verdict("/readyz"), (200, "ok\n"))
        text = (await self.get("/metrics")).body.decode()
        names = {each.name for each in text_string_to_metric_families(text)}
        self.assertGreater(len(names), 20)
        for method in ("POST", "PUT", "DELETE", "TRACE", "OPTIONS"):
            self.assertEqual((await self.get("/status.json", method)).status, 405, method)
        head = await self.get("/status.json", "HEAD")
        self.assertEqual((head.status, head.body), (200, b""))
        for path in ("/..%2fsetup.py", "/../page_server.py", "/%2e%2e/x", "//etc/passwd", "/x"):
            self.assertEqual((await self.get(path)).status, 404, path)
        for headers, status in (
            ({"Host": "evil.example"}, 421),
            ({"Host": f"localhost:{self.port}"}, 200),
            ({"Origin": "http://evil.example"}, 403),
            ({"Sec-Fetch-Site": "cross-site"}, 403),
        ):
            self.assertEqual((await self.get("/status.json", **headers)).status, status, headers)
        self.assertEqual(parent.exits, [])
        self.assertEqual([said.text for said in parent.log if said.level in "EW"], [])

    async def test_judgement(self) -> None:
        """The same as that of `metrics-agent status`, while a module fails and when it is back."""
        self.configure(QUICK + self.page() + self.probe("raise") + DEMO)
        parent = await self.start()
        await self.where(parent)
        await self.said(parent, "Parked", "E")
        status, line = await self.verdict("/healthz")
        self.assertEqual((status, (await self.status()).returncode), (503, 1))
        self.assertTrue(line.startswith("probe is parked: "), line)
        self.assertEqual(line.count("\n"), 1)
        self.assertEqual(await self.verdict("/readyz"), (503, "probe is parked\n"))
        self.configure(QUICK + self.page() + self.probe("nothing") + DEMO)
        parent.signal_agent(signal.SIGHUP)
        await self.said(parent, "Reloaded")
        self.assertEqual((await self.verdict("/healthz"))[0], 200)
        self.assertEqual((await self.verdict("/readyz"))[0], 200)

    async def test_output_that_is_not_there(self) -> None:
        """Neither ready nor well."""
        output = f'output = "unix://{self.directory}/no.sock"\n'
        self.configure(output + self.page() + DEMO)
        parent = await self.start()
        await self.where(parent)
        await self.said(parent, "no.sock", "E")
        for path in ("/healthz", "/readyz"):
            status, line = await self.verdict(path)
            self.assertEqual(status, 503, line)
            self.assertIn("is not written to", line)

    async def test_token(self) -> None:
        """Beyond loopback nothing is said without it."""
        self.configure(self.page("tcp:0", f'token = "{TOKEN}"\n') + DEMO)
        parent = await self.start()
        await self.where(parent)
        self.assertEqual((await self.get("/status.json")).status, 401)
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        self.assertEqual((await self.get("/status.json", **bearer)).status, 200)
        entered = await self.get(f"/?token={TOKEN}")
        self.assertEqual((entered.status, entered.headers["location"]), (303, "/"))
        cookie = entered.headers["set-cookie"].partition(";")[0]
        self.assertEqual((await self.get("/metrics", Cookie=cookie)).status, 200)
        self.configure(self.page("tcp:0") + DEMO)
        parent.signal_agent(signal.SIGHUP)
        await self.said(parent, "Reload rejected", "E")
        self.assertEqual((await self.get("/status.json")).status, 401)
        self.assertEqual([said for said in parent.log if TOKEN in said.text], [])


class ListenTests(PageCase):
    """Where it listens, and when it cannot."""

    async def test_port_in_use_and_reloads(self) -> None:
        """One line, everything else works, and later a line that it listens; then it moves."""
        taken = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(taken.close)
        listen = f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1"
        self.configure(self.page(listen) + DEMO)
        parent = await self.start()
        await self.said(parent, f"cannot listen at {listen}: Address already in use", "W")
        taken.close()
        first = await self.where(parent)
        self.assertEqual((await self.verdict("/healthz"))[0], 200)
        self.assertEqual(len(self.lines_with(parent, "cannot listen")), 1)
        self.configure(self.page() + DEMO)
        parent.signal_agent(signal.SIGHUP)
        self.assertNotEqual(await self.where(parent, times=2), first)
        self.assertEqual((await self.verdict("/healthz"))[0], 200)
        self.refuses(first)
        self.configure(DEMO)
        parent.signal_agent(signal.SIGHUP)
        await self.said(parent, "Reloaded", times=2)
        self.refuses(self.port)
        await parent.stop()
        self.assertEqual(parent.exits, [0])

    def refuses(self, port: int) -> None:
        """Nothing listens any more."""
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), LIMIT_S).close()

    async def test_unix_socket(self) -> None:
        """For a proxy of the same group; it is gone after the stop."""
        path = self.directory / "p.sock"
        self.configure(self.page(f"unix:{path}:mode=660") + DEMO)
        parent = await self.start()
        await self.said(parent, f"Status page at {path}", "I")
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o660)
        answer = await deferToThread(ask, _UnixConnection(path), "GET", "/healthz", {})
        self.assertEqual((answer.status, answer.body), (200, b"ok\n"))
        await parent.stop()
        self.assertFalse(path.exists())
