"""The second tier: Jinja2, sandboxed and bounded. Imported when the first template needs it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, Final

import jinja2
from jinja2.runtime import Context, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from metrics_agent.modules.hadiscovery.templates.access import NOWHERE, attribute, item
from metrics_agent.modules.hadiscovery.templates.allowed import Allowed, internal
from metrics_agent.modules.hadiscovery.templates.faults import (
    MAX_RESULT,
    MISSING,
    TemplateError,
    TemplateFault,
)
from metrics_agent.modules.hadiscovery.templates.functions import (
    filters,
    functions,
    methods,
    operations,
    tests,
)
from metrics_agent.modules.hadiscovery.templates.meter import METER
from metrics_agent.modules.hadiscovery.templates.numbers import CONSTANTS
from metrics_agent.modules.hadiscovery.templates.operators import INTERCEPTED, operators

__all__ = ["compile_jinja"]

_CLAUSE: Final = 200


class _Environment(ImmutableSandboxedEnvironment):
    """Jinja2 with our functions alone. Templates run one after the other, in one thread."""

    intercepted_binops = INTERCEPTED

    def __init__(self) -> None:
        super().__init__(cache_size=0)
        self.meter = METER
        self._operators = operators(self.meter)
        ours, called = filters(self.meter), methods(self.meter)
        inner = {**called, **operations(self.meter)}
        self.filters: dict[str, Any] = {
            **ours,
            **{internal(name): each for name, each in inner.items()},
        }
        self.tests = tests(self.meter)  # type: ignore[assignment]  # they are callables
        self.names: dict[str, Any] = {**functions(self.meter), **CONSTANTS}
        self.globals = {}
        self.allowed = Allowed(
            filters=ours,
            tests=self.tests,
            functions=self.names.keys() - CONSTANTS.keys(),
            constants=CONSTANTS,
            methods=called,
        )

    def getattr(self, obj: Any, attribute_name: str) -> Any:
        """Return an attribute of a value."""
        if isinstance(obj, Undefined):
            obj()  # raises in Jinja2's words
        found = attribute(obj, attribute_name)
        return self.undefined(obj=obj, name=attribute_name) if found is NOWHERE else found

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Return an item of a value."""
        if isinstance(obj, Undefined):
            obj()  # raises in Jinja2's words
        found = item(obj, argument)
        return self.undefined(obj=obj, name=argument) if found is NOWHERE else found

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:  # noqa: ARG002 - Jinja2's method
        """Operate on two values."""
        return self._operators[operator](left, right)


@cache
def _environment() -> _Environment:
    return _Environment()


def compile_jinja(text: str) -> Callable[..., str]:
    """Return the function of a template.

    Raises:
        TemplateFault: it is not run, and why.
    """
    environment = _environment()
    environment.meter.restart()  # constant parts are computed now
    try:
        tree = environment.parse(text)
        used = environment.allowed.rewrite(tree)
        code = environment.compile(tree)
        compiled = jinja2.Template.from_code(environment, code, {})
    except jinja2.TemplateError as error:
        clause = f"it is not a template of Jinja2: {error.message or type(error).__name__}"
        raise TemplateFault("invalid", clause[:_CLAUSE]) from error
    except (RecursionError, MemoryError, SyntaxError, ValueError, OverflowError) as error:
        raise TemplateFault("too_deep", f"it cannot be read: {type(error).__name__}") from error
    names = {name: environment.names[name] for name in used}
    root, meter = compiled.root_render_func, environment.meter

    def render(value: str | bytes, value_json: object = MISSING) -> str:
        variables: dict[str, Any] = {**names, "value": value}
        if value_json is not MISSING:
            variables["value_json"] = value_json
        meter.restart()
        try:
            return _join(root(Context(environment, variables, None, {})))
        except TemplateError:
            raise
        except jinja2.TemplateError as error:
            raise TemplateError(str(error)[:_CLAUSE], undefined=True) from error
        except Exception as error:
            clause = f"{type(error).__name__}: {error}"
            raise TemplateError(clause[:_CLAUSE]) from error

    return render


def _join(parts: Iterable[str]) -> str:
    joined, length = [], 0
    for part in parts:
        joined.append(part)
        length += len(part)
        if length > MAX_RESULT:
            raise TemplateError(f"it makes more than {MAX_RESULT:,} characters")
    return "".join(joined).strip()
