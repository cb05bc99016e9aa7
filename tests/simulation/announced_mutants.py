"""Breaks of the module `hadiscovery`, each named by what goes wrong; see `mutants`."""

from __future__ import annotations

from typing import Final

from tests.deliberate_breaks import Break

__all__ = ["ANNOUNCED_RACES"]

_SERVICE: Final = "modules/hadiscovery/service.py"
_REGISTRY: Final = "modules/hadiscovery/registry.py"
_REMEMBERED: Final = "modules/hadiscovery/remembered.py"


ANNOUNCED_RACES: Final = (
    Break(
        "entities_of_an_earlier_run_are_not_restored",
        _SERVICE,
        "        self._announce(topic, payload)\n\n    def _forget",
        "        pass\n\n    def _forget",
    ),
    Break(
        "values_do_not_wait_for_their_announcements",
        _SERVICE,
        'self._on_config, place="discovery", announcements=True',
        'self._on_config, place="discovery"',
    ),
    Break(
        "one_entity_of_a_topic_gets_its_messages",
        _SERVICE,
        "                for each in route.inputs:\n",
        "                for each in list(route.inputs)[:1]:\n",
    ),
    Break(
        "topics_of_entities_are_subscribed_at_qos_0",
        _SERVICE,
        "            qos=self._settings.qos,\n",
        "            qos=0,\n",
    ),
    Break(
        "an_entity_that_moves_is_not_heard_again",
        _REGISTRY,
        "        for route in new:\n            self._added(route)\n",
        "        for route in new:\n"
        "            if len(self._routes) <= 4:\n                self._added(route)\n",
    ),
    Break(
        "what_was_announced_last_is_never_saved",
        _REMEMBERED,
        "    def _change(self) -> None:\n        self._changed = True\n",
        "    def _change(self) -> None:\n        self._changed = False\n        return\n",
    ),
)
"""Announcements that are late, lost or forgotten."""
