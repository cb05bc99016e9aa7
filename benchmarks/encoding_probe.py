"""Times three ways to write one line of five floats; a process of its own, run by a row.

Writes JSON: microseconds a line by the name of the way; without influxdb-client two of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from benchmarks.probe import write_times
from metrics_agent.line_protocol import Encoder
from metrics_agent.metric import Metric, Series

TAGS = {"vendor": "tasmota", "device": "bench_00042", "friendly": "Plug 42"}
FIELDS = {
    "current": 2.169,
    "energy_today": 0.871,
    "energy_total": 1843.207,
    "power": 492.0,
    "voltage": 231.0,
}
TIME_NS = 1_700_000_000_123_456_789


def by_sorted_loop(tags: Mapping[str, str], fields: Mapping[str, float], time_ns: int) -> bytes:
    """Write a line the straightforward way, every time again."""
    head = ",".join(
        ["electricity", *[f"{key}={escaped(value)}" for key, value in sorted(tags.items())]]
    )
    body = ",".join([f"{key}={value!r}" for key, value in sorted(fields.items())])
    return f"{head} {body} {time_ns}\n".encode()


def escaped(text: str) -> str:
    """Escape a tag's value."""
    return text.replace(",", "\\,").replace("=", "\\=").replace(" ", "\\ ")


def ways() -> dict[str, Callable[[], object]]:
    """Return what is timed; each makes its point again, as it would for each message."""
    encode = Encoder().encode
    series = Series("electricity", TAGS)

    def ours() -> bytes:
        return encode(Metric(series, FIELDS, TIME_NS))

    found: dict[str, Callable[[], object]] = {
        "metrics-agent": ours,
        "sorted loop": lambda: by_sorted_loop(TAGS, FIELDS, TIME_NS),
    }
    try:
        from influxdb_client import Point
    except ImportError:
        return found

    def point() -> str:
        made = Point.measurement("electricity")
        for key, value in TAGS.items():
            made.tag(key, value)
        for key, number in FIELDS.items():
            made.field(key, number)
        return str(made.time(TIME_NS).to_line_protocol())

    found["influxdb-client"] = point
    return found


def main() -> None:
    """Write the time of each way."""
    write_times(ways())


if __name__ == "__main__":
    main()
