"""Breaks of what a module's context promises, each named by what goes wrong; see `mutants`."""

from __future__ import annotations

from typing import Final

from tests.deliberate_breaks import Break

__all__ = ["SEAM_RACES"]

_CONTEXT: Final = "supervision/context.py"
_STATE: Final = "state/directory.py"


SEAM_RACES: Final = (
    Break(
        "a_timer_is_not_contained",
        _CONTEXT,
        "self.reactor.callLater(delay_s, self._guard.run, place, call, *args)",
        "self.reactor.callLater(delay_s, call, *args)",
    ),
    Break(
        "a_timer_outlives_its_module",
        _CONTEXT,
        "        self._owned.own_call(delayed)\n",
        "",
    ),
    Break(
        "a_library_that_calls_back_is_not_contained",
        _CONTEXT,
        "                self._guard.run(place, call, *args)\n\n        return contained",
        "                call(*args)\n\n        return contained",
    ),
    Break(
        "a_library_calls_a_module_that_was_stopped",
        _CONTEXT,
        "            if not self._closed:\n                self._guard.run(place",
        "            if True:\n                self._guard.run(place",
    ),
    Break(
        "work_is_not_cancelled_at_the_stop",
        _CONTEXT,
        "        self._owned.own_work(deferred)\n",
        "",
    ),
    Break(
        "what_waits_for_work_goes_on_after_the_stop",
        _CONTEXT,
        "            if self._closed:\n"
        "                return Deferred()\n"
        "            return None if",
        "            return None if",
    ),
    Break(
        "what_a_thread_raises_is_not_contained",
        _CONTEXT,
        "self.watch(calls.run(call, *args), place=place)",
        "calls.run(call, *args)",
    ),
    Break(
        "modules_block_the_threads_of_the_agent",
        _CONTEXT,
        "        calls = self._resources.threads(self.name)\n"
        "        return self.watch(calls.run(call, *args), place=place)",
        "        from twisted.internet.threads import deferToThreadPool\n"
        "        pool = self.reactor.getThreadPool()\n"
        "        work = deferToThreadPool(self.reactor, pool, call, *args)\n"
        "        return self.watch(work, place=place)",
    ),
    Break(
        "a_value_is_read_from_the_file_although_it_is_older",
        _STATE,
        "        data = self._wanted\n        if data is None or self._stored:\n            try:",
        "        data = None\n        if data is None or self._stored:\n            try:",
    ),
    Break(
        "a_value_that_must_be_there_at_once_comes_later",
        _STATE,
        "        if at_once:\n            self._attempt(",
        "        if False:\n            self._attempt(",
    ),
    Break(
        "two_instances_of_a_module_share_their_files",
        _STATE,
        "        return self.root / state_directory_name(part)\n",
        '        return self.root / state_directory_name(part.partition(":")[0])\n',
    ),
    Break(
        "a_value_that_waits_is_not_written_at_the_stop",
        _STATE,
        "        if data is not None and not self._stored:\n            self._attempt(",
        "        if False:\n            self._attempt(",
    ),
)
