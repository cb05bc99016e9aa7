"""Golden cases of modules that read MQTT: a folder with settings and messages.

``messages.txt`` has a message a line: ``-`` or ``R`` (retained), the topic, the payload to the end
of the line. A second passes before each message but the first, so that the n-th is received n - 1
seconds after ``START_NS``. ``wait 5`` lets five more seconds pass.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from metrics_agent.config.structure import structure
from metrics_agent.interfaces import ModuleKind
from metrics_agent.testing import FakeContext
from tests.modules.tasmota.support import read_toml

__all__ = ["run_case"]


def run_case(kind: ModuleKind, folder: Path) -> FakeContext:
    """Start a module with the case's settings and give it the case's messages."""
    raw = read_toml((folder / "config.toml").read_text("utf-8"))
    found = structure(kind.settings, raw, f"cases.{folder.name}")
    if found.value is None:
        raise AssertionError(f"{folder.name}: {[str(fault) for fault in found.faults]}")
    context = FakeContext()
    module = kind.make(found.value, context)
    module.startService()
    first = True
    for line in (folder / "messages.txt").read_text("utf-8").splitlines():
        if line.startswith("wait "):
            context.advance(float(line.removeprefix("wait ")))
            continue
        retained, topic, *payload = line.split(" ", 2)
        if not first:
            context.advance(1)
        first = False
        # A broker sends only what is subscribed to.
        with contextlib.suppress(LookupError):
            context.deliver(topic, "".join(payload).encode(), retain=retained == "R")
    module.stopService()
    context.stop()
    return context
