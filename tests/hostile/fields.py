"""Messages of the modules' golden cases, and how many of them are sent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from tests.fuzz.corpus import conversations
from tests.hostile.case import HostileCase
from tests.integration.load import Load

__all__ = ["MOST_BYTES", "MessagesCase", "of_module"]

MOST_BYTES: Final = 1024 * 1024
BATCH_BYTES: Final = 8_000_000


def of_module(module: str, kind: type[Any], **more: Any) -> Iterator[tuple[str, str]]:
    """Return topics and payloads of all golden cases."""
    for each in conversations(module, kind, **more):
        for line in each.lines:
            yield line.topic, line.payload


class MessagesCase(HostileCase):
    """Sends generated messages to a house."""

    async def send(self, parent: Any, load: Load, messages: Iterable[tuple[str, bytes]]) -> None:
        """Publish all, waiting for the agent now and then."""
        waiting = 0
        for topic, body in messages:
            load.publish(topic, body[:MOST_BYTES])
            waiting += len(body) + len(topic)
            if waiting > BATCH_BYTES:
                waiting = 0
                await load.barrier()
                await self.works(parent, load)
        await load.barrier()
        await self.works(parent, load)

    async def house_with(self, text: str) -> tuple[Any, Load]:
        """Start as `house` does, with one module more; ``{}`` in its table is the broker."""
        plain = self.tasmota_at
        self.patch(
            self, "tasmota_at", lambda url, **how: plain(url, **how) + "\n" + text.format(url)
        )
        return await self.house()
