"""The built wheel in an environment of its own: it brings both commands, and leaves nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path
from unittest import SkipTest

from line_protocol_parser import parse_line
from twisted.trial.unittest import TestCase

import twisted

LIMIT_S = 120
PLUGIN = "twisted/plugins/metrics_agent_plugin.py"
DATA = (
    "metrics_agent/py.typed",
    "metrics_agent/modules/tasmota/README.md",
    "metrics_agent/status/page/index.html",
    "metrics_agent/status/page/page.js",
)
TWISTD = "from twisted.scripts.twistd import run; run()"


def wheel_path() -> Path:
    """Return the wheel that ./run-tests has built; skip the test where someone else runs it."""
    path = os.environ.get("METRICS_AGENT_WHEEL", "")
    if not path:
        raise SkipTest("METRICS_AGENT_WHEEL is not set: ./run-tests builds the wheel")
    return Path(path)


class ContentTests(TestCase):
    """What is packed."""

    def test_the_wheel_has_the_plugin_and_nothing_of_others(self) -> None:
        """The plugin, the types' marker, guides, the page; no file of Twisted's, no test."""
        names = zipfile.ZipFile(wheel_path()).namelist()
        for wanted in (PLUGIN, *DATA):
            self.assertIn(wanted, names)
        self.assertEqual([name for name in names if name.startswith("twisted/")], [PLUGIN])
        self.assertEqual([name for name in names if name.startswith("tests/")], [])

    def test_the_sdist_has_the_plugin(self) -> None:
        """So that a wheel that is built from it has it too; and the tests as a whole."""
        found = list(wheel_path().parent.glob("*.tar.gz"))
        if not found:
            raise SkipTest("no sdist beside the wheel")
        with tarfile.open(found[0]) as sdist:
            names = {name.partition("/")[2] for name in sdist.getnames()}
        for wanted in (PLUGIN, "setup.py", "LICENSE"):
            self.assertIn(wanted, names)
        here = Path(__file__).parents[1]
        tests = {f"tests/{path.relative_to(here)}" for path in here.rglob("*.py")}
        self.assertEqual(tests - names, set())


class InstallTests(TestCase):
    """Install, use, uninstall."""

    timeout = 240

    def setUp(self) -> None:
        self.wheel = wheel_path()
        self.directory = Path(self.mktemp()).absolute()
        venv.create(self.directory, with_pip=False, symlinks=True)
        self.python = self.directory / "bin" / "python"
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        self.site = self.directory / "lib" / version / "site-packages"
        self.borrow_dependencies()
        self.env = {
            name: text
            for name, text in os.environ.items()
            if not name.startswith(("PYTHON", "COVERAGE"))
        }
        self.config = self.directory / "agent.toml"
        self.config.write_text("[modules.demo]\nenabled = true\ninterval = '50ms'\n", "utf-8")
        self.config.chmod(0o640)

    def borrow_dependencies(self) -> None:
        """Take what is installed beside this Python, without the network; Twisted as a copy."""
        installed = Path(twisted.__file__).parents[1]
        for path in installed.iterdir():
            if path.name.lower().startswith(("metrics_agent", "__editable__", "__pycache__")):
                continue
            if path.name == "twisted":
                ignore = shutil.ignore_patterns(
                    "test", "dropin.cache", "metrics_agent*", "__pycache__"
                )
                shutil.copytree(path, self.site / path.name, ignore=ignore)
            elif not (self.site / path.name).exists() and path.suffix != ".pth":
                (self.site / path.name).symlink_to(path)

    def run_python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run_program(str(self.python), *arguments)

    def run_program(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words,
            cwd=self.directory,
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=LIMIT_S,
            text=True,
        )

    def pip(self, *arguments: str) -> None:
        done = self.run_program(
            sys.executable, "-m", "pip", "--python", str(self.python), "-q", *arguments
        )
        self.assertEqual(done.returncode, 0, done.stderr)

    def files_of_twisted(self) -> set[Path]:
        found = (self.site / "twisted").rglob("*")
        return {
            path
            for path in found
            if path.is_file() and "__pycache__" not in path.parts and path.name != "dropin.cache"
        }

    def test_install_use_and_uninstall(self) -> None:
        """Both commands work; afterwards Twisted has exactly what it had, and works."""
        before = self.files_of_twisted()
        self.pip("install", "--no-deps", "--no-index", str(self.wheel))
        command = str(self.directory / "bin" / "metrics-agent")

        self.assertIn("metrics-agent ", self.run_program(command, "--version").stdout)
        once = ("once", "--seconds", "0.3", "-c", str(self.config))
        self.assert_runs(command, *once)
        self.assert_runs(str(self.python), "-m", "metrics_agent", *once)
        listed = self.run_python("-c", TWISTD, "--help")
        self.assertIn("metrics-agent", listed.stdout)
        helped = self.run_python("-c", TWISTD, "metrics-agent", "--help")
        self.assertEqual(helped.returncode, 0, helped.stderr)
        self.assertIn("--config", helped.stdout)
        self.assert_twistd_runs()

        self.pip("uninstall", "-y", "metrics-agent")
        self.assertEqual(self.files_of_twisted(), before)
        self.assertFalse(Path(command).exists())
        listed = self.run_python("-c", TWISTD, "--help")
        self.assertEqual((listed.returncode, listed.stderr), (0, ""))
        self.assertNotIn("metrics-agent", listed.stdout)
        self.assertIn("web", listed.stdout)
        self.assertNotEqual(self.run_python("-c", "import metrics_agent").returncode, 0)

    def assert_runs(self, *words: str) -> None:
        done = self.run_program(*words)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assert_lines(done.stdout)

    def assert_twistd_runs(self) -> None:
        """Until its stdin is closed, as under Telegraf."""
        child = subprocess.Popen(
            [self.python, "-c", TWISTD, "-n", "--pidfile=", "metrics-agent", "-c", self.config],
            cwd=self.directory,
            env=self.env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(child.kill)
        first = child.stdout.readline()
        out, err = child.communicate(timeout=LIMIT_S)
        self.assertEqual(child.returncode, 0, err)
        self.assert_lines(first + out)
        self.assertIn("none lost", err)

    def assert_lines(self, text: str) -> None:
        lines = text.splitlines()
        self.assertGreater(len(lines), 0)
        self.assertEqual({parse_line(line)["measurement"] for line in lines}, {"demo"})
