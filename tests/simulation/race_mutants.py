"""Race conditions put into the code, each named by what goes wrong; see `mutants`.

Those in `deliberate_breaks` are not repeated here.
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
_ANNOUNCEMENTS: Final = "transports/mqtt/announcement_gate.py"
_RECONNECTING: Final = "transports/reconnecting.py"
_SINK: Final = "output/sink.py"
_QUEUE: Final = "output/queue.py"
_POLLABLE: Final = "output/pollable.py"
_AGENT: Final = "agent.py"
_SHUTDOWN: Final = "shutdown.py"
_SUPERVISOR: Final = "supervision/supervisor.py"
_SIGNALS: Final = "process/signals.py"
_GROUP: Final = "supervision/group.py"


RACES: Final = (
    Break(
        "a_message_without_a_point_is_never_acknowledged",
        _INTAKE,
        "                acknowledgements.release(packet_ids)\n",
        "                pass\n",
    ),
    Break(
        "a_settlement_sends_no_acknowledgement",
        _ACK,
        "            arrived.settled = True\n            self.flush()",
        "            arrived.settled = True",
    ),
    Break(
        "a_new_connection_forgets_why_reading_is_paused",
        _CONNECTION,
        "        for reason in self._pause_reasons:\n            link.inflow.pause(reason)\n",
        "",
    ),
    Break(
        "filters_are_not_subscribed_again",
        _CONNECTION,
        "self._subscriber.connected(self._table.wanted(), session_present=session_present)",
        "session_present or "
        "self._subscriber.connected(self._table.wanted(), session_present=False)",
    ),
    Break(
        "refused_filters_are_never_tried_again",
        _CONNECTION,
        "            if retry_s is not None and not self._resubscribes.active:\n"
        "                self._resubscribes.start(retry_s)\n",
        "",
    ),
    Break(
        "a_lost_connection_is_not_tried_again",
        _CONNECTION,
        "        self._reconnecting.retry(cause)",
        "        link.accepted or self._reconnecting.retry(cause)",
    ),
    Break(
        "a_fallback_to_another_version_does_not_count_as_an_attempt",
        _CONNECTION,
        "        self._reconnecting.again()\n",
        "",
    ),
    Break(
        "a_stop_does_not_settle",
        _SHUTDOWN,
        '"deliveries", handle, wait_s + rest_s + _SLACK_S',
        '"deliveries", lambda: None, wait_s',
    ),
    Break(
        "a_stop_does_not_drain",
        _SHUTDOWN,
        '"drain", lambda: parts.sink.drain(drain_s), drain_s + 0.1',
        '"drain", lambda: None, drain_s + 0.1',
    ),
    Break(
        "a_stop_keeps_the_pressure",
        _SHUTDOWN,
        '        parts.connections.resume("pressure")\n',
        "",
    ),
    Break(
        "a_reload_never_reads_on",
        _AGENT,
        '            connections.resume("reload")\n',
        "            pass\n",
    ),
    Break(
        "a_reload_that_comes_meanwhile_is_forgotten",
        _AGENT,
        "            self._reload_again = True\n            return",
        "            return",
    ),
    Break(
        "a_reload_does_not_wait_for_old_modules",
        _GROUP,
        "self._gone(name).addCallback(start)",
        "start(None)",
    ),
    Break(
        "connections_that_are_not_wanted_stay",
        _CONNECTIONS,
        "gone = [each for each in self._connections if each not in self._wanted]",
        "gone = []",
    ),
    Break(
        "a_reload_makes_every_connection_again",
        _CONNECTIONS,
        "gone = [each for each in self._connections if each not in self._wanted]",
        "gone = list(self._connections)",
    ),
    Break(
        "a_new_connection_ignores_the_pressure",
        _CONNECTIONS,
        "        for reason in self._pause_reasons:\n            connection.pause_reading(reason)\n"
        "        if module",
        "        if module",
    ),
    Break(
        "a_lost_connection_drops_what_was_read",
        _LINK,
        "        self.inflow.end_of_input(self._report_end)\n",
        "        self.inflow.close()\n        self.inflow.end_of_input(self._report_end)\n",
    ),
    Break(
        "silence_of_a_broker_is_not_noticed",
        _LINK,
        "        elif self._silent_ticks >= SILENT_TICKS:",
        "        elif False:",
    ),
    Break(
        "a_second_read_in_a_turn_is_handed_on_first",
        _INFLOW,
        "data = self._reads.popleft()",
        "data = self._reads.pop()",
    ),
    Break(
        "reading_does_not_go_on_after_coalescing",
        _INFLOW,
        "lambda: self._set(_COALESCING, False)",
        "lambda: None",
    ),
    Break(
        "messages_set_aside_are_forgotten",
        _ANNOUNCEMENTS,
        "        if frames:\n            self._release(frames)",
        "        if False:\n            self._release(frames)",
    ),
    Break(
        "the_end_of_the_pressure_is_not_noticed",
        _SINK,
        "        if self._pressed and self._queue.queued_bytes <= self._low_mark_bytes:",
        "        if False:",
    ),
    Break(
        "what_the_reader_took_is_looked_at_once",
        _SINK,
        "        if self._drains or self._queue.awaited:\n            if taken and",
        "        if False:\n            if taken and",
    ),
    Break(
        "written_counts_as_taken",
        _SINK,
        "untaken = self._writer.untaken()",
        "untaken = self._writer.untaken() and 0",
    ),
    Break(
        "a_batch_is_taken_with_its_first_byte",
        _QUEUE,
        "while in_flight and in_flight[0][0] <= position:",
        "while in_flight and in_flight[0][0] - len(in_flight[0][1].data) < position:",
    ),
    Break(
        "a_failed_module_is_not_started_again",
        _SUPERVISOR,
        "self._wait = self._clock.callLater(verdict.delay_s, self._happened, Event.DUE)",
        "self._wait = self._clock.callLater(1e9, self._happened, Event.DUE)",
    ),
    Break(
        "a_start_that_hangs_is_waited_for",
        _SUPERVISOR,
        "self._clock.callLater(self._timeouts.start_s, self._start_timed_out, life)",
        "self._clock.callLater(1e9, self._start_timed_out, life)",
    ),
    Break(
        "the_limit_of_a_start_outlives_its_instance",
        _SUPERVISOR,
        "        self._stop_timeout(life)\n        starting, life.starting",
        "        starting, life.starting",
    ),
    Break(
        "a_module_runs_before_its_start_is_over",
        _SUPERVISOR,
        "        if isinstance(result, Awaitable):\n            self._wait_for_start",
        "        if False:\n            self._wait_for_start",
    ),
    Break(
        "a_ping_answers_for_another",
        _LINK,
        "waiting = self._pings.popleft() if self._pings else None",
        "waiting = self._pings.pop() if self._pings else None",
    ),
    Break(
        "a_barrier_passes_before_what_it_waits_for",
        _LINK,
        "        self._intake.end(self.acknowledgements)\n        self.acknowledgements.check()\n",
        "        passed, self._passed = self._passed, []\n"
        "        for deferred in passed:\n            deferred.callback(True)\n"
        "        self._intake.end(self.acknowledgements)\n        self.acknowledgements.check()\n",
    ),
    Break(
        "the_next_connection_overtakes_what_the_last_one_brought",
        _LINK,
        "        self.inflow.end_of_input(self._report_end)\n",
        "        self.inflow.end_of_input(lambda: None)\n        self._report_end()\n",
    ),
    Break(
        "the_deadline_of_an_attempt_ends_its_connection",
        _RECONNECTING,
        "        self._deadline.stop()\n        self._accepted = True",
        "        self._accepted = True",
    ),
    Break(
        "a_stop_leaves_an_attempt_under_way",
        _RECONNECTING,
        "            self._attempt.cancel()\n        if self._link is None:",
        "            pass\n        if self._link is None:",
    ),
    Break(
        "a_stop_disconnects_at_once",
        _RECONNECTING,
        "        stopped: Deferred[None] = Deferred()\n        self._stopped.append(stopped)\n"
        "        if len(self._stopped) == 1:\n            self._link.disconnect()\n"
        "        return stopped",
        "        self._link.disconnect()\n        return succeed(None)",
    ),
    Break(
        "a_drain_ends_at_its_first_look",
        _SINK,
        "if self._drains and not self.left_metrics:",
        "if self._drains:",
    ),
    Break(
        "a_lone_line_waits_for_others",
        _SINK,
        "        elif not self._flushes.active:\n            if now_s",
        "        elif False:\n            if now_s",
    ),
    Break(
        "a_read_overtakes_reads_that_wait",
        _INFLOW,
        "waits = self._held or self._reads or self._frames or self._handing_on",
        "waits = self._held or self._frames or self._handing_on",
    ),
    Break(
        "what_was_read_is_handed_on_during_a_pause",
        _INFLOW,
        "        if self._held:\n            return None\n",
        "",
    ),
    Break(
        "reading_ahead_has_no_bound",
        _INFLOW,
        "self._set(_FULL, self._bytes >= READ_AHEAD_BYTES)",
        "self._set(_FULL, False)",
    ),
    Break(
        "what_was_read_ahead_is_never_taken_off",
        _INFLOW,
        "        self._bytes -= len(data)\n",
        "",
    ),
    Break(
        "a_stop_disconnects_before_it_drains",
        _SHUTDOWN,
        '        await take("drain"',
        '        await take("disconnect", parts.connections.stopService, 1.0)\n'
        '        await take("drain"',
    ),
    Break(
        "a_stop_stops_modules_before_it_settles",
        _SHUTDOWN,
        "        wait_s = self._remaining_s() / 2\n",
        '        await take("stop modules", stop_modules, 1.0)\n'
        "        wait_s = self._remaining_s() / 2\n",
    ),
    Break(
        "a_reload_swaps_modules_that_are_still_read_for",
        _SUPERVISOR,
        "        if action is Action.CLEAR:\n            # Before",
        "        if action is Action.CLEAR and self.state is not State.STOPPING:\n"
        "            # Before",
    ),
    Break(
        "acknowledgements_go_out_in_reverse",
        _ACK,
        "        self._waiting.append(arrived)",
        "        self._waiting.appendleft(arrived)",
    ),
    Break(
        "messages_of_one_turn_have_no_order",
        _INTAKE,
        'Batch(b"".join(lines), len(lines), settle, kept=kept, urgent=urgent)',
        'Batch(b"".join(reversed(lines)), len(lines), settle, kept=kept, urgent=urgent)',
    ),
    Break(
        "a_batch_overtakes_those_before_it",
        _QUEUE,
        "        self._queued.append(batch)\n",
        "        self._queued.insert(1, batch)\n",
    ),
    Break(
        "a_lost_connection_of_the_output_forgets_what_was_not_taken",
        "output/endpoint.py",
        "            self._source.rewind()\n",
        "",
    ),
    Break(
        "a_reset_of_the_output_looks_like_reading",
        "output/protocol.py",
        "return None if self._kernel.hung_up(fd) else untaken",
        "return untaken",
    ),
    Break(
        "a_reader_that_closes_its_socket_seems_to_have_read",
        _POLLABLE,
        "            self._gone(GONE)\n            return None\n        return untaken\n",
        "            pass\n        return untaken\n",
    ),
    Break(
        "a_pipe_that_was_full_is_not_written_again",
        _POLLABLE,
        "            self._reactor.addWriter(self)\n",
        "            pass\n",
    ),
    Break(
        "a_long_line_is_not_looked_at_again",
        _POLLABLE,
        "            self._empty_checks.start(EMPTY_CHECK_S)\n",
        "            pass\n",
    ),
    Break(
        "a_writer_writes_to_a_number_that_it_has_closed",
        _POLLABLE,
        "        if self._closed:  # by what was read just before",
        "        if False:  # by what was read just before",
    ),
    Break(
        "what_a_thread_has_not_written_counts_as_taken",
        "output/threaded.py",
        "return self._in_hand + self._buffer.unread()",
        "return self._buffer.unread()",
    ),
    Break(
        "a_named_pipe_that_lost_its_reader_is_not_tried_again",
        "output/path.py",
        "            self._retries.start(RETRY_S)\n",
        "            pass\n",
    ),
    Break(
        "a_full_disk_is_not_tried_again",
        "output/direct.py",
        "        return RETRY_S\n",
        "        return None\n",
    ),
    Break(
        "a_line_is_written_in_two_parts",
        "output/whole_lines.py",
        "        return source.peek(limit)\n",
        "        return source.peek(limit)[:-2]\n",
    ),
    Break(
        "a_file_gets_each_line_in_two_parts",
        "output/whole_lines.py",
        "            sent = buffer.send(chunk)\n",
        "            is_file = type(buffer).__name__ == 'PlainBuffer'\n"
        "            half = len(chunk) // (1 + is_file)\n"
        "            sent = buffer.send(chunk[:half])\n"
        "            if sent == half < len(chunk):\n"
        "                sent += buffer.send(chunk[half:])\n",
    ),
    Break(
        "a_repeated_request_to_stop_ends_the_process",
        _SIGNALS,
        ">= _SAME_REQUEST_S",
        ">= 0",
    ),
    Break(
        "signals_that_come_before_the_start_are_lost",
        _SIGNALS,
        "pending, self._pending = self._pending, []",
        "pending, self._pending = [], []",
    ),
    Break(
        "sigint_reloads",
        _SIGNALS,
        "        if number == signal.SIGHUP:\n",
        "        if number != signal.SIGTERM:\n",
    ),
    Break(
        "a_handler_stops_the_agent_itself",
        _SIGNALS,
        "            self._reactor.callFromThread(self._hand_over, number)\n        else:",
        "            self._hand_over(number)\n        else:",
    ),
)
