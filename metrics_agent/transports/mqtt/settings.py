"""The settings of a connection to a broker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, Literal

from attrs import fields, frozen, has

from metrics_agent.broker_address import BrokerAddress, parse_address
from metrics_agent.config import Duration, Fault, Secret, Size, setting
from metrics_agent.topic_filters import text_fault
from metrics_agent.transports.settings import ConnectionSettings

__all__ = [
    "CUSTOM_IGNORED",
    "MOST_IN_FLIGHT",
    "MqttSettings",
    "Protocol",
    "Version",
    "mqtt_tables",
]

Version = Literal["3.1.1", "5"]
"""Of MQTT, as one connection has it."""
Protocol = Literal["auto", "3.1.1", "5"]
"""Of MQTT, as a setting has it."""

CUSTOM_IGNORED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "keep_alive": "use keepalive",
        "timeout": "use connect_timeout",
        "ping_timeout": "an answer to a ping is awaited for half of keepalive",
    }
)
"""Keys of the Go agent's ``custom`` table that concern its connection, with what to say."""

_HOUR_S: Final = 3600
# Round numbers below what fits into the fields of the protocol: 16 bits, 32 bits, and a packet
# of 256 MiB less one byte.
_MAX_KEEPALIVE_S: Final = 18 * _HOUR_S
_MAX_EXPIRY_S: Final = 365 * 24 * _HOUR_S
MOST_IN_FLIGHT: Final = 65_535
"""Messages that a broker may have sent without our acknowledgement: there are no more ids."""
_MAX_PAYLOAD: Final = 255 << 20


@frozen
class MqttSettings(ConnectionSettings):
    """How to reach a broker; base class of the settings of each module that uses MQTT.

    Hashable: a connection is kept over a reload that leaves its `connection_settings` equal.
    """

    broker: str | tuple[str, ...] = setting(
        default="tcp://localhost:1883",
        doc=(
            "Address of the broker, or a list of addresses that are tried in turn. Forms: host, "
            "host:port, tcp:// or mqtt:// (port 1883), tls://, ssl:// or mqtts:// (8883), "
            "ws:// (80) and wss:// (443) with a path (/mqtt), unix:///path."
        ),
        example="tls://broker.example:8883",
    )
    username: str | None = setting(
        default=None, doc="Login name at the broker.", example="telegraf"
    )
    password: Secret | None = setting(default=None, doc="Password at the broker.")
    client_id: str = setting(
        default="",
        doc=(
            "Client id, of one module only. Empty: made of host name, instance, broker, user name "
            "and the module's name, so that it is stable and unique. Set it where the host name "
            "changes, as in a container."
        ),
    )
    protocol: Protocol = setting(
        default="auto",
        doc=(
            "MQTT version. auto: 5, or 3.1.1 with a broker that refuses 5. Set 3.1.1 if the "
            "broker does not answer MQTT 5 at all; the log then suggests it."
        ),
        choices=("auto", "3.1.1", "5"),
    )
    keepalive: Duration = setting(
        default="30s",
        doc="A silent connection is probed after this time.",
        minimum=5,
        maximum=_MAX_KEEPALIVE_S,
    )
    connect_timeout: Duration = setting(
        default="10s",
        doc="Time for one attempt to connect, from the name's look-up to the broker's welcome.",
        minimum=1,
        maximum=300,
    )
    persistent_session: bool = setting(
        default=True,
        doc=(
            "The broker keeps our subscriptions and what is sent at QoS 1 while we are away, so "
            "that a crash loses nothing. With 5 the session ends after session_expiry. With 3.1.1 "
            "one of an agent that never comes back stays until the broker's own limit (mosquitto: "
            "persistent_client_expiration)."
        ),
    )
    session_expiry: Duration = setting(
        default="7d",
        doc=(
            "With MQTT 5: how long the broker keeps the session while we are away. For no session "
            "set persistent_session = false."
        ),
        # With 0 the session ends with the connection: what is unread at a stop would be lost.
        minimum=1,
        maximum=_MAX_EXPIRY_S,
        below="for no session set persistent_session = false",
    )
    receive_maximum: int = setting(
        default=1_000,
        doc=(
            "With MQTT 5: how many messages at QoS 1 the broker may send before one is "
            "acknowledged. Mosquitto takes it in place of its max_inflight_messages, 20 by "
            "default, which limits connections with 3.1.1."
        ),
        minimum=1,
        maximum=MOST_IN_FLIGHT,
    )
    qos: Literal[0, 1] = setting(
        default=1,
        doc=(
            "Highest quality of service to ask for. At 1 a message is acknowledged once its "
            "metrics are written; what a device sends at 0 stays 0."
        ),
        choices=(0, 1),
    )
    max_payload: Size = setting(
        default="1MiB",
        doc="A message with a larger payload is dropped and counted.",
        minimum=1024,
        maximum=_MAX_PAYLOAD,
    )
    shared_group: str = setting(
        default="",
        doc=(
            "Agents with the same group share the telemetry between them "
            "($share/<group>/...); empty for taking all of it. Where several modules of an agent "
            "subscribe to the same topics, each needs a group of its own."
        ),
    )

    @property
    def brokers(self) -> tuple[BrokerAddress, ...]:
        """Where to connect to, in the order to try.

        Raises:
            ValueError: an address is wrong; `check` says so beforehand.
        """
        return tuple(map(parse_address, self._written_brokers()))

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of our modules that need packages which may be missing, see `ModuleKind`."""
        found = []
        if any(broker.secure for broker in self.brokers):
            found.append("metrics_agent.transports.tls")
        if any(broker.websocket for broker in self.brokers):
            found.append("metrics_agent.transports.mqtt.websocket_stream")
        return tuple(found)

    def connection_settings(self) -> MqttSettings:
        """Return only what concerns the connection, for comparing between modules.

        What is written in different ways and means the same is equal in it: addresses are
        written out, and an empty user name or password is none.

        Raises:
            ValueError: an address is wrong; `check` says so beforehand.
        """
        values = {each.name: getattr(self, each.name) for each in fields(MqttSettings)}
        values["broker"] = tuple(address.url for address in self.brokers)
        values["username"] = self.username or None
        values["password"] = self.password if self._has_password() else None
        return MqttSettings(**values)

    def check(self) -> Iterator[Fault]:
        """Yield what is wrong although each setting alone is right; paths are the keys."""
        yield from self._check_brokers()
        if self._has_password() and not self.username:
            yield Fault("username", "nothing", "a name", "password is set and needs it")
        yield from self._check_texts()

    def _check_brokers(self) -> Iterator[Fault]:
        written = self._written_brokers()
        if not written:
            yield Fault("broker", "an empty list", "one address or more")
        addresses: list[BrokerAddress] = []
        for text in written:
            try:
                addresses.append(parse_address(text))
            except ValueError as error:  # noqa: PERF203 - every fault at once
                yield Fault("broker", str(error))
        secure = any(address.secure for address in addresses)
        plain = addresses[0] if addresses and not secure else None
        yield from self.check_common("broker", "tls:// or wss://", plain)

    def _check_texts(self) -> Iterator[Fault]:
        for key in ("username", "client_id", "shared_group"):
            reason = text_fault(getattr(self, key) or "-")
            if reason is not None:
                yield Fault(key, f"a text that MQTT cannot carry: {reason}")
        if any(char in self.shared_group for char in "/+#"):
            yield Fault("shared_group", "one of the characters / + #", "a name without them")

    def _has_password(self) -> bool:
        return self.password is not None and bool(self.password.reveal())

    def _written_brokers(self) -> tuple[str, ...]:
        return (self.broker,) if isinstance(self.broker, str) else self.broker


def mqtt_tables(settings: Any) -> Iterator[tuple[str, MqttSettings]]:
    """Yield the settings of brokers in those of a module, each with the key of its table.

    Args:
        settings: an instance of the module's class; with the key "" if it is itself one.
    """
    if isinstance(settings, MqttSettings):
        yield "", settings
    elif has(type(settings)):
        for each in fields(type(settings)):
            value = getattr(settings, each.name)
            if isinstance(value, MqttSettings):
                yield each.name, value
