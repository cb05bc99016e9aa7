"""Attacks on the work that a turn of the reactor may take: many cheap messages that cost much."""

from __future__ import annotations

from typing import Any

from tests.hostile.case import HostileCase
from tests.hostile.scale import count
from tests.integration.mqtt_agent import announcement


class SmallMessageTests(HostileCase):
    """A read of 64 kB is taken apart in one turn, whatever is in it."""

    async def flood(self, name: str, messages: list[tuple[str, bytes]], **how: Any) -> None:
        """Publish all at once."""
        parent, load = await self.house()

        async def send() -> None:
            for topic, payload in messages:
                load.publish(topic, payload)
            await load.barrier()
            await self.works(parent, load)

        await self.attack(name, parent, send, **how)
        await self.ends_well(parent)

    async def test_small_announcements(self) -> None:
        """Announcements of two bytes, each of another device, that cannot be read."""
        number = count(40_000, 8000)
        await self.flood(
            "small_announcements",
            [(f"tasmota/discovery/{each:x}/config", b"{") for each in range(number)],
        )

    async def test_small_messages(self) -> None:
        """Messages of one byte from ever new devices, on the shortest topics."""
        number = count(40_000, 8000)
        await self.flood("small_messages", [(f"tele/{each:x}/LWT", b"x") for each in range(number)])

    async def test_same_topic(self) -> None:
        """Announcements by different devices of the same topic, changed each time."""
        number = count(20_000, 4000)
        await self.flood(
            "same_topic",
            [
                (
                    f"tasmota/discovery/{each % 7:x}/config",
                    announcement("same", f"{each % 7:012x}", dn=str(each)),
                )
                for each in range(number)
            ],
        )
