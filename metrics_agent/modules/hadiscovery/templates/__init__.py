"""Value templates of Home Assistant: text from a device -> a function of one payload.

Theory of operation. A template comes from a device, so it is hostile until it is shown to be
bounded. There are two tiers with the same results, those of Home Assistant:

1. `paths`: a path into the payload and a chain of simple filters. It becomes a plain function.
2. `jinja`: all else is parsed by Jinja2, imported when the first template needs it. `allowed` takes
   only the nodes, filters, tests, functions and methods that are listed; there is nothing that
   repeats or calls itself. What makes long texts, lists or integers is replaced by a function of
   ours that asks first, and what reads long ones pays for it: a `Meter` has steps for one render.

Home Assistant itself neither parses the result of a template of an MQTT entity nor gives it more
than `value` and `value_json`, but for its own state, which no other program has.
"""

from __future__ import annotations

from metrics_agent.modules.hadiscovery.templates.faults import (
    MISSING,
    TemplateError,
    TemplateFault,
)
from metrics_agent.modules.hadiscovery.templates.meter import one_message
from metrics_agent.modules.hadiscovery.templates.template import (
    Template,
    compile_template,
    is_surely_valid,
)
from metrics_agent.modules.hadiscovery.templates.times import parse_datetime

__all__ = [
    "MISSING",
    "Template",
    "TemplateError",
    "TemplateFault",
    "compile_template",
    "is_surely_valid",
    "one_message",
    "parse_datetime",
]
