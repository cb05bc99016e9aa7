"""Secrets: where they come from, and a type that does not show them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from attrs import field, frozen

from metrics_agent.config.faults import Fault, describe_type, join, quote
from metrics_agent.config.regular import read_regular
from metrics_agent.pem import is_pasted

__all__ = ["FORMS", "SECRET_LIMIT_BYTES", "Secret", "Sources", "read_secret"]

FORMS: Final = 'a string, { env = "NAME" } or { file = "path" }'
SECRET_LIMIT_BYTES: Final = 64 * 1024
_PATH_SHOWN = 1024


class Secret:
    """A text that shows itself only on request; equal and hashed by its value.

    Args:
        value: the text.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the text, for handing it to a peer; never for a log."""
        return self._value

    def __eq__(self, other: object) -> bool:
        return self._value == other._value if isinstance(other, Secret) else NotImplemented

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __repr__(self) -> str:
        return "***"


@frozen
class Sources:
    """Where secrets are looked up.

    Attributes:
        directory: that of the configuration file; relative paths start here.
        environ: the environment of the process.
    """

    directory: Path = Path()
    environ: Mapping[str, str] = field(factory=dict)

    def locate(self, name: str) -> Path:
        """Return the path of a secret's file.

        A relative name is first looked for among systemd's credentials of this unit.
        """
        credentials = self.environ.get("CREDENTIALS_DIRECTORY")
        if credentials:
            candidate = Path(credentials, name)
            # os.path, since a name that the system refuses is simply not there for it.
            if os.path.lexists(candidate):
                return candidate
        return self.directory / name


def read_secret(raw: object, path: str, sources: Sources) -> Secret | Fault:
    """Make a secret of what the configuration says.

    Args:
        raw: a string, or a table with one key ``env`` or ``file``.
        path: of the setting, for the fault.
        sources: where files and variables are looked up.
    """
    if isinstance(raw, str):
        return Secret(raw)
    if not isinstance(raw, Mapping):
        return Fault(path, describe_type(raw), FORMS)
    if len(raw) != 1 or next(iter(raw)) not in {"env", "file"}:
        return Fault(path, "a table with other keys", FORMS)
    source, name = next(iter(raw.items()))
    where = join(path, source)
    noun = "the name of a variable" if source == "env" else "the path of a file"
    if not isinstance(name, str) or not name or "\0" in name or not _encodable(name):
        got = "a string that cannot be one" if isinstance(name, str) else describe_type(name)
        return Fault(where, got, noun)
    if source == "env":
        return _from_environment(name, where, sources)
    return _from_file(name, where, sources)


def _encodable(text: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in text)


def _from_environment(name: str, where: str, sources: Sources) -> Secret | Fault:
    value = sources.environ.get(name)
    if value is None:
        return Fault(where, f"the environment variable {quote(name)} is not set")
    if not value:
        return Fault(where, f"the environment variable {quote(name)} is empty")
    return Secret(value)


def _from_file(name: str, where: str, sources: Sources) -> Secret | Fault:
    if is_pasted(name):
        return Fault(where, "the content of a file", "the path of a file")
    path = sources.locate(name)
    shown = f"the file {quote(str(path), _PATH_SHOWN)}"
    try:
        content, _mode = read_regular(path, SECRET_LIMIT_BYTES)
    except OSError as error:
        return Fault(where, f"{shown} cannot be read: {error.strerror}")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return Fault(where, f"{shown} is not UTF-8")
    text = text.removesuffix("\n").removesuffix("\r")
    return Secret(text) if text else Fault(where, f"{shown} is empty")
