"""Attacks by whoever may publish at the broker, on the module tasmota."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable
from itertools import combinations

from tests.hostile.case import ATTEMPTS, HostileCase
from tests.hostile.scale import count
from tests.integration.broker import Mosquitto
from tests.integration.case import logged
from tests.integration.load import Load
from tests.integration.mqtt_agent import announcement
from tests.integration.watching import pause, until

SENSOR = "tele/plug00/SENSOR"
SENSORS_OF_FIRMWARE = b'{"DS18B20":{"Id":"01131B123456","Temperature":20.5}}'
BATCH_BYTES = 8_000_000
"""Sent before the agent is waited for: what a broker queues for it is not what is measured."""

_FORGED = (
    "x\nE! [agent] FAKE",
    "x\r\nE! [agent] FAKE",
    "x\x85E! [agent] FAKE",
    "x\u2028E! [agent] FAKE",
    "x\x9b31mFAKE\x1b[0m",
    "x\u202eEKAF\u2066",
    "x\u200b\u200d\ufeffFAKE",
    "x\x00FAKE\x7f",
)
_UNPRINTABLE = frozenset(
    map(chr, [*range(32), *range(127, 160), 0x2028, 0x2029, 0x200B, 0x200D, 0xFEFF])
) | frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class MessageTests(HostileCase):
    """One message costs one message."""

    async def send(self, parent: object, load: Load, messages: Iterable[tuple[str, bytes]]) -> None:
        """Publish, waiting for the agent now and then, and in the end."""
        waiting = 0
        for topic, payload in messages:
            load.publish(topic, payload)
            waiting += len(topic) + len(payload) + 1000
            if waiting > BATCH_BYTES:
                waiting = 0
                await load.barrier()
                await self.works(parent, load)
        await load.barrier()
        await self.works(parent, load)

    async def attack_with(
        self, name: str, messages: list[tuple[str, bytes]], *, devices: int = 0, again: bool = True
    ) -> tuple[object, Load]:
        """Publish all that as an attack."""
        parent, load = await self.house()
        await self.attack(
            name,
            parent,
            lambda: self.send(parent, load, messages),
            devices=devices,
            again=again,
        )
        await self.ends_well(parent)
        return parent, load

    async def test_digits_name(self) -> None:
        """A name of digits that does not end in one costs no more than any other."""
        sizes = (20_000, 130_000, 900_000)
        names = [unit * (size // len(unit)) for unit in ("1", "0_", "a1") for size in sizes]
        messages = [
            (SENSOR, json.dumps(document).encode())
            for name in names
            for document in (
                {f"{name}x": {"Temperature": 1}},
                {"A": {f"{name}x": 1, f"Temperature{name}x": 1}},
                {"ENERGY": {"Power": f"{name}x"}},
            )
        ]
        await self.attack_with("digits_name", messages)

    async def test_announcement_not_json(self) -> None:
        """It is retained, so a restart meets it again."""
        parent, load = await self.house()
        payloads = (
            b'{"dn":"' * 149_000,
            b'{"dn":"x","fn":[' * 60_000,
            b'"dn":"",' * 125_000 + b'"fn"',
        )

        async def retained() -> None:
            for number, payload in enumerate(payloads):
                load.publish(f"tasmota/discovery/B{number}/config", payload, retain=True)
            await load.barrier()
            await self.works(parent, load)

        await self.attack("announcement_not_json", parent, retained)
        await parent.stop()
        again = await self.start_beside()
        await self.said(again, "Connected to", "I")
        await self.subscribed(again, load)
        await self.works(again, load)
        await until(
            lambda: self.self_metrics(again, "tasmota").get("dropped", 0) >= len(payloads),
            lambda: logged(again.log),
        )
        await self.ends_well(again)

    async def test_announced_filters(self) -> None:
        """What the broker would end the connection for is not asked of it."""
        parent, load = await self.house()
        odd = [
            {"ft": "%prefix%/%topic%/", "tp": ["cmnd", "st\ufdd0at", "tele"]},
            {"ft": "%prefix%/%topic%/", "tp": ["cmnd", "stat", "te\ufffele"]},
            {"ft": "\U0001ffff/%prefix%/%topic%/"},
            {"ft": "%prefix%/" + "a/" * 250 + "%topic%/"},
            {"t": "/".join("b" * 250)},
            {"ft": "a\0b/%prefix%/%topic%/"},
            {"ft": "$share/x/%prefix%/%topic%/"},
            {"ft": "+/#/%prefix%/%topic%/"},
            {"ft": "%prefix%/" + "c" * 66_000 + "/%topic%/"},
            {"t": "evil", "ft": "\x85%prefix%/%topic%/\x1f"},
        ]

        async def announced() -> None:
            for number, changes in enumerate(odd):
                body = announcement(f"evil{number}", f"0000000000{number:02X}", **changes)
                load.publish(f"tasmota/discovery/0000000000{number:02X}/config", body, retain=True)
            await load.barrier()
            await self.works(parent, load)

        await self.attack("announced_filters", parent, announced)
        self.assertEqual(self.broker.ended_connections("agent"), 0, self.broker.log)
        await parent.stop()
        # A busy broker notices it later than the agent's parent.
        await until(lambda: self.broker.ended_connections("agent") == 1, lambda: self.broker.log)
        again = await self.start_beside()
        await self.said(again, "Connected to", "I")
        await self.subscribed(again, load)
        await self.works(again, load)
        self.assertEqual(self.broker.ended_connections("agent"), 1, self.broker.log)
        self.assertEqual(self.lines_with(again, "Lost the connection"), [])
        await self.ends_well(again)

    async def test_command_topics(self) -> None:
        """We publish below the prefix of commands, and nowhere else."""
        parent, load = await self.house(Mosquitto.start(self))
        prefixes = ("victim/cmnd/dev", "cm\ufdd0nd", "homeassistant", "/".join("c" * 250), "")

        async def asked() -> None:
            for number, prefix in enumerate(prefixes):
                mac = f"0000000001{number:02X}"
                topic = f"evil{number}"
                body = announcement(topic, mac, tp=[prefix, "stat", "tele"])
                load.publish(f"tasmota/discovery/{mac}/config", body)
                energy = b'{"ENERGY":{"Total":5,"Power":[1,2]}}'
                load.publish(f"tele/{topic}/SENSOR", energy)
            await load.barrier()
            await self.works(parent, load)

        await self.attack("command_topics", parent, asked)
        await pause(0.3)
        published = re.findall(r"Received PUBLISH from agent .*'(.*)'", self.broker.log)
        self.assertEqual([topic for topic in published if not topic.startswith("cmnd/")], [])
        self.assertEqual(self.broker.ended_connections("agent"), 0, self.broker.log)
        await self.ends_well(parent)

    async def test_long_topics(self) -> None:
        """What is kept by topic is bounded in bytes."""
        size = 65_000
        subtopics = ("SENSOR", "STATE", "LWT", "RESULT")
        await self.attack_with(
            "long_topics",
            [
                (f"tele/{number:05d}{'x' * size}/{subtopics[number % 4]}", SENSORS_OF_FIRMWARE)
                for number in range(count(6000, 1200))
            ],
            again=False,
        )

    async def test_long_names(self) -> None:
        """Names of devices are bounded."""
        size = 1_000_000
        messages = []
        for number in range(count(400, 100)):
            mac = f"0000000002{number:04X}"
            name = f"{number}" + "n" * size
            body = announcement(f"long{number}", mac, fn=[name], dn=name[: size // 100])
            messages.append((f"tasmota/discovery/{mac}/config", body[: 1024 * 1024]))
        await self.attack_with("long_names", messages, again=False)

    async def test_long_objects(self) -> None:
        """What is kept of a device's sensors is bounded in bytes."""
        messages = [
            (SENSOR, b'{"%d%s":{"Temperature":1}}' % (number, b"o" * 1_000_000))
            for number in range(count(256, 100))
        ]
        await self.attack_with("long_objects", messages, again=False)

    async def test_many_sensors(self) -> None:
        """Series are bounded over all devices."""
        devices = count(2000, 300)
        sensors = b",".join(b'"S%d":{"Temperature":1}' % number for number in range(256))
        messages = [
            (f"tele/many{number}/SENSOR", b"{" + sensors + b"}") for number in range(devices)
        ]
        await self.attack_with("many_sensors", messages, devices=devices, again=False)

    async def test_many_keys(self) -> None:
        """No text of a device is kept for good."""
        messages = []
        for number in range(count(400, 60)):
            keys = {
                f"k{number}_{each}_{'y' * 40}": {f"v{number}_{each}": each} for each in range(8000)
            }
            messages.append((SENSOR, json.dumps(keys, separators=(",", ":")).encode()[: 1 << 20]))
            mac = "000000000300"
            own = f"{number}" + "z" * 60_000
            messages.append(
                (
                    f"tasmota/discovery/{mac}/config",
                    announcement(own[:200], mac, md=own, sw=own, hn=own, dn=own, fn=[own]),
                )
            )
        await self.attack_with("many_keys", messages, again=False)

    async def test_many_topics(self) -> None:
        """The cost of a filter does not grow with those that are there."""
        messages = []
        for number in range(300):
            mac = f"0000000004{number:02X}"
            body = announcement(f"own{number}", mac, ft=f"own{number}/%prefix%/%topic%/")
            messages.append((f"tasmota/discovery/{mac}/config", body))
        await self._attack_unlearnt(messages)

    async def test_many_topics_that_overlap(self) -> None:
        """A message on a topic of 252 filters, none of which covers another, comes once."""
        messages = []
        for number, wild in enumerate(combinations(range(10), 5)):
            mac = f"0000000008{number:02X}"
            levels = ["%topic%" if level in wild else "a" for level in range(10)]
            body = announcement("a", mac, ft="/".join(levels) + "/%prefix%/")
            messages.append((f"tasmota/discovery/{mac}/config", body))
        parent, load = await self.house()
        await self.send(parent, load, messages)
        sensors = {f"T{number}": {"Temperature": number} for number in range(500)}
        message = "a/" * 10 + "tele/SENSOR", json.dumps(sensors).encode()
        await pause(1)
        await self.attack("many_topics", parent, lambda: self.send(parent, load, [message] * 20))
        found = [line for line in parent.lines() if b"sensor=T7," in line]
        self.assertGreater(len(found), 0)
        self.assertLessEqual(len(found), 20 * ATTEMPTS)
        await self.ends_well(parent)

    async def _attack_unlearnt(self, messages: list[tuple[str, bytes]]) -> None:
        """Attack; each attempt needs an agent that has not learnt the topics yet."""
        for attempt in range(ATTEMPTS):
            try:
                await self.attack_with("many_topics", messages, again=False)
            except AssertionError:  # noqa: PERF203 - three times at most
                if attempt == ATTEMPTS - 1:
                    raise
                await self.parent_of_house.stop()
                shutil.rmtree(self.directory / "state")
            else:
                return

    async def test_many_points(self) -> None:
        """A message gives so many points and no more."""
        points = b",".join(b'"S%d":{"Temperature":1}' % number for number in range(35_000))
        arrays = b",".join(b'"A%d":{"Temperature":[1,2,3,4]}' % number for number in range(30_000))
        keys = b",".join(b'"Temperature%d":1' % number for number in range(50_000))
        messages = [
            (SENSOR, b"{" + body + b"}") for body in (points, arrays, b'"X":{' + keys + b"}")
        ]
        energy = b'{"ENERGY":{"Total":1,"Power":[' + b"1," * 400_000 + b"1]}}"
        messages.append((SENSOR, energy))
        messages.append((SENSOR, b'{"ENERGY":[' + b'{"Power":1},' * 80_000 + b"1]}"))
        await self.attack_with("many_points", messages)

    async def test_forged_lines(self) -> None:
        """What cannot be seen, or reads as something else, is neither logged nor a tag."""
        parent, load = await self.house()

        async def announced() -> None:
            for number, name in enumerate(_FORGED):
                mac = f"0000000005{number:02X}"
                body = announcement(f"forged{number}", mac, fn=[name], dn=name)
                load.publish(f"tasmota/discovery/{mac}/config", body)
                sensor = {name: {"Temperature": 1, "Id": name}, "DS18B20": {"Id": name, name: 2}}
                for each in (sensor, {"ENERGY": {"Power": name}}, {"StatusSNS": sensor}):
                    load.publish(f"tele/forged{number}/SENSOR", json.dumps(each).encode())
                load.publish(f"tele/forged{number}/LWT", name.encode())
            await load.barrier()
            await self.works(parent, load)

        load.publish("tasmota/discovery/000000000600/config", announcement("x\ny", "000000000600"))
        await self.attack("forged_lines", parent, announced)
        await self.ends_well(parent)
        for said in parent.log:
            self.assertFalse(_UNPRINTABLE.intersection(said.text), ascii(said.text))
            self.assertFalse(said.text.startswith("[agent] FAKE"))
        for line in parent.lines():
            self.assertFalse(_UNPRINTABLE.intersection(line.decode()), ascii(line))

    async def test_long_friendly_name(self) -> None:
        """The points of a device with an endless name are there, with less of it."""
        parent, load = await self.house()
        mac = "000000000700"

        async def announced() -> None:
            body = announcement("wordy", mac, fn=["f" * 65_000])
            load.publish(f"tasmota/discovery/{mac}/config", body)
            load.publish("tele/wordy/SENSOR", b'{"ENERGY":{"Power":77}}')
            await load.barrier()
            await self.works(parent, load)

        await self.attack("long_friendly_name", parent, announced)
        (line, *_more) = [line for line in parent.lines() if b"power=77" in line]
        self.assertIn(b"device=wordy", line)
        self.assertLess(len(line), 2000)
        await self.ends_well(parent)

    async def test_no_fields(self) -> None:
        """The device is named whose message gives nothing, or is refused."""
        parent, load = await self.house()
        bodies = (
            b'{"ENERGY":{"Power":1e999}}',
            b'{"ENERGY":{"Power":"NaN"}}',
            b'{"":{"Temperature":1}}',
            b'{"DS18B20":{"Id":"","Temperature":null}}',
            b'{"DS18B20":{"Temperature":1e400}}',
        )
        await self.attack(
            "no_fields",
            parent,
            lambda: self.send(parent, load, [(SENSOR, body) for body in bodies]),
        )
        for said in self.lines_with(parent, "refused"):
            self.assertIn("plug00", said.text)
        await self.ends_well(parent)
