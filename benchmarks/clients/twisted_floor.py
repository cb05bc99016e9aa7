"""The floor of Twisted: its reactor and a protocol that writes a line a message, without parsing.

The line is always the same, and it is written before the message is acknowledged.
"""

from __future__ import annotations

import os
import sys
from typing import Any, Final

# What loads TLS where it is installed: the agent does not without need, and a floor neither.
sys.modules["OpenSSL"] = None

from twisted.internet.epollreactor import install  # noqa: E402
from twisted.internet.protocol import ClientFactory, Protocol  # noqa: E402

from benchmarks.clients.bare import greeting, publishes  # noqa: E402

_LINE: Final = b"electricity,device=bench_ energy_total=0\n"


class Receiver(Protocol):
    """Takes messages.

    Args:
        qos: to subscribe with.
    """

    def __init__(self, qos: int) -> None:
        self._qos = qos
        self._pending = b""

    def connectionMade(self) -> None:
        """Connect, and subscribe."""
        transport: Any = self.transport
        transport.setTcpNoDelay(True)
        transport.write(greeting("bench-twisted", self._qos))

    def dataReceived(self, data: bytes) -> None:
        """Write the lines, then acknowledge."""
        found, self._pending = publishes(self._pending + data)
        if found:
            os.write(1, _LINE * len(found))
            if self._qos:
                transport: Any = self.transport
                transport.write(b"".join([b"\x40\x02" + packet_id for _, packet_id, _ in found]))


def main(port: int, qos: int) -> None:
    """Receive until the process is ended."""
    install()
    from twisted.internet import reactor

    running: Any = reactor
    factory = ClientFactory.forProtocol(lambda: Receiver(qos))
    running.connectTCP("127.0.0.1", port, factory)
    running.run()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
