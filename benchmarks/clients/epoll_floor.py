"""The floor of the whole job in Python: a bare epoll loop, without containment of any kind.

It reads, parses with orjson, writes a line for each message and acknowledges it after that. It
does not reconnect, knows only plugs, and believes whatever it reads.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import time

import orjson

from benchmarks.clients.bare import READ_BYTES, greeting, publishes
from benchmarks.fleet import FIELDS


def main(port: int, qos: int) -> None:
    """Receive until the process is ended."""
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(greeting("bench-epoll", qos))
    poll = select.epoll()
    poll.register(sock, select.EPOLLIN)
    pending = b""
    while True:
        poll.poll()
        data = sock.recv(READ_BYTES)
        if not data:
            return
        found, pending = publishes(pending + data)
        if not found:
            continue
        now_ns = time.time_ns()
        lines = [line_of(device, payload, now_ns) for device, _packet_id, payload in found]
        os.write(1, b"".join(lines))
        if qos:
            sock.sendall(b"".join([b"\x40\x02" + packet_id for _, packet_id, _ in found]))


def line_of(device: bytes, payload: bytes, now_ns: int) -> bytes:
    """Return the line of a plug's message."""
    energy = orjson.loads(payload)["ENERGY"]
    fields = ",".join([f"{name}={energy[key]}" for key, name in FIELDS.items()])
    return b"electricity,device=%b %b %d\n" % (device, fields.encode(), now_ns)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
