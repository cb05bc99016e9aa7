"""Times templates as publishers have them, alone and in the module `hadiscovery`.

Run by a row. The templates of a message are those of EMS-ESP and WARP chargers for Jinja2, and of
Zigbee2MQTT, OpenMQTTGateway and ESPAltherma for paths. The module is timed from the payload to the
metrics; its memory is that of 1,000 devices of ten entities as Zigbee2MQTT announces them, without
the connection.
"""

from __future__ import annotations

import gc
import json
import sys
import tracemalloc
from collections.abc import Callable, Iterable
from typing import Any

from benchmarks.probe import times
from metrics_agent.interfaces import Message
from metrics_agent.json_payload import loads
from metrics_agent.metric import Metric
from metrics_agent.modules.hadiscovery.config import HadiscoverySettings
from metrics_agent.modules.hadiscovery.service import HadiscoveryModule
from metrics_agent.modules.hadiscovery.templates import compile_template
from metrics_agent.testing import FakeContext, FakeSubscription

NAMES = [f"value_{index}" for index in range(10)]
MESSAGE = json.dumps({name: 20.5 + index for index, name in enumerate(NAMES)})
DATA = MESSAGE.encode()
KINDS = (
    *(("temperature", "°C"), ("humidity", "%"), ("pressure", "hPa"), ("power", "W")),
    *(("voltage", "V"), ("current", "A"), ("battery", "%"), ("illuminance", "lx")),
    *(("energy", "kWh"), ("frequency", "Hz")),
)
"""Classes and units of the ten entities."""
BY_PATH = (
    '{{{{ value_json["{0}"] }}}}',
    "{{{{ value_json.{0} | is_defined }}}}",
    "{{{{value_json['{0}']|float|round(1)}}}}",
)
BY_JINJA = (
    "{{{{value_json['{0}'] if value_json['{0}'] is defined else 0}}}}",
    "{{{{(value_json.{0} | float / 1000) | round(3)}}}}",
    "{{{{value_json.{0} > 0}}}}",
)


def message(forms: tuple[str, ...]) -> Callable[[], object]:
    """Return the work of a message with ten entities, whose templates are of these forms."""
    templates = [
        compile_template(forms[index % len(forms)].format(name)) for index, name in enumerate(NAMES)
    ]

    def work() -> list[str]:
        value_json = loads(DATA)
        return [template.render(MESSAGE, value_json) for template in templates]

    return work


class _Broker(FakeContext):
    """Hands messages to the module, and keeps no more than the handlers."""

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.handlers: dict[str, Callable[[Message], Iterable[Metric]]] = {}

    def subscribe(self, *args: Any, **options: Any) -> FakeSubscription:
        made = super().subscribe(*args, **options)
        self.subscriptions.clear()
        self.handlers[made.topic_filter] = made.handler
        return _ONE

    def say(self, topic: str, payload: bytes) -> None:
        handler = self.handlers.get(topic) or self.handlers["homeassistant/+/+/+/config"]
        list(handler(Message(topic, payload, 0, False, 1)))


_ONE = FakeSubscription(HadiscoverySettings(), "", lambda _message: (), 0, "")


def announced(devices: int, forms: tuple[str, ...]) -> _Broker:
    """Return a module with devices of ten entities, which are all there."""
    context = _Broker()
    HadiscoveryModule(HadiscoverySettings(), context).startService()
    for number in range(devices):
        device = f"0x{number:016x}"
        for index, (name, (kind, unit)) in enumerate(zip(NAMES, KINDS, strict=True)):
            config = {
                "device_class": kind,
                "availability": [
                    {"topic": topic, "value_template": "{{ value_json.state }}"}
                    for topic in ("zigbee2mqtt/bridge/state", f"zigbee2mqtt/{device}/availability")
                ],
                "availability_mode": "any",
                "device": {"identifiers": [f"zigbee2mqtt_{device}"], "name": f"Device {number}"},
                "origin": {"name": "Zigbee2MQTT"},
                "state_class": "measurement",
                "state_topic": f"zigbee2mqtt/{device}",
                "unique_id": f"{device}_{kind}_zigbee2mqtt",
                "unit_of_measurement": unit,
                "value_template": forms[index % len(forms)].format(name),
            }
            topic = f"homeassistant/sensor/{device}/{kind}/config"
            context.say(topic, json.dumps(config).encode())
    context.say("zigbee2mqtt/bridge/state", b'{"state":"online"}')
    return context


def handled(forms: tuple[str, ...]) -> Callable[[], object]:
    """Return the work of the module for a message with ten entities."""
    topic = f"zigbee2mqtt/0x{0:016x}"
    handler = announced(1, forms).handlers[topic]
    said = Message(topic, DATA, 0, False, 1)
    return lambda: handler(said)


def bytes_an_entity() -> float:
    """Return what an entity takes."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    kept = announced(1000, BY_PATH[:1])
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    del kept
    return grown / 10_000


def main() -> None:
    """Write the times."""
    one = compile_template(BY_PATH[2].format(NAMES[0])).render
    value_json = loads(DATA)
    found = times(
        {
            "one entity, a path": lambda: one(MESSAGE, value_json),
            "message of 10 entities, paths": message(BY_PATH),
            "message of 10 entities, Jinja2": message(BY_JINJA),
            "module, message of 10 entities, paths": handled(BY_PATH),
            "module, message of 10 entities, Jinja2": handled(BY_JINJA),
        }
    )
    json.dump({**found, "module, an entity": bytes_an_entity()}, sys.stdout)


if __name__ == "__main__":
    main()
