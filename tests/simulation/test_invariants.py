"""The simulation's checks find the violations that they are for."""

from __future__ import annotations

import ast
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import fail
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

import metrics_agent
from metrics_agent.output.http.writer import HttpWriter
from metrics_agent.supervision.lifecycle import State
from metrics_agent.transports.mqtt.acknowledge import AckWindow
from metrics_agent.transports.mqtt.inflow import READ_AHEAD_BYTES
from metrics_agent.transports.mqtt.versions import BrokerVersions
from tests.simulation.awaiting import Awaiting, check_qos
from tests.simulation.broker import ModelBroker, Publication
from tests.simulation.broker_client import BrokerClient
from tests.simulation.broker_packets import NEVER_S, RECEIVE_MAXIMUM, Connect
from tests.simulation.clock import SimClock
from tests.simulation.descriptors import File
from tests.simulation.invariants import DOWNS, UPS, Bounds, LogPairs
from tests.simulation.ledger import BYSTANDER_S, Ledger
from tests.simulation.remembering import Remembering
from tests.simulation.steps import Steps
from tests.simulation.world import Violation, World
from tests.simulation.writing import Writing

PARKED = "Parked after too many restarts; next attempt in {seconds:g} s."
UP = "Connected to {address}."
DOWN = "Cannot connect to {subject}: {cause}. Trying again."


class LogPairsTests(SynchronousTestCase):
    """State changes are logged once down and once up."""

    def setUp(self) -> None:
        self.violations: list[str] = []
        pairs = LogPairs(self.violations.append)
        self.log = Logger(observer=pairs.take)  # type: ignore[arg-type]  # takes any event

    def down(self, cause: str) -> None:
        """Log that there is no connection."""
        self.log.warn(DOWN, subject="broker", cause=cause)

    def up(self) -> None:
        """Log that there is one."""
        self.log.info(UP, address="broker")

    def test_texts(self) -> None:
        """The texts that are looked for are logged by the agent."""
        package = Path(metrics_agent.__file__).parent
        constants = {
            node.value
            for path in package.rglob("*.py")
            for node in ast.walk(ast.parse(path.read_bytes()))
            if isinstance(node, ast.Constant)
        }
        self.assertEqual({*UPS, *DOWNS} - constants, set())

    def test_in_turn(self) -> None:
        """Each cause of an outage once, then up, is as it should be."""
        for _ in range(2):
            self.down("refused")
            self.down("silent")
            self.up()
        self.log.debug(UP, address="broker")
        self.assertEqual(self.violations, [])

    def test_up_twice(self) -> None:
        """Up without down between is a violation."""
        self.up()
        self.up()
        self.assertEqual(len(self.violations), 1)

    def test_one_cause_twice(self) -> None:
        """The same cause again within an outage is a violation."""
        self.down("refused")
        self.down("silent")
        self.down("refused")
        self.assertEqual(len(self.violations), 1)

    def test_parked_too_early(self) -> None:
        """A module is parked after three restarts within the window, or again after it was."""
        now_s = [0.0]
        pairs = LogPairs(self.violations.append, lambda: now_s[0], 10.0)
        log = Logger(observer=pairs.take)  # type: ignore[arg-type]  # takes any event

        def fails(at_s: float, restart: int) -> None:
            now_s[0] = at_s
            if restart:
                log.warn("Restart {restart} in {seconds:.1f} s.", restart=restart, seconds=1.0)
            else:
                log.error(PARKED, seconds=20)

        for at_s, restart in ((0.0, 1), (1.0, 2), (2.0, 3), (3.0, 0), (25.0, 0), (60.0, 1)):
            fails(at_s, restart)
        self.assertEqual(self.violations, [])
        fails(61.0, 0)
        self.assertEqual(self.violations, ["parked after 1 restarts within 10 s"])

    def test_the_output_works_again_without_trouble(self) -> None:
        """An output that was not lost cannot be restored."""
        self.log.info("The output works again, {count} metrics waited.", count=1)
        self.assertEqual(len(self.violations), 1)

    def test_exceptions(self) -> None:
        """An exception is a violation wherever it was contained, but for the test module's own."""
        try:
            raise ValueError("broken")  # noqa: TRY301 - it is to be caught here
        except ValueError:
            self.log.failure("contained", module="numbered:a")
            self.assertEqual(self.violations, [])
            self.log.failure("contained", module="agent")
        self.assertIn("broken", self.violations[0])

    def test_a_start_is_late(self) -> None:
        """A start that takes too long is one, unless the process has stood still."""
        for stood_still in (True, False):
            pairs = LogPairs(self.violations.append, stood_still=lambda: stood_still)  # noqa: B023
            log = Logger(observer=pairs.take)  # type: ignore[arg-type]  # takes any event
            self.assertEqual(self.violations, [])
            try:
                raise TimeoutError("it did not start within 3 s")  # noqa: TRY301 - as above
            except TimeoutError:
                log.failure("contained", module="tasmota")
        self.assertEqual(len(self.violations), 1)


class AwaitingTests(SynchronousTestCase):
    """The wait for announcements."""

    def setUp(self) -> None:
        self.violations: list[str] = []
        self.broker = ModelBroker(SimClock(Random(1)))
        self.awaiting = Awaiting(self.violations.append, {1883: self.broker})
        self.gate: Any = SimpleNamespace(
            active=True, _barrier=object(), _frames=[], _paused=False, _paused_at_s=0.0
        )
        self.gate._end_s = lambda: self.ends_s
        self.ends_s = 1.0
        self.now_s = 0.9
        link = SimpleNamespace(inflow=SimpleNamespace(announcement_gate=self.gate), alive=True)
        self.connection = SimpleNamespace(
            client_id="x",
            _awaits_announcements=True,
            _link=link,
            _reactor=SimpleNamespace(seconds=lambda: self.now_s),
            _subscriber=SimpleNamespace(_unanswered={}),
            _table=SimpleNamespace(announcement_filters={"a/#"}),
        )

    def look(self, *, stopping: bool = False) -> None:
        """Look at the connection."""
        connections = SimpleNamespace(all=lambda: (self.connection,))
        agent: Any = SimpleNamespace(
            stopping=stopping, _parts=SimpleNamespace(connections=connections)
        )
        self.awaiting.look(agent, self.now_s, 0.0)

    def pause(self, ends_s: float) -> None:
        """Pause for a second, after which it is to end then."""
        self.look()
        self.gate._paused, self.gate._paused_at_s = True, self.now_s
        self.look()
        self.now_s += 1
        self.gate._paused, self.ends_s = False, ends_s
        self.look()

    def test_pause(self) -> None:
        """A pause leaves as much time as there was."""
        self.pause(2.0)
        self.assertEqual(self.violations, [])
        self.pause(4.0)
        self.assertEqual(self.violations, ["a pause begins the wait for announcements again"])

    def test_end_without_an_answer(self) -> None:
        """It does not end before the answer, unless that takes long."""
        self.connection._subscriber._unanswered = {1: ["b/#"]}
        for names, after_s in ((["b/#"], 0.1), (["a/#"], 10.0), (["a/#"], 0.1)):
            self.assertEqual(self.violations, [])
            self.connection._subscriber._unanswered = {1: names}
            self.gate.active = True
            self.look()
            self.now_s += after_s
            self.gate.active = False
            self.look()
        self.assertEqual(len(self.violations), 1)

    def test_stop(self) -> None:
        """What waits when a stop ends it is not acknowledged."""
        connect = Connect(4, clean=False, keepalive_s=10, client_id="x", expiry_s=NEVER_S)
        holder: Any = SimpleNamespace(
            is_ours=True, is_open=True, send_qos1=lambda _publication, _packet_id: None
        )
        session, _present = self.broker.open_session(connect, holder)
        left, handled = Publication("t", b"1", 1), Publication("t", b"2", 1)
        session.inflight = {7: left, 8: handled}
        self.gate._frames = [(0x32, b"\0\1t\0\7" + b"1"), (0x30, b"\0\1t")]
        self.look()
        self.connection._awaits_announcements = False
        self.look(stopping=True)
        self.awaiting.acknowledged(handled)
        self.assertEqual(self.violations, [])
        self.awaiting.acknowledged(left)
        self.assertEqual(len(self.violations), 1)

    def test_qos(self) -> None:
        """Announcements are subscribed to at QoS 0."""
        check_qos(self.violations.append, "tasmota/discovery/+/config", 0)
        check_qos(self.violations.append, "tele/+/SENSOR", 1)
        self.assertEqual(self.violations, [])
        check_qos(self.violations.append, "tasmota/discovery/+/config", 1)
        self.assertEqual(len(self.violations), 1)


class RememberingTests(SynchronousTestCase):
    """The file of devices after a stop."""

    def test_forgotten(self) -> None:
        """A device that is not there, or has an older name, is a violation."""
        violations: list[str] = []
        device = SimpleNamespace(topic="plug", config=SimpleNamespace(friendly_names=("New",)))
        module = SimpleNamespace(
            _known=SimpleNamespace(_file=SimpleNamespace(path="/devices.json")),
            _registry=SimpleNamespace(_by_mac={"A4": device}),
        )
        life = SimpleNamespace(module=module)
        agent: Any = SimpleNamespace(supervisors=[SimpleNamespace(state=State.RUNNING, _life=life)])
        contents = (b'{"A4": {"fn": ["New"]}}', b'{"A4": {"fn": ["Old"]}}', b"", b"{")
        for content in contents:
            disk: Any = SimpleNamespace(failures=0, content=lambda _path: content)  # noqa: B023
            remembering = Remembering(violations.append, disk)
            remembering.stop_begins(agent)
            remembering.check_end()
            disk.failures += 1
            remembering.check_end()
        self.assertEqual(len(violations), len(contents) - 1)

    def test_remembered(self) -> None:
        """An announcement that is not there, or an older one, is a violation."""
        violations: list[str] = []
        remembered = SimpleNamespace(
            _file=SimpleNamespace(path="/a.json"), _payloads={"a": "new"}, _is_complete=True
        )
        life = SimpleNamespace(module=SimpleNamespace(_remembered=remembered))
        agent: Any = SimpleNamespace(supervisors=[SimpleNamespace(state=State.RUNNING, _life=life)])
        for content in (b'{"a": "new"}', b'{"a": "old"}', b"{}", b"["):
            disk: Any = SimpleNamespace(failures=0, content=lambda _path: content)  # noqa: B023
            remembering = Remembering(violations.append, disk)
            remembering.stop_begins(agent)
            remembering.check_end()
        self.assertEqual(violations, ["a stop does not save ['a'] in /a.json"] * 3)


class BoundsTests(SynchronousTestCase):
    """What is kept is bounded."""

    def check(self, *, queued: int = 0, read_ahead: int = 0, set_aside: int = 0) -> list[str]:
        """Return what is wrong with an agent that keeps so many bytes."""
        aside = SimpleNamespace(_bytes=set_aside)
        link = SimpleNamespace(
            inflow=SimpleNamespace(_bytes=read_ahead, announcement_gate=aside), acknowledgements=[]
        )
        queue = SimpleNamespace(_limit_bytes=1000)
        sink = SimpleNamespace(queued_bytes=queued, _queue=queue, _writer=None)
        connections = SimpleNamespace(all=lambda: [SimpleNamespace(_link=link)])
        agent: Any = SimpleNamespace(_parts=SimpleNamespace(sink=sink, connections=connections))
        violations: list[str] = []
        Bounds(violations.append, SimpleNamespace(_windows=[])).check(agent)
        return violations

    def test_within(self) -> None:
        """Up to the limits all is well."""
        self.assertEqual(
            self.check(queued=1000, read_ahead=READ_AHEAD_BYTES, set_aside=8 * 1024 * 1024), []
        )

    def test_beyond(self) -> None:
        """Each limit by itself."""
        self.assertIn("queued", self.check(queued=1001)[0])
        self.assertIn("read ahead", self.check(read_ahead=5 * 1024 * 1024)[0])
        self.assertIn("set aside", self.check(set_aside=9 * 1024 * 1024)[0])


class HeldTests(SynchronousTestCase):
    """What is held for a database."""

    def test_more_is_taken(self) -> None:
        """Nothing joins lines that are not known to be stored, unless they are sent with it."""
        violations: list[str] = []
        bounds = Bounds(violations.append, SimpleNamespace(_windows=[]))
        first = b"a n=1i 1\n"
        for parts in ([first], [first], [first + b"b n=2i 2\n"], [b"c n=3i 3\n"], []):
            bounds._check_held(parts)
        self.assertEqual(violations, [])
        bounds._check_held([first])
        bounds._check_held([first, b"b n=2i 2\n"])
        self.assertEqual(len(violations), 1)


class BrokerTests(SynchronousTestCase):
    """What brokers see of the agent."""

    def test_two_connections(self) -> None:
        """One takes the other's session over; not where one of both is lost, or another's."""
        violations: list[str] = []
        broker = ModelBroker(SimClock(Random(0)))
        broker.on_fault = violations.append
        connect = Connect(4, False, 60, "agent", NEVER_S)
        for is_ours, is_open, is_new_open in (
            (True, False, True),
            (False, True, True),
            (True, True, False),
            (True, True, True),
        ):
            before: Any = SimpleNamespace(
                is_ours=is_ours, is_open=is_open, taken_over=lambda **_named: None
            )
            ours: Any = SimpleNamespace(is_ours=True, is_open=is_new_open)
            broker.open_session(connect, before)
            self.assertEqual(violations, [])
            broker.open_session(connect, ours)
            broker.close_session(broker.sessions["agent"])
        self.assertEqual(violations, ["two connections of the agent have the client id agent"])

    def test_another_version(self) -> None:
        """MQTT 3.1.1 is spoken only with brokers that have refused MQTT 5."""
        self.patch(BrokerVersions, "to_try", lambda *_args: "3.1.1")
        directory = Path(self.mktemp())
        directory.mkdir()
        with self.assertRaisesRegex(Violation, "MQTT 5 was never refused"):
            World(1, directory).run(10.0)

    def test_no_receive_maximum(self) -> None:
        """MQTT 5 without Receive Maximum lets a broker send 65,535 messages at once."""
        violations: list[str] = []
        broker = ModelBroker(SimClock(Random(0)))
        broker.on_fault = violations.append
        client = BrokerClient.__new__(BrokerClient)
        client._broker, client._v5 = broker, True
        client.connection = SimpleNamespace(guarded=None)  # type: ignore[assignment]
        for properties in ({RECEIVE_MAXIMUM: 20}, {}):
            self.assertEqual(violations, [])
            client._check_connect(Connect(5, False, 60, "agent", NEVER_S, properties=properties))
        self.assertEqual(violations, ["a CONNECT of MQTT 5 without Receive Maximum"])


class LedgerTests(SynchronousTestCase):
    """What the ledger says of one message."""

    def test_a_bystander_waits(self) -> None:
        """A module that no fault concerns has its messages soon, others may wait."""
        violations: list[str] = []
        ledger = Ledger(violations.append, lambda: 2 * BYSTANDER_S)
        ledger.bystanders = {"a"}
        ledger.sent = {("b", 1, 0): 0.0, ("a", 1, 0): 0.0}
        ledger.transmitted.update(list(ledger.sent))
        ledger.line(b"number,module=b,qos=1 n=0i 1")
        self.assertEqual(violations, [])
        ledger.line(b"number,module=a,qos=1 n=0i 1")
        self.assertEqual(len(violations), 1)

    def ledger(self, *sent: int) -> tuple[Ledger, list[str]]:
        violations: list[str] = []
        ledger = Ledger(violations.append, lambda: 0.0)
        for number in sent:
            ledger.transmit(Publication("a/x", b"1:%d" % number, 1))
        return ledger, violations

    def test_a_line_too_many(self) -> None:
        """A message that was sent twice may be written twice, not three times."""
        ledger, violations = self.ledger(0, 0)
        for stamp in (1, 2):
            ledger.line(b"number,module=a,qos=1 n=0i %d" % stamp)
        self.assertEqual(violations, [])
        ledger.line(b"number,module=a,qos=1 n=0i 3")
        self.assertEqual(violations, ["a 1:0 is written more often than it was sent"])

    def test_two_lines_of_one_time(self) -> None:
        """The second would replace the first in the database."""
        ledger, violations = self.ledger(0, 1)
        for number in (0, 1):
            ledger.line(b"number,module=a,qos=1 n=%di 7" % number)
        self.assertEqual(violations, ["a 1:1 has the time of 0"])


class WritingTests(SynchronousTestCase):
    """Lines do not wait while the reader would take them."""

    def setUp(self) -> None:
        self.violations: list[str] = []
        clock: Any = SimpleNamespace(now_s=0.0)
        reader: Any = SimpleNamespace(ready=True, patience_s=0.5, disturbed_s=0.0)
        self.clock, self.reader = clock, reader
        self.queue = SimpleNamespace(queued_bytes=10, _position=0)
        sink = SimpleNamespace(_queue=self.queue, _writer=self, _finish_held=None, _is_lost=False)
        self.agent: Any = SimpleNamespace(_parts=SimpleNamespace(sink=sink))
        self.writing = Writing(self.violations.append, clock, reader)

    def look(self, now_s: float, *, runs: bool = True) -> None:
        """Look at some time."""
        self.clock.now_s = now_s
        self.writing.look(self.agent, runs=runs)

    def test_a_line_that_waits(self) -> None:
        """After its patience the reader has been kept waiting for too long."""
        self.look(1.0)
        self.look(1.4)
        self.assertEqual(self.violations, [])
        self.look(1.6)
        self.assertEqual(len(self.violations), 1)

    def test_what_moves(self) -> None:
        """Neither what is written meanwhile nor a reader that has just gone on counts."""
        self.look(1.0)
        self.queue._position = 5
        self.look(1.6)
        self.reader.disturbed_s = 2.0
        self.look(2.4)
        self.assertEqual(self.violations, [])

    def test_who_cannot_write(self) -> None:
        """The wait begins again while the process is frozen or the reader takes nothing."""
        for ready, runs in ((True, False), (False, True)):
            self.look(1.0)
            self.reader.ready = ready
            self.look(1.6, runs=runs)
            self.reader.ready = True
            self.look(1.7)
        self.assertEqual(self.violations, [])


class StopTests(SynchronousTestCase):
    """A stop tries a failed request again."""

    def test_what_waits(self) -> None:
        """Every half second, unless a request is under way or the process does not run."""
        violations: list[str] = []
        clock: Any = SimpleNamespace(now_s=0.0)
        writing = Writing(violations.append, clock, SimpleNamespace())  # type: ignore[arg-type]
        writer = HttpWriter.__new__(HttpWriter)
        writer._out = SimpleNamespace(parts=[b"a n=1i 1\n"])  # type: ignore[assignment]
        writer._request = None
        sink = SimpleNamespace(_writer=writer, _draining=False)

        def look(now_s: float, *, runs: bool = True) -> None:
            clock.now_s = now_s
            writing._look_at_stop(sink, runs=runs)

        look(0.0)
        look(1.0)
        sink._draining = True
        look(1.5)
        look(2.0, runs=False)
        look(2.1)
        look(2.6)
        self.assertEqual(violations, [])
        look(2.8)
        self.assertEqual(len(violations), 1)


class FileTests(SynchronousTestCase):
    """The file that the output goes to."""

    def test_renamed(self) -> None:
        """Nothing is written to a file that has another name."""
        violations: list[str] = []
        file = File(lambda _data: None, violations.append)
        file.write(b"a n=1i 1\n")
        self.assertEqual(violations, [])
        file.is_renamed = file.has_lines
        file.write(b"a n=2i 2\n")
        self.assertEqual(len(violations), 1)


class StepsTests(SynchronousTestCase):
    """Steps of the test modules."""

    def test_two_ticks(self) -> None:
        """Two instances may tick at the same moment, one may not."""
        violations: list[str] = []
        steps = Steps(violations.append, lambda _module, _seconds: None, lambda: 3.0)
        for instance in ("numbered:a", "numbered:b"):
            steps.take(instance, "tick")
        self.assertEqual(violations, [])
        steps.take("numbered:a", "tick")
        self.assertEqual(len(violations), 1)


class DeferredTests(SynchronousTestCase):
    """A whole run in which something is left unhandled."""

    def test_notices_an_unhandled_deferred(self) -> None:
        """An unhandled failure is a violation, found when its Deferred is collected."""

        def forgets(_self: AckWindow) -> None:
            fail(ZeroDivisionError("not handled"))

        self.patch(AckWindow, "flush", forgets)
        directory = Path(self.mktemp())
        directory.mkdir()
        with self.assertRaisesRegex(Violation, "not handled"):
            World(1, directory).run(10.0)
        self.flushLoggedErrors(ZeroDivisionError)
