"""As many topics as a large house has, at a real broker: each is subscribed to, in good time."""

from __future__ import annotations

import json
import time
from typing import Any, Final

from tests.integration.broker import Mosquitto
from tests.integration.case import CLIENT_ID, AgentCase
from tests.integration.load import Load
from tests.integration.watching import pause, until

TOPICS: Final = 10_000
LIMIT_S: Final = 60.0
"""With ten other programs on two cores it takes 15 s."""
PORTION: Final = 500


def announcement(number: int) -> tuple[str, bytes]:
    """Return topic and payload of a sensor with a state topic of its own."""
    device = f"d{number // 10}"
    config = {
        "uniq_id": f"s{number}",
        "stat_t": f"many/{number}",
        "unit_of_meas": "W",
        "dev_cla": "power",
        "dev": {"ids": [device], "name": device},
    }
    return f"homeassistant/sensor/{device}/p{number % 10}/config", json.dumps(config).encode()


class ManyTopicsTests(AgentCase):
    """See above."""

    timeout = 180

    def values(self, parent: Any) -> int:
        """Return how many sensors have sent a value."""
        return len({line.partition(b" ")[0] for line in parent.lines() if b"electricity" in line})

    async def test_ten_thousand(self) -> None:
        """All values come."""
        broker = Mosquitto.start(self)
        load = await Load.connect(self, broker.port, devices=0, name="many")
        for number in range(TOPICS):
            load.publish(*announcement(number), retain=True)
        await load.barrier()
        self.configure(
            f"[modules.hadiscovery]\nenabled = true\nbroker = '{broker.url}'\n"
            f'client_id = "{CLIENT_ID}"\n'
        )
        parent = await self.start()
        began_s = time.monotonic()
        while not self.values(parent) and time.monotonic() < began_s + LIMIT_S:
            # Topics are subscribed to in the order of the announcements.
            load.publish(f"many/{TOPICS - 1}", b"1")
            await load.barrier()
            await pause(0.1)
        took_s = time.monotonic() - began_s
        self.assertLess(took_s, LIMIT_S)
        for first in range(0, TOPICS, PORTION):
            for number in range(first, first + PORTION):
                load.publish(f"many/{number}", b"2")
            await until(
                lambda: self.values(parent) >= first + PORTION,  # noqa: B023 - waited for at once
                lambda: f"{self.values(parent)} values, subscribed after {took_s:.1f} s",
            )
