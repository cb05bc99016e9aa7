"""What setup.py builds: a wheel, an editable installation, and a directory of wheels."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import twisted
from tests.deploy.paths import DEPLOY, DOCS
from tests.deploy.wheel import require_index

LIMIT_S = 600
ENVIRONMENT = {name: text for name, text in os.environ.items() if not name.startswith("PYTHON")}
PARTS = ("setup.py", "pyproject.toml", "README.md", "LICENSE", "metrics_agent", "twisted", "deploy")


class BuildTestCase(SynchronousTestCase):
    """A copy of the checkout, and a new virtual environment."""

    timeout = 2 * LIMIT_S

    def setUp(self) -> None:
        self.work = Path(self.mktemp()).absolute()
        self.work.mkdir()
        self.addCleanup(shutil.rmtree, self.work, ignore_errors=True)
        require_index(self.work)
        self.checkout = self.work / "checkout"
        self.checkout.mkdir()
        # ./run-tests has links to it beside the installed package.
        original = DOCS.resolve().parent
        ignore = shutil.ignore_patterns("__pycache__", "dropin.cache")
        for part in PARTS:
            if (original / part).is_dir():
                shutil.copytree(original / part, self.checkout / part, ignore=ignore)
            else:
                shutil.copy(original / part, self.checkout / part)
        self.environment = self.work / "environment"
        self.run_in(self.work, sys.executable, "-m", "venv", self.environment)

    def run_in(self, directory: Path, *command: str | Path, **env: str) -> str:
        result = subprocess.run(
            command,
            cwd=directory,
            env={**ENVIRONMENT, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        self.assertEqual(result.returncode, 0, result.stdout)
        return result.stdout

    def pip(self, *arguments: str | Path) -> None:
        self.run_in(self.checkout, self.environment / "bin/pip", *arguments)


class WheelTests(BuildTestCase):
    """pip wheel, pip install ."""

    def test_leftovers(self) -> None:
        """What an earlier build left in build/ is not packed, and none is left there."""
        stale = self.checkout / "build/lib/metrics_agent/gone.py"
        stale.parent.mkdir(parents=True)
        stale.touch()
        self.pip("wheel", "-q", "--no-deps", "-w", self.work, ".")
        [wheel] = self.work.glob("*.whl")
        names = zipfile.ZipFile(wheel).namelist()
        self.assertIn("metrics_agent/cli.py", names)
        self.assertNotIn("metrics_agent/gone.py", names)
        built = [path for path in (self.checkout / "build").rglob("*") if path.is_file()]
        self.assertEqual(built, [stale])

    def others(self) -> Path:
        """Return a directory with what is installed here, without this package and its plugin."""
        others = self.work / "others"
        here = Path(twisted.__file__).parents[1]
        for part in (".", "twisted", "twisted/plugins"):
            (others / part).mkdir()
            for path in (here / part).iterdir():
                name = path.name
                if not name.startswith(("metrics_agent", "dropin.cache", "__pycache__")) and (
                    part == "twisted/plugins" or name not in {"twisted", "plugins"}
                ):
                    (others / part / name).symlink_to(path)
        return others

    def test_editable(self) -> None:
        """After a plain pip install -e, twistd has the plugin of the checkout."""
        self.pip("install", "-q", "--no-deps", "-e", ".")
        [site] = self.environment.glob("lib/python3*/site-packages")
        # Twisted and the others come from where these tests found them, after the checkout.
        (site / "zz_others.pth").write_text(f"{self.others()}\n")
        python = self.environment / "bin/python"
        said = self.run_in(
            self.work, python, "-c", "from twisted.scripts.twistd import run; run()", "--help"
        )
        self.assertIn("metrics-agent", said)
        found = self.run_in(
            self.work, python, "-c",
            "import sys, twisted.plugin, twisted.application.service as s\n"
            "plugins = [p for p in twisted.plugin.getPlugins(s.IServiceMaker)\n"
            "           if p.tapname == 'metrics-agent']\n"
            "print(*(p.__module__ for p in plugins))\n"
            "import metrics_agent, twisted.plugins.metrics_agent_plugin as plugin\n"
            "print(metrics_agent.__file__, plugin.__file__)",
        ).split()  # fmt: skip
        for file in found[-2:]:
            self.assertTrue(file.startswith(str(self.checkout)), file)


class WheelhouseTests(BuildTestCase):
    """Installing without a network."""

    def test_guide(self) -> None:
        """The guide's commands make a directory from which install.sh installs all extras."""
        guide = (DOCS / "deployment.md").read_text("utf-8")
        commands = guide.partition("<!-- wheelhouse -->\n\n")[2].partition("\n\n")[0]
        self.assertIn("requirements.lock", commands)
        for command in commands.splitlines():
            words = command.replace("/tmp/tools", str(self.environment)).split()
            words = [sys.executable if word == "python3" else word for word in words]
            self.run_in(self.checkout, *words)
        [wheel] = (self.checkout / "wheelhouse").glob("metrics_agent-*.whl")
        root = self.work / "root"
        nowhere = "http://127.0.0.1:9"
        self.run_in(
            self.checkout,
            DEPLOY / "install.sh",
            *("--python", sys.executable, "--root", root),
            *("--wheelhouse", "wheelhouse", wheel.relative_to(self.checkout)),
            http_proxy=nowhere,
            https_proxy=nowhere,
        )
        version = root / "opt/metrics-agent/versions/1"
        said = self.run_in(
            self.work, version / "bin/python", "-c",
            "import metrics_agent.transports.tls, metrics_agent.transports.http, orjson\n"
            "from metrics_agent.transports.http_auth import _library; _library()\n"
            "from importlib.metadata import distributions\n"
            "print(*(found.metadata['Name'].lower() for found in distributions()))",
        )  # fmt: skip
        self.assertEqual({"pip", "setuptools", "wheel"} & set(said.split()), set())
