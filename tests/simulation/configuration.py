"""The agent's configuration file, which changes while it runs."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Final

__all__ = [
    "ANNOUNCED",
    "BROKEN",
    "DEVICES",
    "GLOBALS",
    "INSTANCES",
    "KNOWN_DEVICES",
    "MODULE_START_S",
    "MODULE_STOP_S",
    "NUMBERED",
    "PARK_S",
    "PORTS",
    "RESTART_LIMIT",
    "ConfigFile",
    "module_of",
    "owner_of",
]

PORTS: Final = {
    "a": 1883,
    "b": 1883,
    "c": 1884,
    "tasmota": 1884,
    "tasmota:two": 1883,
    "opendtu": 1883,
    "hadiscovery": 1884,
}
"""The modules, each with its broker's port."""
DEVICES: Final = {
    "tasmota": ("d0q0", "d1q1", "u0q0", "u1q1"),
    "tasmota:two": ("d2q0", "u3q1"),
}
"""Tasmota devices: names with a d announce themselves; the last digit is the QoS."""
KNOWN_DEVICES: Final = "/devices.json"
"""How the paths of the files end in which `tasmota` keeps the announced ones."""
ANNOUNCED: Final = ("h0q0", "h1q1", "h2q1")
"""Devices that announce themselves to Home Assistant; the last digit is the QoS they send at."""
_OWNERS: Final = {
    name: module
    for module, names in (*DEVICES.items(), ("hadiscovery", ANNOUNCED))
    for name in names
}
NUMBERED: Final = ("a", "b", "c")
"""The instances of the test module."""
INSTANCES: Final = tuple(f"numbered:{name}" if name in NUMBERED else name for name in PORTS)
"""How the agent names the modules, unless they are renamed."""
RESTART_LIMIT: Final = 3
PARK_S: Final = 20
MODULE_START_S: Final = 3
MODULE_STOP_S: Final = 1
_HEADER: Final = f"""\
module_restart_limit = {RESTART_LIMIT}
park_interval = "{PARK_S}s"
watchdog_dump = "0s"
watchdog_exit = "0s"
state_dir = "/simulated/state"
drain_timeout = "5s"
module_start_timeout = "{MODULE_START_S}s"
module_stop_timeout = "{MODULE_STOP_S}s"
restart_backoff_max = "5s"
tick_timeout = "5s"
"""
_TASMOTA: Final = 'silent_after = "0s"\nrequest_channel_totals = false\n'
_REAL: Final = {
    "tasmota": _TASMOTA,
    "tasmota:two": _TASMOTA,
    "opendtu": "[modules.opendtu.mqtt]\n",
    "hadiscovery": "qos = 1\n",
}
"""The modules of the agent itself, with their settings."""
_KEEPALIVE: Final = "10s"
_KEEPALIVES: Final = ("5s", _KEEPALIVE, "12s", "30s")
BROKEN: Final = (
    '\n[modules."numbered:d"\n',
    '\n[modules."numbered:d"]\nbroker = "nowhere:x"\n',
    '\n[modules."numbered:d"]\nunknown = 1\n',
    "\n[modules.unknown]\n",
)
GLOBALS: Final = (
    'log_level = "debug"\n',
    'log_level = "error"\n',
    "failed_ticks_limit = 1\n",
    'restart_backoff_min = "2s"\n',
)
"""Settings of the agent, to be changed in a reload."""


def module_of(instance: str) -> str:
    """Return the module of an instance as the agent names it, which may have been renamed."""
    if instance in PORTS:
        return instance
    name = instance.rpartition(":")[2]
    return name[0] if name[0] in NUMBERED and len(name) <= len("a2") else name


def owner_of(source: str) -> str:
    """Return the module that takes the messages of a test module's topic or of a device."""
    return _OWNERS.get(source, source)


class ConfigFile:
    """See the module.

    Args:
        path: of the file.
        random: chooses the limits of the queue.
        output: the setting.

    Attributes:
        modules: whether each is enabled.
        absent: those that are not enabled are not in the file either.
        renamed: modules that have another name, and so another session at their broker.
        settings: further global settings.
        output_settings: of the output.
        self_metrics_s: how often the agent writes metrics of its own.
        topics: the topic below which each of the test modules subscribes.
        restart_window_s: in which restarts of a module count.
    """

    def __init__(self, path: Path, random: Random, output: str) -> None:
        self.path = path
        self.modules = dict.fromkeys(PORTS, True)
        self.absent = False
        self.renamed: set[str] = set()
        self.settings = ""
        self.output_settings = ""
        self.self_metrics_s = 10
        self.topics = {module: module for module in NUMBERED}
        self._variants: dict[str, str] = {}
        self._keepalive = random.choice(("5s", *(_KEEPALIVE,) * 3))
        self.restart_window_s = random.choice((8, 60))
        high = random.choice((1 << 13, 1 << 14, 1 << 16, 1 << 18))
        self._header = (
            f'{_HEADER}output = "{output}"\n'
            f'module_restart_window = "{self.restart_window_s}s"\n'
            f'queue_limit = "{random.choice((high * 2, 1 << 24)) >> 10}KiB"\n'
            f'queue_high_mark = "{high >> 10}KiB"\n'
            f'queue_low_mark = "{random.choice((high >> 1, high - 1024)) >> 10}KiB"\n'
        )
        self.write()

    def write(self, broken: str = "") -> None:
        """Write the file as the attributes say; or with something broken at its end."""
        self.remove()
        modules = (self._module(name) for name in PORTS if self.modules[name] or not self.absent)
        output = self.output_settings and f"[output_settings]\n{self.output_settings}"
        settings = f'self_metrics_interval = "{self.self_metrics_s}s"\n{self.settings}'
        text = f"{self._header}{settings}{output}{''.join(modules)}{broken}"
        self.path.write_text(text, "utf-8")

    def _module(self, name: str) -> str:
        text = f'[modules."{self.instance(name)}"]\nenabled = {str(self.modules[name]).lower()}\n'
        text += _REAL.get(name) or f'topic = "{self.topics[name]}"\n'
        return text + (
            f'broker = "tcp://192.0.2.1:{PORTS[name]}"\n'
            f'keepalive = "{self._variants.get(name, self._keepalive)}"\nreconnect_max = "5s"\n'
        )

    def instance(self, name: str) -> str:
        """Return the instance that a module is, as the agent names it; see `module_of`."""
        if name in _REAL:
            return name
        return f"numbered:{name}2" if name in self.renamed else f"numbered:{name}"

    def damage(self, chance: Random) -> None:
        """Make the file one that cannot be read, or none at all, or one without modules."""
        self.remove()
        way = chance.choice(("missing", "directory", "binary", "no modules"))
        if way == "directory":
            self.path.mkdir()
        elif way == "binary":
            self.path.write_bytes(bytes(range(256)))
        elif way == "no modules":
            self.path.write_text(self._header, "utf-8")

    def vary(self, module: str, chance: Random) -> None:
        """Change a setting of a module's connection."""
        now = self._variants.get(module, self._keepalive)
        self._variants[module] = chance.choice([each for each in _KEEPALIVES if each != now])

    def remove(self) -> None:
        """Remove the file."""
        if self.path.is_dir():
            self.path.rmdir()
        else:
            self.path.unlink(missing_ok=True)
