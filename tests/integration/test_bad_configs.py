"""Bad configurations and whole processes: the golden stderr, exit status 78, and `check`.

The configurations are those of ``tests/config/bad`` with what they expect beside them; the modules
they name are made known by entry points, as those of any other package.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.defer import DeferredList
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from metrics_agent.modules import BUILT_IN
from tests.config.kinds import KNOWN
from tests.integration.case import install_modules
from tests.integration.watching import argv, environment, python_path

BAD = Path(__file__).parents[1] / "config" / "bad"
MODULES = {
    "plain": "tests.integration.bad_modules:PLAIN",
    "account": "tests.integration.bad_modules:ACCOUNT",
    "broken": "tests.integration.bad_oven:MODULE",
    "exiting": "tests.integration.bad_exit:MODULE",
}
LIMIT_S = 60
AT_ONCE = 3

NOT_STARTED = "Not started: the configuration {path} cannot be used."


class BadConfigurations(TestCase):
    """Every one of them."""

    timeout = 120

    def setUp(self) -> None:
        # Not mktemp: its paths are so long that a message cuts them short.
        self.directory = Path(tempfile.mkdtemp(prefix="bad-"))
        self.addCleanup(shutil.rmtree, self.directory)
        packages = self.directory / "packages"
        install_modules(packages, MODULES)
        self.env = environment({"PYTHONPATH": python_path(packages)})
        self.env.pop("METRICS_AGENT_TEST_NOT_SET", None)
        # A copy, since checked-out files may be readable to all, which is worth a warning.
        self.bad = self.directory / "bad"
        shutil.copytree(BAD, self.bad)
        for path in self.bad.rglob("*.*"):
            if path.is_file():
                path.chmod(0o640)

    def configurations(self) -> dict[str, Path]:
        """Return the files by the names of their cases."""
        files = {path.stem: path for path in self.bad.iterdir() if path.suffix != ".expected"}
        return {**files, "missing_file": self.bad / "missing_file.toml"}

    def expected(self, name: str, path: Path) -> list[str]:
        """Return the faults that the case expects, one a line."""
        text = (self.bad / f"{name}.expected").read_text("utf-8")
        text = text.replace("{path}", str(path)).replace("{directory}", str(self.bad))
        # What the case says of modules holds for those that are known there.
        known = ", ".join((*BUILT_IN, *sorted(MODULES)))
        text = text.replace(", ".join(KNOWN), known)
        text = text.replace(
            "this module cannot be loaded: ImportError: no module named oven",
            "this module cannot be loaded: MissingDependency: module 'broken' cannot be imported: "
            "ImportError: no module named oven",
        )
        return text.splitlines()

    async def run_all(self, *arguments: str, every: int = 1) -> dict[str, Any]:
        """Run a command for each configuration, or each third ..., some at a time."""
        cases = sorted(self.configurations().items())[::every]
        done: dict[str, Any] = {}

        def work(some: list[tuple[str, Path]]) -> None:
            for name, path in some:
                done[name] = subprocess.run(
                    argv(*arguments, "-c", str(path)),
                    env=self.env,
                    cwd=self.directory,
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    check=False,
                    timeout=LIMIT_S,
                    text=True,
                )

        await DeferredList(
            [deferToThread(work, cases[start::AT_ONCE]) for start in range(AT_ONCE)],
            fireOnOneErrback=True,
        )
        return done

    def assert_not_started(self, name: str, done: subprocess.CompletedProcess[str]) -> None:
        path = self.configurations()[name]
        faults = self.expected(name, path)
        said = [f"E! [agent] {line}" for line in (*faults, NOT_STARTED.format(path=path))]
        self.assertEqual(done.stderr.splitlines(), said, name)
        self.assertEqual((done.returncode, done.stdout), (78, ""), name)

    async def test_metrics_agent_says_every_fault_and_exits_with_78(self) -> None:
        """Each fault is one line with the level of an error, and stdout stays empty."""
        everything = await self.run_all("metrics-agent")
        self.assertGreater(len(everything), 15)
        for name, done in everything.items():
            self.assert_not_started(name, done)

    async def test_twistd_says_every_fault_and_exits_with_78(self) -> None:
        """The very same lines under twistd; each third configuration shows it."""
        for name, done in (await self.run_all("twistd", every=3)).items():
            self.assert_not_started(name, done)

    async def test_check_says_every_fault_and_exits_with_78(self) -> None:
        """`check` writes them to stdout, with a verdict."""
        for name, done in (await self.run_all("metrics-agent", "check")).items():
            path = self.configurations()[name]
            faults = self.expected(name, path)
            *lines, verdict = done.stdout.splitlines()
            self.assertEqual(
                [line for line in lines if not line.startswith("warning: ")],
                [f"error: {fault}" for fault in faults],
                name,
            )
            self.assertRegex(verdict, rf"\A{len(faults)} errors? in {path}\Z", name)
            self.assertEqual((done.returncode, done.stderr), (78, ""), name)

    def test_check_and_a_start_say_the_same_of_an_output(self) -> None:
        """What only Twisted can refuse is refused by both, in the same words, with the line."""
        for output in ("carrier:pigeon", "unix:path=/t:timeout=soon", "ssl:h:1:caCertsDir=/none/x"):
            path = self.directory / "output.toml"
            path.write_text(f'\noutput = "{output}"\n[modules.demo]\nenabled = true\n', "utf-8")
            checked = self.run_in(self.directory, "check", "-c", str(path))
            started = self.run_in(self.directory, "-c", str(path))
            fault, _verdict = checked.stdout.splitlines()
            self.assertIn(f"error: {path}:2: output: got ", fault)
            said = [fault.replace("error: ", ""), NOT_STARTED.format(path=path)]
            self.assertEqual(started.stderr.splitlines(), [f"E! [agent] {line}" for line in said])
            self.assertEqual((checked.returncode, started.returncode), (78, 78))

    def test_check_of_a_right_file(self) -> None:
        """Exit status 0, and what would run."""
        path = self.directory / "right.toml"
        path.write_text("[modules.demo]\nenabled = true\n", "utf-8")
        done = self.run_in(self.directory, "check", "-c", str(path))
        self.assertEqual(done.returncode, 0)
        self.assertIn("enabled modules: demo", done.stdout)

    def test_no_file_at_all(self) -> None:
        """The places that were looked at are named, in one line."""
        empty = self.directory / "empty"
        empty.mkdir()
        if Path("/etc/metrics-agent").exists():
            self.skipTest("there is a configuration in /etc")
        done = self.run_in(empty)
        self.assertEqual((done.returncode, done.stdout), (78, ""))
        self.assertIn("/etc/metrics-agent/metrics-agent.toml", done.stderr)
        self.assertIn("metrics-agent.toml", done.stderr)

    def run_in(self, directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            argv("metrics-agent", *arguments),
            env=self.env,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=LIMIT_S,
            text=True,
        )
