"""Settings of the module ``opendtu``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import ClassVar, Final, Literal

from attrs import frozen

from metrics_agent.config import Fault, setting
from metrics_agent.topic_filters import valid_topic
from metrics_agent.transports.mqtt.settings import MqttSettings
from metrics_agent.transports.websocket.settings import WebSocketSettings

__all__ = ["CUSTOM_IGNORED", "OpenDtuMqttSettings", "OpenDtuSettings"]

CUSTOM_IGNORED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "reconnect_interval": "use reconnect_min",
        "max_reconnect_attempts": "it is retried without limit",
        "connection_timeout": "use connect_timeout",
        "read_timeout": "use ping_interval and ping_timeout",
        "write_timeout": "use ping_interval and ping_timeout",
        "max_backoff_interval": "use reconnect_max",
        "backoff_multiplier": "the waits double",
    }
)
"""Keys of the Go agent's ``custom`` table that mean nothing here, with what to say."""


@frozen
class OpenDtuMqttSettings(MqttSettings):
    """The broker to which the DTU publishes, and where."""

    base_topic: str = setting(
        default="solar/", doc="Base topic, as it is set in the DTU's MQTT settings."
    )
    availability_topic: str = setting(
        default="dtu/status",
        doc="Topic of the DTU's last will below the base topic, as it is set in the DTU.",
    )
    availability_online: str = setting(
        default="online", doc="What the DTU publishes there when it is connected."
    )
    availability_offline: str = setting(
        default="offline", doc="What the broker publishes there when the DTU is gone."
    )

    @property
    def prefix(self) -> str:
        """The base topic with its slash at the end."""
        return self.base_topic if self.base_topic.endswith("/") else f"{self.base_topic}/"

    @property
    def filters(self) -> tuple[str, ...]:
        """The filters of what is subscribed to."""
        shapes = ["+/+", "+/+/+"]
        if self.availability_topic.count("/") not in {1, 2}:
            shapes.append(self.availability_topic)
        return tuple(f"{self.prefix}{shape}" for shape in shapes)

    def check(self) -> Iterator[Fault]:
        """Yield what is wrong although each setting alone has the right type."""
        # The decorator makes a new class, which super() without arguments would not find.
        yield from MqttSettings.check(self)
        reason = valid_topic(f"{self.prefix}x")
        if not self.base_topic.strip("/") or reason is not None:
            text = f"{self.base_topic!r}: {reason}" if reason else repr(self.base_topic)
            yield Fault("base_topic", text, "a topic such as solar/")
        reason = valid_topic(self.availability_topic)
        if reason is not None:
            text = f"{self.availability_topic!r}: {reason}"
            yield Fault("availability_topic", text, "a topic such as dtu/status")
        if self.availability_online == self.availability_offline:
            yield Fault(
                "availability_offline",
                f"{self.availability_offline!r}, as availability_online",
                "another text",
            )


@frozen
class OpenDtuSettings(WebSocketSettings):
    """The DTU, how to log in, and how its inverters are named."""

    default_path: ClassVar[str] = "/livedata"

    username: str = setting(
        default="admin", doc="Login name; of a DTU it is always admin, of a proxy it may differ."
    )
    web_socket_url: str = setting(default="", doc="The Go agent's name for url.")
    friendly_name_overrides: dict[str, str] = setting(
        default={},
        doc=(
            "Names by serial number, by serial number and string counted from 1 "
            '("114182ab0001.2"), or by the device of a part (total, battery ...); they win over '
            "those in the DTU."
        ),
        example={"114182ab0001": "Garage"},
    )
    field_names: Literal["standard", "original"] = setting(
        default="standard",
        doc=(
            "original: electricity as the Go agent wrote it: inverters only, without strings and "
            "totals, sum_power_today in Wh, sum_power_total in kWh."
        ),
        choices=("standard", "original"),
    )
    mqtt: OpenDtuMqttSettings | None = setting(
        default=None,
        doc="Take the same data from the broker to which the DTU publishes, in place of url.",
        instead_of="url",
        last=True,
    )

    @property
    def written_address(self) -> str:
        """The address, by either of its names."""
        return self.url or self.web_socket_url

    def check(self) -> Iterator[Fault]:
        """Yield what is wrong although each setting alone has the right type."""
        key = "url" if self.url or not self.web_socket_url else "web_socket_url"
        if self.mqtt is not None:
            if self.url or self.web_socket_url:
                yield Fault(key, "an address beside a table mqtt", "one of the two")
        elif self.url and self.web_socket_url:
            yield Fault("web_socket_url", "url under another name, and url is set too")
        elif not self.url and not self.web_socket_url:
            yield Fault(
                "url", "nothing", "the DTU's address, such as http://opendtu.example", "or set mqtt"
            )
        else:
            for fault in self.check_connection():
                yield fault if fault.path != "url" else Fault(key, fault.got, fault.expected)
