"""Which version of MQTT to use with a broker."""

from __future__ import annotations

from metrics_agent.broker_address import BrokerAddress
from metrics_agent.transports.mqtt.settings import Protocol, Version

__all__ = ["BrokerVersions"]


class BrokerVersions:
    """Remembers which brokers refuse MQTT 5; one for all connections of the process."""

    def __init__(self) -> None:
        self._refuse_5: set[BrokerAddress] = set()

    def to_try(self, protocol: Protocol, address: BrokerAddress) -> Version:
        """Return the version to connect with.

        Args:
            protocol: the setting.
            address: of the broker.
        """
        if protocol != "auto":
            return protocol
        return "3.1.1" if address in self._refuse_5 else "5"

    def refused(self, protocol: Protocol, address: BrokerAddress, version: Version) -> bool:
        """Note that a broker refuses a version.

        Args:
            protocol: the setting.
            address: of the broker.
            version: that the connection used. Others may have learned meanwhile what is known now.

        Returns:
            Whether to try the other one at once. A broker that refuses 3.1.1 too is asked for 5
            again after the usual wait: it may be another one by then.
        """
        if protocol != "auto":
            return False
        if version == "3.1.1":
            self._refuse_5.discard(address)
            return False
        self._refuse_5.add(address)
        return True
