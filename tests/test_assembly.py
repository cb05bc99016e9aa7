"""The parts put together: real ones, on a reactor of memory, writing to a file."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Any

from line_protocol_parser import parse_line
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.agent import Agent
from metrics_agent.assembly import assemble
from metrics_agent.catalogue import DEMO as DEMO_MEASUREMENT
from metrics_agent.catalogue import METRICS_AGENT
from metrics_agent.config import AgentConfig, load
from metrics_agent.errors import ConfigError
from metrics_agent.logs.logger import ModuleLogger, make_logger
from metrics_agent.logs.observer import StderrObserver
from metrics_agent.modules import find_kind, known_kinds
from metrics_agent.plan import build
from metrics_agent.platform import Platform
from metrics_agent.process.boot import Process
from metrics_agent.supervision.lifecycle import State
from tests.agent_case import FakeExit
from tests.logs.fakes import FakeTarget
from tests.status.fakes import FakeSockets

DEMO = '[modules.demo]\nenabled = true\ninterval = "10s"\n'
TASMOTA = '[modules.tasmota]\nenabled = true\nbroker = "tcp://127.0.0.1:1883"\n'
OPENDTU = '[modules.opendtu]\nenabled = true\nmqtt = { broker = "tcp://127.0.0.1:1884" }\n'
BAD = '[modules."demo:bad"]\nenabled = true\ninterval = "soon"\n'


class FakeProcess(Process):
    """A process whose fd 1 is a file and whose end is only noted."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.exit_status = FakeExit()  # type: ignore[assignment]  # a fake
        self._path = path
        self.problem = ""

    @property
    def stdout_problem(self) -> str:
        return self.problem

    def freeze_heap(self) -> None:
        """Leave the heap to the other tests."""

    def stdout(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)


class AssemblyReactor(MemoryReactorClock):
    """Runs from the beginning."""

    def __init__(self) -> None:
        super().__init__()
        self.running = True
        self.stops = 0

    def callWhenRunning(self, call: Any, *args: Any, **named: Any) -> None:
        call(*args, **named)

    def callFromThread(self, call: Any, *args: Any) -> None:
        self.callLater(0, call, *args)

    def stop(self) -> None:
        self.stops += 1


class AssemblyCase(SynchronousTestCase):
    """Makes agents of configuration files; when one has stopped no timer may be left."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()
        self.output = self.directory / "output.lp"
        self.reactor = AssemblyReactor()
        self.process = FakeProcess(self.output)
        self.target = FakeTarget()
        self.observer = StderrObserver(
            format="telegraf", target=self.target, clock=self.reactor.seconds
        )
        reader, self.stdin = os.pipe()
        self.addCleanup(os.close, reader)
        self.addCleanup(self.close_stdin)
        self.patch(self.process.signals, "install_early", lambda: None)
        environ = {"HOME": str(self.directory), "STATE_DIRECTORY": str(self.directory / "state")}
        self.sockets = FakeSockets()
        self.platform = Platform(
            environ=environ,
            listen=self.sockets.listen,
            make_logger=self.logger,
            stdin=reader,
        )

    def close_stdin(self) -> None:
        if self.stdin >= 0:
            os.close(self.stdin)
            self.stdin = -1

    def logger(self, module: str = "agent") -> ModuleLogger:
        return make_logger(module, self.observer)

    def write(self, text: str, **settings: str) -> None:
        """Write the configuration; the watchdog, which needs threads, is off."""
        table = {"watchdog_dump": '"0s"', "watchdog_exit": '"0s"', **settings}
        lines = "".join(f"{key} = {value}\n" for key, value in table.items())
        (self.directory / "agent.toml").write_text(lines + text, "utf-8")

    def load(self) -> AgentConfig:
        return load(self.directory / "agent.toml", find_kind, known_kinds)

    def make(self, text: str, **settings: str) -> Agent:
        self.write(text, **settings)
        self.addCleanup(gc.unfreeze)
        plan = build(self.load())
        agent = assemble(
            self.process, self.reactor, plan, self.load, self.observer, platform=self.platform
        )
        self.addCleanup(self.end, agent)
        return agent

    def started(self, text: str, **settings: str) -> Agent:
        agent = self.make(text, **settings)
        agent.startService()
        self.reactor.pump([0, 0.1, 0.1])
        return agent

    def end(self, agent: Agent) -> None:
        stopped = agent.stopService()
        self.reactor.pump([0.1] * 60)
        self.successResultOf(stopped)
        self.observer.close()
        left = [str(call) for call in self.reactor.getDelayedCalls()]
        self.assertEqual((left, self.reactor.getReaders()), ([], []))

    def reload(self, agent: Agent, text: str, **settings: str) -> None:
        self.write(text, **settings)
        agent.request_reload()
        self.reactor.pump([0, 0.1, 0.1])

    def lines(self) -> list[str]:
        return self.output.read_text("utf-8").splitlines()

    def rows(self, module: str) -> list[str]:
        """Return the rows of the self-metrics of a module."""
        return [line for line in self.lines() if line.startswith(f"metrics_agent,module={module} ")]


class RunTests(AssemblyCase):
    """From the file of settings to the file of lines."""

    def test_metrics(self) -> None:
        """What a module gives is written; at the end all of it, and nothing but lines."""
        agent = self.started(DEMO)
        self.reactor.pump([10, 10])
        self.end(agent)
        sequence = [line.split("sequence=")[1].split(",")[0] for line in self.lines()]
        self.assertEqual(sequence, ["1i", "2i", "3i"])
        self.assertIn("Stopped: 3 metrics written, none lost.", self.target.lines[-1])

    def test_log(self) -> None:
        """Start and stop are reported, each line with its module."""
        self.end(self.started(DEMO + BAD))
        logged = "\n".join(self.target.lines)
        self.assertIn(
            f"I! [agent] Started with modules demo ({self.directory / 'agent.toml'}).", logged
        )
        self.assertIn("I! [demo] Started.", logged)
        self.assertIn("E! [agent] Module demo:bad not started", logged)
        self.assertIn("I! [demo] Stopped, and cleaned up: 1 timer.", logged)

    def test_wrong_output(self) -> None:
        """An output that cannot be used is found out before anything is made."""
        with self.assertRaises(ConfigError):
            self.make(DEMO, output='"carrier:pigeon"')
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_stdout_that_takes_nothing(self) -> None:
        """It is refused as a wrong setting, but where the output is another."""
        self.process.problem = "stdout is closed"
        with self.assertRaisesRegex(ConfigError, 'output: got "stdout", but stdout is closed'):
            self.make(DEMO, output='"stdout"')
        self.end(self.started(DEMO, output=f'"{self.directory}/lines.lp"'))

    def test_settings_of_supervision(self) -> None:
        """Limits and times are those of the file, from the first failure on."""
        text = DEMO.replace("10s", "1s") + f'trigger_file = "{self.directory}/trigger"\n'
        (self.directory / "trigger").touch()
        agent = self.started(
            text,
            failed_ticks_limit="2",
            module_restart_limit="1",
            restart_backoff_min='"2s"',
            park_interval='"20s"',
            on_give_up='"exit"',
        )
        self.reactor.pump([1, 0, 0])
        (supervisor,) = agent.supervisors
        self.assertIs(supervisor.state, State.BACKING_OFF)
        self.reactor.pump([2, 0, 1, 0, 0])
        self.assertIs(supervisor.state, State.PARKED)
        self.assertEqual((self.reactor.stops, int(self.process.exit_status.code)), (1, 1))


class EndTests(AssemblyCase):
    """What asks the agent to stop."""

    def stopped_by(self, agent: Agent) -> str:
        self.assertEqual((agent.stopping, self.reactor.stops), (True, 1))
        (line,) = [line for line in self.target.lines if "Stopping: " in line]
        return line.partition("Stopping: ")[2]

    def test_stdin(self) -> None:
        """The end of stdin."""
        agent = self.started(DEMO)
        self.close_stdin()
        (watch,) = self.reactor.getReaders()
        watch.doRead()
        self.assertEqual(self.stopped_by(agent), "stdin was closed.")

    def test_signals(self) -> None:
        """SIGTERM, by its name; SIGHUP reloads."""
        agent = self.started(DEMO)
        self.process.signals._handle(1, None)
        self.reactor.pump([0, 0.1, 0.1])
        self.assertEqual(agent.reloads, 1)
        self.process.signals._handle(15, None)
        self.reactor.advance(0)
        self.assertEqual(self.stopped_by(agent), "got SIGTERM.")

    def test_reader_gone(self) -> None:
        """A reader that is gone for good."""
        agent = self.started(DEMO)
        agent._parts.sink.lost("nobody reads stdout")
        self.reactor.advance(0)
        self.assertEqual(self.stopped_by(agent), "nobody reads stdout.")


class ReloadTests(AssemblyCase):
    """What a reload changes, and what it cannot."""

    def test_read_at_the_start_only(self) -> None:
        """Settings that a reload cannot change are reported by name, as long as they differ."""
        agent = self.started(DEMO)
        self.reload(agent, DEMO, queue_limit='"32MiB"', instance='"two"', log_level='"info"')
        logged = [line for line in self.target.take() if "take effect at the next start" in line]
        self.assertEqual(len(logged), 1)
        self.assertIn("process: queue_limit, instance.", logged[0])
        self.reload(agent, DEMO)
        self.assertNotIn("at the next start", "\n".join(self.target.take()))

    def test_log_levels(self) -> None:
        """Levels, of all and of one module, are in force from the start and from a reload on."""
        agent = self.started(DEMO + 'log_level = "debug"\n', log_level='"error"')
        self.logger("demo").debug("of demo")
        self.logger().warn("of the agent")
        self.assertEqual(
            [line[3:] for line in self.target.take()], ["[demo] Started.", "[demo] of demo"]
        )
        self.reload(agent, DEMO, log_level='"warn"', log_format='"journald"')
        self.target.take()
        self.logger("demo").info("of demo")
        self.logger().warn("of the agent")
        self.assertEqual(self.target.take(), ["<4>[agent] of the agent"])

    def test_warnings(self) -> None:
        """What is odd in the file is reported at the start and at a reload."""
        off = "[modules.demo]\nenabled = false\ninterval = 'soon'\n"
        agent = self.started(off)
        self.assertIn("agent.toml:5: modules.demo.interval", "\n".join(self.target.take()))
        self.reload(agent, DEMO)
        self.assertNotIn("W! ", "\n".join(self.target.take()))

    def test_counters_stay(self) -> None:
        """What was counted of a module goes on from where it was."""
        agent = self.started(DEMO, self_metrics_interval='"5s"')
        self.reactor.pump([10, 1])
        self.reload(agent, DEMO, self_metrics_interval='"5s"')
        self.reactor.pump([5, 5, 5])
        counts = [int(row.split(",metrics=")[1].split("i")[0]) for row in self.rows("demo")]
        self.assertEqual(counts, sorted(counts))
        self.assertGreaterEqual(counts[-1], 4)
        self.assertIn("reloads=1i", self.rows("agent")[-1])

    def test_self_metrics(self) -> None:
        """Their interval follows a reload at once, off and on."""
        agent = self.started(DEMO)
        self.reload(agent, DEMO, self_metrics_interval='"0s"')
        self.reactor.pump([60, 60])
        self.assertEqual(self.rows("agent"), [])
        self.reload(agent, DEMO, self_metrics_interval='"20s"')
        self.reactor.pump([20, 1])
        self.assertEqual(len(self.rows("agent")), 1)


class SelfMetricsTests(AssemblyCase):
    """The rows of the whole."""

    def test_rows(self) -> None:
        """The agent, each module, wrong ones too, and the connection to a broker."""
        self.started(DEMO + BAD + TASMOTA, self_metrics_interval='"5s"')
        self.reactor.pump([5, 1])
        modules = [row.split(" ")[0].split("module=")[1] for row in self.lines() if "state=" in row]
        self.assertEqual(
            modules,
            [
                *("demo", "tasmota", "demo:bad", "mqtt,module_instance=tasmota"),
                "output,output=stdout",
            ],
        )
        self.assertIn(" last_error=", self.rows("demo:bad")[0].replace(",", " "))
        self.assertIn('state=5i,state_text="config_error"', self.rows("demo:bad")[0])
        [connection] = self.connection_rows()
        self.assertIn(",broker=tcp://127.0.0.1:1883,client_id=metrics-agent-", connection)
        self.assertIn('state=3i,state_text="backing_off"', connection)
        for field in ("uptime=", "queue_bytes=", "queue_metrics=", "log_suppressed=", "left_out="):
            self.assertIn(field, self.rows("agent")[0])

    def connection_rows(self) -> list[str]:
        """Return the rows of MQTT connections."""
        return [line for line in self.lines() if ",module=mqtt," in line]

    def test_a_row_for_each_connection(self) -> None:
        """Two connections to one broker are two rows, and a token in an address is in neither."""
        first = TASMOTA.replace("tcp://127.0.0.1:1883", "ws://127.0.0.1/mqtt?token=hidden")
        second = first.replace("[modules.tasmota]", '[modules."tasmota:b"]\nusername = "anna"')
        agent = self.started(first + second, self_metrics_interval='"5s"')
        ours, other = agent._parts.connections.all()
        ours._intake._count("oversized", 3)
        self.reactor.pump([5, 1])
        rows = self.connection_rows()
        self.assertEqual(len(rows), 2)
        self.assertNotIn("hidden", "".join(rows))
        for row, connection, dropped in zip(rows, (ours, other), (3, 0), strict=True):
            self.assertIn(f"broker=ws://127.0.0.1:80/mqtt,client_id={connection.client_id},", row)
            self.assertIn(f" dropped={dropped}i,", row)

    def test_every_field_of_the_catalogue_is_written(self) -> None:
        """As far as it is the agent's own; those of modules are in their golden cases."""
        trigger = self.directory / "trigger"
        trigger.touch()
        wave = '[modules."demo:b"]\nenabled = true\n'
        faulty = DEMO + f'trigger_file = "{trigger}"\n'
        agent = self.started(faulty + wave + TASMOTA, self_metrics_interval='"20s"')
        agent._parts.connections.all()[0]._intake._count("oversized", 1)
        self.reactor.pump([10, 10, 1])
        written: dict[str, set[str]] = {}
        for line in filter(None, map(parse_line, self.lines())):
            written.setdefault(line["measurement"], set()).update(line["fields"])
        for measurement in (METRICS_AGENT, DEMO_MEASUREMENT):
            for field in measurement.fields:
                seen = any(field.covers(name) for name in written[measurement.name])
                self.assertEqual(seen, field.written, field.name)

    def test_dropped_by_the_queue(self) -> None:
        """What the full queue dropped is counted at the agent, once."""
        agent = self.started(DEMO, self_metrics_interval='"5s"')
        agent._parts.sink._dropped["queue_full"] = 3
        self.reactor.pump([5, 5, 1])
        for row in self.rows("agent"):
            self.assertIn("dropped=3i,dropped_queue_full=3i", row)

    def test_none_once_a_stop_was_asked_for(self) -> None:
        """After the drain no one reads them: they would count as lost."""
        agent = self.started(DEMO, self_metrics_interval='"5s"')
        agent.request_stop("test")
        self.reactor.pump([5, 1])
        self.assertEqual(self.rows("agent"), [])


class ConnectionTests(AssemblyCase):
    """Connections to brokers, as far as they hang on the other parts."""

    def paused(self, agent: Agent) -> set[str]:
        (connection,) = agent._parts.connections.all()
        return connection._pause_reasons

    def test_pressure(self) -> None:
        """A full queue stops reading, an emptier one lets it go on."""
        agent = self.started(TASMOTA)
        press = agent._parts.sink._on_pressure
        press(True)
        self.assertEqual(self.paused(agent), {"pressure"})
        press(False)
        self.assertEqual(self.paused(agent), set())

    def test_a_module_that_fails(self) -> None:
        """It is read for while it runs; when it is parked its connection ends, and comes back."""
        agent = self.started(
            TASMOTA + OPENDTU, module_restart_limit="1", restart_backoff_min='"1s"'
        )
        connections = agent._parts.connections
        reasons: list[list[tuple[str, set[str]]]] = []

        def look() -> None:
            reasons.append([(name, set(each._pause_reasons)) for name, each in connections.named()])

        look()
        for wait_s in (1, 600):
            agent.supervisors[0]._life.context.fail(ValueError("x"))
            self.reactor.advance(0)
            look()
            self.reactor.advance(wait_s)
            look()
        other = ("opendtu", set())
        runs = [("tasmota", set()), other]
        self.assertEqual(reasons[:3], [runs, [("tasmota", {"module"}), other], runs])
        self.assertEqual(reasons[3:], [[other], [other, ("tasmota", set())]])

    def test_pressure_at_the_stop(self) -> None:
        """When it stops the queue takes what brokers have delivered, however full it is."""
        agent = self.started(TASMOTA)
        agent.request_stop("test")
        agent._parts.sink._on_pressure(True)
        self.assertEqual(self.paused(agent), set())

    def test_unwritable_state(self) -> None:
        """Where nothing can be kept all runs all the same, and that is one line."""
        (self.directory / "state").touch()
        agent = self.started(TASMOTA + OPENDTU)
        self.assertEqual(len(agent._parts.connections.all()), 2)
        self.assertEqual({each.state for each in agent.supervisors}, {State.RUNNING})
        text = "Cannot write to the state directory"
        (line,) = [line for line in self.target.lines if text in line]
        self.assertIn(f"W! [agent] {text}", line)
        self.assertIn("Set state_dir to a directory", line)

    def test_state_of_a_session(self) -> None:
        """A persistent session's file is below the state directory."""
        agent = self.started(TASMOTA)
        (connection,) = agent._parts.connections.all()
        path = connection._subscriber._state.path
        self.assertEqual(path.parent, self.directory / "state" / "mqtt")
        self.assertEqual(path.name, f"{connection.client_id}.json")

    def test_long_client_id(self) -> None:
        """A client id that no file can be named after costs nothing, nor any other module."""
        agent = self.started(TASMOTA + f'client_id = "{"x" * 300}"\n' + OPENDTU)
        first, second = agent._parts.connections.all()
        names = {each._subscriber._state.path.name for each in (first, second)}
        self.assertEqual(len(names), 2)
        self.assertLess(max(map(len, names)), 120)
        self.assertEqual({each.state for each in agent.supervisors}, {State.RUNNING})
        for connection in (first, second):
            connection._subscriber._state.write({"filters": []}, at_once=True)
        self.assertEqual(connection._subscriber._state.read(), {"filters": []})

    def test_kept_over_a_reload(self) -> None:
        """A reload that leaves the broker alone leaves its connection alone."""
        agent = self.started(TASMOTA)
        (before,) = agent._parts.connections.all()
        self.reload(agent, TASMOTA + DEMO)
        (after,) = agent._parts.connections.all()
        self.assertIs(before, after)
