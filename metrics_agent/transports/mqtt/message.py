"""A message of a broker, as a module's handler sees it."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Message"]


class Message(NamedTuple):
    """One PUBLISH packet.

    Attributes:
        topic: valid UTF-8, no wildcard.
        payload: the raw bytes, at most the payload limit.
        qos: 0 or 1, as delivered.
        retain: True for a stored message sent because we subscribed: it may be old.
        received_ns: wall clock at receipt in nanoseconds since the epoch; two messages of a
            connection never have the same.
    """

    topic: str
    payload: bytes
    qos: int
    retain: bool
    received_ns: int
