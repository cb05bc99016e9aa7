"""A simulated device at a broker: an ordinary client of paho-mqtt, with its own thread.

Nothing of the agent's transport is used here, so that the two can prove each other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from metrics_agent.demo.device import KEEPALIVE_S, Device, Sent

__all__ = ["Station", "make_client"]

_RETRY_MIN_S: Final = 1
_RETRY_MAX_S: Final = 4


def make_client(client_id: str) -> Client:
    """Make a client that is not connected."""
    return Client(CallbackAPIVersion.VERSION2, client_id)


class Station:
    """Connects a device and keeps it connected; at each connection it announces itself.

    Args:
        device: who it is.
        host, port: of the broker.
        period_s: between two regular messages.
        clock: gives the wall clock, seconds since the epoch.
        client: makes a client from its id.

    Attributes:
        seen: it was connected at least once.
    """

    def __init__(
        self,
        device: Device,
        host: str,
        port: int,
        period_s: float,
        clock: Callable[[], float],
        client: Callable[[str], Any] = make_client,
    ) -> None:
        self.device = device
        self.seen = False
        self._address = (host, port)
        self._period_s = period_s
        self._clock = clock
        self._make_client = client
        self._client: Any = None
        self._there = False

    @property
    def connected(self) -> bool:
        """The broker has let us in, and is there."""
        return self._there

    def start(self) -> None:
        """Connect, and go on trying in the client's own thread; again after ``disconnect``."""
        client = self._make_client(self.device.client_id)
        client.reconnect_delay_set(_RETRY_MIN_S, _RETRY_MAX_S)
        offline = self.device.availability(online=False)
        client.will_set(offline.topic, offline.payload, qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.connect_async(*self._address, keepalive=KEEPALIVE_S)
        self._client = client
        client.loop_start()

    def send_telemetry(self) -> None:
        """Send STATE and SENSOR, if the broker is there."""
        if self._there:
            _send(self._client, *self.device.telemetry(self._clock(), self._period_s))

    def say_goodbye(self) -> None:
        """Send that the device goes offline, as before a restart and before sleep."""
        if self._there:
            _send(self._client, self.device.availability(online=False))

    def disconnect(self) -> None:
        """Disconnect, or stop trying to connect; ``connected`` tells when it is done.

        Some time after the goodbye: amqtt forgets what it has not handled yet of a client that
        disconnects.
        """
        if self._client is not None:
            self._client.disconnect()

    # Called by a client in its thread.

    def _on_connect(
        self, client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any
    ) -> None:
        if reason.is_failure:
            return
        device, now_s = self.device, self._clock()
        client.subscribe(device.topic_of("cmnd", "#"))
        _send(
            client,
            device.availability(online=True),
            *device.announcement(now_s),
            *device.telemetry(now_s, self._period_s),
        )
        self._there = True
        self.seen = True

    def _on_disconnect(
        self, client: Any, _data: Any, _flags: Any, _reason: Any, _properties: Any
    ) -> None:
        # The last word of a client that was replaced says nothing about the one in its place.
        if client is self._client:
            self._there = False

    def _on_message(self, client: Any, _data: Any, message: Any) -> None:
        # amqtt also sends a new client what is retained for the filters of others.
        base = self.device.topic_of("cmnd", "")
        if message.topic.startswith(base):
            command = message.topic[len(base) :]
            _send(client, self.device.answer(command, message.payload, self._clock()))


def _send(client: Any, *messages: Sent) -> None:
    # All that a device sends on its own is QoS 0.
    for message in messages:
        client.publish(message.topic, message.payload, qos=0, retain=message.retain)
