"""A wheel in place of ours that needs nothing else, so that the installer's tests need no index.

What the installer touches is there: the command, the sample of the configuration (the real one) and
a `twisted.plugin` that writes a cache. All else is the test's choice.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

from metrics_agent.commands.kinds import all_subjects
from metrics_agent.config.sample import sample_file

SAMPLE = sample_file(all_subjects())
"""What the command prints as a sample of the configuration, as the real one does."""

_CLI = """
import sys

def main():
    if "--version" in sys.argv:
        {on_version}
        print("metrics-agent {version}")
    elif "sample-config" in sys.argv:
        print({sample!r}, end="")
    elif "check" in sys.argv:
        text = open(sys.argv[-1]).read()
        if "FAULT" in text:
            sys.exit("E! a fault of the stand-in")
"""

_BACKEND = """
import os, shutil

def build_wheel(directory, config_settings=None, metadata_directory=None):
    os.mkdir("build")
    return os.path.basename(shutil.copy({wheel!r}, directory))
"""

_PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""

_WHEEL = """\
Wheel-Version: 1.0
Generator: tests
Root-Is-Purelib: true
Tag: py3-none-any
"""

_PLUGIN = """
from pathlib import Path

IPlugin = object

def getPlugins(interface):
    (Path(__file__).parent / "plugins" / "dropin.cache").write_text("{version}")
    return []
"""


def make_checkout(directory: Path, wheel: Path) -> Path:
    """Write a directory that pip builds that wheel from, without an index; return its path.

    As setuptools does, it leaves a directory ``build`` where it is built; one that is there before
    makes it fail.
    """
    checkout = directory / "checkout"
    checkout.mkdir()
    for name, text in (
        ("setup.py", ""),
        ("pyproject.toml", _PYPROJECT),
        ("backend.py", _BACKEND.format(wheel=str(wheel))),
    ):
        (checkout / name).write_text(text, "utf-8")
    return checkout


def make_wheel(directory: Path, version: str, *, on_version: str = "pass") -> Path:
    """Write a wheel and return its path.

    Args:
        directory: where to write it.
        version: the wheel's, and what the command says.
        on_version: a statement that the command runs before it prints its version.
    """
    info = f"metrics_agent-{version}.dist-info"
    files = {
        "metrics_agent/__init__.py": "",
        "metrics_agent/cli.py": _CLI.format(version=version, on_version=on_version, sample=SAMPLE),
        "twisted/__init__.py": "",
        "twisted/plugin.py": _PLUGIN.format(version=version),
        "twisted/plugins/metrics_agent_plugin.py": "",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: metrics-agent\n"
        f"Version: {version}\nProvides-Extra: all\nProvides-Extra: speed\n"
        "Requires-Dist: faster; extra == 'speed'\n",
        f"{info}/WHEEL": _WHEEL,
        f"{info}/entry_points.txt": "[console_scripts]\nmetrics-agent = metrics_agent.cli:main\n",
    }
    return _write_wheel(directory / f"metrics_agent-{version}-py3-none-any.whl", info, files)


def make_package(directory: Path, name: str, version: str) -> Path:
    """Write a wheel of a package with one empty module, and return its path."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": _WHEEL,
    }
    return _write_wheel(directory / f"{name}-{version}-py3-none-any.whl", info, files)


def _write_wheel(wheel: Path, info: str, files: dict[str, str]) -> Path:
    record = f"{info}/RECORD"
    files[record] = "".join(f"{name},,\n" for name in [*files, record])
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return wheel
