"""How databases answer to a write over HTTP, and what they store of it. Pure.

`test_http_parity` compares InfluxDB 1 and VictoriaMetrics with the real ones; InfluxDB 2 answers as
its documentation and source say.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import Factory, frozen

__all__ = ["BROKEN", "CONFLICT", "Answer", "Database", "Outcome", "lines_of", "respond"]

BROKEN: Final = b",wrong=true"
"""A field that makes a line one that no database can parse, so the model decides."""
CONFLICT: Final = b",odd=true"
"""A field that InfluxDB knows as a float."""

_JSON: Final = {"Content-Type": "application/json"}
_TEXT: Final = {"Content-Type": "text/plain; charset=utf-8"}


class Database(enum.Enum):
    """Which one it is."""

    INFLUX_1 = "influxdb 1"
    INFLUX_2 = "influxdb 2"
    VICTORIA = "victoria-metrics"


@frozen
class Answer:
    """An answer.

    Attributes:
        status: of HTTP.
        body: of it.
        headers: besides Content-Length.
        measured: its length is stated; else the end of the connection is its end.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = Factory(dict)
    measured: bool = True

    def encode(self) -> bytes:
        """Return it as it is sent."""
        lines = [f"HTTP/1.1 {self.status} Whatever"]
        headers = dict(self.headers)
        if self.status >= 200 and self.status != 204 and self.measured:
            headers["Content-Length"] = str(len(self.body))
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode() + self.body


@frozen
class Outcome:
    """What a database does with a request.

    Attributes:
        answer: it gives.
        stored: lines that it stores.
        left_out: lines that it will never store, where it stores the others.
    """

    answer: Answer
    stored: Sequence[bytes] = ()
    left_out: Sequence[bytes] = ()


def lines_of(body: bytes) -> list[bytes]:
    """Return the lines of a request, each with its newline."""
    return body.splitlines(keepends=True)


def respond(database: Database, body: bytes, limit_bytes: int) -> Outcome:
    """Return what a database does with a request to the right address.

    Args:
        database: which one.
        body: of the request.
        limit_bytes: a longer body is too large.
    """
    if len(body) > limit_bytes:
        return Outcome(_too_large(database, limit_bytes))
    broken = [line for line in lines_of(body) if BROKEN in line]
    whole = [line for line in lines_of(body) if BROKEN not in line]
    if database is Database.VICTORIA:
        return _victoria(body, broken) if broken else Outcome(Answer(204), whole)
    unable = "\n".join(f"unable to parse '{_shown(line)}': invalid boolean" for line in broken)
    if broken and (database is Database.INFLUX_2 or not whole):
        key = "message" if database is Database.INFLUX_2 else "error"
        return Outcome(_error(400, {key: unable}))
    odd = [line for line in whole if CONFLICT in line]
    good = [line for line in whole if CONFLICT not in line]
    if not (broken or odd):
        return Outcome(Answer(204), good)
    said = f"{unable} dropped=0"
    if odd:
        measurement = odd[0].partition(b",")[0].decode()
        said = (
            f'field type conflict: input field "odd" on measurement "{measurement}" is type '
            f"boolean, already exists as type float dropped={len(odd)}"
        )
    if database is Database.INFLUX_1:
        return Outcome(_error(400, {"error": f"partial write: {said}"}), good, [*broken, *odd])
    message = f"failure writing points to database: partial write: {said}"
    document = {"code": "unprocessable entity", "message": message}
    return Outcome(_error(422, document), good, odd)


def _victoria(body: bytes, broken: Sequence[bytes]) -> Outcome:
    rest = body[body.index(broken[0]) :].decode()
    shown = rest.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    text = (
        f'cannot process influx line protocol data: incorrect influx line "{shown}": cannot '
        'parse field value for "wrong"\n'
    )
    return Outcome(Answer(400, text.encode(), _TEXT))


def _shown(line: bytes) -> str:
    return line.decode().rstrip("\n")


def _error(status: int, document: Mapping[str, Any]) -> Answer:
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False) + "\n"
    return Answer(status, text.encode(), _JSON)


def _too_large(database: Database, limit_bytes: int) -> Answer:
    if database is Database.VICTORIA:
        text = (
            "cannot process influx line protocol data: too big data size exceeding "
            f"-influx.maxRequestSize={limit_bytes} bytes\n"
        )
        return Answer(400, text.encode(), _TEXT)
    return _error(413, {"error": "Request Entity Too Large"})
