"""The rows of faults between the agent and a database, for ``output = "http://..."``.

Each is a test ``test_<name>`` in `test_database`. Telegraf's ways to the same database run beside.
"""

from __future__ import annotations

from typing import Final

from tests.faults.row import Row

__all__ = ["DATABASE", "ON_REQUEST", "database"]

_SAME: Final = "the same lines again until they are stored, none twice"
_PAUSE: Final = "tried again when it says so; none lost, none twice"
_FOUND: Final = "the bad lines are found, dropped and counted; the others are stored"
_MEMORY: Final = "lost is only what it had taken in the seconds before, which it keeps in memory"
_NONE: Final = "nothing is acknowledged, nothing dropped; none lost"

_ROWS: Final = (
    # name, place, fault, must
    ("influxdb_killed", "InfluxDB", "killed (-9) for 5 s", _SAME),
    ("influxdb_stopped", "InfluxDB", "SIGSTOP for a while", _SAME),
    ("influxdb_503", "InfluxDB", "503 with Retry-After", _PAUSE),
    (
        "influxdb_bad_line",
        "InfluxDB",
        "400 for all of a request with one bad line",
        _FOUND,
    ),
    ("influxdb_garbage", "InfluxDB", "answers with garbage", _SAME),
    ("influxdb_nothing", "InfluxDB", "takes requests and does not answer", _SAME),
    (
        "influxdb_disk_full",
        "InfluxDB",
        "its disk is full; there is room again, and it is restarted",
        _SAME,
    ),
    ("influxdb_certificate", "InfluxDB", "its certificate expires and is renewed", _NONE),
    (
        "influxdb_readers_killed",
        "agent",
        "killed (-9) again and again",
        "none lost; what was not acknowledged comes again, as points of its own",
    ),
    ("influxdb_broker_restarted", "broker", "restarted in order", "none lost"),
    (
        "victoria_killed",
        "VictoriaMetrics",
        "killed (-9) for 5 s",
        _MEMORY,
    ),
    ("victoria_wrong_path", "VictoriaMetrics", "400 since the path is wrong", _NONE),
)

_ON_REQUEST: Final = (
    ("influxdb_killed_long", "InfluxDB", "killed (-9) for 60 s", _SAME),
    ("influxdb_500", "InfluxDB", "500", _SAME),
    ("influxdb_429", "InfluxDB", "429 with Retry-After", _PAUSE),
    ("influxdb_wrong_path", "InfluxDB", "404 since the path is wrong", _NONE),
    (
        "victoria_killed_long",
        "VictoriaMetrics",
        "killed (-9) for 60 s",
        _MEMORY,
    ),
    ("victoria_stopped", "VictoriaMetrics", "SIGSTOP for a while", _SAME),
    (
        "victoria_bad_line",
        "VictoriaMetrics",
        "its own 400 for all of a request with one bad line",
        _FOUND,
    ),
    (
        "influxdb_own_bad_line",
        "InfluxDB",
        "its own 400 for one bad line; it stores the others",
        "the bad lines are dropped and counted; none sent again",
    ),
    ("victoria_disk_full", "VictoriaMetrics", "its disk is full", _SAME),
    ("telegraf_killed", "Telegraf", "killed (-9) five times", "-"),
    (
        "telegraf_away",
        "Telegraf",
        "away for 60 s, with mosquitto's default `max_queued_messages` of 1,000",
        "-",
    ),
    ("telegraf_restarted", "Telegraf", "restarted 3 times while InfluxDB is away", "-"),
)

DATABASE: Final = tuple(Row(*row) for row in _ROWS)

ON_REQUEST: Final = tuple(Row(*row) for row in _ON_REQUEST)
"""Further ones, which `scale.ALL` adds."""

_BY_NAME: Final = {row.name: row for row in (*DATABASE, *ON_REQUEST)}


def database(name: str) -> Row:
    """Return a row."""
    return _BY_NAME[name]
