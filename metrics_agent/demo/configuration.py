"""The configuration that ``metrics-agent demo`` runs with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

__all__ = ["HOST", "READY", "TRIGGER_FILE", "demo_configuration"]

HOST: Final = "127.0.0.1"
READY: Final = "ready"
"""The first word of the line with which the simulation says that it is ready."""

TRIGGER_FILE: Final = "make-it-fail"
"""The name of the file whose existence makes the module ``demo`` fail."""

_TEXT: Final = """\
# What metrics-agent demo runs with: a broker and devices of its own, nothing outside.

# Everything that the agent writes stays in the demo's directory.
state_dir = {state_dir}

# More often than by default, so that they are seen.
self_metrics_interval = "10s"
{output}
# The page that shows how the agent is.
[status]
listen = {listen}

[modules.tasmota]
enabled = true
broker = {broker}
# All that the demo's broker speaks.
protocol = "3.1.1"
# Names come from the devices themselves.

[modules.hadiscovery]
enabled = true
broker = {broker}
protocol = "3.1.1"

[modules.opendtu]
enabled = true
url = {dtu}

[modules.demo]
enabled = true
interval = "1s"
# Make this file, and watch how the module's failure is contained; remove it again.
trigger_file = {trigger_file}
"""


_NO_LINES: Final = """
# The terminal shows a summary; `metrics-agent demo --lines` shows the metrics.
output = "/dev/null"
"""


def demo_configuration(
    port: int, dtu_port: int, page_port: int, directory: Path, *, lines: bool = True
) -> str:
    """Return the configuration as TOML.

    Args:
        port: of the broker.
        dtu_port: of the DTU.
        page_port: of the status page.
        directory: for state and the trigger file.
        lines: write the metrics to stdout; else nowhere.
    """
    return _TEXT.format(
        output="" if lines else _NO_LINES,
        listen=json.dumps(f"tcp:{page_port}:interface={HOST}"),
        broker=json.dumps(f"tcp://{HOST}:{port}"),
        dtu=json.dumps(f"http://{HOST}:{dtu_port}"),
        # JSON's texts are texts in TOML, too.
        state_dir=json.dumps(str(directory / "state")),
        trigger_file=json.dumps(str(directory / TRIGGER_FILE)),
    )
