"""From the device to the database: broker, agent, Telegraf and InfluxDB, all of them real."""

from __future__ import annotations

import json

from tests.integration.broker import Mosquitto
from tests.integration.case import AgentCase, OnTelegraf
from tests.integration.influxdb import Influx
from tests.integration.load import Load
from tests.integration.watching import pause

TO_INFLUXDB = """
[[outputs.influxdb]]
  urls = ["{url}"]
  database = "telegraf"
"""


class InfluxdbTests(OnTelegraf, AgentCase):
    """What a query returns is what the devices sent."""

    async def test_a_query_returns_what_the_devices_sent(self) -> None:
        """Each value of each device, a float, with its tags; 230 and then 230.5 do no harm."""
        influx = Influx(self)
        await influx.start()
        broker = Mosquitto.start(self)
        load = await Load.connect(self, broker.port, devices=3)
        names = '\n[modules.tasmota.friendly_name_overrides]\nplug01 = "Küche, links = \\"1\\""\n'
        self.configure(self.tasmota(broker, 'self_metrics_interval = "0s"') + names)
        parent = self.parent(outputs=TO_INFLUXDB.format(url=influx.url))
        parent.start()
        await self.subscribed(parent, load)
        sent = []
        for round_ in range(20):
            for device in load.devices:
                # Whole at first, a fraction later: of one series, in one field.
                voltage = 230 if round_ < 10 else 230.5
                energy = {"Voltage": voltage, "Power": round_, "Total": 1234567.891 + round_}
                load.publish(
                    f"tele/{device}/SENSOR", json.dumps({"ENERGY": energy}).encode(), qos=1
                )
                sent.append((device, float(voltage), float(round_), energy["Total"]))
            await pause(0.05)
        rows: list[dict[str, object]] = []

        async def all_there() -> None:
            for _ in range(100):
                rows[:] = await influx.query("SELECT * FROM electricity")
                if len(rows) >= len(sent):
                    return
                await pause(0.1)

        await all_there()
        self.assertEqual(len(rows), len(sent), self.lines_with(parent, ""))
        found = [(row["device"], row["voltage"], row["power"], row["energy_total"]) for row in rows]
        self.assertEqual(sorted(found), sorted(sent))
        # The order of a device's messages is that of their times.
        self.assertEqual(
            [row["power"] for row in rows if row["device"] == "plug00"],
            [float(round_) for round_ in range(20)],
        )
        self.assertEqual({row["vendor"] for row in rows}, {"tasmota"})
        friendly = {row["device"]: row["friendly"] for row in rows}
        self.assertEqual(
            friendly,
            {
                "plug00": "Name of plug00",
                "plug01": 'Küche, links = "1"',
                "plug02": "Name of plug02",
            },
        )
        types = {
            row["fieldKey"]: row["fieldType"]
            for row in await influx.query("SHOW FIELD KEYS FROM electricity")
        }
        self.assertEqual(types, dict.fromkeys(("voltage", "power", "energy_total"), "float"))
        self.assertNotIn("conflict", parent.whole_log)
        self.assertNotIn("E! [outputs.influxdb]", parent.whole_log)
