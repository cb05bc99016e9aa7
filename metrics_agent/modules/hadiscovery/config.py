"""Settings of the module ``hadiscovery``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from attrs import frozen

from metrics_agent.config import Fault, setting
from metrics_agent.topic_filters import valid_topic
from metrics_agent.transports.mqtt.settings import MqttSettings

__all__ = ["HadiscoverySettings"]


@frozen
class HadiscoverySettings(MqttSettings):
    """The broker, and which of the announced entities are collected."""

    discovery_prefix: str = setting(
        default="homeassistant",
        doc="Topic under which devices announce themselves, as in Home Assistant.",
    )
    retained: Literal["ignore", "take"] = setting(
        default="ignore",
        doc=(
            "take: a value that the broker has stored counts once, with the time at which it is "
            "read; it may be days old."
        ),
        choices=("ignore", "take"),
    )
    texts: bool = setting(
        default=False, doc="Collect states that are texts too, as measurement `text`."
    )
    config_entities: bool = setting(
        default=False,
        doc="Collect entities that are settings of a device (entity_category config).",
    )
    disabled_entities: bool = setting(
        default=False, doc="Collect entities that their publisher has disabled by default."
    )
    sensor_names: dict[str, str] = setting(
        default={},
        doc=(
            "The tag `sensor` by unique_id, for entities whose names clash or say too little; "
            "an empty text for no such tag. Where components share a unique_id, put the component "
            "and a dot before it: `number.calibration`."
        ),
        example={"0x00158d0001a2b3c4_power_l1_zigbee2mqtt": "l1"},
    )
    ignore: tuple[str, ...] = setting(
        default=(),
        doc=(
            "Publishers that are left out, by the name of their software or the maker of the "
            "device. What the modules tasmota and opendtu collect at the same broker is left out "
            "without it."
        ),
        example=["opendtu"],
    )

    def check(self) -> Iterator[Fault]:
        """Yield what is wrong although each setting alone has the right type."""
        # The decorator makes a new class, which super() without arguments would not find.
        yield from MqttSettings.check(self)
        reason = valid_topic(self.discovery_prefix)
        if reason is not None:
            yield Fault("discovery_prefix", f"{self.discovery_prefix!r}: {reason}", "a topic")
        if self.shared_group:
            yield Fault(
                "shared_group",
                f"{self.shared_group!r}: a shared subscription brings no stored announcements, and "
                "each agent would see only some of the messages that say whether a device is there",
                "an empty text",
            )
