"""What is kept by keys from outside: each is filled and measured; docs/robustness.md states it."""

from __future__ import annotations

import gc
import re
import tracemalloc
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, Final

from twisted.internet.abstract import FileDescriptor
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent import limits
from metrics_agent.backoff import Backoff
from metrics_agent.batch import Batch
from metrics_agent.cardinality import Cardinality
from metrics_agent.config.status import StatusSettings
from metrics_agent.devices.book import DeviceBook
from metrics_agent.http_interface import HttpReply
from metrics_agent.limits import STATUS_CONNECTIONS
from metrics_agent.line_protocol import Encoder
from metrics_agent.logs.events import LogEntry
from metrics_agent.logs.folding import Folder
from metrics_agent.logs.levels import Level
from metrics_agent.logs.once import LeftOut
from metrics_agent.metric import Metric, Series
from metrics_agent.modules.netatmo.decode import StationNames, decode
from metrics_agent.modules.netatmo.status import Status
from metrics_agent.modules.opendtu.naming import InverterNames
from metrics_agent.modules.opendtu.topics import Gathering
from metrics_agent.modules.opendtu.tracker import Tracker
from metrics_agent.modules.tasmota.device import Device, DeviceNaming
from metrics_agent.modules.tasmota.discovery import parse_config
from metrics_agent.modules.tasmota.filters import MAX_SHAPES
from metrics_agent.modules.tasmota.plans import Plans
from metrics_agent.modules.tasmota.registry import Registry
from metrics_agent.modules.tasmota.topics import DEFAULT_FULL_TOPIC, DEFAULT_PREFIXES, TopicShape
from metrics_agent.output.http.writer import ANSWER_BYTES, HttpWriter
from metrics_agent.output.mqtt.writer import MqttWriter
from metrics_agent.output.sink import Sink
from metrics_agent.state.directory import StateFaults
from metrics_agent.status.socket import CLIENTS, StatusSocket
from metrics_agent.status.tapping import Tap
from metrics_agent.status.web.history import POINTS, STEP_S, History
from metrics_agent.status.web.page import Page
from metrics_agent.status.web.root import State
from metrics_agent.supervision.counters import Counters
from metrics_agent.testing import FakeContext
from metrics_agent.transports.mqtt.acknowledge import AckWindow
from metrics_agent.transports.mqtt.settings import MOST_IN_FLIGHT
from metrics_agent.transports.mqtt.topics import SubscriptionTable
from tests.modules.tasmota.support import announcement, config_topic, make
from tests.output.http.fakes import FakeClient
from tests.output.mqtt.test_writer import FakePublisher
from tests.status.fakes import FakeSockets

PAGE: Final = Path(__file__).parents[1] / "docs" / "robustness.md"
MIB: Final = 1024 * 1024
WIDE: Final = "\N{SNOWMAN}"
"""A character of which Python keeps two bytes and line protocol three."""

TOGETHER_MIB: Final = 63
"""What all may take beside the devices and the queue of the output."""


def no_drop(*_what: object) -> None:
    """Take what is left out."""


def routes() -> Iterator[None]:
    """Messages on topics that are new each time, as long as a topic can be."""
    table = SubscriptionTable()
    table.add("#", 0, lambda _message, _lines: None)
    for number in range(42_000):
        yield
        size = (40, 900, 60_000)[number % 3] if number % 300 == 0 else 40
        table.match(f"tele/{number:0{size}}/SENSOR".encode())
    yield


def receivers() -> Iterator[None]:
    """Topics that each belong to another combination of many filters."""
    table = SubscriptionTable()
    for place in range(12):
        levels = ["+"] * 12
        levels[place] = "a"
        table.add("/".join(levels), 0, lambda _message, _lines: None)
    for number in range(1 << 12):
        table.match_once("/".join("ab"[number >> bit & 1] for bit in range(12)).encode())
    yield


def encoder() -> Iterator[None]:
    """Metrics with names that are new each time."""
    made = Encoder(series_per_device=0)
    for number in range(1100):
        yield
        letters = "".join(chr(97 + int(digit)) for digit in f"{number:04}")
        for names in (
            [f"{letters}{'x' * 60}{WIDE * 20}{index}" for index in range(20)],
            [f"{letters}{'x' * 70}{chr(97 + index)}" for index in range(24)],
            [f"{letters}{'x' * 900}{index}" for index in range(10)],
        ):
            tags = {f"{letters}{'x' * 100}": "y" * 100}
            made.encode(Metric(Series("m", tags), dict.fromkeys(names, 1.5), 1))


def cardinality() -> Iterator[None]:
    """Devices that are new each time, and some with a series that is new each time."""
    counted = Cardinality(limits.SERIES_PER_DEVICE)
    for number in range(25_000):
        yield
        counted.admit({"device": str(number)}, b"%d" % number)
        counted.admit({"device": str(number % 7)}, b"x%d" % number)
        if number % 3 == 0:
            counted.is_first_refusal({"device": str(number)})
    yield


def device_book() -> Iterator[None]:
    """Devices that are new each time, some with the longest names, and lines of theirs."""
    book = DeviceBook()
    book.keeps_lines = True
    made = Encoder(series_per_device=0)
    for number in range(14_000):
        yield
        name = f"{number:0300}{WIDE}" if number % 10 == 0 else str(number)
        tags = {"device": name, "friendly": name, "sensor": str(number)}
        metric = Metric(Series("climate", tags), {"temperature": 1.0}, 1)
        book.note(metric, made.encode(metric), number)
    book.sweep(1.0, 1, hears=True)
    yield


def tasmota_registry() -> Registry:
    """Make a registry as the module does."""
    return Registry(DeviceNaming({}), [TopicShape.of(DEFAULT_FULL_TOPIC, DEFAULT_PREFIXES)])


def tasmota_long_names() -> Iterator[None]:
    """Announcements with the longest names that are read, 32 of them."""
    registry = tasmota_registry()
    for number in range(400):
        yield
        mac = f"{number:012X}"
        names = [f"{number}.{index}{WIDE * 100}" for index in range(32)]
        config = parse_config(announcement(mac=mac, t=f"t{number}", dn=WIDE * 128, fn=names))
        registry.discover(mac, config)
    yield


def tasmota_series() -> Iterator[None]:
    """Devices with hundreds of sensors each, with the longest names."""
    registry = tasmota_registry()
    made = Encoder(series_per_device=0)
    for number in range(100):
        yield
        registry.discover(f"{number:012X}", parse_config(announcement(t=f"t{number}")))
    for number in range(15_000):
        yield
        device = registry.find(f"tele/t{number % 100}")
        assert device is not None
        series = device.series("climate", sensor=f"{number:0128}")
        made.encode(Metric(series, {"temperature": 1.0}, 1))
    yield


def tasmota_plans() -> Iterator[None]:
    """Messages of ever new shapes, each of as many values as a plan may have."""
    plans = Plans({})
    for number in range(600):
        yield
        # Its series have a bound of their own.
        device = Device("plug", DeviceNaming({}))
        document: dict[str, object] = {
            f"AM2301-{number:03}{each:05}": {"Temperature": 1.0} for each in range(1 + number % 60)
        }
        document |= {"A": "x" * 100, "B": "x"}
        for _ in range(2):
            plans.decode(document, device, 1, no_drop)
    yield


def tasmota_strangers() -> Iterator[None]:
    """Telemetry of devices that have not announced themselves, on long topics."""
    registry = tasmota_registry()
    made = Encoder(series_per_device=0)
    for number in range(12_000):
        yield
        device = registry.stranger(f"tele/{number:0200}")
        made.encode(Metric(device.series("electricity"), {"power": 1.0}, 1))
    yield


def tasmota_filters() -> Iterator[None]:
    """Announcements with a FullTopic of their own each, as long as is allowed."""
    _module, context = make()
    table = SubscriptionTable()
    for number in range(MAX_SHAPES + 50):
        yield
        path = "/".join(f"{number:08}x{level:05}" for level in range(11))
        full_topic = f"%prefix%/{path}/%topic%/"
        context.deliver(config_topic(str(number)), announcement(mac=str(number), ft=full_topic))
    for topic_filter in context.filters():
        table.add(topic_filter, 0, lambda _message, _lines: None)
    yield


def opendtu() -> Iterator[None]:
    """Inverters and names that are new each time."""
    naming = InverterNames({}, "opendtu")
    gathering = Gathering("solar/", no_drop)
    tracker = Tracker(naming, no_drop)
    made = Encoder(series_per_device=0)
    for number in range(3000):
        yield
        series = naming.inverter("electricity", f"{number:016}", f"{number:05000}")
        made.encode(Metric(series, {"power": 1.0}, 1))
        serial = f"{number % 200:012}"
        for topic in ("name", "1/name", "0/power", "1/power", f"status/{number:01000}"):
            gathering.add(f"solar/{serial}/{topic}", b"1" * 1000)
        gathering.add(f"solar/{serial}/status/last_update", b"1700000000")
        if number % 1000 == 0:
            for inverter in gathering.take(1_700_000_000).inverters:
                tracker.inverter(inverter, 1_700_000_000 * 10**9)
    yield


def netatmo() -> Iterator[None]:
    """Answers with devices and faults that are new each time."""
    context = FakeContext()
    context.log = Logger(observer=no_drop)  # type: ignore[arg-type]  # takes an event
    left_out = LeftOut(context.log, context.drop)
    status = Status(context, context.reactor.seconds)
    naming = StationNames.of({})
    for turn in range(3):
        yield
        devices = [
            {"_id": f"{turn}-{number:060}", "reachable": False, "dashboard_data": {"CO2": None}}
            for number in range(4000)
        ]
        document = {"body": {"devices": devices}}
        del devices
        found = decode(document, naming, received_ns=10**18, stale_after_s=60, drop=left_out.note)
        status.devices(list(found))
        del document, found
    yield


def log() -> Iterator[None]:
    """Lines of kinds and with texts that are new each time."""
    folder = Folder()
    for number in range(1200):
        yield
        for line in range(6):
            text = f"{number}.{line}{WIDE * 60_000}"
            list(folder.take(LogEntry(Level.WARN, "demo", text, 0.0, (number, WIDE * 60_000)), 0.0))
    yield


def in_flight() -> Iterator[None]:
    """Messages at QoS 1 behind one that cannot be acknowledged yet, each in a read of its own."""
    window = AckWindow(no_drop)
    settle = window.hold([0])
    for number in range(1, MOST_IN_FLIGHT):
        window.release([number])
    window.check()
    yield
    settle()


def http_output() -> Iterator[None]:
    """Lines that a database rejects, each alone, with answers as long as are read."""
    clock = Clock()
    client = FakeClient(clock)
    sink = Sink(
        clock,
        lambda source: HttpWriter(
            clock, client, "http://db/write", source, Backoff(0.5, 30, lambda: 1.0), lambda: 0.0
        ),
        limit_bytes=16 * MIB,
        high_mark_bytes=MIB,
        low_mark_bytes=MIB // 4,
        on_pressure=no_drop,
        on_lost=no_drop,
    )
    sink.startService()
    refused = HttpReply(400, b"unable to parse: " + b"x" * (ANSWER_BYTES - 20))
    number = 0
    for turn in range(200):
        yield
        if sink.queued_bytes < MIB:  # above it nothing is read
            lines = [b"m,device=%d v=%di %d\n" % (at, at, 10**18 + at) for at in range(1000)]
            sink.write(Batch(b"".join(lines), 1000))
        for _request in range(100):
            clock.advance(1)
            number += 1
            # First every other line is good, so that the search finds the bad ones; then none is.
            is_alone = bool(client.requests) and client.requests[-1].count(b"\n") == 1
            is_good = turn < 100 and is_alone and number % 2
            client.reply(HttpReply(204, b"") if is_good else refused)
        client.requests.clear()
        client.times.clear()
    yield


def mqtt_output() -> Iterator[None]:
    """Long lines of which a broker takes none."""
    clock = Clock()
    publishers: list[FakePublisher] = []

    def connect(writer: MqttWriter) -> FakePublisher:
        publishers.append(FakePublisher(writer, clock))
        return publishers[0]

    sink = Sink(
        clock,
        lambda source: MqttWriter(
            clock, connect, "t/agent", "mqtt://b/t", source, Backoff(0.5, 30, lambda: 1.0)
        ),
        limit_bytes=16 * MIB,
        high_mark_bytes=MIB,
        low_mark_bytes=MIB // 4,
        on_pressure=no_drop,
        on_lost=no_drop,
    )
    sink.startService()
    [publisher] = publishers
    publisher.answer = lambda _payload: 0x97
    publisher.connect()
    for number in range(100):
        yield
        if not sink.queued_bytes:
            line = b'm,device=%d v="%s" 1\n' % (number, b"x" * 30_000)
            sink.write(Batch(line * 8, 8))
        for _try in range(40):
            clock.advance(31)
            clock.advance(1)
        publisher.messages.clear()
        publisher.times.clear()
    yield


def status_clients() -> Iterator[None]:
    """Clients of the status socket that ask and never read, more than it takes."""
    reactor = MemoryReactorClock()
    sockets = FakeSockets()
    tap = Tap(no_drop)
    names = ({"device": f"{number}{'x' * 4000}"} for number in count())
    server = StatusSocket(
        reactor,
        path=Path("status.sock"),
        listen=lambda *what: sockets.listen(None, *what),
        whole=dict,
        devices=lambda _module, _name: names,
        tap=tap,
        log=Logger(),
        faults=StateFaults(Path(), Logger()),
        caught=no_drop,
    )
    server.startService()
    [factory] = sockets.factories.values()
    write = tap.through("m", no_drop)
    for number in range(CLIENTS + 10):
        protocol: Any = factory.buildProtocol(None)  # type: ignore[arg-type]  # no address
        transport = FileDescriptor(reactor)  # type: ignore[arg-type]  # one of memory
        transport.connected = 1
        protocol.makeConnection(transport)
        protocol.dataReceived(b'{"ask": "status"}\n' if number % 4 == 0 else b'{"ask": "tap"}\n')
    for number in range(300):
        yield
        write(Batch(b"m,device=%d v=1 %d\n" % (number, 10**18) * 1000 * (number % 9 + 1), 1))
    yield


class Connection(FileDescriptor):
    """One whose other side does not read."""

    def getPeer(self) -> None:
        """Return no address."""

    getHost = getPeer


def page_clients() -> Iterator[None]:
    """Clients of the status page that ask and never read, more than it takes, and its history."""
    reactor = MemoryReactorClock()
    counted = [(f"module:{number}", Counters()) for number in range(20)]
    history = History(reactor, lambda: counted, no_drop)
    names = ({"device": f"{number}{'x' * 4000}"} for number in count())
    state = State(
        whole=dict, devices=lambda: names, more=dict, has_output=bool, metrics=lambda _whole: ()
    )
    page = Page(reactor, state, history, StatusSettings(), no_drop)
    for _ in range(POINTS + 10):
        reactor.advance(STEP_S)
    yield
    for _ in range(STATUS_CONNECTIONS + 10):
        protocol: Any = page.site.buildProtocol(None)
        if protocol is not None:
            transport = Connection(reactor)  # type: ignore[arg-type]  # one of memory
            transport.connected = 1
            protocol.makeConnection(transport)
            protocol.dataReceived(b"GET /status.json HTTP/1.1\r\nHost: [::1]\r\n\r\n")
        reactor.advance(0)
        yield
    page.end()


def counters() -> Iterator[None]:
    """Names that a module makes of what it gets."""
    counted = Counters()
    for number in range(1000):
        yield
        counted.drop(f"{number}{'x' * 10_000}")
        counted.error(f"{number:064}")
    yield


ROWS: Final[tuple[tuple[str, Callable[[], Iterator[None]], float], ...]] = (
    ("routes of topics", routes, 11),
    ("receivers of messages", receivers, 0.2),
    ("names and shapes of fields", encoder, 2),
    ("count of series", cardinality, 2),
    ("devices: when they were heard, last lines", device_book, 9),
    ("Tasmota: long names", tasmota_long_names, 2.5),
    ("Tasmota: series", tasmota_series, 6.8),
    ("Tasmota: shapes of messages", tasmota_plans, 0.4),
    ("Tasmota: filters", tasmota_filters, 6.5),
    ("OpenDTU: inverters, names", opendtu, 1),
    ("Netatmo: devices", netatmo, 0.7),
    ("log lines that repeat", log, 2.5),
    ("MQTT: unacknowledged messages", in_flight, 3),
    ("output over HTTP", http_output, 5.5),
    ("output to a broker", mqtt_output, 2),
    ("counters", counters, 0.1),
    ("clients of the status socket", status_clients, 3),
    ("clients of the status page", page_clients, 4.5),
)


class MemoryTests(SynchronousTestCase):
    """Each row, filled beyond its bound."""

    def measure(self, fill: Callable[[], Iterator[None]]) -> float:
        """Return the MiB that are in use at most while something is filled."""
        gc.collect()
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            # At a moment when it is full: some are emptied when they are.
            most = max(tracemalloc.get_traced_memory()[0] for _ in fill()) - before
        finally:
            tracemalloc.stop()
        return most / MIB

    def test_bounds(self) -> None:
        """What is kept stays within the bound, however much comes."""
        found = {name: self.measure(fill) for name, fill, _most in ROWS}
        self.assertEqual([name for name, _fill, most in ROWS if found[name] > most], [], found)

    def test_together(self) -> None:
        """All of it at once is what we promise for everything beside the devices themselves."""
        self.assertLessEqual(sum(most for _name, _fill, most in ROWS), TOGETHER_MIB)

    def test_the_page_states_the_bounds(self) -> None:
        """Each row of docs/robustness.md has the bound that is measured here."""
        found = re.findall(
            r"^\| (.+?) \| .+ \| ([0-9.]+) MiB \| .+ \|$", PAGE.read_text("utf-8"), re.MULTILINE
        )
        self.assertEqual(
            {name: float(most) for name, most in found}, {name: most for name, _, most in ROWS}
        )
