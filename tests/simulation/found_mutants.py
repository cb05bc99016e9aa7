"""Fixes of faults that the simulation has found, reverted one by one; see `mutants` and `seeds`."""

from __future__ import annotations

from typing import Final

from tests.deliberate_breaks import Break

__all__ = ["FOUND"]

_GATE: Final = "transports/mqtt/announcement_gate.py"
_LINK: Final = "transports/mqtt/link.py"


FOUND: Final = (
    Break(
        "a_disconnect_costs_what_was_set_aside",
        _LINK,
        "causes.of_disconnect(event.code, self._client_id), hand_on=True",
        "causes.of_disconnect(event.code, self._client_id)",
    ),
    Break(
        "a_silent_broker_costs_what_was_set_aside",
        _LINK,
        'causes.of_silence("PINGREQ", silent_s), hand_on=True',
        'causes.of_silence("PINGREQ", silent_s)',
    ),
    Break(
        "what_a_lost_connection_brought_is_set_aside_again",
        "transports/mqtt/connection.py",
        "link is None or not self.connected or not",
        "link is None or not",
    ),
    Break(
        "a_stop_whose_connection_is_lost_hands_on_what_came_later",
        _GATE,
        "        if not self._leaves:\n            self.end()",
        "        self.end()",
    ),
    Break(
        "filters_are_given_up_while_announcements_may_be_missing",
        "transports/mqtt/connection.py",
        "gives_up=gate.complete and not awaits",
        "gives_up=True",
    ),
    Break(
        "a_long_bad_line_waits_behind_a_413",
        "output/http/writer.py",
        "        if self._out.proven and len(search) == 1 and (more := self._grow()):\n",
        "        if False and (more := self._grow()):\n",
    ),
    Break(
        "a_wait_until_a_date_counts_from_our_own_clock",
        "output/http/answers.py",
        'headers.get("date", "")',
        '""',
    ),
)
"""Those that are no other mutant yet."""
