"""The CPU time of each stage of a message's way through the agent, without sockets.

``python -m benchmarks.stages`` writes a table. What is given are the best of some rounds, for one
message of a plug: the differences between nested stages are what a stage itself costs.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, cast

from twisted.internet.defer import maybeDeferred
from twisted.internet.task import Clock
from twisted.logger import Logger

from benchmarks import fleet, packets
from metrics_agent.interfaces import Message
from metrics_agent.json_payload import loads
from metrics_agent.line_protocol import Encoder
from metrics_agent.modules.tasmota import MODULE
from metrics_agent.modules.tasmota.decode import decode_document
from metrics_agent.modules.tasmota.device import Device, DeviceNaming
from metrics_agent.state.directory import Pace, StateDirectory
from metrics_agent.supervision.context import Context, Resources
from metrics_agent.supervision.counters import Counters
from metrics_agent.supervision.ticker import TickerLimits
from metrics_agent.transports.mqtt.intake import Intake
from metrics_agent.transports.mqtt.packets import decode_publish
from metrics_agent.transports.mqtt.splitter import PacketSplitter
from metrics_agent.transports.mqtt.topics import Deliver, SubscriptionTable

__all__ = ["Way", "main"]

_DEVICES: Final = 500
_ROUNDS: Final = 100
_REPEATS: Final = 5
_READ_BYTES: Final = 65_536
_TIME_NS: Final = 1_700_000_000_000_000_000


class _Connection:
    """As much of a connection as a context asks for."""

    def __init__(self, table: SubscriptionTable) -> None:
        self._table = table

    def subscribe(
        self,
        topic_filter: str,
        qos: int,
        deliver: Deliver,
        *,
        learned: bool = False,  # noqa: ARG002 - as the connection has it
        announcements: bool = False,  # noqa: ARG002 - likewise
    ) -> object:
        """Note who wants what."""
        return self._table.add(topic_filter, qos, deliver)

    def publish(self, *_message: object) -> bool:
        """Send nothing."""
        return True


class Way:
    """The agent's own parts from the bytes of a broker to the lines, put together.

    Args:
        devices: how many are known and send.
    """

    def __init__(self, devices: int = _DEVICES) -> None:
        self.encode = Encoder().encode
        self.table = SubscriptionTable()
        self.counters = Counters()
        connection = _Connection(self.table)
        clock = Clock()
        # Nothing is written: the clock does not advance, and null is no directory.
        state = StateDirectory(Path("/dev/null"), Logger(), Pace(clock, maybeDeferred))
        resources = Resources(
            reactor=clock,
            now_ns=time.time_ns,
            encode=self.encode,
            write=lambda _batch: None,
            connection=lambda _name, _settings: connection,
            state=state,
            limits=TickerLimits(3, 3.0),
            threads=lambda _name: clock,
        )
        context = Context("tasmota", Logger(), resources, self.counters, lambda _error: None)
        MODULE.make(MODULE.settings(), context).startService()
        self.intake = Intake(
            self.table,
            lambda _batch: None,
            time.time_ns,
            lambda _reason, _count: None,
            Logger(),
            1 << 20,
        )
        for index in range(devices):
            topic, payload = fleet.announcement(index)
            self.take([self._frame(packets.publish(topic, payload, retain=True))])
        sent = b"".join(
            packets.publish(fleet.sensor_topic(index), _filled(fleet.payload(index)))
            for index in range(devices)
        )
        self.reads = [
            sent[start : start + _READ_BYTES] for start in range(0, len(sent), _READ_BYTES)
        ]
        self.frames = self.split()

    def split(self) -> list[tuple[int, bytes]]:
        """Cut what was read into packets."""
        splitter = PacketSplitter(1 << 20)
        return cast(
            "list[tuple[int, bytes]]", [each for read in self.reads for each in splitter.feed(read)]
        )

    def take(self, frames: Sequence[tuple[int, bytes]], *, v5: bool = False) -> None:
        """Take packets all the way to a batch of lines."""
        intake = self.intake
        intake.begin()
        for first, body in frames:
            intake.take(first, body, v5=v5)
        # No message at QoS 1 is among them, so nothing is to be acknowledged.
        intake.end(cast("Any", None))

    def _frame(self, packet: bytes) -> tuple[int, bytes]:
        (frame,) = PacketSplitter(1 << 20).feed(packet)
        return cast("tuple[int, bytes]", frame)


def _filled(payload: bytes) -> bytes:
    data = payload.replace(fleet.SEQUENCE, b"%07d" % fleet.FIRST_SEQUENCE)
    return data.replace(fleet.STAMP, b"%010d" % fleet.FIRST_STAMP)


def _best_us(call: Callable[[], object], messages: int) -> float:
    """Return the CPU time for one message, the best of some rounds."""
    best_s = float("inf")
    for _ in range(_REPEATS):
        started_s = time.process_time()
        for _ in range(_ROUNDS):
            call()
        best_s = min(best_s, time.process_time() - started_s)
    return best_s / _ROUNDS / messages * 1e6


def stages(way: Way) -> dict[str, Callable[[], object]]:
    """Return each stage as a call that does it for all messages."""
    frames = way.frames
    published = [decode_publish(first, body, False) for first, body in frames]
    payloads = [each.payload for each in published]
    topics = [each.topic for each in published]
    documents = cast("list[dict[str, object]]", [loads(payload) for payload in payloads])
    device = Device(fleet.device_name(0), DeviceNaming({}))
    metrics = [
        metric
        for document in documents
        for metric in decode_document(document, device, _TIME_NS, _never_dropped, {})
    ]
    names = [topic.decode() for topic in topics]
    messages = [
        Message(name, payload, 0, False, _TIME_NS)
        for name, payload in zip(names, payloads, strict=True)
    ]
    # A property length of 0 follows the topic.
    frames_5 = [
        (first, body[: len(topic) + 2] + b"\0" + body[len(topic) + 2 :])
        for (first, body), topic in zip(frames, topics, strict=True)
    ]
    deliver = way.table.match(topics[0])[1][0]

    def deliver_all() -> None:
        lines: list[bytes] = []
        for message in messages:
            deliver(message, lines)

    return {
        "split a read into packets": way.split,
        "decode PUBLISH": lambda: [decode_publish(first, body, False) for first, body in frames],
        "find who wants the topic": lambda: [way.table.match(topic) for topic in topics],
        "make the Message": lambda: [Message("", payload, 0, False, 1) for payload in payloads],
        "parse the JSON": lambda: [loads(payload) for payload in payloads],
        "object to metrics": lambda: [
            decode_document(document, device, _TIME_NS, _never_dropped, {})
            for document in documents
        ],
        "metric to line": lambda: [way.encode(metric) for metric in metrics],
        "message to line (parse, metrics, line; guard, module)": deliver_all,
        "packet to line (all but splitting)": lambda: way.take(frames),
        "the same with MQTT 5": lambda: way.take(frames_5, v5=True),
    }


def _never_dropped(reason: str, where: str) -> None:
    raise AssertionError(f"{where} was dropped: {reason}")


def main() -> None:
    """Write the table."""
    way = Way()
    for name, call in stages(way).items():
        sys.stdout.write(f"{name:55} {_best_us(call, _DEVICES):6.2f} us\n")


if __name__ == "__main__":
    main()
