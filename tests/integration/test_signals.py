"""Signals of whole processes: reload, stop, and each of them too early, twice or in a storm."""

from __future__ import annotations

import re
import signal
import time
from typing import Any

from line_protocol_parser import parse_line

from tests.integration.broker import Mosquitto
from tests.integration.case import CLIENT_ID, QUIET, AgentCase
from tests.integration.load import Load
from tests.integration.watching import is_alive, pause, sequences, until

CONNECTED = re.compile(f"New client connected from .* as {CLIENT_ID}")

NOTE_SIGNALS = """
import pathlib, signal, sys

def noted(number, handler, real=signal.signal):
    if number == signal.SIGHUP:
        with open(pathlib.Path(__file__).with_name("SIGHUP"), "a") as file:
            file.write(" ".join(sys.modules) + "\\n")
    return real(number, handler)

signal.signal = noted
"""
"""A sitecustomize.py that notes what is imported whenever a handler of SIGHUP is installed."""


class SignalTests(AgentCase):
    """Under ``metrics-agent``."""

    # SIGHUP.

    async def test_hup_with_a_changed_file(self) -> None:
        """Another interval, one module less and one more: what the file says now is running."""
        self.configure(self.probe("count") + "[modules.demo]\nenabled = true\n")
        parent = await self.start()
        pid = parent.agent_pid
        await until(lambda: b"count number=" in parent.output, "the first module")
        self.configure("[modules.demo]\nenabled = true\ninterval = '20ms'\n")
        parent.signal_agent(signal.SIGHUP)
        await self.said(parent, "modules demo restarted", "I")
        count = len(parent.lines())
        await until(lambda: len(parent.lines()) > count + 10, "metrics at the new interval", 5)
        self.assertFalse(any(line.startswith(b"count") for line in parent.lines()[count + 1 :]))
        self.assertEqual((parent.agent_pid, parent.exits), (pid, []))

    async def test_hup_with_another_broker(self) -> None:
        """The connection to the old one is closed in order, the new one is used."""
        old, new = Mosquitto.start(self), Mosquitto.start(self)
        self.configure(self.tasmota(old))
        parent = await self.start()
        await self.said(parent, "Connected to")
        load = await Load.connect(self, new.port)
        self.configure(self.tasmota(new))
        parent.signal_agent(signal.SIGHUP)
        await self.subscribed(parent, load)
        load.send(100)
        await self.received(parent, load.sent)
        await until(lambda: f"Received DISCONNECT from {CLIENT_ID}" in old.log, "the goodbye")
        self.assertEqual(len(CONNECTED.findall(new.log)), 1)

    async def test_hup_with_a_broken_file(self) -> None:
        """All runs on as it is, one error line says why; the file put right is taken."""
        broker = Mosquitto.start(self)
        load = await Load.connect(self, broker.port, rate=300)
        self.configure(self.tasmota(broker, qos=0))
        parent = await self.start()
        await self.subscribed(parent, load)
        load.start()
        for broken in (
            "[modules.tasmota\n",
            "log_levle = 'info'\n",
            self.tasmota(broker, qos=7),
            self.probe("no such act") + "interval = 3\n",
        ):
            self.configure(broken)
            parent.signal_agent(signal.SIGHUP)
            errors = len(self.lines_with(parent, "Reload rejected", "E"))
            await self.said(parent, "Reload rejected", "E", times=errors + 1)
        self.config_path.unlink()
        parent.signal_agent(signal.SIGHUP)
        await self.said(parent, "no such file", "E")
        await pause(0.3)
        load.stop()
        await self.received(parent, load.sent)
        self.assert_complete(sequences(parent.lines()), load.sent)
        self.assertEqual(len(self.lines_with(parent, "[tasmota] Started.")), 1)
        self.assertEqual(bytes(parent.output).count(b"online="), len(load.devices))
        self.configure(self.tasmota(broker, qos=0))
        parent.signal_agent(signal.SIGHUP)
        await self.said(parent, "modules tasmota restarted", "I")
        self.assertEqual((parent.exits, len(CONNECTED.findall(broker.log))), ([], 1))

    async def test_hup_with_an_unchanged_file(self) -> None:
        """All modules start again, the connection stays: retained messages come again."""
        broker = Mosquitto.start(self)
        load = await Load.connect(self, broker.port)
        self.configure(self.tasmota(broker))
        parent = await self.start()
        await self.subscribed(parent, load)
        parent.signal_agent(signal.SIGHUP)
        await self.said(parent, "modules tasmota restarted", "I")
        await self.subscribed(parent, load, 2)
        load.send(100)
        await self.received(parent, load.sent)
        self.assertEqual((parent.exits, len(CONNECTED.findall(broker.log))), ([], 1))

    async def test_hup_storm(self) -> None:
        """A hundred within a second: one reload at a time, the last one counts, nothing lost."""
        broker = Mosquitto.start(self, settings=QUIET)
        load = await Load.connect(self, broker.port, rate=500)
        self.configure(self.tasmota(broker, qos=0))
        parent = await self.start()
        await self.subscribed(parent, load)
        load.start()
        for number in range(100):
            if number == 98:
                name = '\n[modules.tasmota.friendly_name_overrides]\nplug00 = "renamed"\n'
                self.configure(self.tasmota(broker, qos=0) + name)
            parent.signal_agent(signal.SIGHUP)
            await pause(0.005)
        await pause(1)
        load.stop()
        await self.received(parent, load.sent)
        self.assert_complete(sequences(parent.lines()), load.sent)
        names = [line for line in parent.lines() if b"device=plug00" in line]
        self.assertEqual(parse_line(names[-1])["tags"]["friendly"], "renamed")
        self.assertEqual((parent.starts, parent.exits), (1, []))
        self.assertEqual(broker.ended_connections(CLIENT_ID), 0)

    async def test_the_handlers_come_first(self) -> None:
        """SIGHUP kills until its handler is there, so nothing slow is imported before."""
        self.configure(self.probe("count"))
        parent = self.parent(restart_delay_s=60)
        (self.directory / "packages" / "sitecustomize.py").write_text(NOTE_SIGNALS, "utf-8")
        parent.start()
        await self.said(parent, "Started with modules")
        first = (self.directory / "packages" / "SIGHUP").read_text("utf-8").split("\n")[0]
        for slow in self.not_before_the_handlers:
            self.assertNotIn(slow, first.split())

    not_before_the_handlers: tuple[str, ...] = (
        "twisted",
        "attr",
        "argparse",
        "metrics_agent.config",
    )

    async def test_hup_during_the_start(self) -> None:
        """As early as a process can be reached it survives, and runs in the end."""
        self.configure(self.probe("count"))
        for delay_s in (0.0, 0.1, 0.3):
            parent = self.parent(restart_delay_s=60)
            parent.start()
            # Not before the interpreter has come to us: that window cannot be closed.
            await until(lambda parent=parent: handles_hup(parent.agent_pid), "the handler")
            parent.signal_agent(signal.SIGHUP)
            await pause(delay_s)
            parent.signal_agent(signal.SIGHUP)
            await self.said(parent, "modules probe restarted", "I")
            self.assertEqual(parent.exits, [])
            await parent.stop()

    # SIGTERM and SIGINT.

    async def test_sigterm_and_sigint(self) -> None:
        """Each stops in order, with exit status 0."""
        self.configure(self.probe("count"))
        for number in (signal.SIGTERM, signal.SIGINT):
            parent = await self.start(restart_delay_s=60)
            parent.signal_agent(number)
            await until(lambda parent=parent: parent.exits, "the exit")
            self.assertEqual(parent.exits, [0])
            self.assertTrue(self.lines_with(parent, f"Stopping: got {number.name}.", "I"))
            self.assertTrue(self.lines_with(parent, "none lost", "I"))

    async def test_sigterm_during_the_start(self) -> None:
        """It is not forgotten: the agent stops as soon as it can."""
        self.configure(self.probe("count"))
        parent = self.parent(restart_delay_s=60)
        parent.start()
        await until(lambda: handles_hup(parent.agent_pid), "the handler")
        parent.signal_agent(signal.SIGTERM)
        await until(lambda: parent.exits, "the exit")
        self.assertEqual(parent.exits, [0])

    async def test_a_second_signal_ends_it_now(self) -> None:
        """While the first one's stop waits for a reader that does not read."""
        for first, second in (
            (signal.SIGTERM, signal.SIGTERM),
            (signal.SIGINT, signal.SIGINT),
            (signal.SIGTERM, signal.SIGINT),
        ):
            parent = await self.stalled()
            pid = parent.agent_pid
            parent.signal_agent(first)
            await self.said(parent, "Stopping: got", "I")
            parent.signal_agent(second)
            await pause(1)
            self.assertTrue(is_alive(pid), "one request sent twice is one")
            began_s = time.monotonic()
            parent.signal_agent(second)
            await until(lambda pid=pid: not is_alive(pid), "its end", 1)
            self.assertLess(time.monotonic() - began_s, 0.5)
            await self.said(parent, "A second request to stop", "E")
            await until(lambda parent=parent: parent.exits, "the exit")
            self.assertEqual(parent.exits, [0])

    async def test_a_hup_during_the_stop_is_ignored(self) -> None:
        """The stop goes on, and no module is started again."""
        parent = await self.stalled()
        parent.signal_agent(signal.SIGTERM)
        await self.said(parent, "Stopping: got", "I")
        parent.signal_agent(signal.SIGHUP)
        await pause(0.3)
        parent.thaw()
        await until(lambda: parent.exits, "the exit")
        self.assertEqual(parent.exits, [0])
        self.assertEqual(len(self.lines_with(parent, "[probe] Started.")), 1)

    async def stalled(self) -> Any:
        """Return an agent with more to write than the pipe holds, and no one who reads."""
        self.configure(self.probe("flood", 'drain_timeout = "10s"'))
        parent = await self.start(restart_delay_s=60)
        parent.freeze()
        await pause(0.5)
        return parent


class TwistdSignalTests(SignalTests):
    """Under twistd."""

    command = "twistd"
    not_before_the_handlers = ("twisted.internet.reactor", "attrs", "metrics_agent.config")


def handles_hup(pid: int) -> bool:
    """Return whether a process has a handler for SIGHUP."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as status:  # noqa: PTH123
            caught = re.search(r"^SigCgt:\s*([0-9a-f]+)$", status.read(), re.MULTILINE)
    except FileNotFoundError:
        return False
    return caught is not None and bool(int(caught[1], 16) >> (signal.SIGHUP - 1) & 1)
