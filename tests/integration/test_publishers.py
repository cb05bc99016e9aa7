"""Programs that announce themselves to Home Assistant, as they are, and what a whole agent writes.

Only what they listen to is made up: a receiver for rtl_433, a radio for Zigbee2MQTT, a weather
station's POST, and advertisements of sensors that a gateway passes on to Theengs gateway. What they
send is recorded in ``tests/modules/hadiscovery/cases/recorded_*``.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from line_protocol_parser import parse_line
from twisted.internet import reactor
from twisted.internet.protocol import Factory
from twisted.internet.threads import deferToThread

from tests.integration.broker import Mosquitto, free_port
from tests.integration.case import AgentCase, logged
from tests.integration.mqtt_agent import publish
from tests.integration.rtl_tcp import Radio
from tests.integration.watching import pause
from tests.needs import find

ATTEMPTS = 80
PAUSE_S = 0.5
Written = dict[tuple[str, str, str], dict[str, Any]]

ADVERTISEMENTS = (
    {
        "id": "A4:C1:38:AA:BB:01",
        "rssi": -61,
        "servicedatauuid": "0x181a",
        "servicedata": "a4c138aabb0100e72e5d0bd1cc",
    },
    {
        "id": "C0:FF:EE:AA:BB:03",
        "rssi": -64,
        # The payload of Ruuvi's documentation: 24.3 °C, 53.49 %, 1000.44 hPa, 2.977 V.
        "manufacturerdata": "99040512fc5394c37c0004fffc040cac364200cdc0ffeeaabb03",
    },
)
WEATHER = {
    "PASSKEY": "ABCDEF0123456789ABCDEF0123456789",
    "stationtype": "GW1000B_V1.7.3",
    "dateutc": "2026-11-27 12:00:00",
    "tempinf": "72.5",
    "humidityin": "48",
    "baromrelin": "29.92",
    "tempf": "51.8",
    "humidity": "78",
    "solarradiation": "312.5",
    "dailyrainin": "0.118",
    "wh65batt": "0",
    "freq": "868M",
    "model": "GW1000_Pro",
}
ZIGBEE = """\
version: 5
homeassistant: {{enabled: true}}
availability: {{enabled: true}}
frontend: {{enabled: false}}
mqtt: {{base_topic: zigbee2mqtt, server: 'mqtt://127.0.0.1:{port}'}}
serial: {{port: /dev/null, adapter: zstack}}
advanced:
  channel: 11
  pan_id: 6754
  ext_pan_id: [221, 221, 221, 221, 221, 221, 221, 221]
  network_key: [1, 3, 5, 7, 9, 11, 13, 15, 0, 2, 4, 6, 8, 10, 12, 13]
  log_output: [console]
devices:
  '0x00158d0000000031': {{friendly_name: Bathroom}}
  '0x00158d0000000032': {{friendly_name: Front door}}
"""


def zigbee_device(number: int, model: str, maker: str, kind: str, clusters: list[int]) -> str:
    """Return a device as Zigbee2MQTT's database has it once it has joined."""
    endpoint = {"profId": 260, "epId": 1, "devId": 770, "inClusterList": clusters}
    endpoint |= {"outClusterList": [], "clusters": {}, "binds": [], "configuredReportings": []}
    device = {
        "id": number,
        "type": kind,
        "ieeeAddr": f"0x00158d000000003{number - 1}",
        "nwkAddr": 4095 + number,
        "manufName": maker,
        "powerSource": "Battery",
        "modelId": model,
        "epList": [1],
        "endpoints": {"1": {**endpoint, "meta": {}}},
        "interviewCompleted": True,
        "interviewState": "SUCCESSFUL",
        "meta": {"configured": 1},
    }
    if kind == "Coordinator":
        device |= {"ieeeAddr": "0x00124b0000000001", "nwkAddr": 0}
    return json.dumps(device) + "\n"


class PublisherTests(AgentCase):
    """One program at a time, begun while the agent runs."""

    timeout = 120

    async def begin(self) -> tuple[Mosquitto, Any]:
        """Start a broker and an agent at it."""
        broker = Mosquitto.start(self, program="mosquitto")
        self.configure(f'[modules.hadiscovery]\nenabled = true\nbroker = "{broker.url}"\n')
        parent = await self.start()
        await self.said(parent, "Connected to")
        return broker, parent

    def run_program(
        self, *words: str, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a program in the test's directory; it ends with the test."""
        with (self.directory / "program.log").open("ab") as log:
            process = subprocess.Popen(
                words,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                env={**os.environ, "HOME": str(self.directory), **(env or {})},
            )

        def end() -> None:
            process.kill()
            process.wait()
            assert process.stdin is not None
            process.stdin.close()

        self.addCleanup(end)
        return process

    def written(self, parent: Any) -> Written:
        """Return the latest fields by measurement, device and sensor."""
        found: Written = {}
        for each in map(parse_line, parent.lines()):
            tags = each["tags"]
            key = (each["measurement"], tags.get("device", ""), tags.get("sensor", ""))
            found.setdefault(key, {}).update(each["fields"])
        return found

    async def expect(
        self, parent: Any, send: Callable[[], Awaitable[object]], expected: Written
    ) -> None:
        """Have it sent again until it is written; the first time announces it."""
        missing: Written = {}
        for _ in range(ATTEMPTS):
            await send()
            await pause(PAUSE_S)
            found = self.written(parent)
            missing = {
                key: fields
                for key, fields in expected.items()
                if not fields.items() <= found.get(key, {}).items()
            }
            if not missing:
                return
        log = (self.directory / "program.log").read_text("utf-8", "replace")[-2000:]
        self.fail(f"not written: {missing}, but {found}\n{logged(parent.log)}\n{log}")

    async def test_theengs_gateway(self) -> None:
        """A gateway elsewhere passes on what it cannot decode; topics have wildcards."""
        program = find("theengs-gateway")
        broker, parent = await self.begin()
        at = ("-H", "127.0.0.1", "-P", str(broker.port))
        self.run_program(program, *at, "-b", "0", "-D", "1", "-c", "theengs.conf")

        async def send() -> None:
            for each in ADVERTISEMENTS:
                payload = json.dumps(each).encode()
                await publish(broker, "home/other/BTtoMQTT/undecoded", payload)

        one, two = "A4C138AABB01", "C0FFEEAABB03"
        air = {"temperature": 24.3, "humidity": 53.49, "pressure": 1000.44}
        await self.expect(
            parent,
            send,
            {
                ("climate", one, ""): {"temperature": 23.1, "humidity": 46.0},
                ("device", one, ""): {"battery": 93.0},
                ("electricity", one, ""): {"voltage": 3.025},
                ("climate", two, ""): air,
                ("electricity", two, ""): {"voltage": 2.977},
            },
        )

    async def test_ecowitt2mqtt(self) -> None:
        """A weather station posts in the units of the United States; the rain has no class."""
        program = find("ecowitt2mqtt")
        broker, parent = await self.begin()
        port = free_port()
        at = ("--mqtt-broker", "127.0.0.1", "--mqtt-port", str(broker.port))
        self.run_program(
            program, *at, "--mqtt-topic", "ecowitt", "--port", str(port), "--hass-discovery"
        )
        url = f"http://127.0.0.1:{port}/data/report"

        def post() -> None:
            try:
                urllib.request.urlopen(url, urlencode(WEATHER).encode(), timeout=10).close()
            except OSError:
                return  # not there yet

        device = WEATHER["PASSKEY"]
        await self.expect(
            parent,
            lambda: deferToThread(post),
            {
                ("climate", device, ""): {"temperature": 11.0, "humidity": 78.0},
                ("climate", device, "tempin"): {"temperature": 22.5},
                ("climate", device, "humidityin"): {"humidity": 48.0},
                ("device", device, "wh65batt"): {"battery_low": False},
                ("device", device, ""): {"online": True},
                ("other", device, ""): {"dailyrain": 0.118},
            },
        )

    async def test_rtl_433(self) -> None:
        """A thermometer on 433 MHz, through the receiver, the program and the script beside it."""
        program = find("rtl_433")
        script = find("rtl_433", "/usr/share/doc/rtl-433/examples/rtl_433_mqtt_hass.py")
        broker, parent = await self.begin()
        radios: list[Radio] = []

        class Receiver(Factory):
            """Keeps its connections."""

            def buildProtocol(self, _addr: object) -> Radio:
                radios.append(Radio())
                return radios[-1]

        listening = reactor.listenTCP(0, Receiver(), interface="127.0.0.1")
        self.addCleanup(listening.stopListening)
        self.addCleanup(lambda: [each.transport.abortConnection() for each in radios])
        self.run_program(sys.executable, script, "-H", "127.0.0.1", "-p", str(broker.port), "-r")
        topics = "events=rtl_433/host/events,devices=rtl_433/host/devices[/type][/model][/id]"
        receiver = f"rtl_tcp:127.0.0.1:{listening.getHost().port}"
        self.run_program(
            *(program, "-d", receiver, "-C", "si", "-R", "55"),
            *("-F", f"mqtt://127.0.0.1:{broker.port},{topics}"),
        )

        async def send() -> None:
            for radio in radios:
                radio.hear(90, 21.5)

        device = "Acurite-606TX-90"
        await self.expect(
            parent,
            send,
            {
                ("climate", device, ""): {"temperature": 21.5},
                # By {{ float(value) * 99 + 1 }}, which needs Jinja2.
                ("device", device, ""): {"battery": 100.0},
            },
        )

    async def test_zigbee2mqtt(self) -> None:
        """Its devices are announced after its bridge, which it says is online only once."""
        program = find("zigbee2mqtt")
        broker, parent = await self.begin()
        data = self.directory / "data"
        data.mkdir()
        (data / "configuration.yaml").write_text(ZIGBEE.format(port=broker.port), "utf-8")
        (data / "database.db").write_text(
            zigbee_device(1, "", "", "Coordinator", [])
            + zigbee_device(2, "SNZB-02D", "SONOFF", "EndDevice", [0, 1, 3, 1026, 1029])
            + zigbee_device(3, "lumi.sensor_magnet.aq2", "LUMI", "EndDevice", [0, 3, 6]),
            "utf-8",
        )
        radio = Path(__file__).with_name("zigbee_radio.js")
        env = {"ZIGBEE2MQTT_DATA": str(data), "NODE_OPTIONS": f"--require={radio}"}
        # In a checkout of anything it would build itself from sources.
        process = self.run_program(program, env={**env, "GIT_DIR": str(self.directory)})
        assert process.stdin is not None
        pipe = process.stdin

        async def send() -> None:
            for address, cluster, attributes in (
                (4097, "msTemperatureMeasurement", {"measuredValue": 2137}),
                (4097, "msRelativeHumidity", {"measuredValue": 4820}),
                (4098, "genOnOff", {"onOff": 1}),
            ):
                report = {"address": address, "cluster": cluster, "attributes": attributes}
                with contextlib.suppress(BrokenPipeError):  # it ended: its log is shown
                    pipe.write(json.dumps(report).encode() + b"\n")

        one, two = "zigbee2mqtt_0x00158d0000000031", "zigbee2mqtt_0x00158d0000000032"
        await self.expect(
            parent,
            send,
            {
                ("climate", one, ""): {"temperature": 21.37, "humidity": 48.2},
                ("state", two, ""): {"contact": False},
                ("device", one, ""): {"online": True},
                ("device", two, ""): {"online": True},
            },
        )
        # What Home Assistant alone can render is left out, and the log says so.
        await self.said(parent, "left out the announcement", "W")
        (line,) = self.lines_with(parent, "left out the announcement")
        self.assertIn("network_map", line.text)
