"""The demo's devices at a broker: one connection for all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from metrics_agent.demo.announced import EspHomeNode, ZigbeeSensor
from metrics_agent.demo.sent import Sent
from metrics_agent.demo.tasmota import SimulatedDevice

__all__ = ["Publisher"]

_CLIENT_ID: Final = "metrics-agent-demo"


class Publisher:
    """All devices, at one connection of paho-mqtt; it has its own thread and reconnects.

    Args:
        household: the devices with Tasmota.
        announced: those that announce themselves to Home Assistant.
        host: of the broker.
        port: the same.
        on_connect: called at each connection, in the thread of the client.
    """

    def __init__(
        self,
        household: tuple[SimulatedDevice, ...],
        announced: tuple[ZigbeeSensor | EspHomeNode, ...],
        host: str,
        port: int,
        on_connect: Callable[[], object],
    ) -> None:
        self._household = household
        self._announced = announced
        self._connected = on_connect
        self._client = Client(CallbackAPIVersion.VERSION2, _CLIENT_ID)
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message
        self._client.connect_async(host, port)
        self._client.loop_start()

    def send(self, interval: int) -> None:
        """Send what is due at an interval; at the first one, 0, devices announce themselves."""
        for device in (*self._household, *self._announced):
            self.publish(device.due(interval, time.time()))

    def publish(self, messages: Iterable[Sent]) -> None:
        """Send messages; without a connection they are lost, as those of devices are."""
        # All that a device sends on its own is QoS 0.
        for message in messages:
            self._client.publish(message.topic, message.payload, retain=message.retain)

    # Called by the client in its thread.

    def _on_connect(self, client: Client, *_: object) -> None:
        for device in self._household:
            client.subscribe(device.topic_of("cmnd", "#"))
        self._connected()

    def _on_message(self, _client: object, _data: object, message: Any) -> None:
        for device in self._household:
            base = device.topic_of("cmnd", "")
            if message.topic.startswith(base):
                command = message.topic[len(base) :]
                self.publish([device.answer(command, message.payload, time.time())])
