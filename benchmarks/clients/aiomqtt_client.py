"""aiomqtt, which puts paho-mqtt on asyncio."""

from __future__ import annotations

import asyncio
import sys

from aiomqtt import Client, ProtocolVersion

from benchmarks.clients import REPORT_TOPIC, Counter
from benchmarks.fleet import TELEMETRY


async def receive(port: int, qos: int, json_module: str) -> None:
    """Receive until the process is ended."""
    counter = Counter(json_module)
    async with Client(
        "127.0.0.1", port, identifier="bench-aiomqtt", protocol=ProtocolVersion.V311
    ) as client:
        await client.subscribe([(TELEMETRY, qos), (REPORT_TOPIC, 0)])
        async for message in client.messages:
            payload = message.payload
            if isinstance(payload, bytes) and payload:
                counter.take(payload)
            else:
                counter.report()


if __name__ == "__main__":
    asyncio.run(receive(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
