"""Whole agents with the module ``opendtu``, against a DTU and a broker in other processes."""

from __future__ import annotations

import signal
import stat
import subprocess
import sys
from base64 import b64encode
from pathlib import Path
from typing import Any

from line_protocol_parser import parse_line
from twisted.internet.threads import deferToThread

from tests.integration.broker import Mosquitto
from tests.integration.case import AgentCase, logged
from tests.integration.certificates import Authority
from tests.integration.opendtu_simulator import Simulator, inverter
from tests.integration.test_mqtt_broker import publish
from tests.integration.watching import memory_bytes, pause, until

PASSWORD = "s3cr3t-Schlüssel"
FAST = "reconnect_min = '100ms'\nreconnect_max = '300ms'\n"


class Case(AgentCase):
    """Runs the module beside a healthy one, and looks for the password everywhere."""

    def opendtu(self, url: str, more: str = "", top: str = "") -> str:
        """Return a configuration with the module at a DTU, and the module demo beside it."""
        return (
            f"{top}\n[modules.demo]\nenabled = true\ninterval = '100ms'\n"
            f"[modules.opendtu]\nenabled = true\nurl = '{url}'\n{FAST}{more}\n"
        )

    async def run_with(self, url: str, more: str = "", **how: Any) -> Any:
        """Start an agent whose module is at that address."""
        self.configure(self.opendtu(url, more))
        parent = await self.start(**how)
        self.addCleanup(self.nothing_shows_the_password, parent)
        return parent

    def nothing_shows_the_password(self, parent: Any) -> None:
        """Neither log nor output nor state show it; state is for its owner alone."""
        for shown in (PASSWORD, PASSWORD.encode("unicode_escape").decode()):
            self.assertNotIn(shown, logged(parent.log))
            self.assertNotIn(shown.encode(), bytes(parent.output))
        state = self.directory / "state"
        for path in state.rglob("*") if state.exists() else ():
            self.assertEqual(stat.S_IMODE(path.stat().st_mode) & 0o077, 0, path)

    def found(self, parent: Any, measurement: str, **tags: str) -> list[dict]:
        """Return the parsed lines of a measurement with some tags."""
        parsed = [parse_line(line.decode()) for line in parent.lines()]
        return [
            line
            for line in parsed
            if line["measurement"] == measurement and tags.items() <= line["tags"].items()
        ]

    def powers(self, parent: Any) -> list[float]:
        """Return the powers of the inverter itself, in order."""
        lines = self.found(parent, "electricity", device="114182ab0001")
        return [line["fields"]["power"] for line in lines if "channel" not in line["tags"]]

    async def got(self, parent: Any, power: float) -> None:
        """Wait until a power is there."""
        await until(
            lambda: power in self.powers(parent),
            lambda: f"{power} W in {self.powers(parent)}: {logged(parent.log)}",
            30,
        )

    async def opened(self, dtu: Simulator, times: int = 1) -> None:
        """Wait until the DTU has let someone in so often."""
        await until(
            lambda: len(dtu.events("open")) >= times, lambda: f"{dtu.events('request')}", 30
        )

    def lines_about(self, parent: Any, *levels: str) -> list[str]:
        """Return what was said of the module at some levels."""
        return [
            said.text for said in parent.log if said.level in levels and "[opendtu]" in said.text
        ]

    async def healthy(self, parent: Any) -> None:
        """The module beside goes on."""
        before = len(self.found(parent, "demo"))
        await until(lambda: len(self.found(parent, "demo")) >= before + 5, "the module demo", 10)


class SocketTests(Case):
    """What comes by the socket."""

    async def test_from_the_socket_to_the_output(self) -> None:
        """Messages become lines; at the end the socket is closed in order."""
        dtu = Simulator(self)
        parent = await self.run_with(dtu.url())
        await self.opened(dtu)
        dtu.send(inverter(312.3999939))
        await self.got(parent, 312.4)
        await parent.stop()
        self.assert_valid(parent)
        [own] = self.found(parent, "electricity", device="114182ab0001", friendly="Garage")
        self.assertEqual(
            own["fields"], {"energy_total": 1209.276, "power": 312.4, "voltage": 231.6}
        )
        [string] = self.found(parent, "electricity", channel="1")
        self.assertEqual(string["tags"]["friendly"], "Ost")
        self.assertEqual(len(self.found(parent, "inverter")), 1)
        [online] = self.found(parent, "device", device="dtu")
        self.assertEqual(online["fields"], {"online": True})
        await until(lambda: dtu.events("closed") == [1000], "a close frame")
        self.assertEqual(parent.exits, [0])
        self.assertEqual(self.lines_about(parent, "W", "E"), [])

    async def test_what_was_received_before_the_stop_is_not_lost(self) -> None:
        """A message and the stop right behind it."""
        dtu = Simulator(self)
        parent = await self.run_with(dtu.url())
        await self.opened(dtu)
        for power in range(1, 200):
            dtu.send(inverter(float(power)))
        await self.got(parent, 100.0)
        await parent.stop()
        self.assertEqual(
            self.powers(parent), [float(each) for each in range(1, 1 + len(self.powers(parent)))]
        )
        self.assert_valid(parent)

    async def test_one_socket_over_a_reload(self) -> None:
        """At SIGHUP the old socket is closed before the new one is asked for."""
        dtu = Simulator(self)
        parent = await self.run_with(dtu.url())
        await self.opened(dtu)
        for times in range(2, 5):
            parent.signal_agent(signal.SIGHUP)
            await self.opened(dtu, times)
        self.assertEqual(set(dtu.events("clients")), {0})
        dtu.send(inverter(5.0))
        await self.got(parent, 5.0)
        self.assertEqual(len(self.powers(parent)), 1)

    async def test_killed_and_back(self) -> None:
        """A DTU that restarts: one line down, one line up, and its data again."""
        dtu = Simulator(self)
        parent = await self.run_with(dtu.url())
        await self.opened(dtu)
        dtu.send(inverter(1.0))
        await self.got(parent, 1.0)
        # A connection that has lasted; before it is proven, its loss is the same outage.
        await pause(10.5)
        dtu.kill()
        await self.said(parent, "Lost the connection", "W")
        await pause(2)
        await self.healthy(parent)
        dtu.start()
        await self.opened(dtu, 2)
        dtu.send(inverter(2.0))
        await self.got(parent, 2.0)
        await self.said(parent, "again after", "I")
        self.assertEqual(len(self.lines_about(parent, "W", "E")), 1, logged(parent.log))
        online = [line["fields"]["online"] for line in self.found(parent, "device", device="dtu")]
        self.assertEqual(online, [True, False, True])

    async def test_abrupt_end(self) -> None:
        """A connection that is reset is one like any other."""
        dtu = Simulator(self)
        parent = await self.run_with(dtu.url())
        await self.opened(dtu)
        dtu.do("abort")
        await self.opened(dtu, 2)
        dtu.send(inverter(3.0))
        await self.got(parent, 3.0)

    async def test_closed_with_a_code(self) -> None:
        """As when the DTU's password is changed."""
        dtu = Simulator(self)
        parent = await self.run_with(dtu.url())
        await self.opened(dtu)
        dtu.do("close", code=1001, reason="bye")
        await self.said(parent, "closed the connection with code 1001 ('bye')", "W")
        await self.opened(dtu, 2)

    async def test_silence(self) -> None:
        """A DTU without inverters is left alone, one that is frozen is given up."""
        dtu = Simulator(self)
        parent = await self.run_with(
            dtu.url(), "ping_interval = '200ms'\nping_timeout = '2s'\nconnect_timeout = '2s'\n"
        )
        await self.opened(dtu)
        await pause(3)
        self.assertEqual(len(dtu.events("open")), 1)
        self.assertEqual(self.lines_about(parent, "W", "E"), [])
        dtu.freeze()
        await self.said(parent, "no answer to a ping within 2 s", "W")
        dtu.thaw()
        await until(lambda: len(dtu.events("open")) > 1, "another connection", 30)
        dtu.send(inverter(4.0))
        await self.got(parent, 4.0)

    async def test_garbage_in_messages(self) -> None:
        """Payloads that cannot be read cost themselves; broken frames cost the connection."""
        dtu = Simulator(self, greet=['{"inverters":[', "\u0000", "[" * 5000, '{"total":[1]}'])
        parent = await self.run_with(dtu.url())
        await self.opened(dtu)
        dtu.send(inverter(5.0))
        await self.got(parent, 5.0)
        self.assertEqual(len(dtu.events("open")), 1)
        dtu.do("raw", hex="ffffffffff")
        await self.said(parent, "the server broke the protocol", "W")
        await self.opened(dtu, 2)
        dtu.do("raw", hex="817e")  # half a frame, then the end
        dtu.do("abort")
        await self.opened(dtu, 3)
        dtu.send(inverter(6.0))
        await self.got(parent, 6.0)
        await self.healthy(parent)

    async def test_100_mb(self) -> None:
        """A message of 100 MB costs itself, and little memory."""
        dtu = Simulator(self)
        parent = await self.run_with(dtu.url())
        await self.opened(dtu)
        await pause(1)
        before = memory_bytes(parent.agent_pid)
        dtu.do("flood", bytes=100_000_000)
        dtu.send(inverter(7.0))
        await self.got(parent, 7.0)
        self.assertLess(memory_bytes(parent.agent_pid) - before, 20_000_000)
        self.assertEqual(len(dtu.events("open")), 1)
        [line] = self.lines_about(parent, "W")
        self.assertIn("oversized", line)


class HandshakeTests(Case):
    """What is there in place of a WebSocket; the matrix of faults has the rest."""

    async def test_wrong_path(self) -> None:
        """404, as with the path that the Go agent's example has: one line names the right one."""
        dtu = Simulator(self)
        parent = await self.run_with(f"{dtu.url('ws')}/ws")
        await self.said(parent, "(HTTP 404); OpenDTU has it at /livedata", "E")
        await self.healthy(parent)
        await pause(1)
        self.assertEqual(len(self.lines_about(parent, "W", "E")), 1, logged(parent.log))


class LoginTests(Case):
    """Who we are."""

    def secret(self) -> str:
        path = self.directory / "password"
        path.write_text(PASSWORD + "\n", "utf-8")
        path.chmod(0o600)
        return f"password = {{ file = '{path}' }}\n"

    async def logged_in(self, scheme: str, more: str = "") -> Simulator:
        dtu = Simulator(self, login=scheme, password=PASSWORD)
        parent = await self.run_with(dtu.url(), self.secret() + more)
        await self.opened(dtu)
        dtu.send(inverter(9.0))
        await self.got(parent, 9.0)
        self.assertEqual(self.lines_about(parent, "W", "E"), [])
        self.assertNotIn(PASSWORD.encode(), self.arguments_of(parent.agent_pid))
        return dtu

    def arguments_of(self, pid: int) -> bytes:
        return Path(f"/proc/{pid}/cmdline").read_bytes()

    async def test_digest(self) -> None:
        """As v26.3.30 wants it: the second request answers the challenge; a reconnect at once."""
        dtu = await self.logged_in("digest")
        self.assertEqual(dtu.events("login"), ["", "Digest"])
        dtu.do("abort")
        await self.opened(dtu, 2)
        self.assertEqual(dtu.events("login")[2], "Digest")

    async def test_basic(self) -> None:
        """As old firmware takes it."""
        dtu = await self.logged_in("basic")
        self.assertEqual(dtu.events("login"), ["", "Basic"])

    async def test_basic_at_once(self) -> None:
        """Set as such it is asked with the first request."""
        dtu = await self.logged_in("basic", "login = 'basic'\n")
        self.assertEqual(dtu.events("login"), ["Basic"])

    async def test_wrong_password(self) -> None:
        """One error line; two requests an attempt and no more."""
        dtu = Simulator(self, login="digest", password="another")
        parent = await self.run_with(dtu.url(), self.secret())
        await self.said(parent, "it refuses the user name or password (HTTP 401)", "E")
        await until(lambda: len(dtu.events("request")) >= 6, "three attempts", 30)
        await self.healthy(parent)
        self.assertEqual(len(self.lines_about(parent, "W", "E")), 1)

    async def test_no_password(self) -> None:
        """A DTU that wants one, and none is set."""
        dtu = Simulator(self, login="digest", password=PASSWORD)
        parent = await self.run_with(dtu.url())
        await self.said(parent, "it wants a login, set the password", "E")

    async def test_password_changed(self) -> None:
        """The DTU closes all sockets; the new password is taken at the next reload."""
        dtu = await self.logged_in("digest")
        dtu.do("behave", password="new")
        dtu.do("close", code=1001)
        await until(lambda: len(dtu.events("request")) >= 4, "refused", 30)
        path = self.directory / "password"
        path.write_text("new", "utf-8")
        [parent] = self.parents
        parent.signal_agent(signal.SIGHUP)
        await self.opened(dtu, 2)

    async def run_with(self, url: str, more: str = "", **how: Any) -> Any:
        parent = await super().run_with(url, more, **how)
        self.parents = [parent]
        return parent


class TlsTests(Case):
    """A DTU behind a proxy with TLS."""

    def setUp(self) -> None:
        super().setUp()
        self.authority = Authority(self.directory, "authority")

    def dtu(self, *hosts: str, days: int = 1) -> Simulator:
        certificate, key = self.authority.issue("server", *hosts, days=days)
        return Simulator(self, certificate=str(certificate), key=str(key))

    def url(self, dtu: Simulator) -> str:
        return f"https://localhost:{dtu.port}"

    async def test_trusted(self) -> None:
        """With a certificate of an authority that is trusted."""
        dtu = self.dtu("localhost")
        parent = await self.run_with(self.url(dtu), f"tls_ca = '{self.authority.path}'\n")
        await self.opened(dtu)
        dtu.send(inverter(10.0))
        await self.got(parent, 10.0)
        await parent.stop()
        self.assertEqual(self.lines_about(parent, "W", "E"), [])

    async def test_insecure(self) -> None:
        """On request any certificate will do."""
        dtu = self.dtu("other.example", days=-2)
        await self.run_with(self.url(dtu), "tls_insecure = true\n")
        await self.opened(dtu)

    async def test_mixed_up(self) -> None:
        """TLS to a plain port, and no TLS to one that wants it."""
        plain = Simulator(self)
        parent = await self.run_with(f"https://localhost:{plain.port}")
        await self.said(parent, "is it the right port, with or without TLS?", "W")
        secure = self.dtu("localhost")
        parent = await self.run_with(f"http://localhost:{secure.port}")
        await self.said(parent, "Cannot connect to ws://localhost")
        [line] = self.lines_about(parent, "W", "E")
        self.assertIn("TLS", line)


class BrokerTests(Case):
    """The same data from a broker."""

    async def test_from_the_broker_to_the_output(self) -> None:
        """What a DTU publishes becomes the lines that its socket would."""
        broker = Mosquitto.start(self)
        await publish(broker.port, "solar/114182ab0001/name", [b"Garage"], 0, retain=True)
        await publish(broker.port, "solar/dtu/status", [b"online"], 0, retain=True)
        self.configure(
            "[modules.opendtu]\nenabled = true\n"
            f"[modules.opendtu.mqtt]\nbroker = '{broker.url}'\nclient_id = 'agent'\n"
        )
        parent = await self.start()
        await until(lambda: self.found(parent, "device"), "the last will", 30)
        for key, text in (
            ("status/reachable", b"1"),
            ("0/power", b"11.5"),
            ("0/yieldtotal", b"1209.276"),
            ("1/power", b"12.1"),
        ):
            await publish(broker.port, f"solar/114182ab0001/{key}", [text], 0)
        await until(lambda: len(self.found(parent, "electricity", channel="1")) == 1, "a string")
        await self.got(parent, 11.5)
        await parent.stop()
        self.assert_valid(parent)
        names = {line["tags"]["friendly"] for line in self.found(parent, "electricity")}
        self.assertEqual(names, {"Garage"})


CLIENT = """
import asyncio, sys
from websockets.asyncio.client import connect
async def main():
    async with connect(sys.argv[1], additional_headers={"Authorization": sys.argv[2]}) as socket:
        print(await socket.recv())
asyncio.run(main())
"""


class SimulatorTests(Case):
    """The simulator itself, with the client of its own library."""

    async def test_it_refuses_what_it_should(self) -> None:
        """A right password gets in, a wrong one does not, whoever asks."""
        dtu = Simulator(self, login="basic", password=PASSWORD, greet=["hello"])
        for password, said in ((PASSWORD, b"hello\n"), ("another", b"")):
            pair = b64encode(f"admin:{password}".encode()).decode()
            done = await deferToThread(
                subprocess.run,
                [sys.executable, "-c", CLIENT, f"{dtu.url('ws')}/livedata", f"Basic {pair}"],
                capture_output=True,
                timeout=30,
                check=False,
            )
            self.assertEqual(done.stdout, said, done.stderr)
