"""docs/operations.md names every log line that is a warning or worse, and none that is gone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from tests.logs.templates import Templates, all_texts, templates, templates_of

PAGE: Final = Path(__file__).parents[1] / "docs" / "operations.md"
NOT_OURS: Final = {
    "{text}": "the line of a library, through Python's logging",
    "{reason}": "each fault of a configuration; the line after it is on the page",
    "{warning}": "a dangerous setting, which says so itself; see docs/configuration.md",
}
"""Lines that are what they are given, with nothing of their own."""
GIVEN: Final = {
    "logs/burst.py: self._many",
    "logs/burst.py: self._one",
    "logs/status_log.py: self._failed",
    "logs/status_log.py: self._restored",
    "logs/status_log.py: text",
}
"""Where a line is logged that was given before; what gives it is found."""

_FIELD: Final = re.compile(r"\{[^{}]*\}")
_LEAST_LETTERS: Final = 6
"""A row or a template with less of its own would match everything."""


def rows(page: str, *, causes: bool = False) -> Iterator[str]:
    """Yield what a page names in backticks in the first cells of rows: log lines, or causes."""
    part = page.partition("\n## Log lines\n")[2]
    for section in re.split(r"^#+ ", part, flags=re.MULTILINE):
        if section.startswith("Causes") is causes:
            for cell in re.findall(r"^\| (`.*?`) \|", section, re.MULTILINE):
                yield from cell.strip("`").split("`, `")


def is_same(row: str, template: str) -> bool:
    """Return whether a row is about the lines of a template: one says all that the other says."""
    return _says(row, _FIELD.sub("_", template)) or _says(_FIELD.sub("…", template), row)


def _says(one: str, other: str) -> bool:
    pattern = _pattern(one)
    return pattern is not None and pattern.fullmatch(other) is not None


@cache
def _pattern(text: str) -> re.Pattern[str] | None:
    """Return what matches all that a text with dots may be; None if that is nearly everything."""
    if sum(map(str.isalpha, text)) < _LEAST_LETTERS:
        return None
    return re.compile(".*".join(map(re.escape, text.split("…"))), re.DOTALL)


class OperationsTests(SynchronousTestCase):
    """The page against the source."""

    def setUp(self) -> None:
        self.page = PAGE.read_text("utf-8")
        self.rows = list(rows(self.page))
        self.templates = templates()

    def test_every_line_is_there(self) -> None:
        """A warning or an error that you add has a row: what to do, or why nothing is."""
        missing = [
            template
            for template in self.templates.warnings - set(NOT_OURS)
            if not any(is_same(row, template) for row in self.rows)
        ]
        self.assertEqual(sorted(missing), [])
        self.assertEqual(set(NOT_OURS) - self.templates.warnings, set())

    def test_nothing_else_is_there(self) -> None:
        """A row whose line is not logged any more is taken out."""
        stale = [
            row for row in self.rows if not any(is_same(row, one) for one in self.templates.all)
        ]
        self.assertEqual(stale, [])

    def test_causes(self) -> None:
        """Each cause on the page is one that the source has."""
        causes = [row for row in rows(self.page, causes=True) if row]
        self.assertGreater(len(causes), 15)
        texts = all_texts()
        stale = [row for row in causes if not any(_says(row, text) for text in texts)]
        self.assertEqual(stale, [])

    def test_all_are_found(self) -> None:
        """A line that is neither a text at its place nor given to what is known would be missed."""
        self.assertEqual(self.templates.unnamed, GIVEN)


class TemplateTests(SynchronousTestCase):
    """What is found in a source."""

    def found(self, body: str, place: str = "x.py") -> Templates:
        """Return what a function with that body may log."""
        found = Templates()
        lines = "\n".join(f"    {line}" for line in body.splitlines())
        templates_of(f"_A = 'const'\ndef f(self, log, x):\n{lines}\n", place, found)
        return found

    def test_ways_to_log(self) -> None:
        """By a method, a choice of methods, a name for one, with a level."""
        for body in (
            "log.warn('a')",
            "self._log.error('a', x=1)",
            "log.failure('a', x)",
            "log.emit(LogLevel.warn, 'a')",
            "(log.error if x else log.warn)('a')",
            "write = log.info if x else log.warn\nwrite('a')",
            "text = 'a'\nlog.critical(text)",
            "self._log_failure('a', x)",
            "make_logger().failure('a', x)",
        ):
            found = self.found(body)
            self.assertEqual((found.warnings, found.unnamed), ({"a"}, set()), body)
        self.assertEqual(self.found("log.warn(_A)").warnings, {"const"})
        self.assertEqual(self.found("log.warn(f'a {x}')").warnings, {"a {}"})

    def test_given_sentences(self) -> None:
        """What has its sentences before it logs."""
        found = self.found("StatusLog(log, x, 'down', 'up')")
        self.assertEqual((found.warnings, found.all), ({"down"}, {"down", "up"}))
        found = self.found("Burst(log, x, 'many', one='one', level=LogLevel.warn)")
        self.assertEqual(found.warnings, {"many", "one"})
        self.assertEqual(self.found("Burst(log, x, 'many')").warnings, set())

    def test_no_warnings(self) -> None:
        """Information, debug, and what is no log."""
        for body in ("log.info('a')", "log.debug('a')", "self.error('a')", "print('a')"):
            self.assertEqual(self.found(body).warnings, set(), body)

    def test_unnamed(self) -> None:
        """A text from elsewhere is seen to be missing."""
        self.assertEqual(self.found("log.warn(x)").unnamed, {"x.py: x"})

    def test_the_log_itself(self) -> None:
        """What it says of itself has no call."""
        body = "return f'{x} lines were lost'"
        self.assertEqual(self.found(body, "logs/x.py").warnings, {"{} lines were lost"})
        self.assertEqual(self.found(body).warnings, set())


class RowTests(SynchronousTestCase):
    """Whether a row is about a line."""

    def test_same(self) -> None:
        """What is filled in may be anything; a row may end early, or have what is filled in."""
        template = "Lost the connection to {subject}: {cause}. Trying again."
        for row in ("Lost the connection to …: …. Trying again.", "Lost the connection …"):
            self.assertTrue(is_same(row, template), row)
        self.assertTrue(is_same("Device … is silent: ….", "Device {first}."))
        self.assertFalse(is_same("Lost the connection to …", "Connected to {address}."))
        self.assertFalse(is_same("…", template))
        self.assertFalse(is_same("Lost the …", "{text}"))
