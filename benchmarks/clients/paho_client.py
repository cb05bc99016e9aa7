"""The plain paho-mqtt client: a callback for messages, and its own loop."""

from __future__ import annotations

import sys

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.clients import REPORT_TOPIC, Counter
from benchmarks.fleet import TELEMETRY


def main(port: int, qos: int, json_module: str) -> None:
    """Receive until the process is ended."""
    counter = Counter(json_module)
    client = Client(CallbackAPIVersion.VERSION2, client_id="bench-paho")

    def on_connect(client: Client, *_rest: object) -> None:
        client.subscribe([(TELEMETRY, qos), (REPORT_TOPIC, 0)])

    def on_message(_client: Client, _userdata: object, message: MQTTMessage) -> None:
        # Only the message that asks for a report is empty; a callback by topic would cost more.
        if message.payload:
            counter.take(message.payload)
        else:
            counter.report()

    client.on_connect = on_connect
    client.on_message = on_message
    client.connect("127.0.0.1", port)
    client.loop_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
