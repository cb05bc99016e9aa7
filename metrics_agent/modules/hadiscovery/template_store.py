"""The templates of all entities: one for each text, bounded in bytes."""

from __future__ import annotations

from collections.abc import Iterator

from metrics_agent.errors import PayloadError
from metrics_agent.limits import HADISCOVERY_JINJA_CHARS, HADISCOVERY_TEMPLATE_BYTES
from metrics_agent.modules.hadiscovery.entity_config import EntityConfig
from metrics_agent.modules.hadiscovery.templates import Template, TemplateFault, compile_template

__all__ = ["TemplateStore"]

_LEAST_CHARS = 150
"""A short template takes as long to compile as this many characters of a long one."""


class TemplateStore:
    """Compiles templates, and keeps those that entities use.

    Attributes:
        size_bytes: what they take together.
    """

    def __init__(self) -> None:
        self._templates: dict[str, Template] = {}
        self._uses: dict[str, int] = {}
        self._unused: set[str] = set()
        self._jinja_chars = 0
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._templates)

    def compile(self, text: str) -> Template:
        """Return the template of a text.

        Raises:
            PayloadError: it cannot be used, or there is no room for it.
        """
        text = text.strip()
        found = self._templates.get(text)
        if found is not None:
            return found
        if self._jinja_chars > HADISCOVERY_JINJA_CHARS:
            # Nothing else runs while templates are compiled.
            raise PayloadError("too_many_templates", "more than can be compiled at once")
        try:
            template = compile_template(text)
        except TemplateFault as fault:
            self._jinja_chars += max(len(text), _LEAST_CHARS)
            raise PayloadError(
                f"template_{fault.reason}", f"template {text!r:.80}: {fault}"
            ) from fault
        if template.needs_jinja:
            self._jinja_chars += max(len(text), _LEAST_CHARS)
        if self.size_bytes + template.memory_bytes > HADISCOVERY_TEMPLATE_BYTES:
            raise PayloadError("too_many_templates", f"{len(self)} templates are known")
        self._templates[text] = template
        self._unused.add(text)
        self.size_bytes += template.memory_bytes
        return template

    def retain(self, config: EntityConfig) -> None:
        """Keep the templates of an entity."""
        for text in _texts(config):
            self._uses[text] = self._uses.get(text, 0) + 1
            self._unused.discard(text)

    def release(self, config: EntityConfig) -> None:
        """Forget the templates of an entity, unless others have them."""
        for text in _texts(config):
            self._uses[text] -= 1
            if not self._uses[text]:
                del self._uses[text]
                self._unused.add(text)

    def end_announcement(self) -> None:
        """Forget templates that were compiled and belong to no entity."""
        self._jinja_chars = 0
        for text in self._unused:
            self.size_bytes -= self._templates.pop(text).memory_bytes
        self._unused.clear()


def _texts(config: EntityConfig) -> Iterator[str]:
    for each in config.sources:
        if each.template_text is not None:
            yield each.template_text
