"""Fixes of issues 12 and 13, reverted one by one, each named by what goes wrong; see `mutants`.

Many have a deliberate break or a race of their own; those are named here, not repeated.
"""

from __future__ import annotations

from typing import Final

from tests.deliberate_breaks import Break

__all__ = ["ALREADY_TRIED", "FIXES", "NOT_TRIED"]

_ANNOUNCEMENTS: Final = "transports/mqtt/announcement_gate.py"
_CONNECTION: Final = "transports/mqtt/connection.py"
_CONNECTIONS: Final = "transports/mqtt/connections.py"


FIXES: Final = (
    Break(
        "a_stop_right_after_a_reload_drops_what_was_set_aside",
        _CONNECTION,
        "        self._awaits_announcements = False\n"
        "        gate = link.inflow.announcement_gate\n"
        "        if is_kept:\n"
        "            gate.leave()\n"
        "        else:\n"
        "            gate.end()\n",
        "        self._link.inflow.announcement_gate.end()\n",
    ),
    Break(
        "a_hundred_messages_wait_for_names_and_no_more",
        _ANNOUNCEMENTS,
        "if self._bytes >= SET_ASIDE_BYTES:",
        "if len(self._frames) >= 100:",
    ),
    Break(
        "names_are_not_waited_for",
        _ANNOUNCEMENTS,
        "        self.active = True\n        self._start_clock()",
        "        self.active = False",
    ),
    Break(
        "a_connection_that_a_reload_ends_is_read_on",
        _CONNECTIONS,
        "        connection.pause_reading(NOT_RUNNING)\n        client_id",
        "        for reason in (*self._pause_reasons, NOT_RUNNING):\n"
        "            connection.resume_reading(reason)\n        client_id",
    ),
    Break(
        "a_module_that_waits_has_its_messages_acknowledged",
        "transports/mqtt/connection.py",
        "        self._pause_reasons.add(reason)\n"
        "        if self._link is not None and self._link.accepted:\n"
        "            self._link.inflow.pause(reason)",
        "        self._pause_reasons.add(reason)\n"
        "        if reason != 'module' and self._link is not None and self._link.accepted:\n"
        "            self._link.inflow.pause(reason)",
    ),
    Break(
        "a_message_is_handed_to_instances_that_were_stopped",
        "supervision/ownership.py",
        "        owned, self._owned = list(self._owned), {}\n",
        "        owned: list[Owned] = []\n",
    ),
)
"""Fixes that have no other mutant."""

ALREADY_TRIED: Final[dict[str, tuple[str, ...]]] = {
    "12: a refused filter is asked for again": ("refused_filters_are_never_tried_again",),
    "13: a module that does not run is not read for": (
        "a_new_connection_is_read_before_its_module_runs",
        "a_module_that_waits_for_its_restart_is_read_for",
        "a_module_is_read_for_while_it_is_stopped",
        "a_parked_module_keeps_its_connection",
        "connections_do_not_follow_their_modules",
    ),
    "13: a stop within a reload loses nothing": (
        "a_reload_begins_during_a_stop",
        "a_reload_goes_on_into_a_stop",
        "a_stop_waits_for_connections_that_are_not_read",
    ),
    "13: messages wait for announcements unacknowledged": (
        "a_message_is_handled_before_the_announcements",
        "what_waited_for_announcements_is_overtaken",
        "what_waits_for_announcements_is_forgotten_with_the_connection",
        "the_ping_goes_out_before_the_suback",
        "announcements_are_subscribed_to_at_qos_1",
    ),
    "13: the output is written in whole lines": (
        "a_pipe_that_holds_something_gets_a_burst",
        "a_chunk_ends_in_mid_line",
        "tcp_is_written_without_room",
    ),
    "13: devices are saved in the middle of a stop": ("a_stop_while_devices_are_saved_saves_none",),
    "13: ticks at the same moment": ("two_ticks_at_the_same_moment",),
    "13: a connection keeps its session over a reload": ("the_client_id_leaves_the_module_out",),
    "13: nothing follows DISCONNECT": ("an_acknowledgement_follows_disconnect",),
    "13: a stop does not count the time it stands still": (
        "timers_of_a_stop_count_standing_still",
    ),
    "13: two reloads close together run one instance": ("an_overtaken_reload_starts_its_modules",),
    "13: a broker that refuses MQTT 5 is spoken to in 3.1.1": (
        "any_refusal_changes_the_version_of_mqtt",
        "a_broker_that_refuses_mqtt_5_is_asked_for_it_again",
        "a_fallback_to_another_version_does_not_count_as_an_attempt",
    ),
    "13: the next connection waits for the end of the old one": (
        "a_connection_starts_before_the_old_one_of_its_id_has_ended",
    ),
    "13: what came on a connection that a reload ends is taken": (
        "what_came_on_a_connection_that_ends_is_left",
    ),
    "13: a filter is given up only when all have subscribed": (
        "a_filter_is_given_up_before_everybody_has_subscribed",
    ),
}
"""Fixes whose reverse is a mutant elsewhere."""

NOT_TRIED: Final[dict[str, str]] = {
    "12: work that grows by the square (names, announcements, filters, JSON)": (
        "no time passes while the simulation computes; tests/hostile measures it"
    ),
    "12: memory for topics, devices, series, interned text": (
        "memory is not measured; tests/test_memory.py fills each table"
    ),
    "12: a turn that lasts too long is spread over several": "no time passes in a turn",
    "12: filters that a broker does not take are set aside": (
        "the model broker ends no connection because of a filter"
    ),
    "12: a peer that does not read is left": (
        "the agent sends too little for a write buffer to fill while a stream stalls"
    ),
    "12: loops go on after a MemoryError": "memory does not run out",
    "12: short connections use the ordinary backoff": (
        "it changes how long an attempt waits, within the time to recover"
    ),
    "12: silence is reported": "the log's advice is not judged",
    "12: text from devices in the log and in tags": "texts are not judged",
    "12: commands go only where the configuration allows": "no device takes commands",
    "12: a clock that is not set, or beyond 2262": (
        "the wall clock jumps, but begins in a year that counts as set"
    ),
    "12: the login page, TLS, unit files, images": "they are not simulated",
    "12: a message is handled once however many filters match": "no module's filters overlap",
    "12: more unacknowledged messages than packet ids": "the model broker has a window",
    "12: a state file is written by one thread at a time": (
        "what runs in a thread is one event of the simulation"
    ),
    "13: tls: as output": "TLS is not simulated",
    "13: a closed stdout is refused": "it is the process's own",
    "13: connect_timeout is for the whole attempt": (
        "an attempt that takes twice as long is within the time to recover"
    ),
    "13: a connection that a reload ends sends its last acknowledgements": (
        "the broker sends again what was not acknowledged, which is allowed"
    ),
    "13: connections that are refused MQTT 5 at the same time": (
        "each of them waits a little, within the time to recover"
    ),
    "13: copies of a message are left out": "each copy counts as a message that was sent",
    "13: pressure that is back is not lifted": (
        "what a connection has held is handed on in a turn of its own, after all have resumed"
    ),
    "13: the heap is frozen": "memory is not measured",
    "13: no-one takes a message of 3.1.1 for one of 5": "packets are built by the same rules",
}
"""Fixes that the simulation cannot see, each with the reason."""
