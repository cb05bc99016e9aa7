"""Sessions, client ids and lists of brokers, seen from the real agent at real mosquittos."""

from __future__ import annotations

import re
import signal
from typing import Any

from tests.integration.broker import Mosquitto, free_port, with_both_mosquittos
from tests.integration.mqtt_agent import MqttCase, announcement, field_values, publish
from tests.integration.watching import pause, until

BIG = b"x" * (2 << 20)
INFLIGHT = 20


def power(watts: int) -> bytes:
    """Return a SENSOR message."""
    return b'{"ENERGY":{"Power":%d}}' % watts


class Sessions:
    """What holds for both versions."""

    async def plugged(self, broker: Mosquitto, **settings: Any) -> Any:
        """Return an agent that knows one device and has got its first message."""
        await publish(broker, "tasmota/discovery/A4CF12C0FFEE/config", announcement("plug"), "-r")
        parent = await self.run_at(broker, **settings)
        await self.said(parent, "Discovered device plug")
        await publish(broker, "tele/plug/SENSOR", power(1))
        await self.values(parent, [1])
        # It is acknowledged, so it does not come again.
        await until(lambda: broker.log.count("Received PUBACK from agent") == 1, "PUBACK")
        return parent

    async def die(self, parent: Any, broker: Mosquitto) -> None:
        """Kill the agent -9, for longer than the parent would let it be."""
        parent._stopping = True
        ended = broker.ended_connections("agent")
        parent.signal_agent(signal.SIGKILL)
        await until(lambda: broker.ended_connections("agent") > ended, "its end")

    def connacks(self, broker: Mosquitto) -> list[str]:
        """Return, of each connection, whether the broker had a session of it: 0 or 1."""
        return re.findall(r"Sending CONNACK to agent \((\d), 0\)", broker.log)

    # The persistent session.

    async def test_what_is_sent_while_the_agent_is_dead(self) -> None:
        """The broker keeps it at QoS 1, over a kill -9, and the device keeps its name."""
        broker = Mosquitto.start(self)
        parent = await self.plugged(broker)
        await self.die(parent, broker)
        for watts in (2, 3, 4):
            await publish(broker, "tele/plug/SENSOR", power(watts))
        parent.start()
        await self.values(parent, [1, 2, 3, 4])
        self.assertEqual(self.connacks(broker), ["0", "1"])
        self.assertEqual(bytes(parent.output).count(b"friendly=Name\\ of\\ plug"), 4)

    async def test_what_is_sent_between_a_stop_and_a_start(self) -> None:
        """An orderly stop leaves the session at the broker too."""
        broker = Mosquitto.start(self)
        parent = await self.plugged(broker)
        await parent.stop()
        await publish(broker, "tele/plug/SENSOR", power(2))
        parent.start()
        await self.values(parent, [1, 2])
        self.assertEqual(self.connacks(broker), ["0", "1"])

    async def test_what_is_sent_before_the_broker_restarts(self) -> None:
        """A broker that keeps its state has it after a restart of its own."""
        broker = Mosquitto.start(self, persistent=True)
        parent = await self.plugged(broker)
        await parent.stop()
        await publish(broker, "tele/plug/SENSOR", power(2))
        broker.stop()
        broker.start_again()
        parent.start()
        await self.values(parent, [1, 2])

    async def test_without_a_persistent_session(self) -> None:
        """Nothing is kept, if that is what the settings say."""
        broker = Mosquitto.start(self)
        parent = await self.plugged(broker, persistent_session=False)
        await parent.stop()
        await publish(broker, "tele/plug/SENSOR", power(2))
        parent.start()
        await self.said(parent, "Discovered device plug", times=2)
        await publish(broker, "tele/plug/SENSOR", power(3))
        await self.values(parent, [1, 3])
        self.assertEqual(self.connacks(broker), ["0", "0"])

    # Subscriptions that no one wants any more.

    async def test_unwanted_filters_are_unsubscribed_after_a_restart(self) -> None:
        """The session has them still; the next process gives them up, and says so."""
        broker = Mosquitto.start(self)
        parent = await self.plugged(broker, topics=["garden/#"])
        await self.die(parent, broker)
        self.configure(self.at(broker))
        parent.start()
        await self.given_up(parent, broker)
        self.assertEqual(self.connacks(broker), ["0", "1"])

    async def test_unwanted_filters_are_unsubscribed_at_a_reload(self) -> None:
        """The same without a new connection."""
        broker = Mosquitto.start(self)
        parent = await self.plugged(broker, topics=["garden/#"])
        self.configure(self.at(broker))
        parent.signal_agent(signal.SIGHUP)
        await self.given_up(parent, broker)
        self.assertEqual(self.connacks(broker), ["0"])

    async def given_up(self, parent: Any, broker: Mosquitto) -> None:
        """Wait until garden/# has gone from the session, and nothing else."""
        await self.said(
            parent,
            f"Unsubscribed from garden/# at tcp://127.0.0.1:{broker.port}: no module wants it",
            "I",
        )
        await until(lambda: "Sending UNSUBACK to agent" in broker.log, "UNSUBACK")
        unsubscribed = re.search(r"Received UNSUBSCRIBE from agent\n(.*)\n(.*)", broker.log)
        self.assertEqual(unsubscribed[1].split()[-1], "garden/#")
        self.assertNotIn("\t", unsubscribed[2])
        before = broker.log.count("Sending PUBLISH to agent")
        await publish(broker, "garden/tele/pump/SENSOR", power(7))
        await publish(broker, "tele/plug/SENSOR", power(8))
        await until(lambda: 8 in field_values(parent), "the message that is wanted")
        self.assertEqual(broker.log.count("Sending PUBLISH to agent"), before + 1)

    async def test_a_message_comes_once_where_filters_overlap(self) -> None:
        """A broker that sends one copy a filter: the narrow filter goes when a wide one comes."""
        broker = Mosquitto.start(self, settings=["allow_duplicate_messages true"])
        parent = await self.plugged(broker)
        odd = announcement("odd", "B4CF12C0FFEE", ft="%topic%/%hostname%/", hn="host")
        await publish(broker, "tasmota/discovery/B4CF12C0FFEE/config", odd, "-r")
        await until(lambda: "Sending UNSUBACK to agent" in broker.log, "UNSUBACK")
        await publish(broker, "tele/plug/SENSOR", power(2))
        await publish(broker, "odd/host/SENSOR", power(3))
        await self.values(parent, [1, 2, 3])
        await pause(0.3)
        self.assertEqual(field_values(parent), [1, 2, 3])

    # Client ids.

    async def test_client_id(self) -> None:
        """Without one in the settings it is the same at each start, another for an instance."""
        broker = Mosquitto.start(self)
        first = await self.run_at(broker, client_id="")
        await self.connected(first)
        await first.stop()
        first.start()
        await self.connected(first, 2)
        self.configure(self.at(broker, 'instance = "second"', client_id=""))
        second = await self.start()
        await self.connected(second)
        await pause(0.5)
        names = re.findall(r"New client connected from \S+ as (metrics-agent-\S+)", broker.log)
        self.assertEqual(len(names), 3)
        self.assertEqual(names[0], names[1])
        self.assertNotEqual(names[1], names[2])
        self.assertNotIn("already connected", broker.log)

    # Several brokers.

    async def test_addresses_are_tried_in_turn(self) -> None:
        """The first that answers is taken, and when it goes the next one."""
        dead, later = free_port(), free_port()
        broker = Mosquitto.start(self)
        ports = (dead, broker.port, later)
        parent = await self.run_at([f"127.0.0.1:{port}" for port in ports])
        await self.connected(parent)
        other = Mosquitto.start(self, port=later)
        broker.kill()
        await self.connected(parent, 2)
        await publish(other, "tele/plug/SENSOR", power(5))
        await self.values(parent, [5])
        at_dead, first, second = (f"tcp://127.0.0.1:{port}" for port in ports)
        refused, up, lost, again = self.connection_lines(parent)
        self.assertIn(f"W! [mqtt] Cannot connect to {at_dead}: connection refused", refused)
        self.assertEqual(up, f"I! [mqtt] Connected to {first} after N s.")
        self.assertIn(f"W! [mqtt] Lost the connection to {first}: ", lost)
        self.assertEqual(again, f"I! [mqtt] Connected to {second} again after N s.")

    # Login and size.

    async def test_login_from_a_file(self) -> None:
        """The password of a file is taken, and is nowhere else."""
        broker = Mosquitto.start(self, users={"anna": "open sesame"})
        path = self.directory / "password"
        path.write_text("open sesame\n")
        path.chmod(0o600)
        parent = await self.run_at(broker, username="anna", password={"file": str(path)})
        await self.connected(parent)
        # The filters are written right after the line that says "Connected".
        await until(lambda: list((self.directory / "state").rglob("*.json")), "the state file")
        state = [each.read_bytes() for each in (self.directory / "state").rglob("*.json")]
        logged = "".join(said.text for said in parent.log).encode()
        self.assertNotIn(b"sesame", b"".join([*state, logged]))

    async def test_large_messages_do_not_block(self) -> None:
        """More of them at QoS 1 than the broker's window holds: dropped, and the next one comes."""
        broker = Mosquitto.start(self)
        path = self.directory / "large"
        path.write_bytes(BIG)
        parent = await self.plugged(broker, top='self_metrics_interval = "200ms"')
        for _ in range(INFLIGHT + 2):
            await publish(broker, "tele/plug/SENSOR", path)
        await publish(broker, "tele/plug/SENSOR", power(2))
        await self.values(parent, [1, 2])
        await until(lambda: b"dropped_oversized=%di" % (INFLIGHT + 2) in parent.output, "the count")


class Mqtt311SessionTests(Sessions, MqttCase):
    """MQTT 3.1.1."""

    protocol = "3.1.1"


@with_both_mosquittos
class Mqtt5SessionTests(Sessions, MqttCase):
    """MQTT 5."""

    protocol = "5"

    async def test_session_expiry(self) -> None:
        """The broker forgets the session of an agent that is away for longer."""
        broker = Mosquitto.start(self)
        parent = await self.plugged(broker, session_expiry="1s")
        await parent.stop()
        await pause(3)
        await publish(broker, "tele/plug/SENSOR", power(2))
        parent.start()
        await self.said(parent, "Discovered device plug", times=2)
        self.assertEqual(self.connacks(broker), ["0", "0"])
        self.assertEqual(field_values(parent), [1])
