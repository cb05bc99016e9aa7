"""The files that settings name, opened by `metrics-agent check` as the modules will open them."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from typing import Any, Final

from attrs import field, frozen

from metrics_agent.cause import CauseError
from metrics_agent.config import Fault
from metrics_agent.config.regular import read_regular
from metrics_agent.config.secret import SECRET_LIMIT_BYTES
from metrics_agent.config.shapes import NamedFile
from metrics_agent.errors import MissingDependency

__all__ = ["Findings", "inspect_files"]

_ARGUMENTS: Final = {
    "authorities": "ca_file",
    "certificate": "certificate_file",
    "key": "key_file",
}
_PRIVATE: Final = {"secret": "it holds a secret", "key": "it holds a private key"}


@frozen
class Findings:
    """What is wrong with files.

    Attributes:
        faults: the file cannot be used.
        warnings: it can, and something about it is odd.
    """

    faults: list[Fault] = field(factory=list)
    warnings: list[Fault] = field(factory=list)


def inspect_files(files: Iterable[NamedFile]) -> Findings:
    """Open the files that the settings of one module name.

    Args:
        files: see `ModuleConfig.files`; a secret's has been read, so it can be.
    """
    found = Findings()
    pem: dict[str, dict[str, NamedFile]] = {}
    for file in files:
        if file.use in _PRIVATE:
            found.warnings.extend(_about_private(file))
        if file.use in _ARGUMENTS:
            table = file.path.rpartition(".")[0].removesuffix(".custom")
            pem.setdefault(table, {})[file.use] = file
    for group in pem.values():
        found.faults.extend(_about_pem(group))
    return found


def _about_private(file: NamedFile) -> Iterator[Fault]:
    try:
        content, mode = read_regular(file.file, SECRET_LIMIT_BYTES)
    except OSError:
        return  # a fault, which whoever uses the file reports
    if mode & stat.S_IROTH:
        yield Fault(
            file.path,
            f"everybody on this machine may read {file.file} (mode {mode:04o}) and "
            f"{_PRIVATE[file.use]}",
            hint=f"run chmod o-r {file.file}",
        )
    newlines = len(content) - len(content.rstrip(b"\r\n"))
    count = content[len(content) - newlines :].count(b"\n")
    if file.use == "secret" and count > 1:
        yield Fault(
            file.path,
            f"{file.file} ends with {count} newlines; one is removed, the rest is part of the "
            "secret",
            hint="remove them if it is not meant",
        )


def _about_pem(group: dict[str, NamedFile]) -> Iterator[Fault]:
    """Read the PEM files of one table as a connection does: the authorities, then the pair."""
    try:
        from metrics_agent.transports.tls import tls_options
    except MissingDependency:
        return  # reported for the module that needs it
    by_use = {use: str(file.file) for use, file in group.items()}
    authorities = by_use.pop("authorities", None)
    calls: list[dict[str, Any]] = [{"ca_file": authorities}] if authorities else []
    if len(by_use) > 1:  # one without the other is a fault of the settings
        password = next((file.password for file in group.values() if file.password), None)
        calls.append({_ARGUMENTS[use]: file for use, file in by_use.items()})
        calls[-1]["key_password"] = password
    for arguments in calls:
        try:
            tls_options(**arguments)
        except CauseError as error:  # noqa: PERF203 - every fault at once
            key = error.cause.kind
            file = next(each for each in group.values() if each.path.endswith(key))
            yield Fault(file.path, error.cause.text.removeprefix(f"{key} "))
