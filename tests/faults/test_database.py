"""Faults between the agent and a database: one test a row of `database`.

Three ways to it run side by side, see `ways`, each with messages published at QoS 1 and at QoS 0
to a broker with ``upgrade_outgoing_qos true``. In the end the database is asked for every number.
"""

from __future__ import annotations

import contextlib  # trial has a meaning for a name "suppress" in a module
import shutil
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Final

from twisted.trial.unittest import TestCase

from tests.faults import front
from tests.faults.database import DATABASE, ON_REQUEST, database
from tests.faults.disk import mount
from tests.faults.front import Act, Front, bad_lines
from tests.faults.ledger import Account
from tests.faults.numbered import number_of, numbers_filter
from tests.faults.publisher import left_at_broker, make_session
from tests.faults.row import Measured, Row, record
from tests.faults.scale import ALL, count
from tests.faults.stores import InfluxStore, Store, VictoriaStore
from tests.faults.way_report import Outcome, record_ways
from tests.faults.ways import Consumer, Execd, Http, LinePublisher, Mqtt, Target, Telegraf, Way
from tests.integration.broker import Mosquitto, other_mosquitto
from tests.integration.case import QUIET
from tests.integration.certificates import Authority
from tests.integration.watching import pause, until

RATE: Final = count(250.0, 25.0)
BEFORE_S: Final = count(6.0, 1.0)
"""How long all goes well."""

OUTAGE_S: Final = count(10.0, 3.0)
STOPPED_S: Final = count(30.0, 3.0)
RECOVERY_S: Final = 90.0
QUIET_S: Final = 8.0
"""When a way has stored nothing for so long, it has stored all it ever will."""

WINDOW: Final = 1000
"""The agent's `receive_maximum`: what may be unacknowledged when it is killed."""

BROKER: Final = (
    *QUIET,
    "max_queued_messages 0",
    "upgrade_outgoing_qos true",
    "max_inflight_messages 1000",
)
"""With its window of 20 Telegraf's consumer would get 20 messages for each flush."""


QUEUE_OF_1000: Final = tuple(each for each in BROKER if "max_queued" not in each)
"""With mosquitto's default."""


class DatabaseTests(TestCase):
    """The tests are added below, one for each row."""

    timeout = 600

    # What runs.

    async def begin(
        self, store: Store, target: Target | None = None, broker: Sequence[str] = BROKER
    ) -> None:
        """Start everything, and wait until each way has stored something."""
        self.store = store
        await store.start()
        self.broker = Mosquitto.start(
            self, settings=broker, persistent=True, program=other_mosquitto(self)
        )
        target = target or Target(f"http://127.0.0.1:{store.server.port}")
        url = f"tcp://127.0.0.1:{self.broker.port}"
        self.http = Http(self, url, target, store.path)
        self.ways: list[Way] = [
            self.http,
            Mqtt(self, url, target),
            Execd(self, url, target),
            Consumer(self, url, target),
        ]
        names = [way.name for way in self.ways]
        for name in names:
            await make_session(self.broker.port, name, numbers_filter(name))
        self.publisher = LinePublisher(self, self.broker.port, names, rate=RATE)
        self.publisher.qos = (1, 0)
        await self.publisher.connected()
        for way in self.ways:
            way.start()
        # A queue of 1,000 would not last for as long as an agent takes to start on a busy machine.
        for way in self.ways:
            await until(way.is_connected, way.log, RECOVERY_S)
        self.publisher.start()
        for way in self.ways:
            await self.stores_more(way)
        await pause(BEFORE_S)

    async def front(self, store: Store, act: Act | None = None) -> Front:
        """Begin with something in front of the database."""
        made = Front(self, store.server.port)
        made.act = act
        made.listen()
        await self.begin(store, Target(f"http://127.0.0.1:{made.port}"))
        return made

    def last_sent(self, way: Way, qos: int = 1) -> int:
        return self.publisher.sent[way.name, qos]

    async def stores_more(self, way: Way, had: int | None = None) -> float:
        """Wait for a message later than one, by default the last; return the milliseconds."""
        had = self.last_sent(way) if had is None else had
        since_s = time.monotonic()
        while True:
            stored = await self.store.stored(way.name)
            if max(stored[1], default=0) > had:
                return (time.monotonic() - since_s) * 1000
            if time.monotonic() > since_s + RECOVERY_S:
                raise AssertionError(f"{way.name} stores nothing:\n{way.log()[-3000:]}")
            await pause(0.1)

    async def all_store_more(self) -> int:
        """Wait until each way has stored a message that is sent from now on.

        Returns:
            The last number before, which is stored too: numbers are delivered in their order.
        """
        had = self.last_sent(self.http)
        for way in self.ways:
            await self.stores_more(way, had)
        return had

    def unacknowledged(self, stored: int) -> int:
        """Return the most that the broker may send again, if all up to a number is stored."""
        return min(WINDOW, self.last_sent(self.http) - stored)

    async def refuses(self, made: Front, act: Act, seconds: float = OUTAGE_S) -> None:
        """Let the front act for a while."""
        made.act = act
        await until(lambda: made.refused, "a request", 20)
        await pause(seconds)
        made.act = None

    async def finish(
        self,
        name: str,
        *,
        twice: int = 0,
        bad_every: int = 0,
        within: range | None = None,
        keeps: tuple[type[Way], ...] = (Http, Mqtt),
    ) -> None:
        """Wait for all that will come, stop all, and account for each message.

        Args:
            name: of the row.
            twice: the most duplicates of each of our ways.
            bad_every: the multiples of it are bad lines; 0 for none.
            within: the numbers that may be lost, if any.
            keeps: the ways that must lose none, and leave none at the broker.
        """
        recovered_ms = await self.stores_more(self.http)
        self.publisher.stop()
        await self.publisher.settle()
        await self.all_stored()
        for way in self.ways:
            await way.stop()
        outcomes = {}
        for way in self.ways:
            stored = await self.store.stored(way.name)
            left = set(map(number_of, await left_at_broker(self.broker.port, way.name)))
            sums = []
            for qos in (1, 0):
                there, sent = stored[qos], self.last_sent(way, qos)
                missing = set(range(1, sent + 1)) - set(there)
                gone = {number for number in missing if (qos, number) not in left}
                bad = set(range(bad_every, sent + 1, bad_every)) if bad_every else set()
                account = Account(
                    sent=sent,
                    delivered=len(there),
                    duplicates=there.total() - len(there),
                    at_broker=len(missing - gone),
                    counted=len(gone & bad),
                )
                if isinstance(way, keeps):
                    self.assert_kept(way, gone - bad, account, within)
                if isinstance(way, (Http, Mqtt)):
                    self.assertLessEqual(account.duplicates, twice, way.log()[-3000:])
                sums.append(account)
            outcomes[way.name] = Outcome(sums[0], sums[1])
        http = outcomes[self.http.name]
        self.assertEqual(self.http.rejected, http.qos1.counted + http.qos0.counted)
        row = database(name)
        record(row, Measured(recovered_ms, None, 0, http.qos1, http.qos0))
        record_ways(row, outcomes)

    def assert_kept(self, way: Way, gone: set[int], account: Account, within: range | None) -> None:
        """None is lost or left, or only those that may be."""
        self.assertEqual(account.at_broker, 0, f"{way.name}: {account}")
        if within is None:
            log = way.log()[-3000:]
            self.assertEqual(account.lost, 0, f"{account}: {sorted(gone)[:20]}\n{log}")
        else:
            self.assertLessEqual(gone, set(within), f"{account}, may be lost: {within}")

    async def all_stored(self) -> None:
        """Wait until each way has stored all that was sent, or stores nothing any more."""
        wanted = sum(self.publisher.sent.values())
        had, since_s = -1, time.monotonic()
        while time.monotonic() < since_s + QUIET_S:
            found = [await self.store.stored(way.name) for way in self.ways]
            there = sum(len(numbers) for each in found for numbers in each.values())
            if there == wanted:
                return
            if there > had:
                had, since_s = there, time.monotonic()
            await pause(0.3)

    # The faults.

    async def killed(self, name: str, store: Store, seconds: float) -> None:
        """Kill the database; start it after a while."""
        await self.begin(store)
        within: range | None = None
        if store.memory_s:
            safe = self.last_sent(self.http)
            await pause(store.memory_s)
            within = range(safe, self.last_sent(self.http) + 1)
        store.server.kill()
        await pause(seconds)
        await store.server.start()
        await self.finish(name, within=within)

    async def stopped(self, name: str, store: Store) -> None:
        """Stop its process; let it go on."""
        await self.begin(store)
        store.server.freeze()
        await pause(STOPPED_S)
        store.server.thaw()
        await self.finish(name)

    async def answers(self, name: str, store: Store, act: Act) -> None:
        """Have something in front of it answer for a while."""
        made = await self.front(store)
        await self.refuses(made, act)
        await self.finish(name)

    async def answers_4xx(self, name: str, store: Store, act: Act) -> None:
        """The same; Telegraf drops what any 4xx with JSON answers to."""
        made = await self.front(store)
        await self.refuses(made, act)
        await self.finish(name, keeps=(Http,))

    async def bad_line(
        self,
        name: str,
        store: Store,
        bad: Callable[[int], Act] = bad_lines,
        keeps: tuple[type[Way], ...] = (Http,),
    ) -> None:
        """Some lines are bad, all the time; Telegraf drops, or repeats, a whole request for it."""
        every = round(count(2500, 50))
        await self.front(store, bad(every))
        await until(lambda: self.last_sent(self.http) > 2 * every, "bad lines", 60)
        await self.finish(name, bad_every=every, keeps=keeps)

    async def disk_full(self, name: str, make: Callable[[TestCase, Path], Store]) -> None:
        """Fill its disk, and make room again."""
        disk = mount(self, self._directory() / "disk", "size=512m")
        store = make(self, disk)
        await self.begin(store)
        ballast = disk / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while shutil.disk_usage(disk).free > store.spare_bytes:
                file.write(bytes(1 << 12))
        await pause(OUTAGE_S)
        self.assertIn("Cannot write to the output", self.http.log())
        ballast.unlink()
        if isinstance(store, InfluxStore):  # its log of writes does not recover by itself
            store.server.kill()
            await store.server.start()
        await self.finish(name)

    def _directory(self) -> Path:
        directory = Path(self.mktemp()).absolute()
        directory.mkdir()
        return directory

    async def certificate(self, name: str, store: Store) -> None:
        """Its certificate expires and is renewed."""
        authority = Authority(self._directory(), "authority")
        files = {days: authority.issue(f"days{days}", "localhost", days=days) for days in (1, -1)}
        made = Front(self, store.server.port)
        made.listen(files[1])
        await self.begin(store, Target(f"https://localhost:{made.port}", str(authority.path)))
        await made.close()
        made.listen(files[-1])
        await until(
            lambda: "its certificate has expired" in self.http.log(), self.http.log, RECOVERY_S
        )
        await pause(OUTAGE_S)
        await made.close()
        made.listen(files[1])
        await self.finish(name)

    async def readers_killed(self, name: str, store: Store) -> None:
        """Kill whatever reads from the broker, again and again."""
        await self.begin(store)
        stored, twice = await self.all_store_more(), 0
        for _ in range(round(count(20, 3))):
            for way in self.ways:
                await way.kill_reader()
            twice += self.unacknowledged(stored)
            stored = await self.all_store_more()  # else one is killed before it has begun
        await self.finish(name, twice=twice)

    async def broker_restarted(self, name: str, store: Store) -> None:
        """Restart the broker in order; nothing is sent meanwhile."""
        await self.begin(store)
        stored, twice = await self.all_store_more(), 0
        for _ in range(round(count(3, 1))):
            await pause(BEFORE_S)
            self.publisher.stop()
            await self.publisher.settle()
            twice += self.unacknowledged(stored)
            self.broker.stop()
            await pause(1)
            self.broker.start_again()
            await self.publisher.connected()
            self.publisher.start()
            stored = await self.all_store_more()
        await self.finish(name, twice=twice)

    async def telegraf_killed(self, name: str, store: Store) -> None:
        """Kill Telegraf five times."""
        await self.begin(store)
        for _ in range(5):
            for way in self.ways:
                if isinstance(way, Telegraf):
                    await way.kill()
                    way.start()
            await pause(5)
        await self.finish(name)

    async def telegraf_away(self, name: str, store: Store) -> None:
        """Leave Telegraf away for longer than the broker's default queue lasts."""
        await self.begin(store, broker=QUEUE_OF_1000)
        for way in self.ways:
            if isinstance(way, Telegraf):
                await way.kill()
        await pause(60)
        for way in self.ways:
            if isinstance(way, Telegraf):
                way.start()
        await self.finish(name)

    async def telegraf_restarted(self, name: str, store: Store) -> None:
        """Restart Telegraf while the database is away."""
        await self.begin(store)
        store.server.kill()
        for _ in range(3):
            await pause(5)
            for way in self.ways:
                if isinstance(way, Telegraf):
                    await way.restart()
        await pause(5)
        await store.server.start()
        await self.finish(name)


_OVER: Final = b'{"error":"over the limit"}'
_BUSY: Final = b'{"error":"engine: cache-max-memory-size exceeded"}'

_FAULTS: Final[dict[str, Callable[[DatabaseTests, str], Awaitable[None]]]] = {
    "influxdb_killed": lambda case, name: case.killed(name, InfluxStore(case), 5),
    "influxdb_killed_long": lambda case, name: case.killed(name, InfluxStore(case), 60),
    "influxdb_stopped": lambda case, name: case.stopped(name, InfluxStore(case)),
    "influxdb_500": lambda case, name: case.answers(
        name, InfluxStore(case), front.answer(500, _BUSY)
    ),
    "influxdb_429": lambda case, name: case.answers_4xx(
        name, InfluxStore(case), front.answer(429, _OVER, Retry_After="2")
    ),
    "influxdb_503": lambda case, name: case.answers(
        name, InfluxStore(case), front.answer(503, _OVER, Retry_After="2")
    ),
    "influxdb_bad_line": lambda case, name: case.bad_line(name, InfluxStore(case)),
    "influxdb_wrong_path": lambda case, name: case.answers(
        name, InfluxStore(case), front.wrong_path
    ),
    "influxdb_garbage": lambda case, name: case.answers(name, InfluxStore(case), front.garbage),
    "influxdb_nothing": lambda case, name: case.answers(name, InfluxStore(case), front.nothing),
    "influxdb_disk_full": lambda case, name: case.disk_full(name, InfluxStore),
    "influxdb_certificate": lambda case, name: case.certificate(name, InfluxStore(case)),
    "influxdb_readers_killed": lambda case, name: case.readers_killed(name, InfluxStore(case)),
    "influxdb_broker_restarted": lambda case, name: case.broker_restarted(name, InfluxStore(case)),
    "victoria_killed": lambda case, name: case.killed(name, VictoriaStore(case), 5),
    "victoria_killed_long": lambda case, name: case.killed(name, VictoriaStore(case), 60),
    "victoria_stopped": lambda case, name: case.stopped(name, VictoriaStore(case)),
    "victoria_bad_line": lambda case, name: case.bad_line(
        name, VictoriaStore(case), front.spoilt_lines
    ),
    "influxdb_own_bad_line": lambda case, name: case.bad_line(
        # InfluxDB 1 has stored the other lines of a request that Telegraf drops.
        name,
        InfluxStore(case),
        front.spoilt_lines,
        (Http, Mqtt),
    ),
    "victoria_wrong_path": lambda case, name: case.answers(
        name, VictoriaStore(case), front.wrong_path
    ),
    "victoria_disk_full": lambda case, name: case.disk_full(name, VictoriaStore),
    "telegraf_killed": lambda case, name: case.telegraf_killed(name, InfluxStore(case)),
    "telegraf_away": lambda case, name: case.telegraf_away(name, InfluxStore(case)),
    "telegraf_restarted": lambda case, name: case.telegraf_restarted(name, InfluxStore(case)),
}
"""What each row does."""


def _test_of(row: Row) -> Callable[[DatabaseTests], Coroutine[Any, Any, None]]:
    async def test(self: DatabaseTests) -> None:
        await _FAULTS[row.name](self, row.name)

    test.__doc__ = f"{row.place}: {row.fault}: {row.must}."
    return test


for _row in (*DATABASE, *(ON_REQUEST if ALL else ())):
    setattr(DatabaseTests, f"test_{_row.name}", _test_of(_row))
