"""The model of a database does what InfluxDB 1 and VictoriaMetrics do: random requests to both."""

from __future__ import annotations

import http.client
import json
import urllib.parse
from collections.abc import Sequence
from random import Random

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from metrics_agent.http_interface import HttpReply
from metrics_agent.output.http.answers import judge
from tests.integration.database import DatabaseServer
from tests.integration.influxdb import Influx
from tests.integration.victoria import Victoria
from tests.needs import missing
from tests.simulation.http_model import BROKEN, CONFLICT, Answer, Database, respond

REQUESTS = 40
SEEDS = 3
T0 = 1_750_000_000_000_000_000
"""In the past: VictoriaMetrics drops what is more than two days in the future, without a word."""
LIMIT_BYTES = 2000


def line(number: int, more: bytes = b"") -> bytes:
    """Make a line; each has a time of its own."""
    return b"number,module=a,qos=1 n=%di%b %d\n" % (number, more, T0 + number)


def number_of(data: bytes) -> int:
    """Return the number of a line."""
    return int(data.partition(b" n=")[2].partition(b"i")[0])


def real(data: bytes) -> bytes:
    """Return what the real ones are sent: what the model calls wrong they cannot parse either."""
    return data.replace(BROKEN, BROKEN[:-1])


class LowInflux(Influx):
    """With a low limit of a request."""

    def __init__(self, case: TestCase) -> None:
        super().__init__(case)
        with (self._directory / "conf").open("a", encoding="utf-8") as file:
            file.write(f"max-body-size = {LIMIT_BYTES}\n")  # of the last section, http


class LowVictoria(Victoria):
    """The same."""

    def arguments(self) -> list[str]:
        """Set the limit."""
        return [*super().arguments(), f"-influx.maxRequestSize={LIMIT_BYTES}"]


class Client:
    """Sends requests on one connection, which is kept."""

    def __init__(self, server: DatabaseServer) -> None:
        where = urllib.parse.urlsplit(server.url)
        self._connection = http.client.HTTPConnection(where.netloc, timeout=20)
        self.connections = 0

    def post(self, path: str, body: bytes) -> Answer:
        """Send one."""
        if self._connection.sock is None:
            self.connections += 1
        self._connection.request("POST", path, body)
        response = self._connection.getresponse()
        return Answer(response.status, response.read())

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class ParityTests(TestCase):
    """What is answered, what is stored, and what the agent makes of it."""

    def compare(self, model: Answer, got: Answer, body: bytes) -> None:
        """Compare two answers: in all that is before an explanation of VictoriaMetrics."""
        self.assertEqual(got.status, model.status, body)
        said, expected = got.body, real(model.body)
        if b"cannot process" in said:
            end = expected.rindex(b'"wrong"') if b'"wrong"' in expected else len(expected) - 1
            said, expected = said[:end], expected[:end]
        self.assertEqual(said, expected, body)
        verdicts = [judge(HttpReply(each.status, each.body, {}), 0) for each in (model, got)]
        self.assertIs(type(verdicts[0]), type(verdicts[1]))
        self.assertEqual(*(getattr(each, "count", 0) for each in verdicts))

    def converse(self, client: Client, database: Database, path: str) -> Sequence[int]:
        """Send random requests to both; return the numbers that the model stores."""
        stored: list[int] = []
        number = 0
        for seed in range(SEEDS):
            random = Random(seed)
            for _ in range(REQUESTS):
                kinds = random.choice(((b"",), (b"", b"", BROKEN), (b"", CONFLICT), (BROKEN,)))
                kinds = (*kinds, *random.choice(((), (CONFLICT,))))
                lines = []
                for _ in range(random.choice((1, 1, 2, 5))):
                    number += 1
                    lines.append(line(number, random.choice(kinds)))
                body = b"".join(lines)
                outcome = respond(database, body, LIMIT_BYTES)
                self.compare(outcome.answer, client.post(path, real(body)), body)
                stored += map(number_of, outcome.stored)
        return stored

    async def test_influxdb(self) -> None:
        """Random requests, a long one, another path and database; all is there after a kill."""
        influx = LowInflux(self)
        await influx.start()
        await influx.create("telegraf")
        client = Client(influx)
        path = "/write?db=telegraf"
        self.assertEqual(client.post(path, b"number,module=a,qos=1 odd=1.5 %d\n" % T0).status, 204)
        expected = self.converse(client, Database.INFLUX_1, path)
        long = line(1) * (LIMIT_BYTES // len(line(1)) + 1)
        outcome = respond(Database.INFLUX_1, long, LIMIT_BYTES)
        self.compare(outcome.answer, client.post(path, long), b"a long one")
        for wrong in ("/write?db=another", "/writ?db=telegraf"):
            self.assertEqual(client.post(wrong, line(1)).status, 404)
        client.close()
        self.assertLessEqual(client.connections, 2)
        influx.kill()
        await influx.start()
        rows = await influx.query("SELECT n FROM number")
        self.assertEqual([row["n"] for row in rows], expected)

    test_influxdb.skip = missing("influxdb")  # type: ignore[attr-defined]  # trial reads it

    async def test_victoria(self) -> None:
        """Random requests, a long one and another path."""
        victoria = LowVictoria(self)
        await victoria.start()
        client = Client(victoria)
        expected = self.converse(client, Database.VICTORIA, "/write")
        long = line(1) * (LIMIT_BYTES // len(line(1)) + 1)
        outcome = respond(Database.VICTORIA, long, LIMIT_BYTES)
        self.compare(outcome.answer, client.post("/write", long), b"a long one")
        answer = client.post("/writ", line(1))
        self.assertEqual((answer.status, answer.body[:16]), (400, b"unsupported path"))
        client.close()
        await deferToThread(victoria._get, "/internal/force_flush")
        exported = await deferToThread(victoria._get, "/api/v1/export?match[]=number_n")
        rows = [json.loads(each) for each in exported.splitlines()]
        got = sorted(value for row in rows for value in row["values"])
        self.assertEqual(got, expected)

    test_victoria.skip = missing("victoria-metrics")  # type: ignore[attr-defined]  # trial reads it
