"""The contract with the parent process, under the harness and under the real Telegraf."""

from __future__ import annotations

import signal

from line_protocol_parser import parse_line
from twisted.internet.defer import ensureDeferred

from tests.integration import probe
from tests.integration.broker import Mosquitto
from tests.integration.case import CLIENT_ID, QUIET, AgentCase, OnTelegraf
from tests.integration.load import Load
from tests.integration.watching import is_alive, pause, sequences, until

BACKLOG = 3000
"""Messages that make 250 KiB on the socket; a read takes 64."""

NO_SELF_METRICS = 'self_metrics_interval = "0s"'


class Contract:
    """What holds whoever the parent is."""

    async def test_metrics_arrive_intact(self) -> None:
        """Tags, fields, types and timestamps are those that the module gave."""
        self.configure(self.probe("table", NO_SELF_METRICS))
        parent = await self.start()
        await until(lambda: len(parent.lines()) == len(probe.TABLE), "the table", 10)
        found = {line["measurement"]: line for line in map(parse_line, parent.lines())}
        for metric in probe.TABLE:
            line = found[metric.series.measurement]
            self.assertEqual(line["tags"], dict(metric.series.tags))
            self.assertEqual(line["fields"], dict(metric.fields))
            types = {name: type(value) for name, value in metric.fields.items()}
            self.assertEqual({name: type(value) for name, value in line["fields"].items()}, types)
            self.assertEqual(line["time"], metric.time_ns)

    async def test_log_lines_arrive_at_their_level(self) -> None:
        """Each line of the log has its level at the parent, and says which module it is of."""
        self.configure(self.probe("log", 'log_level = "debug"'))
        parent = await self.start()
        await self.said(parent, "This is for error.")
        self.assertEqual(
            [
                (said.level, said.text.removeprefix("[inputs.execd] "))
                for said in self.lines_with(parent, "This is for")
            ],
            [
                ("D", "[probe] This is for debug."),
                ("I", "[probe] This is for info."),
                ("W", "[probe] This is for warn."),
                ("E", "[probe] This is for error."),
            ],
        )

    async def test_a_traceback_arrives_at_debug(self) -> None:
        """A fault is one error line; its traceback is debug lines, each of them."""
        self.configure(self.probe("raise", 'log_level = "debug"'))
        parent = await self.start()
        await self.said(parent, "RuntimeError: tick 1 failed on purpose", "D")
        traceback = [said for said in parent.log if "tick 1 failed" in said.text]
        self.assertEqual([said.level for said in traceback], ["E", "D"])
        self.assertTrue(self.lines_with(parent, "Traceback (most recent call last)", "D"))
        self.assertTrue(self.lines_with(parent, "in _raise", "D"))
        self.assertEqual(self.lines_with(parent, "stderr:"), [], "a line without a prefix")

    async def test_stop_under_load(self) -> None:
        """The parent stops: gone in 5 s, no hole, and all that the broker had delivered."""
        broker = Mosquitto.start(self, settings=QUIET)
        load = await Load.connect(self, broker.port, rate=1500)
        self.configure(self.tasmota(broker, qos=0))
        parent = await self.start()
        await self.subscribed(parent, load)
        load.start()
        await pause(1)
        # There shall be more in its socket, when the stop begins, than it reads at once.
        parent.signal_agent(signal.SIGSTOP)
        await pause(0.1)
        load.send(BACKLOG)
        delivered = await load.barrier()
        stopping = ensureDeferred(parent.stop())
        await pause(0.2)
        parent.signal_agent(signal.SIGCONT)
        took_s = await stopping
        load.stop()
        self.assertLess(took_s, 5)
        self.assert_complete(sequences(parent.lines()), delivered)
        self.assertGreater(min(delivered.values()), 50, "that was no load")

    async def test_sigterm_to_the_agent_alone(self) -> None:
        """The agent stops in order, exits with 0, and is back after the delay."""
        broker = Mosquitto.start(self, settings=QUIET)
        load = await Load.connect(self, broker.port, rate=1000)
        self.configure(self.tasmota(broker, qos=0))
        parent = await self.start()
        await self.subscribed(parent, load)
        load.start()
        await pause(1)
        parent.signal_agent(signal.SIGSTOP)
        await pause(0.1)
        load.send(BACKLOG)
        delivered = await load.barrier()
        parent.signal_agent(signal.SIGTERM)
        parent.signal_agent(signal.SIGCONT)
        await self.said(parent, "Stopping: got SIGTERM.")
        await until(lambda: parent.exits, "the exit")
        self.assertEqual(parent.exits, [0])
        load.stop()
        await self.received(parent, delivered, 10)
        self.assert_complete(sequences(parent.lines()), delivered)
        self.assertTrue(self.lines_with(parent, "metrics written, none lost", "I"))
        await self.subscribed(parent, load, 2)
        self.assertEqual(parent.starts, 2)
        load.send(100)
        await self.received(parent, load.sent)

    async def test_killed_at_qos_1(self) -> None:
        """With -9 under load: back after the delay, and nothing is lost at QoS 1."""
        broker = Mosquitto.start(self, settings=[*QUIET, "max_queued_messages 0"])
        load = await Load.connect(self, broker.port, rate=1000, qos=1)
        self.configure(self.tasmota(broker))
        parent = await self.start()
        await self.subscribed(parent, load)
        load.start()
        for round_ in (1, 2):
            await pause(1)
            parent.signal_agent(signal.SIGKILL)
            await until(lambda round_=round_: len(parent.exits) == round_, "the exit")
            await self.subscribed(parent, load, 1 + round_)
        await pause(0.5)
        load.stop()
        await self.received(parent, load.sent)
        self.assertEqual(parent.exits, [-signal.SIGKILL] * 2)
        self.assert_nothing_lost(sequences(parent.lines()), load.sent)

    async def test_no_orphan(self) -> None:
        """When the parent is killed with -9 the agent ends, in order, by itself."""
        self.configure(self.probe("count"))
        parent = await self.start()
        pid = parent.agent_pid
        parent.kill()
        await until(lambda: not is_alive(pid), "the agent's end", 10)

    async def test_every_module_parked(self) -> None:
        """No module can run any more: exit status 1, and back after the delay."""
        self.configure(
            self.probe(
                "fail_to_start",
                'module_restart_limit = 1\nrestart_backoff_min = "10ms"\npark_interval = "10m"',
            )
        )
        parent = self.parent()
        parent.start()
        await until(lambda: parent.exits == [1], lambda: f"exit status 1, not {parent.exits}")
        self.assertTrue(self.lines_with(parent, "Stopping: no enabled module can run", "I"))
        await until(lambda: parent.starts == 2, "the restart")

    async def test_reload_under_load_at_qos_0(self) -> None:
        """SIGHUP loses no message at QoS 0, and the parent sees no restart."""
        await self.reload_under_load(qos=0)

    async def test_reload_under_load_at_qos_1(self) -> None:
        """SIGHUP loses no message at QoS 1, and the parent sees no restart."""
        await self.reload_under_load(qos=1)

    async def reload_under_load(self, qos: int) -> None:
        broker = Mosquitto.start(self, settings=[*QUIET, "max_queued_messages 0"])
        load = await Load.connect(self, broker.port, rate=1000, qos=qos)
        self.configure(self.tasmota(broker, qos=qos))
        parent = await self.start()
        pid = parent.agent_pid
        await self.subscribed(parent, load)
        load.start()
        for count in range(1, 6):
            await pause(0.2)
            parent.signal_agent(signal.SIGHUP)
            await self.said(parent, "modules tasmota restarted", "I", times=count)
        load.stop()
        await self.received(parent, load.sent)
        self.assert_complete(sequences(parent.lines()), load.sent)
        self.assertEqual((parent.starts, parent.exits, parent.agent_pid), (1, [], pid))
        self.assertEqual(broker.ended_connections(CLIENT_ID), 0)


class HarnessContractTests(Contract, AgentCase):
    """Under the harness."""


class TwistdContractTests(Contract, AgentCase):
    """The harness again, with the agent under twistd."""

    command = "twistd"


class TelegrafContractTests(OnTelegraf, Contract, AgentCase):
    """Under Telegraf."""
