"""The module `netatmo` in a real agent, against a real HTTPS server in another process."""

from __future__ import annotations

import random
import signal
import stat
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from twisted.internet.threads import deferToThread

from metrics_agent.config import Secret
from metrics_agent.oauth2.store import TokenStore
from metrics_agent.oauth2.tokens import Tokens, read_stored
from tests.integration.case import AgentCase, logged
from tests.integration.certificates import Authority
from tests.integration.netatmo import NetatmoPeer
from tests.integration.netatmo_brain import CLIENT_ID
from tests.integration.watching import environment, memory_bytes, pause, until

PROBE = "\n[modules.demo]\nenabled = true\ninterval = '100ms'\n"
RETRY_LIMIT_S = 60.0


class NetatmoCase(AgentCase):
    """Has a peer, and reads what the agent leaves."""

    timeout = 180

    def setUp(self) -> None:
        super().setUp()
        self.peer = NetatmoPeer.start(self, self.directory)
        self.tokens = self.directory / "state" / "netatmo" / "tokens.json"

    async def run_agent(self, *, restart_delay_s: float = 1.0, **changes: Any) -> Any:
        """Start an agent that was given a refresh token, beside a module that shows it alive."""
        token = self.peer.token_file(self.peer.give_pair()["refresh_token"])
        self.configure(PROBE + self.peer.config(token, **changes))
        return await self.start(restart_delay_s=restart_delay_s)

    def climate(self, parent: Any) -> list[bytes]:
        return [line for line in parent.lines() if line.startswith(b"climate,")]

    async def metrics(self, parent: Any, count: int = 2) -> None:
        """Wait until there are so many lines of climate."""
        await until(
            lambda: len(self.climate(parent)) >= count,
            lambda: f"{count} lines: {logged(parent.log)}",
            RETRY_LIMIT_S,
        )

    def assert_nothing_secret(self, parent: Any) -> None:
        """No token and no secret is in the log, on stdout, or in the arguments of the process."""
        words = self.peer.secrets()
        places = {
            "the log": "\n".join(said.text for said in parent.log),
            "stdout": bytes(parent.output).decode(),
        }
        if parent.agent_pid:
            arguments = Path(f"/proc/{parent.agent_pid}/cmdline").read_bytes()
            places["the arguments"] = arguments.decode()
        for place, text in places.items():
            for word in words:
                self.assertNotIn(word, text, f"in {place}")

    def assert_private(self) -> None:
        """What holds tokens is its owner's alone, and tokens are nowhere else."""
        words = [word.encode() for word in self.peer.secrets()]
        directory = self.tokens.parent
        self.assertEqual(stat.S_IMODE(directory.stat().st_mode), 0o700)
        for path in (self.directory / "state").rglob("*"):
            if path.is_file():
                holds_one = any(word in path.read_bytes() for word in words)
                self.assertEqual(holds_one, path == self.tokens)
                if path.parent == directory:
                    self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600, path)

    def stored(self) -> Any:
        return read_stored(self.tokens.read_bytes())


class Collecting(NetatmoCase):
    """From the API to stdout."""

    async def test_metrics(self) -> None:
        """Stations, modules and Home Coaches, each with its own time; secrets stay secret."""
        parent = await self.run_agent(home_coaches=True)
        await self.metrics(parent, 3)
        self.assert_valid(parent)
        times = {line.rsplit(b" ", 1)[1] for line in self.climate(parent)}
        self.assertEqual(len(times), 3)
        [garden] = [line for line in self.climate(parent) if b"friendly=Garten" in line]
        self.assertIn(b"sensor=NAModule1,vendor=netatmo humidity=93.0,temperature=0.0 ", garden)
        self.assertTrue(
            any(b"friendly=Keller" in line and b"online=false" in line for line in parent.lines())
        )
        said = self.peer.control()
        self.assertEqual(said["asked"], ["refresh_token", "getstationsdata", "gethomecoachsdata"])
        self.assertTrue(all(agent.startswith("metrics-agent/") for agent in said["agents"]))
        self.assertEqual(self.stored().refresh.reveal(), self.peer.pair["refresh_token"])
        self.assert_nothing_secret(parent)
        self.assert_private()
        await parent.stop()
        self.assertEqual(parent.exits, [0])

    async def test_debug_log(self) -> None:
        """Also at the level debug nothing secret is logged, whatever goes wrong."""
        token = self.peer.token_file(self.peer.give_pair()["refresh_token"])
        self.configure('log_level = "debug"\n' + self.peer.config(token))
        parent = await self.start()
        await self.metrics(parent)
        for fault in ("403", "code_2", "cut", "not_http", "redirect"):
            self.peer.control(faults={"data": fault, "token": "400"})
            asked = self.peer.asked("getstationsdata")
            parent.signal_agent(signal.SIGHUP)
            await until(lambda asked=asked: self.peer.asked("getstationsdata") > asked, fault)
            await pause(0.3)
        self.assert_nothing_secret(parent)

    async def test_restarts_and_reloads(self) -> None:
        """Killed, restarted, reloaded: the tokens go on, the first one is never tried again."""
        self.peer.control(lifetime_s=1)
        parent = await self.run_agent()
        await self.metrics(parent)
        for number in (signal.SIGKILL, signal.SIGHUP, signal.SIGKILL, signal.SIGHUP):
            asked = self.peer.asked("getstationsdata")
            # Tokens of a second have run out by then.
            await pause(1.1)
            parent.signal_agent(number)
            await until(
                lambda asked=asked: self.peer.asked("getstationsdata") > asked,
                lambda: logged(parent.log),
                30,
            )
        await pause(0.3)
        self.assertEqual(self.lines_with(parent, "login"), [])
        self.assertEqual(len(self.peer.control()["pairs"]), 6)
        self.assertEqual(self.stored().serial, 5)


class Faults(NetatmoCase):
    """What the network, the server and the disk do; each heals by itself, the others run on."""

    async def outage(self, said: str, level: str = "W", **fault: str) -> Any:
        """Let every data request fail from the start; see one line; let it end."""
        self.peer.control(faults=fault or {"data": ""})
        parent = await self.run_agent()
        await self.said(parent, said, level)
        await self.heal(parent)
        return parent

    async def heal(self, parent: Any) -> None:
        """End what is wrong; the agent recovers by itself, and has not stopped meanwhile."""
        self.peer.control(faults={"data": "", "token": ""})
        await self.metrics(parent)
        self.assertEqual(self.lines_with(parent, "login"), [])
        self.assertEqual(len(self.lines_with(parent, "No values from Netatmo")), 1)
        self.assertEqual(parent.exits, [])
        self.assert_nothing_secret(parent)
        self.assert_steady(parent)

    def assert_steady(self, parent: Any) -> None:
        """The module beside it has lost nothing and never waited."""
        demo = [line for line in parent.lines() if line.startswith(b"demo,")]
        self.assertGreater(len(demo), 10)
        times = [int(line.rsplit(b" ", 1)[1]) for line in demo]
        gaps = [after - before for before, after in pairwise(times)]
        self.assertLess(max(gaps), 1_500_000_000)

    async def test_html_500(self) -> None:
        await self.outage("No values from Netatmo: it answered 502.", data="502")

    async def test_slow_body(self) -> None:
        """A slow loris: a byte now and then ends with the time limit."""
        await self.outage("no answer within 3 s", data="slow")

    async def test_slow_head(self) -> None:
        await self.outage("no answer within 3 s", data="slow_head")

    async def test_silent(self) -> None:
        await self.outage("no answer within 3 s", data="silent")

    async def test_half_an_answer(self) -> None:
        await self.outage("it ended the connection", data="cut")

    async def test_reset(self) -> None:
        await self.outage("it ended the connection", data="gone")

    async def test_not_http(self) -> None:
        await self.outage("its answer is not HTTP", data="not_http")

    async def test_hundred_megabytes(self) -> None:
        """A body of 100 MB, announced or not, or compressed, costs a line and no memory."""
        self.peer.control(faults={"data": "huge"})
        parent = await self.run_agent()
        await self.said(parent, "its answer is larger than 1048576 bytes", "W")
        before = memory_bytes(parent.agent_pid)
        for fault, said in (("endless", "larger than"), ("bomb", "is encoded as b'gzip'")):
            self.peer.control(faults={"data": fault})
            asked = self.peer.asked("getstationsdata")
            parent.signal_agent(signal.SIGHUP)
            await until(lambda asked=asked: self.peer.asked("getstationsdata") > asked, fault, 30)
            await self.said(parent, said, "W", times=2 if fault == "endless" else 1)
        self.assertLess(memory_bytes(parent.agent_pid) - before, 24 << 20)
        self.peer.control(faults={"data": ""})
        await self.metrics(parent)
        self.assertEqual(parent.exits, [])

    async def test_redirect(self) -> None:
        """A redirect is reported and not followed: the token stays here."""
        self.peer.control(faults={"data": "redirect"})
        parent = await self.run_agent()
        await self.said(parent, "wants to send us elsewhere (is api_url right?)", "E")

    async def test_token_endpoint_down(self) -> None:
        """The token endpoint fails in every way: no login is asked for, and no token is lost."""
        for fault in ("500", "429", "cut", "silent", "huge", "code_26"):
            self.peer.control(faults={"token": fault})
            parent = await self.run_agent()
            await self.said(parent, "No values from Netatmo")
            self.assertEqual(self.lines_with(parent, "login"), [])
            await parent.stop()
        self.peer.control(faults={"token": ""})
        parent = await self.run_agent()
        await self.metrics(parent)

    async def test_server_gone(self) -> None:
        """A server that is not there, and then is."""
        pair = self.peer.give_pair()
        self.configure(PROBE + self.peer.config(self.peer.token_file(pair["refresh_token"])))
        self.peer.stop()
        parent = await self.start()
        await self.said(parent, "connection refused, nothing listens there", "W")
        self.peer.start_again()
        # It has forgotten its tokens: the one in the configuration is refused, by a real answer.
        refused = "The refresh_token of the configuration is refused"
        await self.said(parent, refused, "E", limit_s=60)
        await self.said(parent, "A login at Netatmo is needed", "E")

    async def test_dns_dead(self) -> None:
        """A name that does not resolve is reported once, and asks for no login."""
        parent = await self.run_agent(api_url="https://netatmo.invalid")
        await self.said(parent, "No values from Netatmo: netatmo.invalid: ", "W")
        self.assertEqual(self.lines_with(parent, "login"), [])
        await pause(1)
        self.assert_steady(parent)

    async def test_wrong_tls(self) -> None:
        """Certificates of another authority, for another host, and expired: not trusted."""
        other = Authority(self.directory, "other")
        parent = await self.run_agent(tls_ca=str(other.path))
        await self.said(parent, "authority that we do not trust", "E")
        await parent.stop()
        parent = await self.run_agent(api_url=f"https://127.0.0.1:{self.peer.port}")
        await self.said(parent, "its certificate is for localhost, not 127.0.0.1", "E")
        await parent.stop()
        self.peer.certificate = self.peer.authority.issue("old", "localhost", days=-2)
        token = self.peer.token_file("5f00aa|x")
        self.peer.stop()
        self.peer.start_again()
        self.configure(self.peer.config(token))
        parent = await self.start()
        await self.said(parent, "its certificate has expired", "E")
        self.assertEqual(self.lines_with(parent, "login"), [])

    async def test_not_tls(self) -> None:
        """A port that speaks something else."""
        from twisted.internet import protocol, reactor

        class Greets(protocol.Protocol):
            def connectionMade(self) -> None:
                self.transport.write(b"220 mail.example ESMTP\r\n")

        port = reactor.listenTCP(0, protocol.Factory.forProtocol(Greets), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        parent = await self.run_agent(api_url=f"https://localhost:{port.getHost().port}")
        await self.said(parent, "the port does not speak TLS", "E")

    async def test_state_that_cannot_be_written(self) -> None:
        """Where a new pair could not be stored, the old one is not given away."""
        blocked = self.directory / "state" / "netatmo" / "tokens.json.new"
        blocked.mkdir(parents=True)
        blocked.parent.chmod(0o700)
        parent = await self.run_agent()
        await self.said(parent, "tokens.json cannot be written", "E")
        self.assertEqual(self.peer.asked("refresh_token"), 0)
        blocked.rmdir()
        await self.metrics(parent)


class LosingTokens(NetatmoCase):
    """Rotation that goes wrong."""

    async def test_lost_answer(self) -> None:
        """Tokens that rotated unseen cannot be had back: one line asks for a login."""
        self.peer.control(faults={"token": "served_gone"})
        parent = await self.run_agent()
        await self.said(parent, "it ended the connection", "W")
        self.peer.control(faults={"token": ""})
        await self.said(parent, "A login at Netatmo is needed", "E", limit_s=60)
        self.assert_nothing_secret(parent)

    async def test_reload_during_a_refresh(self) -> None:
        """A reload while a refresh is under way waits for its answer, which reaches the disk."""
        self.peer.control(lifetime_s=1)
        parent = await self.run_agent(timeout="20s")
        await self.metrics(parent)
        await pause(1.1)
        self.peer.control(faults={"token": "served_late"})
        pairs = len(self.peer.control()["pairs"])
        asked = self.peer.asked("getstationsdata")
        parent.signal_agent(signal.SIGHUP)
        await until(lambda: len(self.peer.control()["pairs"]) > pairs, "a refresh", 30)
        self.peer.control(faults={"token": ""})
        # In the middle of that one.
        parent.signal_agent(signal.SIGHUP)
        await until(
            lambda: self.stored().refresh.reveal() == self.peer.pair["refresh_token"],
            lambda: f"the new pair: {logged(parent.log)}",
            30,
        )
        await until(lambda: self.peer.asked("getstationsdata") > asked, "a turn", 30)
        self.assertEqual(self.lines_with(parent, "login"), [])

    async def test_killed_at_any_moment(self) -> None:
        """Killed again and again while it refreshes: the file always parses and holds a pair.

        The pair is the one that is good, or the one before it, whose refresh was cut off. What
        was answered and written is found again; only where nothing was a login is needed.
        """
        self.give_tokens()
        seed = random.Random(6)
        serials, logins = [], 0
        for _ in range(40):
            before = len(self.peer.control()["pairs"])
            process = self.start_refresher()
            await until(
                lambda process=process, before=before: (
                    process.poll() is not None or len(self.peer.control()["pairs"]) > before
                ),
                "a refresh",
                30,
            )
            await pause(seed.random() * 0.03)
            if process.poll() == 3:
                logins += 1
                self.give_tokens()
                continue
            process.kill()
            process.wait(20)
            given = [pair["refresh_token"] for pair in self.peer.control()["pairs"]]
            serials.append(self.stored().serial)
            self.assertIn(self.stored().refresh.reveal(), given[-2:])
            self.assertEqual(stat.S_IMODE(self.tokens.stat().st_mode), 0o600)
        self.assertEqual(serials, sorted(serials))
        self.assertGreater(serials[-1], 40)
        self.assertLess(logins, 20)

    def start_refresher(self) -> subprocess.Popen[bytes]:
        """Start a process that refreshes as fast as it can."""
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.integration.netatmo_refresher", str(self.tokens)),
                *(self.peer.url, str(self.peer.authority.path)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment(),
        )
        self.addCleanup(process.wait, 20)
        self.addCleanup(process.kill)
        return process

    def give_tokens(self) -> None:
        """Store a good pair, as a login does."""
        pair = self.peer.give_pair()
        try:
            serial = self.stored().serial + 1
        except FileNotFoundError:
            serial = 1
        now_s = time.time()
        tokens = Tokens(
            CLIENT_ID,
            Secret(pair["access_token"]),
            Secret(pair["refresh_token"]),
            now_s,
            now_s,
            serial=serial,
        )
        self.tokens.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
        room = TokenStore(self.tokens).prepare()
        room.commit(tokens)

    def is_stored(self) -> bool:
        return bool(self.stored().refresh.reveal() == self.peer.pair["refresh_token"])

    async def test_agent_killed_in_a_refresh(self) -> None:
        """The same with a whole agent, which is killed and goes on by itself."""
        self.peer.control(lifetime_s=1)
        parent = await self.run_agent(restart_delay_s=0.1)
        await self.metrics(parent)
        for _ in range(5):
            pairs = len(self.peer.control()["pairs"])
            while len(self.peer.control()["pairs"]) == pairs:
                await pause(1.2)
                parent.signal_agent(signal.SIGHUP)
                await pause(0.3)
            # What the server has answered and no disk has yet, a kill does lose.
            await until(self.is_stored, "the new tokens on the disk")
            parent.signal_agent(signal.SIGKILL)
            await until(lambda: not parent.agent_pid, "its end")
            self.assertTrue(self.is_stored())
            starts = parent.starts
            await until(lambda starts=starts: parent.starts > starts, "its next start", 30)
            await self.said(parent, "Started with", times=parent.starts)
        self.assertEqual(self.lines_with(parent, "login"), [])


class Page(NetatmoCase):
    """The login page over a reload; what is on it is in the browser's test."""

    async def test_reload(self) -> None:
        """Each instance has its page at the same port with its own token, a stopped one none."""
        self.configure(self.peer.config())
        parent = await self.start()
        url = f"http://127.0.0.1:{self.peer.login_port}/"
        addresses = set()
        for count in (1, 2, 3):
            await self.said(parent, f"Open {url}?token=", "E", times=count)
            line = self.lines_with(parent, f"Open {url}?token=")[-1].text
            address = line.partition("Open ")[2].partition(" in a browser")[0]
            addresses.add(address)
            page = await deferToThread(urlopen, address, None, 10)
            self.assertIn(b"Connect to Netatmo", page.read())
            page.close()
            parent.signal_agent(signal.SIGHUP)
        await self.said(parent, f"Open {url}?token=", "E", times=4)
        self.assertEqual(len(addresses), 3)
        self.assertEqual(self.lines_with(parent, "cannot be served"), [])
        await parent.stop()
        with self.assertRaises(URLError):
            await deferToThread(urlopen, url, None, 10)


class Files(NetatmoCase):
    """What is in the state directory at a start."""

    async def test_damaged(self) -> None:
        """A damaged file is set aside and reported, in one line each."""
        self.tokens.parent.mkdir(parents=True, mode=0o700)
        self.tokens.write_text('{"version": 1, "access_token": "5f00aa|half')
        self.tokens.chmod(0o600)
        self.configure(self.peer.config())
        parent = await self.start()
        await self.said(parent, "A login at Netatmo is needed", "E")
        [line] = self.lines_with(parent, "damaged", "E")
        self.assertIn("tokens.json.damaged", line.text)
        self.assertNotIn("half", line.text)
        self.assertTrue((self.tokens.parent / "tokens.json.damaged").exists())
