"""Defects of the Go agent that this one must not have; the numbers are of our list of them.

Those of its module for Tasmota are in tests/modules/tasmota/test_go_defects.py, those of the other
modules beside these. Here are those of the agent as a whole, each against the real command.
"""

from __future__ import annotations

import math
import re
import signal
from pathlib import Path
from typing import Any

from line_protocol_parser import parse_line
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.config import AgentSettings
from metrics_agent.errors import MetricRefused
from metrics_agent.line_protocol import Encoder
from metrics_agent.metric import Metric, Series
from metrics_agent.supervision.policy import RestartPolicy
from tests.integration.broker import Mosquitto
from tests.integration.load import Load
from tests.integration.mqtt_agent import MqttCase, announcement, publish
from tests.integration.watching import pause, sequences, until

HOSTILE = {"hostile": "tests.integration.hostile:MODULE"}
DEMO = '\n[modules.demo]\nenabled = true\ninterval = "50ms"\n'
AT_ONCE = (
    'failed_ticks_limit = 1\nrestart_backoff_min = "10ms"\nrestart_backoff_max = "20ms"\n'
    'self_metrics_interval = "100ms"\n'
)
ROOT = Path(__file__).absolute().parents[2]
PIPE_BYTES = 65_536
SIGHUPS = 40


class Broker(MqttCase):
    """Defects at the broker, in MQTT 3.1.1."""

    async def test_every_start_connects_and_subscribes(self) -> None:
        """B1: it subscribed before the broker had answered, so no start of ten ever worked."""
        broker = Mosquitto.start(self)
        await publish(broker, "tasmota/discovery/A4CF12C0FFEE/config", announcement("plug"), "-r")
        parent = await self.run_at(broker)
        for times in range(1, 6):
            await self.said(parent, "Discovered device plug", times=times)
            await publish(broker, "tele/plug/SENSOR", b'{"ENERGY":{"Power":%d}}' % times)
            await self.values(parent, range(1, times + 1))
            await parent.stop()
            parent.start()
        self.assertEqual([said for said in parent.log if said.level in "WE"], [])

    async def test_failed_attempts_leave_no_client_behind(self) -> None:
        """B2: each failed attempt left a client that reconnected, and they threw each other out."""
        broker = Mosquitto.start(self, users={"anna": "other"})
        parent = await self.run_at(broker, username="anna", password="word")
        await until(lambda: broker.log.count("not authorised") > 3, "several attempts")
        broker.set_users({"anna": "word"})
        broker.reload()
        await self.connected(parent)
        await pause(1.5)
        self.assertEqual(broker.log.count("New client connected"), 1)
        self.assertNotIn("already connected", broker.log)

    async def test_a_stop_waits_for_modules_and_output(self) -> None:
        """B4: a stop returned at once: what was queued was dropped, no DISCONNECT was sent."""
        broker = Mosquitto.start(self)
        load = await Load.connect(self, broker.port)
        parent = await self.run_at(broker, qos=0)
        await self.subscribed(parent, load)
        parent.freeze()
        load.send(2_000)
        delivered = await load.barrier()
        parent.signal_agent(signal.SIGTERM)
        await pause(0.3)
        parent.thaw()
        await until(lambda: parent.exits, "the exit")
        self.assert_complete(sequences(parent.lines()), delivered)
        self.assertIn("Received DISCONNECT from agent", broker.log)

    async def test_reloads_leave_no_module_and_no_client_behind(self) -> None:
        """B5, B42: new modules ran beside the old ones; 40 SIGHUPs were two data races.

        Here nothing is lost, nothing is reported but the reloads, and the broker sees one client.
        """
        broker = Mosquitto.start(self)
        load = await Load.connect(self, broker.port, rate=300)
        parent = await self.run_at(broker, more=DEMO, qos=0)
        await self.subscribed(parent, load)
        load.start()
        for _ in range(SIGHUPS):
            parent.signal_agent(signal.SIGHUP)
            await pause(0.05)
        load.stop()
        await self.received(parent, await load.barrier())
        self.assert_complete(sequences(parent.lines()), load.sent)
        self.assertEqual(broker.log.count("New client connected"), 2, "the load and the agent")
        self.assertEqual([said for said in parent.log if said.level in "WE"], [])
        await pause(0.5)
        before = parent.output.count(b"\ndemo,")
        await pause(1)
        self.assertLess(parent.output.count(b"\ndemo,") - before, 30, "one module demo, not more")

    async def test_a_wrong_setting_is_no_default(self) -> None:
        """B19: a fault in the settings was swallowed, and localhost:1883 taken instead."""
        for wrong in ("broker = 5", 'broker = "localhost:0"', "brokr = 'localhost'"):
            self.configure(f"[modules.tasmota]\nenabled = true\n{wrong}\n")
            parent = self.parent(restart_delay_s=60)
            parent.start()
            await until(lambda parent=parent: parent.exits, "the exit")
            self.assertEqual(parent.exits, [78])
            self.assertTrue(self.lines_with(parent, "modules.tasmota.bro", "E"), wrong)
            self.assertEqual(self.connection_lines(parent), [])


class Modules(MqttCase):
    """Defects in the life of modules."""

    async def test_a_module_that_gives_up_is_told(self) -> None:
        """B3: "exiting program" ended one goroutine; the rest ran on without end without a word."""
        self.configure(self.probe("raise", AT_ONCE, "10ms") + DEMO)
        parent = await self.start()
        await self.said(parent, "[probe] Parked after too many restarts", "E")
        await until(lambda: latest(parent, "probe").get("state_text") == "parked", "the state")
        before = parent.output.count(b"\ndemo,")
        await until(lambda: parent.output.count(b"\ndemo,") > before + 5, "the other module")
        self.assertEqual(parent.exits, [])

    async def test_giving_up_can_end_the_process(self) -> None:
        """B3: what the README promised, an exit, is there for who wants it."""
        self.configure(self.probe("raise", f'{AT_ONCE}on_give_up = "exit"', "10ms") + DEMO)
        parent = self.parent(restart_delay_s=60)
        parent.start()
        await until(lambda: parent.exits, "the exit")
        self.assertEqual(parent.exits, [1])

    async def test_a_reload_reads_global_settings(self) -> None:
        """B6: SIGHUP ignored enabled, the restart limit, the log level and new modules."""
        self.configure(self.probe("count"))
        parent = await self.start()
        self.assertEqual(self.lines_with(parent, "", "D"), [])
        self.configure('log_level = "debug"\n' + self.probe("log") + DEMO)
        parent.signal_agent(signal.SIGHUP)
        await self.said(parent, "This is for debug.", "D")
        await until(lambda: b"\ndemo," in parent.output, "the new module")
        self.configure(DEMO)
        parent.signal_agent(signal.SIGHUP)
        await self.said(parent, "modules demo restarted")
        self.assertTrue(self.lines_with(parent, "[probe] Stopped"))

    async def test_the_default_limit_is_the_documented_one(self) -> None:
        """B7: without the key the limit was 0, which meant any number of restarts."""
        self.assertEqual(AgentSettings().module_restart_limit, 3)
        self.configure(self.probe("raise", AT_ONCE, "10ms") + DEMO)
        parent = await self.start()
        await self.said(parent, "[probe] Parked", "E")
        self.assertEqual(
            [said.text.split(" in ")[0] for said in self.lines_with(parent, "[probe] Restart")],
            ["[probe] Restart 1", "[probe] Restart 2", "[probe] Restart 3"],
        )

    async def test_exit_codes(self) -> None:
        """B9: total failure and "no modules enabled" both exited with 0, a restart loop."""
        self.configure(self.probe("fail_to_start", AT_ONCE))
        failing = self.parent(restart_delay_s=60)
        failing.start()
        await until(lambda: failing.exits, "the exit")
        self.assertEqual(failing.exits, [1])
        self.configure("[modules.demo]\nenabled = false\n")
        idle = self.parent(restart_delay_s=60)
        idle.start()
        await self.said(idle, "No module is enabled", "W")
        await pause(1)
        self.assertEqual(idle.exits, [])

    async def test_what_cannot_be_written_ends_no_output(self) -> None:
        """B10: a panic while writing ended all output without end, the process looked healthy."""
        self.configure(f"{AT_ONCE}[modules.hostile]\nenabled = true\n{DEMO}")
        parent = await self.start(modules=HOSTILE)
        for text in (b'hostile value="ok"', b"\ndemo,"):
            await until(
                lambda text=text: parent.output.count(text) > 20, lambda text=text: f"{text!r}"
            )
        self.assert_valid(parent)
        await until(lambda: latest(parent, "hostile").get("errors", 0) > 10, "the count of errors")


class Process(MqttCase):
    """Defects of the process."""

    async def test_a_fault_at_a_signal_ends_no_signals(self) -> None:
        """B11: a panic at a signal ended the goroutine for signals, the next one did nothing."""
        self.configure(DEMO)
        parent = await self.start()
        for times, broken in enumerate(("[[[", '[modules.demo]\nenabled = "maybe"\n'), 1):
            self.config_path.write_text(broken)
            parent.signal_agent(signal.SIGHUP)
            await self.said(parent, "Reload rejected", "E", times)
        self.configure(DEMO)
        parent.signal_agent(signal.SIGHUP)
        await self.said(parent, "modules demo restarted", "I")
        parent.signal_agent(signal.SIGTERM)
        await until(lambda: parent.exits, "the exit")
        self.assertEqual(parent.exits, [0])

    async def test_stdin_is_read(self) -> None:
        """B12: it never was: a stop took 5 s and a SIGTERM, 65,536 newlines filled the pipe."""
        self.configure(DEMO)
        parent = await self.start()
        parent.write_stdin(b"\n" * (2 * PIPE_BYTES))
        await until(parent.stdin_is_empty, "stdin to be read")
        await until(lambda: b"\ndemo," in parent.output, "metrics")
        self.assertLess(await parent.stop(), 3)
        self.assertTrue(self.lines_with(parent, "Stopping: stdin was closed."))
        self.assertEqual(parent.exits, [0])

    async def test_the_log_speaks_telegrafs_language(self) -> None:
        """B38, B39: no line had a level for Telegraf, and a clean stop was logged as an error."""
        self.configure('log_level = "debug"\n' + self.probe("count"))
        parent = await self.start()
        await parent.stop()
        self.assertGreater(len(parent.log), 3)
        self.assertEqual(self.lines_with(parent, "stderr:"), [], "a line without a level")
        self.assertEqual([said for said in parent.log if said.level in "WE"], [])

    async def test_a_signal_during_the_start(self) -> None:
        """B40: a SIGHUP before the handler was there killed the process.

        Before the interpreter has come to our first line nothing can be done; as soon as the
        handler can be seen in /proc a SIGHUP is survived, long before the agent is there.
        """
        self.configure(DEMO)
        parent = self.parent(restart_delay_s=60)
        parent.start()
        await until(lambda: handles_hup(parent.agent_pid), "the handler")
        self.assertEqual(parent.log, [], "that was not early")
        parent.signal_agent(signal.SIGHUP)
        await until(lambda: parent.output.count(b"\ndemo,") > 3, "metrics")
        self.assertEqual(parent.exits, [])


class Installing(SynchronousTestCase):
    """Defects of what is shipped."""

    def test_nothing_is_piped_into_a_shell(self) -> None:
        """B41: the way to install was `curl | sudo sh`, and a binary stood in the repository."""
        files = [
            path
            for folder in (ROOT / "deploy", ROOT / "docs")
            for path in folder.rglob("*")
            if path.is_file()
        ]
        self.assertTrue(files, f"there is nothing to look at in {ROOT}")
        for path in [*files, ROOT / "README.md"]:
            text = path.read_bytes()
            if text.startswith(b"\x89PNG"):
                continue
            self.assertNotIn(b"\0", text, f"{path} is a binary")
            self.assertNotRegex(text, rb"(curl|wget)[^\n]*\|\s*(sudo\s+)?(ba|da)?sh", str(path))


class Restarting(SynchronousTestCase):
    """The restart limit."""

    def test_the_limit_counts_within_a_window(self) -> None:
        """B8: restarts were counted for the life of the process, and the limit was off by one."""
        policy = RestartPolicy(
            limit=3,
            window_s=300,
            backoff_min_s=1,
            backoff_max_s=60,
            park_s=600,
            random=lambda: 0.5,
        )
        for failure in range(100):
            self.assertFalse(policy.failed(failure * 301.0).parked, "a hiccup now and then")
        verdicts = [policy.failed(100_000 + second) for second in range(4)]
        self.assertEqual([verdict.restart for verdict in verdicts], [1, 2, 3, 0])
        self.assertEqual([verdict.parked for verdict in verdicts], [False] * 3 + [True])


class Lines(SynchronousTestCase):
    """Defects of the lines themselves; an independent parser is the judge."""

    def encode(self, tags: dict[str, str], fields: dict[str, Any]) -> Any:
        line = Encoder().encode(Metric(Series("m", {"device": "d", **tags}), fields, 1)).decode()
        self.assertEqual(line.count("\n"), 1, "one line")
        return parse_line(line)

    def test_a_backslash_ends_no_text(self) -> None:
        r"""B34: ``C:\`` was written as an unterminated text that swallowed the lines after it."""
        self.assertEqual(self.encode({}, {"v": "C:\\"})["fields"], {"v": "C:\\"})
        self.assertEqual(self.encode({}, {"v": 'a"b\\'})["fields"], {"v": 'a"b\\'})

    def test_tags_break_no_line(self) -> None:
        """B35: a newline began another line, a backslash ate the separator, "" killed the line."""
        point = self.encode({"a": "x\ny,z=1 1\n", "b": "end\\", "c": ""}, {"v": 1.0})
        self.assertEqual(point["measurement"], "m")
        self.assertEqual(set(point["tags"]), {"a", "b", "device"})
        self.assertEqual((point["tags"]["device"], point["fields"]), ("d", {"v": 1.0}))

    def test_small_numbers_stay_and_no_number_is_none(self) -> None:
        """B36: 1e-7 became 0.000000, and NaN and infinities were written."""
        fields = {"tiny": 1e-7, "nan": math.nan, "inf": math.inf, "minus": -math.inf}
        self.assertEqual(self.encode({}, fields)["fields"], {"tiny": 1e-7})
        self.assertRaises(MetricRefused, self.encode, {}, {"nan": math.nan})

    def test_numbers_are_numbers(self) -> None:
        """B37: an unsigned number became the text "5", null and arrays became texts too."""
        self.assertEqual(self.encode({}, {"v": 5})["fields"], {"v": 5})
        for value in (None, [1, 2], {"a": 1}, 2**64):
            with self.subTest(value=value):
                try:
                    fields = self.encode({}, {"v": value, "ok": 1.0})["fields"]
                except MetricRefused:
                    continue
                self.assertEqual(fields, {"ok": 1.0})


def latest(parent: Any, module: str) -> dict[str, Any]:
    """Return the latest of the self-metrics of a module; empty if there is none yet."""
    start = f"metrics_agent,module={module} ".encode()
    rows = [line for line in parent.lines() if line.startswith(start)]
    return parse_line(rows[-1])["fields"] if rows else {}


def handles_hup(pid: int) -> bool:
    """Return whether a process has a handler for SIGHUP."""
    try:
        status = Path(f"/proc/{pid}/status").read_text("ascii")
    except OSError:
        return False
    caught = int(re.search(r"SigCgt:\s*(\w+)", status)[1], 16)
    return bool(caught >> (signal.SIGHUP - 1) & 1)
