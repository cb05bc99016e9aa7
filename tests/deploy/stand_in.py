"""A wheel in place of ours that needs nothing else, so that the installer's tests need no index.

What the installer touches is there: the command, the sample of the configuration (the real one) and
a `twisted.plugin` that writes a cache. All else is the test's choice.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

from tests.deploy.paths import SAMPLE

_CLI = """
import sys

def main():
    if "--version" in sys.argv:
        {on_version}
        print("metrics-agent {version}")
    elif "check" in sys.argv:
        text = open(sys.argv[-1]).read()
        if "FAULT" in text:
            sys.exit("E! a fault of the stand-in")
"""

_PLUGIN = """
from pathlib import Path

IPlugin = object

def getPlugins(interface):
    (Path(__file__).parent / "plugins" / "dropin.cache").write_text("{version}")
    return []
"""


def make_wheel(directory: Path, version: str, *, on_version: str = "pass") -> Path:
    """Write a wheel and return its path.

    Args:
        directory: where to write it.
        version: the wheel's, and what the command says.
        on_version: a statement that the command runs before it tells its version.
    """
    info = f"metrics_agent-{version}.dist-info"
    files = {
        "metrics_agent/__init__.py": "",
        "metrics_agent/config/__init__.py": "",
        "metrics_agent/config/sample.toml": SAMPLE.read_text("utf-8"),
        "metrics_agent/cli.py": _CLI.format(version=version, on_version=on_version),
        "twisted/__init__.py": "",
        "twisted/plugin.py": _PLUGIN.format(version=version),
        "twisted/plugins/metrics_agent_plugin.py": "",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: metrics-agent\n"
        f"Version: {version}\nProvides-Extra: all\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
        f"{info}/entry_points.txt": "[console_scripts]\nmetrics-agent = metrics_agent.cli:main\n",
    }
    record = f"{info}/RECORD"
    files[record] = "".join(f"{name},,\n" for name in [*files, record])
    wheel = directory / f"metrics_agent-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return wheel
