"""The output to a broker: real mosquitto, and the real Telegraf with the shipped configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from line_protocol_parser import parse_line
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogPublisher

from metrics_agent.batch import Batch
from metrics_agent.config import Secret
from metrics_agent.output.sink import Sink
from tests.integration.broker import Mosquitto, free_port, with_both_mosquittos
from tests.integration.case import QUIET, AgentCase, logged
from tests.integration.certificates import Authority
from tests.integration.load import Load
from tests.integration.sink_case import SinkCase
from tests.integration.telegraf_mqtt import TOPIC, TelegrafConsumer
from tests.integration.watching import pause, sequences, until

WIDE = (*QUIET, "log_type subscribe", "max_inflight_messages 100")
"""As the shipped file needs it for more than two messages a second."""
KEPT = (*WIDE, "max_queued_messages 0")
"""The queue of a session without a limit, for what is not about the limit."""


class NumberedCase(SinkCase):
    """Numbered lines."""

    def setUp(self) -> None:
        self.settled: list[int] = []
        self.written = 0

    def write(self, sink: Sink, count: int, *, urgent: bool = False) -> None:
        """Write numbered lines, each a batch."""
        for _ in range(count):
            number = self.written = self.written + 1

            def settle(number: int = number) -> None:
                self.settled.append(number)

            line = b"m,device=d%d value=%d.0 %d\n" % (number % 7, number, 10**18 + number)
            sink.write(Batch(line, 1, settle, urgent=urgent))

    async def write_messages(self, sink: Sink, count: int) -> None:
        """Write numbered lines, each a message, which the broker takes."""
        end = self.written + count
        done: Deferred[None] = Deferred()

        def next_one() -> None:
            self.settled.append(self.written)
            if self.written < end:
                reactor.callLater(0, write_one)
            else:
                done.callback(None)

        def write_one() -> None:
            self.written += 1
            line = b"m value=%d.0 %d\n" % (self.written, 10**18 + self.written)
            sink.write(Batch(line, 1, next_one, urgent=True))

        write_one()
        await done.addTimeout(60, reactor)
        self.assertEqual(sink.problem, "")

    async def all_settled(self, sink: Sink, limit_s: float = 30) -> None:
        """Wait for all that was written, each once."""
        await until(
            lambda: len(self.settled) >= self.written,
            lambda: f"{self.written} lines: {len(self.settled)}, {sink.problem}",
            limit_s,
        )
        # Those of one message in whatever order.
        self.assertEqual(sorted(self.settled), list(range(1, self.written + 1)))

    def numbers(self, telegraf: TelegrafConsumer) -> list[int]:
        """Return which numbers came out of Telegraf."""
        return [int(parse_line(line)["fields"]["value"]) for line in telegraf.lines()]

    async def all_there(self, telegraf: TelegrafConsumer, limit_s: float = 30) -> None:
        """Wait for all that was written to come out of Telegraf."""
        wanted = set(range(1, self.written + 1))
        await until(
            lambda: wanted <= set(self.numbers(telegraf)),
            lambda: f"{len(wanted)} lines in {len(telegraf.lines())}: {telegraf.log[-2000:]}",
            limit_s,
        )


@with_both_mosquittos
class DeliveryTests(NumberedCase):
    """From the sink to Telegraf's file."""

    def start_broker(self, *settings: str) -> None:
        self.broker = Mosquitto.start(self, settings=settings or WIDE)
        self.output = f"{self.broker.url}/{TOPIC}"

    async def test_lines(self) -> None:
        """Names, tags, fields and times come out as they went in, and no other tag."""
        self.start_broker()
        telegraf = TelegrafConsumer(self, self.broker)
        await telegraf.start()
        sink = self.sink(self.output)
        lines = [
            b'm\\ 1,a=b\\,c,d=\\=\xc3\xa4 f=1.5,g=7i,h=t,i="x\\"y, z" 1700000000123456789',
            b'text value="first\nsecond" 1700000000123456790',
            b"n f=-0.25 1700000000123456791",
        ]
        sink.write(Batch(b"\n".join(lines) + b"\n", 3, lambda: self.settled.append(1)))
        self.written = 1
        await self.all_settled(sink)
        await until(lambda: len(telegraf.lines()) >= 4, lambda: telegraf.log)
        found = telegraf.lines()  # a text has a newline in it
        self.assertEqual(parse_line(found[0]), parse_line(lines[0]))
        self.assertEqual(b"\n".join(found[1:3]), lines[1])
        self.assertEqual(parse_line(found[3]), parse_line(lines[2]))

    async def test_no_one_is_subscribed(self) -> None:
        """Nothing is acknowledged until Telegraf is there; then all of it is delivered."""
        self.start_broker()
        sink = self.sink(self.output)
        self.write(sink, 100)
        await until(lambda: bool(sink.problem), "the problem")
        self.assertIn("Telegraf is not subscribed to 'telegraf/metrics-agent'", sink.problem)
        await pause(1)
        self.assertEqual(self.settled, [])
        telegraf = TelegrafConsumer(self, self.broker)
        await telegraf.start()
        await self.all_settled(sink)
        await self.all_there(telegraf)
        self.assertEqual(sink.problem, "")

    async def test_telegraf_is_killed_and_restarted(self) -> None:
        """Nothing is lost, with kill -9 or in order, while it is away or before it has written."""
        self.start_broker(*KEPT)
        telegraf = TelegrafConsumer(self, self.broker, flush="1s")
        await telegraf.start()
        sink = self.sink(self.output)
        for end in (telegraf.kill, telegraf.stop, telegraf.kill):
            for _ in range(20):
                self.write(sink, 20, urgent=True)
                await pause(0.05)
            end()
            self.write(sink, 500, urgent=True)
            await pause(0.5)
            await telegraf.start()
        await self.all_settled(sink)
        await self.all_there(telegraf)
        twice = len(self.numbers(telegraf)) - self.written
        self.assertLess(twice, 2000, "some come twice")

    async def test_queue_of_the_session(self) -> None:
        """Mosquitto answers 0x00 for all and keeps 1,000 for a Telegraf that is away."""
        self.start_broker()
        telegraf = TelegrafConsumer(self, self.broker)
        await telegraf.start()
        telegraf.stop()
        sink = self.sink(self.output)
        await self.write_messages(sink, 3000)
        await telegraf.start()
        await pause(5)
        found = self.numbers(telegraf)
        self.assertEqual(found, list(range(1, 1001)), "the first 1,000")

    async def test_queue_without_a_limit(self) -> None:
        """With max_queued_messages 0 it keeps all."""
        self.start_broker(*KEPT)
        telegraf = TelegrafConsumer(self, self.broker)
        await telegraf.start()
        telegraf.stop()
        sink = self.sink(self.output)
        await self.write_messages(sink, 3000)
        await telegraf.start()
        await self.all_there(telegraf)

    async def test_broker_restarts(self) -> None:
        """What it had not answered is published again: nothing is lost."""
        self.broker = Mosquitto.start(self, settings=KEPT, persistent=True)
        telegraf = TelegrafConsumer(self, self.broker)
        await telegraf.start()
        sink = self.sink(f"{self.broker.url}/{TOPIC}")
        for _ in range(3):
            self.write(sink, 2000)
            await pause(0.01)
            self.broker.stop()
            self.write(sink, 100)
            await pause(0.5)
            self.broker.start_again()
        await self.all_settled(sink)
        await self.all_there(telegraf, 60)
        self.assertEqual(sink.problem, "")

    async def test_stop(self) -> None:
        """What cannot be delivered in time is counted, and not acknowledged."""
        self.start_broker()
        sink = self.sink(self.output)
        self.write(sink, 10)
        self.assertEqual(await sink.drain(2), 10)
        await sink.stopService()
        self.assertEqual(self.settled, [])


@with_both_mosquittos
class RefusalTests(NumberedCase):
    """What brokers refuse, and how they are reached."""

    def directory(self) -> Path:
        """Make a directory of the test."""
        path = Path(self.mktemp()).absolute()
        path.mkdir()
        return path

    async def subscribe(self, broker: Mosquitto) -> TelegrafConsumer:
        telegraf = TelegrafConsumer(self, broker)
        await telegraf.start()
        return telegraf

    async def test_not_authorised(self) -> None:
        """A login that may not publish there: reported, and nothing acknowledged."""
        acl = self.directory() / "acl"
        acl.write_text("topic read #\nuser me\ntopic readwrite other/#\n")
        acl.chmod(0o600)
        broker = Mosquitto.start(self, settings=[*WIDE, f"acl_file {acl}"])
        await self.subscribe(broker)
        sink = self.sink(f"{broker.url}/{TOPIC}", username="me")
        self.write(sink, 10)
        await until(lambda: bool(sink.problem), "the problem")
        self.assertIn("may not publish to 'telegraf/metrics-agent'", sink.problem)
        self.assertEqual(self.settled, [])

    async def test_login(self) -> None:
        """A wrong password is reported, the right one works."""
        broker = Mosquitto.start(self, users={"me": "right"})
        sink = self.sink(f"{broker.url}/{TOPIC}", username="me", password=Secret("wrong"))
        await until(lambda: bool(sink.problem), "the problem")
        self.assertIn("does not authorise this login", sink.problem)
        await sink.stopService()
        sink = self.sink(f"{broker.url}/{TOPIC}", username="me", password=Secret("right"))
        self.write(sink, 1)
        await until(lambda: "not subscribed" in sink.problem, "the answer")

    async def test_limits_of_size(self) -> None:
        """The one that the broker names, and the one that it does not."""
        for setting in ("max_packet_size 2000", "message_size_limit 2000"):
            self.settled.clear()
            self.written = 0
            # The last of a setting holds.
            broker = Mosquitto.start(self, settings=[*KEPT, setting])
            telegraf = await self.subscribe(broker)
            sink = self.sink(f"{broker.url}/{TOPIC}")
            self.write(sink, 1000)
            await self.all_settled(sink, 60)
            await self.all_there(telegraf)
            await sink.stopService()

    async def test_a_line_above_message_size_limit(self) -> None:
        """It is dropped and named with its cause; all others pass at once, without trouble."""
        broker = Mosquitto.start(self, settings=[*KEPT, "message_size_limit 200"])
        telegraf = await self.subscribe(broker)
        events: list[LogEvent] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        sink = self.sink(f"{broker.url}/{TOPIC}")
        passed: list[int] = []
        for round_ in (1, 2):
            self.write(sink, 100, urgent=True)
            long = b'long text="%s" %d\n' % (b"x" * 233, 10**18 + round_)
            self.assertEqual(len(long), 266)
            sink.write(Batch(long, 1, partial(passed.append, round_), urgent=True))
            self.write(sink, 100, urgent=True)
            await self.all_settled(sink, 5)
            self.assertEqual(passed, list(range(1, round_ + 1)))
            self.assertEqual(sink.dropped, {"rejected": round_})
        await self.all_there(telegraf)
        [text] = [formatEvent(event) for event in events if event["log_level"] > LogLevel.info]
        self.assertIn("the broker says that the message is too large", text)
        self.assertIn('long text="xxx', text)
        self.assertNotIn("due to malformed packet", broker.log)

    async def test_tls_and_websocket(self) -> None:
        """As for the connections of modules."""
        directory = self.directory()
        authority = Authority(directory, "authority")
        certificate, key = authority.issue("broker", "localhost", "127.0.0.1")
        broker = Mosquitto.start(self, settings=WIDE)
        ports = self.more_listeners(
            broker,
            [f"certfile {certificate}", f"keyfile {key}"],
            ["protocol websockets"],
            ["protocol websockets", f"certfile {certificate}", f"keyfile {key}"],
        )
        telegraf = await self.subscribe(broker)
        outputs = (
            f"mqtts://localhost:{ports[0]}/{TOPIC}",
            f"ws://127.0.0.1:{ports[1]}#{TOPIC}",
            f"wss://127.0.0.1:{ports[2]}/mqtt#{TOPIC}",
        )
        for output in outputs:
            secure = not output.startswith("ws:")
            sink = self.sink(output, tls_ca=str(authority.path) if secure else "")
            self.write(sink, 200)
            await self.all_settled(sink)
            await sink.stopService()
        await self.all_there(telegraf)
        sink = self.sink(outputs[0])
        self.write(sink, 1)
        await until(lambda: bool(sink.problem), "the problem")
        self.assertIn("see output_settings.tls_ca", sink.problem)

    def more_listeners(self, broker: Mosquitto, *listeners: Sequence[str]) -> list[int]:
        """Give a broker more listeners; return their ports."""
        broker.stop()
        ports = [free_port() for _ in listeners]
        for port, lines in zip(ports, listeners, strict=True):
            broker.configure(f"listener {port} 127.0.0.1", *lines)
        broker.start_again()
        return ports


class TelegrafCase(AgentCase):
    """A whole agent between a broker and Telegraf."""

    timeout = 180
    mosquitto_settings: Sequence[str] = KEPT

    async def run_agent(
        self, settings: Mapping[str, Any] | None = None, top: str = "", **load: Any
    ) -> Any:
        """Start broker, Telegraf, load and agent."""
        self.broker = Mosquitto.start(self, settings=self.mosquitto_settings, persistent=True)
        self.telegraf = TelegrafConsumer(self, self.broker)
        await self.telegraf.start()
        self.load = await Load.connect(self, self.broker.port, qos=1, **load)
        output = f'output = "{self.broker.url}/{TOPIC}"\n'
        self.configure(self.tasmota(self.broker, output + top, **settings or {}))
        parent = await self.start()
        count = len(self.load.devices)
        await until(
            lambda: b"\n".join(self.telegraf.lines()).count(b"online=") >= count,
            lambda: f"the retained state of all devices: {logged(parent.log)}",
            30,
        )
        return parent

    def found(self) -> dict[str, list[int]]:
        """Return the numbers of each device's messages."""
        return sequences(self.telegraf.lines())

    async def all_found(self, sent: Mapping[str, int]) -> None:
        """Wait for each message."""

        def missing() -> int:
            found = self.found()
            return sum(
                len(set(range(1, last + 1)) - set(found.get(device, [])))
                for device, last in sent.items()
            )

        await until(lambda: not missing(), lambda: f"{missing()} messages", 30)


class AgentTests(TelegrafCase):
    """From a device to Telegraf."""

    async def test_messages(self) -> None:
        """Each message once and in order; a stop loses nothing, and nothing is on stdout."""
        parent = await self.run_agent(rate=500)
        self.load.send(2000)
        await self.load.barrier()
        self.load.send(1000)
        sent = await self.load.barrier()
        await parent.stop()
        await self.said(parent, "none lost")
        await self.all_found(sent)
        self.assert_complete(self.found(), sent)
        self.assertEqual(parent.output, b"")

    async def test_topic_that_a_module_reads(self) -> None:
        """The module does not start, and the log says why."""
        broker = Mosquitto.start(self)
        output = f'output = "{broker.url}/tele/house/SENSOR"\n'
        self.configure(self.tasmota(broker, output) + self.probe("count"))
        parent = await self.start()
        await self.said(
            parent, "Module tasmota not started, invalid settings: output: got the topic"
        )
        await parent.stop()


@with_both_mosquittos
class WindowTests(TelegrafCase):
    """The rate of a load is reached, however few messages a broker sends unacknowledged."""

    async def check_window(self, rate: float, expected: float, **settings: Any) -> None:
        """Send for 5 s; count what Telegraf has written 1.5 s later."""
        parent = await self.run_agent(settings, rate=rate)
        self.load.start()
        await pause(5)
        self.load.stop()
        sent = await self.load.barrier()
        await pause(1.5)  # lines wait for a second, and Telegraf for its flush
        there = sum(len(set(numbers)) for numbers in self.found().values())
        self.assertGreaterEqual(there, expected * sum(sent.values()))
        await self.all_found(sent)
        await parent.stop()

    async def test_window_of_1000(self) -> None:
        """With MQTT 5 and the default window."""
        await self.check_window(1000, 0.95)

    async def test_window_of_20(self) -> None:
        """Half of a small window leaves at once, so that the broker goes on."""
        await self.check_window(1000, 0.95, receive_maximum=20)

    async def test_window_of_1(self) -> None:
        """Each message leaves at once where the broker sends one at a time."""
        await self.check_window(100, 0.95, receive_maximum=1)

    async def test_calm(self) -> None:
        """A window that is never half full: a message a second."""
        await self.check_window(100, 0.95)
