"""Each text of each message that a module reads, filled with patterns up to 1 MiB."""

from __future__ import annotations

import json
from itertools import islice
from typing import Any

from metrics_agent.modules.opendtu.config import OpenDtuSettings
from metrics_agent.modules.tasmota.config import TasmotaSettings
from tests.faults.peers import SEND_EVERY_S
from tests.fuzz.corpus import netatmo_answers
from tests.hostile.fields import MOST_BYTES, MessagesCase, of_module
from tests.hostile.generate import filled_documents
from tests.hostile.patterns import PATTERNS, RAW, filled, payload
from tests.hostile.scale import ALL, count
from tests.integration.case import logged
from tests.integration.netatmo import NetatmoPeer, documents
from tests.integration.opendtu_simulator import Simulator, inverter
from tests.integration.watching import pause, until

_READ = ("SENSOR", "STATE", "LWT", "RESULT", "ENERGYTOTAL", "STATUS8", "STATUS10", "STATUS11")
_SUBTOPICS = (*_READ, "ZbReceived")


class GeneratedTests(MessagesCase):
    """Whatever is in a text costs that message."""

    async def test_tasmota_fields(self) -> None:
        """Announcements, telemetry, states, replies: each key and each value."""
        parent, load = await self.house()

        async def send() -> None:
            cases = of_module("tasmota", TasmotaSettings)
            await self.send(parent, load, filled_documents(cases, most=None if ALL else 150))

        await self.attack("tasmota_fields", parent, send)
        await self.ends_well(parent)

    async def test_tasmota_payloads(self) -> None:
        """What is not a message at all, on each topic that is read."""
        parent, load = await self.house()
        topics = [f"tele/plug00/{each}" for each in _SUBTOPICS]
        topics += [f"stat/plug00/{each}" for each in _SUBTOPICS]
        topics.append("tasmota/discovery/0000000008AA/config")
        messages = [
            (topic, payload(name, size))
            for size in (65_000, MOST_BYTES)
            for number, name in enumerate(RAW)
            for topic in (topics if ALL else [topics[number % len(topics)], topics[-1]])
        ]
        await self.attack("tasmota_payloads", parent, lambda: self.send(parent, load, messages))
        await self.ends_well(parent)

    async def test_topics_filled(self) -> None:
        """Topics of each pattern; what the broker itself refuses ends our connection to it."""
        parent, load = await self.house()
        body = b'{"ENERGY":{"Power":1}}'
        names = [name for name in PATTERNS if name not in _REFUSED]
        messages = []
        for size in (200, 5000, 65_000):
            for name in names:
                text = filled(name, size)
                levels = text.replace("/", "_") if size > 200 else text
                levels = levels.replace("+", "p").replace("#", "h")
                messages.append((f"tele/{levels}/SENSOR", body))
                messages.append((f"tasmota/discovery/{levels}/config", body))
        await self.attack("topics_filled", parent, lambda: self.send(parent, load, messages))
        self.assertTrue(load.transport.connected)
        await self.ends_well(parent)

    async def test_opendtu_fields(self) -> None:
        """Each topic that a DTU publishes, with each pattern in it."""
        text = '[modules.opendtu]\nenabled = true\n[modules.opendtu.mqtt]\nbroker = "{}"\n'
        parent, load = await self.house_with(text)
        found = dict.fromkeys(
            topic
            for topic, _ in of_module("opendtu", OpenDtuSettings, url="http://192.0.2.1")
            if topic.startswith("solar/")
        )
        messages: list[tuple[str, bytes]] = []
        for number, topic in enumerate(found):
            for each in range(len(RAW) if ALL else 1):
                name = list(RAW)[(number + each) % len(RAW)]
                messages.append((topic, payload(name, (60, 5000, 1_000_000)[number % 3])))
        for number in range(count(20_000, 2000)):
            serial = f"1141{number:08d}"
            messages.append((f"solar/{serial}/name", b"n" * 100))
            messages.append((f"solar/{serial}/0/power", b"1"))
            messages.append((f"solar/{serial}/{number}/name", b"s" * 128))
        await self.attack("opendtu_fields", parent, lambda: self.send(parent, load, messages))
        await self.ends_well(parent)

    async def test_opendtu_frames(self) -> None:
        """Each key and each value of the frames of a DTU's socket."""
        cases = of_module("opendtu", OpenDtuSettings, url="http://192.0.2.1")
        known = [each for each in cases if not each[0]]
        dtu = Simulator(self)
        parent = await self.agent(
            f'[modules.opendtu]\nenabled = true\nurl = "{dtu.url()}"\nreconnect_min = "100ms"\n'
        )
        await until(lambda: dtu.events("open"), "a connection")

        async def frames() -> None:
            found = filled_documents(known, most=None if ALL else 40)
            for number, (_, body) in enumerate(found):
                dtu.do("send", text=body.decode())
                if number % 8 == 7:
                    await self._heard(dtu, parent)
            await self._heard(dtu, parent)

        await self.attack("opendtu_frames", parent, frames)
        await self.ends_well(parent)

    async def _heard(self, dtu: Simulator, parent: Any) -> None:
        """Send a good frame until it arrives: the connection may have been ended."""
        self.power = getattr(self, "power", 100) + 1
        wanted = b"power=%.1f" % self.power
        had = len(parent.output)
        for _ in range(200):
            dtu.send(inverter(float(self.power)))
            await pause(SEND_EVERY_S)
            if wanted in bytes(parent.output[had:]):
                return
        self.fail(logged(parent.log[-20:]))

    async def test_netatmo_answers(self) -> None:
        """Each key and each value of Netatmo's answers; each is read at a reload."""
        peer = NetatmoPeer.start(self, self.directory)
        line = peer.token_file(peer.give_pair()["refresh_token"])
        parent = await self.agent(peer.config(line))
        await until(lambda: b"climate," in bytes(parent.output), lambda: logged(parent.log))
        known = [("", text) for text in netatmo_answers()]

        async def answers() -> None:
            found = filled_documents(known, most=None if ALL else 8)
            for _, body in islice(found, 0, None, count(11, 1)):
                try:
                    document = json.loads(body)
                except ValueError:
                    continue
                asked = peer.asked("getstationsdata")
                peer.control(documents={"getstationsdata": document})
                await self.reload_netatmo(parent, peer, line)
                await until(lambda: peer.asked("getstationsdata") > asked, "a question")  # noqa: B023
                await pause(0.1)

        await self.attack("netatmo_answers", parent, answers)
        had = len(parent.output)
        peer.control(documents=documents())
        await self.reload_netatmo(parent, peer, line)
        await until(lambda: b"climate," in bytes(parent.output[had:]), lambda: logged(parent.log))
        await self.ends_well(parent)

    async def reload_netatmo(self, parent: Any, peer: NetatmoPeer, line: str) -> None:
        """Have the module start over, so that it asks at once."""
        self.turn = getattr(self, "turn", 0) + 1
        self.healthy_beside(peer.config(line, timeout=f"{3 + self.turn % 50}s"))
        parent.signal_agent(1)
        await pause(0)


_REFUSED = frozenset({"controls", "non_characters", "surrogates", "line_protocol", "random"})
"""Patterns that mosquitto does not take in a topic."""
