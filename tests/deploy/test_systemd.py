"""The installed agent under a real systemd, with and without a real Telegraf.

Each test installs the real wheel with the real installer as root into a `Box`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.deploy.box import Box
from tests.deploy.paths import DEPLOY
from tests.deploy.wheel import find_wheel, require_index
from tests.integration.certificates import Authority
from tests.needs import find, require

PYTHON = "/usr/bin/python3"
CONFIG = "/etc/metrics-agent/metrics-agent.toml"
STATE = "/var/lib/metrics-agent"
AGENT = "metrics-agent"
PROBE = Path(__file__).parent / "sandbox_probe.py"

DEMO = """
[modules.demo]
enabled = true
interval = "1s"
"""

TELEGRAF_UNIT = """
# What Telegraf's own package ships says of these, at another place for the program.
[Unit]
Description=Telegraf
After=network-online.target
[Service]
Type=notify
NotifyAccess=all
User=telegraf
ExecStart=/usr/local/bin/telegraf -config /etc/telegraf/telegraf.conf \
  -config-directory /etc/telegraf/telegraf.d
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
KillMode=mixed
LogsDirectory=telegraf
"""

TELEGRAF_CONFIG = """
[agent]
  interval = "1s"
  flush_interval = "{flush}"
  omit_hostname = true
[[outputs.file]]
  files = ["{output}"]
  data_format = "influx"
"""


class BoxTestCase(SynchronousTestCase):
    """A box with the user telegraf in it."""

    timeout = 900

    def setUp(self) -> None:
        require("python3-venv")
        wheel = find_wheel(self)
        require_index(Path(self.mktemp()).absolute())
        self.box = self.make_box()
        self.box.run("sh", "-c", "id telegraf 2>/dev/null || useradd --system telegraf")
        self.install_command = [DEPLOY / "install.sh", "--python", PYTHON, wheel]

    def make_box(self) -> Box:
        """Make the box."""
        return Box(self)

    def install(self, *options: str) -> str:
        """Install the wheel of this project."""
        return self.box.run(*self.install_command, *options).stdout

    def systemctl(self, *arguments: str) -> str:
        return self.box.run("systemctl", *arguments).stdout

    def agent_pids(self) -> list[int]:
        """Return the processes of the agent, as process 1 of the box numbers them."""
        found = self.box.run("pgrep", "-f", "bin/metrics-agent( |$)", check=False).stdout
        return [int(pid) for pid in found.split()]

    def wait_for(self, what: str, look: Callable[[], bool], timeout_s: float = 60) -> None:
        """Wait until something is so; says how everything was if it takes too long."""
        deadline_s = time.monotonic() + timeout_s
        while not look():
            if time.monotonic() > deadline_s:
                units = "\n".join(self.box.journal(unit) for unit in (AGENT, "telegraf"))
                raise AssertionError(f"{what} took longer than {timeout_s} s: {units}")
            time.sleep(0.1)

    def wait_for_lines(self, path: str) -> None:
        """Wait for metrics of the module demo that are new in a file."""
        before = self.box.read(path).count("demo,")
        self.wait_for(f"metrics in {path}", lambda: self.box.read(path).count("demo,") > before + 1)

    def wait_for_journal(self, unit: str, text: str) -> None:
        self.wait_for(f"{text!r} of {unit}", lambda: text in self.box.journal(unit))


class ServiceTests(BoxTestCase):
    """metrics-agent.service, with all its hardening."""

    output = "/var/log/metrics-agent/metrics.lp"
    config = f'output = "{output}"\n{DEMO}'

    def start(self, drop_in: str = "") -> int:
        """Install and start it; returns its process."""
        self.install("--service")
        self.box.write(CONFIG, self.config)
        if drop_in:
            self.box.write(f"/etc/systemd/system/{AGENT}.service.d/test.conf", drop_in)
            self.systemctl("daemon-reload")
        # Type=notify: this returns when the agent has said READY=1.
        self.systemctl("start", AGENT)
        self.assertEqual(self.box.show(AGENT, "SubState"), "running")
        return int(self.box.show(AGENT, "MainPID"))

    def test_life(self) -> None:
        """Start, reload, faulty reload, kill, faulty start, stop: each is seen by systemd."""
        first = self.start()
        self.assertEqual(self.box.show(AGENT, "StatusText"), "running: demo")
        self.wait_for_lines(self.output)
        status = self.box.read(f"/proc/{first}/status")
        for line in ("NoNewPrivs:\t1", "Seccomp:\t2", "CapBnd:\t0000000000000000"):
            self.assertIn(line, status)
        limits = self.box.read(f"/proc/{first}/limits")
        self.assertRegex(limits, r"Max core file size +0 +0 ")
        self.assertEqual(self.box.show(AGENT, "MemoryMax"), str(512 << 20))
        self.assertEqual(self.box.show(AGENT, "TasksMax"), "64")
        user = self.box.run("stat", "--format=%U", f"/proc/{first}").stdout
        self.assertEqual(user, "telegraf\n")
        verify = self.box.run("systemd-analyze", "verify", f"/etc/systemd/system/{AGENT}.service")
        self.assertEqual(verify.stdout, "")

        self.systemctl("reload", AGENT)
        self.wait_for_journal(AGENT, "Reloaded " + CONFIG)
        self.box.wait_until(AGENT, "SubState", "running")
        self.box.write(CONFIG, "nonsense = true\n")
        self.systemctl("reload", AGENT)
        self.wait_for_journal(AGENT, "Reload rejected")
        self.box.wait_until(AGENT, "SubState", "running")
        self.wait_for_lines(self.output)
        self.assertEqual(self.box.show(AGENT, "MainPID"), str(first))

        # The configuration is still wrong: killed, it cannot start, and is tried again without end.
        self.systemctl("kill", "--signal=KILL", AGENT)
        self.box.wait_until(AGENT, "ExecMainStatus", "78")
        self.box.wait_until(AGENT, "SubState", "auto-restart")
        self.box.write(CONFIG, self.config)
        self.box.wait_until(AGENT, "SubState", "running")
        self.assertGreaterEqual(int(self.box.show(AGENT, "NRestarts")), 2)
        self.wait_for_lines(self.output)

        self.systemctl("stop", AGENT)
        self.assertEqual(
            [self.box.show(AGENT, name) for name in ("Result", "ExecMainStatus", "ActiveState")],
            ["success", "0", "inactive"],
        )
        self.assertIn("none lost", self.box.journal(AGENT))
        self.assertEqual(self.agent_pids(), [])

    def test_watchdog(self) -> None:
        """Pings keep it alive; one that turns no more is ended and started again."""
        first = self.start("[Service]\nWatchdogSec=2s\nRestartSec=1s\nTimeoutAbortSec=2s\n")
        time.sleep(6)
        self.assertEqual(self.box.show(AGENT, "MainPID"), str(first))
        self.box.run("kill", "-STOP", str(first))
        self.wait_for("a new process", lambda: self.agent_pids() not in ([], [first]))
        self.assertGreaterEqual(int(self.box.show(AGENT, "NRestarts")), 1)
        self.box.wait_until(AGENT, "SubState", "running")
        self.wait_for_lines(self.output)

    def test_python_in_the_sandbox(self) -> None:
        """TLS with its callbacks through cffi, ctypes, threads and name look-ups all work in it."""
        self.start()
        self.systemctl("stop", AGENT)
        directory = Path(self.mktemp()).absolute()
        directory.mkdir()
        authority = Authority(directory, "authority")
        files = (PROBE, authority.path, *authority.issue("localhost", "localhost"))
        for path in files:
            self.box.write(f"/etc/metrics-agent/{path.name}", path.read_text())
        self.box.write(
            f"/etc/systemd/system/{AGENT}.service.d/test.conf",
            "[Service]\nType=oneshot\nRestart=no\nWatchdogSec=0\nExecStart=\n"
            "ExecStart=/opt/metrics-agent/current/bin/python /etc/metrics-agent/sandbox_probe.py\n",
        )
        self.systemctl("daemon-reload")
        started = self.box.run("systemctl", "start", AGENT, check=False)
        journal = self.box.journal(AGENT)
        self.assertEqual(started.returncode, 0, journal)
        self.assertIn("probe passed", journal)

    def test_credential(self) -> None:
        """A secret with a relative file is a credential; the file itself is root's alone."""
        self.config += (
            '[modules.tasmota]\nenabled = true\nbroker = "tcp://localhost:1"\n'
            'username = "u"\npassword = { file = "mqtt-password" }\n'
        )
        password = "/etc/metrics-agent/mqtt-password"
        self.box.write(password, "secret\n")
        self.box.run("chmod", "600", password)
        self.start(f"[Service]\nLoadCredential=mqtt-password:{password}\n")
        self.assertEqual(self.box.show(AGENT, "StatusText"), "running: demo, tasmota")

    def test_state_on_another_disk(self) -> None:
        """A link is followed, and what is the user's already is left alone."""
        disk = "/var/disk/metrics-agent"
        self.box.write(f"{disk}/devices.json", "{}")
        self.box.run("ln", "-s", disk, STATE)
        self.assertIn("was owned by root, now by telegraf", self.install())
        listing = self.box.run("stat", "--format=%a %U:%G", disk, f"{disk}/devices.json")
        self.assertEqual(listing.stdout, "750 telegraf:telegraf\n644 telegraf:telegraf\n")
        self.assertNotIn("was owned by root", self.install())

    def test_links_to_directories_of_others(self) -> None:
        """What is behind a link keeps its owners and modes unless the directory has our name."""
        for directory, link in (("/var/data", STATE), ("/var/conf", "/etc/metrics-agent")):
            self.box.write(f"{directory}/photos/photo", "")
            self.box.run("chmod", "-R", "go=", directory)
            self.box.run("ln", "-s", directory, link)
        said = self.install()
        self.assertIn(f"{STATE} leads to /var/data, where telegraf cannot write", said)
        files = [f"{top}{name}" for top in ("/var/data", "/var/conf") for name in ("", "/photos")]
        listing = self.box.run("stat", "--format=%a %U:%G", *files)
        self.assertEqual(listing.stdout, "700 root:root\n" * 4)
        self.box.run("chown", "telegraf", "/var/data")
        self.assertNotIn("cannot write", self.install())

    def test_owners_and_refusals(self) -> None:
        """What needs root: owners, a missing user or group, removing a running service."""
        for option, said in (
            (("--user", "nobody-here"), "there is no user nobody-here: install Telegraf first"),
            (("--group", "no-such-group"), "there is no group no-such-group: install Telegraf"),
        ):
            result = self.box.run(*self.install_command, *option, check=False)
            self.assertEqual(result.returncode, 1, result.stdout)
            self.assertIn(f"install.sh: {said}", result.stdout)
        result = self.box.run("ls", "/opt/metrics-agent", "/etc/metrics-agent", check=False)
        self.assertEqual(result.stdout.count("No such file"), 2)
        # As after a trial by hand as root.
        self.box.write(f"{STATE}/devices.json", "{}")
        self.box.run("chmod", "-R", "go=", STATE)
        self.start()
        listing = self.box.run(
            "stat", "--format=%n %a %U:%G", "/etc/metrics-agent", STATE, f"{STATE}/devices.json"
        )
        self.assertEqual(
            listing.stdout,
            f"/etc/metrics-agent 750 root:telegraf\n{STATE} 750 telegraf:telegraf\n"
            f"{STATE}/devices.json 600 telegraf:telegraf\n",
        )
        self.box.run("rm", CONFIG)
        self.assertNotIn("was owned by root", self.install("--service"))
        listing = self.box.run("stat", "--format=%a %U:%G", CONFIG)
        self.assertEqual(listing.stdout, "640 root:telegraf\n")
        self.box.run(DEPLOY / "install.sh", "--uninstall", "--purge")
        self.assertEqual(self.agent_pids(), [])
        self.assertEqual(self.box.show(AGENT, "LoadState"), "not-found")
        result = self.box.run("ls", "/opt/metrics-agent", CONFIG, check=False)
        self.assertEqual(result.stdout.count("No such file"), 2)

    def test_upgrade_of_a_running_agent(self) -> None:
        """The process that runs is not touched; a restart brings the new version."""
        first = self.start()
        self.install("--service", "--reinstall")
        self.systemctl("reload", AGENT)
        self.wait_for_journal(AGENT, "Reloaded " + CONFIG)
        self.assertEqual(self.box.show(AGENT, "MainPID"), str(first))
        self.wait_for_lines(self.output)
        self.systemctl("restart", AGENT)
        second = self.box.show(AGENT, "MainPID")
        self.assertIn("/versions/2/bin/python", self.box.read(f"/proc/{second}/cmdline"))

    def test_plugin_cache(self) -> None:
        """The installed twistd knows the plugin from a cache that it does not write again."""
        self.install()
        cache = "/opt/metrics-agent/current/lib/python3*/site-packages/twisted/plugins/dropin.cache"
        before = self.box.run("sh", "-c", f"stat --format=%i.%Y {cache}").stdout
        twistd = ["setpriv", "--reuid=telegraf", "--regid=telegraf", "--clear-groups",
                  "/opt/metrics-agent/current/bin/twistd"]  # fmt: skip
        self.assertIn("metrics-agent", self.box.run(*twistd, "--help").stdout)
        after = self.box.run("sh", "-c", f"stat --format=%i.%Y {cache}").stdout
        self.assertEqual(after, before)


class TelegrafTests(BoxTestCase):
    """A real Telegraf with the shipped snippets and drop-ins."""

    output = "/var/log/telegraf/metrics.lp"

    def setUp(self) -> None:
        telegraf = find("telegraf")
        super().setUp()
        self.box.run("cp", telegraf, "/usr/local/bin/telegraf")
        self.box.write("/etc/systemd/system/telegraf.service", TELEGRAF_UNIT)
        self.box.write(
            "/etc/telegraf/telegraf.conf", TELEGRAF_CONFIG.format(output=self.output, flush="1s")
        )

    def start(self) -> None:
        self.box.write(CONFIG, self.config)
        self.systemctl("restart", "telegraf")
        self.wait_for_lines(self.output)

    def test_child(self) -> None:
        """The chain of restarts, from the agent to systemd, and an end without leftovers."""
        self.install()
        self.config = DEMO
        self.start()
        self.assertEqual(self.box.show("telegraf", "KillMode"), "mixed")
        self.assertEqual(len(self.agent_pids()), 1)

        # telegraf.service takes messages from any process: none of ours may reach it.
        self.assertEqual(self.box.show("telegraf", "StatusText"), "")
        [agent] = self.agent_pids()
        self.box.run("kill", "-TERM", str(agent))
        self.wait_for("another agent", lambda: self.agent_pids() not in ([], [agent]))
        self.assertEqual(self.box.show("telegraf", "SubState"), "running")
        self.wait_for_lines(self.output)

        # An orderly end of Telegraf is an end too many: systemd starts it again.
        for signal in ("TERM", "KILL"):
            telegraf = self.box.show("telegraf", "MainPID")
            self.box.run("kill", f"-{signal}", telegraf)
            self.wait_for(
                "another Telegraf",
                lambda telegraf=telegraf: (
                    self.box.show("telegraf", "MainPID") not in ("0", telegraf)
                ),
            )
            self.wait_for_lines(self.output)
            self.assertEqual(len(self.agent_pids()), 1)

        started_s = time.monotonic()
        self.systemctl("stop", "telegraf")
        self.assertLess(time.monotonic() - started_s, 30)
        self.assertEqual(self.agent_pids(), [])
        self.assertEqual(self.box.show("telegraf", "Result"), "success")
        self.assertIn("none lost", self.box.journal("telegraf"))

    def test_socket(self) -> None:
        """As a service of its own the agent sends to Telegraf's socket, also to a new one."""
        self.install("--service")
        self.config = f'output = "unix:path=/run/telegraf/metrics-agent.sock"\n{DEMO}'
        self.box.write(CONFIG, self.config)
        self.systemctl("start", AGENT)
        self.wait_for_journal(AGENT, "/run/telegraf/metrics-agent.sock")
        self.start()
        self.systemctl("restart", "telegraf")
        self.wait_for_lines(self.output)
        self.systemctl("stop", AGENT)
        self.assertIn("none lost", self.box.journal(AGENT))
        self.assertEqual(self.box.show(AGENT, "Result"), "success")
