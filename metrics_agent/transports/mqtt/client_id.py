"""The client id of a connection."""

from __future__ import annotations

import hashlib
import json
import os
from typing import Final

from metrics_agent.transports.mqtt.settings import MqttSettings

__all__ = ["client_id", "throwaway_id"]

_PREFIX: Final = "metrics-agent-"
_DIGITS: Final = 8
_RANDOM_BYTES: Final = 4
"""With the prefix 22 characters, see `client_id`."""


def client_id(settings: MqttSettings, host_name: str, instance: str, module: str) -> str:
    """Return the id by which a broker knows a connection.

    It stays the same from start to start, since the broker keeps the session under it, and it
    differs between hosts, instances, brokers, users and modules, since a broker throws out the
    one who was there before. It depends on nothing else: a changed keepalive, or another module
    in the file, must not leave a session behind at the broker. Its 22 characters are all letters,
    digits and hyphens (MQTT 3.1.1 lets a broker refuse more than 23, and other characters; the
    hyphen is taken by all we know of).

    Args:
        settings: of the connection; ``settings.client_id`` wins if it is set.
        host_name: of this machine.
        instance: the agent's ``instance`` setting; it replaces the host's name, which changes
            from start to start in a container. Empty where there is one agent on a host.
        module: the name of the module whose connection it is, ``tasmota:garage``.
    """
    if settings.client_id:
        return settings.client_id
    brokers = [address.url for address in settings.brokers]
    user = settings.username or ""
    host = "" if instance else host_name
    identity = json.dumps([host, instance, brokers, user, module])
    digest = hashlib.blake2b(identity.encode(), digest_size=_DIGITS // 2).hexdigest()
    return _PREFIX + digest


def throwaway_id(configured: str) -> str:
    """Return an id that no other connection has, for one that only looks.

    Args:
        configured: the setting, which stays its beginning: brokers may have rules for it.
    """
    return f"{configured or _PREFIX[:-1]}-{os.urandom(_RANDOM_BYTES).hex()}"
