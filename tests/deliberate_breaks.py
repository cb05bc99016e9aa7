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
        'kept.replace(",", "\\\\,").replace(" ", "\\\\ ")',
        'kept.replace(" ", "\\\\ ")',
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
        "a_late_acknowledgement_goes_out_on_a_closed_connection",
        "transports/mqtt/acknowledge.py",
        "if ready and not self._closed:",
        "if ready:",
        "tests.transports.mqtt.test_acknowledge tests.transports.mqtt.test_connection",
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
        "if self._reconciled:",
        "if True:",
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
)
