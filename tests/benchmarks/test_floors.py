"""The floors of row pace do what their names say, and system calls are counted as they are."""

from __future__ import annotations

import json
import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from benchmarks import fleet, packets
from benchmarks.clients.bare import publishes
from benchmarks.collector import tally
from benchmarks.system_calls import SystemCalls, count_of
from tests.needs import require


def packet(index: int, payload: bytes, packet_id: int = 0) -> bytes:
    """Return a SENSOR message."""
    topic = fleet.sensor_topic(index)
    return packets.publish(topic, payload, qos=1 if packet_id else 0, packet_id=packet_id)


class PublishesTests(SynchronousTestCase):
    """How the floors cut a stream."""

    def test_any_cut_of_the_stream(self) -> None:
        stream = b"".join(
            [
                b"\x20\x02\x00\x00",  # CONNACK
                packet(3, b"x" * 300),
                packet(4, b"", 513),
                packets.PINGRESP,
                packet(5, b"y" * 20_000, 7),
            ]
        )
        wanted = [
            (b"bench_00003", b"", b"x" * 300),
            (b"bench_00004", b"\x02\x01", b""),
            (b"bench_00005", b"\x00\x07", b"y" * 20_000),
        ]
        for cut in (*range(400), len(stream) - 1, len(stream)):
            first, pending = publishes(stream[:cut])
            second, rest = publishes(pending + stream[cut:])
            self.assertEqual((first + second, rest), (wanted, b""), cut)


class LineTests(SynchronousTestCase):
    """The line of the bare loop."""

    def test_it_has_all_fields_of_a_message(self) -> None:
        require("orjson")
        from benchmarks.clients.epoll_floor import line_of

        payload = fleet.payload(7).replace(fleet.SEQUENCE, b"1000002")
        payload = payload.replace(fleet.STAMP, b"1000000009")
        line = line_of(b"bench_00007", payload, 123)
        head, fields, stamp = line.split(b" ")
        self.assertEqual((head, stamp), (b"electricity,device=bench_00007", b"123\n"))
        energy = json.loads(payload)["ENERGY"]
        found = dict(pair.split(b"=") for pair in fields.split(b","))
        self.assertEqual(
            {name.decode(): float(value) for name, value in found.items()},
            {name: energy[key] for key, name in fleet.FIELDS.items()},
        )
        self.assertEqual(tally([(0, line)], devices=8, rounds=3).distinct, 1)


class SystemCallsTests(SynchronousTestCase):
    """How they are counted."""

    def test_what_perf_writes(self) -> None:
        text = "# started on ...\n\n1010,,raw_syscalls:sys_enter,950700,100.00,1.086,M/sec\n"
        self.assertEqual(count_of(text), 1010)
        with self.assertRaisesRegex(RuntimeError, "got '<not counted>,,raw"):
            count_of("<not counted>,,raw_syscalls:sys_enter,0,100.00,,\n")

    def test_all_of_a_process(self) -> None:
        events = Path("/sys/kernel/tracing/events/raw_syscalls")
        has_perf = any(Path(each, "perf").exists() for each in os.get_exec_path())
        if not has_perf or not os.access(events, os.R_OK):
            # The row says so in a note; a test cannot ask for what is missing.
            self.assertNotEqual(SystemCalls.missing(), "")
            return
        self.assertEqual(SystemCalls.missing(), "")
        with SystemCalls(os.getpid()) as calls:
            for _ in range(100):
                os.getppid()
        assert calls.count is not None
        self.assertTrue(100 <= calls.count < 120, calls.count)
