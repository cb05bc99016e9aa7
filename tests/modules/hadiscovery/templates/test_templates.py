"""Templates by example: results, undefined values, failures, and which tier they are of."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.modules.hadiscovery.templates import (
    MISSING,
    TemplateError,
    TemplateFault,
    compile_template,
)
from metrics_agent.modules.hadiscovery.templates.faults import MAX_RESULT
from tests.modules.hadiscovery.templates.support import FAILED, UNDEFINED, reason, render

PAYLOAD = json.dumps(
    {
        "a": 12,
        "b": 2.345,
        "s": "ab 42 x",
        "j": '{"k":7}',
        "t": 1764244800,
        "l": [1, 2, 3.5],
        "o": {"p q": [0, {"r": "deep"}]},
        "n": None,
        "y": True,
        "update": 1,
        "count": 3,
        "name": " x ",
    }
)

BY_PATH = {
    "plain text": "plain text",
    "  a { b }  ": "a { b }",
    "": "",
    "{{ value_json.a }}": "12",
    "{{value_json.a}}": "12",
    "{{- value_json.a -}}": "12",
    "{{ value_json['o']['p q'][1].r }}": "deep",
    "{{ value_json.l.0 }}": "1",
    "{{ value_json.l[-1] }}": "3.5",
    "{{ value_json.l[7] }}": "",
    "{{ value_json.n }}": "None",
    "{{ value_json.y }}": "True",
    "{{ value_json.name }}": "x",
    "{{ value_json.count }}": "3",
    "{{ value_json.update }}": "",
    "{{ value_json['update'] }}": "1",
    "{{ value_json.items }}": FAILED,
    "{{ value_json.z }}": "",
    "{{ value_json.s.nope }}": "",
    "{{ value_json.s.__class__ }}": "",
    "{{ value_json.z.z }}": UNDEFINED,
    "{{ value_json.z | is_defined }}": UNDEFINED,
    "{{ value_json.z | float(0) }}": UNDEFINED,
    "{{ value_json.z | default(5) }}": "5",
    "{{ value_json.n | default('', true) }}": "",
    "{{ value_json.s | float }}": FAILED,
    "{{ value_json.s | float(-1) }}": "-1",
    "{{ value_json.b | round(1) }}": "2.3",
    "{{ value_json.b | round }}": "2",
    "{{ value_json.b | round(1, 'floor') }}": "2.3",
    "{{ value_json.b | int }}": "2",
    "{{ value_json.a | multiply(0.1) }}": "1.2000000000000002",
    "{{ value_json.s | replace('b', 'B') | upper }}": "AB 42 X",
    "{{ value_json.l | length }}": "3",
}
"""Templates that need no Jinja2."""

BY_JINJA = {
    "~{{ value_json.a }}": "~12",
    "{# c #}{{ value_json.a }}": "12",
    "{{ value_json.a + 1 }}": "13",
    "{{ (value_json.b / 3) | round(2) }}": "0.78",
    "{{ value_json.b | round(precision=1) }}": "2.3",
    "{{ value_json.a ~ 'W' }}": "12W",
    "{{ 'on' if value_json.a > 5 else 'off' }}": "on",
    "{{ (value_json.a > 5) | iif('hi', 'lo') }}": "hi",
    "{% if value_json.a < 5 %}low{% elif value_json.a < 20 %}mid{% else %}high{% endif %}": "mid",
    "{% set v = {1: 'x', 12: 'y'} %}{{ v[value_json.a] }}": "y",
    "{{ {1: 'x'}[value_json.a] | default('none') }}": "none",
    "{{ value_json.a in [11, 12] and 'x' in value_json.s }}": "True",
    "{{ value_json.a is defined and value_json.z is not defined }}": "True",
    "{{ value_json.get('z', {}).get('y', 4) }}": "4",
    "{{ value_json.s.split(' ')[1] }}": "42",
    "{{ value_json.s[0:2] }}": "ab",
    "{{ value_json.o.items() | list | length }}": "1",
    "{{ value_json.l | join(',') }}": "1,2,3.5",
    "{{ value_json.l | sum }}": "6.5",
    "{{ average(value_json.l) }}": "2.1666666666666665",
    "{{ [value_json.a, 3] | max }}": "12",
    "{{ max(value_json.a, 3) }}": "12",
    "{{ log(value_json.a, 10) | round(3) }}": "1.079",
    "{{ value_json.a | bitwise_and(4) }}": "4",
    "{{ 'ff' | int(base=16) }}": "255",
    "{{ '%.2f' | format(value_json.b) }}": "2.35",
    "{{ '%0.1f%%' % value_json.b }}": "2.3%",
    "{{ '%s * %s' % (1, 2) }}": "1 * 2",
    "{{ '{:.1f}'.format(value_json.b) }}": "2.3",
    "{{ '{0:>5} {x} {{'.format(1, x=2) }}": "1 2 {",
    "{{ (value_json.j | from_json).k }}": "7",
    "{{ {'a': 'é', 'b': [1]} | to_json }}": '{"a":"é","b":[1]}',
    "{{ {'b': '<', 'a': 1} | tojson }}": '{"a": 1, "b": "\\u003c"}',
    "{{ is_number(value_json.s) or value_json.s is is_number }}": "False",
    "{{ value_json.s | regex_findall_index('[0-9]+') }}": "42",
    "{{ value_json.s | regex_replace('[^0-9]', '') }}": "42",
    "{{ value_json.s | regex_replace('(\\\\d)(\\\\d)', '\\\\2\\\\1') }}": "ab 24 x",
    "{{ value_json.s is match('AB', ignorecase=true) }}": "True",
    "{{ value_json.s | regex_search('^(?:b|x)$') }}": "False",
    "{{ value_json.t | timestamp_utc }}": "2025-11-27T12:00:00+00:00",
    "{{ value_json.t | timestamp_custom('%H:%M', false) }}": "12:00",
    "{{ value_json.t | timestamp_custom('%H:%M') }}": "13:00",
    "{{ value_json.t | timestamp_local }}": "2025-11-27T13:00:00+01:00",
    "{{ as_timestamp('2026-11-27T12:00:00+00:00') }}": "1795780800.0",
    "{{ as_datetime(value_json.t) }}": "2025-11-27 12:00:00+00:00",
    "{{ as_datetime('2026-11-27T12:00:00.5Z').year }}": "2026",
    "{{ as_datetime('2026-11-27 12:00:00+0130').isoformat() }}": "2026-11-27T12:00:00+01:30",
    "{{ as_datetime('soon') }}": "None",
    "{{ as_datetime('2026-13-27', 'x') }}": "x",
    "{{ (as_datetime(60) - as_datetime(0)).total_seconds() }}": "60.0",
    "{{ 5 | pack('>B') }}": "b'\\x05'",
    "{{ '0005' | from_hex | unpack('>H') }}": "5",
    "{{ pi | round(2) + tau | int }}": "9.14",
    "{{ nothing }}": "",
    "{{ nothing(1) }}": UNDEFINED,
    "{{ value_json.z + 1 }}": UNDEFINED,
    "{{ value_json.a / 0 }}": FAILED,
    "{{ value_json.s > 3 }}": FAILED,
    "{{ ''['__class__'] }}": "",
    "{{ ''.__class__ }}": "",
    "{{ ''.__class__.__mro__ }}": UNDEFINED,
    "{{ '%s' % value.__class__ }}": "",
}
"""Templates that need Jinja2."""


class TemplateTests(SynchronousTestCase):
    """One template and one payload."""

    def setUp(self) -> None:
        before = os.environ.get("TZ")
        self.addCleanup(self.set_zone, before)
        self.set_zone("Europe/Berlin")

    @staticmethod
    def set_zone(zone: str | None) -> None:
        if zone is None:
            os.environ.pop("TZ", None)
        else:
            os.environ["TZ"] = zone
        time.tzset()

    def test_by_path(self) -> None:
        """Paths and simple filters."""
        for text, expected in BY_PATH.items():
            self.assertEqual(render(text, PAYLOAD), expected, text)
            self.assertFalse(compile_template(text).needs_jinja, text)

    def test_by_jinja(self) -> None:
        """All else that is allowed."""
        for text, expected in BY_JINJA.items():
            self.assertEqual(render(text, PAYLOAD), expected, text)
            self.assertTrue(compile_template(text).needs_jinja, text)

    def test_not_json(self) -> None:
        """A payload that is not JSON has a value and no value_json."""
        self.assertEqual(render("{{ value | lower }}", " ON "), "on")
        self.assertEqual(render("{{ value_json }}", "ON"), "")
        self.assertEqual(render("{{ value_json.a }}", "ON"), UNDEFINED)
        self.assertEqual(render("{{ value_json.a is defined }}", "ON"), UNDEFINED)
        self.assertEqual(render("{{ value_json is defined }}", "ON"), "False")
        self.assertEqual(render("{{ value_json.a }}", "12"), "")
        self.assertEqual(render("{{ value_json }}", "null"), "None")

    def test_errors(self) -> None:
        """An error says what was wrong, and shows no more of a payload than a line takes."""
        for text, expected in {
            "{{ value_json.a | float }}": "ValueError: float got 'x",
            "{{ value_json.a * 1.5 }}": "TypeError: can't multiply",
            "{{ value_json.b | is_defined }}": "'b' is undefined",
            "{{ value_json.b + 1 }}": "'dict object' has no attribute 'b'",
            "{{ value_json.get }}": "get is a method of every dict",
        }.items():
            template = compile_template(text)
            error = self.assertRaises(TemplateError, template.render, "", {"a": "x" * 100_000})
            self.assertTrue(str(error).startswith(expected), str(error))
            self.assertLess(len(str(error)), 300)

    def test_faults(self) -> None:
        """A fault is a clause that names what is not allowed."""
        for text, expected in {
            "{% for x in value %}{% endfor %}": "it has a loop",
            "{{ states('a') }}": "it uses states",
            "{{ this.state }}": "it uses this",
            "{{ value | map('upper') }}": "it uses the filter map",
            "{{ value.encode() }}": "it calls the method encode",
            "{{ value | frob }}": "there is no filter frob",
            "{{ value": "it is not a template of Jinja2: ",
        }.items():
            fault = self.assertRaises(TemplateFault, compile_template, text)
            self.assertTrue(str(fault).startswith(expected), str(fault))

    def test_long_results(self) -> None:
        """A result that is too long is none, in both tiers."""
        long = "x" * (MAX_RESULT + 1)
        self.assertEqual(render("{{ value }}", long), FAILED)
        self.assertEqual(render("{{ value }}{{ value }}", long[:-2]), FAILED)
        self.assertEqual(render("{{ value }}", long[:-1]), long[:-1])

    def test_steps_are_of_one_render(self) -> None:
        """What a render has taken is not missing for the next one."""
        template = compile_template("{{ value | upper | length + 0 }}")
        for _ in range(10):
            self.assertEqual(template.render("x" * 200_000, MISSING), "200000")

    def test_name_of_a_function_as_variable(self) -> None:
        """A variable may have the name of a function; it is not called then."""
        self.assertEqual(render("{% set float = 5 %}{{ float }}"), "5")
        self.assertEqual(reason("{% set float = 5 %}{{ float(1) }}"), "not_allowed")

    def test_memory(self) -> None:
        """The estimate of the memory is more than what a template takes."""
        import gc
        import tracemalloc

        filters = "|d(7)" * 8
        for text in (
            "{{{{ value_json.k{} }}}}",
            f"{{{{{{{{value.k{{}}{filters}}}}}}}}}",
            "{{{{ value_json.k{} + 1 }}}}",
        ):
            self.assertEqual(compile_template(text.format("x")).needs_jinja, "+" in text)
            gc.collect()
            tracemalloc.start()
            self.addCleanup(tracemalloc.stop)
            templates = [compile_template(text.format(index)) for index in range(200)]
            taken = tracemalloc.get_traced_memory()[0]
            tracemalloc.stop()
            self.assertLess(taken, sum(each.memory_bytes for each in templates))


class ImportTests(SynchronousTestCase):
    """Jinja2 in a process of its own."""

    def run_python(self, code: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout.strip()

    def test_not_loaded_for_paths(self) -> None:
        """Jinja2 is imported by the first template that needs it."""
        code = (
            "import sys; from metrics_agent.modules.hadiscovery.templates import compile_template;"
            "compile_template('{{ value_json.a | round(1) }}').render('', {'a': 1});"
            "print('jinja2' in sys.modules);"
            "compile_template('{{ value_json.a + 1 }}');"
            "print('jinja2' in sys.modules)"
        )
        self.assertEqual(self.run_python(code).split(), ["False", "True"])

    def test_not_installed(self) -> None:
        """Without Jinja2 paths go on, and the fault of others says what to install."""
        code = (
            "import sys; sys.modules['jinja2'] = None;"
            "from metrics_agent.modules.hadiscovery.templates import *;"
            "print(compile_template('{{ value }}').render('x'))\n"
            "try: compile_template('{{ value + 1 }}')\n"
            "except TemplateFault as fault: print(fault.reason, fault)"
        )
        first, second = self.run_python(code).splitlines()
        self.assertEqual(first, "x")
        self.assertTrue(second.startswith("needs_jinja2 it needs Jinja2 ("), second)
        self.assertIn("pip install '.[templates]'", second)
