"""From metrics to batches: in order, complete, and never long at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import count
from typing import Any

from metrics_agent.batch import Batch
from metrics_agent.line_protocol import Encoder
from metrics_agent.logs.events import read_event
from metrics_agent.logs.levels import Levels
from metrics_agent.metric import Metric, Series
from metrics_agent.supervision import emitter as emitter_module
from metrics_agent.supervision.emitter import MAX_WAITING, METRICS_A_TURN, METRICS_AT_ONCE, Emitter
from tests.supervision.fakes import FAULTS, SupervisionCase, raiser

SERIES = Series("m", {})
FLOOD = 100_000


def point(number: int) -> Metric:
    """Make a metric that differs from others."""
    return Metric(SERIES, {"n": number})


def points(first: int, end: int) -> Iterator[Metric]:
    """Make a generator of them."""
    return map(point, range(first, end))


def lines(first: int, end: int) -> list[str]:
    """Return what `points` become."""
    return [f"m n={number}i" for number in range(first, end)]


BAD = Metric(SERIES, {})


class Hostile(dict[str, Any]):
    """Fields whose reading raises."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(n=1)
        self.error = error

    def __iter__(self) -> Iterator[str]:
        raise self.error

    def items(self) -> Any:
        raise self.error


class EmitterCase(SupervisionCase):
    """An emitter whose batches are kept."""

    def setUp(self) -> None:
        super().setUp()
        self.batches: list[Batch] = []
        self.emitter = Emitter(
            self.clock,
            encode=Encoder().encode,
            write=self.batches.append,
            guard=self.guard,
            counters=self.counters,
            log=self.log,
        )

    def written(self) -> list[str]:
        for batch in self.batches:
            self.assertEqual(batch.data.count(b"\n"), batch.count)
        return b"".join(batch.data for batch in self.batches).decode().splitlines()

    def turns(self) -> int:
        """Run until nothing is left to do; return how many turns that took."""
        turns = 0
        while self.clock.getDelayedCalls():
            self.clock.turn()
            turns += 1
        return turns


class EmitTests(EmitterCase):
    """What is handed over in one call."""

    def test_at_once(self) -> None:
        """A few metrics are one batch, at once."""
        self.emitter.emit([point(0), point(1)])
        self.emitter.emit(points(2, 3))
        self.assertEqual([batch.count for batch in self.batches], [2, 1])
        self.assertEqual(self.written(), lines(0, 3))
        self.assertEqual(self.counters.metrics, 3)

    def test_nothing(self) -> None:
        """Nothing is not a batch."""
        self.emitter.emit([])
        self.emitter.emit(iter(()))
        self.assertEqual(self.batches, [])

    def test_series_beyond_the_limit_are_logged_once(self) -> None:
        """Each point of them is counted; the log names the device and the limit once."""
        self.emitter._encode = Encoder(series_per_device=1).encode
        for number in range(20):
            tags = {"device": "boiler", "sensor": f"probe{number % 10}"}
            self.emitter.emit([Metric(Series("sensor", tags), {"n": 1}, 1)])
        self.assertEqual(self.counters.dropped, {"too_many_series": 18})
        (line,) = self.logged("warn")
        self.assertIn("'boiler' has more than 1 series", line)

    def test_refused(self) -> None:
        """What line protocol cannot carry is counted and reported, the rest goes on."""
        self.emitter.emit([BAD, point(0), BAD, point(1)])
        self.assertEqual(self.written(), lines(0, 2))
        self.assertEqual((self.counters.dropped, self.counters.metrics), ({"no_fields": 2}, 2))
        self.assertEqual(
            self.logged("warn")[0],
            "Metric m refused: no_fields: no field with a value, it has none at all",
        )

    def test_refused_line(self) -> None:
        """The line names measurement, tags and fields, in a bounded length."""
        plug = Series("electricity", {"device": "x", "channel": "1"})
        long = "x" * 1_000_000
        for series, fields, line in (
            (
                plug,
                {"power": None, "voltage": math.nan},
                (
                    "Metric electricity (device 'x', channel '1') refused: no_fields: "
                    "no field with a value, 2 without ('power', 'voltage')"
                ),
            ),
            (
                plug,
                {"power": 2**64},
                (
                    "Metric electricity (device 'x', channel '1') refused: int_out_of_range: "
                    "'power' needs more than 64 bits"
                ),
            ),
            (
                Series("m", {"t": [1]}),  # type: ignore[dict-item]
                {"f": 1.0},
                (
                    "Metric m (t 'a list') refused: unsupported_type: expected text as tag 't', "
                    "got a list"
                ),
            ),
            (
                Series(long, {f"{number}{long}": long for number in range(20)}),
                {f"{number}{long}": None for number in range(20)},
                None,
            ),
            (Series("m", {long: "v"}), {"f": 1.0}, None),
            (Series("m", {}), {long: 1.0}, None),
            (Series("m", {}), {"f": long}, None),
        ):
            self.forget()
            self.emitter.emit([Metric(series, fields)])  # type: ignore[arg-type]
            (logged,) = self.logged("warn")
            self.assertLess(len(logged), 1500)
            if line is not None:
                self.assertEqual(logged, line)

    def test_refused_devices_are_told_apart(self) -> None:
        """Equal refusals of a device are one kind in the log, those of another device are not."""
        for device in ("a", "a", "b"):
            self.emitter.emit([Metric(Series("m", {"device": device}), {"f": None})])  # type: ignore[dict-item]
        kinds = [read_event(event, Levels("debug")).kind for event in self.events]  # type: ignore[union-attr]
        self.assertEqual((kinds[0] == kinds[1], kinds[1] == kinds[2]), (True, False))

    def test_no_metric_at_all(self) -> None:
        """So is what is not a metric."""
        self.emitter.emit([None, "m n=1", point(0), (1, 2, 3), 5, point(1)])  # type: ignore[list-item]
        self.assertEqual(self.written(), lines(0, 2))
        self.assertEqual(self.counters.dropped, {"not_a_metric": 4})

    def test_hostile_fields(self) -> None:
        """A metric whose reading raises costs that metric, whatever it raises."""
        for number, kind in enumerate(FAULTS):
            hostile = Metric(SERIES, Hostile(kind("why")))
            self.emitter.emit([hostile, point(number)])
        self.assertEqual(self.written(), lines(0, len(FAULTS)))
        self.assertEqual(self.counters.errors, {"emit": len(FAULTS)})

    def test_not_iterable(self) -> None:
        """What cannot be iterated is reported, and nothing is raised."""
        self.emitter.emit(None)  # type: ignore[arg-type]  # the point
        self.emitter.emit(5)  # type: ignore[arg-type]
        self.assertEqual(self.counters.errors, {"emit": 2})
        self.assertEqual(self.batches, [])

    def test_generator_raises(self) -> None:
        """What a generator gave before it raised is written; the next call goes on."""

        def half(error: BaseException) -> Iterator[Metric]:
            yield point(0)
            raise error

        for kind in FAULTS:
            self.batches.clear()
            self.emitter.emit(half(kind("why")))
            self.emitter.emit(points(1, 2))
            self.assertEqual(self.written(), lines(0, 2))
        self.assertEqual(self.counters.errors, {"emit": len(FAULTS)})

    def test_generator_that_emits(self) -> None:
        """What a generator emits itself while it is at work comes after its own."""

        def generator() -> Iterator[Metric]:
            yield point(0)
            self.emitter.emit([point(2)])
            yield point(1)

        self.emitter.emit(generator())
        self.assertEqual(self.written(), lines(0, 3))

    def test_where_the_stack_ends(self) -> None:
        """A module that emits as its recursion runs out of stack can emit afterwards."""

        def deep() -> None:
            self.emitter.emit([point(-1)])
            deep()

        self.guard.run("tick", deep)
        before = len(self.written())
        self.emitter.emit([point(0)])
        self.turns()
        self.assertEqual(self.written()[before:][-1:], lines(0, 1))


class FloodTests(EmitterCase):
    """More than can be done in one turn."""

    def test_spread_over_turns(self) -> None:
        """A hundred thousand metrics in one call: all of them, in order, a few each turn."""
        self.emitter.emit([point(number) for number in range(FLOOD)])
        self.turns()
        self.assertEqual(max(batch.count for batch in self.batches), METRICS_A_TURN)
        self.assertEqual(self.written(), lines(0, FLOOD))
        self.assertEqual((self.counters.metrics, self.counters.dropped), (FLOOD, {}))

    def test_others_have_their_turn(self) -> None:
        """Between two pieces whatever else is due runs."""
        self.emitter.emit(points(0, 3 * METRICS_A_TURN))
        seen: list[int] = []

        def other() -> None:
            seen.append(len(self.written()))
            if len(seen) < 4:
                self.clock.callLater(0, other)

        self.clock.callLater(0, other)
        self.turns()
        self.assertEqual(seen[0], 2 * METRICS_A_TURN)

    def test_order(self) -> None:
        """What comes later waits behind the flood."""
        end = 2 * METRICS_A_TURN
        self.emitter.emit(points(0, end))
        self.emitter.emit(points(end, end + 1))
        self.assertEqual(len(self.written()), METRICS_A_TURN)
        self.turns()
        self.assertEqual(self.written(), lines(0, end + 1))

    def test_flood_of_refused_ones(self) -> None:
        """Refusing takes time too: it is spread like the rest."""
        self.emitter.emit([BAD] * (10 * METRICS_A_TURN))
        self.assertEqual(self.counters.dropped, {"no_fields": METRICS_A_TURN})
        self.assertGreaterEqual(self.turns(), 9)
        self.assertEqual(self.counters.dropped, {"no_fields": 10 * METRICS_A_TURN})

    def test_flood_in_many_calls(self) -> None:
        """A turn is bounded however the flood is divided into calls."""
        self.emitter.emit(points(0, METRICS_A_TURN + 1))
        for _ in range(100):
            self.emitter.emit([BAD] * 400)
        self.clock.turn()
        self.assertLess(self.counters.dropped["no_fields"], METRICS_A_TURN)
        self.turns()
        self.assertEqual(self.counters.dropped, {"no_fields": 40_000})

    def test_exactly_one_turn(self) -> None:
        """A call that just fits leaves nothing behind but one look."""
        self.emitter.emit(points(0, METRICS_A_TURN))
        self.assertLessEqual(self.turns(), 1)
        self.assertEqual(self.written(), lines(0, METRICS_A_TURN))

    def test_flood_of_calls(self) -> None:
        """Calls without end behind a flood are dropped, with their metrics or as one if unknown."""
        self.emitter.emit(points(0, METRICS_A_TURN + 1))
        for _ in range(MAX_WAITING - 1):
            self.emitter.emit([point(0)])
        self.emitter.emit([point(0), point(1), point(2)])
        self.emitter.emit(points(0, 2))
        self.assertEqual(self.counters.dropped, {"flood": 4})
        self.turns()
        self.assertEqual(self.counters.metrics, METRICS_A_TURN + MAX_WAITING)

    def test_endless(self) -> None:
        """A generator without end takes its piece of each turn, without end, and no more."""
        self.emitter.emit(map(point, count()))
        for _ in range(10):
            self.clock.turn()
        self.assertEqual(len(self.written()), 11 * METRICS_A_TURN)
        self.clock.getDelayedCalls()[0].cancel()


class FlushTests(EmitterCase):
    """The end of an instance."""

    def limit(self) -> int:
        """Lower the bound of a flush, to save time."""
        self.assertGreater(METRICS_AT_ONCE, FLOOD)
        self.patch(emitter_module, "METRICS_AT_ONCE", 2000)
        return 2000

    def test_all_that_waits(self) -> None:
        """A flood that was accepted is written at once, in order, and no timer is left."""
        self.emitter.emit(points(0, FLOOD))
        self.emitter.emit(points(FLOOD, FLOOD + 1))
        self.emitter.flush()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.written(), lines(0, FLOOD + 1))

    def test_nothing_waits(self) -> None:
        """Nothing to do."""
        self.emitter.flush()
        self.assertEqual(self.batches, [])

    def test_endless(self) -> None:
        """A generator without end is cut, counted, and what waits behind it too."""
        limit = self.limit()
        self.emitter.emit(map(point, count()))
        self.emitter.emit([point(0), point(1)])
        self.emitter.flush()
        self.assertEqual(len(self.written()), METRICS_A_TURN + limit)
        self.assertEqual(self.counters.dropped, {"flood": 3})
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_raises(self) -> None:
        """A generator that raises is contained here too; the others are written."""

        def late() -> Iterator[Metric]:
            yield from points(0, METRICS_A_TURN)
            raise SystemExit(1)

        self.emitter.emit(late())
        self.emitter.emit(points(METRICS_A_TURN, METRICS_A_TURN + 1))
        self.emitter.flush()
        self.assertEqual(self.written(), lines(0, METRICS_A_TURN + 1))
        self.assertEqual(self.counters.errors, {"emit": 1})

    def test_from_within(self) -> None:
        """A flush while a generator is at work leaves the rest to a timer and harms nothing."""

        def generator() -> Iterator[Metric]:
            yield point(0)
            self.emitter.flush()
            yield point(1)

        self.emitter.emit(generator())
        self.turns()
        self.assertEqual((self.written(), self.counters.errors), (lines(0, 2), {}))

    def test_hostile_length(self) -> None:
        """Counting what is left asks the iterator, and survives its answer."""

        class Odd:
            def __iter__(self) -> Odd:
                return self

            def __next__(self) -> Metric:
                return point(0)

            __length_hint__ = raiser(SystemExit(1))

        self.limit()
        self.emitter.emit(Odd())
        self.emitter.flush()
        self.assertEqual(self.counters.dropped, {"flood": 1})
