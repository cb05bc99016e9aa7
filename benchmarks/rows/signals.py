"""SIGTERM to the end of the process, SIGHUP to all modules back."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from benchmarks import fleet
from benchmarks.bench import Bench, Running, environment, scratch
from benchmarks.broker import Mailbox
from benchmarks.child import Child
from benchmarks.collector import Collector
from benchmarks.rows.base import Notebook, Row
from benchmarks.subjects import Setup
from benchmarks.subjects.agent import write_config

__all__ = ["ROW"]

_DEVICES: Final = 500
_LIMIT_S: Final = 20.0
_DEMO: Final = '[modules.demo]\nenabled = true\ninterval = "1h"\n'
_FIRST_OF_DEMO: Final = b"sequence=1i"


def measure(bench: Bench, notebook: Notebook) -> None:
    """Reload, then stop, an agent with the modules tasmota and demo that has nothing to do."""
    name = bench.agent.name
    for repetition in range(bench.repeat(7)):
        bench.say(f"signals: repetition {repetition + 1}")
        with _two_modules(bench) as running:
            for _ in range(2):
                back_s = _reload_s(running)
                notebook.add("SIGHUP to all modules back", name, back_s * 1000, "ms", target=200)
                running.collector.drain(0.5)
            gone_s, cpu_s = _stop_s(running.child)
            notebook.add("SIGTERM to exit, idle", name, gone_s * 1000, "ms", target=200)
            notebook.add("CPU of it", name, cpu_s * 1000, "ms")


@contextmanager
def _two_modules(bench: Bench) -> Iterator[Running]:
    with ExitStack() as stack:
        broker = stack.enter_context(bench.broker())
        directory = stack.enter_context(scratch())
        broker.retain(fleet.announcement(index) for index in range(_DEVICES))
        config = directory / "agent.toml"
        write_config(config, Setup(broker.port, directory))
        config.write_text(config.read_text("utf-8") + _DEMO, "utf-8")
        argv = [*bench.agent.argv, "run", "-c", str(config)]
        child = stack.enter_context(Child(argv, directory, environment()))
        collector = stack.enter_context(Collector([child]))
        running = Running(bench.agent, broker, child, collector, _DEVICES, qos=0, mixed=False)
        running.warm_up()
        collector.drain(0.5)
        yield running


def _reload_s(running: Running) -> float:
    """Return the time until both modules have proved to be back.

    demo writes its first metric again; tasmota writes the line of a message sent right behind the
    signal, of a device whose (retained) announcement the new instance has read again.
    """
    collector, child = running.collector, running.child
    collector.begin()
    message = fleet.payload(0).replace(fleet.SEQUENCE, b"%07d" % fleet.FIRST_SEQUENCE)
    message = message.replace(fleet.STAMP, b"%010d" % fleet.FIRST_STAMP)
    with Mailbox(running.broker.port) as box:
        started_s = time.monotonic()
        child.signal(signal.SIGHUP)
        time.sleep(0.001)
        box.publish(fleet.sensor_topic(0), message)
        demo = tasmota = False
        while not (demo and tasmota):
            collector.read(0.01)
            text = b"".join(data for _when, data in collector.pieces[0])
            demo = demo or _FIRST_OF_DEMO in text
            tasmota = tasmota or b"energy_total=" in text
            if time.monotonic() > started_s + _LIMIT_S or not child.alive:
                raise child.explain("a SIGHUP did not bring both modules back")
    return time.monotonic() - started_s


def _stop_s(child: Child) -> tuple[float, float]:
    """Return the time from SIGTERM to the end of the process, and its CPU time for that."""
    started_s, cpu_s = time.monotonic(), child.cpu_s
    child.signal(signal.SIGTERM)
    # Without reaping it: its clock goes with it.
    how = os.WEXITED | os.WNOWAIT | os.WNOHANG
    while os.waitid(os.P_PID, child.pid, how) is None:
        if time.monotonic() > started_s + _LIMIT_S:
            raise child.explain("a SIGTERM did not end it")
        time.sleep(0.0005)
    return time.monotonic() - started_s, child.cpu_s - cpu_s


ROW: Final = Row("signals", "SIGTERM to exit, SIGHUP to all modules back", measure)
