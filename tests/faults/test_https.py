"""Faults of a service on the web, as the module `netatmo` meets them."""

from __future__ import annotations

import signal
import socket
import time
from pathlib import Path
from typing import Any

from twisted.internet import protocol, reactor

from tests.faults.case import FaultCase
from tests.faults.https import https
from tests.faults.netns import Host
from tests.faults.news import assert_news, downs
from tests.integration.case import logged
from tests.integration.certificates import Authority
from tests.integration.netatmo import NetatmoPeer
from tests.integration.watching import argv, memory_bytes, pause, until

MEBI = 1024 * 1024
RETRY_LIMIT_S = 60.0


class Greets(protocol.Protocol):
    """Speaks first, and no TLS."""

    def connectionMade(self) -> None:
        """Greet."""
        self.transport.write(b"220 mail.example ESMTP\r\n")


class HttpsTests(FaultCase):
    """Two healthy modules run beside the module netatmo."""

    def setUp(self) -> None:
        super().setUp()
        self.peer = NetatmoPeer.start(self, self.directory)
        self.tokens = self.directory / "state" / "netatmo" / "tokens.json"

    async def at_peer(self, **changes: Any) -> Any:
        """Start the agent with a refresh token."""
        how = {"argv": changes.pop("argv")} if "argv" in changes else {}
        line = self.peer.token_file(self.peer.give_pair()["refresh_token"])
        self.healthy_beside(self.peer.config(line, **changes))
        return await self.start_beside(**how)

    def climate(self, parent: Any) -> int:
        return bytes(parent.output).count(b"climate,")

    async def back(self, parent: Any, had: int | None = None) -> float:
        """Wait for more values than there were, or are by now; return the milliseconds."""
        since_s = time.monotonic()
        had = self.climate(parent) if had is None else had
        await until(lambda: self.climate(parent) > had, lambda: logged(parent.log), RETRY_LIMIT_S)
        return (time.monotonic() - since_s) * 1000

    async def tried_again(self, parent: Any) -> None:
        """Wait for the next attempt, which only the debug level shows."""
        await self.said(parent, "No values from Netatmo: ", "D", limit_s=RETRY_LIMIT_S)

    async def finish(
        self,
        name: str,
        parent: Any,
        recovered_ms: float | None = None,
        *,
        down: int = 1,
        logins: int = 0,
    ) -> None:
        """Stop the agent in order, and judge.

        The whole log has so many lines down, and one up where there were values again.
        """
        await assert_news(self, parent, down, int(recovered_ms is not None and down > 0))
        self.assertEqual(len(self.lines_with(parent, "A login at Netatmo is needed")), logins)
        for word in self.peer.secrets():
            self.assertNotIn(word, logged(parent.log))
        await self.delivered(parent)
        await parent.stop()
        self.assertEqual(len(downs(parent)), down, downs(parent))
        self.assertEqual(parent.exits[-1], 0)
        await self.judge(https(name), parent, recovered_ms=recovered_ms)

    async def outage(self, name: str, fault: str, said: str) -> None:
        """Let each answer be wrong from the start; see one line; let it be right again."""
        self.peer.control(faults={"data": fault})
        parent = await self.at_peer()
        await self.said(parent, said, "W")
        # Where the answer may be large this is after all of it that we take.
        self.assertLess(memory_bytes(parent.agent_pid), 130 * MEBI)
        await pause(0.5)
        self.peer.control(faults={"data": ""})
        recovered_ms = await self.back(parent)
        await self.finish(name, parent, recovered_ms)

    async def distrust(self, name: str, said: str, **changes: Any) -> None:
        """Meet a peer that cannot be trusted."""
        parent = await self.at_peer(**changes)
        await self.said(parent, said, "E")
        await pause(0.5)
        self.assertEqual(self.climate(parent), 0)
        await self.finish(name, parent)

    def block(self) -> None:
        """Put something where new tokens are to be written."""
        blocked = Path(f"{self.tokens}.new")
        blocked.mkdir(parents=True)
        blocked.parent.chmod(0o700)

    def unblock(self) -> None:
        """Take it away."""
        Path(f"{self.tokens}.new").rmdir()

    # The server.

    async def test_https_server_gone(self) -> None:
        parent = await self.at_peer()
        await self.back(parent, had=0)
        self.peer.vanish()
        parent.signal_agent(signal.SIGHUP)
        await self.said(parent, "connection refused, nothing listens there", "W")
        self.peer.return_()
        recovered_ms = await self.back(parent)
        await self.finish("https_server_gone", parent, recovered_ms)

    async def test_https_server_frozen(self) -> None:
        parent = await self.at_peer()
        await self.back(parent, had=0)
        self.peer.freeze()
        parent.signal_agent(signal.SIGHUP)
        await self.said(parent, "no answer within 3 s", "W")
        self.peer.thaw()
        recovered_ms = await self.back(parent)
        await self.finish("https_server_frozen", parent, recovered_ms)

    async def test_https_html_500(self) -> None:
        await self.outage("https_html_500", "502", "it answered 502")

    async def test_https_half_answer(self) -> None:
        await self.outage("https_half_answer", "cut", "it ended the connection")

    async def test_https_reset(self) -> None:
        await self.outage("https_reset", "gone", "it ended the connection")

    async def test_https_silent(self) -> None:
        await self.outage("https_silent", "silent", "no answer within 3 s")

    async def test_https_slow_body(self) -> None:
        await self.outage("https_slow_body", "slow", "no answer within 3 s")

    async def test_https_slow_head(self) -> None:
        await self.outage("https_slow_head", "slow_head", "no answer within 3 s")

    async def test_https_not_http(self) -> None:
        await self.outage("https_not_http", "not_http", "its answer is not HTTP")

    async def test_https_hundred_megabytes(self) -> None:
        await self.outage("https_hundred_megabytes", "huge", "its answer is larger than")

    async def test_https_endless_chunks(self) -> None:
        await self.outage("https_endless_chunks", "endless", "its answer is larger than")

    async def test_https_compressed(self) -> None:
        await self.outage("https_compressed", "bomb", "its answer is encoded as b'gzip'")

    async def test_https_usage_reached(self) -> None:
        self.peer.control(faults={"data": "code_26"})
        parent = await self.at_peer()
        await self.said(parent, "trying again within minutes", "W")
        await pause(1)
        asked = self.peer.control()["asked"]
        self.assertEqual(asked, ["refresh_token", "getstationsdata"])
        await self.finish("https_usage_reached", parent)

    # TLS.

    async def test_https_wrong_authority(self) -> None:
        other = Authority(self.directory, "other")
        said = "authority that we do not trust"
        await self.distrust("https_wrong_authority", said, tls_ca=str(other.path))

    async def test_https_wrong_host(self) -> None:
        url = f"https://127.0.0.1:{self.peer.port}"
        said = "its certificate is for localhost, not 127.0.0.1"
        await self.distrust("https_wrong_host", said, api_url=url)

    async def test_https_expired(self) -> None:
        line = self.peer.token_file("5f00aa|x")
        self.peer.certificate = self.peer.authority.issue("old", "localhost", days=-2)
        self.peer.stop()
        self.peer.start_again()
        self.healthy_beside(self.peer.config(line))
        parent = await self.start_beside()
        await self.said(parent, "its certificate has expired", "E")
        self.peer.secrets = set  # type: ignore[method-assign]  # it cannot be asked any more
        await self.finish("https_expired", parent)

    async def test_https_not_tls(self) -> None:
        factory = protocol.Factory.forProtocol(Greets)
        factory.noisy = False
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        url = f"https://localhost:{port.getHost().port}"
        await self.distrust("https_not_tls", "the port does not speak TLS", api_url=url)

    # The network.

    async def test_https_dns_dead(self) -> None:
        parent = await self.at_peer(api_url="https://netatmo.invalid", log_level="debug")
        await self.said(parent, "No values from Netatmo: netatmo.invalid: ", "W")
        await self.tried_again(parent)
        await self.finish("https_dns_dead", parent)

    async def test_https_dns_silent(self) -> None:
        host = Host(self)
        self.beside.use_socket()
        deaf = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(deaf.close)
        deaf.bind((host.our_address, 53))
        host.name_server(host.our_address)
        parent = await self.at_peer(
            api_url="https://api.example",
            log_level="debug",
            argv=[*host.prefix, *argv("metrics-agent", "-c", str(self.config_path))],
        )
        await self.said(parent, "api.example: no ", "W")
        await self.tried_again(parent)
        await self.finish("https_dns_silent", parent)

    # Tokens.

    async def test_https_token_server_down(self) -> None:
        self.peer.control(faults={"token": "500"})
        parent = await self.at_peer()
        await self.said(parent, "Netatmo answered 500", "W")
        self.peer.control(faults={"token": ""})
        recovered_ms = await self.back(parent)
        await self.finish("https_token_server_down", parent, recovered_ms)

    async def test_https_answer_lost(self) -> None:
        self.peer.control(faults={"token": "served_gone"})
        parent = await self.at_peer()
        await self.said(parent, "it ended the connection", "W")
        self.peer.control(faults={"token": ""})
        await self.said(parent, "A login at Netatmo is needed", "E", limit_s=RETRY_LIMIT_S)
        await pause(0.5)
        await self.finish("https_answer_lost", parent, down=3, logins=1)

    async def test_https_killed_after_refresh(self) -> None:
        parent = await self.at_peer()
        await until(lambda: len(self.peer.control()["pairs"]) == 2, "a refresh")
        await until(self.tokens.exists, "its answer on the disk")
        parent.signal_agent(signal.SIGKILL)
        await until(lambda: not parent.agent_pid, "its end")
        recovered_ms = await self.back(parent)
        self.assertEqual(parent.exits, [-signal.SIGKILL])
        await self.finish("https_killed_after_refresh", parent, recovered_ms, down=0)

    async def test_https_state_not_writable(self) -> None:
        self.block()
        parent = await self.at_peer()
        await self.said(parent, "tokens.json cannot be written", "E")
        self.assertEqual(self.peer.asked("refresh_token"), 0)
        self.unblock()
        recovered_ms = await self.back(parent)
        await self.finish("https_state_not_writable", parent, recovered_ms)

    async def test_https_file_damaged(self) -> None:
        self.tokens.parent.mkdir(parents=True, mode=0o700)
        self.tokens.write_text('{"version": 1, "access_token": "5f00aa|half')
        self.healthy_beside(self.peer.config())
        parent = await self.start_beside()
        await self.said(parent, "A login at Netatmo is needed", "E")
        self.assertEqual(len(self.lines_with(parent, "is damaged and was set aside", "E")), 1)
        await self.finish("https_file_damaged", parent, down=2, logins=1)
