"""What is logged when line protocol makes the encoder change a name."""

from __future__ import annotations

from twisted.logger import Logger

from metrics_agent.limits import TAG_VALUE_BYTES
from metrics_agent.metric import Series

__all__ = ["log_clash", "log_cut"]


def log_cut(log: Logger, series: Series, tag: str, length: int) -> None:
    """Log that a tag value of so many characters was too long."""
    log.warn(
        "Tag {tag!r:.80} of {series} has {length} characters, and is cut to {limit} bytes.",
        tag=tag,
        series=series.describe(),
        length=length,
        limit=TAG_VALUE_BYTES,
    )


def log_clash(log: Logger, series: Series, device: str) -> None:
    """Log that the tag of a device, as it is written, is that of another device too."""
    log.warn(
        "Two devices have the tag device={device!r:.80} ({series}), since characters of their "
        "names were replaced or cut; their metrics cannot be distinguished. Rename one of them.",
        device=device,
        series=series.describe(),
    )
