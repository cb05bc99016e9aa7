"""The demo's broker and devices in their process, seen by an ordinary client of MQTT."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
from twisted.internet import reactor
from twisted.internet.defer import CancelledError
from twisted.internet.task import deferLater
from twisted.logger import Logger, formatEvent
from twisted.trial.unittest import SynchronousTestCase, TestCase

import metrics_agent
from metrics_agent.demo.child import Simulation
from metrics_agent.demo.household import make_household
from metrics_agent.demo.tasmota import SimulatedDevice
from metrics_agent.transports.mqtt.engine import Engine
from metrics_agent.transports.mqtt.settings import MqttSettings
from tests.integration.broker import Mosquitto
from tests.needs import find, missing

DEVICES = make_household(0)
PLUG, LAUNDRY, *_, CISTERN = DEVICES
LIMIT_S = 30.0
REFUSES_5 = b"\x20\2\0\1"
PACKAGE_PARENT = str(Path(metrics_agent.__file__).parent.parent)
"""The child uses the same package, be it installed or not."""


PARENT = """
import sys
from twisted.internet import reactor
from twisted.logger import Logger
from metrics_agent.demo.child import Simulation

def ready(_ports):
    sys.stdout.write(f"{demo.transport.pid}\\n")
    sys.stdout.flush()

demo = Simulation(reactor, Logger(observer=lambda event: None), print)
reactor.callWhenRunning(lambda: demo.start().addCallback(ready))
reactor.run()
"""


def environment() -> dict[str, str]:
    """Return the environment for children."""
    return {**os.environ, "PYTHONPATH": PACKAGE_PARENT}


def alive(pid: int) -> bool:
    """Say whether there is such a process, be it one that no one has waited for."""
    return Path(f"/proc/{pid}").exists()


def wait_for(true: Callable[[], object], what: str) -> None:
    """Wait, in a test without reactor."""
    deadline_s = time.monotonic() + LIMIT_S
    while not true():
        if time.monotonic() > deadline_s:
            raise AssertionError(f"waited {LIMIT_S} s for {what}")
        time.sleep(0.02)


async def until(true: Callable[[], object], what: str) -> None:
    """Wait, in a test with reactor."""
    deadline_s = time.monotonic() + LIMIT_S
    while not true():
        if time.monotonic() > deadline_s:
            raise AssertionError(f"waited {LIMIT_S} s for {what}")
        await deferLater(reactor, 0.02)


class Listener:
    """An ordinary client that subscribes to everything; ended with the test."""

    def __init__(self, case: SynchronousTestCase, port: int) -> None:
        self.live: dict[str, list[bytes]] = {}
        self.retained: dict[str, bytes] = {}
        self.subscribed = False
        self.client = Client(CallbackAPIVersion.VERSION2, f"listener-{id(self)}")
        self.client.on_connect = self._on_connect
        self.client.on_subscribe = self._on_subscribe
        self.client.on_message = self._on_message
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        case.addCleanup(self.close)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def got(self, topic: str, payload: bytes) -> bool:
        """Say whether a payload came as it was sent."""
        return payload in self.live.get(topic, [])

    def count(self, device: SimulatedDevice, subtopic: str) -> int:
        """Return how many messages of a device came as they were sent."""
        return len(self.live.get(device.topic_of("tele", subtopic), []))

    def _on_connect(self, client: Any, *_: Any) -> None:
        client.subscribe("#")

    def _on_subscribe(self, *_: Any) -> None:
        self.subscribed = True

    def _on_message(self, _client: Any, _data: Any, message: Any) -> None:
        if message.retain:
            self.retained[message.topic] = message.payload
        else:
            self.live.setdefault(message.topic, []).append(message.payload)


class Child:
    """``python -m metrics_agent.demo.simulation``, ended with the test whatever happens."""

    def __init__(self, case: SynchronousTestCase) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "metrics_agent.demo.simulation"],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        case.addCleanup(self._end)

    def ready(self) -> int:
        """Wait until it says that it is ready; return the broker's port."""
        assert self.process.stderr is not None
        word, port, _dtu_port = self.process.stderr.readline().decode().split()
        assert word == "ready"
        return int(port)

    def finish(self) -> tuple[int, str]:
        """Wait for its end; return exit status, and what it wrote, be it to stdout."""
        out, err = self.process.communicate(timeout=LIMIT_S)
        return self.process.returncode, (out + err).decode()

    def _end(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


class Program(SynchronousTestCase):
    """The simulation as a program."""

    skip = missing("amqtt")

    def setUp(self) -> None:
        self.child = Child(self)
        self.port = self.child.ready()
        self.listener = Listener(self, self.port)
        wait_for(lambda: self.listener.subscribed, "the subscription")

    def test_it_ends_quietly_when_stdin_ends(self) -> None:
        """What is written to it before means nothing."""
        for number in (b"1", b"2"):
            self.child.process.stdin.write(b"hello\n")
            self.child.process.stdin.flush()
            time.sleep(0.1)
            self.listener.client.publish("after/hello", number)
            wait_for(lambda: self.listener.got("after/hello", number), "a message")  # noqa: B023 - now
        self.assertEqual(self.child.finish(), (0, ""))

    def test_it_refuses_mqtt_5(self) -> None:
        """In the words of 3.1.1, at once, however the CONNECT arrives; a client of 3.1.1 stays."""
        for client_id in ("x", "x" * 200):
            for cuts in ((0, 0), (1, 5)):
                self.assertEqual(self._connect_with_5(client_id, *cuts), REFUSES_5)
        self.listener.client.publish("after/refusal", b"x")
        wait_for(lambda: self.listener.got("after/refusal", b"x"), "a message")

    def test_it_answers(self) -> None:
        """The plug with two channels is asked for its counters, the others keep silent."""
        self.listener.client.publish(LAUNDRY.topic_of("cmnd", "EnergyTotal"), b"")
        topic = LAUNDRY.topic_of("stat", "RESULT")
        wait_for(lambda: topic in self.listener.live, topic)
        counters = json.loads(self.listener.live[topic][0])["EnergyTotal"]
        self.assertEqual([len(values) for values in counters.values()], [2, 2, 2])
        self.assertEqual([name for name in self.listener.live if name.startswith("stat/")], [topic])

    def _connect_with_5(self, client_id: str, first: int, second: int) -> bytes:
        made = Engine(MqttSettings(protocol="5"), client_id, (sent := []).append)
        made.connect()
        connect = b"".join(sent)
        with socket.create_connection(("127.0.0.1", self.port), LIMIT_S) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for piece in (connect[:first], connect[first:second], connect[second:]):
                client.sendall(piece)
                time.sleep(0.05)
            return client.recv(100)


class DevicesAtABroker(SynchronousTestCase):
    """``python -m metrics_agent.demo.devices``, as deploy/compose.yaml runs it."""

    def test_it_waits_for_the_broker_and_announces_again(self) -> None:
        """It may start first; a broker that has forgotten everything gets all of it again."""
        broker = Mosquitto()
        self.addCleanup(broker.remove)
        where = ["127.0.0.1", "--port", str(broker.port), "--interval", "0.5"]
        process = subprocess.Popen(
            [sys.executable, "-m", "metrics_agent.demo.devices", *where],
            env=environment(),
            stdin=subprocess.DEVNULL,
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)
        topics = [f"tasmota/discovery/{device.mac}/config" for device in DEVICES]
        topics += ["homeassistant/sensor/heat-pump/power/config", "solar/dtu/status"]
        for _ in range(2):
            broker.start_again()
            wait_for(lambda: _retained(broker.port) >= set(topics), "all announcements")
            listener = Listener(self, broker.port)
            for topic in ("tele/tasmota_0A0E01/SENSOR", "solar/ac/power", "heat-pump/status"):
                wait_for(
                    lambda: topic in {*listener.live, *listener.retained},  # noqa: B023 - now
                    topic,
                )
            broker.kill()
        self.assertIsNone(process.poll())


def _retained(port: int) -> set[str]:
    """Return the topics of all retained messages."""
    found = subprocess.run(
        [
            *(find("mosquitto", "mosquitto_sub"), "-p", str(port), "-t", "#"),
            *("-F", "%t", "--retained-only", "-W", "1"),
        ],
        capture_output=True,
        check=False,
        text=True,
        timeout=LIMIT_S,
    )
    return set(found.stdout.split())


class Demo(TestCase):
    """The child process as the command runs it."""

    skip = missing("amqtt")
    timeout = 2 * LIMIT_S

    def setUp(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.ends: list[str] = []
        self.demo = Simulation(reactor, Logger(observer=self.events.append), self.ends.append)
        self.addCleanup(self.demo.stop)

    async def test_six_devices_are_seen(self) -> None:
        """Announcements are retained, telemetry comes at each interval, nothing is logged."""
        port, _ = await self.demo.start()
        listener = Listener(self, port)
        for device in DEVICES:
            for subtopic in ("SENSOR", "STATE"):
                await until(
                    lambda: listener.count(device, subtopic) >= 2,  # noqa: B023 - now
                    f"{device.names[0]} {subtopic}",
                )
            for payload in listener.live[device.topic_of("tele", "SENSOR")]:
                self.assertIn("Time", json.loads(payload))
        # What sleeps has said both by now.
        topic = CISTERN.topic_of("tele", "LWT")
        await until(lambda: listener.got(topic, b"Online"), "waking up")
        await until(lambda: listener.got(topic, b"Offline"), "falling asleep")
        late = Listener(self, port)
        for device in DEVICES:
            topic = f"tasmota/discovery/{device.mac}/config"
            await until(lambda: topic in late.retained, topic)  # noqa: B023 - now
            self.assertEqual(json.loads(late.retained[topic])["ver"], 1)
        topic = PLUG.topic_of("tele", "LWT")
        await until(lambda: late.retained.get(topic) == b"Online", topic)
        self.assertEqual([formatEvent(event) for event in self.events], [])

    async def test_stop_leaves_no_process(self) -> None:
        """Not even a zombie; that it ends is not reported."""
        await self.demo.start()
        pid = self.demo.transport.pid
        self.assertTrue(alive(pid))
        await self.demo.stop()
        self.assertFalse(alive(pid))
        self.assertEqual(self.ends, [])

    async def test_stop_ends_a_child_that_stands_still(self) -> None:
        await self.demo.start()
        pid = self.demo.transport.pid
        os.kill(pid, signal.SIGSTOP)
        await self.demo.stop()
        self.assertFalse(alive(pid))

    async def test_signals_to_the_group_do_not_end_it(self) -> None:
        """Nor keep it from starting: Ctrl-C may come at any time, from the first moment."""
        started = self.demo.start()
        pid = self.demo.transport.pid

        def interrupt() -> bool:
            for number in (signal.SIGINT, signal.SIGTERM):
                os.kill(pid, number)
            return started.called

        await until(interrupt, "the start")
        port, _ = await started
        listener = Listener(self, port)
        await until(lambda: listener.count(PLUG, "SENSOR") >= 2, "telemetry")
        self.assertTrue(alive(pid))
        self.assertEqual(self.ends, [])
        self.assertEqual([formatEvent(event) for event in self.events], [])

    async def test_an_end_is_reported(self) -> None:
        await self.demo.start()
        os.kill(self.demo.transport.pid, signal.SIGKILL)
        await until(lambda: self.ends, "the callback")
        self.assertEqual(self.ends, ["the demo's simulation ended with signal SIGKILL"])

    async def test_stop_during_the_start(self) -> None:
        failed = self.assertFailure(self.demo.start(), CancelledError)
        pid = self.demo.transport.pid
        await self.demo.stop()
        await failed
        self.assertFalse(alive(pid))


class ParentKilled(SynchronousTestCase):
    """However the parent ends, nothing stays behind."""

    skip = missing("amqtt")

    def test_child_ends_with_a_parent_that_is_killed(self) -> None:
        parent = subprocess.Popen(
            [sys.executable, "-c", PARENT],
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert parent.stdout is not None
        self.addCleanup(parent.stdout.close)
        self.addCleanup(parent.wait)
        self.addCleanup(parent.kill)
        pid = int(parent.stdout.readline())
        self.assertTrue(alive(pid))
        parent.kill()
        parent.wait()
        # It is init's now, which may take its time to wait for it.
        wait_for(lambda: not _runs(pid), "the child's end")


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
