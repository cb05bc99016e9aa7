"""A running agent is asked: real processes, a real broker, other users, bad clients."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from twisted.internet.threads import deferToThread

from tests.integration.broker import Mosquitto
from tests.integration.case import AgentCase
from tests.integration.load import Load
from tests.integration.mqtt_agent import announcement, publish
from tests.integration.test_users import AS_NOBODY, NOBODY, UserCase
from tests.integration.watching import argv, memory_bytes, pause, run_to_end, until

LIMIT_S = 60
DEMO = '[modules.demo]\nenabled = true\ninterval = "100ms"\n'
QUICK = 'module_restart_limit = 1\nfailed_ticks_limit = 1\nrestart_backoff_min = "10ms"\n'
CLIENTS = 16
NO_AGENT = 3

Done = subprocess.CompletedProcess


class StatusCase(AgentCase):
    """Asks by the command, as users do."""

    @property
    def socket_path(self) -> Path:
        return self.directory / "state" / "status.sock"

    def run_command(self, *words: str, user: tuple[str, ...] = ()) -> Done[str]:
        """Run a command to its end."""
        return run_to_end([*user, *argv("metrics-agent", *words, "-c", str(self.config_path))])

    async def status(self, *options: str, user: tuple[str, ...] = ()) -> Done[str]:
        """Ask."""
        return await deferToThread(self.run_command, "status", *options, user=user)

    async def state(self) -> tuple[int, dict[str, Any]]:
        """Return the exit code and the state."""
        done = await self.status("--json")
        self.assertEqual(done.stderr, "")
        return done.returncode, json.loads(done.stdout)

    def connect(self) -> socket.socket:
        """Connect to the socket, by a path that is short enough."""
        descriptor = os.open(self.socket_path.parent, os.O_PATH)
        try:
            client = socket.socket(socket.AF_UNIX)
            client.settimeout(LIMIT_S)
            client.connect(f"/proc/self/fd/{descriptor}/{self.socket_path.name}")
            return client
        finally:
            os.close(descriptor)


class StatusTests(StatusCase):
    """What is said of an agent."""

    async def test_all_well(self) -> None:
        """0, a table, and a socket for the owner alone that is gone after the stop."""
        self.configure(DEMO)
        parent = await self.start()
        done = await self.status()
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("All is well.", done.stdout)
        self.assertTrue(all(len(line) <= 80 for line in done.stdout.splitlines()), done.stdout)
        self.assertEqual(stat.S_IMODE(self.socket_path.stat().st_mode), 0o600)
        await parent.stop()
        self.assertFalse(self.socket_path.exists())
        self.assertEqual((await self.status()).returncode, NO_AGENT)

    async def test_fails_is_parked_and_recovers(self) -> None:
        """Each is seen, with the last error; others are not touched."""
        self.configure(self.probe("raise", QUICK) + DEMO)
        parent = await self.start()
        await self.said(parent, "Parked", "E")
        code, state = await self.state()
        self.assertEqual((code, [each["module"] for each in state["problems"]]), (1, ["probe"]))
        probe, demo = state["modules"]
        self.assertEqual((probe["state_text"], demo["state_text"]), ("parked", "running"))
        self.assertEqual(probe["last_error_place"], "tick")
        self.assertEqual((await self.status("--module", "demo")).returncode, 0)
        self.assertEqual((await self.status("--module", "probe")).returncode, 1)
        self.assertEqual((await self.status("--module", "nix")).returncode, 1)
        self.configure(self.probe("nothing", QUICK) + DEMO)
        parent.signal_agent(signal.SIGHUP)
        await self.said(parent, "Reloaded")
        code, state = await self.state()
        self.assertEqual((code, state["problems"]), (0, []))
        self.assertEqual(state["agent"]["last_reload"]["modules"]["changed"], ["probe"])

    async def test_reloads(self) -> None:
        """Log and status say what a reload did, or why it did nothing."""
        self.configure(DEMO)
        parent = await self.start()
        self.configure(DEMO + self.probe("nothing", ""))
        parent.signal_agent(signal.SIGHUP)
        await self.said(parent, "Modules: probe added, 1 unchanged.", "I")
        self.config_path.write_text("nonsense")
        parent.signal_agent(signal.SIGHUP)
        await self.said(parent, "Reload rejected", "E")
        self.configure(DEMO + self.probe("nothing", ""))
        _code, state = await self.state()
        agent = state["agent"]
        self.assertEqual((agent["reloads"], agent["reloads_rejected"]), (1, 1))
        self.assertFalse(agent["last_reload"]["accepted"])

    async def test_a_broker_goes_away(self) -> None:
        """It is a problem until it is back."""
        broker = Mosquitto.start(self)
        self.configure(self.tasmota(broker, reconnect_max="200ms"))
        parent = await self.start()
        await self.said(parent, "Connected to")
        await pause(0.2)
        code, state = await self.state()
        self.assertEqual((code, state["connections"][0]["state"]), (0, 2))
        broker.kill()
        await self.said(parent, "Lost the connection", "W")
        await pause(0.5)
        code, state = await self.state()
        self.assertEqual((code, state["connections"][0]["state"]), (1, 3))
        self.assertIn("refused", state["connections"][0]["last_error"])
        broker.start_again()
        await self.said(parent, "Connected to", times=2)
        await pause(0.5)
        self.assertEqual((await self.state())[0], 0)

    async def test_devices(self) -> None:
        """Last values of a device, whose name is hostile; its text cannot steer a terminal."""
        broker = Mosquitto.start(self)
        self.configure(self.tasmota(broker))
        parent = await self.start()
        await self.said(parent, "Connected to")
        name = "K\x1b[2J\u202e\u00fcche"
        config = json.loads(announcement("plug"))
        config.update(dn=name, fn=[name])
        topic = f"tasmota/discovery/{config['mac']}/config"
        await publish(broker, topic, json.dumps(config).encode(), "-r")
        energy = b'{"Time":"2026-01-01T00:00:00","ENERGY":{"Power":42,"Voltage":230}}'
        await publish(broker, "tele/plug/SENSOR", energy)
        await until(lambda: b"power=42" in bytes(parent.output), "the metric")
        _code, state = await self.state()
        [device] = [each for each in state["devices"] if each["device"] == "plug"]
        fields = [each["fields"] for each in device["series"] if "power" in each["fields"]]
        self.assertEqual(fields[0]["power"], 42.0)
        self.assertLess(device["last_seen"], 10)
        done = await self.status()
        self.assertIn("power 42 W", done.stdout)
        self.assertFalse({"\x1b", "\u202e"} & set(done.stdout))
        done = await self.status("--device", "plug")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("voltage 230 V", done.stdout)
        self.assertEqual((await self.status("--device", "none")).returncode, 1)

    async def test_head(self) -> None:
        """A closed pipe and a closed stdout are not errors; the exit code stays."""
        self.configure(DEMO)
        await self.start()
        words = " ".join(argv("metrics-agent", "status", "-c", str(self.config_path)))
        for shell in (f"{words} | head -1; exit ${{PIPESTATUS[0]}}", f"{words} >&-"):
            done = await deferToThread(run_to_end, ["bash", "-c", shell])
            self.assertEqual((done.returncode, done.stderr), (0, ""), shell)


class SocketTests(StatusCase):
    """What may be in the place of the socket."""

    async def test_killed(self) -> None:
        """The next agent replaces what a killed one has left."""
        self.configure(DEMO)
        parent = await self.start(restart_delay_s=1.5)
        parent.signal_agent(signal.SIGKILL)
        await until(lambda: parent.exits, "the end")
        self.assertTrue(self.socket_path.is_socket())
        done = await self.status()
        self.assertEqual(done.returncode, NO_AGENT)
        self.assertIn("has ended without a stop", done.stderr)
        await self.said(parent, "Started with modules", times=2)
        self.assertEqual((await self.status()).returncode, 0)

    async def test_two_agents(self) -> None:
        """The second says that it cannot be asked, runs, and leaves the socket to the first."""
        self.configure(DEMO)
        first = await self.start()
        second = await self.start()
        await self.said(second, "another agent that runs has the same state directory", "W")
        _code, state = await self.state()
        self.assertEqual(first.exits + second.exits, [])
        await second.stop()
        again = (await self.state())[1]
        self.assertGreater(again["agent"]["uptime"], state["agent"]["uptime"])

    async def test_stopped_process(self) -> None:
        """An agent that is stopped is reported; the command does not wait without end."""
        self.configure(DEMO)
        parent = await self.start()
        parent.signal_agent(signal.SIGSTOP)
        try:
            done = await self.status()
        finally:
            parent.signal_agent(signal.SIGCONT)
        self.assertEqual(done.returncode, NO_AGENT)
        self.assertIn("hangs, or is stopped", done.stderr)

    async def test_in_its_place(self) -> None:
        """A link or a file stays; one line says so, and the agent runs."""
        state = self.directory / "state"
        state.mkdir()
        self.socket_path.symlink_to("/dev/null")
        self.configure(DEMO)
        parent = await self.start()
        await self.said(parent, "something else in its place", "W")
        self.assertTrue(self.socket_path.is_symlink())
        await parent.stop()
        self.assertTrue(self.socket_path.is_symlink())


class TapTests(StatusCase):
    """Lines as they go."""

    async def test_lines(self) -> None:
        """Those of one module, as the output has them, until the agent ends."""
        self.configure(f'self_metrics_interval = "200ms"\n{DEMO}')
        parent = await self.start()
        tapping = deferToThread(self.run_command, "tap", "demo")
        await pause(3)
        await parent.stop()
        done = await tapping
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = done.stdout.encode().splitlines(keepends=True)
        self.assertGreater(len(lines), 5)
        self.assertEqual({line.split(b",")[0] for line in lines}, {b"demo"})
        output = bytes(parent.output)
        self.assertTrue(all(line in output for line in lines))
        self.assertIn("the agent has ended", done.stderr)

    async def test_interrupted(self) -> None:
        """Ctrl-C and a closed pipe end it at once."""
        self.configure(DEMO)
        await self.start()
        words = " ".join(argv("metrics-agent", "tap", "-c", str(self.config_path)))
        done = await deferToThread(run_to_end, ["bash", "-c", f"{words} | head -2"])
        self.assertEqual(len(done.stdout.splitlines()), 2)
        self.assertNotIn("Traceback", done.stderr)


class BadClientTests(StatusCase):
    """Clients that would disturb the agent, if they could."""

    async def test_never_reads(self) -> None:
        """Taps that read nothing, under load: nothing is lost, nothing grows, lines are skipped."""
        broker = Mosquitto.start(self)
        load = await Load.connect(self, broker.port, rate=2000)
        self.configure(self.tasmota(broker))
        parent = await self.start()
        await self.subscribed(parent, load)
        before = memory_bytes(parent.agent_pid)
        with ExitStack() as stack:
            for _ in range(CLIENTS - 1):
                client = stack.enter_context(self.connect())
                client.sendall(b'{"ask": "tap"}\n')
            load.send(20_000)
            await self.received(parent, load.sent)
            self.assertEqual((await self.state())[0], 0)
            after = memory_bytes(parent.agent_pid)
        self.assertLess(after - before, 16 * 2**20)
        self.assertEqual(parent.exits, [])

    async def test_two_hundred(self) -> None:
        """They get an answer or a refusal; when they are gone the next is answered."""
        self.configure(DEMO)
        parent = await self.start()
        with ExitStack() as stack:
            clients = [stack.enter_context(self.connect()) for _ in range(CLIENTS)]
            await pause(0.2)
            for _ in range(200 - CLIENTS):
                clients.append(stack.enter_context(self.connect()))
                await pause(0.005)
            refused = await deferToThread(clients[-1].recv, 1000)
            self.assertIn(b"connected already", refused)
            count = len(parent.lines())
            await until(lambda: len(parent.lines()) > count + 5, "metrics meanwhile")
            done = await self.status()
            self.assertEqual(done.returncode, NO_AGENT)
            self.assertIn("connected already", done.stderr)
        await pause(0.3)
        self.assertEqual((await self.status()).returncode, 0)
        self.assertFalse(self.lines_with(parent, "", "E"))


class OtherUserTests(UserCase, StatusCase):
    """The agent of another user."""

    def setUp(self) -> None:
        super().setUp()
        state = self.directory / "state"
        state.mkdir(mode=0o700)
        os.chown(state, NOBODY, NOBODY)
        self.configure(DEMO)
        self.config_path.chmod(0o644)

    async def test_agent_of_a_user(self) -> None:
        """Root may ask it, and so may the user."""
        command = [*AS_NOBODY, *argv("metrics-agent", "run", "-c", str(self.config_path))]
        await self.start(argv=command)
        self.assertEqual((await self.status()).returncode, 0)
        self.assertEqual((await self.status(user=AS_NOBODY)).returncode, 0)

    async def test_agent_of_root(self) -> None:
        """In the directory of a user the socket is the user's; a third one gets a clear line."""
        await self.start()
        self.assertEqual(self.socket_path.stat().st_uid, NOBODY)
        self.assertEqual((await self.status(user=AS_NOBODY)).returncode, 0)
        third = tuple(word.replace(str(NOBODY), "12345") for word in AS_NOBODY)
        done = await self.status(user=third)
        self.assertEqual(done.returncode, NO_AGENT)
        self.assertIn("this user may not use", done.stderr)


class LongPathTests(StatusCase):
    """A state directory whose path has no room in the address of a socket."""

    def setUp(self) -> None:
        super().setUp()
        base = Path(tempfile.mkdtemp(prefix="metrics-agent-"))
        self.addCleanup(shutil.rmtree, base)
        self.directory = base / ("x" * 100)
        self.directory.mkdir()
        self.config_path = self.directory / "agent.toml"

    async def test_long(self) -> None:
        """It works like any other."""
        self.configure(DEMO)
        parent = await self.start()
        self.assertEqual((await self.status()).returncode, 0)
        self.assertFalse(self.lines_with(parent, "", "W"))
        await parent.stop()
        self.assertFalse(self.socket_path.exists())
