"""The demo's broker and devices in real processes, seen by an ordinary client of MQTT."""

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
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger, formatEvent
from twisted.trial.unittest import SynchronousTestCase, TestCase

import metrics_agent
from metrics_agent.demo.children import DemoChildren, Ended
from metrics_agent.demo.device import Device
from metrics_agent.demo.household import make_household
from metrics_agent.transports.mqtt.engine import Engine
from metrics_agent.transports.mqtt.settings import MqttSettings
from tests.integration.broker import Mosquitto
from tests.needs import missing

DEVICES = make_household(0)
PLUG, LAUNDRY, *_, CISTERN = DEVICES
LIMIT_S = 30.0
REFUSES_5 = b"\x20\2\0\1"
PACKAGE_PARENT = str(Path(metrics_agent.__file__).parent.parent)
"""Children use the same package, be it installed or not."""


PARENT = """
import sys
from twisted.internet import reactor
from twisted.logger import Logger
from metrics_agent.demo.children import DemoChildren

def ready(port):
    pids = [str(child.transport.pid) for child in demo._children]
    sys.stdout.write(" ".join(pids) + "\\n")
    sys.stdout.flush()

demo = DemoChildren(reactor, Logger(observer=lambda event: None), print)
reactor.callWhenRunning(lambda: demo.start().addCallback(ready))
reactor.run()
"""


def environment() -> dict[str, str]:
    """Return the environment for children."""
    return {**os.environ, "PYTHONPATH": PACKAGE_PARENT}


def alive(pid: int) -> bool:
    """Say whether there is such a process, be it one that nobody has waited for."""
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

    def count(self, device: Device, subtopic: str) -> int:
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
    """``python -m metrics_agent.demo.<name>``, ended with the test whatever happens."""

    def __init__(self, case: SynchronousTestCase, name: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", f"metrics_agent.demo.{name}", *arguments],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        case.addCleanup(self._end)

    def ready(self) -> int:
        """Wait until it says that it is ready; return the port it names."""
        assert self.process.stderr is not None
        line = self.process.stderr.readline().decode()
        assert line.startswith("ready 127.0.0.1:"), line
        return int(line.rpartition(":")[2])

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


class Broker(SynchronousTestCase):
    """The broker alone."""

    skip = missing("amqtt")

    def test_it_ends_quietly_by_sigterm_and_not_by_sigint(self) -> None:
        """With a client connected."""
        broker = Child(self, "broker", "--port", "0")
        listener = Listener(self, broker.ready())
        wait_for(lambda: listener.subscribed, "the subscription")
        broker.process.send_signal(signal.SIGINT)
        listener.client.publish("after/sigint", b"x")
        wait_for(lambda: listener.got("after/sigint", b"x"), "a message after SIGINT")
        broker.process.send_signal(signal.SIGTERM)
        self.assertEqual(broker.finish(), (0, ""))

    def test_it_ends_quietly_when_stdin_ends(self) -> None:
        """What is written to it before means nothing."""
        broker = Child(self, "broker", "--port", "0")
        listener = Listener(self, broker.ready())
        for number in (b"1", b"2"):
            broker.process.stdin.write(b"hello\n")
            broker.process.stdin.flush()
            time.sleep(0.1)
            wait_for(lambda: listener.subscribed, "the subscription")
            listener.client.publish("after/hello", number)
            wait_for(lambda: listener.got("after/hello", number), "a message")  # noqa: B023 - now
        self.assertEqual(broker.finish(), (0, ""))

    def test_a_stdin_that_is_no_pipe_means_nothing(self) -> None:
        """As where a person starts it, or a service manager."""
        process = subprocess.Popen(
            [sys.executable, "-m", "metrics_agent.demo.broker", "--port", "0"],
            env=environment(),
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        assert process.stderr is not None
        self.assertIn(b"ready", process.stderr.readline())
        time.sleep(0.3)
        self.assertIsNone(process.poll())
        process.terminate()
        self.assertEqual(process.wait(LIMIT_S), 0)

    def test_it_refuses_mqtt_5(self) -> None:
        """In the words of 3.1.1, at once, however the CONNECT arrives; a client of 3.1.1 stays."""
        broker = Child(self, "broker", "--port", "0")
        port = broker.ready()
        for client_id in ("x", "x" * 200):
            made = Engine(MqttSettings(protocol="5"), client_id, (sent := []).append)
            made.connect()
            with socket.create_connection(("127.0.0.1", port), LIMIT_S) as client:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connect = b"".join(sent)
                for piece in (connect[:1], connect[1:5], connect[5:]):
                    client.sendall(piece)
                    time.sleep(0.05)
                self.assertEqual(client.recv(100), REFUSES_5)
        listener = Listener(self, port)
        wait_for(lambda: listener.subscribed, "the subscription")
        self.assertEqual(broker.finish(), (0, ""))

    def test_a_port_that_is_taken(self) -> None:
        """One line, without traceback."""
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            status, text = Child(self, "broker", "--port", str(port)).finish()
        self.assertEqual(status, 1)
        self.assertEqual(
            text,
            f"Cannot listen on 127.0.0.1:{port}: Address already in use; "
            "choose another port with --port, 0 takes a free one\n",
        )

    def test_wrong_arguments(self) -> None:
        status, text = Child(self, "broker", "--port", "70000").finish()
        self.assertEqual(status, 2)
        self.assertIn("expected a port from 0 to 65535, got '70000'", text)

    def test_without_amqtt(self) -> None:
        """It says what to install."""
        program = (
            "import sys; sys.modules['amqtt'] = None;"
            "from metrics_agent.demo.broker import main; sys.exit(main(['--port', '0']))"
        )
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LIMIT_S,
            check=False,
        )
        self.assertEqual((done.returncode, done.stdout), (1, b""))
        self.assertIn(b"in a checkout, run pip install '.[demo]'", done.stderr)
        self.assertEqual(done.stderr.count(b"\n"), 1)


class Devices(SynchronousTestCase):
    """The devices at a broker that is not the demo's."""

    def setUp(self) -> None:
        self.broker = Mosquitto.start(self)
        self.listener = Listener(self, self.broker.port)
        wait_for(lambda: self.listener.subscribed, "the subscription")
        self.fleet = Child(self, "fleet", "--port", str(self.broker.port), "--interval", "0.2")
        self.fleet.ready()

    def test_each_is_a_client_of_its_own(self) -> None:
        """With its own client id, keepalive and will, as mosquitto's log has it."""
        for device in DEVICES:
            self.assertRegex(self.broker.log, rf"as {device.client_id} \(p\d, c1, k30\)")
            topic = device.topic_of("tele", "LWT")
            self.assertIn(f"Will message specified (7 bytes) (r1, q1).\n\t{topic}", self.broker.log)

    def test_they_say_goodbye(self) -> None:
        """By SIGTERM and not by SIGINT, quietly; all are Offline then."""
        self.fleet.process.send_signal(signal.SIGINT)
        seen = self.listener.count(PLUG, "SENSOR")
        wait_for(lambda: self.listener.count(PLUG, "SENSOR") > seen + 1, "life after SIGINT")
        self.fleet.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.fleet.finish(), (0, ""))
        for device in DEVICES:
            topic = device.topic_of("tele", "LWT")
            wait_for(lambda: self.listener.got(topic, b"Offline"), topic)  # noqa: B023 - now
            self.assertIn(f"Received DISCONNECT from {device.client_id}", self.broker.log)

    def test_they_end_when_stdin_ends(self) -> None:
        self.assertEqual(self.fleet.finish(), (0, ""))

    def test_they_end_without_a_broker(self) -> None:
        """The broker's loss is one line; a stop does not wait for it."""
        self.broker.kill()
        assert self.fleet.process.stderr is not None
        line = self.fleet.process.stderr.readline()
        self.assertEqual(line, b"Lost the broker, trying again.\n")
        self.fleet.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.fleet.finish(), (0, ""))

    def test_they_come_back_with_the_broker(self) -> None:
        """And announce themselves again."""
        self.broker.kill()
        assert self.fleet.process.stderr is not None
        self.fleet.process.stderr.readline()
        self.broker.start_again()
        self.assertEqual(self.fleet.process.stderr.readline(), b"The broker is back.\n")
        again = Listener(self, self.broker.port)
        for device in DEVICES:
            topic = f"tasmota/discovery/{device.mac}/config"
            wait_for(lambda: topic in {*again.retained, *again.live}, topic)  # noqa: B023 - now

    def test_they_answer(self) -> None:
        """The plug with two channels is asked for its counters, the others keep silent."""
        self.listener.client.publish(LAUNDRY.topic_of("cmnd", "EnergyTotal"), b"")
        topic = LAUNDRY.topic_of("stat", "RESULT")
        wait_for(lambda: topic in self.listener.live, topic)
        counters = json.loads(self.listener.live[topic][0])["EnergyTotal"]
        self.assertEqual([len(values) for values in counters.values()], [2, 2, 2])
        self.assertEqual([name for name in self.listener.live if name.startswith("stat/")], [topic])

    def test_wrong_arguments(self) -> None:
        status, text = Child(self, "fleet", "--interval", "0").finish()
        self.assertEqual(status, 2)
        self.assertIn("expected seconds, at least 0.05, got '0'", text)


class Demo(TestCase):
    """The children together, as the command runs them."""

    skip = missing("amqtt")
    timeout = 2 * LIMIT_S

    def setUp(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.ends: list[Ended] = []
        self.demo = DemoChildren(
            reactor, Logger(observer=self.events.append), self.ends.append, interval_s=0.2
        )
        self.addCleanup(self.demo.stop)

    def pids(self) -> list[int]:
        """Return the process ids of the children."""
        return [child.transport.pid for child in self.demo._children]

    async def test_six_devices_are_seen(self) -> None:
        """Announcements are retained, telemetry comes at each interval, nothing is logged."""
        listener = Listener(self, await self.demo.start())
        for device in DEVICES:
            for subtopic in ("SENSOR", "STATE"):
                await until(
                    lambda: listener.count(device, subtopic) >= 2,  # noqa: B023 - now
                    f"{device.name} {subtopic}",
                )
            for payload in listener.live[device.topic_of("tele", "SENSOR")]:
                self.assertIn("Time", json.loads(payload))
        # What sleeps has said both by now.
        topic = CISTERN.topic_of("tele", "LWT")
        await until(lambda: listener.got(topic, b"Online"), "waking up")
        await until(lambda: listener.got(topic, b"Offline"), "falling asleep")
        late = Listener(self, self.demo.port)
        for device in DEVICES:
            base = f"tasmota/discovery/{device.mac}"
            for topic in (f"{base}/config", f"{base}/sensors"):
                await until(lambda: topic in late.retained, topic)  # noqa: B023 - now
                self.assertEqual(json.loads(late.retained[topic])["ver"], 1)
        topic = PLUG.topic_of("tele", "LWT")
        await until(lambda: late.retained.get(topic) == b"Online", topic)
        self.assertEqual([formatEvent(event) for event in self.events], [])

    async def test_stop_leaves_no_process(self) -> None:
        """Not even a zombie; that they end is no news."""
        await self.demo.start()
        pids = self.pids()
        self.assertEqual([alive(pid) for pid in pids], [True] * 3)
        await self.demo.stop()
        self.assertEqual([alive(pid) for pid in pids], [False] * 3)
        self.assertEqual(self.ends, [])

    async def test_stop_kills_what_does_not_end(self) -> None:
        await self.demo.start()
        pids = self.pids()
        os.kill(pids[0], signal.SIGSTOP)
        started_s = time.monotonic()
        await self.demo.stop()
        self.assertGreater(time.monotonic() - started_s, 0.9)
        self.assertEqual([alive(pid) for pid in pids], [False] * 3)

    async def test_sigint_ends_none(self) -> None:
        """Nor keeps them from starting: Ctrl-C may come at any time, from the first moment."""
        started = self.demo.start()
        children: list[int] = []

        def interrupt() -> bool:
            children[:] = self.pids()
            for pid in children:
                os.kill(pid, signal.SIGINT)
            return started.called

        await until(interrupt, "the start")
        port = await started
        listener = Listener(self, port)
        await until(lambda: listener.count(PLUG, "SENSOR") >= 2, "telemetry")
        self.assertEqual([alive(pid) for pid in children], [True] * 3)
        self.assertEqual(self.ends, [])
        self.assertEqual([formatEvent(event) for event in self.events], [])

    async def test_an_end_is_told(self) -> None:
        """And the broker tells the last will of those that have gone."""
        listener = Listener(self, await self.demo.start())
        topic = PLUG.topic_of("tele", "LWT")
        await until(lambda: listener.count(PLUG, "SENSOR"), "telemetry")
        os.kill(self.pids()[1], signal.SIGKILL)
        await until(lambda: self.ends, "the callback")
        self.assertEqual(str(self.ends[0]), "the demo's fleet ended with signal SIGKILL")
        await until(lambda: listener.got(topic, b"Offline"), "the will")
        late = Listener(self, self.demo.port)
        await until(lambda: late.retained.get(topic) == b"Offline", "the retained will")

    async def test_stop_during_the_start(self) -> None:
        started: Deferred[int] = self.demo.start()
        failed = self.assertFailure(started, CancelledError)
        pids = self.pids()
        await self.demo.stop()
        await failed
        self.assertEqual([alive(pid) for pid in pids], [False])


class ParentKilled(SynchronousTestCase):
    """However the parent ends, nothing stays behind."""

    skip = missing("amqtt")

    def test_children_end_with_a_parent_that_is_killed(self) -> None:
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
        pids = [int(word) for word in parent.stdout.readline().split()]
        self.assertEqual([alive(pid) for pid in pids], [True] * 3)
        parent.kill()
        parent.wait()
        # They are init's now, which may take its time to wait for them.
        wait_for(lambda: not any(map(_runs, pids)), "the children's end")


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
