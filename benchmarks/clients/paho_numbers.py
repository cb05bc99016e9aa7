"""A plain paho-mqtt client beside the agent in a soak: what it loses, the broker loses.

    python -m benchmarks.clients.paho_numbers FILE FILTER[,FILTER ...] PORT [PORT ...]

A persistent session at QoS 1, MQTT 3.1.1, the ports tried in turn. Each number goes into the file
before paho acknowledges the message, as the line that the agent would write, so that one reader
serves both and a SIGKILL at any moment loses nothing.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import sys
import time

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

_KEEPALIVE_S = 10
_RETRY_S = 0.2


def main(path: str, filters: str, *ports: str) -> None:
    """Receive until the process is ended."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    client = Client(CallbackAPIVersion.VERSION2, client_id="plain-paho", clean_session=False)

    def on_connect(client: Client, *_rest: object) -> None:
        client.subscribe([(each, 1) for each in filters.split(",")])

    def on_message(_client: Client, _userdata: object, message: MQTTMessage) -> None:
        number = json.loads(message.payload)["ENERGY"]["Total"]
        device = message.topic.split("/")[1]
        os.write(file, b"electricity,device=%s energy_total=%d\n" % (device.encode(), number))

    client.on_connect = on_connect
    client.on_message = on_message
    for port in itertools.cycle(ports):
        with contextlib.suppress(OSError):
            client.connect("127.0.0.1", int(port), _KEEPALIVE_S)
            while client.loop(1.0) == MQTTErrorCode.MQTT_ERR_SUCCESS:
                pass
        time.sleep(_RETRY_S)


if __name__ == "__main__":
    main(*sys.argv[1:])
