"""The files of the page, which are a part of this package."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from attrs import frozen

import metrics_agent.status

__all__ = ["File", "page_files"]

_DIRECTORY: Final = Path(metrics_agent.status.__file__).parent / "page"
_KINDS: Final = MappingProxyType(
    {
        ".html": b"text/html; charset=utf-8",
        ".css": b"text/css; charset=utf-8",
        ".js": b"text/javascript; charset=utf-8",
        ".svg": b"image/svg+xml",
        ".png": b"image/png",
    }
)
_FIRST: Final = "index.html"


@frozen
class File:
    """One file.

    Attributes:
        kind: for the header Content-Type.
        data: what is in it.
    """

    kind: bytes
    data: bytes


def page_files(directory: Path = _DIRECTORY) -> Mapping[str, File]:
    """Read the files, by the path of their address; ``index.html`` is at ``/``.

    Raises:
        OSError: they cannot be read.
    """
    return {
        "/" if path.name == _FIRST else f"/{path.name}": File(
            _KINDS[path.suffix], path.read_bytes()
        )
        for path in sorted(directory.iterdir())
        if path.suffix in _KINDS
    }
