"""Both commands from end to end: a device at a real broker becomes lines, and nothing else does."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path

from line_protocol_parser import parse_line
from twisted.internet.threads import deferToThread

from metrics_agent.modules import BUILT_IN
from tests.integration.broker import Mosquitto, free_port
from tests.integration.case import AgentCase, install_modules, is_line
from tests.integration.load import Load
from tests.integration.watching import argv, environment, pause, python_path, sequences, until

LIMIT_S = 30


class MetricsAgentTests(AgentCase):
    """Under ``metrics-agent``."""

    async def test_from_discovery_to_line(self) -> None:
        """An announced device's message is a line with its name, whole floats and a time."""
        broker = Mosquitto.start(self, users={"anna": "secret"})
        self.configure(
            self.tasmota(broker, username="anna", password="secret", client_id="", qos=1)
        )
        parent = await self.start()
        login = ("-u", "anna", "-P", "secret", "-p", str(broker.port))
        config = (
            '{"t":"plug","dn":"Kitchen plug","fn":["Boiler"],"ft":"%prefix%/%topic%/",'
            '"tp":["cmnd","stat","tele"],"mac":"A4CF12C0FFEE","ver":1}'
        )
        await publish(*login, "-r", "-t", "tasmota/discovery/A4CF12C0FFEE/config", "-m", config)
        await self.said(parent, "Discovered device plug")
        await publish(*login, "-t", "tele/plug/SENSOR", "-m", '{"ENERGY":{"Power":230}}')
        await until(lambda: b"power=" in parent.output, "the line")
        (line,) = [parse_line(line) for line in parent.lines() if b"power=" in line]
        self.assertEqual(line["measurement"], "electricity")
        self.assertEqual(
            line["tags"], {"device": "plug", "friendly": "Boiler", "vendor": "tasmota"}
        )
        self.assertEqual(line["fields"], {"power": 230.0})
        self.assertIsInstance(line["fields"]["power"], float)
        self.assertGreater(line["time"], 1_700_000_000_000_000_000)

    async def test_only_line_protocol_on_stdout(self) -> None:
        """Python's print, its raw stdout, fd 1, the C library, a child: all goes to the log."""
        self.configure(self.probe("print", 'self_metrics_interval = "100ms"'))
        parent = await self.start()
        await until(lambda: bytes(parent.output).count(b"count number=") > 3, "the metrics")
        await parent.stop()
        names = {parse_line(line)["measurement"] for line in parent.lines()}
        self.assertEqual(names, {"count", "metrics_agent"})
        for stray in ("printed", "written,by=dunder", "written,by=number", "put", "echoed"):
            self.assertTrue(self.lines_with(parent, stray), stray)
        self.assertTrue(self.lines_with(parent, "printed,by=python", "W"))

    async def test_a_broken_module_takes_nothing_else_down(self) -> None:
        """One module raises in every tick and is parked, the other goes on."""
        top = 'module_restart_limit = 1\nfailed_ticks_limit = 1\nrestart_backoff_min = "10ms"'
        demo = '[modules.demo]\nenabled = true\ninterval = "50ms"\n'
        self.configure(self.probe("raise", top) + demo)
        parent = await self.start()
        await self.said(parent, "Parked", "E")
        count = len(parent.lines())
        await until(lambda: len(parent.lines()) > count + 3, "more of the other module")
        self.assertEqual(parent.exits, [])

    async def test_broker_killed_and_back(self) -> None:
        """One line when it goes, one when it is back, and then metrics again."""
        broker = Mosquitto.start(self)
        load = await Load.connect(self, broker.port)
        self.configure(self.tasmota(broker))
        parent = await self.start()
        await self.subscribed(parent, load)
        broker.kill()
        await self.said(parent, "Lost the connection", "W")
        await pause(1.5)
        broker.start_again()
        again = await Load.connect(self, broker.port, name="later")
        await self.subscribed(parent, again, 2)
        again.send(100)
        await self.received(parent, again.sent)
        self.assert_complete(sequences(parent.lines()), again.sent)
        self.assertEqual(len(self.lines_with(parent, "Lost the connection")), 1)
        self.assertEqual(len(self.lines_with(parent, "Connected to tcp://", "I")), 2)
        self.assertEqual((parent.starts, parent.exits), (1, []))

    async def test_no_broker_at_the_start(self) -> None:
        """The agent runs and says once that it cannot connect; it does when the broker comes."""
        port = free_port()
        self.configure(
            f"[modules.tasmota]\nenabled = true\nbroker = 'tcp://127.0.0.1:{port}'\n"
            "reconnect_min = '100ms'\nreconnect_max = '300ms'\n"
        )
        parent = await self.start()
        await self.said(parent, "connection refused", "W")
        await pause(0.7)
        self.assertEqual(len(self.lines_with(parent, "connection refused")), 1)
        Mosquitto.start(self, port=port)
        await self.said(parent, "Connected to tcp://", "I")

    async def test_no_module_enabled(self) -> None:
        """One warning that lists the modules; the agent runs, since an exit would be a loop."""
        self.configure("")
        parent = self.parent()
        parent.start()
        await self.said(parent, "No module is enabled", "W")
        (line,) = self.lines_with(parent, "No module is enabled")
        for name in (*BUILT_IN, "probe"):
            self.assertIn(name, line.text)
        await pause(0.3)
        self.assertEqual(parent.exits, [])

    async def test_a_module_with_wrong_settings_keeps_no_other_from_starting(self) -> None:
        """The wrong one is named, the right one runs."""
        self.configure(self.probe("count") + "[modules.demo]\nenabled = true\ninterval = 5\n")
        parent = await self.start()
        await self.said(parent, "Module demo not started", "E")
        await until(lambda: b"count number=" in parent.output, "the other module")


class TwistdTests(MetricsAgentTests):
    """Under ``twistd -n metrics-agent``."""

    command = "twistd"

    async def test_no_pidfile_and_no_log_file_is_left(self) -> None:
        """In the foreground with ``--pidfile=`` nothing is written into the directory."""
        self.configure(self.probe("count"))
        parent = await self.start(cwd=self.directory)
        before = set(self.directory.iterdir())
        await parent.stop()
        self.assertEqual(set(self.directory.iterdir()), before)
        self.assertFalse((self.directory / "twistd.log").exists())


class OtherCommandsTests(AgentCase):
    """What a user types."""

    def run_command(
        self, *arguments: str, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            argv("metrics-agent", *arguments),
            cwd=self.directory,
            env=environment(env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=LIMIT_S,
        )

    def test_once(self) -> None:
        """`once` runs for so many seconds, then stops in order."""
        self.configure("[modules.demo]\nenabled = true\ninterval = '100ms'\n")
        done = self.run_command("once", "--seconds", "0.5", "-c", str(self.config_path))
        self.assertEqual(done.returncode, 0)
        lines = done.stdout.splitlines()
        self.assertGreater(len(lines), 2)
        self.assertTrue(all(map(is_line, lines)))
        self.assertIn(b"none lost", done.stderr)

    def test_modules(self) -> None:
        """`modules` names each module and what it is for."""
        done = self.run_command("modules")
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        found = [line.split()[0].decode() for line in done.stdout.splitlines()]
        self.assertEqual(set(found), set(BUILT_IN))
        self.assertNotIn(b"cannot be used", done.stdout)

    def test_modules_of_other_packages(self) -> None:
        """A module that is known by its entry point is listed, described and in the sample."""
        packages = self.directory / "packages"
        install_modules(packages, {"probe": "tests.integration.probe:MODULE"})
        env = {"PYTHONPATH": python_path(packages)}
        for words, text in (
            (("modules",), b"\nprobe    "),
            (("modules", "probe"), b"\n  act: string; "),
            (("sample-config",), b"\n#[modules.probe]\n"),
            (("sample-config", "probe"), b"\n[modules.probe]\nenabled = true\n"),
        ):
            done = self.run_command(*words, env=env)
            self.assertEqual((done.returncode, done.stderr), (0, b""), words)
            self.assertIn(text, done.stdout)

    def test_what_sample_config_prints_runs(self) -> None:
        """The table of a module, put into a file, is right and collects."""
        done = self.run_command("sample-config", "demo")
        self.config_path.write_bytes(done.stdout)
        checked = self.run_command("check", "-c", str(self.config_path))
        self.assertEqual(checked.returncode, 0, checked.stdout)
        done = self.run_command("once", "--seconds", "0.3", "-c", str(self.config_path))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(b"demo,module=demo", done.stdout)

    def test_without_a_reader(self) -> None:
        """A reader that has gone, a closed stdout and a full disk: no traceback, and status 0."""
        for words in (("sample-config",), ("modules",), ("modules", "tasmota")):
            command = shlex.join(argv("metrics-agent", *words))
            for shell in (f"{command} | head -1", f"{command} >&-", f"{command} >/dev/full"):
                done = subprocess.run(
                    ["bash", "-o", "pipefail", "-c", shell],
                    env=environment(),
                    capture_output=True,
                    check=False,
                    timeout=LIMIT_S,
                )
                self.assertEqual((done.returncode, done.stderr), (0, b""), shell)

    def run_with_descriptors(
        self, redirections: str, command: str, *words: str, limit_s: int = 2
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command with other descriptors, as a shell is asked for them, for so long."""
        line = shlex.join([*argv(command), *words, "-c", str(self.config_path)])
        return subprocess.run(
            ["bash", "-c", f"timeout {limit_s} {line} {redirections}"],
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=LIMIT_S,
        )

    def test_stdout_that_takes_nothing_is_refused(self) -> None:
        """Metrics in /dev/null would count as delivered: status 78, and a line that says why."""
        self.configure("[modules.demo]\nenabled = true\ninterval = '100ms'\n")
        for redirection, why in (
            (">&-", b"stdout is closed"),
            ("1</dev/null", b"stdout is open for reading only"),
            ("1< <(sleep 2)", b"stdout is open for reading only"),
        ):
            for command, *words in (("metrics-agent",), ("metrics-agent", "once"), ("twistd",)):
                where = f"{command} {words} {redirection}"
                done = self.run_with_descriptors(redirection, command, *words, limit_s=20)
                self.assertEqual(done.returncode, 78, where)
                # twistd imports before we are asked: the newest libffi opens its own file then,
                # and gets the number.
                taken = b"|stdout is open for reading only" if command == "twistd" else b""
                expected = b'output: got "stdout", but (' + why + taken + b")"
                self.assertRegex(done.stderr, expected, where)
                self.assertNotIn(b"Started", done.stderr, where)

    def test_closed_descriptors_that_do_not_matter(self) -> None:
        """The agent runs without stdin, without stderr, and without stdout if it needs none."""
        text = "[modules.demo]\nenabled = true\ninterval = '100ms'\n"
        self.configure(text)
        for redirections in ("<&-", "2>&-", "<&- 2>&-"):
            done = self.run_with_descriptors(redirections, "metrics-agent")
            self.assertEqual(done.returncode, 124, redirections)  # `timeout` has ended it
            self.assertTrue(all(map(is_line, done.stdout.splitlines())), redirections)
            self.assertTrue(done.stdout, redirections)
        path = self.directory / "lines.lp"
        self.configure(f'output = "{path}"\n{text}')
        done = self.run_with_descriptors(">&-", "metrics-agent")
        self.assertEqual(done.returncode, 124, done.stderr)
        self.assertIn(b"none lost", done.stderr)
        self.assertTrue(path.read_bytes())
        self.configure(text)
        self.assertEqual(self.run_with_descriptors(">&-", "metrics-agent", "check").returncode, 0)

    def test_unknown_module(self) -> None:
        """Exit status 2, the nearest name on stderr, and nothing on stdout."""
        for command in ("modules", "sample-config"):
            done = self.run_command(command, "tasmotta")
            self.assertEqual((done.returncode, done.stdout), (2, b""))
            self.assertEqual(
                done.stderr, b'error: unknown module "tasmotta"; did you mean tasmota?\n'
            )

    def test_version(self) -> None:
        """`--version` says it on stdout."""
        done = self.run_command("--version")
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertRegex(done.stdout, rb"\Ametrics-agent \d+\.\d+")

    def test_wrong_arguments(self) -> None:
        """Exit status 2, and nothing on stdout."""
        done = self.run_command("rnu")
        self.assertEqual((done.returncode, done.stdout), (2, b""))
        self.assertIn(b"rnu", done.stderr)


class DaemonTests(AgentCase):
    """In the background there is no stdout."""

    def daemonize(self) -> subprocess.CompletedProcess[bytes]:
        command = argv("twistd", "-c", str(self.config_path))
        command.remove("-n")
        return subprocess.run(
            command,
            cwd=self.directory,
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=LIMIT_S,
        )

    async def test_a_daemon_is_refused(self) -> None:
        """With the output to stdout: one clear line, 78, and no process is left."""
        self.configure("[modules.demo]\nenabled = true\n")
        done = await deferToThread(self.daemonize)
        self.assertEqual(done.returncode, 78)
        self.assertEqual(done.stdout, b"")
        (line,) = done.stderr.decode().splitlines()
        self.assertTrue(line.startswith("E! [agent] "), line)
        self.assertIn("twistd -n metrics-agent", line)

    async def test_a_daemon_with_another_output_runs(self) -> None:
        """With a file for the metrics it runs, and stops in order."""
        path = self.directory / "metrics.lp"
        self.configure(f"output = '{path}'\n[modules.demo]\nenabled = true\ninterval = '50ms'\n")
        pid, _output = await self.start_daemon()
        await until(lambda: path.exists() and path.read_bytes().count(b"\n") > 2, "the metrics")
        self.assertEqual(path.stat().st_mode & 0o777, 0o640)
        await self.stop_daemon(pid)

    async def test_a_daemon_lets_its_caller_go_on(self) -> None:
        """The pipes of `$(twistd ...)` and of ssh are at their end while the daemon runs."""
        path = self.directory / "metrics.lp"
        self.configure(f"output = '{path}'\n[modules.demo]\nenabled = true\ninterval = '50ms'\n")
        pid, output = await self.start_daemon()
        self.assertEqual(output, b"")
        os.kill(pid, 0)
        await self.stop_daemon(pid)

    async def start_daemon(self) -> tuple[int, bytes]:
        """Start a daemon and read what it writes until the end, as `$(...)` does.

        Returns:
            Its process id, and what it wrote to stdout and stderr.
        """
        command = argv("twistd", "-c", str(self.config_path))
        command.remove("-n")
        pidfile = self.directory / "pid"
        command[command.index("--pidfile=")] = f"--pidfile={pidfile}"
        command.insert(command.index("metrics-agent"), f"--logfile={self.directory}/log")
        self.addCleanup(kill_if_there, pidfile)
        done = await deferToThread(
            subprocess.run,
            command,
            cwd=self.directory,
            env=environment(),
            check=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LIMIT_S,
        )
        await until(pidfile.exists, "the pid file")
        return int(pidfile.read_text()), done.stdout + done.stderr

    async def stop_daemon(self, pid: int) -> None:
        """Stop it by its process id, and see it gone."""
        os.kill(pid, 15)
        await until(lambda: not Path(f"/proc/{pid}").exists(), "its end")
        self.assertFalse((self.directory / "pid").exists())


def kill_if_there(pidfile: Path) -> None:
    """End a daemon of a test that failed."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        os.kill(int(pidfile.read_text()), 9)


def publish(*arguments: str) -> object:
    """Send a message by mosquitto_pub."""
    return deferToThread(
        subprocess.run, ["mosquitto_pub", "-q", "1", *arguments], check=True, timeout=LIMIT_S
    )
