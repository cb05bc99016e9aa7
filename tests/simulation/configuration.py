"""The agent's configuration file, which changes while it runs."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Final

__all__ = ["PORTS", "ConfigFile"]

PORTS: Final = {"a": 1883, "b": 1883, "c": 1884, "tasmota": 1884}
"""The modules, with the port of the broker of each."""
_HEADER: Final = """\
watchdog_dump = "0s"
watchdog_exit = "0s"
state_dir = "/simulated/state"
self_metrics_interval = "10s"
drain_timeout = "5s"
module_start_timeout = "3s"
module_stop_timeout = "1s"
module_restart_limit = 3
module_restart_window = "60s"
restart_backoff_max = "5s"
park_interval = "20s"
"""


class ConfigFile:
    """See the module.

    Args:
        path: of the file.
        random: chooses the limits of the queue.
        output: the setting.

    Attributes:
        modules: whether each is enabled.
    """

    def __init__(self, path: Path, random: Random, output: str) -> None:
        self.path = path
        self.modules = dict.fromkeys(PORTS, True)
        self._variants: dict[str, str] = {}
        high = random.choice((1 << 16, 1 << 20))
        self._header = (
            f'{_HEADER}output = "{output}"\n'
            f'queue_limit = "{random.choice((high * 2, 1 << 24)) >> 10}KiB"\n'
            f'queue_high_mark = "{high >> 10}KiB"\n'
            f'queue_low_mark = "{random.choice((high >> 1, high - 1024)) >> 10}KiB"\n'
        )
        self.write()

    def write(self, broken: str = "") -> None:
        """Write the file as `modules` and the variants say; or a broken one."""
        text = self._header
        for module, port in PORTS.items():
            table, topic = f"numbered:{module}", f'topic = "{module}"\n'
            if module == "tasmota":
                table, topic = "tasmota", 'silent_after = "0s"\nrequest_channel_totals = false\n'
            text += (
                f'[modules."{table}"]\nenabled = {str(self.modules[module]).lower()}\n'
                f'broker = "tcp://192.0.2.1:{port}"\n{topic}'
                f'keepalive = "{self._variants.get(module, "10s")}"\nreconnect_max = "5s"\n'
            )
        self.path.write_text(text + broken, "utf-8")

    def vary(self, module: str, chance: Random) -> None:
        """Change a setting of a module's connection."""
        self._variants[module] = chance.choice(("5s", "10s", "12s", "30s"))

    def remove(self) -> None:
        """Remove the file."""
        self.path.unlink(missing_ok=True)
