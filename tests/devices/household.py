"""A month of many devices, simulated: when each sends something, and what a book makes of it.

The devices have nothing to do with how the book learns: timers with jitter and drift, motion
detectors with nights, switches that people use, readings at random.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from heapq import merge
from random import Random
from typing import Final

from attrs import Factory, define

from metrics_agent.devices import stored
from metrics_agent.devices.book import DeviceBook, News, Together
from metrics_agent.line_protocol import Encoder
from metrics_agent.metric import Metric, Series

__all__ = ["DAY_S", "LOST", "Household", "Plan", "make_plans", "periodic"]

DAY_S: Final = 24 * 3600.0
LOST: Final = 0.005
SWEEP_S: Final = 30.0
START_NS: Final = 1_700_000_000 * 10**9

Sends = Callable[[Random], Iterator[float]]
"""When a device sends, in seconds from the start, without end."""


def periodic(interval_s: float, jitter: float = 0.02) -> Sends:
    """Send at an interval."""

    def sends(random: Random) -> Iterator[float]:
        time_s = random.random() * interval_s
        while True:
            time_s += interval_s
            yield time_s + random.uniform(-jitter, jitter) * interval_s

    return sends


def with_events(interval_s: float, mean_s: float) -> Sends:
    """Send at an interval, and in the evening at random as well."""

    def sends(random: Random) -> Iterator[float]:
        time_s, due_s = 0.0, interval_s
        while True:
            evening = 17 < time_s % DAY_S / 3600 < 23
            event_s = time_s + random.expovariate(1 / (mean_s if evening else 3600))
            time_s = min(event_s, due_s)
            if time_s == due_s:
                due_s += interval_s
            yield time_s

    return sends


def at_random(mean_s: float) -> Sends:
    """Send whenever something happens."""

    def sends(random: Random) -> Iterator[float]:
        time_s = 0.0
        while True:
            time_s += random.expovariate(1 / mean_s)
            yield time_s

    return sends


def heavy_tailed(median_s: float, sigma: float) -> Sends:
    """Send in bursts with long pauses between them."""

    def sends(random: Random) -> Iterator[float]:
        time_s = 0.0
        while True:
            time_s += median_s * math.exp(random.gauss(0, sigma))
            yield time_s

    return sends


def motion(block_s: float) -> Sends:
    """Send when there is movement, not again for a while, and not at night."""

    def sends(random: Random) -> Iterator[float]:
        time_s = random.random() * DAY_S
        while True:
            if not 7 + random.gauss(0, 0.3) < time_s % DAY_S / 3600 < 22.5 + random.gauss(0, 0.5):
                time_s += 600
                continue
            time_s += block_s + random.expovariate(1 / random.choice((5, 60, 600)))
            if random.random() < 0.02:
                time_s += random.uniform(1, 9) * 3600
            yield time_s

    return sends


def by_hand(*hours: float) -> Sends:
    """Send when people use it, at their usual hours, on the weekend less often."""

    def sends(random: Random) -> Iterator[float]:
        day = 0
        while True:
            if day % 7 < 5 or random.random() < 0.5:
                yield from sorted(day * DAY_S + random.gauss(hour, 0.5) * 3600 for hour in hours)
            day += 1

    return sends


EVENTS: Final[tuple[Sends, ...]] = (
    *(at_random(60), at_random(600), at_random(3600), at_random(8 * 3600)),
    *(heavy_tailed(1800, 1), heavy_tailed(3600, 0.5), heavy_tailed(600, 2)),
    *(motion(90), motion(5), by_hand(7, 18, 22), by_hand(7, 8, 12, 18, 22)),
)


@define
class Plan:
    """One device.

    Attributes:
        name: the tag.
        sends: when.
        interval_s: 0 if it has none.
        ends_s: it sends nothing from then on.
        due_s: when an interval has passed since its last message.
        reported_s: when it was reported.
    """

    name: str
    sends: Sends
    interval_s: float
    ends_s: float = math.inf
    due_s: float = math.inf
    reported_s: float = math.inf

    def messages(self, random: Random, until_s: float) -> Iterator[tuple[float, str]]:
        """Yield what comes of it."""
        for time_s in self.sends(random):
            if time_s >= min(self.ends_s, until_s):
                return
            self.due_s = time_s + self.interval_s
            if time_s > 0 and random.random() >= LOST:
                yield time_s, self.name


def make_plans(count: int, random: Random) -> list[Plan]:
    """Make devices: a tenth sleeps for 25 h, a fifth sends on events, the others every 5 min."""
    plans = []
    for number in range(count):
        name = f"device{number}"
        kind = number % 10
        if kind == 0:
            plans.append(Plan(name, periodic(25 * 3600.0, 0.03), 25 * 3600.0))
        elif kind < 3:
            plans.append(Plan(name, EVENTS[random.randrange(len(EVENTS))], 0.0))
        elif kind == 3:
            plans.append(Plan(name, with_events(300.0, 20.0), 300.0))
        else:
            plans.append(Plan(name, periodic(300.0), 300.0))
    return plans


@define
class Household:
    """Devices and the book that hears them.

    Attributes:
        plans: the devices.
        random: where chance comes from.
        book: theirs.
        deaf: spans of time in which nothing is heard.
        restarts: when the agent is started again with what it has stored.
        false_alarms: devices that were reported though they send.
        alone: how many were reported one by one.
        together: what was reported of many.
    """

    plans: list[Plan]
    random: Random
    book: DeviceBook = Factory(DeviceBook)
    deaf: tuple[tuple[float, float], ...] = ()
    restarts: tuple[float, ...] = ()
    false_alarms: list[str] = Factory(list)
    alone: int = 0
    together: list[Together] = Factory(list)

    def run(self, until_s: float) -> None:
        """Let the time pass."""
        plans = {plan.name: plan for plan in self.plans}
        metrics = self._metrics()
        streams = [plan.messages(Random(self.random.random()), until_s) for plan in self.plans]
        restarts = list(self.restarts)
        messages = merge(*streams)
        time_s, name = next(messages, (math.inf, ""))
        now_s = 0.0
        while now_s < until_s:
            now_s += SWEEP_S
            hears = not any(begin_s <= now_s < end_s for begin_s, end_s in self.deaf)
            while time_s <= now_s:
                if hears:
                    self.book.note(metrics[name], b"", START_NS + int(time_s * 1e9))
                time_s, name = next(messages, (math.inf, ""))
            if restarts and now_s >= restarts[0]:
                del restarts[0]
                self._restart(now_s)
                metrics = self._metrics()
            self._take(
                self.book.sweep(now_s, START_NS + int(now_s * 1e9), hears=hears), plans, now_s
            )

    def _take(self, news: News, plans: dict[str, Plan], now_s: float) -> None:
        self.alone += len(news.alone)
        if news.together is not None:
            self.together.append(news.together)
        for device, _silent_s in news.stale:
            plan = plans[device.name]
            if now_s < plan.ends_s:
                self.false_alarms.append(plan.name)
            else:
                plan.reported_s = min(plan.reported_s, now_s)

    def _restart(self, now_s: float) -> None:
        now_ns = START_NS + int(now_s * 1e9)
        document = json.loads(stored.whole(stored.rows(self.book, now_s, now_ns)))
        self.book = DeviceBook()
        list(stored.restore(self.book, document, now_s, now_ns))

    def _metrics(self) -> dict[str, Metric]:
        encoder = Encoder()
        made = {}
        for plan in self.plans:
            metric = Metric(Series("climate", {"device": plan.name}), {"temperature": 1.0}, 1)
            encoder.encode(metric)
            made[plan.name] = metric
        return made
