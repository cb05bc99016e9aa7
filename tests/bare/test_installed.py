"""The first hour after `sudo deploy/install.sh`: check, once, an upgrade and the removal."""

from __future__ import annotations

import re

from tests.bare.case import CONFIG, STATE, USER, Agent, InstalledCase, files_of
from tests.bare.checkout import ROOT


class InstalledTests:
    """Each test has a tree with a fresh installation to itself."""

    def test_install(self) -> None:
        """It warns of nothing, leaves nothing of root's in the clone, and the command runs."""
        self.assertIn("installed metrics-agent ", self.installed.said)
        self.assertNotIn("warning", self.installed.said.lower())
        self.assertEqual(self.tree.run(f"find /home/{USER} -user root").stdout, "")
        self.assertRegex(self.as_user("metrics-agent --version").stdout, r"^metrics-agent \d")

    def test_check(self) -> None:
        """The guide's command finds no fault in the configuration as it is installed."""
        guide = (ROOT / "docs" / "deployment.md").read_text("utf-8")
        (command,) = re.findall(r"^    (sudo .*metrics-agent check -c /.*)$", guide, re.MULTILINE)
        checked = self.as_user(command)
        self.assertEqual(checked.stderr, "")
        self.assertNotIn("error", checked.stdout)

    def restart(self, port: int, agent: Agent, values: range) -> None:
        """Stop an agent, send values, and check that a new one delivers them."""
        agent.stop()
        self.send_power(port, values)
        again = self.start_agent()
        again.wait_for_powers(values)
        again.stop()

    def test_once_beside_the_agent(self) -> None:
        """It shows values, and the agent still gets every message."""
        port = self.start_broker()
        self.configure(port)
        agent = self.start_agent()
        self.send_power(port, range(1, 3))
        agent.wait_for_powers(range(1, 3))

        once = self.start_as_user("sudo -u telegraf metrics-agent once --seconds 5")
        for value in range(3, 53):
            self.send_power(port, range(value, value + 1))
        shown, log = once.communicate(timeout=60)
        self.assertEqual(once.returncode, 0, log)
        self.assertIn("power=", shown)
        agent.wait_for_powers(range(1, 53))

        self.send_power(port, range(53, 55))
        agent.wait_for_powers(range(1, 55))
        self.restart(port, agent, range(55, 57))

    def test_diagnosis_by_root_first(self) -> None:
        """What root tries before the service's first start does not keep it from running."""
        port = self.start_broker()
        self.configure(port)
        for command in ("check", "once --seconds 2"):
            self.as_user(f"sudo metrics-agent {command}", check=False)
        owners = self.tree.run(f"find {STATE} ! -user telegraf").stdout
        self.assertEqual(owners, "")
        agent = self.start_agent()
        self.send_power(port, range(1, 3))
        agent.wait_for_powers(range(1, 3))
        self.restart(port, agent, range(3, 5))

    def test_state_of_root(self) -> None:
        """State that the agent may not write costs persistence only."""
        port = self.start_broker()
        self.configure(port)
        self.tree.run(f"mkdir -m 0700 {STATE}/mqtt && touch {STATE}/mqtt/file")
        agent = self.start_agent()
        self.send_power(port, range(1, 3))
        agent.wait_for_powers(range(1, 3))
        self.assertIn(f"{STATE}/mqtt", agent.log())
        agent.stop()

    def test_root_in_a_foreign_directory(self) -> None:
        """A configuration in the current directory of another user is nothing to root."""
        port = self.start_broker()
        self.as_user(
            'printf \'[modules.tasmota]\\nenabled = true\\nbroker = "tcp://127.0.0.1:1"\\n'
            'password = { file = "/root/secret" }\\n\' >metrics-agent.toml'
        )
        self.configure(port)
        for command in ("check", "once --seconds 1"):
            said = self.as_user(f"sudo metrics-agent {command}", check=False)
            self.assertNotIn("/root/secret", said.stdout + said.stderr)
            self.assertNotIn("127.0.0.1:1", said.stdout + said.stderr)

    def test_upgrade(self) -> None:
        """A running agent stays what it was; the next start is the new version; nothing is lost."""
        port = self.start_broker()
        self.configure(port)
        agent = self.start_agent()
        self.send_power(port, range(1, 11))
        version = "metrics_agent/_version.py"
        self.as_user(f"sed -i 's/^__version__ = .*/__version__ = \"9.9.9\"/' {version}")
        before = self.tree.path(CONFIG).read_text("utf-8")
        self.as_user("sudo deploy/install.sh")
        self.assertEqual(self.tree.path(CONFIG).read_text("utf-8"), before)
        self.assertEqual(self.as_user("metrics-agent --version").stdout, "metrics-agent 9.9.9\n")
        self.send_power(port, range(11, 21))
        agent.wait_for_powers(range(1, 21))
        self.restart(port, agent, range(21, 31))

    def test_uninstall(self) -> None:
        """Configuration and state are what is left, and what --purge leaves is nothing."""
        port = self.start_broker()
        self.configure(port)
        agent = self.start_agent()
        self.send_power(port, range(1, 3))
        agent.wait_for_powers(range(1, 3))
        agent.stop()
        self.as_user("sudo deploy/install.sh --uninstall")
        left = files_of(self.tree) - self.installed.files_before
        own = {path for path in left if path.startswith((STATE, "/etc/metrics-agent"))}
        self.assertEqual(sorted(left - own), [])
        self.assertLessEqual({CONFIG, STATE}, own)
        self.assertEqual(sorted(self.installed.files_before - files_of(self.tree)), [])
        self.as_user("sudo deploy/install.sh --uninstall --purge")
        self.assertEqual(sorted(files_of(self.tree) - self.installed.files_before), [])


class BookwormTests(InstalledTests, InstalledCase):
    """Python 3.11."""

    release = "bookworm"


class TrixieTests(InstalledTests, InstalledCase):
    """Python 3.13."""

    release = "trixie"
