"""The status page in a real browser, at real agents."""

from __future__ import annotations

import json
import signal

from metrics_agent.characters import visible
from tests.integration.broker import Mosquitto, free_port
from tests.integration.chromium import Chromium
from tests.integration.load import Load
from tests.integration.mqtt_agent import MqttCase, announcement, publish
from tests.integration.test_status import DEMO, QUICK
from tests.integration.watching import until

TOKEN = "0123456789abcdef-token"
DEVICES = 1000
AT_A_TIME = 50
ROWS = "document.querySelectorAll('#devices > tr')"
CARD = "[...document.querySelectorAll('.card')].find(each => each.innerText.startsWith({name!r}))"
WELL = "All is well."
NO_ANSWER = "The agent does not answer."

CHANGED = """
const { visible } = await import('/words.js');
const changed = [];
for (let code = 0; code <= 0x10ffff; code++) {
  const shown = visible(String.fromCodePoint(code));
  if (shown !== String.fromCodePoint(code)) changed.push([code, shown]);
}
return changed;
"""

UNHEARD = """
const { showDevices } = await import('/devices.js');
const device = { module: 'opendtu', device: 'dtu', friendly: ' ', online: true, series: [] };
showDevices({ units: {}, devices: [{ ...device, last_seen: null, stale: false }] });
const row = document.getElementById('devices').children[0];
return ['.name', '.headlines', '.seen'].map((each) => row.querySelector(each).innerText.trim());
"""

TIMES = """
const input = document.getElementById('search');
const begun = performance.now();
input.value = 'name plug 77';
input.dispatchEvent(new Event('input'));
document.body.offsetHeight;
return performance.now() - begun;
"""


class PageCase(MqttCase):
    """Runs agents with a page, and a browser that looks at it."""

    timeout = 180

    def setUp(self) -> None:
        super().setUp()
        port = free_port()
        self.url = f"http://127.0.0.1:{port}/"
        self.status = f'[status]\nlisten = "tcp:{port}:interface=127.0.0.1"\n'

    async def look_at(self, heading: str = WELL) -> Chromium:
        """Open the page; wait for its first sentence."""
        browser = await Chromium.start(self)
        await browser.open(self.url)
        await browser.at(heading)
        return browser

    async def assert_quiet(self, browser: Chromium, *known: str) -> None:
        """The browser has no complaint, such as of a violated policy, but for known ones."""
        found = [
            text for text in await browser.complaints() if not any(each in text for each in known)
        ]
        self.assertEqual(found, [])


class PageTests(PageCase):
    """What a user sees."""

    async def test_fails_is_parked_and_recovers(self) -> None:
        """A module, then the agent itself: each is seen, and the page recovers by itself."""
        self.configure(self.probe("raise", QUICK) + DEMO + self.status)
        parent = await self.start(restart_delay_s=4)
        await self.said(parent, "Parked", "E")
        browser = await self.look_at("1 problem.")
        probe, demo = (CARD.format(name=name) for name in ("probe", "demo"))
        await browser.wait_for(f"{probe}.innerText.includes('parked')")
        await browser.wait_for(f"{demo}.innerText.includes('running')")
        await browser.wait_for(f"{probe}.innerText.includes('Last error in tick')")
        await browser.look("page-parked")
        await self.assert_quiet(browser)
        self.configure(self.probe("nothing", QUICK) + DEMO + self.status)
        parent.signal_agent(signal.SIGHUP)
        await browser.at(WELL)
        await browser.wait_for(f"{probe}.innerText.includes('running')")
        await browser.wait_for("document.getElementById('agent').innerText.includes('1 changed')")
        parent.signal_agent(signal.SIGKILL)
        await browser.wait_for(
            f"document.querySelector('h1').innerText == {NO_ANSWER!r}"
            " && document.getElementById('note').innerText.includes('Since ')"
        )
        await browser.look("page-away")
        await browser.at(WELL)
        await self.assert_quiet(browser, "net::ERR_")

    async def test_a_broker_goes_away(self) -> None:
        """It is a problem until it is back; hostile names and values are texts meanwhile."""
        broker = Mosquitto.start(self)
        self.configure(self.tasmota(broker, reconnect_max="200ms") + self.status)
        parent = await self.start()
        await self.said(parent, "Connected to")
        name = "<img src=x onerror=pwned=1>\u202e</script><b>\x1b[2J"
        config = {**json.loads(announcement("plug")), "dn": name, "fn": [name]}
        topic = f"tasmota/discovery/{config['mac']}/config"
        await publish(broker, topic, json.dumps(config).encode(), "-r")
        await publish(
            broker, "tele/plug/SENSOR", b'{"ENERGY":{"Power":42,"Voltage":230,"Total":1e308}}'
        )
        await until(lambda: b"power=42" in bytes(parent.output), "the metric")
        browser = await self.look_at()
        await browser.wait_for(f"{ROWS}.length == 1")
        row = await browser.script(f"return {ROWS}[0].innerText")
        self.assertIn("<img src=x onerror=pwned=1>", row)
        self.assertIn("42 W", row)
        self.assertIn("1e+308 kWh", row)
        self.assertEqual(await browser.script("return document.images.length"), 0)
        self.assertTrue(await browser.script("return typeof pwned == 'undefined'"))
        found = await browser.script(f"return (async () => {{{CHANGED}}})()")
        self.assertEqual(dict(found), self.unsafe())
        # By the keyboard alone: all values of the device.
        await browser.script("document.querySelector('summary').focus()")
        await browser.type("\ue007")  # Enter
        await browser.wait_for(f"{ROWS}[0].innerText.includes('230 V')")
        broker.kill()
        await browser.at("1 problem.")
        await browser.wait_for(
            "document.getElementById('connections').innerText.includes('refused')"
        )
        await browser.look("page-broker")
        broker.start_again()
        await browser.at(WELL)
        self.assertTrue(await browser.script(f"return {ROWS}[0].querySelector('details').open"))
        # The next answer of the agent takes it away again.
        found = await browser.script(f"return (async () => {{{UNHEARD}}})()")
        self.assertEqual(found, ["dtu", "no values", "online"])
        await self.assert_quiet(browser)

    def unsafe(self) -> dict[int, str]:
        """Return the characters that the log shows otherwise, and how."""
        shown = ((code, visible(chr(code))) for code in range(0x110000))
        return {code: text for code, text in shown if text != chr(code)}

    async def test_a_thousand_devices(self) -> None:
        """Some are shown, more on demand, any is found at once."""
        broker = Mosquitto.start(self)
        load = await Load.connect(self, broker.port, devices=DEVICES)
        self.configure(self.tasmota(broker) + self.status)
        parent = await self.start()
        await self.subscribed(parent, load)
        load.send(DEVICES)
        await self.received(parent, load.sent)
        browser = await self.look_at()
        await browser.wait_for(f"{ROWS}.length == {AT_A_TIME}")
        await browser.click("#more")
        await browser.wait_for(f"{ROWS}.length == {2 * AT_A_TIME}")
        await browser.look("page-many")
        took_ms = await browser.script(TIMES)
        self.assertEqual(await browser.script(f"return {ROWS}.length"), 19)  # x77 and 77x
        count = await browser.script("return document.getElementById('device-count').innerText")
        self.assertEqual(count, "19 of 1000 devices")
        self.assertLess(took_ms, 200)
        await self.assert_quiet(browser)

    async def test_token(self) -> None:
        """Without the token the page says what to do; with it once, the browser is known."""
        self.configure(DEMO + self.status + f'token = "{TOKEN}"\n')
        await self.start()
        browser = await self.look_at("The agent asks for its token.")
        await browser.open(f"{self.url}?token={TOKEN}")
        await browser.at(WELL)
        self.assertEqual(browser.url, self.url)
        await browser.open(self.url)
        await browser.at(WELL)
        await self.assert_quiet(browser, "401 (Unauthorized)")
