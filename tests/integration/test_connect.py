"""`metrics-agent check --connect` at real brokers and servers, each good and each with a fault."""

from __future__ import annotations

import re
import time
from typing import Any

from twisted.internet import reactor
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.threads import deferToThread

from tests.integration.broker import Mosquitto, free_port
from tests.integration.case import install_modules
from tests.integration.mqtt_agent import MqttCase, OldBroker, announcement, publish
from tests.integration.netatmo import NetatmoPeer
from tests.integration.opendtu_simulator import Simulator
from tests.integration.test_once import listing
from tests.integration.watching import argv, python_path, run_to_end, until

USERS = {"anna": "secret"}
LOGIN = {"username": "anna", "password": "secret"}


class ConnectCase(MqttCase):
    """Runs the command."""

    async def connect(self, **env: str) -> Any:
        """Run it to its end, with stdout and stderr as text."""
        words = ("check", "--connect", "-c", str(self.config_path))
        command = argv("metrics-agent", *words)
        return await deferToThread(run_to_end, command, env, cwd=self.directory)

    def found(self, done: Any) -> list[str]:
        """Return the lines about connections; ports are written N."""
        lines = [line for line in done.stdout.splitlines() if re.match(r"ok: |error: ", line)]
        return [re.sub(r":\d{4,5}\b", ":N", line) for line in lines]


class BrokerTests(ConnectCase):
    """MQTT: the port, the login, the rights."""

    async def test_a_broker_of_mqtt_3_1_1(self) -> None:
        """Its refusal of MQTT 5 is not a fault."""
        old = OldBroker(self, Mosquitto.start(self).port)
        self.configure(self.at(old.url, protocol="auto"))
        done = await self.connect()
        self.assertEqual(self.found(done), ["ok: tasmota: tcp://127.0.0.1:N"])
        self.assertEqual(done.returncode, 0)

    async def test_all_good(self) -> None:
        """A line for each, exit status 0, nothing on stderr; nothing is published or left."""
        broker = Mosquitto.start(self, users=USERS)
        login = ("-u", "anna", "-P", "secret")
        await publish(
            broker, "tasmota/discovery/A4CF12C0FFEE/config", announcement("p"), "-r", *login
        )
        dtu = Simulator(self)
        accepted: list[Protocol] = []
        output = self.listen(accepted)
        top = f"output = 'tcp://127.0.0.1:{output}'"
        self.configure(
            self.at(broker, top, **LOGIN)
            + f"[modules.opendtu]\nenabled = true\nurl = '{dtu.url()}'\n"
            + "[modules.demo]\nenabled = true\n"
        )
        started_s = time.monotonic()
        done = await self.connect()
        self.assertLess(time.monotonic() - started_s, 9)
        self.assertEqual(
            self.found(done),
            [
                "ok: tasmota: tcp://127.0.0.1:N",
                "ok: opendtu: ws://127.0.0.1:N/livedata",
                "ok: demo: started, it connects to nothing",
                "ok: output: tcp://127.0.0.1:N",
            ],
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertFalse((self.directory / "state").exists())
        self.assertNotIn("Received PUBLISH from agent-", broker.log)
        self.assertRegex(broker.log, r"as agent-[0-9a-f]{8} \(p[245], c1, k30")
        await until(lambda: accepted, "the connection to the output")
        self.assertEqual([bytes(each.data) for each in accepted], [b""])

    async def test_broker_of_the_output(self) -> None:
        """It is logged in to, and nothing is published; one of MQTT 3.1.1 is not enough."""
        broker = Mosquitto.start(self, users=USERS)
        old = OldBroker(self, Mosquitto.start(self).port)
        for url, password, expected in (
            (broker.url, "secret", "ok: output: mqtt://127.0.0.1:N/t/x"),
            (broker.url, "wrong", "does not authorise this login"),
            (old.url.replace("tcp", "mqtt"), "secret", "does not speak MQTT 5, which is needed"),
        ):
            self.configure(
                f"output = '{url}/t/x'\n[output_settings]\nusername = 'anna'\n"
                f"password = '{password}'\n[modules.demo]\nenabled = true\n"
            )
            done = await self.connect()
            self.assertIn(expected, self.found(done)[-1])
            self.assertEqual(done.returncode, 0 if expected.startswith("ok") else 1)
        self.assertNotIn("Received PUBLISH", broker.log)

    async def test_wrong_password(self) -> None:
        """1, and the line says what the broker refuses."""
        broker = Mosquitto.start(self, users=USERS)
        self.configure(self.at(broker, username="anna", password="Geheimnis"))
        done = await self.connect()
        self.assertEqual(done.returncode, 1)
        [line] = self.found(done)
        self.assertTrue(
            line.startswith("error: tasmota: tcp://127.0.0.1:N: cannot connect: "), line
        )
        self.assertIn("user name", line)
        self.assertNotIn("Geheimnis", done.stdout + done.stderr)

    async def test_refused_port(self) -> None:
        """1, with the system's reason."""
        self.configure(self.at(f"tcp://127.0.0.1:{free_port()}"))
        done = await self.connect()
        refused = "cannot connect: connection refused, nothing listens there"
        self.assertEqual(self.found(done), [f"error: tasmota: tcp://127.0.0.1:N: {refused}"])
        self.assertEqual(done.returncode, 1)

    async def test_each_of_several_brokers(self) -> None:
        """All addresses of a list are tried, also those behind one that works."""
        one, two = Mosquitto.start(self), Mosquitto.start(self)
        gone = f"tcp://127.0.0.1:{free_port()}"
        self.configure(self.at([one.url, gone, two.url]))
        done = await self.connect()
        self.assertEqual(done.returncode, 1)
        self.assertEqual([line.split(":")[0] for line in self.found(done)], ["ok", "error", "ok"])
        self.assertIn(f"error: tasmota: {gone}: cannot connect", done.stdout)

    async def test_a_broker_that_does_not_answer(self) -> None:
        """After 10 s it is an error; what works is known all the same."""
        silent, good = Mosquitto.start(self), Mosquitto.start(self)
        silent.freeze()
        self.configure(
            self.at(silent) + f"[modules.'tasmota:good']\nenabled = true\nbroker = '{good.url}'\n"
        )
        started_s = time.monotonic()
        done = await self.connect()
        self.assertLess(time.monotonic() - started_s, 20)
        self.assertEqual(done.returncode, 1)
        bad, well = self.found(done)
        self.assertRegex(bad, r"\Aerror: tasmota: tcp://127.0.0.1:N: .*no (answer|connection)")
        self.assertEqual(well, "ok: tasmota:good: tcp://127.0.0.1:N")

    async def test_rights(self) -> None:
        """Filters that the broker refuses are named."""
        broker = Mosquitto.start(self, settings=self.rights(subscribePattern=("tele/#",)))
        self.configure(self.at(broker, username="admin", password="secret"))
        done = await self.connect()
        self.assertEqual(done.returncode, 1, done.stdout)
        [line] = self.found(done)
        self.assertIn("error: tasmota: tcp://127.0.0.1:N: refuses to subscribe us to ", line)
        self.assertIn("stat/+/RESULT", line)
        self.assertIn("tasmota/discovery/+/config", line)
        self.assertNotIn("tele/+/SENSOR", line)

    def listen(self, accepted: list[Any]) -> int:
        """Listen as Telegraf does for an output; return the port."""

        class Telegraf(Protocol):
            def connectionMade(self) -> None:
                self.data = bytearray()
                accepted.append(self)

            def dataReceived(self, data: bytes) -> None:
                self.data += data

        factory = Factory.forProtocol(Telegraf)
        factory.noisy = False
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return int(port.getHost().port)


class Broker5Tests(BrokerTests):
    """The same with MQTT 5."""

    protocol = "5"


class OthersTests(ConnectCase):
    """What is not a broker."""

    async def test_servers_and_the_output(self) -> None:
        """A refused login of a DTU, an output without a listener: each with its cause."""
        dtu = Simulator(self, login="basic", password="right")
        self.configure(
            f"output = 'tcp://127.0.0.1:{free_port()}'\n[modules.opendtu]\nenabled = true\n"
            f"url = '{dtu.url()}'\npassword = 'wrong'\n"
        )
        done = await self.connect()
        self.assertEqual(done.returncode, 1)
        server, output = self.found(done)
        self.assertTrue(server.startswith("error: opendtu: ws://127.0.0.1:N/livedata: "), server)
        self.assertIn("password", server)
        self.assertEqual(
            output,
            "error: output: tcp://127.0.0.1:N: cannot connect: connection refused, nothing "
            "listens there",
        )

    async def test_token(self) -> None:
        """Without a valid access token it is an error; no refresh token is used."""
        peer = NetatmoPeer.start(self, self.directory)
        given = peer.token_file(peer.give_pair()["refresh_token"])
        self.configure(peer.config(given))
        done = await self.connect()
        self.assertEqual(done.returncode, 1)
        [line] = self.found(done)
        self.assertTrue(line.startswith("error: netatmo: "), line)
        self.assertIn("would use up the refresh token", line)
        self.assertEqual(peer.asked("refresh_token"), 0)

    async def test_token_of_the_running_agent(self) -> None:
        """The access token that the agent has stored is tried; its state stays as it is."""
        peer = NetatmoPeer.start(self, self.directory)
        given = peer.token_file(peer.give_pair()["refresh_token"])
        self.configure(peer.config(given))
        parent = await self.start()
        await until(lambda: b"climate," in parent.output, "the values")
        before = listing(self.directory / "state")
        done = await self.connect()
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertEqual(listing(self.directory / "state"), before)
        self.assertEqual(peer.asked("refresh_token"), 1)

    async def test_faults_of_the_file(self) -> None:
        """78 as without --connect, and nothing is tried."""
        broker = Mosquitto.start(self)
        self.configure(self.at(broker, interval="soon"))
        done = await self.connect()
        self.assertEqual(done.returncode, 78)
        self.assertNotIn("New client connected", broker.log)

    async def test_a_module_that_does_not_start(self) -> None:
        """It is an error too; the others are tried all the same."""
        self.configure(self.probe("fail_to_start") + "[modules.demo]\nenabled = true\n")
        packages = self.directory / "packages"
        install_modules(packages, {"probe": "tests.integration.probe:MODULE"})
        done = await self.connect(PYTHONPATH=python_path(packages))
        self.assertEqual(
            self.found(done),
            [
                "error: probe: it does not start, `metrics-agent once` logs why",
                "ok: demo: started, it connects to nothing",
            ],
        )
        self.assertEqual((done.returncode, done.stderr), (1, ""))
