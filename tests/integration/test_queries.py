"""docs/queries.md and the alert rules, with real databases and data whose figures are known."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from attrs import frozen
from line_protocol_parser import parse_line
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from metrics_agent.catalogue import MEASUREMENTS
from tests.deploy.paths import CHECKOUT, DOCS
from tests.integration.influxdb import Influx
from tests.integration.known_home import (
    DAY_S,
    HOUR_S,
    MINUTE_S,
    SILENT_AGENT_MINUTES,
    WAITING,
    KnownHome,
)
from tests.integration.victoria import Victoria
from tests.integration.watching import argv, environment, run_to_end
from tests.needs import find, require

PAGE = DOCS / "queries.md"
BLOCK = re.compile(
    r"^## ([^\n]*)$|^```(metricsql|influxql|sh)( step=1d)?\n(.*?)^```", re.MULTILINE | re.DOTALL
)
DATE = re.compile(r"(?<=')\d{4}-\d\d-\d\d(?=')")
WEEK = 7
LIMIT_S = 60
SECOND_NS = 1_000_000_000
NEAR_KWH = 0.06
"""What a half hour of consumption may be."""

Row = dict[str, Any]
Values = Mapping[str, Any]


@frozen
class Block:
    """A query of the page: under which heading, in which language, and whether it is one by day."""

    heading: str
    language: str
    by_day: bool
    text: str


def blocks(language: str) -> list[Block]:
    """Return the page's queries in one language."""
    heading, found = "", []
    for match in BLOCK.finditer(PAGE.read_text("utf-8")):
        if match[1]:
            heading = match[1]
        elif match[2] == language:
            found.append(Block(heading, language, bool(match[3]), match[4].strip()))
    return found


def first_of_month(time_s: float, months_before: int = 0) -> datetime:
    """Return when the month of a time began, or one before it (UTC)."""
    day = datetime.fromtimestamp(time_s, timezone.utc).replace(
        day=1, hour=0, minute=0, second=0, microsecond=0
    )
    for _ in range(months_before):
        day = (day - timedelta(days=1)).replace(day=1)
    return day


class QueryCase(TestCase):
    """Knows the answers."""

    timeout = 2 * LIMIT_S

    def setUp(self) -> None:
        self.home = KnownHome(int(time.time()))
        self.lines = "\n".join(self.home.lines())
        midnight_s = self.home.midnight_s
        # The days before today, the oldest first.
        self.days = [midnight_s - days * DAY_S for days in range(WEEK, 0, -1)]
        self.sun = [self.home.yield_of(day_s) for day_s in self.days]

    def assert_near(self, found: Values, expected: Values, delta: float, what: str) -> None:
        """Compare numbers, or lists of them."""
        self.assertEqual(set(found), set(expected), what)
        for name, value in expected.items():
            pairs = zip(
                *(each if isinstance(each, list) else [each] for each in (found[name], value)),
                strict=True,
            )
            for got, wanted in pairs:
                self.assertApproximates(got, wanted, delta, f"{name}: {found} in {what}")

    def expected(
        self, language: str, answers: Sequence[tuple[Any, ...]]
    ) -> Iterator[tuple[Block, tuple[Any, ...]]]:
        """Return each query of the page with what is expected of it."""
        found = blocks(language)
        self.assertEqual([block.heading for block in found], [heading for heading, *_ in answers])
        return zip(found, (answer for _, *answer in answers), strict=True)

    def by_day(self, restart_costs: float) -> dict[str, list[float]]:
        """Return the consumption of the days before today."""
        fridge = [2.4] * WEEK
        fridge[-2] -= restart_costs
        return {"fridge": fridge, "laundry": [1.2] * WEEK, "house": [3.0] * WEEK}


class DataTests(QueryCase):
    """The data themselves."""

    def test_they_are_what_the_agent_writes(self) -> None:
        """Each measurement, tag and field is of the catalogue, and of its type."""
        measurements = {each.name: each for each in MEASUREMENTS}
        kinds = {float: "float", int: "int", bool: "bool"}
        # One line of each kind is enough.
        lines = {re.sub(r"=[^, ]+|\d+$", "", line): line for line in self.lines.splitlines()}
        self.assertGreater(len(lines), 10)
        for line in map(parse_line, lines.values()):
            measurement = measurements[line["measurement"]]
            # Telegraf adds the host.
            tags = {tag.name for tag in measurement.tags} | {"host"}
            self.assertLessEqual(set(line["tags"]), tags, line)
            for name, value in line["fields"].items():
                self.assertEqual(kinds[type(value)], measurement.field(name).kind, line)


class MetricsqlTests(QueryCase):
    """VictoriaMetrics."""

    async def test_queries(self) -> None:
        """Each query of the page gives the answer that is known, and no other."""
        victoria = Victoria(self)
        await victoria.start()
        await victoria.write(self.lines)
        for block, (labels, values, delta) in self.expected("metricsql", self.answers()):
            if block.by_day:
                midnight_s = self.home.midnight_s
                series = await victoria.query_range(block.text, self.days[0], midnight_s, "1d")
                # The last one is today's, which is not over.
                found = {
                    name_of(each["metric"], labels): [
                        float(value) for at_s, value in each["values"] if at_s < midnight_s
                    ]
                    for each in series
                }
            else:
                series = await victoria.query(block.text, self.home.now_s)
                found = {
                    name_of(each["metric"], labels): float(each["value"][1]) for each in series
                }
            self.assertEqual(len(series), len(found), f"some count twice: {block.text}")
            self.assert_near(found, values, delta, block.text)

    def answers(self) -> list[tuple[str, str, Values, float]]:
        """Return heading, labels, values by those labels, and how far off they may be."""
        home = self.home
        this, last = (first_of_month(home.now_s, months).timestamp() for months in (0, 1))
        hour_s = home.now_s - home.now_s % HOUR_S
        return [
            ("Power now", "device", {"fridge": 100, "laundry": 30, "house": -50, "total": 800}, 0),
            # Between the last sample before the restart and the restart itself: 15 minutes.
            ("Consumption per day", "device", self.by_day(2.4 / 24 / 4), 1e-5),
            (
                "Cost",
                "device",
                {"fridge": 0.3 * (30 * 2.4 - 2.4 / 24 / 4), "laundry": 0.3 * 30 * 1.2},
                0.3 * NEAR_KWH,
            ),
            ("Solar yield", "device", {"total": self.sun}, 1e-5),
            # In the first hour of a month there is none.
            (
                "Solar yield",
                "device",
                {"total": home.yielded(this, hour_s)} if hour_s > this else {},
                1e-3,
            ),
            ("Solar yield", "device", {"total": home.yielded(last, this)}, 1e-3),
            ("Silent devices", "device", {"cistern": 1}, 0),
            ("Silent devices", "device", {"cistern": 7500}, 0),
            ("Low batteries", "device", {"window": 12}, 0),
            ("Low batteries", "device", {"bell": 1}, 0),
            (
                "Windows open too long",
                "device",
                {"kitchen": 45 * MINUTE_S, "attic": 120 * MINUTE_S},
                0,
            ),
            ("The agent", "module", {"netatmo": 4, "mqtt": 3}, 0),
            ("The agent", "module", {"netatmo": 59}, 0),
            (
                "The agent",
                "host __name__",
                {
                    f"{host} metrics_agent_{field}": value
                    for host, values in WAITING.items()
                    for field, value in values.items()
                },
                0,
            ),
            ("The agent", "host", {"shed": SILENT_AGENT_MINUTES * MINUTE_S}, 0),
        ]


class InfluxqlTests(QueryCase):
    """InfluxDB."""

    async def test_queries(self) -> None:
        """Each query of the page gives the answer that is known, and no other."""
        influx = Influx(self)
        await influx.start()
        await influx.create("telegraf")
        await influx.write(self.lines)
        for block, (read, values, delta) in self.expected("influxql", self.answers()):
            # The month that it names is an example.
            months = iter(f"{first_of_month(self.home.now_s, back):%Y-%m-%d}" for back in (1, 0))
            text = DATE.sub(lambda _, months=months: next(months), block.text)
            found = read(await influx.queries(text))
            self.assert_near(found, values, delta, text)

    async def test_days_of_a_time_zone(self) -> None:
        """As the page says, a day begins at its midnight with tz() at the end."""
        influx = Influx(self)
        await influx.start()
        await influx.create("telegraf")
        await influx.write(self.lines)
        block = next(each for each in blocks("influxql") if each.heading == "Consumption per day")
        rows = await influx.queries(f"{block.text} tz('Asia/Kolkata')")
        hours = {row["time"] // SECOND_NS % DAY_S / HOUR_S for row in rows[0]}
        self.assertEqual(hours, {18.5})

    def answers(self) -> list[tuple[str, Callable[[list[list[Row]]], Values], Values, float]]:
        """Return heading, what reads the rows, what it finds, and how far off that may be."""
        home = self.home
        consumed = {name: days[1:] for name, days in self.by_day(2.4 / 48).items()}
        house = {"": consumed.pop("house")}
        month = home.yielded(*(first_of_month(home.now_s, back).timestamp() for back in (1, 0)))
        cost = {"fridge": 0.3 * (30 * 2.4 - 2.4 / 48), "laundry": 0.3 * 30 * 1.2}
        return [
            ("Power now", by("device", "W"), {"fridge": 100, "laundry": 30, "total": 800}, 0),
            ("Consumption per day", self.daily, consumed, 1e-5),
            ("Consumption per day", self.daily, house, 1e-5),
            ("Cost", by("device", "cost"), cost, 0.3 * NEAR_KWH),
            ("Solar yield", self.daily, {"total": self.sun[1:]}, 1e-5),
            ("Solar yield", by("", "kWh"), {"": month}, 1e-3),
            ("Silent devices", by("device", "stale"), {"cistern": True}, 0),
            ("Silent devices", by("device", "last_seen"), {"cistern": 7500}, 0),
            ("Low batteries", by("device", "battery"), {"window": 12}, 0),
            ("Low batteries", by("device", "low"), {"bell": True}, 0),
            ("Windows open too long", open_all_the_time, {"kitchen": False, "attic": False}, 0),
            ("The agent", by("module", "state"), {"netatmo": 4, "mqtt": 3}, 0),
            ("The agent", by("module", "errors"), {"netatmo": 58}, 1),
            (
                "The agent",
                lambda results: {
                    row["host"]: [row["last"], row["last_1"], row["last_2"]] for row in results[0]
                },
                {host: list(values.values()) for host, values in WAITING.items()},
                0,
            ),
        ]

    def daily(self, results: list[list[Row]]) -> Values:
        """Return the lists of kWh of the whole days before today, by device if there is one."""
        (rows,) = results
        found: dict[str, list[float]] = {}
        for row in rows:
            if row["time"] // SECOND_NS in self.days[1:]:
                found.setdefault(row.get("device", ""), []).append(row["kWh"])
        return found


class AlertTests(QueryCase):
    """What one is woken up by."""

    async def test_vmalert(self) -> None:
        """Each rule fires for what it is there for, and for nothing else."""
        program = find("vmalert")
        victoria = Victoria(self)
        await victoria.start()
        await victoria.write(self.lines)
        (line,) = re.findall(r"^    vmalert (.*)$", PAGE.read_text("utf-8"), re.MULTILINE)
        options = dict(word[1:].split("=", 1) for word in line.split())
        rules = CHECKOUT / options["rule"]
        start, end = (
            datetime.fromtimestamp(self.home.now_s - seconds, timezone.utc).isoformat()
            for seconds in (SILENT_AGENT_MINUTES * MINUTE_S, 0)
        )
        command = [
            *(program, f"-rule={rules}", f"-datasource.url={victoria.url}"),
            *(f"-remoteWrite.url={victoria.url}", "-replay.rulesDelay=0s"),
            *(f"-replay.timeFrom={start}", f"-replay.timeTo={end}", "-replay.disableProgressBar"),
        ]
        done = await deferToThread(run_to_end, command)
        self.assertEqual(done.returncode, 0, done.stderr)
        await victoria.flush()
        text = 'last_over_time(ALERTS{alertstate="firing"}[1h])'
        fired = [each["metric"] for each in await victoria.query(text, self.home.now_s)]
        found = {
            (each["alertname"], name_of(each, "device host module_instance") or each["module"])
            for each in fired
        }
        self.assertEqual(
            found,
            {
                ("DeviceSilent", "cistern"),
                ("BatteryLow", "window"),
                ("BatteryLow", "bell"),
                ("WindowOpen", "kitchen"),
                ("WindowOpen", "attic"),
                ("AgentSilent", "shed"),
                ("ModuleNotRunning", "netatmo"),
                ("BrokerAway", "tasmota"),
                ("ModuleErrors", "netatmo"),
                ("MetricsLost", "output"),
                ("DatabaseSlow", "cellar"),
                ("AgentSlow", "cellar"),
            },
        )
        names = set(re.findall(r"- alert: (\w+)", rules.read_text("utf-8")))
        self.assertEqual({name for name, _ in found}, names, "rules that nothing here makes fire")

    async def test_cron(self) -> None:
        """The lines for InfluxDB print what is wrong; a device, and here that no agent answers."""
        require("curl")
        influx = Influx(self)
        await influx.start()
        await influx.create("telegraf")
        (block,) = blocks("sh")
        command = ["sh", "-c", block.text.replace("http://localhost:8086", influx.url)]
        path = {"PATH": f"{Path(argv('metrics-agent')[0]).parent}:{environment()['PATH']}"}
        nothing = await deferToThread(run_to_end, command, path)
        await influx.write(self.lines)
        something = await deferToThread(run_to_end, command, path)
        for done in (nothing, something):
            self.assertIn("metrics-agent: something is wrong", done.stdout)
        self.assertEqual(len(nothing.stdout.splitlines()), 1)
        self.assertIn("cistern", something.stdout)
        self.assertNotIn("fridge", something.stdout)


def name_of(labels: Mapping[str, str], names: str) -> str:
    """Return the values of some labels, those that are there."""
    return " ".join(labels[name] for name in names.split() if name in labels)


def by(key: str, column: str) -> Callable[[list[list[Row]]], Values]:
    """Return what reads a column of the rows of one statement, by a tag; "" if there is none."""
    return lambda results: {row.get(key, ""): row[column] for row in results[0]}


def open_all_the_time(results: list[list[Row]]) -> Values:
    """Return what is in the first of two answers alone."""
    before, since = (by("device", "contact")(each) for each in ([results[0]], [results[1]]))
    return {name: value for name, value in before.items() if name not in since}
