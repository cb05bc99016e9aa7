"""What a MemoryError does, by where it comes up, and by what is left."""

from __future__ import annotations

from twisted.logger import Logger, LogPublisher, globalLogPublisher
from twisted.python import log as legacy
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.logs.capture import contain_observers
from metrics_agent.logs.logger import failure_of, make_logger
from metrics_agent.supervision.exhaustion import RESERVE_BYTES, ROOM_BYTES, MemoryWatch


class Memory:
    """Addresses, of which so many are left."""

    def __init__(self, left: int) -> None:
        self.left = left

    def allocate(self, size: int) -> Memory:
        """Take some; what is returned gives them back."""
        if size > self.left:
            raise OSError("no room")
        self.left -= size
        piece = Memory(0)
        piece.close = lambda: self.give_back(size)  # type: ignore[attr-defined]
        return piece

    def give_back(self, size: int) -> None:
        """Take back what was taken."""
        self.left += size


class MemoryWatchTests(SynchronousTestCase):
    """Reads events as the reactor and the agent log them."""

    def setUp(self) -> None:
        self.publisher = LogPublisher()
        contain_observers(self.publisher)
        self.memory = Memory(RESERVE_BYTES + ROOM_BYTES)
        self.reasons: list[str] = []
        self.left: list[int] = []
        self.watch = MemoryWatch(self.emergency_stop, self.publisher, self.memory.allocate)
        self.watch.startService()

    def emergency_stop(self, reason: str) -> None:
        self.reasons.append(reason)
        self.left.append(self.memory.left)

    def log(self, namespace: str, error: BaseException) -> None:
        """Log a failure."""
        Logger(namespace=namespace, observer=self.publisher).failure("x", failure_of(error))

    def test_reactor_gives_up_once(self) -> None:
        """Whatever is left; the reserve is free by then."""
        for namespace in ("twisted.internet.base", "twisted.internet.tcp"):
            self.log(namespace, MemoryError())
        self.assertEqual(len(self.reasons), 1)
        self.assertEqual(self.left, [RESERVE_BYTES + ROOM_BYTES])

    def test_reads_and_writes_are_reported_the_old_way(self) -> None:
        """By `twisted.python.log`: its events carry the failure too."""
        watch = MemoryWatch(self.emergency_stop, globalLogPublisher, self.memory.allocate)
        before = globalLogPublisher.__class__
        contain_observers()
        self.addCleanup(setattr, globalLogPublisher, "__class__", before)
        self.memory.left = RESERVE_BYTES
        watch.startService()
        self.addCleanup(watch.stopService)
        self.memory.left = ROOM_BYTES
        legacy.err(Failure(MemoryError()))
        self.flushLoggedErrors(MemoryError)
        self.assertEqual(len(self.reasons), 1)

    def test_fault_of_one_is_contained(self) -> None:
        """While there is room; so is any other error of the reactor's."""
        for _ in range(3):
            self.log("twisted.internet.base", ValueError())
            self.log("twisted.internet.defer", MemoryError())
            self.publisher({"log_namespace": "twisted.internet.base", "log_format": "x"})
            make_logger("tasmota", self.publisher).failure("x", failure_of(MemoryError()))
        self.assertEqual((self.reasons, self.memory.left), ([], ROOM_BYTES))

    def test_no_room_is_left(self) -> None:
        """Then it matters no more whose fault it is."""
        self.memory.left = ROOM_BYTES - 1
        make_logger("tasmota", self.publisher).failure("x", failure_of(MemoryError()))
        self.assertEqual(len(self.reasons), 1)

    def test_what_left_the_main_loop(self) -> None:
        """Whatever it is; the reason says which."""
        self.watch.fatal_error(OverflowError("x"))
        self.assertIn("OverflowError('x')", self.reasons[0])
        self.watch.fatal_error(MemoryError())
        self.assertEqual(len(self.reasons), 1)

    def test_stop(self) -> None:
        """It looks no more, and frees the reserve; twice does no harm."""
        self.watch.stopService()
        self.watch.stopService()
        self.log("twisted.internet.base", MemoryError())
        self.assertEqual((self.reasons, self.memory.left), ([], RESERVE_BYTES + ROOM_BYTES))

    def test_reserve_is_memory(self) -> None:
        """A mapping of its own, which is given back at once."""
        watch = MemoryWatch(self.reasons.append, self.publisher)
        watch.startService()
        self.addCleanup(watch.stopService)
        self.assertEqual(len(watch._reserve), RESERVE_BYTES)
