"""The writer for a broker: one message in flight, nothing given up.

Theory of operation. Lines leave the sink's queue in whole batches once there is a connection and it
is time (`pace`); `Outgoing` has what of them is not known to be delivered. The first part is
published, with the same bytes each time, until the broker answers with 0x00; so a point
that was delivered and not acknowledged overwrites itself in the database. A part that is longer
than a message may be is cut between lines. Where a message is refused in a way that may be due to
its size, or the connection ends twice while it waits for the answer, the next ones are half as
long: a broker can have a limit of which it does not speak until then.

A single line that is refused so is searched with the next ones by a `Search`, as the lines of a
request over HTTP are: it is dropped only if it is refused alone and another one is delivered. Else
the limit is not one on size, and nothing is dropped.

A refusal that may be due to what a line says (`may_be_content`) has the whole message searched at
once, as HTTP does, and messages become shorter only if no bad line is found. Only single lines wait
in such a search, for the shortest delay, and only until one is delivered. A broker may answer so to
everything for a while: such a refusal is not `sure` for the `Search`.

`TOO_LARGE`, as of mosquitto with a `message_size_limit`, leaves no doubt. Then each step is taken
at once, nothing is reported but the lines that are dropped, and a line that waits alone for another
one is dropped after a while, as over HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred, succeed

from metrics_agent.backoff import Backoff
from metrics_agent.cause import Cause
from metrics_agent.output.lines import split_lines
from metrics_agent.output.mqtt.answers import (
    DELIVERED,
    TOO_LARGE,
    cause_of,
    may_be_content,
    may_be_lines,
)
from metrics_agent.output.outgoing import Outgoing
from metrics_agent.output.pace import LONGEST_WAIT_S
from metrics_agent.output.search import Search
from metrics_agent.output.writer import BatchSource

__all__ = ["FULL_BYTES", "MqttWriter", "Publishing"]

FULL_BYTES: Final = 32 * 1024
"""Some 300 lines: 20 such messages, which mosquitto sends Telegraf before one is acknowledged, fit
into the 10,000 metrics that Telegraf keeps by default. It acknowledges none that it had to drop."""

_CUTS: Final = 2
"""So many connections that end one after the other while the same message is in flight: that is
not the restart of a broker."""
_PAIR: Final = 2
"""A search that began with one line has another one with it: if both pass, size was no reason."""
_SEARCHED_LINES: Final = 4096
_SEARCHED_BYTES: Final = 8 * FULL_BYTES
"""A search that has failed gets more lines up to so many, or until it has so much."""
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
        self._topic = topic
        self._name = name
        self._source = source
        self._backoff = backoff
        self._out = Outgoing(
            clock, source, self._ready, self._send, self._go_on, FULL_BYTES, LONGEST_WAIT_S
        )
        self._search: Search | None = None
        self._in_flight = False
        self._doubtful = False
        self._lost_in_search = False
        self._is_behind = False
        self._refusal = DELIVERED
        self._cuts = 0
        self._publisher = connect(self)
        self._publisher.start()

    # What the sink calls: `Writer`.

    def wake(self) -> None:
        """Publish what waits, if it is time."""
        self._out.wake()

    def untaken(self) -> int:
        """Return how many bytes are not known to be delivered."""
        return self._out.untaken_bytes

    def close(self) -> Deferred[None]:
        """Stop, and disconnect."""
        if self._out.closed:
            return succeed(None)
        self._out.close()
        return self._publisher.close()

    # From the queue to a message.

    def _ready(self) -> bool:
        return self._publisher.ready and not self._in_flight and not self._out.closed

    def _send(self) -> None:
        """Publish the first part, if there is a connection."""
        self._out.retries.stop()
        if not self._ready():
            return
        longest = self._publisher.longest_payload(self._topic)
        payload = self._fit(longest) if self._search is None else self._searched(longest)
        if self._out.closed or not payload:
            if not self._out.closed and not self._out.parts:
                self._out.retries.start(0)  # all lines were too long, the queue is next
            return
        self._in_flight = self._publisher.publish(self._topic, payload)
        if not self._in_flight:
            self._out.retries.start(_FULL_S)

    def _fit(self, longest: int) -> bytes:
        """Return the first part, cut if it is longer than a message may be."""
        limit = min(self._out.limit_bytes, longest)
        while self._out.parts and not self._out.closed and len(self._out.parts[0]) > limit:
            parts = list(_grouped(split_lines(self._out.parts[0]), limit))
            self._out.parts.popleft()
            self._out.parts.extendleft(reversed(parts))
            if len(parts[0]) <= longest:
                break
            line = parts[0]
            reason = f"a line of {len(line)} bytes, the broker takes messages of up to {longest}"
            self._source.rejected(1, reason, line)
            self._out.first_is_done()  # which may close us
        return self._out.parts[0] if self._out.parts else b""

    # What the connection calls: `PublisherOwner`.

    def ready(self) -> None:
        """Publish what waits."""
        if self._search is not None and self._search.failed and self._out.retries.active:
            return  # a new connection does not make this urgent
        self._go_on()

    def _go_on(self) -> None:
        if self._out.parts:
            self._send()
        else:
            self._out.leave()

    def answered(self, code: int) -> None:
        """Go on with the next message, or try again later."""
        self._in_flight = False
        self._cuts = 0
        if code != DELIVERED:
            self._refuse(code)
            return
        self._out.proven = True
        self._backoff.reset()
        if self._search is None:
            self._out.first_is_done()  # which may close us
        else:
            self._search.accepted()
            self._look_at_search(self._search)
        self._recovered()
        if self._out.closed:
            return
        if self._search is None:
            self._go_on()
        else:
            self._step()

    def _recovered(self) -> None:
        if not self._out.parts:  # with the rest of a message that was refused it would fail again
            self._doubtful = False
            self._source.recovered()

    def unanswered(self) -> None:
        """Publish it again on the next connection."""
        self._in_flight = False
        self._cuts += 1
        self._doubtful, self._refusal = True, DELIVERED
        self._lost_in_search = self._search is not None
        if self._cuts >= _CUTS:
            self._shorten("the broker ends the connection when it gets it")

    def up(self) -> None:
        """Report that it works, unless only the answer to a message shows that."""
        if not self._doubtful:
            self._source.recovered()

    def down(self, cause: Cause) -> None:
        """Report that it does not, unless that is why a line is searched."""
        if not self._lost_in_search:
            self._source.trouble(f"{self._name}: {cause.text}", cause.kind)
        self._lost_in_search = False

    # Failures.

    def _refuse(self, code: int) -> None:
        cause = cause_of(code, self._topic)
        self._refusal = code
        if code != TOO_LARGE:
            self._doubtful = True
            if self._search is None or not may_be_lines(code):
                self._source.trouble(f"{self._name}: {cause.text}", cause.kind)
        if not may_be_lines(code):
            backoff, slow = self._backoff, cause.needs_user_action
            self._out.retry_in(backoff.longest_delay_s() if slow else backoff.next_delay_s())
            return
        self._shorten(cause.text)
        if not self._out.closed and not self._out.retries.active:
            self._step()

    def _step(self) -> None:
        """Publish what is next in a search, or after one.

        Single lines wait until one is accepted: the broker may take nothing for a while. After a
        quota all wait but for those of a check, which has to be quick.
        """
        search, refusal = self._search, self._refusal
        is_quick = refusal == TOO_LARGE or (search is not None and search.checking)
        is_probe = search is not None and not search.anchored and search.request().count(b"\n") == 1
        if is_quick or (may_be_content(refusal) and not is_probe):
            self._go_on()
        elif may_be_content(refusal):
            self._out.retry_in(self._backoff.first_delay_s())
        else:
            self._out.retry_in(self._backoff.next_delay_s())

    def _shorten(self, reason: str) -> None:
        """Make messages half as long as the first part, for a while; search where that is a line.

        Args:
            reason: why a message may have been too long.
        """
        if self._search is not None:
            self._cuts = 0
            self._search.refused(reason, sure=self._refusal == TOO_LARGE)
            self._look_at_search(self._search)
            return
        if not may_be_content(self._refusal) and len(split_lines(self._out.parts[0])) > 1:
            self._out.shorten()
            return
        self._cuts = 0
        self._grow(1)
        self._search = Search(split_lines(self._out.parts[0]), FULL_BYTES)

    def _searched(self, longest: int) -> bytes:
        """Return what the search asks for, or what follows; no bytes if it has failed again."""
        search = self._search
        assert search is not None
        if search.failed:
            more = self._grow()
            is_more_at_hand = len(self._out.parts) > 1 or self._source.queued_bytes > FULL_BYTES
            self._is_behind = bool(more) and is_more_at_hand
            search.again(split_lines(more))
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
            self._drop_rejected(search)
            self._recovered()
        elif search.failed and self._is_one_long_line(search):
            if not self._out.wait_for_others():
                self._drop_rejected(search)
        elif search.failed:
            _line, reason = search.rejected[-1]
            text = f"the broker takes no line, not even a single one ({reason}), check its limits"
            self._doubtful = True
            self._source.trouble(f"{self._name}: {text}", "no_acceptable_line")
            too_large = self._refusal == TOO_LARGE
            if too_large or may_be_content(self._refusal):
                # Where more wait than are searched at once, a good line may be among them.
                at_once = too_large and self._is_behind
                delay_s = 0.0 if at_once else self._backoff.next_delay_s()
                wants_lines = not search.grew and self._has_room()
                self._out.retry_in(delay_s, wants_lines=wants_lines)
            else:
                self._out.retry_in(self._backoff.longest_delay_s())

    def _is_one_long_line(self, search: Search) -> bool:
        is_too_large = self._refusal == TOO_LARGE
        return is_too_large and len(search) == 1 and self._out.may_be_one_bad_line()

    def _drop_rejected(self, search: Search) -> None:
        for line, reason in search.rejected:
            self._source.rejected(1, reason, line)
        if may_be_content(self._refusal) and not search.rejected and len(search) > _PAIR:
            self._out.shorten()  # it was the size
        self._search = None
        self._out.first_is_done()  # which may close us

    def _has_room(self) -> bool:
        """Return whether the next lines may be searched with the first part."""
        first = self._out.parts[0]
        lines = first.count(b"\n")
        return lines == 1 or (len(first) < _SEARCHED_BYTES and lines < _SEARCHED_LINES)

    def _grow(self, count: int | None = None) -> bytes:
        """Add the next lines, or so many of them, to the first part; return them."""
        if len(self._out.parts) == 1:
            self._out.take(FULL_BYTES)
        if len(self._out.parts) == 1 or not self._has_room():
            return b""
        lines = split_lines(self._out.parts[1])[:count]
        return self._out.join(sum(map(len, lines)))


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
