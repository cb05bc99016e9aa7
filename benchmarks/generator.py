"""The load generator: a fleet of devices on a few connections, at a pace or at full speed.

Run as a process of its own, so that its cost is nobody else's::

    python -m benchmarks.generator '{"port": 1883, "devices": 500, "rounds": 100}'

Theory of operation. Every packet is prepared once, with placeholders of fixed width for the
sequence number and the stamp. Sending joins the packets of some devices and replaces the
placeholders in the whole at once, which costs well below a microsecond a message. A *round* is one
message of every device; the sequence number is the number of the round. Each connection (*lane*)
has its own devices, so that the messages of a device stay in order.

What the broker took is known, not assumed: at QoS 1 by its PUBACKs, at QoS 0 by its answer to a
PINGREQ sent behind the last message of each connection, since a broker takes packets in order.
"""

from __future__ import annotations

import json
import mmap
import os
import select
import socket
import struct
import sys
import time
from collections.abc import Sequence
from typing import Final

import attrs
from attrs import frozen

from benchmarks import fleet, packets

__all__ = ["Lane", "Load", "Sent", "run"]

TICK_S: Final = 0.001
_CHUNK: Final = 64
"""Messages of one connection sent at once at full speed: some 20 KB."""


@frozen
class Load:
    """What to send.

    Attributes:
        port: of the broker on the loopback interface.
        devices: how many.
        rounds: messages of each device.
        qos: 0 or 1.
        rate: messages a second of all together; 0: as fast as the broker takes them.
        connections: how many share the devices between them.
        only: messages to send of these, when they shall end within a round; 0: all.
        first_round: number of the first round, for the sequence numbers.
        first_device: number of the first device, for two generators beside each other.
        origin_us: what stamps count from, microseconds of the monotonic clock; now.
        mixed: several kinds of devices instead of plugs only.
        window: unacknowledged messages of one connection at QoS 1.
        progress: file with a 64-bit count of what has arrived; empty: no one counts.
        backlog: how far to be ahead of that count at most.
        limit_s: give up after this time.
    """

    port: int
    devices: int
    rounds: int
    qos: int = 0
    rate: float = 0
    connections: int = 8
    only: int = 0
    first_round: int = 0
    first_device: int = 0
    origin_us: int = attrs.field(factory=lambda: time.monotonic_ns() // 1000)
    mixed: bool = False
    window: int = 1000
    progress: str = ""
    backlog: int = 0
    limit_s: float = 120.0

    @property
    def messages(self) -> int:
        """All messages together."""
        return self.only or self.devices * self.rounds


@frozen
class Sent:
    """What became of a load.

    Attributes:
        messages: how many were sent.
        taken: how many the broker is known to have taken.
        started_ns: of the monotonic clock, before the first message.
        ended_ns: when the broker had taken the last one.
        late_s: how far the sending was behind the pace at worst.
        cpu_s: what it cost this process.
    """

    messages: int
    taken: int
    started_ns: int
    ended_ns: int
    late_s: float
    cpu_s: float

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.messages / max(1e-9, (self.ended_ns - self.started_ns) / 1e9)


class Lane:
    """One connection and its devices.

    Args:
        load: of which this is a part.
        indexes: the devices.
        sock: connected to the broker, CONNECT already answered.
    """

    def __init__(self, load: Load, indexes: Sequence[int], sock: socket.socket) -> None:
        self.sock = sock
        self.sent = 0
        self.taken = 0
        self.total = len(indexes) * load.rounds
        self._load = load
        self._received = bytearray()
        self._pinged = False
        self._round = 0
        self._offset = 0
        # An id must not come again before its message is acknowledged.
        cycles = -(-load.window // len(indexes)) if load.qos else 1
        if load.qos and cycles * len(indexes) > 65_535:
            raise ValueError(f"{len(indexes)} devices on a connection, expected fewer than 64535")
        self._cycle = [
            [
                packets.publish(
                    fleet.sensor_topic(index),
                    fleet.payload(index, mixed=load.mixed),
                    qos=load.qos,
                    packet_id=cycle * len(indexes) + position + 1 if load.qos else 0,
                )
                for position, index in enumerate(indexes)
            ]
            for cycle in range(cycles)
        ]

    @property
    def remaining(self) -> int:
        """Messages not sent yet."""
        return self.total - self.sent

    @property
    def room(self) -> int:
        """Messages that may be sent before an acknowledgement must come."""
        if not self._load.qos:
            return self.remaining
        return min(self.remaining, self._load.window - (self.sent - self.taken))

    @property
    def settled(self) -> bool:
        """The broker has taken all that was sent."""
        return self.taken == self.sent

    def take(self, count: int, stamp_us: int) -> bytes:
        """Return the next packets, at most count; fewer at the end of a round."""
        waiting = self._cycle[self._round % len(self._cycle)]
        part = waiting[self._offset : self._offset + count]
        sequence = fleet.FIRST_SEQUENCE + self._load.first_round + self._round
        stamp = fleet.FIRST_STAMP + stamp_us - self._load.origin_us
        if not fleet.FIRST_STAMP <= stamp < 10 * fleet.FIRST_STAMP:
            # It has a fixed width: another would break the packets.
            raise ValueError(
                f"{stamp_us} us is not within {9 * fleet.FIRST_STAMP} us after the origin of the "
                f"stamps, {self._load.origin_us} us"
            )
        self._offset += len(part)
        self.sent += len(part)
        if self._offset == len(waiting):
            self._offset = 0
            self._round += 1
        data = b"".join(part)
        return data.replace(fleet.SEQUENCE, b"%07d" % sequence).replace(
            fleet.STAMP, b"%010d" % stamp
        )

    def send(self, count: int) -> int:
        """Send the next messages, at most count; return how many."""
        before = self.sent
        while self.sent - before < count and self.remaining:
            wanted = count - (self.sent - before)
            self.sock.sendall(self.take(wanted, time.monotonic_ns() // 1000))
        return self.sent - before

    def ping(self) -> None:
        """Ask for the answer that shows that all before it was taken."""
        self._pinged = True
        self.sock.sendall(packets.PINGREQ)

    def receive(self) -> None:
        """Read what the broker has answered, without waiting."""
        try:
            data = self.sock.recv(65_536, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        if not data:
            raise ConnectionError("the broker has closed a connection of the load generator")
        self.feed(data)

    def feed(self, data: bytes) -> None:
        """Take answers: PUBACKs, and behind them the PINGRESP."""
        received = self._received
        received += data
        acks = 0 if not self._load.qos else len(received) // 4
        if acks:
            if received[: 4 * acks : 4].count(0x40) != acks:
                raise ValueError(f"expected PUBACKs, got {bytes(received[:32])!r}")
            self.taken += acks
            del received[: 4 * acks]
        if self._pinged and bytes(received) == packets.PINGRESP:
            received.clear()
            self._pinged = False
            if not self._load.qos:
                self.taken = self.sent

    @property
    def answered(self) -> bool:
        """The PINGREQ was answered."""
        return not self._pinged


class _Progress:
    """How much has arrived at the other end, as another process writes it."""

    def __init__(self, path: str) -> None:
        self._map: mmap.mmap | None = None
        if path:
            with open(path, "r+b") as file:  # noqa: PTH123 - a mapping needs the file object
                self._map = mmap.mmap(file.fileno(), 8)

    @property
    def arrived(self) -> int:
        """The count."""
        assert self._map is not None
        return int(struct.unpack_from("=q", self._map)[0])


def open_lanes(load: Load) -> list[Lane]:
    """Connect, and deal the devices out to the connections."""
    count = min(load.connections, load.devices)
    indexes = range(load.first_device, load.first_device + load.devices)
    lanes = []
    for number in range(count):
        sock = socket.create_connection(("127.0.0.1", load.port), 10)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        name = f"load-{os.getpid()}-{number}"
        sock.sendall(packets.connect(name))
        answer = sock.recv(4, socket.MSG_WAITALL)
        if answer != b"\x20\x02\x00\x00":
            raise ConnectionError(f"the broker answered CONNECT with {answer!r}")
        lanes.append(Lane(load, indexes[number::count], sock))
    return lanes


def run(load: Load) -> Sent:
    """Send a load and return what became of it.

    Raises:
        TimeoutError: it took longer than ``limit_s``.
        OSError: the broker is not there or has gone.
    """
    lanes = open_lanes(load)
    started_ns = time.monotonic_ns()
    deadline_s = time.monotonic() + load.limit_s
    late_s = 0.0
    if load.rate:
        late_s = _send_paced(load, lanes, deadline_s)
    else:
        _send_all(load, lanes, deadline_s)
    for lane in lanes:
        lane.ping()
    while not all(lane.answered and lane.settled for lane in lanes):
        _wait(lanes, 0.1, deadline_s)
    ended_ns = time.monotonic_ns()
    for lane in lanes:
        lane.sock.sendall(packets.DISCONNECT)
        lane.sock.close()
    return Sent(
        messages=sum(lane.sent for lane in lanes),
        taken=sum(lane.taken for lane in lanes),
        started_ns=started_ns,
        ended_ns=ended_ns,
        late_s=late_s,
        cpu_s=time.process_time(),
    )


def _send_all(load: Load, lanes: list[Lane], deadline_s: float) -> None:
    """Send as fast as the broker, and at the other end the subject, takes it."""
    progress = _Progress(load.progress) if load.backlog else None
    sent = 0
    while sent < load.messages:
        before = sent
        for lane in lanes:
            allowed = lane.room
            if progress is not None:
                allowed = min(allowed, progress.arrived + load.backlog - sent)
            if allowed > 0:
                sent += lane.send(min(_CHUNK, allowed))
        if sent == before:
            # Everybody is behind: a short rest lets answers gather.
            time.sleep(TICK_S / 4)
        if load.qos and min(lane.room for lane in lanes) < _CHUNK:
            _wait(lanes, 0, deadline_s)
        _check(deadline_s)


def _send_paced(load: Load, lanes: list[Lane], deadline_s: float) -> float:
    """Send at an even pace; return how late it was at worst."""
    started_s = time.monotonic()
    sent = 0
    turn = 0
    late_s = 0.0
    while sent < load.messages:
        now_s = time.monotonic() - started_s
        due = min(load.messages, int(now_s * load.rate) + 1) - sent
        late_s = max(late_s, now_s - sent / load.rate) if due > 0 else late_s
        tries = 0
        while due > 0 and tries < len(lanes):
            lane = lanes[turn % len(lanes)]
            turn += 1
            share = min(lane.room, max(1, -(-due // len(lanes))))
            done = lane.send(share) if share > 0 else 0
            tries = 0 if done else tries + 1
            sent += done
            due -= done
        if load.qos:
            _wait(lanes, 0, deadline_s)
        # Above 1,000 msg/s several go out at each tick: waking for each of them would cost more
        # than sending it, and the machine is shared with what is measured.
        next_s = max(started_s + sent / load.rate, now_s + started_s + TICK_S)
        time.sleep(max(0.0, next_s - time.monotonic()))
        _check(deadline_s)
    return late_s


def _wait(lanes: list[Lane], timeout_s: float, deadline_s: float) -> None:
    """Read what has come; wait for something if a time is given."""
    by_number = {lane.sock.fileno(): lane for lane in lanes}
    ready, _, _ = select.select(list(by_number), [], [], timeout_s)
    for number in ready:
        by_number[number].receive()
    _check(deadline_s)


def _check(deadline_s: float) -> None:
    if time.monotonic() > deadline_s:
        raise TimeoutError("the load was not sent within its time limit")


def main(argv: Sequence[str]) -> int:
    """Read a load as JSON, send it, write what became of it as JSON."""
    sent = run(Load(**json.loads(argv[1])))
    json.dump(attrs.asdict(sent), sys.stdout)
    sys.stdout.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
