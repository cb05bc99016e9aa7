"""Breaks of the HTTP of modules, each named by what goes wrong; see `mutants`."""

from __future__ import annotations

from typing import Final

from tests.deliberate_breaks import Break

__all__ = ["POLL_RACES"]

_HTTP: Final = "transports/http.py"
_TICKER: Final = "supervision/ticker.py"


POLL_RACES: Final = (
    Break(
        "a_connection_is_left_open_after_its_answer",
        _HTTP,
        "        connection, self._connection = self._connection, None\n"
        "        if connection is not None:\n"
        "            connection.abortConnection()\n",
        "        self._connection = None\n",
    ),
    Break(
        "a_device_that_does_not_answer_is_waited_for",
        _HTTP,
        "        deadline = self._reactor.callLater(self._timeout_s, attempt.expire, work)\n",
        "        deadline = self._reactor.callLater(4 * self._timeout_s, attempt.expire, work)\n",
    ),
    Break(
        "an_answer_that_was_cut_counts_as_whole",
        _HTTP,
        "        if isinstance(reason.value, (ResponseDone, PotentialDataLoss)):\n",
        "        if True:\n",
    ),
    Break(
        "a_body_that_is_too_large_is_taken",
        _HTTP,
        "        if isinstance(length, int) and length > self._body_limit:\n"
        "            raise self._too_large()\n"
        "        received = _Body(self)\n"
        "        response.deliverBody(received)\n"
        "        content = await received.complete\n"
        "        if len(content) > self._body_limit:\n"
        "            raise self._too_large()\n",
        "        received = _Body(self)\n"
        "        response.deliverBody(received)\n"
        "        content = await received.complete\n",
    ),
    Break(
        "what_the_device_did_is_not_explained",
        _HTTP,
        "        except Exception as fault:\n            raise attempt.explain(fault) from None\n",
        "        except ZeroDivisionError as fault:\n"
        "            raise attempt.explain(fault) from None\n",
    ),
    Break(
        "a_tick_goes_on_after_the_stop",
        _TICKER,
        "        if work is not None:\n            self._guard.run(self._place, work.cancel)\n",
        "        pass\n",
    ),
    Break(
        "ticks_begin_while_another_is_under_way",
        _TICKER,
        "        self._work = work\n"
        "        self._call = self._clock.callLater(self._limits.timeout_s, self._timed_out",
        "        self._work = work\n"
        "        self._over(None)\n"
        "        self._clock.callLater(self._limits.timeout_s, bool",
    ),
    Break(
        "a_failed_tick_is_the_last",
        _TICKER,
        "        now_s = self._clock.seconds()\n        late =",
        "        if fault is not None:\n"
        "            return\n"
        "        now_s = self._clock.seconds()\n"
        "        late =",
    ),
)
