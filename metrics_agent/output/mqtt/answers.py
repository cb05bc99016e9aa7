"""What the broker's answer to a message means: the reason codes of PUBACK (MQTT 5, 3.4.2.1). Pure.

Only 0x00 is delivery: the broker has the message for whoever is subscribed, with a persistent
session also for one who is away. 0x10 says that no one is, so the broker has thrown it away.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from metrics_agent.cause import Cause
from metrics_agent.transports.mqtt.engine import TOO_LARGE

__all__ = ["DELIVERED", "NO_SUBSCRIBER", "TOO_LARGE", "cause_of", "may_be_content", "may_be_lines"]

DELIVERED: Final = 0x00
NO_SUBSCRIBER: Final = 0x10

_UNSPECIFIED: Final = 0x80
_IMPLEMENTATION: Final = 0x83
_QUOTA: Final = 0x97
_NOT_AUTHORISED: Final = 0x87
_BAD_TOPIC: Final = 0x90
_BAD_FORMAT: Final = 0x99

_TEXTS: Final[Mapping[int, str]] = {
    NO_SUBSCRIBER: "Telegraf is not subscribed to {topic!r}, check its inputs.mqtt_consumer",
    _UNSPECIFIED: "the broker refuses the message and does not say why",
    _IMPLEMENTATION: "the broker refuses the message for a reason of its own",
    _NOT_AUTHORISED: "the login may not publish to {topic!r}, check the broker's access list",
    _BAD_TOPIC: "the broker does not accept the topic {topic!r}, check output",
    TOO_LARGE: "the broker says that the message is too large",
    _QUOTA: "the broker says that a quota is exceeded",
    _BAD_FORMAT: "the broker says that line protocol is not the format of {topic!r}",
}
_USER_ACTION: Final = frozenset({_NOT_AUTHORISED, _BAD_TOPIC})
_CONTENT: Final = frozenset({_UNSPECIFIED, _IMPLEMENTATION, _BAD_FORMAT})


def cause_of(code: int, topic: str) -> Cause:
    """Return why a message was not delivered.

    Args:
        code: of the PUBACK, not `DELIVERED`.
        topic: that it was published to.
    """
    text = _TEXTS.get(code, "the broker refuses the message").format(topic=topic)
    return Cause(
        f"puback_{code}",
        f"{text} (MQTT reason code 0x{code:02x})",
        needs_user_action=code in _USER_ACTION,
    )


def may_be_content(code: int) -> bool:
    """Return whether a line may be refused for what it is, so that it is searched soon."""
    return code in _CONTENT


def may_be_lines(code: int) -> bool:
    """Return whether a message of fewer or of other lines may be accepted."""
    return may_be_content(code) or code in {TOO_LARGE, _QUOTA}
