"""What deploy/install.sh installs, from where, and what cannot steer it."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from tests.deploy.stand_in import make_checkout, make_package
from tests.deploy.test_install import LIMIT_S, InstallTestCase

FOREIGN = "import pathlib; pathlib.Path({marker!r}).touch()\n"
"""Code that shows that it was run."""


class SteeringTests(InstallTestCase):
    """Nothing of the caller's decides what runs as root."""

    def setUp(self) -> None:
        super().setUp()
        self.marker = self.work / "foreign code ran"
        self.foreign = self.work / "foreign"
        self.foreign.mkdir()
        for name in ("venv", "ensurepip", "pip", "twisted", "sitecustomize", "setuptools"):
            text = FOREIGN.format(marker=str(self.marker))
            (self.foreign / f"{name}.py").write_text(text)

    def run_in(self, directory: Path, *arguments: str | Path, **env: str) -> str:
        result = subprocess.run(
            [self.script, "--python", sys.executable, "--root", self.root, *arguments],
            env={**os.environ, **env},
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        self.assertEqual(result.returncode, 0, result.stdout)
        self.assertFalse(self.marker.exists(), result.stdout)
        return result.stdout

    def test_current_directory(self) -> None:
        """Modules in the current directory are not imported; paths may be relative to it."""
        wheel = self.wheel("1.0")
        wheel.rename(self.foreign / wheel.name)
        self.run_in(self.foreign, wheel.name)
        self.assertEqual(self.version(), "metrics-agent 1.0")

    def test_environment(self) -> None:
        """Variables of Python and pip, and the user's pip.conf, are ignored."""
        config = self.foreign / "pip.conf"
        nowhere = "http://127.0.0.1:1/"
        config.write_text(f"[install]\nno-such-option = x\n[global]\nindex-url = {nowhere}\n")
        for place in (".pip", ".config/pip"):
            (self.foreign / place).mkdir(parents=True)
            (self.foreign / place / "pip.conf").write_text(config.read_text())
        self.run_in(
            self.work,
            make_checkout(self.work, self.wheel("1.0")),
            PYTHONPATH=str(self.foreign),
            PYTHONHOME=str(self.foreign),
            PYTHONSTARTUP=str(self.foreign / "venv.py"),
            PIP_CONFIG_FILE=str(config),
            PIP_REQUIREMENT=str(config),
            PIP_TARGET=str(self.foreign / "target"),
            PIP_INDEX_URL=nowhere,
            HOME=str(self.foreign),
            XDG_CONFIG_HOME=str(self.foreign / ".config"),
            XDG_CONFIG_DIRS=str(self.foreign / ".config"),
            TMPDIR=str(self.foreign / "no such directory"),
        )
        self.assertEqual(self.version(), "metrics-agent 1.0")


class PackageTests(InstallTestCase):
    """The packages of the lock, from a directory of wheels."""

    def setUp(self) -> None:
        super().setUp()
        self.wheelhouse = self.work / "wheel house"
        self.wheelhouse.mkdir()
        self.package = make_package(self.wheelhouse, "faster", "1.5")
        make_package(self.wheelhouse, "faster", "1.6")
        self.source = self.wheel("1.0")
        self.lock(hashlib.sha256(self.package.read_bytes()).hexdigest())

    def lock(self, digest: str) -> None:
        lock = self.script.with_name("requirements.lock")
        lock.write_text(
            "# extras: all speed\n# for: all speed\n"
            f"faster==1.5 ; python_version >= '3' \\\n    --hash=sha256:{digest}\n"
        )

    def install(self, *options: str, expect: int = 0) -> str:
        return self.run_script(
            "--wheelhouse", self.wheelhouse, *options, self.source, expect=expect
        )

    def installed(self) -> set[str]:
        """Return the packages of the newest version."""
        newest = max(self.versions.iterdir(), key=lambda path: int(path.name))
        return {path.name.removesuffix(".dist-info") for path in newest.rglob("*.dist-info")}

    def test_locked(self) -> None:
        """The version of the lock comes from the wheelhouse; pip and setuptools are not kept."""
        self.install("--extras", "speed")
        self.assertEqual(self.installed(), {"faster-1.5", "metrics_agent-1.0"})
        scripts = [path.name for path in (self.versions / "1/bin").iterdir()]
        self.assertEqual([name for name in scripts if name.startswith(("pip", "easy"))], [])
        # From 3.13 on the module venv writes a .gitignore.
        hidden = {path.name for path in (self.versions / "1").glob(".*")} - {".gitignore"}
        self.assertEqual(hidden, {".fingerprint"})

    def test_extras(self) -> None:
        """Only the packages of the parts asked for are installed."""
        self.install("--extras", "none")
        self.assertEqual(self.installed(), {"metrics_agent-1.0"})
        self.install("--extras", "all")
        self.assertEqual(self.installed(), {"faster-1.5", "metrics_agent-1.0"})

    def test_other_build(self) -> None:
        """A file whose hash is not in the lock is refused, and accepted with --no-hashes."""
        self.lock("0" * 64)
        said = self.install(expect=1)
        self.assertIn("THESE PACKAGES DO NOT MATCH THE HASHES", said)
        self.assertIn("nothing has changed", said)
        self.assertEqual(list(self.versions.iterdir()), [])
        self.install("--no-hashes")
        self.assertEqual(self.installed(), {"faster-1.5", "metrics_agent-1.0"})

    def test_missing_package(self) -> None:
        """The message names what helps: the network, a wheelhouse, --no-hashes."""
        self.package.unlink()
        said = self.install(expect=1)
        self.assertIn("faster==1.5", said)
        for help_text in ("/etc/pip.conf", "--wheelhouse", "--no-hashes"):
            self.assertIn(help_text, said)
        self.assertNotIn("--extras none", said)

    def test_newer_lock(self) -> None:
        """The same wheel with another lock is an upgrade of the packages."""
        self.install()
        self.assertIn("installed already", self.install())
        lock = self.script.with_name("requirements.lock")
        lock.write_text(lock.read_text() + "# newer\n")
        self.assertNotIn("installed already", self.install())

    def test_lock_of_another_version(self) -> None:
        """A wheel that needs what the lock lacks is refused, with the reason."""
        lock = self.script.with_name("requirements.lock")
        lock.write_text("# extras: all speed\n")
        said = self.install("--extras", "speed", expect=1)
        self.assertIn("this install.sh is of another version", said)
