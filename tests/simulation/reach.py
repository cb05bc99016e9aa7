"""What the simulation cannot see, and why; see `mutants`."""

from __future__ import annotations

from typing import Final

__all__ = ["OUT_OF_REACH", "WHY_MISSED"]

_TEXT: Final = "the simulation does not look at names, texts and values beyond their numbers"
_LOG: Final = "it does not judge what the log says of it"
_COUNTED: Final = "it changes a counter that explains nothing else"
_COST: Final = "no time passes while the simulation computes, and memory is not measured"
_PROCESS: Final = (
    "descriptors 0 to 2, threads, signal handlers and the watchdog are the process's own"
)
_WEB: Final = "WebSocket, TLS, logins and the HTTP of modules are not simulated"
_ONE_VERSION: Final = "all modules leave the version of MQTT to the default"

OUT_OF_REACH: Final[dict[str, str]] = {
    "a_connection_ends_before_its_last_acknowledgements": (
        "the broker sends again what was not acknowledged, which is allowed"
    ),
    "a_late_acknowledgement_goes_out_on_a_closed_connection": "the connection refuses it as well",
    "comma_in_a_tag_is_not_escaped": _TEXT,
    "short_lives_are_never_forgotten": _LOG,
    "an_attempt_has_a_deadline_for_each_step": "an attempt may take twice as long",
    "a_connection_is_proven_while_it_is_drained": _LOG,
    "modules_import_each_other": "it changes nothing that runs",
    "a_wildcard_matches_the_brokers_own_topics": "no module subscribes to everything",
    "a_secret_shows_itself": _TEXT,
    "a_filter_that_is_wanted_again_counts_as_given_up": "no module that goes on gives up a filter",
    "retained_telemetry_is_taken_as_new": "no device retains its telemetry",
    "a_value_of_unknown_unit_is_taken": _TEXT,
    "asking_for_totals_sets_the_counter": "no device takes commands",
    "equal_faults_are_not_folded": _LOG,
    "names_without_end_fill_the_log": _LOG,
    "the_watchdog_only_barks": _PROCESS,
    "dear_messages_are_handled_by_the_dozen": _COST,
    "a_copy_is_left_out_in_silence": _COUNTED,
    "any_equal_message_is_a_copy": "no two messages are equal, since they are numbered",
    "a_flood_blocks_the_others": _COST,
    "a_second_sigterm_is_ignored": _PROCESS,
    "tokens_are_renamed_before_they_are_on_the_disk": _WEB,
    "a_stop_cancels_a_refresh": _WEB,
    "a_login_can_be_answered_twice": _WEB,
    "too_many_requests_cost_a_refresh": _WEB,
    "what_is_no_object_is_read_as_one": _TEXT,
    "odd_bytes_in_a_handshake_are_a_fault_of_ours": _WEB,
    "a_certificate_is_for_every_ip_address": _WEB,
    "a_login_after_the_file_was_removed_is_not_seen": _WEB,
    "two_modules_have_one_client_id": "no configuration sets a client id",
    "objects_of_the_start_cost_every_full_collection": _COST,
    "a_byte_now_and_then_is_a_sign_of_life": "a model broker sends whole packets",
    "a_subscribe_without_an_answer_is_not_logged": _LOG,
    "devices_that_share_a_name_are_not_reported": _LOG,
    "a_fixed_version_of_mqtt_is_given_up": _ONE_VERSION,
    "a_removed_device_is_known_again_after_a_restart": "no device is removed",
    "more_devices_are_kept_than_the_file_may_hold": _COST,
    "devices_that_are_gone_are_kept_for_good": _COST,
    "what_tls_has_not_sent_counts_as_taken": _WEB,
    "tls_is_written_before_the_handshake": _WEB,
    "metrics_for_a_closed_stdout_count_as_delivered": _PROCESS,
    "a_stdout_that_takes_nothing_is_not_refused": _PROCESS,
    "time_in_which_the_process_stands_still_counts": _PROCESS,
    "an_alarm_finds_its_default_action": _PROCESS,
    "a_child_inherits_the_private_output": _PROCESS,
}
"""Deliberate breaks that are not tried, each with the reason."""

WHY_MISSED: Final[dict[str, str]] = {
    "an_acknowledgement_follows_disconnect": (
        "a connection is left when all is acknowledged, or after drain_timeout"
    ),
    "a_stop_keeps_the_pressure": (
        "the pressure ends as the output is drained; if it is not, what is queued is lost too; "
        "tests.test_agent_stop finds it"
    ),
    "pressure_is_lifted_although_it_is_back": (
        "what a connection has held is handed on in a turn of its own, after all have resumed"
    ),
    "two_ticks_at_the_same_moment": (
        "a tick would have to end late by whole intervals, but for a rounding error"
    ),
    "restarts_are_never_forgotten": "a module that is parked sooner is tried again all the same",
    "a_stop_right_after_a_reload_drops_what_was_set_aside": (
        "it needs a stop that comes while a reload swaps the modules, where losses at QoS 0 are "
        "excused; test_announcement_gate finds it"
    ),
    "each_copy_of_a_message_is_handled": "each copy counts as a message that was sent",
    "a_connection_that_a_reload_ends_is_read_on": (
        "the reload has paused it, or the end of its module; test_connections finds it"
    ),
    "names_are_not_waited_for": (
        "names are known from the first start on, unless a kill or the disk costs the state; where "
        "faults make announcements late, lines without names are excused; test_announcement_gate "
        "finds it"
    ),
    "a_hundred_messages_wait_for_names_and_no_more": "as above",
    "a_stop_waits_for_the_time_to_try_again": (
        "what a stop does not deliver is logged, and stays at the broker at QoS 1; "
        "tests.output.http.test_writer finds it"
    ),
    "all_that_is_queued_is_taken_while_the_database_is_away": (
        "of what is held for a database one batch may have 1 MiB; tests.output.http.test_writer "
        "finds it"
    ),
    "a_wrong_path_drops_lines": (
        "a line would have to be alone for 10 s at a wrong address that has taken none since the "
        "start; tests.output.http.test_writer finds it"
    ),
    "filters_are_not_subscribed_again": (
        "a session keeps its filters; only a SUBSCRIBE that is lost with its connection would be "
        "missing; test_connection finds it"
    ),
}
"""Mutants that are tried and may not be found, each with the reason."""
