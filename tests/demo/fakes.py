"""Fakes for the demo's parts: a client at a broker, and a reactor that starts processes."""

from __future__ import annotations

import signal
from typing import Any

from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.task import Clock
from twisted.python.failure import Failure

__all__ = ["FakeClient", "FakeProcess", "ProcessClock", "Reason"]


class Reason:
    """A reason code of a broker."""

    def __init__(self, *, failure: bool = False) -> None:
        self.is_failure = failure


class FakeClient:
    """What a station uses of paho's client; the test is the broker."""

    def __init__(self, client_id: str) -> None:
        self.client_id = client_id
        self.calls: list[tuple[Any, ...]] = []
        self.published: list[tuple[str, bytes, bool]] = []
        self.on_connect: Any = None
        self.on_disconnect: Any = None
        self.on_message: Any = None

    def reconnect_delay_set(self, shortest: float, longest: float) -> None:
        self.calls.append(("reconnect_delay_set", shortest, longest))

    def will_set(self, topic: str, payload: bytes, *, qos: int, retain: bool) -> None:
        self.calls.append(("will_set", topic, payload, qos, retain))

    def connect_async(self, host: str, port: int, *, keepalive: int) -> None:
        self.calls.append(("connect_async", host, port, keepalive))

    def loop_start(self) -> None:
        self.calls.append(("loop_start",))

    def subscribe(self, topic_filter: str) -> None:
        self.calls.append(("subscribe", topic_filter))

    def disconnect(self) -> None:
        self.calls.append(("disconnect",))

    def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool) -> None:
        assert qos == 0
        self.published.append((topic, payload, retain))

    # The broker's side.

    def welcome(self, *, failure: bool = False) -> None:
        self.on_connect(self, None, None, Reason(failure=failure), None)

    def lose(self) -> None:
        self.on_disconnect(self, None, None, None, None)

    def deliver(self, topic: str, payload: bytes = b"") -> None:
        self.on_message(self, None, type("Message", (), {"topic": topic, "payload": payload}))

    def topics(self) -> list[str]:
        """Return what was published, and forget it."""
        topics = [topic for topic, _, _ in self.published]
        self.published.clear()
        return topics


class FakeProcess:
    """The transport of a child; the test is the child."""

    def __init__(self, protocol: Any, command: list[str]) -> None:
        self.protocol = protocol
        self.command = command
        self.signals: list[str] = []
        self.exited = False
        self.interrupt_blocked = signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())

    def signalProcess(self, name: str) -> None:
        if self.exited:
            raise ProcessExitedAlready
        self.signals.append(name)

    # The child's side.

    def say(self, text: str) -> None:
        self.protocol.errReceived(text.encode())

    def end(self, status: int = 0, by: int | None = None) -> None:
        self.exited = True
        done = ProcessDone(0) if not status and by is None else None
        self.protocol.processEnded(Failure(done or ProcessTerminated(status or None, by)))


class ProcessClock(Clock):
    """A Clock that starts processes."""

    def __init__(self) -> None:
        super().__init__()
        self.processes: list[FakeProcess] = []
        self.refuse = False

    def spawnProcess(
        self, protocol: Any, executable: str, args: list[str], env: dict[str, str]
    ) -> FakeProcess:
        if self.refuse:
            raise OSError("no more processes")
        assert executable == args[0]
        assert env.get("PATH")
        process = FakeProcess(protocol, args)
        self.processes.append(process)
        protocol.makeConnection(process)
        return process
