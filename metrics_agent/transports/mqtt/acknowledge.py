"""When the QoS 1 messages of one connection are acknowledged.

The rule: in order of arrival, and no sooner than the reader of our output has taken the lines that
came of a message. The unit is what arrived in one read, since all its lines travel in one batch.
A window belongs to one connection: closed with it, a late settlement finds nothing to send, so an
acknowledgement can never go out on the next connection, where its packet id means another message.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from metrics_agent.errors import ProtocolError
from metrics_agent.transports.mqtt import packets
from metrics_agent.transports.mqtt.settings import MOST_IN_FLIGHT

__all__ = ["AckWindow"]

USUAL_WINDOW: Final = 20
"""Mosquitto's default: what a broker of unknown window is taken for once it has sent as many."""


NARROW_WINDOW: Final = 100
"""With a larger one the broker goes on for 40 ms at a few thousand messages a second."""

FEW: Final = 2
"""With more that wait, messages come so fast that the next acknowledgement is not far."""


class _Arrived:
    """The packet ids of one read and whether their lines have been settled."""

    __slots__ = ("packet_ids", "settled")

    def __init__(self, packet_ids: Sequence[int], *, settled: bool) -> None:
        self.packet_ids = list(packet_ids)
        self.settled = settled


class AckWindow:
    """Holds acknowledgements until their turn and sends them together.

    Args:
        write: takes the bytes of one or more PUBACK packets.
        emptied: called when the last acknowledgement that was owed has been written.
        window: how many messages the broker sends before one is acknowledged. None: it does not
            say so, as with MQTT 3.1.1; then it is what it has sent at most so far.
    """

    def __init__(
        self,
        write: Callable[[bytes], None],
        emptied: Callable[[], None] = lambda: None,
        window: int | None = None,
    ) -> None:
        self._write = write
        self._emptied = emptied
        self._waiting: deque[_Arrived] = deque()
        self._count = 0
        self._closed = False
        self._window = window or 1
        self._window_is_known = window is not None

    @property
    def pressing(self) -> bool:
        """Whether half the window waits: the broker soon sends nothing until one is settled."""
        return 2 * self._count >= self._window

    @property
    def delays_the_next(self) -> bool:
        """Whether a broker may hold back the next message until TCP acknowledges these.

        Either few wait, and our acknowledgement, which would bring that of TCP, waits for the
        reader or for the next message; or the window is small, and the broker soon needs each.
        """
        return self._count > 0 and (self._count <= FEW or self._window <= NARROW_WINDOW)

    def __len__(self) -> int:
        """Return the number of messages that are not acknowledged."""
        return self._count

    def check(self) -> None:
        """Refuse a broker that sends on without waiting for acknowledgements.

        Not at our Receive Maximum: mosquitto 2.0.11 exceeds a small one twentyfold, and every
        mosquitto where an earlier connection had a larger one and left messages unacknowledged.

        Raises:
            ProtocolError: it has sent more than there are packet ids.
        """
        if self._count > MOST_IN_FLIGHT:
            raise ProtocolError(
                "too_many_in_flight",
                f"{self._count} messages wait for our acknowledgement, at most {MOST_IN_FLIGHT} "
                "have packet ids",
            )

    def release(self, packet_ids: Sequence[int]) -> None:
        """Take ids of messages that came to nothing; acknowledged in their turn."""
        if self._waiting and self._waiting[-1].settled:
            self._waiting[-1].packet_ids += packet_ids
        else:
            self._waiting.append(_Arrived(packet_ids, settled=True))
        self._add(len(packet_ids))
        self.flush()

    def hold(self, packet_ids: Sequence[int]) -> Callable[[], None]:
        """Take ids of messages whose lines are on their way.

        Returns:
            The `Settle` of their batch. Dropped lines are counted where they are dropped and
            acknowledged like delivered ones, so that the broker goes on.
        """
        arrived = _Arrived(packet_ids, settled=False)
        self._waiting.append(arrived)
        self._add(len(packet_ids))

        def settle() -> None:
            arrived.settled = True
            self.flush()

        return settle

    def flush(self) -> None:
        """Send every acknowledgement whose turn has come, in one write."""
        ready: list[int] = []
        while self._waiting and self._waiting[0].settled:
            ready += self._waiting.popleft().packet_ids
        self._count -= len(ready)
        if ready and not self._closed:
            self._write(b"".join(map(packets.encode_puback, ready)))
            if not self._waiting:
                self._emptied()

    def close(self) -> None:
        """Forget everything: the connection is gone."""
        self._closed = True
        self._waiting.clear()
        self._count = 0

    def _add(self, count: int) -> None:
        self._count += count
        if self._count > self._window and not self._window_is_known:
            self._window = min(self._count, USUAL_WINDOW)
