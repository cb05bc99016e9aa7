"""The units, as systemd's own checker sees them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.deploy.paths import DEPLOY
from tests.needs import require

UNIT = DEPLOY / "systemd" / "metrics-agent.service"
DROP_INS = DEPLOY / "systemd" / "telegraf.service.d"
COMMAND = "/usr/local/bin/metrics-agent "
WORST_EXPOSURE = 15
"""systemd counts in tenths: 1.5."""

TELEGRAF = """
[Unit]
Description=Telegraf

[Service]
Type=notify
NotifyAccess=all
ExecStart=/bin/true
Restart=on-failure
KillMode=control-group
"""


class UnitTests(SynchronousTestCase):
    """systemd-analyze has nothing to say."""

    def setUp(self) -> None:
        require("systemd", "procps")  # ExecReload of the unit is /bin/kill.
        self.directory = Path(self.mktemp()).absolute()
        shutil.copytree(DROP_INS, self.directory / "telegraf.service.d")
        (self.directory / "telegraf.service").write_text(TELEGRAF)
        self.unit = self.directory / "metrics-agent.service"
        self.write_unit(UNIT.read_text())

    def write_unit(self, text: str) -> None:
        """Write the unit with a command that is there: the checker looks for it."""
        self.assertIn(f"ExecStart={COMMAND}", text)
        self.unit.write_text(text.replace(COMMAND, "/bin/true "))

    def analyze(self, *arguments: str | Path) -> tuple[int, str]:
        result = subprocess.run(
            ["systemd-analyze", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        return result.returncode, result.stdout

    def test_verify(self) -> None:
        """The unit passes in silence: of an unknown value systemd 252 only warns, and passes it."""
        self.assertEqual(self.analyze("verify", self.unit), (0, ""))

    def test_verify_sees_faults(self) -> None:
        """The test above would fail for a value or a key that this systemd does not know."""
        text = UNIT.read_text()
        for right, wrong in (
            ("Type=notify", "Type=notify-me"),
            ("\nProtectHome=", "\nProtectHomes="),
            ("WatchdogSec=90s", "WatchdogSec=soon"),
        ):
            self.write_unit(text.replace(right, wrong))
            self.assertNotEqual(self.analyze("verify", self.unit)[1], "", wrong)

    def test_drop_ins(self) -> None:
        """Together with a telegraf.service they pass too, and are read at all."""
        unit = self.directory / "telegraf.service"
        self.assertEqual(self.analyze("verify", unit), (0, ""))
        for drop_in in (self.directory / "telegraf.service.d").iterdir():
            text = drop_in.read_text()
            drop_in.write_text(text.replace("[Service]", "[Service]\nNoSuchKey=1"))
            self.assertIn("NoSuchKey", self.analyze("verify", unit)[1], drop_in)
            drop_in.write_text(text)

    def test_exposure(self) -> None:
        """The sandbox is as tight as promised."""
        analyze = ("security", "--offline=true", "--no-pager", f"--threshold={WORST_EXPOSURE}")
        status, said = self.analyze(*analyze, self.unit)
        self.assertEqual(status, 0, said)
        self.write_unit(UNIT.read_text().replace("SystemCallFilter=", "#SystemCallFilter="))
        self.assertEqual(self.analyze(*analyze, self.unit)[0], 1)

    def test_promises(self) -> None:
        """What the guide says of the unit is in it."""
        unit = UNIT.read_text().splitlines()
        for line in (
            "Type=notify",
            "ExecReload=/bin/kill -HUP $MAINPID",
            "Restart=always",
            "RestartSec=10s",
            "After=network-online.target time-sync.target",
            "StateDirectory=metrics-agent",
            "LimitCORE=0",
            "MemoryMax=512M",
            "TasksMax=64",
        ):
            self.assertIn(line, unit)
        drop_in = (DROP_INS / "metrics-agent.conf").read_text().splitlines()
        for line in ("Restart=always", "RestartSec=10s", "KillMode=mixed"):
            self.assertIn(line, drop_in)
