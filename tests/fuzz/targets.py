"""All that is fuzzed."""

from __future__ import annotations

from typing import Final

from tests.fuzz.decoders import DECODERS
from tests.fuzz.files import FILES
from tests.fuzz.long_texts import LONG_TEXTS
from tests.fuzz.mqtt_streams import MQTT_STREAMS
from tests.fuzz.outputs import OUTPUTS
from tests.fuzz.web_streams import WEB_STREAMS

__all__ = ["TARGETS"]

TARGETS: Final = (*DECODERS, *LONG_TEXTS, *MQTT_STREAMS, *WEB_STREAMS, *OUTPUTS, *FILES)
