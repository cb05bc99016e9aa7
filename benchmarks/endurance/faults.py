"""The faults of the soak: what is done, and how it is known that all works again."""

from __future__ import annotations

import json
import random
import resource
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable
from typing import Final

from attrs import frozen
from twisted.internet.defer import ensureDeferred
from twisted.internet.threads import deferToThread

from benchmarks.endurance.stage import Stage
from tests.integration.watching import pause, until

__all__ = ["FAULTS", "Fault", "start_loads"]

PLUGS: Final = "plug"
METERS: Final = "meter"
_CROWD: Final = 500
_GARBAGE: Final = 2_000
_LARGE_BYTES: Final = 5_000_000


@frozen
class Fault:
    """One of them.

    Attributes:
        name: for the table.
        strike: does it, and returns once all works again: when its cause was gone, on the
            monotonic clock.
        loses: the QoS at which messages that are sent meanwhile may be lost.
    """

    name: str
    strike: Callable[[Stage], Awaitable[float]]
    loses: frozenset[int] = frozenset()


async def start_loads(stage: Stage) -> None:
    """Connect the devices and have them send."""
    await stage.load(PLUGS, devices=20, rate=200, qos=0)
    await stage.load(METERS, devices=5, rate=50, qos=1)
    for load in stage.loads.values():
        load.start()


async def _from_now(stage: Stage, *measurements: bytes) -> float:
    """Wait until there are metrics again; the cause is gone by now."""
    gone_s = time.monotonic()
    await stage.writes(*measurements)
    return gone_s


async def _broker_killed(stage: Stage) -> float:
    before = len(stage.parent.log)
    stage.broker.kill()
    await pause(5)
    stage.broker.start_again()
    gone_s = time.monotonic()
    await stage.said("again after", before)
    await start_loads(stage)
    await stage.writes(b"electricity")
    return gone_s


async def _broker_frozen(stage: Stage) -> float:
    before = len(stage.parent.log)
    stage.broker.freeze()
    await stage.said("Lost the connection", before)
    await pause(2)
    stage.broker.thaw()
    gone_s = time.monotonic()
    await stage.said("again after", before)
    await stage.writes(b"electricity")
    return gone_s


def _rival(port: int) -> subprocess.Popen[bytes]:
    """Start a client with the agent's id that comes back whenever it is thrown out."""
    return subprocess.Popen(
        ["mosquitto_sub", "-p", str(port), "-i", "agent", "-t", "x", "-k", "5"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


async def _id_taken(stage: Stage) -> float:
    rival = _rival(stage.broker.port)
    try:
        await pause(8)
    finally:
        rival.kill()
        await deferToThread(rival.wait)
    return await _from_now(stage, b"electricity")


async def _reader_paused(stage: Stage) -> float:
    stage.parent.freeze()
    await pause(10)
    stage.parent.thaw()
    return await _from_now(stage, b"electricity", b"demo", b"steady")


async def _sighup(stage: Stage) -> float:
    gone_s = time.monotonic()
    # The DTU's line comes once, when its socket is open again.
    socket_is_open = ensureDeferred(stage.writes(b"dtu"))
    await stage.reload()
    await socket_is_open
    await stage.writes(b"electricity", b"demo")
    return gone_s


async def _storm(stage: Stage) -> float:
    for _ in range(100):
        stage.signal(signal.SIGHUP)
        await pause(0.01)
    await pause(1)
    return await _sighup(stage)


async def _bad_configuration(stage: Stage) -> float:
    before = len(stage.parent.log)
    stage.configure("[modules.demo2]\nenabled = true\n")
    stage.signal(signal.SIGHUP)
    await stage.said("Reload rejected", before)
    await pause(2)
    stage.configure()
    return await _sighup(stage)


async def _module_fails(stage: Stage) -> float:
    stage.trigger_path.touch()
    await pause(5)
    stage.trigger_path.unlink()
    return await _from_now(stage, b"demo")


async def _garbage(stage: Stage) -> float:
    chance = random.Random(stage.ledger.lines)
    load = stage.loads[PLUGS]
    for number in range(_GARBAGE):
        load.publish(*_garbage_message(chance, number))
        if number % 50 == 0:
            await pause(0.05)
    return await _from_now(stage, b"electricity")


def _garbage_message(chance: random.Random, number: int) -> tuple[str, bytes]:
    subtopic = chance.choice(("SENSOR", "STATE", "LWT", "RESULT", "STATUS10"))
    topic = f"tele/ghost{number % 50}/{subtopic}"
    if chance.random() < 0.1:
        topic = f"tasmota/discovery/A4CF12{number % 50:06X}/config"
    good = json.dumps({"ENERGY": {"Power": [1, 2], "Total": 3.5}, "DS18B20": {"Temperature": 20}})
    payload = chance.choice(
        (
            chance.randbytes(chance.randrange(200)),
            good[: chance.randrange(len(good))].encode(),
            b"[" * chance.randrange(5000),
            json.dumps({"ENERGY": {"Power": chance.choice([10**400, None, "x", [], {}])}}).encode(),
            b'{"ENERGY":{"Power":' + b"9" * chance.randrange(1, 500) + b"}}",
        )
    )
    return topic, payload


async def _crowd(stage: Stage) -> float:
    """Let many devices announce themselves, send once, and be removed."""
    load = stage.loads[PLUGS]
    before = stage.ledger.measurements.get(b"climate", 0)
    for number in range(_CROWD):
        config = {"t": f"crowd{number}", "ft": "%prefix%/%topic%/", "tp": ["cmnd", "stat", "tele"]}
        load.publish(_crowd_topic(number), json.dumps(config).encode(), retain=True)
    for number in range(_CROWD):
        load.publish(f"tele/crowd{number}/SENSOR", b'{"AM2301":{"Temperature":20}}')
    await until(
        lambda: stage.ledger.measurements.get(b"climate", 0) >= before + _CROWD,
        lambda: f"a metric of each of {_CROWD} devices: {stage.log_end()}",
        40,
    )
    for number in range(_CROWD):
        load.publish(_crowd_topic(number), b"", retain=True)
    return await _from_now(stage, b"electricity")


def _crowd_topic(number: int) -> str:
    return f"tasmota/discovery/C0FFEE{number:06X}/config"


async def _large_message(stage: Stage) -> float:
    stage.loads[PLUGS].publish("tele/plug00/SENSOR", b'{"a":"' + b"x" * _LARGE_BYTES + b'"}')
    return await _from_now(stage, b"electricity")


async def _dtu_killed(stage: Stage) -> float:
    is_back = ensureDeferred(stage.writes(b"dtu"))
    stage.stop_dtu()
    await pause(5)
    stage.start_dtu()
    gone_s = time.monotonic()
    await is_back
    return gone_s


async def _newlines(stage: Stage) -> float:
    stage.parent.write_stdin(b"\n" * 200_000)
    await until(stage.parent.stdin_is_empty, "stdin being read")
    return await _from_now(stage, b"electricity")


async def _agent_stopped(stage: Stage) -> float:
    stage.signal(signal.SIGSTOP)
    await pause(3)
    stage.signal(signal.SIGCONT)
    return await _from_now(stage, b"electricity", b"demo")


async def _no_descriptors(stage: Stage) -> float:
    """Let the DTU vanish while the agent may open nothing."""
    pid = stage.parent.agent_pid
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    is_back = ensureDeferred(stage.writes(b"dtu"))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, hard))
    try:
        stage.stop_dtu()
        stage.start_dtu()
        await pause(5)
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
    gone_s = time.monotonic()
    await is_back
    return gone_s


FAULTS: Final = (
    Fault("broker killed, back after 5 s", _broker_killed, frozenset({0, 1})),
    Fault("broker frozen for longer than the keepalive", _broker_frozen, frozenset({0})),
    Fault("another client with our id for 8 s", _id_taken, frozenset({0, 1})),
    Fault("reader of stdout paused for 10 s", _reader_paused),
    Fault("SIGHUP", _sighup),
    Fault("100 SIGHUPs in a second", _storm),
    Fault("SIGHUP with a wrong configuration", _bad_configuration),
    Fault("a module fails at every tick for 5 s", _module_fails),
    Fault(f"{_GARBAGE:,} messages of garbage", _garbage),
    Fault(f"{_CROWD} devices come and go", _crowd),
    Fault("a message of 5 MB", _large_message),
    Fault("DTU killed, back after 5 s", _dtu_killed),
    Fault("200,000 newlines on stdin", _newlines),
    Fault("agent stopped (SIGSTOP) for 3 s", _agent_stopped),
    Fault("no descriptor to be had for 5 s, DTU restarted", _no_descriptors),
)
