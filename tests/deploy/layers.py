"""The layers of the chain: how each is restarted and fails, and the numbered messages meanwhile."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Final

from attrs import define, field, frozen
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

__all__ = ["FAILING_MODULE", "ROWS", "Numbers", "Row", "Seen", "Tail", "table"]

DEVICE: Final = "plug00"
_LINE: Final = re.compile(
    rb"electricity,(?:\S+,)?device=plug00[, ].*energy_total=(\d+)\S* (\d+)\n", re.MULTILINE
)
_STOP_LIMIT_S: Final = 30


@frozen
class Row:
    """What happens to a layer.

    Attributes:
        name: for the test.
        layer: which one.
        how: what is done to it.
        then: what brings the data back.
        keeps_all: nothing may be lost; False where what Telegraf has read and not yet written
            out dies with it.
    """

    name: str
    layer: str
    how: str
    then: str
    keeps_all: bool = True


ROWS: Final = (
    Row("sighup", "module", "restarted: SIGHUP", "the agent starts all modules again"),
    Row(
        "exit",
        "process",
        "restarted: SIGTERM to the agent",
        "Telegraf, after `restart_delay` (10 s)",
    ),
    Row("reload", "Telegraf", "restarted: `systemctl reload telegraf`", "Telegraf itself"),
    Row("restart", "systemd", "restarts all below it: `systemctl restart telegraf`", "systemd"),
    Row("module", "module", "fails", "the agent, after `restart_backoff_min` (1 s)"),
    Row("kill", "process", "fails: SIGKILL", "Telegraf, after `restart_delay` (10 s)"),
    Row("telegraf", "Telegraf", "fails: SIGKILL", "systemd, after `RestartSec` (10 s)", False),
    Row(
        "systemd",
        "systemd",
        "fails, and all with it, as without power",
        "the machine's start",
        False,
    ),
)


FAILING_MODULE: Final = '''
"""The module tasmota, which fails when a file is touched."""
import time
from pathlib import Path
from attrs import evolve
from metrics_agent.modules.tasmota import MODULE as TASMOTA

TRIGGER = Path("{trigger}")


def make(settings, context):
    module = TASMOTA.make(settings, context)
    start, began_s = module.startService, time.time()

    def look():
        if TRIGGER.exists() and TRIGGER.stat().st_mtime > began_s:
            context.fail(RuntimeError("it was asked to fail"))

    def start_and_look():
        context.every(0.05, look)
        return start()

    module.startService = start_and_look
    return module


MODULE = evolve(TASMOTA, name="failing", service=make)
'''


class Numbers:
    """A device that counts its messages at QoS 1, a hundred a second, in a thread of its own."""

    RATE: Final = 100

    def __init__(self, port: int) -> None:
        self.sent = 0
        self.times_ns: list[int] = []
        self._client = Client(CallbackAPIVersion.VERSION2, client_id="numbers")
        self._client.max_queued_messages_set(0)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def announce(self, topic: str, payload: bytes) -> None:
        """Publish a retained message."""
        self._client.publish(topic, payload, qos=1, retain=True).wait_for_publish(_STOP_LIMIT_S)

    def start(self) -> None:
        """Begin to count."""
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.wait(1 / self.RATE):
            self.sent += 1
            self.times_ns.append(time.time_ns())
            self._last = self._client.publish(
                f"tele/{DEVICE}/SENSOR", b'{"ENERGY":{"Total":%d,"Power":1}}' % self.sent, qos=1
            )

    def stop(self) -> None:
        """Send no more; returns when the broker has taken all."""
        if not self._ended.is_set():
            self._ended.set()
            self._thread.join(_STOP_LIMIT_S)
            self._last.wait_for_publish(_STOP_LIMIT_S)
            self._client.disconnect()
            self._client.loop_stop()


@define
class Tail:
    """A file of line protocol that grows.

    Attributes:
        path: as this machine sees it; it may change.
        times_ns: by number, the time in its first line.
        again: lines with a number that was there before.
    """

    path: Path
    times_ns: dict[int, int] = field(factory=dict)
    again: int = 0
    _offset: int = 0

    def read(self) -> int:
        """Read what is new; returns the highest number."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except OSError:
            data = b""
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        for number, time_ns in _LINE.findall(whole):
            self.again += int(number) in self.times_ns
            self.times_ns.setdefault(int(number), int(time_ns))
        return max(self.times_ns, default=0)

    def longest_gap_s(self, from_ns: int, to_ns: int) -> float:
        """Return the longest time without a point in a period, seconds."""
        times = sorted(time for time in self.times_ns.values() if from_ns <= time <= to_ns)
        return max((b - a for a, b in pairwise(times)), default=0) / 1e9

    def missing(self, first: int, last: int) -> list[int]:
        """Return the numbers that are not there."""
        return [number for number in range(first, last + 1) if number not in self.times_ns]


@frozen
class Seen:
    """What a row has shown.

    Attributes:
        without_data_s: the longest time between two points.
        sent: messages from before it until all was well again.
        lost: those that are not in Telegraf's file.
        again: those that are there twice.
    """

    without_data_s: float
    sent: int
    lost: int
    again: int


def table(seen: Mapping[str, Seen], rows: Iterable[Row] = ROWS) -> str:
    """Return the page's block."""
    lines = [
        "| layer | what happens | data comes back by | without data | messages | lost | twice |",
        "|---|---|---|---:|---:|---:|---:|",
    ]
    for row in rows:
        found = seen[row.name]
        cells = [row.layer, row.how, row.then, f"{found.without_data_s:.2f} s"]
        cells += [f"{found.sent:,}", str(found.lost), str(found.again)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
