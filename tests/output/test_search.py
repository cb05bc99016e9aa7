"""The search for bad lines, held against a server that rejects any request with one of them."""

from __future__ import annotations

from typing import Final

from hypothesis import example, given
from hypothesis.strategies import booleans, integers, lists, tuples
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.output.search import PROBES, Search

MOST_BYTES: Final = 1 << 20


class Server:
    """Rejects a request that has a bad line, or all of them; stores the others."""

    def __init__(self, bad: set[bytes], *, wrong_path: bool = False) -> None:
        self.bad = bad
        self.wrong_path = wrong_path
        self.stored: list[bytes] = []
        self.requests = 0
        self.longest_bytes = 0

    def accepts(self, body: bytes) -> bool:
        self.requests += 1
        self.longest_bytes = max(self.longest_bytes, len(body))
        lines = body.splitlines(keepends=True)
        if self.wrong_path or self.bad.intersection(lines):
            return False
        self.stored += lines
        return True

    def run(self, search: Search) -> None:
        """Answer until the search has an end."""
        while not search.found and not search.failed:
            if self.accepts(search.request()):
                search.accepted()
            else:
                search.refused("bad")


def numbered(count: int) -> list[bytes]:
    """Return so many lines."""
    return [b"line %d\n" % number for number in range(count)]


class SearchTests(SynchronousTestCase):
    """Which lines are dropped, and at what cost."""

    @given(lists(booleans(), min_size=1, max_size=200))
    @example([True])
    @example([True] * 40)
    @example([False] + [True] * (PROBES - 1))
    def test_any_lines_may_be_bad(self, bad: list[bool]) -> None:
        """Good lines are stored once, bad ones are dropped; without a good one nothing is."""
        for most_bytes in (1, 60, MOST_BYTES):
            self.search_all(bad, most_bytes)

    def search_all(self, bad: list[bool], most_bytes: int) -> None:
        """Search lines in requests that have so many bytes at most."""
        lines = numbered(len(bad))
        server = Server({line for line, is_bad in zip(lines, bad, strict=True) if is_bad})
        good = [line for line in lines if line not in server.bad]
        search = Search(lines, most_bytes)
        server.run(search)
        rounds = 1
        while search.failed and good and rounds < 400:
            search.again()
            server.run(search)
            rounds += 1
        if not good:
            self.assertTrue(search.failed)
            self.assertEqual(server.stored, [])
            return
        self.assertTrue(search.found, "a good line is found in some round")
        self.assertEqual(sorted(server.stored), sorted(good), "each once")
        self.assertEqual({line for line, _ in search.rejected}, server.bad)
        self.assertEqual(len(search.rejected), len(server.bad))
        self.assertLessEqual(server.requests, rounds * (PROBES + 1) + 2 * len(lines))
        if len(lines) > 1:
            self.assertLessEqual(server.longest_bytes, max(most_bytes, len(max(lines, key=len))))

    @given(lists(booleans(), min_size=1, max_size=60), integers(0, 120), integers(0, 80))
    @example([True, True, False], 0, 0)
    @example([True] * 40 + [False] * 3, 0, 0)
    def test_server_that_rejects_all_for_a_while(
        self, bad: list[bool], start: int, length: int
    ) -> None:
        """Where answers are not sure each good line is stored, whenever all are rejected."""
        lines = numbered(len(bad))
        bad_lines = {line for line, is_bad in zip(lines, bad, strict=True) if is_bad}
        if not bad_lines:
            start = 0  # or they would not have been rejected together
        server = Server(bad_lines)
        search = Search(lines, MOST_BYTES)
        more: list[bytes] = []
        for _ in range(5000):
            if search.found:
                break
            if search.failed:
                more.append(b"more %d\n" % len(more))
                search.again(more[-1:])
            server.wrong_path = start <= server.requests < start + length
            if server.accepts(search.request()):
                search.accepted()
            else:
                search.refused("bad", sure=False)
        self.assertTrue(search.found)
        self.assertEqual(set(server.stored), {*lines, *more} - bad_lines)
        self.assertEqual(sorted(line for line, _ in search.rejected), sorted(bad_lines))

    @given(
        lists(booleans(), min_size=1, max_size=40),
        lists(tuples(integers(2, 40), integers(1, 40)), min_size=1, max_size=6),
    )
    @example([True] + [False] * 39, [(12, 3)])
    @example([True] + [False] * 39, [(2, 1)])
    def test_server_that_rejects_all_again_and_again(
        self, bad: list[bool], phases: list[tuple[int, int]]
    ) -> None:
        """Where answers are not sure no good line is dropped, however often all are rejected."""
        lines = numbered(len(bad))
        server = Server({line for line, is_bad in zip(lines, bad, strict=True) if is_bad})
        outages = [is_out for out, up in phases for is_out in [True] * out + [False] * up]
        search = Search(lines, MOST_BYTES)
        for _ in range(1000):
            if search.found:
                break
            if search.failed:
                search.again()
            server.wrong_path = outages[server.requests % len(outages)]
            if server.accepts(search.request()):
                search.accepted()
            else:
                search.refused("bad", sure=False)
        if search.found:
            self.assertEqual({*server.stored}, {*lines} - server.bad)
            self.assertEqual(sorted(line for line, _ in search.rejected), sorted(server.bad))

    @given(integers(2, 5000), integers(0))
    def test_one_bad_line_is_cheap(self, count: int, where: int) -> None:
        """One bad line of 5,000 costs no more than some two requests for each halving."""
        lines = numbered(count)
        server = Server({lines[where % count]})
        search = Search(lines, MOST_BYTES)
        server.run(search)
        self.assertEqual([line for line, _ in search.rejected], [lines[where % count]])
        self.assertEqual(len(server.stored), count - 1)
        self.assertLessEqual(server.requests, 2 * count.bit_length() + 4)

    def test_wrong_path(self) -> None:
        """Where all is rejected nothing is dropped, after a few requests."""
        server = Server(set(), wrong_path=True)
        search = Search(numbered(5000), MOST_BYTES)
        server.run(search)
        self.assertTrue(search.failed)
        self.assertEqual(server.requests, PROBES)
        search.again()
        server.run(search)
        self.assertEqual(server.requests, 2 * PROBES + 1)
        server.wrong_path = False
        search.again()
        server.run(search)
        self.assertEqual((search.found, search.rejected), (True, []))
        self.assertEqual(server.requests, 2 * PROBES + 2, "all of it at once")

    def test_path_that_is_right_again(self) -> None:
        """What was rejected before a line was accepted is tried again: it may not be bad."""
        lines = numbered(40)
        server = Server({lines[7]}, wrong_path=True)
        search = Search(lines, MOST_BYTES)
        for _ in range(PROBES - 1):
            self.assertFalse(server.accepts(search.request()))
            search.refused("wrong path")
        server.wrong_path = False
        server.run(search)
        self.assertEqual(search.rejected, [(lines[7], "bad")])
        self.assertEqual(sorted(server.stored), sorted({*lines} - {lines[7]}))

    def test_lines_that_come_meanwhile_help(self) -> None:
        """A single bad line is known as such when a later one is accepted."""
        server = Server({b"bad\n"})
        search = Search([b"bad\n"], MOST_BYTES)
        server.run(search)
        self.assertTrue(search.failed)
        search.again([b"good\n"])
        self.assertEqual(len(search), 2)
        server.run(search)
        self.assertEqual((search.found, search.rejected), (True, [(b"bad\n", "bad")]))
        self.assertEqual(server.stored, [b"good\n"])

    def test_a_request_that_fails_is_repeated(self) -> None:
        """The same bytes; only when they are rejected the address is in doubt."""
        lines = numbered(10)
        search = Search(lines, MOST_BYTES)
        search.accepted()
        search.refused("bad")
        for is_accepted in (True, False):
            failed = search.request()
            search.doubt()
            self.assertEqual(search.request(), failed)
            if is_accepted:
                search.accepted()
            else:
                search.refused("bad")
        self.assertEqual(search.rejected, [])
        server = Server(set(), wrong_path=True)
        server.run(search)
        self.assertTrue(search.failed)

    def test_new_lines_among_many_bad_ones(self) -> None:
        """A good line that has come meanwhile is tried at once, however many bad ones there are."""
        bad = numbered(20_000)
        server = Server(set(bad))
        search = Search(bad, MOST_BYTES)
        server.run(search)
        self.assertTrue(search.failed)
        search.again([b"good\n"])
        server.run(search)
        self.assertTrue(search.found)
        self.assertEqual((server.stored, len(search.rejected)), ([b"good\n"], len(bad)))

    def test_rounds_try_other_lines(self) -> None:
        """The one good line among a thousand is found after a while."""
        lines = numbered(1000)
        server = Server(set(lines) - {lines[333]})
        search = Search(lines, MOST_BYTES)
        server.run(search)
        rounds = 1
        while search.failed:
            search.again()
            server.run(search)
            rounds += 1
        self.assertEqual(server.stored, [lines[333]])
        self.assertLess(rounds, 200)
