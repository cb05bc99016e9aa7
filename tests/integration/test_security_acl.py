"""The rules for mosquitto in SECURITY.md, at a real broker: who may do what under them."""

from __future__ import annotations

import re
from pathlib import Path
from unittest import skipUnless

from tests.integration.broker import Mosquitto
from tests.integration.mqtt_agent import MqttCase, announcement, field_values, publish
from tests.integration.watching import pause, until

PAGE = Path(__file__).parents[2] / "SECURITY.md"
PLUG, OTHER = "A4CF12C0FFEE", "A4CF12000001"
USERS = {name: f"password of {name}" for name in (PLUG, OTHER, "telegraf", "opendtu")}
TWO_CHANNELS = b'{"Time":"2025-02-11T07:30:00","ENERGY":{"Total":5,"Power":[1,2]}}'
TOTALS = b'{"EnergyTotal":{"Total":[3,2],"Yesterday":[1,0],"Today":[0.5,0]}}'


def example() -> str:
    """Return the rules that the page shows."""
    found = re.search(r"<!-- acl -->\n```text\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


@skipUnless(PAGE.exists(), "the tests run without the documentation")
class RulesTests(MqttCase):
    """One broker with the example's rules, and the logins that it names."""

    def setUp(self) -> None:
        super().setUp()
        rules = self.directory / "acl"
        rules.write_text(example(), "utf-8")
        rules.chmod(0o600)
        self.broker = Mosquitto.start(self, users=USERS, settings=[f"acl_file {rules}"])

    async def send(self, user: str, topic: str, payload: bytes = b"x") -> bool:
        """Publish as a user; return whether the broker let it through."""
        before = self.broker.log.count("Denied PUBLISH")
        await publish(self.broker, topic, payload, "-u", user, "-P", USERS[user])
        return self.broker.log.count("Denied PUBLISH") == before

    async def test_agent(self) -> None:
        """It collects all that it can, the counters of channels too, and is never denied."""
        parent = await self.run_at(self.broker, username="telegraf", password=USERS["telegraf"])
        await self.connected(parent)
        announced = announcement(PLUG, PLUG)
        self.assertTrue(await self.send(PLUG, f"tasmota/discovery/{PLUG}/config", announced))
        await self.said(parent, "Discovered device ")
        self.assertTrue(await self.send(PLUG, f"tele/{PLUG}/SENSOR", TWO_CHANNELS))
        question = f"Received PUBLISH from agent (d0, q0, r0, m0, 'cmnd/{PLUG}/EnergyTotal'"
        await until(lambda: question in self.broker.log, lambda: self.broker.log)
        self.assertTrue(await self.send(PLUG, f"stat/{PLUG}/RESULT", TOTALS))
        await until(
            lambda: {3.0, 2.0} <= set(field_values(parent, "energy_total")),
            lambda: f"the counters of both channels: {parent.lines()}",
        )
        self.assertNotIn("Denied", self.broker.log)
        self.assertEqual([said.text for said in parent.log if said.level in "WE"], [])

    async def test_device_that_speaks_for_another(self) -> None:
        """Neither its announcement nor its telemetry; the agent sees nothing of it."""
        parent = await self.run_at(self.broker, username="telegraf", password=USERS["telegraf"])
        await self.connected(parent)
        forged = announcement(PLUG, PLUG)
        for topic in (
            f"tasmota/discovery/{PLUG}/config",
            f"tele/{PLUG}/SENSOR",
            f"stat/{PLUG}/RESULT",
            f"cmnd/{PLUG}/Power",
            f"cmnd/{OTHER}/Power",
            "cmnd/tasmotas/Power",
            "solar/dtu/hostname",
            "tasmota/discovery/config",
        ):
            self.assertFalse(await self.send(OTHER, topic, forged), topic)
        await pause(0.5)
        self.assertEqual([said for said in parent.log if "Discovered" in said.text], [])
        self.assertEqual(parent.lines(), [])
        own = announcement(OTHER, OTHER)
        self.assertTrue(await self.send(OTHER, f"tasmota/discovery/{OTHER}/config", own))
        await self.said(parent, "Discovered device ")

    async def test_what_the_agents_login_may_send(self) -> None:
        """The question for counters, and nothing else: no command, no announcement of its own."""
        self.assertTrue(await self.send("telegraf", f"cmnd/{PLUG}/EnergyTotal"))
        for topic in (
            f"cmnd/{PLUG}/Power",
            f"cmnd/{PLUG}/EnergyTotal/x",
            f"tele/{PLUG}/SENSOR",
            "tasmota/discovery/telegraf/config",
            "tele/telegraf/SENSOR",
            "stat/telegraf/RESULT",
            "cmnd/telegraf/Power",
            "solar/dtu/hostname",
            "x",
        ):
            self.assertFalse(await self.send("telegraf", topic), topic)

    async def test_opendtu(self) -> None:
        """The DTU publishes below its prefix only."""
        self.assertTrue(await self.send("opendtu", "solar/dtu/hostname"))
        self.assertFalse(await self.send("opendtu", f"tele/{PLUG}/SENSOR"))
        self.assertFalse(await self.send("opendtu", f"tasmota/discovery/{PLUG}/config"))
