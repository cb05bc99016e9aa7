"""Announcements without telemetry."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.testing import FakeContext
from tests.modules.tasmota.support import announcement, config_topic, make

POWER = b'{"Time":"2025-02-11T07:30:00","ENERGY":{"Power":1}}'
LIMIT_S = 600


class Announced(SynchronousTestCase):
    """Some devices that have announced themselves."""

    def setUp(self) -> None:
        self.context = FakeContext()

    def start(self, *, devices: int = 3, retained: bool = True, **settings: Any) -> FakeContext:
        _, self.context = make(**settings)
        self.announce(devices, retained=retained)
        return self.context

    def announce(self, devices: int = 3, *, retained: bool = True, **changes: Any) -> None:
        for number in range(devices):
            mac = f"{number:012X}"
            payload = announcement(mac=mac, t=f"plug{number}", **changes)
            self.context.deliver(config_topic(mac), payload, retain=retained)

    def pass_time(self, seconds: int) -> None:
        for _ in range(seconds):
            self.context.advance(1)


class SilenceTests(Announced):
    """Whether a line says that telemetry does not come, and when."""

    def warned(self) -> list[str]:
        return [line for line in self.context.logged("warn") if "telemetry" in line]

    def test_a_subscription_that_is_granted_and_not_served(self) -> None:
        """One line names devices, broker, time and the rules of the broker as a cause."""
        self.start(broker="broker.example")
        self.pass_time(LIMIT_S - 1)
        self.assertEqual(self.warned(), [])
        self.pass_time(3600)
        (line,) = self.warned()
        for words in ("3 Tasmota devices", "broker.example", "600 s", "ACL", "tele/#"):
            self.assertIn(words, line)
        self.assertNotIn("$share", line)

    def test_a_shared_subscription_is_named(self) -> None:
        self.start(shared_group="agents")
        self.pass_time(LIMIT_S + 1)
        self.assertIn("$share/agents/", self.warned()[0])

    def test_the_default_period_of_healthy_devices(self) -> None:
        """The first telemetry comes within 300 s, whatever else is quiet."""
        self.start(shared_group="agents")
        self.pass_time(299)
        self.context.deliver("tele/plug0/STATE", b'{"POWER":"ON"}')
        self.pass_time(7200)
        self.assertEqual(self.warned(), [])

    def test_what_is_stored_at_the_broker_proves_the_rights(self) -> None:
        """A device's last state, or a sensor that is retained, even of a house that is off."""
        for topic, payload in (
            ("tele/plug0/LWT", b"Offline"),
            ("tele/plug1/SENSOR", POWER),
            ("tele/other/LWT", b"Online"),
        ):
            self.start()
            self.context.deliver(topic, payload, retain=True)
            self.pass_time(2 * LIMIT_S)
            self.assertEqual(self.warned(), [], topic)

    def test_replies_on_other_topics_prove_nothing(self) -> None:
        """The rules may let the login read stat and not tele."""
        self.start()
        self.context.deliver("stat/plug0/RESULT", b'{"POWER":"ON"}')
        self.pass_time(LIMIT_S + 1)
        self.assertEqual(len(self.warned()), 1)

    def test_telemetry_that_comes_after_all_is_told_once(self) -> None:
        self.start()
        self.pass_time(LIMIT_S + 1)
        for _ in range(3):
            self.context.deliver("tele/plug0/SENSOR", POWER)
        lines = [line for line in self.context.logged("info") if "is coming in now" in line]
        self.assertEqual(len(lines), 1)
        self.pass_time(2 * LIMIT_S)
        self.assertEqual(len(self.warned()), 1)

    def test_a_broker_that_is_away(self) -> None:
        """Its absence is not the devices' silence; the time begins again with the connection."""
        self.start()
        self.pass_time(10)
        self.context.connected = False
        self.pass_time(2 * LIMIT_S)
        self.assertEqual(self.warned(), [])
        self.context.connected = True
        self.announce()
        self.pass_time(LIMIT_S - 1)
        self.assertEqual(self.warned(), [])
        self.pass_time(2)
        self.assertEqual(len(self.warned()), 1)

    def test_a_broker_that_comes_back_in_time(self) -> None:
        """Announcements that are delivered again begin the time again."""
        self.start()
        self.pass_time(500)
        self.announce()
        self.pass_time(500)
        self.assertEqual(self.warned(), [])
        self.pass_time(101)
        self.assertEqual(len(self.warned()), 1)

    def test_a_device_that_announces_itself_all_the_time_delays_nothing(self) -> None:
        """Only what is delivered for our subscription is a new beginning."""
        self.start()
        for _ in range(60):
            self.announce(1, retained=False)
            self.pass_time(11)
        self.assertEqual(len(self.warned()), 1)

    def test_devices_that_sleep(self) -> None:
        """They send when they wake up, which may be once a day."""
        self.start(devices=0)
        self.announce(dslp=1)
        self.pass_time(2 * LIMIT_S)
        self.assertEqual(self.warned(), [])

    def test_settings(self) -> None:
        """Another time, and never."""
        self.start(no_telemetry_after=30)
        self.pass_time(31)
        self.assertEqual(len(self.warned()), 1)
        self.start(no_telemetry_after=0)
        self.pass_time(2 * LIMIT_S)
        self.assertEqual(self.warned(), [])


class UnheardTests(Announced):
    """Devices of which nothing comes while others send."""

    def named(self) -> list[str]:
        return [line for line in self.context.logged("warn") if "sent nothing since" in line]

    def test_each_is_named_once(self) -> None:
        """Also when the announcements come again, as after each connection."""
        self.start()
        self.context.deliver("tele/plug1/SENSOR", POWER)
        self.pass_time(LIMIT_S - 1)
        self.assertEqual(self.named(), [])
        for _ in range(3):
            self.pass_time(LIMIT_S + 1)
            self.announce()
        (line,) = self.named()
        self.assertIn("2 Tasmota devices", line)
        self.assertIn("plug0, plug2.", line)

    def test_all_have_sent(self) -> None:
        """A last will is enough, of a device that is off."""
        self.start()
        for number in range(3):
            self.context.deliver(f"tele/plug{number}/LWT", b"Offline", retain=True)
        self.pass_time(3 * LIMIT_S)
        self.assertEqual(self.named(), [])

    def test_one_that_sleeps(self) -> None:
        """It may wake up once a day."""
        self.start(devices=0)
        self.announce(1, dslp=1)
        self.context.deliver(config_topic(), announcement())
        self.context.deliver("tele/plug/SENSOR", POWER)
        self.pass_time(3 * LIMIT_S)
        self.assertEqual(self.named(), [])

    def test_many(self) -> None:
        """Twenty are named, all are counted."""
        self.start(devices=50)
        self.context.deliver("tele/plug1/SENSOR", POWER)
        self.pass_time(LIMIT_S + 1)
        (line,) = self.named()
        self.assertIn("49 Tasmota devices", line)
        self.assertIn("plug20 ...", line)

    def test_never(self) -> None:
        """The setting that silences the other warning silences this one."""
        self.start(no_telemetry_after=0)
        self.context.deliver("tele/plug1/SENSOR", POWER)
        self.pass_time(3 * LIMIT_S)
        self.assertEqual(self.named(), [])
