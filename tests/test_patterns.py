"""Every regular expression of the package takes time in proportion to its text.

`re` holds the interpreter's lock while it searches: a pattern whose time grows with the square of a
text from outside stops all modules, and with 130,000 characters even the watchdog. So each pattern
is tried, by the methods that its module calls, on long texts that make it fail late.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import time
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import metrics_agent

METHODS = ("search", "match", "fullmatch", "sub", "subn", "split", "findall", "finditer")
SHORT, LONG = 4096, 16_384
LINEAR = LONG / SHORT
WORTH_A_LOOK_S = 0.02
"""For the long text; a pattern that takes longer for each character is looked at again."""

UNITS = (
    *(
        "0",
        "a",
        "A",
        "x1",
        " ",
        "\t",
        "\n",
        "\\",
        '"',
        "'",
        "/",
        "//",
        ":",
        ".",
        "-",
        "_",
        "%",
        ",",
        "=",
    ),
    *(
        "{",
        "[",
        "(",
        "@",
        "://",
        '{"dn":"',
        '"dn":"",',
        "0.",
        "1e",
        "1h",
        "\\\\",
        '\\"',
        "a=b,",
        'a="b",',
    ),
    *("Basic a", 'Digest realm="', "-----BEGIN CERTIFICATE-----\n", "<a>", "\u202e", "\x1b[", "é"),
)
"""What the texts repeat, with and without an end that does not fit."""
ENDS = ("", "x", "0", '"', "\n", "!", "\x00")


def patterns() -> Iterator[tuple[str, re.Pattern[str] | re.Pattern[bytes], list[str]]]:
    """Yield each compiled pattern of the package, by name, with the methods it is used by."""
    seen: set[int] = set()
    for info in pkgutil.walk_packages(metrics_agent.__path__, "metrics_agent."):
        if info.name.endswith("__main__"):
            continue
        module = importlib.import_module(info.name)
        source = Path(module.__file__ or "").read_text("utf-8")
        for name, value in vars(module).items():
            if isinstance(value, re.Pattern) and id(value) not in seen:
                used = [method for method in METHODS if f"{name}.{method}(" in source]
                if used:
                    seen.add(id(value))
                    yield f"{info.name}.{name}", value, used


def seconds(pattern: re.Pattern[str] | re.Pattern[bytes], method: str, text: str) -> float:
    """Return the CPU time that one call takes, the least of three."""
    subject = text.encode("utf-8", "replace") if isinstance(pattern.pattern, bytes) else text
    call = getattr(pattern, method)
    least = float("inf")
    for _ in range(3):
        start_s = time.thread_time()
        if method in {"sub", "subn"}:
            call(b"" if isinstance(pattern.pattern, bytes) else "", subject)
        elif method == "finditer":
            for _found in call(subject):
                pass
        else:
            call(subject)
        least = min(least, time.thread_time() - start_s)
        if least < WORTH_A_LOOK_S:
            break
    return least


def slow_texts(pattern: re.Pattern[str] | re.Pattern[bytes], method: str) -> Iterator[str]:
    """Yield a description of each text for which the time grows faster than the text."""
    for unit in UNITS:
        for end in ENDS:
            long_s = seconds(pattern, method, unit * (LONG // len(unit)) + end)
            if long_s < WORTH_A_LOOK_S:
                continue
            short_s = seconds(pattern, method, unit * (SHORT // len(unit)) + end)
            if long_s > 2 * LINEAR * short_s:
                yield f"{unit!r} repeated, then {end!r}: {short_s:.3f} s, {long_s:.3f} s"


class PatternTests(SynchronousTestCase):
    """The package's patterns."""

    def test_time_grows_with_the_text_and_no_faster(self) -> None:
        """A pattern that is worse than linear is named, with the text."""
        found = list(patterns())
        self.assertGreater(len(found), 20)
        slow = [
            f"{name}.{method} of {text}"
            for name, pattern, methods in found
            for method in methods
            for text in slow_texts(pattern, method)
        ]
        self.assertFalse(slow, "\n".join(slow))

    def test_this_test_finds_a_quadratic_pattern(self) -> None:
        """The two that stopped the agent for more than a minute."""
        for pattern in (r"\d+\Z", r'"dn":"(.*?)",(?="fn":\[)'):
            self.assertTrue(any(slow_texts(re.compile(pattern), "search")), pattern)

    def test_patterns_are_compiled_at_the_top_of_a_module(self) -> None:
        """Those inside a function would not be tried."""
        root = Path(metrics_agent.__file__).parent
        inside = [
            f"{path.relative_to(root)}:{number}"
            for path in root.rglob("*.py")
            for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
            if re.search(r"\bre\.(search|match|fullmatch|sub|subn|split|findall|finditer)\(", line)
        ]
        # A pattern made of our own secrets, each escaped.
        self.assertEqual([place.partition(":")[0] for place in inside], ["oauth2/quoting.py"])
