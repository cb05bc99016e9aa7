"""The writer for a broker: one message in flight, nothing given up.

Theory of operation. Lines leave the sink's queue in whole batches once there is a connection and it
is time (`pace`), and are then in `_parts`: what of them is not known to be delivered. The first
part is published, with the same bytes each time, until the broker answers with 0x00; so a point
that was delivered and not acknowledged overwrites itself in the database. A part that is longer
than a message may be is cut between lines. Where a message is refused in a way that may be due to
its size, or the connection ends twice while it waits for the answer, the next ones are half as
long: a broker can have a limit of which it does not speak (mosquitto's `message_size_limit`).

A single line that is refused so is searched with the next ones by a `Search`, as the lines of a
request over HTTP are: it is dropped only if it is refused alone and another one is delivered. Else
the limit is not one on size, and nothing is dropped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred, succeed

from metrics_agent.backoff import Backoff
from metrics_agent.cause import Cause
from metrics_agent.output.lines import split_lines
from metrics_agent.output.mqtt.answers import DELIVERED, cause_of, may_be_size
from metrics_agent.output.pace import LONGEST_WAIT_S, wait_s
from metrics_agent.output.search import PROBES, Search
from metrics_agent.output.writer import BatchSource
from metrics_agent.timer import Timer

__all__ = ["FULL_BYTES", "RETRY_MAX_S", "RETRY_MIN_S", "SMALL_S", "MqttWriter", "Publishing"]

FULL_BYTES: Final = 32 * 1024
"""Some 300 lines: 20 such messages, which mosquitto sends Telegraf before one is acknowledged, fit
into the 10,000 metrics that Telegraf keeps by default. It acknowledges none that it had to drop."""

RETRY_MIN_S: Final = 0.5
RETRY_MAX_S: Final = 30.0

SMALL_S: Final = 600.0
"""For how long messages stay smaller after one seemed to be too large."""

_CUTS: Final = 2
"""So many connections that end one after the other while the same message is in flight: that is
not the restart of a broker."""
_DRAIN_RETRY_S: Final = 0.5
"""The longest wait before the next try during a stop."""
_SEARCHED_LINES: Final = 256
"""A search that has failed gets more lines up to so many."""
_FULL_S: Final = 0.05
"""When to look again whether the connection takes a message."""


class Publishing(Protocol):
    """A connection to a broker, see `transports.mqtt.publisher.Publisher`."""

    @property
    def ready(self) -> bool:
        """Whether a message may be published now."""
        ...

    def start(self) -> None:
        """Begin to connect."""
        ...

    def publish(self, topic: str, payload: bytes) -> bool:
        """Send a message at QoS 1."""
        ...

    def longest_payload(self, topic: str) -> int:
        """Return how many bytes a message may have."""
        ...

    def close(self) -> Deferred[None]:
        """Disconnect."""
        ...


class MqttWriter:
    """Publishes what the source has, until it is closed.

    Args:
        clock: provides seconds and callLater.
        connect: makes the connection, which reports to the writer.
        topic: to publish to.
        name: of the output, for messages; without secrets.
        source: where the lines come from.
        backoff: the delays after a refusal.
    """

    def __init__(
        self,
        clock: Any,
        connect: Callable[[MqttWriter], Publishing],
        topic: str,
        name: str,
        source: BatchSource,
        backoff: Backoff,
    ) -> None:
        self._clock = clock
        self._topic = topic
        self._name = name
        self._source = source
        self._backoff = backoff
        self._limit_bytes = FULL_BYTES
        self._small_until_s = 0.0
        self._parts: deque[bytes] = deque()
        self._untaken = 0
        self._search: Search | None = None
        self._in_flight = False
        self._refused = False
        self._known = False
        self._cuts = 0
        self._leaves = Timer(clock, self._leave)
        self._retries = Timer(clock, self._go_on)
        self._first_s: float | None = None
        self._last_s = 0.0
        self._hurried = False
        self._closed = False
        self._publisher = connect(self)
        self._publisher.start()

    # What the sink calls: `Writer`.

    def wake(self) -> None:
        """Publish what waits, if it is time."""
        if self._source.queued_bytes:
            self._last_s = self._clock.seconds()
            if self._first_s is None:
                self._first_s = self._last_s
        if self._closed or self._in_flight:
            return
        if not self._parts:
            self._leave()
        elif self._source.draining and not self._hurried:
            self._hurried = True
            self._send()

    def untaken(self) -> int:
        """Return how many bytes are not known to be delivered."""
        return self._untaken

    def close(self) -> Deferred[None]:
        """Stop, and disconnect."""
        if self._closed:
            return succeed(None)
        self._closed = True
        self._leaves.stop()
        self._retries.stop()
        return self._publisher.close()

    # From the queue to a message.

    def _leave(self) -> None:
        """Take lines and publish them, now or later."""
        source = self._source
        if self._closed or not source.queued_bytes or not self._publisher.ready:
            return
        now_s = self._clock.seconds()
        if now_s >= self._small_until_s:
            self._limit_bytes = FULL_BYTES
        first_s = now_s if self._first_s is None else self._first_s
        delay_s = wait_s(
            source.queued_bytes,
            self._limit_bytes,
            urgent=source.urgent,
            first_s=now_s - first_s,
            last_s=now_s - self._last_s,
            quiet_s=LONGEST_WAIT_S,
        )
        if delay_s > 0:
            if not self._leaves.active:
                self._leaves.start(delay_s)
            return
        self._leaves.stop()
        self._take()
        if self._parts:
            self._send()

    def _take(self) -> None:
        """Take whole batches from the queue as the last part; nothing while that is held."""
        data = self._source.peek_batches(self._limit_bytes)
        if data:
            self._parts.append(data)
            self._untaken += len(data)
            self._source.advance(len(data))
            self._first_s = self._last_s if self._source.queued_bytes else None

    def _send(self) -> None:
        """Publish the first part, if there is a connection."""
        self._retries.stop()
        if self._closed or self._in_flight or not self._publisher.ready:
            return
        longest = self._publisher.longest_payload(self._topic)
        payload = self._fit(longest) if self._search is None else self._searched(longest)
        if self._closed or not payload:
            self._go_on_without_parts()
            return
        self._in_flight = self._publisher.publish(self._topic, payload)
        if not self._in_flight:
            self._retries.start(_FULL_S)

    def _go_on_without_parts(self) -> None:
        if not self._closed and not self._parts:  # all lines were too long, the queue is next
            self._retries.start(0)

    def _fit(self, longest: int) -> bytes:
        """Return the first part, cut if it is longer than a message may be."""
        limit = min(self._limit_bytes, longest)
        while self._parts and not self._closed and len(self._parts[0]) > limit:
            parts = list(_grouped(split_lines(self._parts[0]), limit))
            self._parts.popleft()
            self._parts.extendleft(reversed(parts))
            if len(parts[0]) <= longest:
                break
            line = parts[0]
            reason = f"a line of {len(line)} bytes, the broker takes messages of up to {longest}"
            self._source.rejected(1, reason, line)
            self._part_is_done()
        return self._parts[0] if self._parts else b""

    def _part_is_done(self) -> None:
        self._untaken -= len(self._parts.popleft())
        self._source.taken()  # which may close us

    # What the connection calls: `PublisherOwner`.

    def ready(self) -> None:
        """Publish what waits."""
        if self._search is not None and self._search.failed and self._retries.active:
            return  # a new connection is no reason to hurry
        self._go_on()

    def _go_on(self) -> None:
        if self._parts:
            self._send()
        else:
            self._leave()

    def answered(self, code: int) -> None:
        """Go on with the next message, or try again later."""
        self._in_flight = False
        self._cuts = 0
        if code != DELIVERED:
            self._refuse(code)
            return
        self._refused = False
        self._backoff.reset()
        self._source.recovered()
        if self._search is None:
            self._part_is_done()
        else:
            self._search.accepted()
            self._look_at_search(self._search)
        if self._closed:
            return
        if self._search is None:
            self.ready()
        else:
            # Slowly: a quota on messages for each second must not look like one bad line.
            self._retry_in(self._backoff.next_delay_s())

    def unanswered(self) -> None:
        """Publish it again on the next connection."""
        self._in_flight = False
        self._cuts += 1
        self._known = self._refused and self._search is not None
        if self._cuts >= _CUTS:
            self._shorten("the broker ends the connection when it gets it")

    def up(self) -> None:
        """Report that it works, as far as is known."""
        if not self._refused:
            self._source.recovered()

    def down(self, cause: Cause) -> None:
        """Report that it does not, unless that is why a line is searched."""
        if not self._known:
            self._source.trouble(f"{self._name}: {cause.text}", cause.kind)
        self._known = False

    # Failures.

    def _refuse(self, code: int) -> None:
        self._refused = True
        cause = cause_of(code, self._topic)
        if self._search is None or not may_be_size(code):
            self._source.trouble(f"{self._name}: {cause.text}", cause.kind)
        if may_be_size(code):
            self._shorten(cause.text)
        if not self._closed and not self._retries.active:
            backoff, slow = self._backoff, cause.needs_user_action
            self._retry_in(backoff.longest_delay_s() if slow else backoff.next_delay_s())

    def _retry_in(self, delay_s: float) -> None:
        self._retries.start(min(delay_s, _DRAIN_RETRY_S) if self._source.draining else delay_s)

    def _shorten(self, reason: str) -> None:
        """Make messages half as long as the first part, for a while; search where that is a line.

        Args:
            reason: why a message may have been too long.
        """
        if self._search is not None:
            self._cuts = 0
            self._search.refused(reason)
            self._look_at_search(self._search)
            return
        first = self._parts[0]
        if len(split_lines(first)) > 1:
            self._limit_bytes = max(1, len(first) // 2)
            self._small_until_s = self._clock.seconds() + SMALL_S
            return
        self._cuts = 0
        self._grow(1)
        self._search = Search(split_lines(self._parts[0]))

    def _searched(self, longest: int) -> bytes:
        """Return what the search asks for, or what follows; no bytes if it has failed again."""
        search = self._search
        assert search is not None
        if search.failed:
            search.again(split_lines(self._grow(PROBES)))
        while not search.found and not search.failed:
            payload = search.request()
            if len(payload) <= longest:
                return payload
            search.refused(f"{len(payload)} bytes, the broker takes messages of up to {longest}")
        self._look_at_search(search)
        return b"" if self._search is not None else self._fit(longest)

    def _look_at_search(self, search: Search) -> None:
        """Drop what is found, or wait if no line is accepted."""
        if search.found:
            for line, reason in search.rejected:
                self._source.rejected(1, reason, line)
            self._search = None
            self._part_is_done()
        elif search.failed:
            _line, reason = search.rejected[-1]
            text = f"the broker takes no line, not even a single one ({reason}), check its limits"
            self._refused = True
            self._source.trouble(f"{self._name}: {text}", "no_acceptable_line")
            self._retry_in(self._backoff.longest_delay_s())

    def _grow(self, count: int) -> bytes:
        """Add the next lines to the first part, to be searched with it; return them."""
        first = self._parts[0]
        if len(self._parts) == 1:
            self._take()
        if len(self._parts) == 1 or first.count(b"\n") >= _SEARCHED_LINES:
            return b""
        more = next(_grouped(split_lines(self._parts[1])[:count], FULL_BYTES))
        rest = self._parts[1][len(more) :]
        self._parts[0] = first + more
        if rest:
            self._parts[1] = rest
        else:
            del self._parts[1]
        return more


def _grouped(lines: list[bytes], limit: int) -> Iterator[bytes]:
    """Yield lines joined, as many as fit, or one."""
    group: list[bytes] = []
    size = 0
    for line in lines:
        if group and size + len(line) > limit:
            yield b"".join(group)
            group, size = [], 0
        group.append(line)
        size += len(line)
    if group:
        yield b"".join(group)
