"""A connection to a broker that publishes nothing and takes no messages from others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metrics_agent.interfaces import Cancellable
from metrics_agent.topic_filters import inner_filter, valid_filter
from metrics_agent.transports.mqtt.topics import Deliver

if TYPE_CHECKING:
    from metrics_agent.transports.mqtt.connection import MqttConnection

__all__ = ["ListenOnly"]


class ListenOnly:
    """What a module gets for a connection to a broker: it may listen.

    Args:
        connection: the connection.
    """

    def __init__(self, connection: MqttConnection) -> None:
        self._connection = connection

    def subscribe(
        self,
        topic_filter: str,
        qos: int,
        deliver: Deliver,
        *,
        learned: bool = False,
        announcements: bool = False,
    ) -> Cancellable:
        """Subscribe to the filter as it is without ``$share``.

        Raises:
            ValueError: the filter is invalid.
        """
        plain = topic_filter
        while valid_filter(plain) is None and plain != inner_filter(plain):
            plain = inner_filter(plain)  # once more: a share of a share is one too
        return self._connection.subscribe(
            plain, qos, deliver, learned=learned, announcements=announcements
        )

    def publish(self, _topic: str, _payload: bytes, _qos: int = 0) -> bool:
        """Publish nothing; as if the broker was away."""
        return False
