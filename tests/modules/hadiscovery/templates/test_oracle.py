"""Both tiers give what plain Jinja2 gives with Home Assistant's filters."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from types import BuiltinMethodType
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from jinja2 import TemplateError as JinjaError
from jinja2 import Undefined
from jinja2.filters import do_int
from jinja2.sandbox import ImmutableSandboxedEnvironment
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.modules.hadiscovery.templates import MISSING
from metrics_agent.modules.hadiscovery.templates.jinja import compile_jinja
from metrics_agent.modules.hadiscovery.templates.paths import compile_path
from tests.modules.hadiscovery.templates.support import FAILED, UNDEFINED, outcome

_NONE = object()


def _forgiving(convert: Callable[..., Any]) -> Callable[..., Any]:
    """Return a filter that has a default for what it cannot convert, as Home Assistant's have."""

    def call(value: Any, *args: Any, default: Any = _NONE) -> Any:
        try:
            return convert(value, *args)
        except (ValueError, TypeError):
            if default is _NONE:
                raise
            return default

    return call


def _float(value: Any, default: Any = _NONE) -> Any:
    return _forgiving(float)(value, default=default)


def _int(value: Any, default: Any = _NONE, base: int = 10) -> Any:
    result = do_int(value, default, base)
    if result is _NONE:
        raise ValueError(value)
    return result


def _round(value: Any, precision: Any = 0, method: str = "common", default: Any = _NONE) -> Any:
    def convert(value: Any) -> Any:
        scale = float(10**precision)
        ways: dict[Any, Callable[[], Any]] = {
            "ceil": lambda: math.ceil(float(value) * scale) / scale,
            "floor": lambda: math.floor(float(value) * scale) / scale,
            "half": lambda: round(float(value) * 2) / 2,
        }
        rounded = ways.get(method, lambda: round(float(value), precision))()
        return int(rounded) if precision == 0 else rounded

    return _forgiving(convert)(value, default=default)


def _multiply(value: Any, amount: Any, default: Any = _NONE) -> Any:
    return _forgiving(lambda each: float(each) * amount)(value, default=default)


def _add(value: Any, amount: Any, default: Any = _NONE) -> Any:
    return _forgiving(lambda each: float(each) + amount)(value, default=default)


def _bool(value: Any, default: Any = _NONE) -> Any:
    words = {"1 true yes on enable": True, "0 false no off disable": False}

    def convert(value: Any) -> Any:
        if isinstance(value, str):
            for each, meaning in words.items():
                if value.lower().strip() in each.split():
                    return meaning
        elif isinstance(value, int | float):
            return bool(value)
        raise ValueError(value)

    return _forgiving(convert)(value, default=default)


def _is_defined(value: Any) -> Any:
    if isinstance(value, Undefined):
        value()
    return value


class _Environment(ImmutableSandboxedEnvironment):
    """Jinja2, where a method that is not called is an error and no value."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        return self._refuse_method(attribute, super().getattr(obj, attribute))

    def getitem(self, obj: Any, argument: Any) -> Any:
        return self._refuse_method(argument, super().getitem(obj, argument))

    def _refuse_method(self, name: object, found: Any) -> Any:
        # No template here calls one of these.
        if name in {"count", "index", "items"} and isinstance(found, BuiltinMethodType):
            raise TypeError(name)
        return found


def _plain_environment() -> ImmutableSandboxedEnvironment:
    environment = _Environment()
    environment.filters.update(
        add=_add,
        bool=_bool,
        float=_float,
        int=_int,
        is_defined=_is_defined,
        multiply=_multiply,
        round=_round,
    )
    environment.globals.update(float=_float, int=_int)
    return environment


PLAIN = _plain_environment()


def of_plain(text: str) -> Callable[[str, object], str]:
    """Return the function of a template in plain Jinja2."""
    template = PLAIN.from_string(text)

    def render(value: str, value_json: object) -> str:
        variables = {} if value_json is MISSING else {"value_json": value_json}
        return template.render(value=value, **variables).strip()

    return render


def plain_outcome(text: str, payload: str) -> object:
    """Return what plain Jinja2 gives."""
    try:
        return outcome(of_plain(text), payload)
    except JinjaError:
        return UNDEFINED
    except Exception:
        return FAILED


NAMES = st.sampled_from(
    ["a", "b", "c", "zz", "_x", "count", "update", "items", "index", "real", "state", "Ä ö", ""]
)
NUMBERS = st.one_of(
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0, 1, -1, 0.5, 21.55, 1e16, 1e-7, 2.675, 1e300]),
)
TEXTS = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        ["", " 22 ", "1e3", "21.5", "0x1A", "nan", "inf", "ON", "true", "None", "ß", "5 V", "1_0"]
    ),
)
SCALARS = st.one_of(NUMBERS, TEXTS, st.booleans(), st.none())
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=5)),
    max_leaves=8,
)
PAYLOADS = st.one_of(
    st.dictionaries(NAMES, VALUES, max_size=8).map(json.dumps),
    VALUES.map(json.dumps),
    TEXTS,
)

QUOTED = st.one_of(
    NAMES.map(lambda name: f"'{name}'"),
    st.sampled_from(['"a"', "''", "'V'", "' '", "'1'", "'ON'"]),
)
LITERALS = st.one_of(
    QUOTED,
    st.sampled_from(["0", "1", "2", "-1", "0.5", "-0.0", "10", "100.25", "true", "False", "none"]),
)
KEYS = st.one_of(
    NAMES.filter(str.isidentifier).map(lambda name: f".{name}"),
    QUOTED.map(lambda text: f"[{text}]"),
    st.sampled_from(["[0]", "[-1]", ".0", ".1", "[7]"]),
)


def call(name: str, most: int, fewest: int = 0) -> st.SearchStrategy[str]:
    """Return uses of a filter."""
    arguments = st.lists(LITERALS, min_size=fewest, max_size=most)
    return arguments.map(lambda each: f"{name}({', '.join(each)})" if each else name)


FILTERS = st.one_of(
    *(st.just(name) for name in ("is_defined", "string", "lower", "upper", "abs", "length")),
    call("float", 1),
    call("int", 2),
    call("int", 0),
    call("bool", 1),
    call("round", 3),
    call("default", 2),
    call("d", 1),
    call("trim", 1),
    call("multiply", 2, 1),
    call("add", 2, 1),
    call("replace", 3, 2),
)
PATHS = st.builds(
    lambda root, keys: root + "".join(keys),
    st.sampled_from(["value_json", "value_json", "value_json", "value"]),
    st.lists(KEYS, max_size=3),
)
CHAINS = st.builds(
    lambda path, filters, pipe: path + "".join(pipe + each for each in filters),
    PATHS,
    st.lists(FILTERS, max_size=3),
    st.sampled_from(["|", " | "]),
)
FIRST_TIER = st.builds(
    lambda chain, braces: braces[0] + chain + braces[1],
    CHAINS,
    st.sampled_from([("{{ ", " }}"), ("{{", "}}"), ("{{- ", " -}}"), ("{{\n", "\n}}")]),
)


def _methods(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds(
        lambda subject, method: f"({subject}).{method}",
        inner,
        st.sampled_from(
            [
                *("get('a')", "get('a', 1)", "get('count', {})", "upper()", "split('a')[0]"),
                *("split()", "replace('a', 'b')", "startswith('a')", "strip()", "isdigit()"),
                *("keys() | list", "values() | list", "zfill(5)"),
            ]
        ),
    )


FORMS = st.sampled_from(["%.2f", "%s", "%5d", "%d", "%0.1f W", "x", "%%", "%s %s", "%x"])
OPERATORS = st.sampled_from(
    ["+", "-", "*", "/", "//", "%", "~", "==", "!=", "<", ">=", "in", "not in", "and", "or"]
)
TESTS = st.sampled_from(
    [
        *("defined", "not defined", "none", "number", "string", "mapping", "sequence", "odd"),
        *("undefined", "in [1, 'a']", "eq 1", "boolean", "iterable"),
    ]
)
MORE_FILTERS = st.sampled_from(
    [
        *("first", "last", "list", "join(',')", "max", "min", "title", "capitalize", "sort"),
        *("truncate(3, true, '', 0)", "count", "reverse | string"),
    ]
)

EXPRESSIONS = st.recursive(
    st.one_of(CHAINS, LITERALS, PATHS),
    lambda inner: st.one_of(
        st.builds(
            lambda left, operator, right: f"({left} {operator} {right})",
            inner,
            OPERATORS,
            inner,
        ),
        st.builds(lambda test, yes, no: f"({yes} if {test} else {no})", inner, inner, inner),
        st.builds(lambda test, yes: f"({yes} if {test})", inner, inner),
        st.builds(
            lambda subject, test: f"({subject} is {test})",
            inner,
            TESTS,
        ),
        st.builds(
            lambda subject, name: f"(({subject}) | {name})",
            inner,
            st.one_of(FILTERS, MORE_FILTERS),
        ),
        _methods(inner),
        st.builds(lambda each, other: f"[{each}, {other}]", inner, inner),
        st.builds(lambda key, each: f"{{{key}: {each}, 'k': 1}}", LITERALS, inner),
        st.builds(lambda subject, key: f"({subject}){key}", inner, KEYS),
        st.builds(lambda subject: f"({subject})[1:3]", PATHS),
        st.builds(lambda name, each: f"{name}({each})", st.sampled_from(["float", "int"]), inner),
        st.builds(lambda each: f"(not {each})", inner),
        st.builds(lambda each: f"(-{each})", inner),
        st.builds(lambda form, each: f"('{form}' | format({each}))", FORMS, inner),
        st.builds(lambda form, each: f"('{form}' % ({each},))", FORMS, inner),
    ),
    max_leaves=6,
)
SECOND_TIER = st.one_of(
    EXPRESSIONS.map(lambda each: f"{{{{ {each} }}}}"),
    st.builds(
        lambda test, yes, no: (
            f"a {{% if {test} %}} {{{{ {yes} }}}} {{% else -%}} {no} {{% endif %}}"
        ),
        EXPRESSIONS,
        EXPRESSIONS,
        TEXTS.filter(lambda text: not set(text) & set("{}%#\r\n")),
    ),
    st.builds(
        lambda value, then: f"{{% set x = {value} %}}{{{{ x }}}}{{{{ {then} }}}}",
        EXPRESSIONS,
        EXPRESSIONS,
    ),
)


class OracleTests(SynchronousTestCase):
    """Generated templates and payloads."""

    @settings(max_examples=600, deadline=None, report_multiple_bugs=False)
    @given(FIRST_TIER, PAYLOADS)
    def test_paths(self, text: str, payload: str) -> None:
        """A path and its filters: both tiers and plain Jinja2 give the same."""
        expected = plain_outcome(text, payload)
        by_path = compile_path(text)
        if by_path is not None:
            self.assertEqual(outcome(by_path, payload), expected, text)
        self.assertEqual(outcome(compile_jinja(text), payload), expected, text)

    @settings(max_examples=600, deadline=None, report_multiple_bugs=False)
    @given(SECOND_TIER, PAYLOADS)
    @example("{{ 0 | reverse | string }}", "")
    def test_expressions(self, text: str, payload: str) -> None:
        """All that is allowed gives what plain Jinja2 gives."""
        self.assertEqual(outcome(compile_jinja(text), payload), plain_outcome(text, payload), text)

    @given(FIRST_TIER)
    def test_paths_need_no_jinja(self, text: str) -> None:
        """Most of what is generated here is of the first tier; without this all would be vain."""
        by_path = compile_path(text)
        if "(" not in text:
            self.assertIsNotNone(by_path, text)
