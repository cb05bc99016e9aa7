"""What a MemoryError does, by where it comes up."""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger, LogPublisher, globalLogPublisher
from twisted.python import log as legacy
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent import looping
from metrics_agent.logs.logger import failure_of, make_logger
from metrics_agent.looping import GuardedLoop
from metrics_agent.supervision.exhaustion import RESERVE_BYTES, MemoryWatch


class Reserve:
    """Memory that is kept."""

    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


class MemoryWatchTests(SynchronousTestCase):
    """Reads events as the reactor and the agent log them."""

    def setUp(self) -> None:
        self.publisher = LogPublisher()
        self.reserve = Reserve()
        self.reasons: list[str] = []
        self.watch = MemoryWatch(self.reasons.append, self.publisher, lambda: self.reserve)
        self.watch.startService()

    def log(self, namespace: str, error: BaseException, text: str = "x") -> None:
        """Log a failure."""
        logger = Logger(namespace=namespace, observer=self.publisher)
        logger.failure(text, failure_of(error))

    def test_reactor_gives_up_once(self) -> None:
        """The reserve is free by then."""
        closed: list[int] = []
        self.patch(self.watch, "_give_up", lambda _reason: closed.append(self.reserve.closed))
        for namespace in ("twisted.internet.base", "twisted.internet.tcp"):
            self.log(namespace, MemoryError())
        self.assertEqual(closed, [1])

    def test_reads_and_writes_are_reported_the_old_way(self) -> None:
        """By `twisted.python.log`: its events carry the failure too."""
        events: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        legacy.err(Failure(MemoryError()))
        self.flushLoggedErrors(MemoryError)
        self.watch(next(event for event in events if "log_failure" in event))
        self.assertEqual(len(self.reasons), 1)

    def test_other_faults_and_other_places(self) -> None:
        """A module's MemoryError, and another error of the reactor's, are no reason."""
        self.log("twisted.internet.base", ValueError())
        self.log("twisted.internet.defer", MemoryError())
        self.publisher({"log_namespace": "twisted.internet.base", "log_format": "x"})
        make_logger("tasmota", self.publisher).failure("x", failure_of(MemoryError()))
        self.assertEqual((self.reasons, self.reserve.closed), ([], 0))

    def test_loop_of_the_agent(self) -> None:
        """One of which nobody else takes care."""
        loop = GuardedLoop(None, lambda: None)
        self.patch(looping, "make_logger", lambda: make_logger(observer=self.publisher))
        loop._log_failure(MemoryError())
        self.assertEqual(len(self.reasons), 1)

    def test_what_left_the_main_loop(self) -> None:
        """Whatever it is; the reason says which."""
        self.watch.left_reactor(OverflowError("x"))
        self.assertIn("OverflowError('x')", self.reasons[0])
        self.watch.left_reactor(MemoryError())
        self.assertEqual(len(self.reasons), 1)

    def test_stop(self) -> None:
        """It looks no more, and frees the reserve; twice does no harm."""
        self.watch.stopService()
        self.watch.stopService()
        self.log("twisted.internet.base", MemoryError())
        self.assertEqual((self.reasons, self.reserve.closed), ([], 1))

    def test_reserve_is_memory(self) -> None:
        """A mapping of its own, which is given back at once."""
        watch = MemoryWatch(self.reasons.append, self.publisher)
        watch.startService()
        self.addCleanup(watch.stopService)
        self.assertEqual(len(watch._reserve), RESERVE_BYTES)
