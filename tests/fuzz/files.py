"""Targets: what people write (configuration files), and what modules hand out (metrics)."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import hypothesis.strategies as st
from attrs import frozen

from metrics_agent.commands.kinds import all_subjects
from metrics_agent.config.load import load
from metrics_agent.config.sample import sample_file
from metrics_agent.errors import ConfigError
from metrics_agent.metric import Metric, Series
from metrics_agent.modules import BUILT_IN, find_kind
from metrics_agent.plan import Plan, build
from tests.fuzz.mutations import ODD_VALUES, SIZES, Draw, Vocabulary, bytes_bent, json_bent
from tests.fuzz.oracle import Target, check_metrics
from tests.hostile.patterns import PATTERNS, filled
from tests.modules.tasmota.support import read_toml

__all__ = ["FILES"]

LITERAL: Final = "pa55-w0rd-of-nobody"
"""Is in files, as a secret and by mutations elsewhere."""
_LOOKED_UP: Final = "s3cr3t-of-the-environment"
"""Is in no file."""
_SECRET_KEYS: Final = ("password", "client_secret", "refresh_token")


@frozen
class FileCase:
    """A file by the end of its name, and what is in it."""

    suffix: str
    content: bytes


# Configuration.

_KEY_LINE: Final = re.compile(r"^#?(\w+) = (.*)$", re.MULTILINE)
_TOML_VALUES: Final = (
    *("true", "false", "0", "-1", "1.5", "1e400", "inf", "nan", "9" * 30, '""', '"x"', '"5s"'),
    *('"0s"', '"1KiB"', '"99999999d"', '"-5s"', "[]", "{}", '["a", 1]', "{ a = 1 }", "1979-05-27"),
    *('{ env = "NAME" }', '{ env = "HOME" }', '{ file = "/nonexistent" }', '{ file = "." }'),
    *('"tcp://"', '"mqtts://h:0"', '"ws://[::1"', '["tcp://a", "ssl://b:99999"]', '"unix:///x"'),
    *('"http://u:p@h/"', '"https://h:1/x?y#z"', "'''a\nb'''", '"\\u0000"', '"é☀"', '"a/#"'),
    *('"%prefix%/%topic%/"', '["%topic%", "#", "+/x", "$SYS/#"]', '"power@9 kW"'),
    *("[" * 3_000 + "]" * 3_000, "{a=" * 3_000 + "1" + "}" * 3_000),
    *('{ "Strom" = { "Wirk" = "power" } }', '{ "a" = { "b" = "nothing" } }', '{ "a" = 1 }'),
)
_TABLES: Final = (
    *("[modules]", "[modules.tasmota]", "[modules.opendtu]", "[modules.netatmo]", "[modules.demo]"),
    *('[modules."tasmota:x"]', '[modules."a b"]', "[modules.nothing]", "[[modules.tasmota]]"),
    *(
        "[modules.opendtu.mqtt]",
        "[modules.tasmota.custom]",
        "[modules.netatmo.custom]",
        "[]",
        "[x]",
    ),
    "[modules.tasmota.friendly_name_overrides]",
)


_LOGINS: Final = (
    '[modules.tasmota]; enabled = true; username = "u"; password = @',
    '[modules.opendtu]; enabled = true; url = "http://h"; username = "u"; password = @',
    '[modules.netatmo]; enabled = true; client_id = "c"; client_secret = @; refresh_token = @',
    "[modules.netatmo]; enabled = true; refresh_token = @",
    *(f"{key} = @" for key in _SECRET_KEYS),
)


_SAMPLE: Final = sample_file(all_subjects())
_WRITTEN: Final = tuple(
    path for path in sorted(Path(__file__).parent.parent.rglob("*.toml")) if path.is_file()
)
"""The files of the tests: the golden cases of modules, and what is wrong on purpose."""


def _lines() -> Iterator[str]:
    yield from _SAMPLE.splitlines()
    for path in _WRITTEN:
        yield from path.read_text("utf-8", "replace").splitlines()


_LINES: Final = tuple(dict.fromkeys(line.lstrip("#") for line in _lines() if line.strip()))
_KEYS: Final = tuple(sorted({match[1] for match in map(_KEY_LINE.match, _LINES) if match}))


@st.composite
def _toml(draw: Draw) -> bytes:
    """Write some lines, some of them of no file that anybody wrote."""
    lines = []
    for _ in range(draw(st.integers(1, 8))):
        what = draw(st.sampled_from(("line", "line", "key", "key", "table", "secret")))
        if what == "line":
            lines.append(draw(st.sampled_from(_LINES)))
        elif what == "key":
            value = draw(st.sampled_from((*_TOML_VALUES, *ODD_VALUES)))
            lines.append(f"{draw(st.sampled_from(_KEYS))} = {value}")
        elif what == "secret":
            value = draw(st.sampled_from((f'"{LITERAL}"', '{ env = "HOME" }')))
            lines += draw(st.sampled_from(_LOGINS)).replace("@", value).split("; ")
        else:
            lines += [draw(st.sampled_from(_TABLES)), "enabled = true"]
    return draw(bytes_bent("\n".join(lines).encode("utf-8", "surrogatepass"), often=4))


def _documents() -> Iterator[str]:
    for path in _WRITTEN:
        try:
            raw: dict[str, Any] = read_toml(path.read_text("utf-8"))
        except ValueError:
            continue
        if path.parent.parent.name == "cases":
            raw = {"modules": {path.parent.parent.parent.name: {"enabled": True, **raw}}}
        yield json.dumps(raw, default=str)
    for secret in (LITERAL, {"env": "HOME"}):
        login = {"username": "u", "password": secret}
        app = {"client_id": "c", "client_secret": secret, "refresh_token": secret}
        modules = {"tasmota": login, "opendtu": {"url": "http://h", **login}, "netatmo": app}
        yield json.dumps({"modules": {key: {"enabled": True, **modules[key]} for key in modules}})


_DEEP: Final = tuple(
    (opening * depth + b"1" + closing * depth)
    for depth in (100, 100_000)
    for opening, closing in ((b"[", b"]"), (b'{"modules":', b"}"))
)


_ODD_FILES: Final = (
    *(
        b"",
        b" \n",
        b"\xef\xbb\xbf{}",
        b"\xff\xfe{\0}\0",
        b"a = '\xff'",
        b"[]",
        b"null",
        b"{}",
        b"x",
    ),
    *(b"a = 2026-02-30", b"a = " + b"9" * 5_000, b'{"a": ' + b"9" * 5_000 + b"}", b"a = 1\na = 2"),
    *(b'{"modules": [{"a": 1, "a": 2}], "b": 1, "b": 2}', b'{"modules": []}', b"modules = 1"),
    *(b"[modules]\ntasmota = 1", b"x" * (4 * 1024 * 1024 + 1), b"log_level = 5\n[modules.demo]"),
)


def run_config(case: FileCase) -> None:
    """Read a file, and plan what is in it: there is a plan, or an error that names the faults.

    Nothing that hears of it shows a secret.
    """
    with tempfile.TemporaryDirectory(prefix="fuzz-") as directory:
        path = Path(directory) / f"agent{case.suffix}"
        path.write_bytes(case.content)
        try:
            config = load(path, find_kind, lambda: BUILT_IN, {"HOME": _LOOKED_UP})
        except ConfigError as error:
            assert error.faults
            assert all(str(fault) for fault in error.faults), error
            _check_told(case, [str(error), repr(error), *map(str, error.faults)])
            return
    plan = build(config)
    assert isinstance(plan, Plan)
    assert not plan.nothing_can_run or plan.faults
    faults = [*plan.faults, *(fault for module in config.modules for fault in module.faults)]
    assert all(str(fault) for fault in faults), faults
    assert all(config.warnings), config.warnings
    _check_told(case, [*map(str, faults), *config.warnings, repr(config), repr(plan)])


def _check_told(case: FileCase, logged: Iterable[str]) -> None:
    secrets = [_LOOKED_UP] if _stands_elsewhere(case) else [_LOOKED_UP, LITERAL]
    for text in logged:
        for secret in secrets:
            # Also a piece of it, where a text is cut.
            assert secret[:10] not in text, text


def _stands_elsewhere(case: FileCase) -> bool:
    """Return whether the secret is in a place whose values may be shown."""
    try:
        text = case.content.decode()
        if case.suffix == ".json":
            raw: Any = json.loads(text, object_pairs_hook=_Pairs)
        else:
            raw = read_toml(text)
    except (ValueError, RecursionError):
        return False
    return any(not _is_secret(path) for path in _paths_of(raw, ()))


class _Pairs(list[Any]):
    """A JSON object with all its keys, also those that are there twice."""


def _paths_of(raw: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Give where in a document the secret is, the keys from the top."""
    if isinstance(raw, str) and LITERAL[:10] in raw:
        yield path
    elif isinstance(raw, (dict, _Pairs)):
        for key, value in raw.items() if isinstance(raw, dict) else raw:
            if LITERAL[:10] in key:
                yield path
            yield from _paths_of(value, (*path, key))
    elif isinstance(raw, list):
        for value in raw:
            yield from _paths_of(value, (*path, ""))


def _is_secret(path: tuple[str, ...]) -> bool:
    """Return whether a path is that of a secret setting, and not a key of people's own names."""
    *above, key = path or ("",)
    return key in _SECRET_KEYS and above[2:] in ([], ["mqtt"], ["custom"])


# Metrics.

_NAMES: Final = st.one_of(
    st.text(max_size=8),
    st.sampled_from(("electricity", "time", "_x", "#", "a b", "a,b", "a=b", "\\", "a\\", "\n", "")),
    st.just("k" * 1_100),
    st.builds(filled, st.sampled_from(PATTERNS), st.sampled_from(SIZES)),
)
_FIELD_VALUES: Final = st.one_of(
    st.floats(),
    st.integers(),
    st.booleans(),
    st.text(max_size=20),
    st.sampled_from((None, "x" * 70_000, "\ud800", "\\", '"', "\r", 2**63, -(2**63), [], {}, b"x")),
)


def run_metrics(case: list[tuple[Any, ...]]) -> None:
    """Encode metrics of any kind."""
    check_metrics(
        Metric(Series(measurement, tags), fields, time_ns)
        for measurement, tags, fields, time_ns in case
    )


FILES: Final = (
    Target(
        "config",
        "configuration files",
        st.one_of(
            st.builds(FileCase, st.just(".toml"), _toml()),
            st.builds(FileCase, st.just(".json"), json_bent(Vocabulary.of(_documents()))),
            st.builds(FileCase, st.just(".json"), st.sampled_from(_DEEP)),
            st.builds(
                FileCase, st.sampled_from((".toml", ".JSON", ".yaml")), st.sampled_from(_ODD_FILES)
            ),
        ),
        run_config,
        80,
    ),
    Target(
        "metrics",
        "metrics of any kind",
        st.lists(
            st.tuples(
                _NAMES,
                st.dictionaries(_NAMES, st.one_of(_NAMES, st.none()), max_size=4),
                st.dictionaries(_NAMES, _FIELD_VALUES, max_size=5),
                st.one_of(st.none(), st.integers(), st.floats(), st.just(1_700_000_000 * 10**9)),
            ),
            min_size=1,
            max_size=4,
        ),
        run_metrics,
        60,
    ),
)
