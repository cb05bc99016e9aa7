"""Templates that want much: each ends soon, with little memory, and says what it wanted."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Iterable
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.modules.hadiscovery.templates import (
    TemplateError,
    TemplateFault,
    compile_template,
)
from metrics_agent.modules.hadiscovery.templates.faults import MAX_TEMPLATE
from tests.cpu_time import cpu_s, least_s
from tests.modules.hadiscovery.templates.support import FAILED, json_of, reason, render

CPU_S: Final = 0.1
MEMORY: Final = 16 * 1024 * 1024
LONG: Final = "a" * 200_000
DEEP: Final = json.dumps({"l": list(range(20_000)), "s": LONG, "o": {"k": [[[[1]]]]}})

REFUSED: Final = {
    "{% for i in range(100) %}x{% endfor %}": "not_allowed",
    "{% for a in value %}{% for b in value %}{% endfor %}{% endfor %}": "not_allowed",
    "{{ range(10**9) | list }}": "not_allowed",
    "{% macro r(n) %}{{ r(n-1) }}{% endmacro %}{{ r(50) }}": "not_allowed",
    "{% set ns = namespace(a=1) %}{{ ns.a }}": "not_allowed",
    "{% import 'x' as y %}{{ y }}": "not_allowed",
    "{% from 'x' import y %}{{ y }}": "not_allowed",
    "{% include '/etc/passwd' %}": "not_allowed",
    "{% extends 'x' %}": "not_allowed",
    "{% block a %}{% endblock %}": "not_allowed",
    "{% call value() %}{% endcall %}": "not_allowed",
    "{% filter upper %}x{% endfilter %}": "not_allowed",
    "{% set a %}x{% endset %}{{ a }}": "not_allowed",
    "{% set a, b = value %}{{ a }}": "not_allowed",
    "{% with a = 1 %}{{ a }}{% endwith %}": "not_allowed",
    "{{ self }}": "not_allowed",
    "{{ self._TemplateReference__context }}": "not_allowed",
    "{{ lipsum(10**6) }}": "not_allowed",
    "{{ cycler.__init__.__globals__ }}": "not_allowed",
    "{{ value | attr('__init__') }}": "not_allowed",
    "{{ value | center(10**9) }}": "not_allowed",
    "{{ 'x'.ljust(10**9) }}": "not_allowed",
    "{{ 'x'.center(10**9) }}": "not_allowed",
    "{{ 'x'.expandtabs(10**9) }}": "not_allowed",
    "{{ value | indent(10**9) }}": "not_allowed",
    "{{ value | wordwrap(1) }}": "not_allowed",
    "{{ value | batch(10**9) | list }}": "not_allowed",
    "{{ value | map('upper') | list }}": "not_allowed",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}": "not_allowed",
    "{{ value.__init__() }}": "not_allowed",
    "{{ value_json['get']('x') }}": "not_allowed",
    "{{ (value_json.get)('x') }}": "",
    "{{ float.__init__ }}": "not_allowed",
    "{{ float }}": "not_allowed",
    "{{ value(*value) }}": "not_allowed",
    "{{ float(*value) }}": "not_allowed",
    "{{ value | upper(**value_json) }}": "not_allowed",
    "{{ states('sensor.x') }}": "not_allowed",
    "{{ now() }}": "not_allowed",
    "{{ value is callable }}": "not_allowed",
    "{{ value | nothing }}": "invalid",
    "{{ value is nothing }}": "invalid",
    "{{ value": "invalid",
    "{% nothing %}": "invalid",
    "{% if value %}": "invalid",
    "{{ value" + " + 1" * 500 + " }}": "too_deep",
    "{{ " + "(" * 1900 + "1" + ")" * 1900 + " }}": "too_deep",
    "{{ " + "[" * 1900 + "]" * 1900 + " }}": "too_deep",
    "{{ " + "not " * 900 + "1 }}": "too_deep",
    "{{ " + "-" * 3900 + "1 }}": "too_deep",
    "{% if 1 %}" * 300: "too_deep",
    "{{ " + "1 if 1 else " * 300 + "1 }}": "too_deep",
    "{{ value" + "|upper" * 600 + " }}": "too_deep",
    "{{ value" + ".a" * 1900 + " }}": "too_deep",
    "{{1}}" * 800: "",
    "{{ [" + "1," * 1900 + "] }}": "too_long",
    "{{ value }}" + "x" * MAX_TEMPLATE: "too_long",
    "{{ value }}" * 100_000: "too_long",
    "{" * 4000: "too_deep",
    "{{ '" + "\\" * 3000: "invalid",
    "{{ " + "1_" * 2000 + " }}": "invalid",
    "{{ " + "9" * 4000 + " }}": "",
}
"""Templates and why they are not run; empty where they are, and then they must be bounded."""

FAILING: Final = (
    "{{ 'a' * 10**9 }}",
    "{{ 10**9 * 'a' }}",
    "{{ [1] * 10**9 }}",
    "{{ (1,) * 10**9 }}",
    "{{ '%9999999d' % 1 }}",
    "{{ '%9999999d' | format(1) }}",
    "{{ '%.9999999f' | format(1) }}",
    "{{ '%*d' | format(9999999, 1) }}",
    "{{ '%(a)9999999s' % {'a': 1} }}",
    "{{ ('%(a)s' * 100) % {'a': value} }}",
    "{{ '{:9999999}'.format(1) }}",
    "{{ '{:{}}'.format(1, 9999999) }}",
    "{{ '{0.__class__}'.format(value) }}",
    "{{ '{0[k]}'.format(value_json) }}",
    "{{ '{!r}'.format(value) }}",
    "{{ 'x'.zfill(10**9) }}",
    "{{ 10 ** (10 ** 9) }}",
    "{{ 9 ** (9 ** (9 ** 9)) }}",
    "{{ 1.5 | round(10**9) }}",
    "{{ value | int(0, 36) }}",
    "{{ value | replace('a', value) }}",
    "{{ value | replace('', value) }}",
    "{{ value.replace('', 'aaaaaaaaaaa') }}",
    "{{ value_json.s[:2000] | replace('a', value_json.s[:50000]) }}",
    "{{ value_json.s | replace('a', '" + "b" * 3000 + "') }}",
    "{{ 19999 in value_json.l }}",
    "{{ value_json.s | list | length }}",
    "{{ value_json.s[:120000] | from_json(0) }}",
    "{{ [1, 2, 3, 4] | join(value_json.s) | length }}",
    "{{ value_json.s.join(['a', 'b', 'c', 'd']) | length }}",
    "{{ value_json.s.split('a') | length }}",
    "{{ value | list | join(value) }}",
    "{{ value.join(value_json.l) }}",
    "{{ value_json.s.join(value) }}",
    "{{ value.split('a') }}",
    "{{ value_json | to_json(pretty_print=true) }}",
    "{{ 5 | pack('999999999x') }}",
    "{{ 0 | timestamp_custom('%999999999Y') }}",
    "{{ value_json.l | sum([]) }}",
    "{{ [[1]] | sum([]) }}",
    "{{ value_json.items }}",
    "{{ value_json.keys() - value_json.keys() }}",
    "{{ value_json.s * 100 }}",
    "{% set a = value_json.s %}" + "{% set a = a + a %}" * 50 + "{{ a }}",
    "{% set a = value_json.s %}" + "{% set a = a ~ a %}" * 50 + "{{ a }}",
    "{% set a = [1] %}" + "{% set a = a + a %}" * 50 + "{{ a }}",
    "{% set a = [1] %}" + "{% set a = [a, a, a] %}" * 50 + "{{ a }}",
    "{% set a = (1, 2) %}" + "{% set a = (a, a, a) %}" * 50 + "{{ value_json[a] }}",
    "{% set a = [1] %}" + "{% set a = {1: a, 2: a} %}" * 50 + "{{ a }}",
    "{% set a = [1] %}" + "{% set a = [a] %}" * 100 + "{{ a }}",
    "{% set a = 3 %}" + "{% set a = a * a %}" * 50 + "{{ a }}",
    "{{ value_json }}" * 100,
    "{{ value_json.l }}" * 100,
    *(
        "{{ value | regex_" + f"search('{pattern}')" + " }}"
        for pattern in (
            "(a+)+b",
            "(a*)*b",
            "(a|a)*b",
            "(a|aa)+$",
            "([a-z]+)*Z",
            "a*a*a*b",
            "(.*)(.*)(.*)x",
            "(a?){50}a{50}",
            "(?:a{1,50}){1,50}b",
            "a{99999}",
            "(?=a*)b",
            "(a)\\\\1",
            "(?i)a",
            "[[]]",
            "[a--b]",
            "a++",
            "a" * 1000,
        )
    ),
    *(
        f"{{{{ '{'a' * 30}' | regex_match('{pattern}') }}}}"
        for pattern in ("(a+)+b", "(a*)*b", "(a|a)*b", "(?:a|aa)+b", "(a?){30}b", "(a{1,9}){9}b")
    ),
    "".join(f"{{{{ 'b' | regex_match('{'a' * length}') }}}}" for length in range(280, 290)),
    "{{ value | regex_replace('a', value) }}",
    "{{ value_json.l | join | regex_findall('a?') }}",
)
"""Templates that run into a bound with a payload of `DEEP`."""

WIDE: Final = (
    "{{ value | length }}",
    "{{ value | upper | lower | title | capitalize | trim | length }}",
    "{{ value_json.l | sort | last }}",
    "{{ value_json.l | sum }}",
    "{{ value_json.l | join(',') | length }}",
    "{{ value_json.l == value_json.l }}",
    "{{ value_json == value_json }}",
    "{{ value in value }}",
    "{{ 'b' in value_json.s }}",
    "{{ 19999 in value_json.l }}",
    "{{ value | from_json | length }}",
    "{{ value_json | to_json | length }}",
    "{{ value_json | string | length }}",
    "{{ value_json.l | average }}",
    "{{ value_json.l | median }}",
    "{{ value_json.l | max }}",
    "{{ value[1:] | length }}",
    *(
        head + piece * ((MAX_TEMPLATE - len(head)) // len(piece))
        for head, piece in (
            ("", "{{ value | upper | length }}"),
            ("", "{{ value_json.l == value_json.o }}"),
            ("", "{{ value in value_json.l }}"),
            ("", "{{ value_json.l | sort | first }}"),
            ("", "{{ value_json.l | median }}"),
            ("", "{{ value_json.s.find('ab') }}"),
            ("", "{{ value_json.s[1:] | length }}"),
            ("", "{{ value|regex_match('a?') }}"),
            ("", "{{ 'ab'|regex_match(value[:299]) }}"),
            ("", "{{ 'aaaaaaaaaaaa'|regex_match('a*a*a*') }}"),
            ("", "{{ value_json is eq value_json }}"),
            ("", "{{ value|float(0) }}"),
            ("", "{{ value_json.s|from_json(0) }}"),
            ("{% set k = value_json.keys() %}", "{{ k == k }}"),
            ("{% set b = 3 ** 2500 %}{% set c = 3 ** 1200 %}", "{{ b // c % c }}"),
        )
    ),
)
"""Templates with much to do, as far as they get with a payload of `DEEP`."""


def run(text: str) -> Callable[[], None]:
    """Return a call that compiles a template and renders it twice."""
    value_json = json_of(DEEP)

    def call() -> None:
        try:
            render = compile_template(text).render
            for _ in range(2):
                render(DEEP, value_json)
        except (TemplateFault, TemplateError) as error:
            if len(str(error)) > 1000:
                raise AssertionError("a long error") from error

    return call


class HostileTests(SynchronousTestCase):
    """Every template here."""

    def test_refused(self) -> None:
        """What repeats, calls itself, reaches out or is too large is not run."""
        for text, expected in REFUSED.items():
            self.assertEqual(reason(text), expected, text[:200])

    def test_failing(self) -> None:
        """What would make or try too much fails when it runs, in a countable way."""
        for text in FAILING:
            self.assertEqual(render(text, DEEP), FAILED, text[:200])

    def bounded(self, texts: Iterable[str]) -> None:
        for text in texts:
            call = run(text)
            self.assertLess(least_s(lambda: cpu_s(call)), CPU_S, text[:200])  # noqa: B023 - at once
            tracemalloc.start()
            self.addCleanup(tracemalloc.stop)
            call()
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            self.assertLess(peak, MEMORY, text[:200])

    def test_refused_are_bounded(self) -> None:
        """To refuse takes neither long nor much."""
        self.bounded(REFUSED)

    def test_failing_are_bounded(self) -> None:
        """Nothing large is made before it fails."""
        self.bounded(FAILING)

    def test_wide_are_bounded(self) -> None:
        """What reads much stops where it has no steps left."""
        self.bounded(WIDE)
