"""Messages of devices that have not announced themselves yet: held for a short time.

After a start, telemetry and the retained announcements arrive in any order. A point without the
device's name would be another series in the database, so a device's first messages wait for it.
"""

from __future__ import annotations

from typing import Final

from metrics_agent.transports.mqtt.message import Message

__all__ = ["HOLD_S", "MAX_BASE_BYTES", "MAX_BYTES", "MAX_MESSAGES", "Holding"]

HOLD_S: Final = 5.0
MAX_MESSAGES: Final = 1000
MAX_BYTES: Final = 2 * 1024 * 1024
MAX_BASE_BYTES: Final = 128 * 1024
"""Of one base: what is given out in one piece must not keep everybody else waiting."""

_MESSAGE_BYTES: Final = 300
"""What Python adds to a topic and a payload."""


class _Waiting:
    """The messages of one base, in the order they came."""

    __slots__ = ("messages", "size", "until_s")

    def __init__(self, until_s: float) -> None:
        self.messages: list[Message] = []
        self.size = 0
        self.until_s = until_s


class Holding:
    """Held messages by the base of their topics, bounded in time, number and bytes.

    The caller gives out what ``hold``, ``next_expired``, ``take`` and ``take_all`` return; a
    message is returned once.
    """

    def __init__(self) -> None:
        # In the order of their expiry, since all wait equally long.
        self._waiting: dict[str, _Waiting] = {}
        self._count = 0
        self._size = 0

    def __len__(self) -> int:
        return self._count

    def hold(self, base: str, message: Message, now_s: float) -> list[tuple[str, list[Message]]]:
        """Hold a message.

        Returns:
            What has to go out now to make room, by base, oldest first; the message itself with
            what its own device had there.
        """
        released = []
        size = _MESSAGE_BYTES + len(message.payload) + len(message.topic)
        while self._waiting and (self._count >= MAX_MESSAGES or self._size + size > MAX_BYTES):
            oldest = next(iter(self._waiting))
            released.append((oldest, self.take(oldest)))
            if oldest == base:
                # It would be overtaken by the next one, for which the device is known by then.
                released[-1][1].append(message)
                return released
        waiting = self._waiting.get(base)
        if size + (waiting.size if waiting is not None else 0) > MAX_BASE_BYTES:
            return [*released, (base, [*self.take(base), message])]
        if waiting is None:
            waiting = self._waiting[base] = _Waiting(now_s + HOLD_S)
        waiting.messages.append(message)
        waiting.size += size
        self._count += 1
        self._size += size
        return released

    def take(self, base: str) -> list[Message]:
        """Return the messages of a base, in order."""
        waiting = self._waiting.pop(base, None)
        if waiting is None:
            return []
        self._count -= len(waiting.messages)
        self._size -= waiting.size
        return waiting.messages

    def next_expired(self, now_s: float) -> tuple[str, list[Message]] | None:
        """Return a base that has waited long enough with its messages; None if there is none."""
        for base, waiting in self._waiting.items():
            return (base, self.take(base)) if waiting.until_s <= now_s else None
        return None

    def take_all(self) -> list[tuple[str, list[Message]]]:
        """Return everything, by base."""
        return [(base, self.take(base)) for base in tuple(self._waiting)]

    def next_s(self) -> float | None:
        """Return when the next messages expire; None if nothing is held."""
        for waiting in self._waiting.values():
            return waiting.until_s
        return None
