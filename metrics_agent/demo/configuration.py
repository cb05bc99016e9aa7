"""The configuration that ``metrics-agent demo`` runs with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from metrics_agent.demo.broker import HOST

__all__ = ["TRIGGER_FILE", "demo_configuration"]

TRIGGER_FILE: Final = "make-it-fail"
"""The name of the file whose existence makes the module ``demo`` fail."""

_TEXT: Final = """\
# What metrics-agent demo runs with: a broker and devices of its own, nothing outside.

# Everything that the agent writes stays in the demo's directory.
state_dir = {state_dir}

# More often than by default, so that they are seen.
self_metrics_interval = "10s"

[modules.tasmota]
enabled = true
broker = {broker}
# All that the demo's broker speaks.
protocol = "3.1.1"
# Names come from the devices themselves.

[modules.opendtu]
enabled = true
url = {dtu}

[modules.demo]
enabled = true
interval = "1s"
# Make this file, and watch how the module's failure is contained; remove it again.
trigger_file = {trigger_file}
"""


def demo_configuration(port: int, dtu_port: int, directory: Path) -> str:
    """Return the text of the demo's configuration, TOML.

    Args:
        port: where the demo's broker listens.
        dtu_port: where the demo's DTU listens.
        directory: for state and the trigger file; it exists and is the demo's own.
    """
    return _TEXT.format(
        broker=json.dumps(f"tcp://{HOST}:{port}"),
        dtu=json.dumps(f"http://{HOST}:{dtu_port}"),
        # JSON's texts are texts in TOML, too.
        state_dir=json.dumps(str(directory / "state")),
        trigger_file=json.dumps(str(directory / TRIGGER_FILE)),
    )
