"""The search for the bad lines of a request that was rejected as a whole. Pure.

Theory of operation. Some databases store nothing of a request with one bad line, and say the same
of a request to a wrong path. So a line is dropped only if it was rejected when sent alone, after
another line of the same search was accepted: then the address is right.

The search begins with lines of which it is known that together they are rejected. First single
lines, spread over all of them, are sent until one is accepted; if none of `PROBES` is, the search
has failed, and begins again later, with the lines that have come meanwhile: all together, or, if
that would be too long, those that are new. Once a line was accepted, the stretches between those
that were tried are sent, and each that is rejected is halved; those that were tried are sent once
more, alone. An accepted line is sent again only in a check, see below. For each bad line this costs
some ``2 log2(n)`` requests, and without checks never more than ``3 n`` in all. A fault in between
may change what the address is: then a line of the rest has to be accepted again.

Some answers may also mean that the server takes nothing for a while. A line that gets one that is
not `sure` is checked without a pause: a line that was accepted is sent again, then this one, then
the accepted one. The line is bad only if it alone is rejected. A server that takes nothing for as
long as two requests take rejects the accepted line as well; then a line of the rest has to be
accepted before the next check. A point that is stored twice overwrites itself. Where no line is
accepted such a search sends fewer requests each time that it begins again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

__all__ = ["PROBES", "Search"]

PROBES: Final = 16
"""Single lines that are tried before the search fails."""

_LATER_PROBES: Final = PROBES // 4
"""After answers that are not sure so many are tried when it begins again."""
_CHECK_STEPS: Final = 4
"""The line is rejected, an accepted one is accepted, and both again."""

_GOLDEN: Final = 0.618034
"""Each round tries other lines than those before: its multiples spread over all."""


class Search:
    """Says what to send next, and takes whether it was accepted.

    Args:
        lines: rejected together; one at least.
        most_bytes: a request has no more, unless one line is longer.

    Attributes:
        anchored: a line was accepted, so the rest is halved.
        rejected: the bad lines with the reasons, once `found`; before that also suspected ones.
    """

    def __init__(self, lines: Sequence[bytes], most_bytes: float = math.inf) -> None:
        self._lines = list(lines)
        self._most_bytes = most_bytes
        self._round = 0
        self.anchored = False
        self._doubted = False
        self._sure = True
        self._check_step = 0
        self._accepted_line = b""
        self._stretches: list[range] = []
        self._probes: list[int] = []
        self._tried: list[int] = []
        self._reason = ""
        self._together = range(0)
        self._bad: list[tuple[bytes, str]] = []
        self.rejected: list[tuple[bytes, str]] = []
        self._new = len(lines)
        self._begin_round()

    def __len__(self) -> int:
        """Return the number of lines that are searched."""
        return len(self._lines)

    @property
    def grew(self) -> bool:
        """Whether lines had come when it last began."""
        return self._new > 0

    @property
    def found(self) -> bool:
        """Whether all is known: every line that is not in `rejected` is stored."""
        return self.anchored and not self._stretches

    @property
    def failed(self) -> bool:
        """Whether no line was accepted; call `again` later."""
        return not self.anchored and not self._probes and not self._together

    @property
    def checking(self) -> bool:
        """Whether a line is being checked: then the next request must not wait."""
        return self._check_step > 0

    def request(self) -> bytes:
        """Return what to send; only while neither `found` nor `failed`."""
        if self._check_step % 2:
            return self._accepted_line
        if not self.anchored and not self._together:
            return self._lines[self._probes[0]]
        some = self._together or self._stretches[0]
        return b"".join(self._lines[some.start : some.stop])

    def accepted(self) -> None:
        """Take that the request was accepted."""
        if self._check_step % 2:
            self._check_step += 1
            if self._check_step == _CHECK_STEPS:
                self._drop()
            return
        request = self.request()
        self._accepted_line = request[request.rfind(b"\n", 0, -1) + 1 :]
        self._doubted, self._check_step = False, 0
        if self._together:
            self.anchored = True
            self._stretches = list(self._pieces(0, self._together.start))
            self._together = range(0)
            self.rejected = list(self._bad)
        elif self.anchored:
            del self._stretches[0]
        else:
            self.anchored = True
            tried = sorted([*self._tried, self._probes[0]])
            ends = zip([-1, *tried], [*tried, len(self._lines)], strict=True)
            self._stretches = [each for a, b in ends for each in self._pieces(a + 1, b)]
            # These were rejected when nothing was accepted yet, and may not be bad.
            self._stretches += [range(each, each + 1) for each in self._tried]
            self.rejected = list(self._bad)

    def refused(self, reason: str, *, sure: bool = True) -> None:
        """Take that the request was rejected.

        Args:
            reason: what the server says.
            sure: it cannot mean that the server takes nothing for a while.
        """
        self._sure, self._reason = sure, reason
        if self._together:
            self._together = range(0)
            self._begin_round()
        elif not self.anchored:
            index = self._probes.pop(0)
            self._tried.append(index)
            self.rejected.append((self._lines[index], reason))
        elif self._doubted or self._check_step % 2:
            # The lines, or the address? What is not known yet is searched again.
            self.anchored = self._doubted = False
            self._check_step = 0
            self._bad = self.rejected
            self._lines = [self._lines[at] for stretch in self._stretches for at in stretch]
            self._new = len(self._lines)
            self._stretches = []
            self._begin_round()
        elif len(self._stretches[0]) > 1:
            stretch = self._stretches.pop(0)
            middle = len(stretch) // 2
            self._stretches[:0] = [stretch[:middle], stretch[middle:]]
        elif sure:
            self._drop()
        else:
            self._check_step += 1

    def _drop(self) -> None:
        self._check_step = 0
        self.rejected.append((self._lines[self._stretches.pop(0).start], self._reason))

    def again(self, more: Sequence[bytes] = ()) -> None:
        """Begin again after it `failed`: with all or all that is new, then with other lines alone.

        Args:
            more: lines that have come meanwhile.
        """
        self._lines += more
        self._new = len(more)
        self._round += 1
        count = len(self._lines)
        fits = sum(map(len, self._lines)) <= self._most_bytes
        self._together = range(0 if fits else count - self._new, count)
        if not self._together:
            self._begin_round()

    def doubt(self) -> None:
        """Take that a request failed: a line has to be accepted again before another one is bad."""
        self._doubted = self.anchored

    def _begin_round(self) -> None:
        count, new = len(self._lines), self._new
        most = PROBES if self._sure or not self._round else _LATER_PROBES
        # First some of what has come meanwhile, which would be few among thousands of bad lines.
        some = most // 2 if 0 < new < count else 0
        probes = [*self._spread(range(count - new, count), some)]
        probes += self._spread(range(count), most - some)
        self._probes = list(dict.fromkeys(probes))
        self._tried = []
        self.rejected = list(self._bad)

    def _pieces(self, start: int, stop: int) -> Iterator[range]:
        size = 0
        for at in range(start, stop):
            size += len(self._lines[at])
            if size > self._most_bytes and at > start:
                yield range(start, at)
                start, size = at, len(self._lines[at])
        if start < stop:
            yield range(start, stop)

    def _spread(self, lines: range, most: int) -> Iterator[int]:
        """Yield so many at most, the last one first, in each round others."""
        count = min(most, len(lines))
        shift = self._round * _GOLDEN % 1.0
        return (lines[int((each + shift) * len(lines) / count)] for each in reversed(range(count)))
