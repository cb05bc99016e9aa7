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
_WEB: Final = "WebSocket, TLS and logins are not simulated"
_MQTT_OUTPUT: Final = "the output to a broker is not simulated"
_SILENT: Final = "a run is shorter than the day after which a device may be overdue"
_STATUS: Final = "the status socket, the status page and their clients are not simulated"
_MAY_BE_AWAY: Final = (
    "lines of a device that says whether it is there may be written or not until it has said so"
)
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
    "a_blocking_call_that_was_cancelled_runs": "one that is left waiting is left out in its thread",
    "the_watchdog_only_barks": _PROCESS,
    "dear_messages_are_handled_by_the_dozen": _COST,
    "a_copy_is_left_out_in_silence": _COUNTED,
    "any_equal_message_is_a_copy": "no two messages are equal, since they are numbered",
    "a_flood_blocks_the_others": _COST,
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
    "a_stop_during_the_start_forgets_devices": (
        "nothing is read for a module before its start is over, so no device has changed by then"
    ),
    "more_devices_are_kept_than_the_file_may_hold": _COST,
    "devices_that_are_gone_are_kept_for_good": _COST,
    "what_tls_has_not_sent_counts_as_taken": _WEB,
    "tls_is_written_before_the_handshake": _WEB,
    "metrics_for_a_closed_stdout_count_as_delivered": _PROCESS,
    "a_stdout_that_takes_nothing_is_not_refused": _PROCESS,
    "time_in_which_the_process_stands_still_counts": _PROCESS,
    "an_alarm_finds_its_default_action": _PROCESS,
    "a_child_inherits_the_private_output": _PROCESS,
    "a_message_that_no_one_gets_counts_as_delivered": _MQTT_OUTPUT,
    "a_refused_message_counts_as_delivered": _MQTT_OUTPUT,
    "lines_count_as_delivered_when_they_are_published": _MQTT_OUTPUT,
    "what_was_not_answered_is_not_published_again": _MQTT_OUTPUT,
    "a_single_line_that_is_refused_is_dropped": _MQTT_OUTPUT,
    "a_restart_of_a_broker_makes_messages_shorter": _MQTT_OUTPUT,
    "a_connection_that_ends_takes_the_message_with_it": _MQTT_OUTPUT,
    "a_broker_that_does_not_answer_messages_is_taken": _MQTT_OUTPUT,
    "a_device_makes_us_read_our_own_output": _MQTT_OUTPUT,
    "a_broker_that_refuses_all_messages_for_a_while_has_lines_dropped": _MQTT_OUTPUT,
    "a_line_that_is_rejected_in_a_check_is_dropped_before_its_end": _MQTT_OUTPUT,
    "a_check_waits": _MQTT_OUTPUT,
    "a_module_that_has_not_stopped_is_not_named": _LOG,
    "any_number_of_blocking_calls_waits": _COST,
    "a_tap_that_is_not_read_fills_the_memory": _STATUS,
    "others_may_use_the_status_socket": _STATUS,
    "the_status_socket_of_another_agent_is_taken": _STATUS,
    "a_parked_module_is_no_problem": _STATUS,
    "the_age_of_the_oldest_line_is_forgotten": _STATUS,
    "a_text_hides_the_last_number": _TEXT,
    "who_came_first_has_the_name": _TEXT,
    "what_an_answer_quotes_decides_what_is_stored": _TEXT,
    "more_lines_are_counted_than_were_sent": "no database counts more lines than it was sent",
    "values_that_the_broker_stored_are_new": "no device retains its values",
    "a_publisher_may_have_announcements_as_states": "no device announces a topic of announcements",
    "what_a_module_collects_at_another_broker_is_left_out": "no device is known to two modules",
    "a_message_for_all_entities_takes_one_turn": _COST,
    "templates_of_removed_entities_stay": _COST,
    "entities_that_went_silent_are_kept_for_good": _COST,
    "what_another_connection_learned_of_a_broker_is_undone": (
        "each connection waits a little, within the time to recover"
    ),
    "a_status_socket_that_was_removed_stays_away": _STATUS,
    "any_name_leads_to_the_status_page": _STATUS,
    "pages_of_other_sites_may_ask_for_the_state": _STATUS,
    "any_cookie_is_that_of_a_known_browser": _STATUS,
    "any_token_lets_a_browser_in": _STATUS,
    "a_status_page_beyond_loopback_needs_no_token": _STATUS,
    "the_status_page_takes_any_method": _STATUS,
    "a_client_that_does_not_read_stays": _STATUS,
    "gzip_gathers_many_pieces_in_one_turn": _STATUS,
    "a_name_forges_a_metric": _STATUS,
    "a_device_that_is_known_to_be_offline_is_overdue": _SILENT,
    "a_device_on_events_is_overdue": _SILENT,
    "a_device_that_was_overdue_three_times_is_reported_on": _SILENT,
    "what_a_device_announced_of_its_silence_does_not_count": _SILENT,
    "silence_counts_while_the_connection_is_down": _SILENT,
    "silence_counts_while_the_process_stands_still": _SILENT,
    "the_clock_of_silence_goes_on_as_soon_as_there_is_a_connection": _SILENT,
    "a_fleet_that_is_silent_is_a_line_for_each_device": _SILENT,
    "two_silent_devices_are_taken_for_a_broker_that_is_away": _SILENT,
    "the_end_of_a_silence_is_learned_as_an_interval": _SILENT,
    "a_restart_is_silence": _SILENT,
    "what_was_learned_of_devices_is_not_saved_at_the_stop": _SILENT,
    "an_unread_file_of_devices_is_replaced": _SILENT,
    "stale_is_not_written": _SILENT,
    "each_copy_of_a_message_is_handled": "no module's filters overlap",
    "what_a_device_is_set_to_is_measured": _TEXT,
    "a_difference_of_temperatures_is_one": _TEXT,
    "thousands_of_filters_have_a_topic_in_common": _COST,
    "each_filter_has_the_steps_of_a_message": _COST,
    "a_device_announced_after_its_bridge_is_never_there": (
        "no two devices share a topic of availability"
    ),
    "silence_of_a_device_means_offline": "no device has several topics of availability",
    "an_update_forgets_who_is_there": "no device changes its topic of availability",
    "values_that_the_broker_kept_wait_for_its_stored_message": _MAY_BE_AWAY,
    "a_device_is_online_because_it_was": _MAY_BE_AWAY,
    "pressure_is_lifted_although_it_is_back": (
        "what a connection has held is handed on in a turn of its own, after all have resumed"
    ),
}
"""Deliberate breaks that are not tried, each with the reason."""

WHY_MISSED: Final[dict[str, str]] = {
    "an_acknowledgement_follows_disconnect": (
        "the reader would have to go on after the goodbye to a broker that does not close at once"
    ),
    "what_a_lost_connection_brought_is_set_aside_again": (
        "modules would have to subscribe between the loss of a connection and the handling of what "
        "it has brought"
    ),
    "a_cut_answer_counts": (
        "an answer that says its length would have to be cut in its body; one of two searches of "
        "today's simulation found it"
    ),
    "a_silent_broker_costs_what_was_set_aside": (
        "the broker would have to fall silent while messages wait, for longer than the keepalive"
    ),
}
"""Mutants that are tried and may not be found, each with the reason."""
