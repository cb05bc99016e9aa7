"""Breaks of the order of things, each named by what goes wrong; see `mutants`.

Those that `deliberate_breaks` has are not repeated here.
"""

from __future__ import annotations

from typing import Final

from tests.deliberate_breaks import Break

__all__ = ["RACES"]

_LINK: Final = "transports/mqtt/link.py"
_INFLOW: Final = "transports/mqtt/inflow.py"
_CONNECTION: Final = "transports/mqtt/connection.py"
_CONNECTIONS: Final = "transports/mqtt/connections.py"
_INTAKE: Final = "transports/mqtt/intake.py"
_ACK: Final = "transports/mqtt/acknowledge.py"
_ANNOUNCEMENTS: Final = "transports/mqtt/announcements.py"
_RECONNECTING: Final = "transports/reconnecting.py"
_SINK: Final = "output/sink.py"
_QUEUE: Final = "output/queue.py"
_AGENT: Final = "agent.py"
_SUPERVISOR: Final = "supervision/supervisor.py"
_GROUP: Final = "supervision/group.py"


def _race(name: str, path: str, old: str, new: str) -> Break:
    return Break(name, path, old, new, "")


RACES: Final = (
    _race(
        "a_message_without_a_point_is_never_acknowledged",
        _INTAKE,
        "                acknowledgements.release(packet_ids)\n",
        "                pass\n",
    ),
    _race(
        "an_acknowledgement_skips_those_that_wait_before_it",
        _ACK,
        "if self._waiting and self._waiting[0].settled:",
        "if self._waiting and self._waiting[-1].settled:",
    ),
    _race(
        "what_follows_a_released_message_is_released_with_it",
        _ACK,
        "if self._waiting and self._waiting[-1].settled:",
        "if self._waiting:",
    ),
    _race(
        "an_acknowledgement_is_asked_for_once_only",
        _ACK,
        "        self._flush_asked = False\n        ready: list[int] = []",
        "        ready: list[int] = []",
    ),
    _race(
        "a_new_connection_forgets_why_reading_is_paused",
        _CONNECTION,
        "        for reason in self._pause_reasons:\n            link.inflow.pause(reason)\n",
        "",
    ),
    _race(
        "filters_are_not_subscribed_again",
        _CONNECTION,
        "self._subscriber.connected(self._table.wanted(), session_present=session_present)",
        "session_present or "
        "self._subscriber.connected(self._table.wanted(), session_present=False)",
    ),
    _race(
        "refused_filters_are_never_tried_again",
        _CONNECTION,
        "            if retry_s is not None and not self._resubscribes.active:\n"
        "                self._resubscribes.start(retry_s)\n",
        "",
    ),
    _race(
        "a_lost_connection_is_not_tried_again",
        _CONNECTION,
        "        self._reconnecting.retry(cause)",
        "        link.accepted or self._reconnecting.retry(cause)",
    ),
    _race(
        "a_fallback_to_another_version_is_no_attempt",
        _CONNECTION,
        "        self._reconnecting.again()\n",
        "",
    ),
    _race(
        "a_stop_does_not_settle",
        _AGENT,
        "lambda: parts.connections.settle(settle_s), settle_s)",
        "lambda: None, settle_s)",
    ),
    _race(
        "a_stop_does_not_drain",
        _AGENT,
        '"drain", lambda: parts.sink.drain(self._remaining_s()), self._remaining_s() + 0.1',
        '"drain", lambda: None, self._remaining_s() + 0.1',
    ),
    _race(
        "a_stop_reads_on_while_its_modules_stop",
        _AGENT,
        '        parts.connections.pause("stop")\n',
        "",
    ),
    _race(
        "a_stop_keeps_the_pressure",
        _AGENT,
        '        parts.connections.resume("pressure")\n',
        "",
    ),
    _race(
        "a_reload_reads_while_modules_are_swapped",
        _AGENT,
        '        connections.pause("reload")\n',
        "",
    ),
    _race(
        "a_reload_never_reads_on",
        _AGENT,
        '            connections.resume("reload")\n',
        "            pass\n",
    ),
    _race(
        "a_reload_that_comes_meanwhile_is_forgotten",
        _AGENT,
        "            self._reload_again = True\n            return",
        "            return",
    ),
    _race(
        "a_reload_does_not_wait_for_old_modules",
        _GROUP,
        "self._gone(name).addCallback(start)",
        "start(None)",
    ),
    _race(
        "connections_that_are_not_wanted_stay",
        _CONNECTIONS,
        "gone = [each for each in self._connections if each not in self._wanted]",
        "gone = []",
    ),
    _race(
        "a_reload_makes_every_connection_again",
        _CONNECTIONS,
        "gone = [each for each in self._connections if each not in self._wanted]",
        "gone = list(self._connections)",
    ),
    _race(
        "a_new_connection_ignores_the_pressure",
        _CONNECTIONS,
        "        for reason in self._pause_reasons:\n            connection.pause_reading(reason)\n"
        "        if instance",
        "        if instance",
    ),
    _race(
        "a_lost_connection_drops_what_was_read",
        _LINK,
        "        self.inflow.drain(self._finish)\n",
        "        self.inflow.close()\n        self.inflow.drain(self._finish)\n",
    ),
    _race(
        "a_stop_closes_before_its_acknowledgements",
        _LINK,
        "        self.acknowledgements.flush()\n        self._stop_timer()\n        self.inflow",
        "        self._stop_timer()\n        self.inflow",
    ),
    _race(
        "silence_of_a_broker_is_not_noticed",
        _LINK,
        "        elif self._silent_ticks >= SILENT_TICKS:",
        "        elif False:",
    ),
    _race(
        "a_second_read_in_a_turn_is_handed_on_first",
        _INFLOW,
        "data = self._reads.popleft()",
        "data = self._reads.pop()",
    ),
    _race(
        "reading_does_not_go_on_after_coalescing",
        _INFLOW,
        "lambda: self._set(_COALESCING, False)",
        "lambda: None",
    ),
    _race(
        "messages_set_aside_are_forgotten",
        _ANNOUNCEMENTS,
        "        if frames:\n            self._release(frames)",
        "        if False:\n            self._release(frames)",
    ),
    _race(
        "a_full_queue_drops_the_newest",
        _SINK,
        "        dropped = queue.push(batch)\n",
        "        dropped = [batch] if queue.queued_bytes else queue.push(batch)\n",
    ),
    _race(
        "the_end_of_the_pressure_is_not_noticed",
        _SINK,
        "        if self._pressed and self._queue.queued_bytes <= self._low_mark_bytes:",
        "        if False:",
    ),
    _race(
        "what_the_reader_took_is_looked_at_once",
        _SINK,
        "        if self._drains or self._queue.awaited:\n            self._look_later()",
        "        pass",
    ),
    _race(
        "written_counts_as_taken",
        _SINK,
        "untaken = self._writer.untaken()",
        "untaken = self._writer.untaken() and 0",
    ),
    _race(
        "a_batch_is_taken_with_its_first_byte",
        _QUEUE,
        "while in_flight and in_flight[0][0] <= position:",
        "while in_flight and in_flight[0][0] - len(in_flight[0][1].data) < position:",
    ),
    _race(
        "a_failed_module_is_not_started_again",
        _SUPERVISOR,
        "self._wait = self._clock.callLater(verdict.delay_s, self._happened, Event.DUE)",
        "self._wait = self._clock.callLater(1e9, self._happened, Event.DUE)",
    ),
    _race(
        "an_old_start_fails_the_new_instance",
        _SUPERVISOR,
        "        if life is self._life:\n            self._happened(event)",
        "        self._happened(event)",
    ),
)
