"""The base of tests that run whole agents: configuration, broker, parent, judging the output."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from line_protocol_parser import LineFormatError, parse_line
from twisted.trial.unittest import TestCase

from tests.integration.broker import Mosquitto
from tests.integration.load import Load
from tests.integration.parent import HarnessParent
from tests.integration.telegraf import TelegrafParent
from tests.integration.watching import Said, argv, python_path, sequences, until

__all__ = ["CLIENT_ID", "QUIET", "AgentCase", "OnTelegraf", "install_modules", "is_line", "logged"]

QUIET = ("log_type error", "log_type warning", "log_type notice")
"""What mosquitto logs under load: not each message."""

CLIENT_ID = "agent"


def install_modules(directory: Path, modules: Mapping[str, str]) -> None:
    """Make modules known by entry points, as if a package of theirs was installed.

    Args:
        directory: to be put on PYTHONPATH.
        modules: names and objects, such as ``{"probe": "tests.integration.probe:MODULE"}``.
    """
    info = directory / "for_tests-1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: for-tests\nVersion: 1.0\n")
    lines = [f"{name} = {where}\n" for name, where in modules.items()]
    (info / "entry_points.txt").write_text("[metrics_agent.modules]\n" + "".join(lines))


class AgentCase(TestCase):
    """Makes what most tests of whole agents need; in each of them stdout is line protocol only.

    Attributes:
        make_parent: the class of the parent.
        command: ``metrics-agent`` or ``twistd``.
    """

    timeout = 90
    make_parent: Any = HarnessParent
    command = "metrics-agent"

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()
        self.config_path = self.directory / "agent.toml"

    # What runs.

    def configure(self, text: str) -> None:
        """Write the configuration; state goes into a directory of the test."""
        state = f'state_dir = "{self.directory}/state"\n'
        new = self.directory / "agent.toml.new"
        new.write_text(state + text, "utf-8")
        new.chmod(0o640)
        new.replace(self.config_path)

    def tasmota(self, broker: Mosquitto, top: str = "", **settings: Any) -> str:
        """Return a configuration with the module tasmota at a broker."""
        keys: dict[str, Any] = {"client_id": CLIENT_ID, "reconnect_min": "100ms", **settings}
        lines = [f"{key} = {_toml(value)}\n" for key, value in keys.items()]
        return (
            f"{top}\n[modules.tasmota]\nenabled = true\nbroker = '{broker.url}'\n{''.join(lines)}"
        )

    def probe(self, act: str, top: str = "", interval: str = "100ms") -> str:
        """Return a configuration with the module `probe`."""
        return f'{top}\n[modules.probe]\nenabled = true\nact = "{act}"\ninterval = "{interval}"\n'

    def parent(self, *, modules: Mapping[str, str] | None = None, **how: Any) -> Any:
        """Make a parent for an agent with the configuration; it is not started.

        Args:
            modules: see `install_modules`; the probe if None.
            how: arguments of the parent.
        """
        env = dict(how.pop("env", {}))
        packages = self.directory / "packages"
        install_modules(packages, modules or {"probe": "tests.integration.probe:MODULE"})
        env["PYTHONPATH"] = python_path(packages)
        command = how.pop("argv", None) or argv(self.command, "-c", str(self.config_path))
        parent = self.make_parent(self, command, env=env, **how)
        self.addCleanup(self.assert_valid, parent)
        return parent

    async def start(self, **how: Any) -> Any:
        """Make a parent, start it, wait until the agent says that it has started."""
        parent = self.parent(**how)
        parent.start()
        await self.said(parent, "Started with modules")
        return parent

    # What happened.

    async def said(
        self, parent: Any, text: str, level: str = "", times: int = 1, limit_s: float = 30.0
    ) -> None:
        """Wait until the log has so many lines with a text, at a level if one is given."""
        await until(
            lambda: len(self.lines_with(parent, text, level)) >= times,
            lambda: f"{text!r} in the log: {logged(parent.log)}",
            limit_s,
        )

    def lines_with(self, parent: Any, text: str, level: str = "") -> list[Said]:
        """Return the lines of the log with a text, at a level if one is given."""
        return [said for said in parent.log if text in said.text and level in said.level]

    async def subscribed(self, parent: Any, load: Load, times: int = 1) -> None:
        """Wait until the retained state of each device came so often: we are subscribed then."""
        await until(
            lambda: bytes(parent.output).count(b"online=") >= times * len(load.devices),
            lambda: f"the retained state of all devices: {logged(parent.log)}",
            30,
        )

    async def received(self, parent: Any, sent: Mapping[str, int], limit_s: float = 30.0) -> None:
        """Wait until the last message of each device is there."""

        def missing() -> dict[str, int]:
            found = sequences(parent.lines())
            return {
                device: last
                for device, last in sent.items()
                if last and max(found.get(device, [0])) < last
            }

        await until(
            lambda: not missing(),
            lambda: f"the last messages of {missing()}: {logged(parent.log)}",
            limit_s,
        )

    # What must be.

    def assert_valid(self, parent: Any) -> None:
        """Hold every line against an independent parser."""
        for line in parent.lines():
            self.assertTrue(is_line(line), f"not line protocol: {line!r}")

    def assert_complete(self, found: Mapping[str, list[int]], last: Mapping[str, int]) -> None:
        """Each device's messages are there once, in order, from 1 to at least the last."""
        for device, number in last.items():
            numbers = found.get(device, [])
            self.assertEqual(
                numbers, list(range(1, len(numbers) + 1)), f"a hole, or not in order: {device}"
            )
            self.assertGreaterEqual(len(numbers), number, f"{device} ends too early")

    def assert_nothing_lost(self, found: Mapping[str, list[int]], sent: Mapping[str, int]) -> None:
        """Each message is there at least once."""
        for device, number in sent.items():
            missing = set(range(1, number + 1)) - set(found.get(device, []))
            self.assertEqual(missing, set(), f"lost of {device}")


class OnTelegraf:
    """Mixed into a case, makes the real Telegraf the parent."""

    timeout = 180
    make_parent = TelegrafParent


def is_line(line: bytes) -> bool:
    """Return whether an independent parser takes a line."""
    try:
        parse_line(line)
    except LineFormatError:
        return False
    return True


def logged(log: list[Said]) -> str:
    """Return the last of a log, for a failure's text."""
    return "\n" + "\n".join(f"{said.level}! {said.text}" for said in log[-40:])


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else f"'{value}'"
