"""When the socket of a connection is read, and when what it brought is handed on.

Everything that a broker sends passes `Inflow` on its way from the transport to the link: reads
come in, whole packets go out, each once and in order. Nothing else decides whether to wait.

Reasons. One set of strings says why the socket is not read; it is read while the set is empty.
Some only keep the socket from being read: ``coalescing``, ``turn`` and ``full``, which are made
here, see below, and `ENDING`. Every other one comes from outside (back-pressure, a reload, a broker
that does not read our answers) and also keeps back what was read already.

Coalescing. Waking up for a few messages costs more than the messages do. When a read brings some,
at QoS 0, the next one waits for some milliseconds, in which more gather. Where messages come one
by one none waits; a full read means that we are behind; and at QoS 1 the broker waits for us.

Reading ahead. A broker drops messages at QoS 0 for a client that does not read as fast as it
writes. It writes ten thousand retained announcements in some 20 ms, faster than they can be
decoded. So when a read is full, which means that there is more, what is in the socket is read up
to a limit before anything is decoded. One that begins with a retained message is a sign of many:
then everything is read until the broker pauses, for 50 ms at most, because live messages may follow
without a pause. Then as much as one full read is decoded in each turn of the reactor.

Announcements. While those of devices are awaited, other messages are set aside, see
`announcement_gate`; what is released comes before all that has not been handed on.

Turns. A read holds up to two thousand messages, and a hostile one makes each of them as expensive
as it can. So after some milliseconds the rest of a read waits for the next turn of the reactor.
What waited because of a reason from outside is handed on in a turn too, never out of `resume`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from operator import length_hint
from typing import Any, Final, Protocol

from metrics_agent.timer import Timer
from metrics_agent.transports.mqtt.announcement_gate import AnnouncementGate
from metrics_agent.transports.mqtt.packet_types import PUBLISH
from metrics_agent.transports.mqtt.splitter import (
    Frame,
    MalformedLength,
    PacketSplitter,
    Skipped,
)

__all__ = ["ENDING", "Inflow", "Receiver"]

ENDING: Final = "ending"
"""The reason to read no more before a connection ends: what was read already is handed on."""

COALESCE_S: Final = 0.004
COALESCE_FROM_BYTES: Final = 1536
"""Some five messages of a sensor: a thousand a second come one by one."""
COALESCE_BELOW_BYTES: Final = 32 * 1024
"""Half of what Twisted reads at once."""
FULL_READ_BYTES: Final = 64 * 1024
"""What Twisted reads from a socket at once."""
BURST_PAUSE_S: Final = 0.004
"""A burst of retained messages is over when nothing came for this time, twice that at most."""
BURST_S: Final = 0.05
"""How long a burst is read at most before what came of it is decoded."""
READ_AHEAD_BYTES: Final = 2 * 1024 * 1024
"""How much may wait; a quarter of a second's work at most. Twice as much takes 2 MB more memory,
which the process keeps, and no more of a burst of 10,000 announcements."""
TURN_S: Final = 0.02
"""How long messages are handled in one turn of the reactor; an ordinary full read takes 6 ms."""
FRAMES_A_LOOK: Final = 8
"""So many are handled between two looks at the clock, as long as they are cheap. The costliest,
with 256 new sensors or a new FullTopic beside 250 that overlap, take 5 ms each."""
CHEAP_S: Final = 0.002
"""How long what is handled between two looks takes at most while it counts as cheap."""
_RETAINED_PUBLISH_MASK: Final = 0xF1
_RETAINED_PUBLISH: Final = PUBLISH | 1
_COALESCING: Final = "coalescing"
_TURN: Final = "turn"
_FULL: Final = "full"
_READING_ONLY: Final = frozenset({_COALESCING, _TURN, _FULL, ENDING})


class Receiver(Protocol):
    """What an inflow hands packets to, and whose socket it governs."""

    def read_socket(self, wanted: bool) -> None:
        """Begin or stop to read the socket; it is read at first."""
        ...

    def begin_frames(self) -> None:
        """Prepare for packets."""
        ...

    def take_frames(self, frames: Iterator[Frame | Skipped]) -> None:
        """Handle packets: all, or up to and including the first that is not a message.

        Raises:
            Exception: this packet cannot be handled and those after it must not be.
        """
        ...

    def end_frames(self) -> bool:
        """Finish with the packets since `begin_frames`; called in any case.

        Returns:
            True when the broker waits for our answer to them.
        """
        ...

    def inflow_failed(self, error: BaseException) -> None:
        """Take note that something could not be handled: nothing more comes."""
        ...


class Inflow:
    """Takes what one connection reads and hands on its packets.

    Args:
        reactor: its clock and callLater.
        splitter: of this connection.
        receiver: takes the packets.

    Attributes:
        announcement_gate: sets messages aside until announcements are here.
    """

    def __init__(self, reactor: Any, splitter: PacketSplitter, receiver: Receiver) -> None:
        self._reactor = reactor
        self._splitter = splitter
        self._receiver = receiver
        self._reasons: set[str] = set()
        self._held = False
        self._reads: deque[bytes] = deque()
        self._bytes = 0
        self._burst = False
        self._burst_end_s = 0.0
        self._more_at_hand = False
        self._frames: list[Frame | Skipped] = []
        self._handing_on = False
        self._awaited = False
        self._closed = False
        self._on_handled: Callable[[], object] | None = None
        self._turns = Timer(reactor, self._turn, self._failed)
        self._coalescing = Timer(reactor, lambda: self._set(_COALESCING, False))
        self.announcement_gate = AnnouncementGate(
            reactor, lambda: bool(self._frames or self._reads), self._put_first
        )

    @property
    def reading(self) -> bool:
        """Whether the socket is read."""
        return not self._reasons

    @property
    def waits(self) -> bool:
        """Whether something that was read waits to be handed on."""
        return bool(self._reads or self._frames)

    @property
    def hands_on(self) -> bool:
        """Whether something waits, and nothing keeps it back."""
        return self.waits and not self._held

    def pause(self, reason: str) -> None:
        """Stop reading until the reason is taken back; what was read is kept back, see above."""
        self._set(reason, True)
        self._update()

    def resume(self, reason: str) -> None:
        """Take a reason back; harmless when it was not given."""
        self._set(reason, False)
        self._update()

    def data(self, data: bytes) -> None:
        """Take a read; whatever is in it, nothing is raised.

        Args:
            data: one byte at least. TLS and WebSocket have more at hand than the socket, so it may
                come in spite of a pause.
        """
        if self._closed:
            return
        try:
            self._data(data)
        except Exception as error:
            self._failed(error)

    def end_of_input(self, on_handled: Callable[[], object]) -> None:
        """Note that the socket is gone.

        Args:
            on_handled: called once, when what was read before has been handed on or `close` was
                called; at once if that is so now.
        """
        self._coalescing.stop()
        self._on_handled = on_handled
        self.announcement_gate.end_of_input()
        self._end_if_handled()

    def close(self) -> None:
        """Hand on nothing more and leave the socket alone."""
        self._closed = True
        self._reads.clear()
        self._bytes = 0
        self._frames = []
        self._coalescing.stop()
        self.announcement_gate.clear()
        self._update()

    # When to read.

    def _set(self, reason: str, on: bool) -> None:
        was_reading = not self._reasons
        if on:
            self._reasons.add(reason)
        else:
            self._reasons.discard(reason)
        held = not self._reasons <= _READING_ONLY
        if held is not self._held:
            self._held = held
            if held:
                self.announcement_gate.pause()
            else:
                self.announcement_gate.resume()
        reading = not self._reasons
        if reading is not was_reading and not self._closed and self._on_handled is None:
            self._receiver.read_socket(reading)

    # When to hand on.

    def _data(self, data: bytes) -> None:
        retained = (
            data[0] & _RETAINED_PUBLISH_MASK == _RETAINED_PUBLISH
            and not self._reads
            and not self._splitter.buffered
        )
        size = len(data)
        waits = self._held or self._reads or self._frames or self._handing_on
        if waits or retained or size >= FULL_READ_BYTES:
            self._put(data, burst=retained)
            self._update()
            return
        self._take(data)
        if self._frames or self._reads or self._closed or self._on_handled is not None:
            self._update()
        elif COALESCE_FROM_BYTES <= size < COALESCE_BELOW_BYTES and not self._awaited:
            self._set(_COALESCING, True)
            self._coalescing.start(COALESCE_S)

    def _put(self, data: bytes, *, burst: bool) -> None:
        if burst:
            self._burst = True
            self._burst_end_s = self._reactor.seconds() + BURST_S
        self._reads.append(data)
        self._bytes += len(data)
        if self._bytes >= READ_AHEAD_BYTES:
            self._burst = self._more_at_hand = False
            self._turns.stop()
        else:
            self._more_at_hand = self._burst or len(data) >= FULL_READ_BYTES

    def _update(self) -> None:
        """Bring reasons and turns in step with what waits."""
        if self._closed:
            self._turns.stop()
        else:
            self._set(_TURN, bool(self._frames))
            self._set(_FULL, self._bytes >= READ_AHEAD_BYTES)
            delay_s = self._next_turn_s()
            if delay_s is None:
                self._turns.stop()
            elif not self._turns.active:
                self._turns.start(delay_s)
        self._end_if_handled()

    def _end_if_handled(self) -> None:
        if self._on_handled is not None and not (self._reads or self._frames or self._handing_on):
            self._closed = True
            on_handled, self._on_handled = self._on_handled, None
            on_handled()

    def _next_turn_s(self) -> float | None:
        if self._held:
            return None
        if self._frames:
            return 0
        if self._reads:
            return BURST_PAUSE_S if self._burst else 0
        return None

    def _turn(self) -> None:
        burst_is_long = self._burst and self._reactor.seconds() >= self._burst_end_s
        if self._frames:
            frames, self._frames = self._frames, []
            self._hand_on(frames)
        elif self._more_at_hand and not burst_is_long:
            # Look at the socket once more before anything is decoded.
            self._more_at_hand = False
        else:
            self._burst = self._more_at_hand = False
            self._take(self._next_read())
        self._update()

    def _next_read(self) -> bytes:
        data = self._reads.popleft()
        if len(data) < FULL_READ_BYTES and self._reads:
            # TLS and WebSocket bring small pieces: one a turn would be slower than they come.
            pieces, size = [data], len(data)
            while self._reads and size < FULL_READ_BYTES:
                pieces.append(self._reads.popleft())
                size += len(pieces[-1])
            data = b"".join(pieces)
        self._bytes -= len(data)
        return data

    def _take(self, data: bytes) -> None:
        try:
            frames = self._splitter.feed(data)
        except MalformedLength as fault:
            self._hand_on(fault.before)
            raise
        self._hand_on(frames)

    def _hand_on(self, frames: list[Frame | Skipped]) -> None:
        """Hand on packets; those after a pause, and what is too much for one turn, wait."""
        receiver, gate = self._receiver, self.announcement_gate
        receiver.begin_frames()
        look_s = self._reactor.seconds()
        end_s = look_s + TURN_S
        count = 1
        self._handing_on = True
        try:
            rest = iter(frames)
            # What was set aside and is released meanwhile comes before the rest.
            while length_hint(rest) and not (self._closed or self._frames):
                some: Iterator[Frame | Skipped] = islice(rest, count)
                receiver.take_frames(gate.sift(some) if gate.active else some)
                before_s, look_s = look_s, self._reactor.seconds()
                if self._held or look_s > end_s:
                    break
                count = FRAMES_A_LOOK if look_s - before_s < CHEAP_S else 1
            if not self._closed:
                self._frames += rest
        finally:
            try:
                self._awaited = receiver.end_frames()
            finally:
                self._handing_on = False

    def _put_first(self, frames: list[Frame | Skipped]) -> None:
        self._frames[:0] = frames
        self._update()

    def _failed(self, error: BaseException) -> None:
        try:
            self._receiver.inflow_failed(error)
        finally:
            self.close()
