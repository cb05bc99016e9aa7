"""Limits on what comes from outside, each with its source.

A limit that the sender's own software keeps costs no honest device anything. Whatever is over a
limit is left out, counted under its reason and logged once with the device and the limit.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "CACHED_TOPIC_BYTES",
    "CONTROL_PACKET_BYTES",
    "COUNTED_SERIES_BYTES",
    "DEVICE_BOOK_BYTES",
    "HADISCOVERY_COMPONENTS",
    "HADISCOVERY_CONFIG_BYTES",
    "HADISCOVERY_ENTITIES",
    "HADISCOVERY_ENTITIES_TOGETHER",
    "HADISCOVERY_FIELD_CHARS",
    "HADISCOVERY_INTEGER",
    "HADISCOVERY_JINJA_CHARS",
    "HADISCOVERY_LIST_ITEMS",
    "HADISCOVERY_LONG_BYTES",
    "HADISCOVERY_NAME_CHARS",
    "HADISCOVERY_OPTIONS",
    "HADISCOVERY_PAYLOAD_BYTES",
    "HADISCOVERY_STATUS_BYTES",
    "HADISCOVERY_TEMPLATE_BYTES",
    "HADISCOVERY_TEXT_CHARS",
    "HADISCOVERY_TOPICS",
    "HADISCOVERY_TOPIC_CHARS",
    "HADISCOVERY_TOPIC_LEVELS",
    "HADISCOVERY_WILDCARDS_TOGETHER",
    "LAST_LINES_BYTES",
    "LOGIN_BODY_BYTES",
    "LOGIN_CONNECTIONS",
    "LOGIN_CONNECTIONS_PER_PEER",
    "LOGIN_HEADERS",
    "LOGIN_HEADER_BYTES",
    "LOGIN_PEERS",
    "LOGIN_REQUESTS_PER_MINUTE",
    "REMEMBERED_FILTERS",
    "SERIES_CACHE_BYTES",
    "SERIES_PER_DEVICE",
    "STATE_FILE_BYTES",
    "STATUS_BODY_BYTES",
    "STATUS_CONNECTIONS",
    "STATUS_HEADERS",
    "STATUS_HEADER_BYTES",
    "TAG_VALUE_BYTES",
    "TASMOTA_DEVICES",
    "TASMOTA_DEVICE_BYTES",
    "TASMOTA_LONG_NAMES_BYTES",
    "TASMOTA_MESSAGE_BYTES",
    "TASMOTA_NAME_CHARS",
    "TASMOTA_OBJECTS",
    "TASMOTA_PLANS_BYTES",
    "TASMOTA_POINTS",
    "TASMOTA_REMEMBERED_DEVICES",
    "TASMOTA_STRANGERS",
    "TASMOTA_TOPIC_CHARS",
    "TASMOTA_TOPIC_LEVELS",
    "TOPIC_CACHE_BYTES",
    "TOPIC_LEVELS",
]

TOPIC_LEVELS: Final = 200
"""Levels of a topic or a filter: mosquitto's TOPIC_HIERARCHY_LIMIT; it disconnects beyond that."""

CONTROL_PACKET_BYTES: Final = 4096
"""An MQTT packet from a broker without topic and payload. A SUBACK for all that we ask for in one
packet has 10 bytes, a reason a line of text; paho takes 2 s for 140 kB of properties."""

TOPIC_CACHE_BYTES: Final = 11 * 1024 * 1024
"""Memory for the routes of topics that were seen: some 40,000 topics of 40 characters."""

CACHED_TOPIC_BYTES: Final = 1024
"""A longer topic is looked up each time. Tasmota's longest has some 200 bytes."""

SERIES_PER_DEVICE: Final = 1000
"""The default of the setting. A Zigbee bridge with 100 sensors, three series each, has 300."""

TASMOTA_MESSAGE_BYTES: Final = 64 * 1024
"""A message of a Tasmota device. The firmware's packet has 1,200 bytes by default
(MQTT_MAX_PACKET_SIZE); an ESP8266 has 80 KiB of memory in all."""

TASMOTA_OBJECTS: Final = 512
"""Members of one message. An ESP32 that passes on the sensors of its neighbourhood has some 100."""

TASMOTA_POINTS: Final = 512
"""Points of one message: two for each of the sensors above, and twice as many."""

TASMOTA_NAME_CHARS: Final = 128
"""A name that a device gives itself, a sensor or a state. The web interface takes 32 characters
of a name, and the firmware keeps all its texts together in 699 bytes (settings_text_size)."""

TASMOTA_TOPIC_CHARS: Final = 256
"""A topic of a device, its FullTopic and prefixes: the firmware's TOPSZ is 151."""

TASMOTA_TOPIC_LEVELS: Final = 16
"""Levels of such a topic; each level of each filter takes memory."""

COUNTED_SERIES_BYTES: Final = 2 * 1024 * 1024
"""Memory for counting series: some 9,000 devices of a few series each."""

DEVICE_BOOK_BYTES: Final = 6 * 1024 * 1024
"""Memory of a module for when its devices were heard: some 10,000."""

LAST_LINES_BYTES: Final = 4 * 1024 * 1024
"""Memory of a module for the last line of each series, where they are shown: some 8,000."""

SERIES_CACHE_BYTES: Final = 7 * 1024 * 1024
"""Memory of a module for series that were made, beyond the first of each device: some 11,000."""

TASMOTA_PLANS_BYTES: Final = 256 * 1024
"""Memory of a module for the shapes of messages that it has seen: some 70 of them."""

TASMOTA_DEVICES: Final = 100_000
"""Devices that announce themselves: more than one broker or database serves."""

TASMOTA_DEVICE_BYTES: Final = 1300
"""Memory for each of them. A plug with its first series takes 1,020 bytes on Python 3.11."""

TASMOTA_LONG_NAMES_BYTES: Final = 2 * 1024 * 1024
"""Memory for devices that take more, because of long topics or many names: 2,000 with 8 names."""

TASMOTA_STRANGERS: Final = 10_000
"""Devices without an announcement that are remembered; the oldest are forgotten."""

TASMOTA_REMEMBERED_DEVICES: Final = 15_000
"""Announced devices that are known after a restart, as far as `STATE_FILE_BYTES` suffice: one with
a name of 15 characters takes 70 bytes in the file."""

TAG_VALUE_BYTES: Final = 256
"""A tag's value in UTF-8, cut beyond. Host names have 253 bytes at most (RFC 1035), names of files
255 (NAME_MAX), Tasmota's topics and friendly names fewer; 200 such tags fit into InfluxDB's 64 KiB
for a series, and each line repeats them."""

STATE_FILE_BYTES: Final = 1024 * 1024
"""A file that outlives the process; the topics of 256 kinds of devices have at most 600 KB."""

REMEMBERED_FILTERS: Final = 5000
"""Filters of a session that are read back from a file, to unsubscribe from those that are no longer
wanted: twice what 256 kinds of devices have, so that nothing of an earlier run is missing."""

LOGIN_CONNECTIONS: Final = 32
"""Connections to the login page at a time: a browser opens six."""

LOGIN_CONNECTIONS_PER_PEER: Final = 16
"""Connections to the login page from one address at a time: two browsers behind one address."""

LOGIN_HEADERS: Final = 100
"""Header lines of a request to the login page: a browser sends some 15."""

LOGIN_HEADER_BYTES: Final = 16 * 1024
"""All header lines of such a request: cookies of other services on this host come with it."""

LOGIN_BODY_BYTES: Final = 4096
"""Body of such a request: a form with one token has 50."""

LOGIN_REQUESTS_PER_MINUTE: Final = 120
"""Requests to the login page from one address without its token or cookie: a login needs five."""

LOGIN_PEERS: Final = 1024
"""Addresses whose requests are counted one by one; those beyond are counted together."""

STATUS_BODY_BYTES: Final = 4096
"""Body of a request to the status page, which is read and refused."""

STATUS_CONNECTIONS: Final = 32
"""Connections to the status page at a time: a browser has one, and six at first."""

STATUS_HEADERS: Final = 100
"""Header lines of a request to the status page, as of one to the login page."""

STATUS_HEADER_BYTES: Final = 16 * 1024
"""All header lines of such a request."""

HADISCOVERY_CONFIG_BYTES: Final = 256 * 1024
"""A discovery payload. One of an entity has some 1 KB; one of a device with 100 entities 40 KB."""

HADISCOVERY_COMPONENTS: Final = 250
"""Entities of one device payload: sunsynk's largest has some 200."""

HADISCOVERY_PAYLOAD_BYTES: Final = 256 * 1024
"""A state payload that is read as JSON: four times what a Tasmota device can send."""

HADISCOVERY_STATUS_BYTES: Final = 256
"""A message that says who is there, kept for entities that are announced later: most have 20."""

HADISCOVERY_ENTITIES: Final = 20_000
"""Entities that announce themselves: 1,000 Zigbee devices with 20 each."""

HADISCOVERY_ENTITIES_TOGETHER: Final = 500
"""Entities of one device, and entities that read one topic: they are handled at once."""

HADISCOVERY_WILDCARDS_TOGETHER: Final = 64
"""Entities that read filters with wildcards which may have a topic in common."""

HADISCOVERY_TOPICS: Final = 20_000
"""Distinct topics of theirs."""

HADISCOVERY_LIST_ITEMS: Final = 32
"""Identifiers, connections or availability topics of one entity: Zigbee2MQTT has three at most."""

HADISCOVERY_OPTIONS: Final = 1000
"""Options of a sensor with the class enum."""

HADISCOVERY_NAME_CHARS: Final = 255
"""A name, an id: Home Assistant's limit for a state, and for an entity's id."""

HADISCOVERY_TEXT_CHARS: Final = 4096
"""Any other text of an entity that is kept, such as the payloads that it compares with."""

HADISCOVERY_INTEGER: Final = 2**31
"""An integer of an entity, either way: as seconds it is 68 years."""

HADISCOVERY_FIELD_CHARS: Final = 64
"""A field that is named by an object id, and the tag `sensor`."""

HADISCOVERY_TOPIC_CHARS: Final = 512
"""A topic of an entity: twice Tasmota's longest."""

HADISCOVERY_TOPIC_LEVELS: Final = 32
"""Levels of such a topic; each level of each filter takes memory."""

HADISCOVERY_TEMPLATE_BYTES: Final = 16 * 1024 * 1024
"""Memory for templates: of 1,000 distinct ones that need Jinja2, and many more that do not."""

HADISCOVERY_JINJA_CHARS: Final = 10_000
"""New Jinja2 templates in one announcement, a short one counted as 150: compiling them takes 80 ms.
The largest announcement that we know has 6 of them."""

HADISCOVERY_LONG_BYTES: Final = 16 * 1024 * 1024
"""Memory for what entities keep beyond 3 KB each: nine in ten need less."""
