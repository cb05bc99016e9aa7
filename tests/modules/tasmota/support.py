"""What the tests of this module share."""

from __future__ import annotations

import json
import sys
from typing import Any

from metrics_agent.modules.tasmota.config import TasmotaSettings
from metrics_agent.modules.tasmota.service import TasmotaModule
from metrics_agent.testing import FakeContext

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MAC = "A4CF12C0FFEE"
TWO_CHANNELS = b'{"Time":"2025-02-11T07:30:00","ENERGY":{"Total":%d,"Power":[1,2]}}'


def announcement(**changes: Any) -> bytes:
    """Make the payload of a discovery message."""
    config = {
        "dn": "Plug",
        "fn": ["Plug", None, None, None, None, None, None, None],
        "hn": "tasmota-C0FFEE-8174",
        "mac": MAC,
        "ofln": "Offline",
        "onln": "Online",
        "state": ["OFF", "ON", "TOGGLE", "HOLD"],
        "t": "plug",
        "ft": "%prefix%/%topic%/",
        "tp": ["cmnd", "stat", "tele"],
        "dslp": 0,
        "ver": 1,
    }
    return json.dumps({**config, **changes}).encode()


def config_topic(mac: str = MAC) -> str:
    """Return the topic of a device's announcement."""
    return f"tasmota/discovery/{mac}/config"


def make(**settings: Any) -> tuple[TasmotaModule, FakeContext]:
    """Make a started module with its context."""
    context = FakeContext(state_dir=settings.pop("state_dir", None))
    module = TasmotaModule(TasmotaSettings(**settings), context)
    module.startService()
    return module, context


def read_toml(text: str) -> dict[str, Any]:
    """Parse TOML with what this Python has for it."""
    return tomllib.loads(text)
