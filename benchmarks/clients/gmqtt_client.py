"""gmqtt, an MQTT client of its own on asyncio."""

from __future__ import annotations

import asyncio
import sys

from gmqtt import Client
from gmqtt.mqtt.constants import MQTTv311

from benchmarks.clients import REPORT_TOPIC, Counter
from benchmarks.fleet import TELEMETRY


async def receive(port: int, qos: int, json_module: str) -> None:
    """Receive until the process is ended."""
    counter = Counter(json_module)
    client = Client("bench-gmqtt")

    def on_connect(client: Client, *_rest: object) -> None:
        client.subscribe(TELEMETRY, qos=qos)
        client.subscribe(REPORT_TOPIC, qos=0)

    def on_message(
        _client: Client, _topic: str, payload: bytes, _qos: int, _properties: object
    ) -> int:
        if payload:
            counter.take(payload)
        else:
            counter.report()
        return 0

    client.on_connect = on_connect
    client.on_message = on_message
    await client.connect("127.0.0.1", port, version=MQTTv311)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(receive(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
