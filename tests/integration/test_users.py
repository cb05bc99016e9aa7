"""The agent run by root and by another user, in turn: what one leaves the other can use."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SkipTest

from tests.integration.broker import Mosquitto
from tests.integration.case import AgentCase
from tests.integration.load import Load
from tests.integration.watching import argv, environment, run_to_end, until
from tests.needs import require

NOBODY = 65534
AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
DEMO = "[modules.demo]\nenabled = true\ninterval = '100ms'\n"


class UserCase(AgentCase):
    """Has a directory that every user can enter."""

    def setUp(self) -> None:
        if os.geteuid() != 0:
            raise SkipTest("only root can become somebody else")
        self.directory = Path(tempfile.mkdtemp(prefix="metrics-agent-"))
        self.addCleanup(shutil.rmtree, self.directory)
        self.directory.chmod(0o755)
        self.config_path = self.directory / "agent.toml"
        require("util-linux")
        command = [*AS_NOBODY, *argv("metrics-agent", "--version")]
        done = subprocess.run(command, env=environment(), capture_output=True, check=False)
        if done.returncode:
            raise SkipTest("another user cannot run the Python of these tests")


class StateTests(UserCase):
    """The state directory of a service that runs as another user."""

    def setUp(self) -> None:
        super().setUp()
        self.state = self.directory / "state"
        self.state.mkdir()
        os.chown(self.state, NOBODY, NOBODY)

    def kept(self) -> dict[str, int]:
        """Return whose each file and directory is."""
        paths = self.state.rglob("*")
        return {str(path.relative_to(self.state)): path.lstat().st_uid for path in paths}

    async def run_until_subscribed(self, broker: Mosquitto, load: Load, *user: str) -> list[str]:
        """Run an agent until it has subscribed; return the warnings and errors of its log."""
        self.configure(self.tasmota(broker))
        self.config_path.chmod(0o644)
        parent = await self.start(
            argv=[*user, *argv("metrics-agent", "run", "-c", str(self.config_path))]
        )
        await self.subscribed(parent, load)
        self.assertEqual(parent.exits, [])
        await parent.stop()
        return [said.text for said in parent.log if said.level in {"W", "E"}]

    async def test_root_then_the_service(self) -> None:
        """Root's files belong to the service's user, who goes on with them."""
        broker = Mosquitto.start(self)
        load = await Load.connect(self, broker.port)
        self.assertEqual(await self.run_until_subscribed(broker, load), [])
        kept = self.kept()
        self.assertIn("mqtt/agent.json", kept)
        self.assertEqual(set(kept.values()), {NOBODY}, kept)
        self.assertEqual(await self.run_until_subscribed(broker, load, *AS_NOBODY), [])

    async def test_output_file(self) -> None:
        """A file that root's run has made is the service's, who writes on."""
        output = self.directory / "lines.lp"
        self.directory.chmod(0o777)
        self.configure(f'output = "{output}"\n{DEMO}')
        self.config_path.chmod(0o644)
        for user in ((), AS_NOBODY):
            size = output.stat().st_size if output.exists() else 0
            parent = await self.start(
                argv=[*user, *argv("metrics-agent", "run", "-c", str(self.config_path))]
            )
            await until(lambda size=size: output.exists() and output.stat().st_size > size, "lines")
            await parent.stop()
            self.assertEqual(output.stat().st_uid, NOBODY)

    async def test_directories_that_root_left(self) -> None:
        """They cost the service one line and what it would keep; root's next run repairs them."""
        for name in ("mqtt", "tasmota"):
            (self.state / name).mkdir(mode=0o700)
        broker = Mosquitto.start(self)
        load = await Load.connect(self, broker.port)
        (line,) = await self.run_until_subscribed(broker, load, *AS_NOBODY)
        self.assertIn("Cannot write to the state directory", line)
        self.assertIn(f"chown -R {NOBODY} {self.state}", line)
        kept = self.kept()
        self.assertEqual(kept.pop("status.sock.lock"), NOBODY)
        self.assertEqual(set(kept.values()), {0})
        await self.run_until_subscribed(broker, load)
        self.assertEqual(set(self.kept().values()), {NOBODY})
        self.assertEqual(await self.run_until_subscribed(broker, load, *AS_NOBODY), [])


class SearchTests(UserCase):
    """A configuration in the current directory."""

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command at a shell in the directory."""
        return run_to_end(words, cwd=self.directory)

    async def check(self, *user: str) -> tuple[int, str]:
        """Return the exit code of `metrics-agent check`, and what it says."""
        done = await deferToThread(self.command, *user, *argv("metrics-agent", "check"))
        return done.returncode, done.stdout

    async def test_own_and_of_another(self) -> None:
        """A user's own file is found; root, and one who finds another's, are shown why not."""
        path = self.directory / "metrics-agent.toml"
        path.write_text(DEMO)
        os.chown(self.directory, NOBODY, NOBODY)
        os.chown(path, NOBODY, NOBODY)
        self.assertEqual((await self.check(*AS_NOBODY))[0], 0)
        code, said = await self.check()
        self.assertEqual(code, 78)
        self.assertIn(f"{path} is not used: root reads no configuration", said)
        os.chown(path, 1234, 1234)
        code, said = await self.check(*AS_NOBODY)
        self.assertEqual(code, 78)
        self.assertIn(f"{path} is not used: it belongs to user 1234", said)
        done = await deferToThread(
            self.command, *AS_NOBODY, *argv("metrics-agent", "check", "-c", str(path))
        )
        self.assertEqual(done.returncode, 0, done.stdout)
