"""Deliberate breaks of the code, each with the tests that must notice it; see test_breaks."""

from __future__ import annotations

from typing import Final

from attrs import frozen

__all__ = ["BREAKS", "Break"]


@frozen
class Break:
    """One break.

    Attributes:
        name: what is wrong afterwards; becomes the name of a test.
        path: the file, below the package.
        old: what stands there, exactly once.
        new: what the break puts there.
        tests: the tests that must fail, as trial names them.
    """

    name: str
    path: str
    old: str
    new: str
    tests: str


BREAKS: Final = (
    Break(
        "comma_in_a_tag_is_not_escaped",
        "line_protocol.py",
        'text.replace(",", "\\\\,").replace(" ", "\\\\ ")',
        'text.replace(" ", "\\\\ ")',
        "tests.test_line_protocol",
    ),
    Break(
        "a_dropped_batch_counts_as_delivered",
        "output/sink.py",
        "self._settle(batches, delivered=False)",
        "self._settle(batches, delivered=True)",
        "tests.output.test_sink",
    ),
    Break(
        "a_partly_written_batch_is_dropped",
        "output/queue.py",
        "queued.popleft() if self._offset else None",
        "None",
        "tests.output.test_queue",
    ),
    Break(
        "drain_does_not_ask_whether_the_reader_has_taken_it",
        "output/sink.py",
        "return self._queue.queued_metrics + self._queue.in_flight_metrics",
        "return self._queue.queued_metrics",
        "tests.output.test_sink",
    ),
    Break(
        "acknowledgements_overtake_each_other",
        "transports/mqtt/acknowledge.py",
        "while self._waiting and self._waiting[0].settled:",
        "while self._waiting:",
        "tests.transports.mqtt.test_acknowledge",
    ),
    Break(
        "messages_are_acknowledged_before_they_are_read",
        "transports/mqtt/intake.py",
        "= acknowledgements.hold(packet_ids) if packet_ids",
        "= acknowledgements.release(packet_ids) if packet_ids",
        "tests.faults.test_outside_streams.StreamTests.test_stdout_stopped_killed",
    ),
    Break(
        "every_tenth_message_vanishes",
        "transports/mqtt/intake.py",
        "        self.stats.messages += 1\n        if len(payload)",
        "        self.stats.messages += 1\n"
        "        if self.stats.messages % 10 == 0:\n            return\n"
        "        if len(payload)",
        "tests.faults.test_inside.InsideTests.test_tick_exception",
    ),
    Break(
        "a_late_acknowledgement_goes_out_on_a_closed_connection",
        "transports/mqtt/acknowledge.py",
        "if ready and not self._closed:",
        "if ready:",
        "tests.transports.mqtt.test_acknowledge tests.transports.mqtt.test_connection",
    ),
    Break(
        "an_acknowledgement_follows_disconnect",
        "transports/mqtt/link.py",
        "if self._cause is None and not self._said_goodbye and",
        "if self._cause is None and",
        "tests.transports.mqtt.test_connection",
    ),
    Break(
        "a_pause_keeps_back_nothing_that_was_read",
        "transports/mqtt/inflow.py",
        "held = not self._reasons <= _READING_ONLY",
        "held = False",
        "tests.transports.mqtt.test_inflow",
    ),
    Break(
        "a_pause_ends_with_the_first_reason_taken_back",
        "transports/mqtt/inflow.py",
        "self._reasons.discard(reason)",
        "self._reasons.clear()",
        "tests.transports.mqtt.test_inflow",
    ),
    Break(
        "the_rest_of_a_read_is_forgotten",
        "transports/mqtt/inflow.py",
        "self._frames += rest",
        "pass",
        "tests.transports.mqtt.test_inflow",
    ),
    Break(
        "a_lost_connection_takes_what_it_brought_with_it",
        "transports/mqtt/inflow.py",
        "not (self._reads or self._frames or self._handing_on):",
        "not self._handing_on:",
        "tests.transports.mqtt.test_inflow",
    ),
    Break(
        "short_lives_are_never_forgotten",
        "transports/reconnecting.py",
        "self._short_lives = 0 if self._proved_itself else self._short_lives + 1",
        "self._short_lives += 1",
        "tests.transports.test_reconnecting",
    ),
    Break(
        "an_attempt_has_a_deadline_for_each_step",
        "transports/reconnecting.py",
        "    def _transport_open(self, _link: _Link) -> None:\n",
        "    def _transport_open(self, _link: _Link) -> None:\n"
        "        self._deadline.start(self._timeout_s)\n",
        "tests.transports.test_reconnecting",
    ),
    Break(
        "a_connection_is_proven_while_it_is_drained",
        "transports/reconnecting.py",
        "        if not self.connected:\n            return",
        "        if False:\n            return",
        "tests.transports.test_reconnecting",
    ),
    Break(
        "modules_import_each_other",
        "host_port.py",
        "from metrics_agent.pem import hide_keys",
        "from metrics_agent.pem import hide_keys\n\n\ndef later() -> None:\n"
        "    import metrics_agent.transports.hostname",
        "tests.test_imports",
    ),
    Break(
        "two_messages_of_a_burst_have_the_same_time",
        "transports/mqtt/intake.py",
        "self._time_ns += 1",
        "self._time_ns += 0",
        "tests.transports.mqtt.test_connection",
    ),
    Break(
        "a_wildcard_matches_the_brokers_own_topics",
        "transports/mqtt/topics.py",
        'wildcards = not topic.startswith("$")',
        "wildcards = True",
        "tests.transports.mqtt.test_topics",
    ),
    Break(
        "a_filter_is_given_up_before_everybody_has_subscribed",
        "transports/mqtt/subscriber.py",
        "unwanted = stale - doubled if self._reconciled else set()",
        "unwanted = stale - doubled",
        "tests.transports.mqtt.test_connection",
    ),
    Break(
        "a_filter_that_is_wanted_again_counts_as_given_up",
        "transports/mqtt/subscriber.py",
        "names[:] = [name for name in names if name not in wanted]",
        "pass",
        "tests.transports.mqtt.test_connection",
    ),
    Break(
        "a_secret_shows_itself",
        "config/secret.py",
        'return "***"',
        "return self._value",
        "tests.config.test_types",
    ),
    Break(
        "retained_telemetry_is_taken_as_new",
        "modules/tasmota/service.py",
        'if message.retain and subtopic != "LWT":',
        "if False:",
        "tests.modules.tasmota.test_cases",
    ),
    Break(
        "asking_for_totals_sets_the_counter",
        "modules/tasmota/service.py",
        '/EnergyTotal", b"")',
        '/EnergyTotal", b"0")',
        "tests.modules.tasmota.test_service",
    ),
    Break(
        "equal_faults_are_not_folded",
        "logs/folding.py",
        "if self.room and not said_before:",
        "if True:",
        "tests.logs.test_folding",
    ),
    Break(
        "the_watchdog_only_barks",
        "supervision/watchdog.py",
        "self._exit(EXIT_STATUS)",
        "None",
        "tests.supervision.test_watchdog",
    ),
    Break(
        "a_module_that_exits_takes_the_process_along",
        "supervision/guard.py",
        "        except BaseException as error:",
        "        except Exception as error:",
        "tests.supervision.test_guard",
    ),
    Break(
        "a_timer_stops_after_one_fault",
        "supervision/ticker.py",
        "self._failed = 0 if fault is None else self._failed + 1",
        "return",
        "tests.supervision.test_ticker",
    ),
    Break(
        "restarts_are_never_forgotten",
        "supervision/policy.py",
        "restarts[0] <= now_s - self._window_s",
        "False",
        "tests.supervision.test_policy",
    ),
    Break(
        "timers_of_a_stopped_module_go_on",
        "supervision/context.py",
        '            self._guard.run("clean_up", each.cancel)',
        "            pass",
        "tests.supervision.test_context",
    ),
    Break(
        "a_flood_blocks_the_others",
        "supervision/emitter.py",
        "if not self._loop.active and not self._busy:\n            self._work(METRICS_A_TURN)",
        "if not self._loop.active and not self._busy:\n            self._work(METRICS_AT_ONCE)",
        "tests.supervision.test_emitter",
    ),
    Break(
        "a_module_whose_stop_hangs_is_waited_for_for_ever",
        "supervision/supervisor.py",
        "self._timeouts.stop_s, self._let_go",
        "1e6, self._let_go",
        "tests.supervision.test_supervisor",
    ),
    Break(
        "a_broken_configuration_stops_everything",
        "agent.py",
        "        if not isinstance(plan, Plan):",
        "        if isinstance(plan, str):\n            await self._modules.stop_all()\n"
        "        if not isinstance(plan, Plan):",
        "tests.test_agent_reload",
    ),
    Break(
        "a_second_sigterm_is_ignored",
        "process/signals.py",
        "if stops and self._asked_to_stop:",
        "if False:",
        "tests.process.test_signals",
    ),
    Break(
        "tokens_are_renamed_before_they_are_on_the_disk",
        "transports/oauth2/store.py",
        "            self._files.truncate(descriptor, len(data))\n"
        "            self._files.sync(descriptor)\n",
        "            self._files.truncate(descriptor, len(data))\n",
        "tests.transports.oauth2.test_store",
    ),
    Break(
        "a_stop_cancels_a_refresh",
        "transports/oauth2/keeper.py",
        "        self._turn.run(lambda: ensureDeferred(locked())).addBoth(hand_on)\n"
        "        return waiter",
        "        return self._turn.run(lambda: ensureDeferred(locked()))",
        "tests.transports.oauth2.test_keeper",
    ),
    Break(
        "a_login_can_be_answered_twice",
        "transports/oauth2/logins.py",
        "        del self._pending[state]\n",
        "",
        "tests.transports.oauth2.test_logins",
    ),
    Break(
        "too_many_requests_cost_a_refresh",
        "modules/netatmo/answers.py",
        'return Verdict(Action.PAUSE, "usage", said)',
        'return Verdict(Action.RENEW, "usage", said)',
        "tests.modules.netatmo.test_answers",
    ),
    Break(
        "what_is_no_object_is_read_as_one",
        "modules/tasmota/decode.py",
        "if content.__class__ is not dict:",
        "if content is None:",
        "tests.fuzz.test_fuzz.FuzzTests.test_tasmota",
    ),
    Break(
        "odd_bytes_in_a_handshake_are_a_fault_of_ours",
        "transports/mqtt/websocket_stream.py",
        "except (WebSocketError, ValueError) as fault",
        "except WebSocketError as fault",
        "tests.fuzz.test_fuzz.FuzzTests.test_mqtt_websocket",
    ),
    Break(
        "a_certificate_is_for_every_ip_address",
        "transports/tls.py",
        "            if depth == 0:\n",
        "            if depth == 0 and not self._is_address:\n",
        "tests.transports.test_tls",
    ),
    Break(
        "a_login_after_the_file_was_removed_is_not_seen",
        "transports/oauth2/keeper.py",
        "return one.serial > other.serial or one.obtained_at_s > other.obtained_at_s",
        "return one.serial > other.serial",
        "tests.transports.oauth2.test_keeper",
    ),
    Break(
        "an_overtaken_reload_starts_its_modules",
        "supervision/group.py",
        "if stops != self._stops or not still_wanted():",
        "if not still_wanted():",
        "tests.supervision.test_group",
    ),
    Break(
        "a_reload_begins_during_a_stop",
        "agent.py",
        "        if self.stopping:\n            return\n        if not self.running or",
        "        if not self.running or",
        "tests.test_agent_stop",
    ),
    Break(
        "a_reload_goes_on_into_a_stop",
        "agent.py",
        "        if not self.stopping:\n            await self._put_into_force(plan)",
        "        await self._put_into_force(plan)",
        "tests.test_agent_stop",
    ),
    Break(
        "connections_do_not_follow_their_modules",
        "agent.py",
        'self._guard.run("connections", self._follow_modules)',
        "pass",
        "tests.test_agent tests.test_assembly.ConnectionTests",
    ),
    Break(
        "a_new_connection_is_read_before_its_module_runs",
        "transports/mqtt/connections.py",
        "        if instance not in self._running:\n            connection.pause_reading(",
        "        if False:\n            connection.pause_reading(",
        "tests.transports.mqtt.test_connections",
    ),
    Break(
        "a_module_that_waits_for_its_restart_is_read_for",
        "transports/mqtt/connections.py",
        "            elif instance not in self._running:",
        "            elif False:",
        "tests.transports.mqtt.test_connections",
    ),
    Break(
        "a_module_is_read_for_while_it_is_stopped",
        "supervision/supervisor.py",
        "        if action is Action.CLEAR:\n            # Before",
        "        if False:\n            # Before",
        "tests.supervision.test_supervisor_states",
    ),
    Break(
        "a_parked_module_keeps_its_connection",
        "transports/mqtt/connections.py",
        "            if instance in self._parked:",
        "            if False:",
        "tests.transports.mqtt.test_connections",
    ),
    Break(
        "a_stop_waits_for_connections_that_are_not_read",
        "transports/mqtt/connections.py",
        "                if instance in self._running\n",
        "",
        "tests.transports.mqtt.test_connections",
    ),
    Break(
        "pressure_is_lifted_although_it_is_back",
        "transports/mqtt/connections.py",
        "            if reason in self._pause_reasons:",
        "            if False:",
        "tests.transports.mqtt.test_connections",
    ),
    Break(
        "a_connection_starts_before_the_old_one_of_its_id_has_ended",
        "transports/mqtt/connections.py",
        "        if closing is None:",
        "        if True:",
        "tests.transports.mqtt.test_connections",
    ),
    Break(
        "two_modules_have_one_client_id",
        "plan.py",
        "        if name in taken or name in own:",
        "        if False:",
        "tests.test_plan",
    ),
    Break(
        "the_client_id_leaves_the_module_out",
        "transports/mqtt/client_id.py",
        "brokers, user, module])",
        'brokers, user, ""])',
        "tests.transports.mqtt.test_client_id",
    ),
    Break(
        "objects_of_the_start_cost_every_full_collection",
        "process/running.py",
        "        gc.freeze()\n",
        "",
        "tests.process.test_boot",
    ),
    Break(
        "a_byte_now_and_then_is_a_sign_of_life",
        "transports/mqtt/link.py",
        "        if on_its_way or not self.inflow.reading:",
        "        if tick_bytes or not self.inflow.reading:",
        "tests.transports.mqtt.test_connection",
    ),
    Break(
        "a_subscribe_without_an_answer_is_not_logged",
        "transports/mqtt/connection.py",
        "            if self._subscriber.waits_for_an_answer and not self._answers.active:",
        "            if False:",
        "tests.transports.mqtt.test_connection",
    ),
    Break(
        "devices_that_share_a_name_are_not_reported",
        "line_protocol.py",
        "hash(written) if known else this",
        "this",
        "tests.test_line_protocol",
    ),
    Break(
        "a_broker_that_refuses_mqtt_5_is_asked_for_it_again",
        "transports/mqtt/versions.py",
        "self._refuse_5.add(address)",
        "pass",
        "tests.transports.mqtt.test_versions",
    ),
    Break(
        "a_fixed_version_of_mqtt_is_given_up",
        "transports/mqtt/versions.py",
        'if protocol != "auto":\n            return False',
        "if False:\n            return False",
        "tests.transports.mqtt.test_versions",
    ),
    Break(
        "any_refusal_changes_the_version_of_mqtt",
        "transports/mqtt/connection.py",
        "cause.kind == causes.BAD_VERSION and self._use_other_version()",
        "self._use_other_version()",
        "tests.transports.mqtt.test_versions",
    ),
    Break(
        "receive_maximum_is_not_sent",
        "transports/mqtt/engine.py",
        "properties.ReceiveMaximum = self._settings.receive_maximum",
        "pass",
        "tests.transports.mqtt.test_engine",
    ),
    Break(
        "a_message_is_handled_before_the_announcements",
        "transports/mqtt/inflow.py",
        "announcements.sift(some) if announcements.active else some",
        "some",
        "tests.transports.mqtt.test_announcements",
    ),
    Break(
        "what_waited_for_announcements_is_overtaken",
        "transports/mqtt/inflow.py",
        "self._frames[:0] = frames",
        "self._frames += frames",
        "tests.transports.mqtt.test_announcements",
    ),
    Break(
        "what_waits_for_announcements_is_forgotten_with_the_connection",
        "transports/mqtt/inflow.py",
        "        self.announcements.end()\n        self._end_if_drained()",
        "        self._end_if_drained()",
        "tests.transports.mqtt.test_announcements",
    ),
    Break(
        "messages_that_wait_for_announcements_have_no_bound",
        "transports/mqtt/announcements.py",
        "if self._bytes >= SET_ASIDE_BYTES:",
        "if False:",
        "tests.transports.mqtt.test_announcements",
    ),
    Break(
        "announcements_are_not_awaited_after_a_pause",
        "transports/mqtt/announcements.py",
        "if not self._paused:",
        "if True:",
        "tests.transports.mqtt.test_announcements",
    ),
    Break(
        "the_barrier_of_an_earlier_subscription_counts",
        "transports/mqtt/announcements.py",
        "is_passed and self._barrier is passed and self.active",
        "is_passed and self.active",
        "tests.transports.mqtt.test_announcements",
    ),
    Break(
        "the_ping_goes_out_before_the_suback",
        "transports/mqtt/connection.py",
        "awaited.wants_barrier and not self._subscriber.awaits(filters)",
        "awaited.wants_barrier",
        "tests.transports.mqtt.test_announcements",
    ),
    Break(
        "a_stop_waits_for_announcements",
        "transports/mqtt/connection.py",
        "        self._link.inflow.announcements.end()\n",
        "",
        "tests.transports.mqtt.test_announcements",
    ),
    Break(
        "announcements_are_subscribed_to_at_qos_1",
        "supervision/context.py",
        "0 if announcements else qos",
        "qos",
        "tests.supervision.test_context",
    ),
    Break(
        "a_removed_device_is_known_again_after_a_restart",
        "modules/tasmota/service.py",
        "            self._gone.add(device.topic)\n            self._known.note_change()",
        "            self._gone.add(device.topic)",
        "tests.modules.tasmota.test_known",
    ),
    Break(
        "a_stop_during_the_start_forgets_devices",
        "modules/tasmota/known.py",
        "if self._changed and self._restored:\n            self._changed = False",
        "if self._changed:\n            self._changed = False",
        "tests.modules.tasmota.test_known",
    ),
    Break(
        "more_devices_are_kept_than_the_file_may_hold",
        "modules/tasmota/known.py",
        "if self._size_bytes <= STATE_FILE_BYTES:",
        "if True:",
        "tests.modules.tasmota.test_known",
    ),
    Break(
        "devices_that_are_gone_are_kept_for_good",
        "modules/tasmota/registry.py",
        "if not self._by_mac[mac].has_sent]",
        "if False]",
        "tests.modules.tasmota.test_known",
    ),
)
