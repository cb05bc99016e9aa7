"""A mosquitto of the benchmarks' own, on a free port of the loopback interface."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, final

from benchmarks import packets

__all__ = ["BASE_SETTINGS", "Broker", "Mailbox", "find_mosquitto", "free_port", "mosquitto_version"]

BASE_SETTINGS: Final = (
    "allow_anonymous true",
    "persistence false",
    "max_queued_messages 0",
    "sys_interval 1",
)
"""What differs from mosquitto's defaults: nothing is on disk, and no queue is bounded, so that
what is measured is the subject and not the moment at which the broker begins to drop."""

_START_TIMEOUT_S: Final = 10.0
_ANSWER_TIMEOUT_S: Final = 30.0
_STOP_TIMEOUT_S: Final = 5.0


def find_mosquitto(name: str = "mosquitto") -> str | None:
    """Return the path of a mosquitto, None where it is not installed.

    Args:
        name: of the program, or its path.
    """
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")


def mosquitto_version(path: str) -> str:
    """Return what a mosquitto says of itself."""
    # -h ends with status 3 in some versions and 1 in others.
    done = subprocess.run([path, "-h"], capture_output=True, text=True, check=False, timeout=10)
    return (done.stdout or done.stderr).partition("\n")[0].removeprefix("mosquitto version ")


def free_port() -> int:
    """Return a TCP port of the loopback interface that no one listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@final
class Broker:
    """A broker process; a context manager that leaves nothing behind.

    Args:
        path: of mosquitto.
        settings: lines of mosquitto.conf in the place of, or beside, `BASE_SETTINGS`.
    """

    def __init__(self, path: str, settings: Sequence[str] = ()) -> None:
        self._path = path
        self.port = free_port()
        names = {line.split()[0] for line in settings}
        kept = [line for line in BASE_SETTINGS if line.split()[0] not in names]
        self.settings = (*kept, *settings)
        self._directory = Path(tempfile.mkdtemp(prefix="bench-broker-"))
        self._log_path = self._directory / "log"
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Broker:
        lines = [*self.settings, f"listener {self.port} 127.0.0.1"]
        if os.getuid() == 0:
            lines.append("user root")
        conf = self._directory / "conf"
        conf.write_text("\n".join(lines) + "\n", "utf-8")
        with self._log_path.open("wb") as file:
            self.process = subprocess.Popen(
                [self._path, "-c", str(conf)],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        deadline_s = time.monotonic() + _START_TIMEOUT_S
        while not self._accepts():
            if self.process.poll() is not None or time.monotonic() > deadline_s:
                text = self.log
                self.__exit__(None, None, None)
                raise RuntimeError(f"mosquitto did not start:\n{text}")
            time.sleep(0.01)
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        process, self.process = self.process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self._directory, ignore_errors=True)

    @property
    def pid(self) -> int:
        """The process id."""
        assert self.process is not None
        return self.process.pid

    @property
    def log(self) -> str:
        """Everything that the broker has logged."""
        return self._log_path.read_text("utf-8", "replace") if self._log_path.exists() else ""

    def retain(self, messages: Iterable[tuple[str, bytes]]) -> None:
        """Publish retained messages, and return when the broker has them all."""
        with Mailbox(self.port) as box:
            box.send(packets.publish(topic, data, retain=True) for topic, data in messages)

    def counters(self) -> dict[str, int]:
        """Return the broker's own counts of messages: received, sent, dropped.

        They are renewed every second, so this takes a little more than one.
        """
        prefix = "$SYS/broker/publish/messages/"
        wanted = ("received", "sent", "dropped")
        found: dict[str, int] = {}
        with Mailbox(self.port) as box:
            time.sleep(2.1)  # two intervals: one may have been under way
            box.subscribe(f"{prefix}+")
            deadline_s = time.monotonic() + 3
            while len(found) < len(wanted) and time.monotonic() < deadline_s:
                for topic, data in box.receive(0.2):
                    name = topic.removeprefix(prefix)
                    if name in wanted:
                        found[name] = int(data)
        # mosquitto does not publish a count that has never changed.
        return {name: found.get(name, 0) for name in wanted}

    def _accepts(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False


@final
class Mailbox:
    """A small client at QoS 0 for a few messages to and from the broker."""

    def __init__(self, port: int) -> None:
        self._sock = socket.create_connection(("127.0.0.1", port), 10)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = packets.PacketReader()
        self._inbox: list[tuple[str, bytes]] = []
        self._sock.sendall(packets.connect(f"bench-{os.getpid()}-{id(self):x}"))
        self._await(packets.CONNACK)

    def __enter__(self) -> Mailbox:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError):
            self._sock.sendall(packets.DISCONNECT)
        self._sock.close()

    def send(self, publishes: Iterable[bytes]) -> None:
        """Send packets, and return when the broker has taken them."""
        part: list[bytes] = []
        for packet in publishes:
            part.append(packet)
            if len(part) == 100:
                self._sock.sendall(b"".join(part))
                part.clear()
        self._sock.sendall(b"".join(part) + packets.PINGREQ)
        self._await(packets.PINGRESP[0] >> 4)

    def publish(self, topic: str, data: bytes) -> None:
        """Send one message, without waiting."""
        self._sock.sendall(packets.publish(topic, data))

    def subscribe(self, topic_filter: str) -> None:
        """Subscribe, and return when the broker has."""
        self._sock.sendall(packets.subscribe(1, topic_filter, 0))
        self._await(packets.SUBACK)

    def receive(self, timeout_s: float) -> list[tuple[str, bytes]]:
        """Return the messages that have come; wait for the first if there is none."""
        if not self._inbox:
            self._read(timeout_s)
        messages, self._inbox = self._inbox, []
        return messages

    def _await(self, kind: int) -> None:
        deadline_s = time.monotonic() + _ANSWER_TIMEOUT_S
        while kind not in self._read(0.5):
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"the broker did not answer with a packet of type {kind}")

    def _read(self, timeout_s: float) -> set[int]:
        self._sock.settimeout(timeout_s)
        try:
            data = self._sock.recv(65_536)
        except TimeoutError:
            return set()
        finally:
            self._sock.settimeout(None)
        if not data:
            raise ConnectionError("the broker has closed the connection")
        kinds = set()
        for first, body in self._reader.feed(data):
            kinds.add(first >> 4)
            if first >> 4 == packets.PUBLISH:
                self._inbox.append(packets.topic_and_payload(first, body))
        return kinds
