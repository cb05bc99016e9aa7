"""A timer ticks without end, whatever a tick does."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterable, Iterator
from typing import Any
from unittest import mock

from twisted.internet.defer import CancelledError, Deferred, fail, succeed

from metrics_agent.metric import Metric, metric
from metrics_agent.supervision.ticker import Ticker, TickerLimits, as_deferred
from tests.supervision.fakes import FAULTS, SupervisionCase, in_turn, raiser

POINT = metric("m", {}, {"f": 1.0})


class TickerCase(SupervisionCase):
    """Makes tickers of 10 s; three failed ticks in a row are hopeless, a tick may take 25 s."""

    def setUp(self) -> None:
        super().setUp()
        self.emitted: list[Metric] = []
        self.hopeless: list[BaseException] = []
        self.ticks: list[float] = []

    def make(self, collect: Any, interval_s: float = 10.0) -> Ticker:
        def tick() -> Any:
            self.ticks.append(self.clock.seconds())
            return collect()

        def emit(metrics: Iterable[Metric]) -> None:
            self.emitted.extend(metrics)

        return Ticker(
            self.clock,
            interval_s,
            tick,
            emit=emit,
            guard=self.guard,
            place="tick",
            limits=TickerLimits(failed_in_row=3, timeout_s=25.0),
            on_hopeless=self.hopeless.append,
        )

    def start(self, collect: Any, *, now: bool = True) -> Ticker:
        ticker = self.make(collect)
        # Before check_no_calls: what a test leaves running is not a fault.
        self.addCleanup(ticker.cancel)
        ticker.start(now=now)
        self.clock.advance(0)
        return ticker


class TickTests(TickerCase):
    """Ticks that end at once."""

    def test_each_interval(self) -> None:
        """The first in the next turn, then one every interval; what they give is emitted."""
        self.start(lambda: [POINT])
        self.clock.pump([10, 10])
        self.assertEqual((self.ticks, self.emitted), ([0, 10, 20], [POINT] * 3))

    def test_guard_without_memory(self) -> None:
        """A fault that cannot even be logged, for want of memory, costs one tick."""

        def halfway() -> Iterator[Metric]:
            yield POINT
            raise ValueError

        for faulty in (raiser(ValueError()), lambda: fail(ValueError()), halfway, Deferred):
            self.ticks.clear()
            results = iter([faulty])
            ticker = self.start(lambda results=results: next(results, tuple)(), now=False)
            with mock.patch.object(self.guard, "caught", side_effect=MemoryError):
                for _ in range(7):
                    with contextlib.suppress(MemoryError):
                        self.clock.advance(5)
            self.clock.pump([10, 10])
            gc.collect()
            self.flushLoggedErrors(MemoryError)
            self.assertGreater(len(self.ticks), 2, faulty)
            ticker.cancel()

    def test_not_inside_the_start(self) -> None:
        """A tick runs in a turn of its own, never inside the module's start."""
        ticker = self.make(lambda: None)
        ticker.start(now=True)
        self.assertEqual(self.ticks, [])
        ticker.cancel()

    def test_first_later(self) -> None:
        """Without now the first comes after an interval."""
        self.start(lambda: None, now=False)
        self.clock.advance(9.9)
        self.assertEqual(self.ticks, [])
        self.clock.advance(0.1)
        self.assertEqual(self.ticks, [10])

    def test_every_kind_of_result(self) -> None:
        """None, a list, a generator, a Deferred of either, a coroutine."""

        def generator() -> Iterator[Metric]:
            yield POINT

        async def coroutine() -> list[Metric]:
            return [POINT]

        for make, count in (
            (lambda: None, 0),
            (list, 0),
            (lambda: [POINT, POINT], 2),
            (generator, 1),
            (lambda: succeed(None), 0),
            (lambda: succeed([POINT]), 1),
            (lambda: succeed(generator()), 1),
            (coroutine, 1),
        ):
            self.emitted.clear()
            ticker = self.start(make)
            ticker.cancel()
            self.assertEqual(self.emitted, [POINT] * count)
        self.assertEqual(self.counters.errors, {})

    def test_late_ticks_do_not_shift(self) -> None:
        """A tick that comes late does not move those after it, missed ones are left out."""
        self.start(lambda: None)
        self.clock.advance(13)  # the one of 10 comes at 13
        self.clock.advance(7)
        self.clock.advance(35)  # those of 30, 40 and 50 come as one at 55
        self.clock.advance(5)
        self.assertEqual(self.ticks, [0, 13, 20, 55, 60])

    def test_wrong_interval(self) -> None:
        """An interval that is none is refused with what was got and expected."""
        for interval_s in (0.0, -1.0, float("nan"), float("inf")):
            with self.assertRaisesRegex(ValueError, f"got an interval of {interval_s} s, expected"):
                self.make(lambda: None, interval_s)


class FaultTests(TickerCase):
    """Ticks that fail."""

    def test_every_fault(self) -> None:
        """Whatever a tick raises: it is asked and counted, and the next one comes."""
        self.start(in_turn(*[raiser(kind("why")) for kind in FAULTS]))
        for _ in FAULTS[1:]:
            self.clock.advance(10)
        lines = [f"Error in tick: {kind.__name__}('why')" for kind in FAULTS]
        self.assertEqual(self.logged(), lines)
        self.assertEqual(self.counters.errors, {"tick": len(FAULTS)})

    def test_generator_raises(self) -> None:
        """A generator that fails halfway is a failed tick; half a result is none."""

        def half() -> Iterator[Metric]:
            yield POINT
            raise SystemExit(1)

        self.start(half)
        self.assertEqual((self.emitted, self.logged()), ([], ["Error in tick: SystemExit(1)"]))

    def test_result_that_is_none(self) -> None:
        """What is not a collection of metrics is a failed tick."""
        self.start(lambda: 5)
        self.assertIn("Error in tick: TypeError", self.logged()[0])

    def test_deferred_fails(self) -> None:
        """So is a Deferred or coroutine that fails, at once or later."""

        async def coroutine() -> None:
            raise KeyboardInterrupt

        later: Deferred[Any] = Deferred()
        self.start(in_turn(lambda: fail(ValueError("at once")), coroutine, lambda: later))
        self.clock.pump([10, 10])
        later.errback(RecursionError("later"))
        self.assertEqual(
            self.logged(),
            [
                "Error in tick: ValueError('at once')",
                "Error in tick: KeyboardInterrupt()",
                "Error in tick: RecursionError('later')",
            ],
        )

    def test_hopeless(self) -> None:
        """So many failed ticks in a row are reported with the last fault, and ticking goes on."""
        faults = [ValueError(str(number)) for number in range(4)]
        self.start(in_turn(*map(raiser, faults)))
        self.clock.pump([10, 10])
        self.assertEqual(self.hopeless, [faults[2]])
        self.clock.advance(10)
        self.assertEqual((self.hopeless, self.ticks), ([faults[2]], [0, 10, 20, 30]))

    def test_a_good_tick_between(self) -> None:
        """Failed ticks that are not in a row are never hopeless."""
        bad = raiser(ValueError("x"))
        self.start(in_turn(bad, bad, list, bad, bad, list))
        self.clock.pump([10] * 5)
        self.assertEqual((len(self.ticks), self.hopeless), (6, []))


class WaitingTests(TickerCase):
    """Ticks that take their time."""

    def test_the_next_waits(self) -> None:
        """A tick begins when the one before has ended, at the next round time."""
        works: list[Deferred[Any]] = []

        def collect() -> Deferred[Any]:
            works.append(Deferred())
            return works[-1]

        self.start(collect)
        self.clock.advance(12)
        self.assertEqual(len(works), 1)
        works[0].callback([POINT])
        self.assertEqual(self.emitted, [POINT])
        self.clock.advance(8)
        self.assertEqual(self.ticks, [0, 20])

    def test_never_ends(self) -> None:
        """A tick that never ends is cancelled, has failed, and the next one comes."""
        works: list[Deferred[Any]] = []

        def collect() -> Deferred[Any]:
            works.append(Deferred())
            return works[-1]

        self.start(collect)
        self.clock.advance(25)
        self.successResultOf(works[0])  # it was cancelled, that was contained
        self.assertEqual(
            self.logged(), ["Error in tick: TimeoutError('the tick did not end within 25 s')"]
        )
        self.clock.advance(5)
        self.assertEqual(self.ticks, [0, 30])

    def test_cannot_be_cancelled(self) -> None:
        """Work whose cancelling raises or does nothing is left to itself; late results are too."""
        stubborn = [Deferred(raiser(SystemExit(1))), Deferred(lambda work: work.callback([POINT]))]
        stuck: Deferred[Any] = Deferred()
        stubborn.append(Deferred().addCallback(lambda _: stuck))
        stubborn[2].callback(None)
        works = iter(stubborn)
        self.start(lambda: next(works))
        self.clock.pump([25, 5, 25, 5, 25, 5])
        self.assertEqual(self.ticks[:3], [0, 30, 60])
        self.assertEqual(len(self.hopeless), 1)
        self.assertEqual(self.emitted, [])

    def test_fired_twice(self) -> None:
        """A module that fires its Deferred twice gets the error itself; one result is emitted."""
        work: Deferred[Any] = Deferred()
        self.start(lambda: work)
        work.callback([POINT])
        with self.assertRaises(Exception):  # noqa: B017 - AlreadyCalledError, from Twisted
            work.callback([POINT])
        self.assertEqual(self.emitted, [POINT])


class CancelTests(TickerCase):
    """The end of a ticker."""

    def test_before_start_and_twice(self) -> None:
        """Cancelling before the start and again is harmless; a start afterwards does nothing."""
        ticker = self.make(lambda: None)
        ticker.cancel()
        ticker.start(now=True)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        ticker.cancel()

    def test_inside_a_tick(self) -> None:
        """A tick may cancel its own timer, whatever it then returns or raises."""
        never: Deferred[Any] = Deferred()

        async def wait() -> None:
            await never

        for then in (lambda: [POINT], wait, lambda: never, raiser(ValueError("x"))):
            tickers: list[Ticker] = []

            def collect(then: Any = then, tickers: list[Ticker] = tickers) -> Any:
                tickers[0].cancel()
                return then()

            tickers.append(self.make(collect))
            tickers[0].start(now=True)
            self.clock.advance(0)
            self.assertEqual(self.clock.getDelayedCalls(), [], then)
        self.assertEqual(len(self.ticks), 4)
        self.successResultOf(never)  # it was cancelled

    def test_inside_the_callback(self) -> None:
        """So may the callback of a Deferred, and the generator that it ends with."""
        work: Deferred[Any] = Deferred()

        def results(_result: object) -> Iterator[Metric]:
            ticker.cancel()
            yield POINT

        ticker = self.start(lambda: work.addCallback(results))
        work.callback(None)
        self.assertEqual((self.clock.getDelayedCalls(), self.logged()), ([], []))

    def test_while_waiting(self) -> None:
        """The work is cancelled and its result is not emitted."""
        cancelled: list[Deferred[Any]] = []
        ticker = self.start(lambda: Deferred(cancelled.append))
        ticker.cancel()
        self.assertEqual((len(cancelled), self.clock.getDelayedCalls()), (1, []))
        self.assertEqual((self.logged(), self.emitted), ([], []))

    def test_hostile_canceller(self) -> None:
        """A canceller that raises is contained."""
        ticker = self.start(lambda: Deferred(raiser(KeyboardInterrupt())))
        ticker.cancel()
        self.assertEqual(self.logged(), ["Error in tick: KeyboardInterrupt()"])

    def test_from_on_hopeless(self) -> None:
        """Whoever is called because it is hopeless may cancel it there."""
        ticker = self.start(raiser(ValueError("x")))
        ticker._on_hopeless = lambda _fault: ticker.cancel()
        self.clock.pump([10, 10])
        self.assertEqual(self.clock.getDelayedCalls(), [])


class AsDeferredTests(SupervisionCase):
    """Anything that can be awaited."""

    def test_kinds(self) -> None:
        """A Deferred stays the one it is; a coroutine and an awaitable object become one."""

        class Soon:
            def __await__(self) -> Iterator[Any]:
                return (yield Deferred.fromCoroutine(coroutine()))

        async def coroutine() -> int:
            return 3

        work: Deferred[int] = succeed(3)
        self.assertIs(as_deferred(work), work)
        self.assertEqual(self.successResultOf(as_deferred(coroutine())), 3)
        self.assertEqual(self.successResultOf(as_deferred(Soon())), 3)

    def test_cancel(self) -> None:
        """Cancelling reaches what a coroutine waits for."""
        inner: Deferred[None] = Deferred()

        async def coroutine() -> None:
            await inner

        work = as_deferred(coroutine())
        work.cancel()
        self.failureResultOf(work, CancelledError)
