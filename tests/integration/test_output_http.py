"""The output to a database: real InfluxDB 1 and VictoriaMetrics, stand-ins for InfluxDB 2 and 3."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metrics_agent.batch import Batch
from metrics_agent.config import Secret
from metrics_agent.output.sink import Sink
from tests.integration.broker import Mosquitto, with_both_mosquittos
from tests.integration.case import QUIET, AgentCase, logged
from tests.integration.certificates import Authority
from tests.integration.database_stand_in import DatabaseStandIn
from tests.integration.influxdb import Influx
from tests.integration.load import Load
from tests.integration.sink_case import SinkCase
from tests.integration.victoria import Victoria
from tests.integration.watching import pause, until

BAD = b"this is no line\n"


class SinkTests(SinkCase):
    """Databases and their stand-ins, and a sink in this process."""

    def sink(self, output: str, **settings: Any) -> Sink:
        """Make and start one, of which nothing is settled."""
        self.settled: list[bool] = []
        return super().sink(output, **settings)

    def directory(self) -> Path:
        """Make a directory of the test."""
        path = Path(self.mktemp()).absolute()
        path.mkdir()
        return path

    def settle(self) -> None:
        self.settled.append(True)

    def write(self, sink: Sink, count: int, *, first: int = 0, bad: int | None = None) -> None:
        """Write a batch of numbered lines, one of them bad."""
        lines = [
            b"m,device=d%d value=%d.0 %d\n" % (number, number, 10**18 + number)
            for number in range(first, first + count)
        ]
        if bad is not None:
            lines[bad] = BAD
        sink.write(Batch(b"".join(lines), count, self.settle))

    async def all_settled(self, sink: Sink, count: int = 1, limit_s: float = 30) -> None:
        """Wait for so many batches."""
        await until(
            lambda: len(self.settled) >= count,
            lambda: f"{count} batches: {self.settled}, {sink.problem}",
            limit_s,
        )

    async def test_influxdb_1_bad_line(self) -> None:
        """One bad line of 5,000: the rest is stored, the line is counted."""
        influx = Influx(self)
        await influx.start()
        await influx.create("telegraf")
        sink = self.sink(f"{influx.url}/write?db=telegraf")
        self.write(sink, 5000, bad=1234)
        await self.all_settled(sink)
        [row] = await influx.query("SELECT count(value) FROM m")
        self.assertEqual((row["count"], dict(sink.dropped)), (4999, {"rejected": 1}))
        self.write(sink, 1, first=5000, bad=0)  # alone: 400 without "partial write"
        await pause(0.5)
        self.write(sink, 1, first=6000)
        await self.all_settled(sink, 3)
        self.assertEqual(dict(sink.dropped), {"rejected": 2})
        [row] = await influx.query("SELECT count(value) FROM m")
        self.assertEqual(row["count"], 5000)

    async def test_influxdb_1_type_conflict(self) -> None:
        """A line whose field has another type there is counted, the rest is stored."""
        influx = Influx(self)
        await influx.start()
        await influx.create("telegraf")
        sink = self.sink(f"{influx.url}/write?db=telegraf")
        self.write(sink, 10)
        await self.all_settled(sink)
        times = (10**18 + 20_000, 10**18 + 20_001)
        sink.write(Batch(b'm value="text" %d\nm value=2.0 %d\n' % times, 2, self.settle))
        await self.all_settled(sink, 2)
        [row] = await influx.query("SELECT count(value) FROM m")
        self.assertEqual((row["count"], dict(sink.dropped)), (11, {"rejected": 1}))

    async def test_influxdb_1_body_that_is_too_large(self) -> None:
        """413: the requests become smaller; a line that is too large for itself is dropped."""
        influx = Influx(self, settings=["max-body-size = 2000"])
        await influx.start()
        await influx.create("telegraf")
        sink = self.sink(f"{influx.url}/write?db=telegraf")
        self.write(sink, 2500)
        long = b'm text="%s" %d\n' % (b"x" * 2500, 2 * 10**18)
        sink.write(Batch(long, 1, self.settle))
        self.write(sink, 2500, first=2500)
        await self.all_settled(sink, 3)
        [row] = await influx.query("SELECT count(value) FROM m")
        self.assertEqual((row["count"], dict(sink.dropped)), (5000, {"rejected": 1}))
        self.assertEqual(sink.problem, "")

    async def test_influxdb_1_database_that_is_made_later(self) -> None:
        """Nothing is acknowledged until it is there."""
        influx = Influx(self)
        await influx.start()
        sink = self.sink(f"{influx.url}/write?db=telegraf")
        self.write(sink, 10)
        await until(lambda: bool(sink.problem), "the problem")
        self.assertIn("database not found", sink.problem)
        self.assertEqual(self.settled, [])
        await influx.create("telegraf")
        self.assertEqual(await sink.drain(10), 0)
        self.assertEqual(self.settled, [True])

    async def test_influxdb_1_login(self) -> None:
        """A login is asked for: without it, or with a wrong password, nothing is acknowledged."""
        influx = Influx(self, login=("writer", "pass word"))
        await influx.start()
        await influx.create("telegraf")
        url = f"{influx.url}/write?db=telegraf"
        wrong = {"username": "writer", "password": Secret("guessed")}
        for number, settings in enumerate(({}, wrong)):
            sink = self.sink(url, **settings)
            self.write(sink, 10, first=10 * number)
            await until(lambda sink=sink: bool(sink.problem), "the problem")
            self.assertIn("it does not accept the login", sink.problem)
            self.assertNotIn("guessed", sink.problem)
            self.assertEqual(self.settled, [])
            await sink.stopService()
        sink = self.sink(url, username="writer", password=Secret("pass word"))
        self.write(sink, 10)
        await self.all_settled(sink)
        [row] = await influx.query("SELECT count(value) FROM m")
        self.assertEqual((row["count"], sink.problem), (10, ""))

    async def test_victoria_bad_line(self) -> None:
        """One bad line of 5,000 is found, all others are stored."""
        victoria = Victoria(self)
        await victoria.start()
        for path, first in (("/write", 0), ("/api/v2/write?org=o&bucket=b", 10_000)):
            sink = self.sink(victoria.url + path)
            self.write(sink, 5000, first=first, bad=4321)
            await self.all_settled(sink)
            values = await victoria.values("m_value")
            expected = {f"d{number}": number for number in range(first, first + 5000)}
            del expected[f"d{first + 4321}"]
            self.assertEqual({name: values.get(name) for name in expected}, expected)
            self.assertEqual(dict(sink.dropped), {"rejected": 1})
            await sink.stopService()

    async def test_victoria_wrong_path(self) -> None:
        """VictoriaMetrics answers 400 as for a bad line: nothing is dropped."""
        victoria = Victoria(self)
        await victoria.start()
        sink = self.sink(f"{victoria.url}/writ")
        self.write(sink, 100)
        await until(lambda: bool(sink.problem), "the problem")
        self.assertIn("it rejects every line, check output (one says: ", sink.problem)
        await pause(2)
        self.assertEqual((self.settled, dict(sink.dropped)), ([], {}))

    async def test_influxdb_2_and_3(self) -> None:
        """As their documentation says: a bad line, a fault that passes, a wrong token."""
        for version in (2, 3):
            server = DatabaseStandIn(self, version, "t0ken")
            sink = self.sink(server.url, token=Secret("t0ken"))
            server.answers += [
                (503, {"Retry-After": "1"}, b""),
                (500, {}, b'{"code":"internal error"}'),
            ]
            self.write(sink, 1000, bad=77)
            await self.all_settled(sink)
            self.assertEqual(len(server.stored), 999)
            self.assertEqual(len(set(server.stored)), 999, "each once")
            self.assertEqual(dict(sink.dropped), {"rejected": 1})
            await sink.stopService()
            sink = self.sink(server.url, token=Secret("wrong"))
            self.write(sink, 10)
            await until(lambda sink=sink: bool(sink.problem), "the problem")
            self.assertIn("does not accept the login", sink.problem)
            self.assertNotIn("wrong", sink.problem)
            self.assertEqual(self.settled, [])

    async def test_tls(self) -> None:
        """Over TLS with an authority of one's own; without it nothing is sent."""
        authority = Authority(self.directory(), "authority")
        files = authority.issue("database", "localhost")
        server = DatabaseStandIn(self, 2, "t0ken", files)
        sink = self.sink(server.url, token=Secret("t0ken"))
        self.write(sink, 10)
        await until(lambda: bool(sink.problem), "the problem")
        self.assertIn("see output_settings.tls_ca", sink.problem)
        self.assertEqual(server.requests, 0)
        await sink.stopService()
        sink = self.sink(server.url, token=Secret("t0ken"), tls_ca=str(authority.path))
        self.write(sink, 10)
        await self.all_settled(sink)
        self.assertEqual((len(server.stored), sink.problem), (10, ""))


class DatabaseCase(AgentCase):
    """Runs a whole agent between a broker and InfluxDB."""

    timeout = 180

    async def run_agent(
        self,
        influx: Influx,
        settings: Mapping[str, Any] | None = None,
        broker: Sequence[str] = (),
        **load: Any,
    ) -> Any:
        """Start broker, load and agent, with InfluxDB as its output."""
        self.broker = Mosquitto.start(self, settings=[*QUIET, "max_queued_messages 0", *broker])
        self.load = await Load.connect(self, self.broker.port, qos=1, **load)
        top = (
            f'output = "{influx.url}/write?db=telegraf"\nself_metrics_interval = "1s"\n'
            '[tags]\nhost = "there"'
        )
        self.configure(self.tasmota(self.broker, top, **settings or {}))
        parent = await self.start()
        for _ in range(300):
            rows = await influx.query("SELECT online, device FROM device")
            if {row["device"] for row in rows} >= set(self.load.devices):
                return parent
            await pause(0.1)
        raise AssertionError(f"the retained state of all devices: {logged(parent.log)}")

    async def stored(self, influx: Influx) -> dict[str, list[int]]:
        """Return the numbers of each device's messages, in the order of their times."""
        found: dict[str, list[int]] = {}
        for row in await influx.query("SELECT energy_total, device FROM electricity"):
            found.setdefault(row["device"], []).append(int(row["energy_total"]))
        return found

    async def all_stored(self, influx: Influx, sent: dict[str, int]) -> dict[str, list[int]]:
        """Wait for the last message of each device."""
        found: dict[str, list[int]] = {}
        for _ in range(300):
            found = await self.stored(influx)
            if all(max(found.get(device, [0])) >= last for device, last in sent.items()):
                return found
            await pause(0.1)
        raise AssertionError(f"sent {sent}, found {[(k, max(v)) for k, v in found.items()]}")


class AgentTests(DatabaseCase):
    """From the broker to the database."""

    async def test_messages_are_in_the_database(self) -> None:
        """Each message once and in order, with the tags of all lines; a stop loses nothing."""
        influx = Influx(self)
        await influx.start()
        await influx.create("telegraf")
        parent = await self.run_agent(influx)
        self.load.send(2000)
        await self.all_stored(influx, dict(self.load.sent))
        await pause(1.5)  # for the agent's own metrics
        self.load.send(1000)
        await self.load.barrier()
        await parent.stop()
        await self.said(parent, "none lost")
        found = await self.stored(influx)
        self.assertEqual(
            found, {device: list(range(1, last + 1)) for device, last in self.load.sent.items()}
        )
        rows = await influx.query("SELECT version, instance, host FROM metrics_agent")
        self.assertEqual({row["host"] for row in rows}, {"there"})
        self.assertTrue(any(row["version"] and row["instance"] for row in rows))
        self.assertEqual(parent.output, b"")

    async def test_database_is_killed(self) -> None:
        """With kill -9 in the middle of a load nothing is lost, and little comes twice."""
        influx = Influx(self)
        await influx.start()
        await influx.create("telegraf")
        parent = await self.run_agent(influx, rate=500)
        self.load.start()
        await pause(2)
        influx.kill()
        await pause(3)
        await influx.start()
        await pause(2)
        self.load.stop()
        sent = await self.load.barrier()
        found = await self.all_stored(influx, sent)
        self.assert_nothing_lost(found, sent)
        twice = sum(count - 1 for row in found.values() for count in Counter(row).values())
        self.assertEqual(twice, 0, "the same points overwrite themselves")
        self.assertEqual(len(self.lines_with(parent, "Cannot write to the output")), 1)
        self.assertEqual(len(self.lines_with(parent, "The output works again")), 1)


@with_both_mosquittos
class WindowTests(DatabaseCase):
    """The rate of a load is reached, however few messages a broker sends unacknowledged."""

    async def check_window(self, *rates: int, broker: Sequence[str] = (), **settings: Any) -> None:
        """Send for 3 s at each rate: nearly all is stored then, and the rest in a moment."""
        influx = Influx(self)
        await influx.start()
        await influx.create("telegraf")
        parent = await self.run_agent(influx, settings, broker)
        for rate in rates:
            since_s = time.monotonic()
            self.load.rate = rate
            self.load.start()
            await pause(3)
            self.load.stop()
            sent = sum(self.load.sent.values())
            there = 0
            while there < sent:
                await pause(0.01)
                [row] = await influx.query("SELECT count(energy_total) FROM electricity")
                there = row["count"]
            took_s = time.monotonic() - since_s
            self.assertLess(took_s, 3 / 0.95, f"{rate} a second, {settings}")
        self.assert_nothing_lost(await self.stored(influx), self.load.sent)
        await parent.stop()

    async def test_window_of_1000(self) -> None:
        """With MQTT 5 and the default window the rate of the load is reached."""
        await self.check_window(100, 1000)

    async def test_window_of_20(self) -> None:
        """Half of a small window leaves at once, so that the broker goes on."""
        await self.check_window(100, 1000, receive_maximum=20)

    async def test_window_of_1(self) -> None:
        """Each message leaves at once where the broker sends one at a time."""
        await self.check_window(100, receive_maximum=1)

    async def test_mqtt_3(self) -> None:
        """Ten messages leave at once: mosquitto sends twenty."""
        await self.check_window(100, 1000, protocol="3.1.1")

    async def test_mqtt_3_and_window_of_1(self) -> None:
        """Each message leaves at once too where mosquitto sends one at a time by itself."""
        await self.check_window(100, broker=["max_inflight_messages 1"], protocol="3.1.1")
