"""Breaks of the output over HTTP, each named by what goes wrong; see `mutants`."""

from __future__ import annotations

from typing import Final

from tests.deliberate_breaks import Break

__all__ = ["HTTP_RACES"]

_WRITER: Final = "output/http/writer.py"
_ANSWERS: Final = "output/http/answers.py"
_OUTGOING: Final = "output/outgoing.py"
_SEARCH: Final = "output/search.py"
_POST: Final = "transports/http_post.py"


HTTP_RACES: Final = (
    Break(
        "lines_are_acknowledged_before_the_answer",
        _OUTGOING,
        "            self.untaken_bytes += len(data)\n",
        "",
    ),
    Break(
        "a_request_is_sent_again_with_more_lines",
        _WRITER,
        "        body = self._out.parts[0] if self._search is None else self._search.request()\n",
        "        self._grow() if self._search is None and self._source.queued_bytes else None\n"
        "        body = self._out.parts[0] if self._search is None else self._search.request()\n",
    ),
    Break(
        "the_next_request_overtakes_one_that_failed",
        _WRITER,
        '        self._source.trouble(f"{self._name}: {cause.text}", cause.kind)\n',
        '        self._source.trouble(f"{self._name}: {cause.text}", cause.kind)\n'
        "        if self._search is None:\n"
        "            self._out.take(self._out.limit_bytes)\n"
        "            self._out.parts.rotate(1)\n",
    ),
    Break(
        "a_kept_connection_that_is_lost_counts_as_delivered",
        _WRITER,
        "            self._reused = False\n            self._out.retries.start(0)\n",
        "            self._reused = False\n            self._accepted(Accepted())\n"
        "            self._continue()\n",
    ),
    Break(
        "a_search_without_an_accepted_line_drops_them_all",
        _WRITER,
        "        elif search is not None and search.failed:\n",
        "        elif search is not None and search.failed and len(search) > 1:\n"
        "            self._part_is_done()\n"
        "        elif search is not None and search.failed:\n",
    ),
    Break(
        "a_drain_settles_what_is_left",
        _WRITER,
        "        self._reused = False\n        self._source.trouble(",
        "        self._reused = False\n        if self._source.draining:\n"
        "            self._part_is_done()\n        self._source.trouble(",
    ),
    Break(
        "retry_after_is_ignored",
        _WRITER,
        "        self._out.retry_in(max(delay_s, cause.retry_after_s))\n",
        "        self._out.retry_in(delay_s)\n",
    ),
    Break(
        "a_request_is_tried_again_at_once",
        _WRITER,
        "        self._out.retry_in(max(delay_s, cause.retry_after_s))\n",
        "        self._out.retry_in(0)\n",
    ),
    Break(
        "a_failed_request_is_not_tried_again",
        _WRITER,
        "        self._out.retry_in(max(delay_s, cause.retry_after_s))\n",
        "        if cause.kind != 'timeout':\n"
        "            self._out.retry_in(max(delay_s, cause.retry_after_s))\n",
    ),
    Break(
        "an_error_of_the_server_drops_the_request",
        _WRITER,
        "        self._reused = False\n        self._source.trouble(",
        '        self._reused = False\n        if cause.kind == "http_500":\n'
        "            self._part_is_done()\n        self._source.trouble(",
    ),
    Break(
        "a_partial_answer_is_sent_again",
        _ANSWERS,
        "            if _is_partly(said):\n",
        '            if _is_partly(said) and "dropped=" not in text:\n',
    ),
    Break(
        "every_bad_request_counts_as_partly_stored",
        _ANSWERS,
        "            if _is_partly(said):\n",
        "            if True:\n",
    ),
    Break(
        "a_page_that_was_cut_counts_as_success",
        _POST,
        "            if body.strip():\n",
        "            if True:\n",
    ),
    Break(
        "a_cut_answer_counts",
        _POST,
        "        if isinstance(reason.value, ResponseDone):\n",
        "        if not isinstance(reason.value, PotentialDataLoss):\n",
    ),
    Break(
        "a_redirect_counts_as_success",
        _ANSWERS,
        "    if status == _NO_CONTENT or ",
        "    if status in _REDIRECTS or status == _NO_CONTENT or ",
    ),
    Break(
        "a_search_forgets_the_lines_before_the_first_probe",
        _SEARCH,
        "            ends = zip([-1, *tried], [*tried, len(self._lines)], strict=True)\n",
        "            ends = zip(tried, [*tried[1:], len(self._lines)], strict=True)\n",
    ),
    Break(
        "a_search_forgets_half_of_a_stretch",
        _SEARCH,
        "        self._stretches[:0] = [stretch[:middle], stretch[middle:]]\n",
        "        self._stretches[:0] = [stretch[:middle]]\n",
    ),
    Break(
        "a_search_that_failed_loses_the_lines_that_came",
        _WRITER,
        "            search.again(split_lines(self._grow()))\n",
        "            self._grow()\n            search.again()\n",
    ),
    Break(
        "the_second_half_of_a_request_goes_first",
        _WRITER,
        'extendleft((b"".join(lines[middle:]), b"".join(lines[:middle])))\n',
        'extendleft((b"".join(lines[:middle]), b"".join(lines[middle:])))\n',
    ),
    Break(
        "a_request_that_is_too_large_is_cut_off",
        _WRITER,
        'extendleft((b"".join(lines[middle:]), b"".join(lines[:middle])))\n',
        'appendleft(b"".join(lines[:middle]))\n',
    ),
    Break(
        "lines_that_wait_for_others_never_leave",
        _OUTGOING,
        "            if not self._leaves.active:\n                self._leaves.start(delay_s)\n",
        "",
    ),
    Break(
        "what_waits_when_an_answer_comes_stays",
        _WRITER,
        "        else:\n            self._out.leave()\n\n    def _drop",
        "\n    def _drop",
    ),
    Break(
        "a_stop_waits_for_the_time_to_try_again",
        _OUTGOING,
        "elif self._source.draining and not self._hurried:",
        "elif False:",
    ),
    Break(
        "bad_lines_that_came_together_wait_long_for_the_next",
        _OUTGOING,
        "        self._wants_lines = wants_lines\n",
        "        self._wants_lines = False\n",
    ),
    Break(
        "all_that_is_queued_is_taken_while_the_database_is_away",
        _WRITER,
        '        self._source.trouble(f"{self._name}: {cause.text}", cause.kind)\n',
        '        self._source.trouble(f"{self._name}: {cause.text}", cause.kind)\n'
        "        self._out.take(self._out.limit_bytes)\n",
    ),
    Break(
        "rejected_lines_are_not_counted",
        _WRITER,
        '            self._source.rejected(verdict.count, verdict.reason, b"")\n',
        "            pass\n",
    ),
)
"""Errors of order and of what an answer means."""
