"""The rows of attacks: what anybody who may publish, a broker or a server can send on purpose.

Each is a test ``test_<name>`` in one of the modules ``test_*`` here.
"""

from __future__ import annotations

from typing import Final

from tests.faults.row import Row

__all__ = ["HOSTILE", "hostile"]

_ONE: Final = "that message is left out, the others run"
_BOUNDED: Final = "memory stays bounded, the others run"

_ROWS: Final = (
    # name, place, fault, must
    ("digits_name", "message", "an object whose name is 130,000 digits and an x", _ONE),
    ("announcement_not_json", "announcement", '`{"dn":"` 149,000 times, retained', _ONE),
    (
        "announced_filters",
        "announcement",
        "topics with non-characters, with 250 levels; retained",
        "they are not subscribed to; the connection stays, after a restart too",
    ),
    (
        "command_topics",
        "announcement",
        "a command topic with non-characters, of another's device",
        "nothing is published there",
    ),
    ("long_topics", "message", "thousands of topics of 65 kB", _BOUNDED),
    ("long_names", "announcement", "400 devices with 1 MB of friendly names", _BOUNDED),
    ("long_objects", "message", "256 objects with names of 1 MB", _BOUNDED),
    ("many_sensors", "message", "2,000 devices with 256 sensors each", _BOUNDED),
    ("many_keys", "message", "ever new names of objects and keys, announced and sent", _BOUNDED),
    ("many_topics", "announcement", "300 devices with a FullTopic each", "256 are taken"),
    ("many_points", "message", "35,000 points in 912 kB", "bounded work, the others run"),
    (
        "forged_lines",
        "announcement",
        "names with newlines, C1 controls, bidi and invisible characters",
        "no such character in the log or the metrics",
    ),
    ("long_friendly_name", "announcement", "a friendly name of 65,000 bytes", "it is cut"),
    ("no_fields", "message", "an object in which nothing is a metric", "the log names the device"),
    ("tasmota_fields", "message", "each text of each Tasmota message, filled to 1 MiB", _ONE),
    ("tasmota_payloads", "message", "1 MiB of what is not a message at all, on each topic", _ONE),
    ("topics_filled", "message", "topics of 65 kB of each pattern", _ONE),
    ("opendtu_fields", "message", "each text and topic that a DTU publishes, filled", _ONE),
    ("opendtu_frames", "frame", "each text of a DTU's frames, filled to 1 MiB", _ONE),
    ("netatmo_answers", "HTTP", "each text of Netatmo's answers, filled to 1 MiB", _ONE),
    (
        "hadiscovery_fields",
        "announcement",
        "each text of what announces itself to Home Assistant, templates and states, filled",
        _ONE,
    ),
    (
        "web_answers",
        "HTTP",
        "each header, and each text of a token endpoint's answers, filled to 1 MiB",
        "that answer is left out, the others run",
    ),
    (
        "output_answers",
        "HTTP",
        "each text and header of a database's answers to bad lines, filled",
        "no other line is lost, the others run",
    ),
    ("status_requests", "status", "each text of a request to page or socket, filled", _BOUNDED),
    ("small_announcements", "announcement", "thousands that cannot be read, of few bytes", _ONE),
    ("small_messages", "message", "thousands of one byte from ever new devices", _BOUNDED),
    ("same_topic", "announcement", "devices that claim each other's topic by turns", _BOUNDED),
    (
        "mqtt_packets",
        "broker",
        "each text of each packet filled, MQTT 3.1.1 and 5, TCP and WebSocket",
        "one line down; connected again",
    ),
    ("broker_pings", "broker", "a WebSocket that pings and never reads", _BOUNDED),
    ("broker_floods", "broker", "QoS 1 from one that never reads", _BOUNDED),
    ("broker_floods_qos_2", "broker", "QoS 2 from one that never reads", _BOUNDED),
    ("broker_releases", "broker", "PUBREL without end from one that never reads", _BOUNDED),
    (
        "announcement_flood",
        "process",
        "the memory limit is reached during 90,000 announcements",
        "the connection goes on, or ends with a line and comes back",
    ),
    ("device_flood", "announcement", "announcements of ever new devices", "bounded by their limit"),
    (
        "broker_restarts",
        "broker",
        "restarted 5 times, every 4 s",
        "telemetry is back within 5 s of the last; the log claims no other client",
    ),
    ("suback_refuses", "broker", "a filter is refused once", "it is asked for again"),
)

HOSTILE: Final = tuple(Row(*row) for row in _ROWS)
_BY_NAME: Final = {row.name: row for row in HOSTILE}


def hostile(name: str) -> Row:
    """Return a row."""
    return _BY_NAME[name]
