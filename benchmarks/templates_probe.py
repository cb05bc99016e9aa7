"""Times templates as publishers have them, with the JSON of the message that brings their values.

Run by a row. The templates of a message are those of EMS-ESP and WARP chargers for Jinja2, and of
Zigbee2MQTT, OpenMQTTGateway and ESPAltherma for paths.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from benchmarks.probe import write_times
from metrics_agent.json_payload import loads
from metrics_agent.modules.hadiscovery.templates import compile_template

NAMES = [f"value_{index}" for index in range(10)]
MESSAGE = json.dumps({name: 20.5 + index for index, name in enumerate(NAMES)})
DATA = MESSAGE.encode()
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


def main() -> None:
    """Write the times."""
    one = compile_template(BY_PATH[2].format(NAMES[0])).render
    value_json = loads(DATA)
    write_times(
        {
            "one entity, a path": lambda: one(MESSAGE, value_json),
            "message of 10 entities, paths": message(BY_PATH),
            "message of 10 entities, Jinja2": message(BY_JINJA),
        }
    )


if __name__ == "__main__":
    main()
