"""Faults of a device with a WebSocket, as the module `opendtu` meets them."""

from __future__ import annotations

import json
import time
from typing import Any

from tests.faults.case import FaultCase
from tests.faults.news import assert_news, downs
from tests.faults.websocket import websocket
from tests.integration.broker import free_port
from tests.integration.certificates import Authority
from tests.integration.opendtu_simulator import Behaviour, Simulator, inverter
from tests.integration.watching import memory_bytes, pause, until

MEBI = 1024 * 1024
QUICK = {
    "reconnect_min": "100ms",
    "reconnect_max": "300ms",
    "connect_timeout": "1s",
    "ping_interval": "300ms",
    "ping_timeout": "2s",
}
PROVEN_S = 10.5
"""A connection has to last so long before its loss is news of its own."""


class WebSocketTests(FaultCase):
    """Two healthy modules run beside the module opendtu."""

    def setUp(self) -> None:
        super().setUp()
        self.sent = 0

    # What runs.

    async def at(self, url: str, **changes: Any) -> Any:
        """Start the agent with the module at an address."""
        keys = {"url": url, **QUICK, **changes}
        lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
        self.healthy_beside(f"[modules.opendtu]\nenabled = true\n{lines}")
        return await self.start_beside()

    async def opened(self, **changes: Any) -> tuple[Simulator, Any]:
        """Start a device and the agent, and wait until they talk."""
        dtu = Simulator(self)
        parent = await self.at(dtu.url(), **changes)
        await self.back(dtu, parent)
        return dtu, parent

    async def back(self, dtu: Simulator, parent: Any) -> float:
        """Let the device send until something arrives; return the milliseconds."""
        since_s = time.monotonic()
        self.sent += 1
        power = float(self.sent)

        def arrived() -> bool:
            return b"power=%.1f" % power in bytes(parent.output)

        deadline_s = since_s + 40
        while not arrived() and time.monotonic() < deadline_s:
            dtu.send(inverter(power))
            await pause(0.1)
        self.assertTrue(arrived(), [said.text for said in parent.log[-10:]])
        return (time.monotonic() - since_s) * 1000

    async def finish(
        self,
        name: str,
        parent: Any,
        recovered_ms: float | None = None,
        *,
        down: int = 1,
        up: int | None = None,
    ) -> None:
        """Stop the agent in order, and judge.

        The whole log has so many lines down; and one line up where something had recovered.
        """
        if up is None:
            up = int(recovered_ms is not None and down > 0)
        await assert_news(self, parent, down, up)
        await self.delivered(parent)
        await parent.stop()
        self.assertEqual(len(downs(parent)), down, downs(parent))
        self.assertEqual(parent.exits, [0])
        await self.judge(websocket(name), parent, recovered_ms=recovered_ms)

    async def tried_again(self, parent: Any) -> None:
        """Wait for another attempt, which only the debug level shows."""
        await self.said(parent, "Cannot connect to", "D", limit_s=40)

    async def outage(self, name: str, said: str, level: str = "W", **behaviour: Any) -> None:
        """Meet a handshake that goes wrong; see one line; let it be right."""
        dtu = Simulator(self, **behaviour)
        parent = await self.at(dtu.url())
        await self.said(parent, said, level)
        self.assertLess(memory_bytes(parent.agent_pid), 130 * MEBI)
        await pause(1)
        self.assertEqual(len(downs(parent)), 1, downs(parent))
        if "raw" not in behaviour:
            dtu.do("behave", status=0, headers={})
            recovered_ms = await self.back(dtu, parent)
            await self.finish(name, parent, recovered_ms)
            return
        # Another device takes its place. That meanwhile there is none is a second reason, and that
        # the first one has gone is a third where it was still to answer.
        dtu.kill()
        await self.said(parent, "connection refused", "W")
        down = len(downs(parent))
        self.assertIn(down, (2, 3), downs(parent))
        dtu.behaviour = Behaviour()
        dtu.start()
        recovered_ms = await self.back(dtu, parent)
        await self.finish(name, parent, recovered_ms, down=down)

    async def loss(self, name: str, said: str, **command: Any) -> None:
        """Lose a connection that has lasted; see one line down and one up."""
        dtu, parent = await self.opened()
        await pause(PROVEN_S)
        dtu.do(**command)
        await self.said(parent, said, "W")
        recovered_ms = await self.back(dtu, parent)
        await self.said(parent, "again after", "I")
        await self.finish(name, parent, recovered_ms)

    async def distrust(self, name: str, said: str, dtu: Simulator, **changes: Any) -> None:
        """Meet a device that cannot be trusted."""
        parent = await self.at(f"https://localhost:{dtu.port}", **changes)
        await self.said(parent, said, "E")
        await pause(0.5)
        self.assertEqual(dtu.events("request"), [])
        await self.finish(name, parent)

    def with_tls(self, *hosts: str, days: int = 1) -> tuple[Authority, Simulator]:
        authority = Authority(self.directory, "authority")
        certificate, key = authority.issue("server", *hosts, days=days)
        return authority, Simulator(self, certificate=str(certificate), key=str(key))

    # The network and the device.

    async def test_ws_refused(self) -> None:
        port = free_port()
        parent = await self.at(f"http://127.0.0.1:{port}")
        await self.said(parent, "connection refused", "W")
        dtu = Simulator(self, port=port)
        recovered_ms = await self.back(dtu, parent)
        await self.finish("ws_refused", parent, recovered_ms)

    async def test_ws_dns_dead(self) -> None:
        parent = await self.at("http://dtu.invalid", log_level="debug")
        await self.said(parent, "the host name cannot be resolved", "W")
        await self.tried_again(parent)
        await self.finish("ws_dns_dead", parent)

    async def test_ws_killed(self) -> None:
        dtu, parent = await self.opened()
        await pause(PROVEN_S)
        dtu.kill()
        await self.said(parent, "Lost the connection", "W")
        await pause(1)
        dtu.start()
        recovered_ms = await self.back(dtu, parent)
        await self.said(parent, "again after", "I")
        await self.finish("ws_killed", parent, recovered_ms)

    async def test_ws_frozen(self) -> None:
        dtu, parent = await self.opened()
        await pause(PROVEN_S)
        dtu.freeze()
        await self.said(parent, "no answer to a ping within 2 s", "W")
        dtu.thaw()
        recovered_ms = await self.back(dtu, parent)
        await self.finish("ws_frozen", parent, recovered_ms)

    async def test_ws_closed(self) -> None:
        said = "closed the connection with code 1001 ('bye')"
        await self.loss("ws_closed", said, command="close", code=1001, reason="bye")

    async def test_ws_reset(self) -> None:
        await self.loss("ws_reset", "Lost the connection", command="abort")

    async def test_ws_silent(self) -> None:
        dtu, parent = await self.opened()
        await pause(5)
        self.assertEqual(len(dtu.events("open")), 1)
        await self.finish("ws_silent", parent, down=0)

    # The handshake.

    async def test_ws_hang_up(self) -> None:
        await self.outage("ws_hang_up", "before answering", raw="hang_up")

    async def test_ws_no_answer(self) -> None:
        await self.outage("ws_no_answer", "no answer to the handshake within 1 s", raw="silent")

    async def test_ws_slow_loris(self) -> None:
        await self.outage("ws_slow_loris", "no answer to the handshake within 1 s", raw="drip")

    async def test_ws_not_http(self) -> None:
        await self.outage("ws_not_http", "the port does not speak WebSocket", "E", raw="garbage")

    async def test_ws_html_500(self) -> None:
        headers = {"Content-Type": "text/html"}
        await self.outage("ws_html_500", "(HTTP 500)", status=500, headers=headers)

    async def test_ws_large_body(self) -> None:
        await self.outage("ws_large_body", "(HTTP 500)", raw="large_body")

    async def test_ws_endless_headers(self) -> None:
        said = "the port does not speak WebSocket"
        await self.outage("ws_endless_headers", said, "E", raw="endless_headers")

    async def test_ws_redirect(self) -> None:
        other = Simulator(self)
        headers = {"Location": f"{other.url()}/livedata"}
        said = f"it redirects to '{other.url()}/livedata'"
        await self.outage("ws_redirect", said, "E", status=302, headers=headers)
        self.assertEqual(other.events("request"), [])

    async def test_ws_too_many(self) -> None:
        dtu = Simulator(self, status=429, headers={"Retry-After": "4"})
        parent = await self.at(dtu.url())
        await self.said(parent, "(HTTP 429)", "W")
        dtu.do("behave", status=0)
        await pause(2)
        self.assertEqual(len(dtu.events("request")), 1)
        recovered_ms = await self.back(dtu, parent)
        await self.finish("ws_too_many", parent, recovered_ms)

    async def test_ws_wrong_password(self) -> None:
        dtu = Simulator(self, login="digest", password="right")
        parent = await self.at(dtu.url(), password="s3cr3t-wrong")
        await self.said(parent, "refuses the user name or password", "E")
        await until(lambda: len(dtu.events("request")) >= 6, "three attempts")
        # With its nonce answered by the client once, the password is made the one that we have.
        dtu.do("behave", password="s3cr3t-wrong")
        recovered_ms = await self.back(dtu, parent)
        self.assertNotIn("s3cr3t", "".join(said.text for said in parent.log))
        await self.finish("ws_wrong_password", parent, recovered_ms)

    # Frames.

    async def test_ws_half_frame(self) -> None:
        dtu, parent = await self.opened()
        await pause(PROVEN_S)
        dtu.do("raw", hex="817e")
        dtu.do("abort")
        await self.said(parent, "Lost the connection", "W")
        recovered_ms = await self.back(dtu, parent)
        await self.finish("ws_half_frame", parent, recovered_ms)

    async def test_ws_no_frame(self) -> None:
        said = "the server broke the protocol"
        await self.loss("ws_no_frame", said, command="raw", hex="ffffffff")

    async def test_ws_endless_frame(self) -> None:
        said = "no answer to a ping within 2 s"
        # Of bytes: what would be a pong is a part of it, too.
        header = f"827f{1 << 40:016x}"
        await self.loss("ws_endless_frame", said, command="raw", hex=header + "78" * 1000)

    async def test_ws_large_message(self) -> None:
        dtu, parent = await self.opened(ping_timeout="30s")
        before = memory_bytes(parent.agent_pid)
        dtu.do("flood", bytes=100_000_000)
        recovered_ms = await self.back(dtu, parent)
        self.assertLess(memory_bytes(parent.agent_pid) - before, 20 * MEBI)
        self.assertEqual(len(dtu.events("open")), 1)
        await self.finish("ws_large_message", parent, recovered_ms, up=0)

    async def test_ws_garbage(self) -> None:
        dtu, parent = await self.opened()
        for text in ('{"inverters":[', "\0", "[" * 5000, '{"inverters":5}', "null") * 20:
            dtu.do("send", text=text)
        recovered_ms = await self.back(dtu, parent)
        self.assertEqual(len(dtu.events("open")), 1)
        # One line for each reason: no JSON, nothing at all, too deep, no list, no object.
        await self.finish("ws_garbage", parent, recovered_ms, down=5, up=0)

    async def test_ws_flood(self) -> None:
        dtu, parent = await self.opened()
        for number in range(2000):
            dtu.send(inverter(1000.0 + number))
        await until(lambda: b"power=2999.0" in bytes(parent.output), "the last message", 60)
        for number in range(2000):
            self.assertIn(b"power=%d.0" % (1000 + number), bytes(parent.output))
        await self.finish("ws_flood", parent, down=0)

    # TLS.

    async def test_ws_wrong_authority(self) -> None:
        _authority, dtu = self.with_tls("localhost")
        await self.distrust("ws_wrong_authority", "authority that we do not trust", dtu)

    async def test_ws_wrong_host(self) -> None:
        authority, dtu = self.with_tls("other.example")
        said = "its certificate is for other.example, not localhost"
        await self.distrust("ws_wrong_host", said, dtu, tls_ca=str(authority.path))

    async def test_ws_expired(self) -> None:
        authority, dtu = self.with_tls("localhost", days=-2)
        said = "its certificate has expired"
        await self.distrust("ws_expired", said, dtu, tls_ca=str(authority.path))

    async def test_ws_not_tls(self) -> None:
        dtu = Simulator(self)
        parent = await self.at(f"https://localhost:{dtu.port}", log_level="debug")
        await self.said(parent, "with or without TLS?", "W")
        await self.tried_again(parent)
        await self.finish("ws_not_tls", parent)
