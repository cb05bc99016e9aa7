"""A device at a broker, and the life of all of them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.demo.device import Device
from metrics_agent.demo.fleet import Fleet
from metrics_agent.demo.household import make_household
from metrics_agent.demo.station import Station, make_client
from tests.demo.fakes import FakeClient

NOW_S = 1_770_000_000.0
PLUG, *_, CISTERN = make_household(NOW_S)
CONNECTED = [
    "tele/tasmota_0A0E01/LWT",
    "tasmota/discovery/02DE400A0E01/config",
    "tasmota/discovery/02DE400A0E01/sensors",
    "tele/tasmota_0A0E01/STATE",
    "tele/tasmota_0A0E01/SENSOR",
]


def make(device: Device) -> tuple[Station, list[FakeClient]]:
    """Make a station; its clients appear in the list."""
    clients: list[FakeClient] = []

    def client(client_id: str) -> FakeClient:
        clients.append(FakeClient(client_id))
        return clients[-1]

    return Station(device, "127.0.0.1", 1883, 1.0, lambda: NOW_S, client), clients


class OneStation(SynchronousTestCase):
    """One device."""

    def test_starts(self) -> None:
        """Will, keepalive and retries are set before the client's loop begins."""
        station, (client,) = self._started()
        self.assertFalse(station.seen or station.connected)
        self.assertEqual(client.client_id, "DVES_0A0E01")
        self.assertEqual(
            client.calls,
            [
                ("reconnect_delay_set", 1, 4),
                ("will_set", "tele/tasmota_0A0E01/LWT", b"Offline", 1, True),
                ("connect_async", "127.0.0.1", 1883, 30),
                ("loop_start",),
            ],
        )

    def test_connected(self) -> None:
        """Online, announcements, telemetry; the first three retained. Again at each connection."""
        station, (client,) = self._started()
        client.welcome()
        self.assertTrue(station.seen and station.connected)
        self.assertEqual(client.published[0], ("tele/tasmota_0A0E01/LWT", b"Online", True))
        self.assertEqual(
            [retain for *_, retain in client.published], [True, True, True, False, False]
        )
        self.assertEqual(client.topics(), CONNECTED)
        self.assertEqual(client.calls[-1], ("subscribe", "cmnd/tasmota_0A0E01/#"))
        client.lose()
        client.welcome()
        self.assertEqual(client.topics(), CONNECTED)

    def test_refused(self) -> None:
        """A broker that refuses is not one we are connected to."""
        station, (client,) = self._started()
        client.welcome(failure=True)
        self.assertFalse(station.seen or station.connected)
        self.assertEqual(client.published, [])

    def test_telemetry_only_while_connected(self) -> None:
        station, (client,) = self._started()
        station.send_telemetry()
        self.assertEqual(client.topics(), [])
        client.welcome()
        client.topics()
        station.send_telemetry()
        self.assertEqual(client.topics(), CONNECTED[3:])
        client.lose()
        station.send_telemetry()
        self.assertEqual(client.topics(), [])
        self.assertTrue(station.seen)
        self.assertFalse(station.connected)

    def test_commands_are_answered(self) -> None:
        """Those of this device; anything else that comes is not for it."""
        _, (client,) = self._started()
        client.welcome()
        client.topics()
        client.deliver("cmnd/tasmota_0A0E01/EnergyTotal")
        self.assertEqual(client.topics(), ["stat/tasmota_0A0E01/RESULT"])
        client.deliver("tele/tasmota_0A0E06/LWT", b"Online")
        self.assertEqual(client.topics(), [])

    def test_goodbye(self) -> None:
        """A retained Offline, then the disconnection; harmless without a broker."""
        station, (client,) = self._started()
        station.say_goodbye()
        self.assertEqual(client.published, [])
        client.welcome()
        client.topics()
        station.say_goodbye()
        self.assertEqual(client.published, [("tele/tasmota_0A0E01/LWT", b"Offline", True)])
        station.disconnect()
        self.assertEqual(client.calls[-1], ("disconnect",))
        make(PLUG)[0].disconnect()

    def test_a_client_that_was_replaced_does_not_count(self) -> None:
        station, clients = self._started()
        clients[0].welcome()
        station.disconnect()
        station.start()
        clients[1].welcome()
        clients[0].lose()
        self.assertTrue(station.connected)

    def test_the_real_client(self) -> None:
        """The one of paho has what is used of it."""
        client = make_client("DVES_0A0E01")
        for name in vars(FakeClient):
            if not name.startswith("_") and name not in {"welcome", "lose", "deliver", "topics"}:
                self.assertTrue(hasattr(client, name), name)

    def _started(self) -> tuple[Station, list[FakeClient]]:
        station, clients = make(PLUG)
        station.start()
        return station, clients


class AFleet(SynchronousTestCase):
    """Several devices."""

    def setUp(self) -> None:
        self.plug, self.plug_clients = make(PLUG)
        self.sleeper, self.sleeper_clients = make(CISTERN)
        self.lines: list[str] = []
        self.fleet = Fleet((self.plug, self.sleeper), self.lines.append)
        self.fleet.start()

    def test_ready_and_gone(self) -> None:
        """Ready once all were there; gone when none is."""
        self.assertFalse(self.fleet.ready)
        self.assertTrue(self.fleet.gone)
        self.plug_clients[0].welcome()
        self.assertFalse(self.fleet.ready)
        self.sleeper_clients[0].welcome()
        self.assertTrue(self.fleet.ready)
        self.assertFalse(self.fleet.gone)
        self.fleet.say_goodbye()
        self.fleet.disconnect()
        for client in (self.plug_clients[0], self.sleeper_clients[0]):
            self.assertEqual(client.published[-1][1], b"Offline")
            self.assertEqual(client.calls[-1], ("disconnect",))
            client.lose()
        self.assertTrue(self.fleet.gone)

    def test_the_sleeper_wakes_sends_and_sleeps(self) -> None:
        """It waits for the broker, says goodbye one interval after, and comes back by itself."""
        self.plug_clients[0].welcome()
        self.fleet.tick()
        (client,) = self.sleeper_clients
        client.welcome()
        self.assertEqual(client.topics()[-1], "tele/tasmota_0A0E06/SENSOR")
        self.fleet.tick()
        self.assertEqual(client.published, [("tele/tasmota_0A0E06/LWT", b"Offline", True)])
        self.assertNotIn(("disconnect",), client.calls)
        self.fleet.tick()
        self.assertIn(("disconnect",), client.calls)
        client.lose()
        for _ in range(2):
            self.fleet.tick()
        self.assertEqual(len(self.sleeper_clients), 1)
        self.fleet.tick()
        self.assertEqual(len(self.sleeper_clients), 2)
        self.assertEqual(self.sleeper_clients[1].calls[-1], ("loop_start",))
        # It sleeps most of the time, which is no loss.
        self.assertEqual(self.lines, [])

    def test_a_lost_broker_is_told_once(self) -> None:
        self.plug_clients[0].welcome()
        self.sleeper_clients[0].welcome()
        self.plug_clients[0].lose()
        for _ in range(3):
            self.fleet.tick()
        self.assertEqual(self.lines, ["Lost the broker, trying again."])
        self.plug_clients[0].welcome()
        self.fleet.tick()
        self.fleet.tick()
        self.assertEqual(self.lines[1:], ["The broker is back."])
