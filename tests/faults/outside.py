"""The rows of faults outside the process: brokers, networks, disks, clocks, readers, signals.

Each is a test ``test_<name>`` in one of the modules ``test_outside_*``.
"""

from __future__ import annotations

from typing import Final

from tests.faults.row import Row

__all__ = ["OUTSIDE", "outside"]

_ROWS: Final = (
    # name, place, fault, must
    (
        "broker_killed",
        "broker",
        "killed and started again",
        "one line down, one up; telemetry continues",
    ),
    (
        "broker_frozen",
        "broker",
        "SIGSTOP for longer than the keepalive",
        "found dead, tried again: one line down, one up",
    ),
    (
        "broker_restarted_persistent",
        "broker",
        "restarted, keeps its sessions",
        "nothing lost at QoS 1; one line down, one up",
    ),
    (
        "broker_restarted_empty",
        "broker",
        "restarted, has forgotten all",
        "subscribed again; one line down, one up",
    ),
    (
        "broker_refuses_login",
        "broker",
        "refuses the login",
        "one line, tried again, one line when let in; the others run",
    ),
    (
        "broker_closes_after_connack",
        "broker",
        "closes after CONNACK, every time",
        "a line for the loss, one more for the likely reason, no more; backoff",
    ),
    (
        "broker_sends_garbage",
        "broker",
        "sends garbage",
        "one line names it, tried again, one line up",
    ),
    (
        "broker_sends_half_packets",
        "broker",
        "sends half a packet, and stops or sends a byte of it now and then",
        "given up by the keepalive; one line down, one up, each time",
    ),
    (
        "broker_redelivers",
        "broker",
        "delivers again what was not acknowledged",
        "at least once, in the order of the wire",
    ),
    (
        "client_id_taken_over",
        "broker",
        "another client takes our id, again and again",
        "a line for the loss, one more for the likely reason, no more",
    ),
    (
        "network_cut",
        "network",
        "cut between agent and broker",
        "one line down, one up; telemetry continues",
    ),
    (
        "network_slow",
        "network",
        "one byte at a time",
        "slow, but whole; no line",
    ),
    (
        "dns_silent",
        "network",
        "a name server that does not answer",
        "one line, the others run",
    ),
    (
        "payload_huge",
        "network",
        "a message of 100 MB, at QoS 1 and at QoS 0",
        "discarded in place and counted",
    ),
    (
        "state_disk_full",
        "disk",
        "no room for state",
        "one line says what is not stored; everything keeps running",
    ),
    (
        "state_read_only",
        "disk",
        "state directory is read-only",
        "one line says what is not stored; everything keeps running",
    ),
    (
        "output_disk_full",
        "disk",
        "no room for the output file",
        "one line down, one up; kept within bounds, continues later",
    ),
    (
        "clock_jumps",
        "clock",
        "the wall clock jumps by a day and back",
        "timers and watchdog do not mind",
    ),
    (
        "clock_out_of_range",
        "clock",
        "the wall clock says 2300, from the start and by a jump",
        "one line; times are counted on; it stops in order",
    ),
    (
        "clock_unset",
        "clock",
        "the wall clock says 1970 at the start, then is set",
        "one line, and one when it is set; all points have the right time",
    ),
    (
        "no_descriptors",
        "process",
        "no file descriptor left",
        "two lines for the loss, one for the reload, one up; the rest keeps running",
    ),
    (
        "memory_limit",
        "process",
        "memory limit reached by a module",
        "one line: that module's fault, the others run",
    ),
    (
        "stdout_slow",
        "stdout",
        "a slow reader",
        "all arrives, memory bounded",
    ),
    (
        "stdout_stopped",
        "stdout",
        "a reader that stops for a while",
        "bounded, then all of QoS 1 arrives",
    ),
    (
        "stdout_stopped_killed",
        "stdout",
        "kill -9 while stdout is not read",
        "what was not read comes again from the broker, all of QoS 1",
        "the parent, after its restart_delay (1 s here)",
    ),
    (
        "stdout_dead",
        "stdout",
        "the reader is gone",
        "the agent stops",
    ),
    (
        "stderr_dead",
        "stderr",
        "the reader is gone",
        "all runs, silently",
    ),
    (
        "stderr_stopped",
        "stderr",
        "no reader, the pipe is full",
        "the reactor never waits; lines are dropped and counted",
    ),
    (
        "stdin_odd",
        "stdin",
        "newlines by the hundred thousand",
        "read and ignored",
    ),
    (
        "sighup_storm",
        "signals",
        "1,000 SIGHUPs",
        "some reloads, all well, nothing lost",
    ),
    (
        "sigterm_during_start",
        "signals",
        "SIGTERM while it starts",
        "ends in order",
    ),
    (
        "sigterm_during_reload",
        "signals",
        "SIGTERM while it reloads",
        "ends in order",
    ),
    (
        "sigterm_during_backoff",
        "signals",
        "SIGTERM while a module waits",
        "ends in order",
    ),
    (
        "status_never_reads",
        "status socket",
        "16 clients ask and never read, 15 of them taps",
        "lines are skipped for them; everything keeps running",
    ),
    (
        "status_crowd",
        "status socket",
        "200 connections",
        "16 are taken, the others refused; everything keeps running",
    ),
    (
        "page_crowd",
        "status page",
        "200 connections: silent, slow, garbage, never reading",
        "cut or refused; the page answers and everything keeps running",
    ),
    (
        "page_open_for_an_hour",
        "status page",
        "the questions of a page that is open for an hour, one after the other",
        "all are answered and leave nothing behind; everything keeps running",
    ),
    (
        "announced_publisher_dies",
        "announcements",
        "a publisher dies in the middle of one",
        "what it said whole counts, and its will; it comes back as it was",
    ),
    (
        "announced_renamed_in_backlog",
        "announcements",
        "broker restarted, keeps its sessions; a rename in the midst of 60 values",
        "no value is lost, all have the new name; one line down, one up",
    ),
    (
        "announced_broker_empty",
        "announcements",
        "broker restarted, has forgotten all",
        "what is known goes on; one line down, one up",
    ),
    (
        "announced_hostile",
        "announcements",
        "10,000 hostile ones at once, then 30 renames a second of 250 entities",
        "a line each, memory bounded, no turn over 100 ms of the processor; a device works",
    ),
)

OUTSIDE: Final = tuple(Row(*values) for values in _ROWS)


def outside(name: str) -> Row:
    """Return the row of that name."""
    (row,) = [row for row in OUTSIDE if row.name == name]
    return row
