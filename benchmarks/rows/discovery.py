"""Ten thousand retained announcements in one burst."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Final

from benchmarks import fleet
from benchmarks.bench import Bench, Running, environment, scratch
from benchmarks.broker import Broker, Mailbox
from benchmarks.child import Child
from benchmarks.collector import Collector
from benchmarks.rows.base import Notebook, Row
from benchmarks.subjects import Setup

__all__ = ["ROW"]

_DEVICES: Final = 10_000
_LIMIT_S: Final = 30.0
_QUEUES: Final = {"the default queue of 1,000": "1000", "a queue without bound": "0"}
"""What mosquitto may hold for a client before it drops (max_queued_messages). What comes at QoS 0,
and retained announcements do, is dropped when a client is not read from fast enough."""


def measure(bench: Bench, notebook: Notebook) -> None:
    """Start an agent at a broker that has the announcements, and see when it knows the devices."""
    for repetition in range(bench.repeat(3)):
        for queue, length in _QUEUES.items():
            bench.say(f"discovery: {queue}, repetition {repetition + 1}")
            _one(bench, notebook, queue, length)


def _one(bench: Bench, notebook: Notebook, queue: str, length: str) -> None:
    subject = f"{bench.agent.name}, {queue}"
    # A line in the broker's log for each subscription tells when the burst begins.
    settings = (f"max_queued_messages {length}", "log_type subscribe")
    with ExitStack() as stack:
        broker = stack.enter_context(bench.broker(settings))
        directory = stack.enter_context(scratch())
        broker.retain(fleet.announcement(index) for index in range(_DEVICES))
        argv = bench.agent.command(Setup(broker.port, directory))
        child = stack.enter_context(Child(argv, directory, environment()))
        collector = stack.enter_context(Collector([child]))
        subscribed_s = _until_subscribed(broker, child)
        known_s = _until_known(broker, child, collector)
        cpu_s = child.cpu_s
        dropped = broker.counters()["dropped"]
        named = _count_named(bench, broker, child, collector)
    notebook.add("all taken, from SUBSCRIBE", subject, known_s - subscribed_s, "s", target=2.0)
    notebook.add("all taken, from exec", subject, known_s - child.started_ns / 1e9, "s")
    notebook.add("CPU of it, start included", subject, cpu_s, "s")
    notebook.add(
        "devices known by name",
        subject,
        named,
        target=_DEVICES,
        # With a queue that has a bound the broker may drop before anybody could have read.
        floor=_DEVICES if length == "0" else None,
        more_is_better=True,
    )
    notebook.add("dropped by the broker", subject, dropped)


def _until_subscribed(broker: Broker, child: Child) -> float:
    end_s = time.monotonic() + _LIMIT_S
    while "tasmota/discovery/" not in broker.log:
        if time.monotonic() > end_s or not child.alive:
            raise child.explain("it has not subscribed")
        time.sleep(0.001)
    return time.monotonic()


def _until_known(broker: Broker, child: Child, collector: Collector) -> float:
    """Send a message of one device until its line has a name.

    What the broker sends for a subscription comes before what is published later: when this
    message has come, all announcements have been taken.
    """
    message = fleet.payload(0).replace(fleet.SEQUENCE, b"%07d" % fleet.FIRST_SEQUENCE)
    message = message.replace(fleet.STAMP, b"%010d" % fleet.FIRST_STAMP)
    end_s = time.monotonic() + _LIMIT_S
    with Mailbox(broker.port) as box:
        while True:
            box.publish(fleet.sensor_topic(0), message)
            collector.read(0.01)
            for read_ns, data in collector.pieces[0]:
                if b"friendly=" in data:
                    return read_ns / 1e9
            if time.monotonic() > end_s or not child.alive:
                raise child.explain("the announcements were not taken")


def _count_named(bench: Bench, broker: Broker, child: Child, collector: Collector) -> int:
    running = Running(bench.agent, broker, child, collector, _DEVICES, qos=0, mixed=False)
    outcome = running.send(running.load(1, rate=5000))
    return sum(data.count(b"friendly=") for _when, data in outcome.pieces)


ROW: Final = Row("discovery", "10,000 retained discovery messages in one burst", measure)
