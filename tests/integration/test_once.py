"""`metrics-agent once` beside a running agent: it takes nothing, leaves nothing, and reports."""

from __future__ import annotations

import os
import re
import socket
import stat
import subprocess
from pathlib import Path
from typing import Any

from twisted.internet.threads import deferToThread

from tests.integration.broker import Mosquitto, free_port
from tests.integration.case import AgentCase, is_line
from tests.integration.mqtt_agent import MqttCase, OldBroker, announcement, publish
from tests.integration.netatmo import NetatmoPeer
from tests.integration.watching import argv, environment, until

LIMIT_S = 60
SECONDS = 4.0
"""How long `once` runs: long enough that it has subscribed before anything is sent."""


def power(watts: int) -> bytes:
    """Return a SENSOR message."""
    return b'{"ENERGY":{"Power":%d}}' % watts


def listing(directory: Path) -> dict[str, tuple[Any, ...]]:
    """Return all that is in a directory: types, modes, times, contents."""
    found: dict[str, tuple[Any, ...]] = {}
    for path in sorted([directory, *directory.rglob("*")]):
        status = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
        key = str(path.relative_to(directory))
        found[key] = (status.st_mode, status.st_mtime_ns, status.st_ino, content)
    return found


class OnceCase(AgentCase):
    """Runs `once` to its end."""

    def run_once(
        self, *options: str, seconds: float = SECONDS, env: dict[str, str] | None = None
    ) -> Any:
        """Run it in a thread; a Deferred of the finished process."""
        words = ("once", "--seconds", str(seconds), "-c", str(self.config_path), *options)
        return deferToThread(
            subprocess.run,
            argv("metrics-agent", *words),
            cwd=self.directory,
            env=environment(env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=LIMIT_S,
        )

    def assert_lines(self, done: Any) -> list[bytes]:
        """Stdout is line protocol and nothing else; return its lines."""
        lines: list[bytes] = done.stdout.splitlines()
        for line in lines:
            self.assertTrue(is_line(line), f"not line protocol: {line!r}")
        return lines

    def summary(self, done: Any) -> dict[str, str]:
        """Return what the summary says of each module."""
        text = done.stderr.decode()
        _log, found, summary = text.partition("Collected in ")
        self.assertTrue(found, text)
        return dict(re.findall(r"^  (\S+): (.*)$", summary, re.MULTILINE))


class BesideAnAgent(OnceCase, MqttCase):
    """A running agent with a persistent session does not notice, in one version of the protocol."""

    async def beside(self, **settings: Any) -> tuple[Any, Any, Mosquitto]:
        """Run `once` beside an agent while ten messages are sent; return both and the broker."""
        broker = Mosquitto.start(self)
        await publish(broker, "tasmota/discovery/A4CF12C0FFEE/config", announcement("plug"), "-r")
        parent = await self.run_at(broker, **settings)
        await self.said(parent, "Discovered device plug")
        await publish(broker, "tele/plug/SENSOR", power(1))
        await self.values(parent, [1])
        state = self.directory / "state"
        await until(lambda: list(state.rglob("devices.json")), "what the agent itself writes")
        before = listing(state)
        running = self.run_once()
        await until(
            lambda: broker.log.count("Sending SUBACK") > subacks_of_the_agent(broker), "SUBACK"
        )
        for watts in range(2, 12):
            await publish(broker, "tele/plug/SENSOR", power(watts))
        done = await running
        self.assertEqual(listing(self.directory / "state"), before)
        return parent, done, broker

    async def test_all_messages_reach_the_agent(self) -> None:
        """Ten messages at QoS 1 reach the agent, each once, and `once` shows them too."""
        parent, done, broker = await self.beside()
        await self.values(parent, list(range(1, 12)))
        self.assertEqual(parent.exits, [])
        self.assertEqual(len(self.lines_with(parent, "Lost the connection")), 0)
        self.assertNotIn("already connected", broker.log)
        shown = [line for line in self.assert_lines(done) if b"power=" in line]
        self.assertEqual(len(shown), 10, done.stderr)
        self.assertEqual(done.returncode, 0, done.stderr)

    async def test_it_leaves_no_session(self) -> None:
        """It has an id of its own, that of the agent and a random end, and asks for no session."""
        _parent, _done, broker = await self.beside()
        connects = re.findall(r"New client connected from \S+ as (\S+) \(p(\d), c(\d)", broker.log)
        [(name, _version, clean)] = [each for each in connects if each[0].startswith("agent-")]
        self.assertRegex(name, r"\Aagent-[0-9a-f]{8}\Z")
        self.assertEqual(clean, "1")
        self.assertEqual(broker.log.count("No will message specified"), len(connects))

    async def test_a_share_of_the_messages_is_not_taken(self) -> None:
        """With shared_group it subscribes to the plain filter, so the group gets all messages."""
        parent, done, _broker = await self.beside(shared_group="house")
        await self.values(parent, list(range(1, 12)))
        shown = [line for line in self.assert_lines(done) if b"power=" in line]
        self.assertEqual(len(shown), 10, done.stderr)


def subacks_of_the_agent(broker: Mosquitto) -> int:
    """Return how many SUBACKs the agent alone had."""
    return len(re.findall(r"Sending SUBACK to agent$", broker.log, re.MULTILINE))


class BesideAnAgentTests(BesideAnAgent):
    """With MQTT 3.1.1."""

    protocol = "3.1.1"


class BesideAnAgent5Tests(BesideAnAgent):
    """With MQTT 5."""

    protocol = "5"


del BesideAnAgent


class OldBrokerTests(OnceCase, MqttCase):
    """At a broker of MQTT 3.1.1."""

    async def test_metrics_are_shown(self) -> None:
        """Its refusal of MQTT 5 is not a fault."""
        broker = Mosquitto.start(self)
        await publish(broker, "tasmota/discovery/A4CF12C0FFEE/config", announcement("plug"), "-r")
        self.configure(self.at(OldBroker(self, broker.port).url))
        running = self.run_once()
        await until(lambda: broker.log.count("Sending SUBACK") > 1, "SUBACK")
        await publish(broker, "tele/plug/SENSOR", power(1))
        done = await running
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len([x for x in self.assert_lines(done) if b"power=" in x]), 1)


class NothingIsChangedTests(OnceCase, MqttCase):
    """What it must not do."""

    def listen(self, name: str, kind: socket.SocketKind) -> socket.socket:
        """Bind a Unix socket; the relative path is short enough for its address."""
        listening = socket.socket(socket.AF_UNIX, kind)
        self.addCleanup(listening.close)
        listening.bind(os.path.relpath(self.directory / name))
        listening.setblocking(False)
        return listening

    async def test_it_publishes_nothing(self) -> None:
        """A device whose channels' counters the agent would ask for is not asked."""
        broker = Mosquitto.start(self)
        config = announcement("plug", fn=["one", "two"], rl=[1, 1, 0, 0, 0, 0, 0, 0])
        await publish(broker, "tasmota/discovery/A4CF12C0FFEE/config", config, "-r")
        self.configure(self.at(broker))
        running = self.run_once()
        await until(lambda: "Sending SUBACK to agent-" in broker.log, "SUBACK")
        await publish(broker, "tele/plug/SENSOR", b'{"ENERGY":{"Total":5.5,"Power":[1,2]}}')
        done = await running
        self.assertIn(b"power=1", done.stdout, done.stderr)
        self.assertNotIn("Received PUBLISH from agent-", broker.log)

    async def test_no_state_directory_is_made(self) -> None:
        """Where there is no state directory there is none afterwards."""
        broker = Mosquitto.start(self)
        self.configure(self.at(broker))
        await self.run_once(seconds=1)
        self.assertFalse((self.directory / "state").exists())

    async def test_a_state_directory_that_is_read_only(self) -> None:
        """It reads what it may, and does not complain that it may not write."""
        broker = Mosquitto.start(self)
        state = self.directory / "state" / "tasmota"
        state.mkdir(parents=True)
        shape = [["home/cmnd/+", "home/stat/+", "home/tele/+"]]
        (state / "topics.json").write_text(str(shape).replace("'", '"'), "utf-8")
        for path in (state, state.parent):
            path.chmod(0o500)
            self.addCleanup(path.chmod, 0o700)
        before = listing(self.directory / "state")
        self.configure(self.at(broker))
        done = await self.run_once(seconds=1)
        self.assertEqual(listing(self.directory / "state"), before)
        self.assertIn("home/tele/+/SENSOR", broker.log)
        self.assertNotIn(b"W! ", done.stderr)

    async def test_the_output_is_the_screen(self) -> None:
        """A file and a socket as `output` are left alone; the metrics are on stdout."""
        path = self.directory / "metrics.lp"
        path.write_text("as it was\n", "utf-8")
        listening = self.listen("telegraf.sock", socket.SOCK_STREAM)
        listening.listen()
        for output in (str(path), f"unix:path={self.directory}/telegraf.sock"):
            self.configure(
                f"output = '{output}'\n[modules.demo]\nenabled = true\ninterval = '100ms'\n"
            )
            done = await self.run_once(seconds=0.5)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertGreater(len(self.assert_lines(done)), 2, output)
        self.assertEqual(path.read_text("utf-8"), "as it was\n")
        with self.assertRaises(BlockingIOError):
            listening.accept()

    async def test_a_pipe_on_stdin_that_ends(self) -> None:
        """Is no request to stop, as it is for an agent under Telegraf: it runs its time."""
        self.configure("[modules.demo]\nenabled = true\ninterval = '100ms'\n")
        done = await deferToThread(
            subprocess.run,
            argv("metrics-agent", "once", "--seconds", "1", "-c", str(self.config_path)),
            env=environment(),
            input=b"",
            capture_output=True,
            check=False,
            timeout=LIMIT_S,
        )
        self.assertGreater(len(self.assert_lines(done)), 5, done.stderr)

    async def test_systemd_is_not_notified(self) -> None:
        """In the environment of a unit it does not speak for the service."""
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(listening.close)
        name = f"metrics-agent-test-{os.getpid()}"
        listening.bind(f"\0{name}")
        listening.setblocking(False)
        self.configure("[modules.demo]\nenabled = true\ninterval = '100ms'\n")
        words = argv("metrics-agent", "once", "--seconds", "0.5", "-c", str(self.config_path))
        # SYSTEMD_EXEC_PID must be the process's own id.
        script = 'export SYSTEMD_EXEC_PID=$$; exec "$@"'
        done = await deferToThread(
            subprocess.run,
            ["/bin/sh", "-c", script, "sh", *words],
            env=environment({"NOTIFY_SOCKET": f"@{name}"}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=LIMIT_S,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        with self.assertRaises(BlockingIOError):
            listening.recv(1024)


class ReportTests(OnceCase, MqttCase):
    """Exit status and summary."""

    async def test_something_was_collected(self) -> None:
        """0, and each module with the number of its metrics."""
        self.configure("[modules.demo]\nenabled = true\ninterval = '100ms'\n")
        done = await self.run_once(seconds=1)
        self.assertEqual(done.returncode, 0)
        self.assertRegex(self.summary(done)["demo"], r"\A\d+ metrics\Z")
        self.assertEqual(self.summary(done)["demo"], f"{len(self.assert_lines(done))} metrics")

    async def test_nothing_was_collected(self) -> None:
        """1, where only the agent's own metrics came; the cause and what to wait for are named."""
        port = free_port()
        top = "self_metrics_interval = '200ms'\nlog_level = 'error'"
        self.configure(self.at(f"tcp://127.0.0.1:{port}", top))
        done = await self.run_once(seconds=1)
        self.assertEqual(done.returncode, 1)
        self.assertTrue(self.assert_lines(done))
        text = self.summary(done)["tasmota"]
        self.assertTrue(text.startswith("0 metrics; tcp://127.0.0.1:"), text)
        self.assertIn("cannot connect: connection refused", text)

    async def test_devices_that_send_later(self) -> None:
        """With a broker that is there the interval to wait is named."""
        broker = Mosquitto.start(self)
        self.configure(self.at(broker))
        done = await self.run_once(seconds=1)
        self.assertEqual(done.returncode, 1)
        text = self.summary(done)["tasmota"]
        for word in ("0 metrics", "TelePeriod", "300 s", "--seconds 310"):
            self.assertIn(word, text)

    async def test_one_module_of_two(self) -> None:
        """One that collects is enough for 0; the other is named with its cause."""
        self.configure(
            "[modules.demo]\nenabled = true\ninterval = '100ms'\n"
            f"[modules.opendtu]\nenabled = true\nurl = 'http://127.0.0.1:{free_port()}'\n"
            "[modules.tasmota]\nenabled = true\nbroker = 5\n"
        )
        done = await self.run_once(seconds=1)
        self.assertEqual(done.returncode, 0)
        summary = self.summary(done)
        self.assertIn("connection refused", summary["opendtu"])
        self.assertIn("wrong settings", summary["tasmota"])
        self.assertEqual(set(summary), {"demo", "opendtu", "tasmota"})


class NetatmoTests(OnceCase):
    """A refresh token that rotates is not used up."""

    timeout = 120

    def setUp(self) -> None:
        super().setUp()
        self.peer = NetatmoPeer.start(self, self.directory)

    async def test_a_token_that_has_run_out(self) -> None:
        """No refresh is asked for; the module counts as not connected, and the text says why."""
        given = self.peer.token_file(self.peer.give_pair()["refresh_token"])
        self.configure(self.peer.config(given))
        done = await self.run_once(seconds=2)
        self.assertEqual(self.peer.asked("refresh_token"), 0)
        self.assertEqual(done.returncode, 1)
        self.assertIn("refresh token", self.summary(done)["netatmo"])
        self.assertFalse((self.directory / "state").exists())

    async def test_a_token_that_is_valid(self) -> None:
        """The access token that the agent has stored is used as it is."""
        given = self.peer.token_file(self.peer.give_pair()["refresh_token"])
        self.configure(self.peer.config(given))
        parent = await self.start()
        await until(lambda: b"climate," in parent.output, "the values")
        before = listing(self.directory / "state")
        done = await self.run_once(seconds=2)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.peer.asked("refresh_token"), 1)
        self.assertEqual(listing(self.directory / "state"), before)
        self.assertIn(b"climate,", done.stdout)
