"""When the lines that wait leave in a request. Pure.

A request costs the same for one line as for thousands, so lines wait for others, but never so long
that a broker stops sending: it does when as many messages as it allows are unacknowledged.
"""

from __future__ import annotations

from typing import Final

__all__ = ["FULL_BYTES", "LONGEST_WAIT_S", "QUIET_S", "wait_s"]

FULL_BYTES: Final = 512 * 1024
"""Some 5,000 lines."""

QUIET_S: Final = 0.02
"""When nothing came for so long, what waits leaves."""

LONGEST_WAIT_S: Final = 1.0

_TICK_S: Final = 0.0005


def wait_s(
    waiting_bytes: int,
    limit_bytes: int,
    *,
    urgent: bool,
    first_s: float,
    last_s: float,
    quiet_s: float = QUIET_S,
) -> float:
    """Return for how long lines wait on.

    Args:
        waiting_bytes: what waits, more than nothing.
        limit_bytes: a request of this size is full.
        urgent: a sender waits for the acknowledgement of what waits.
        first_s: how long ago the first line came.
        last_s: how long ago the last line came.
        quiet_s: when nothing came for so long, what waits leaves.

    Returns:
        Seconds from now; 0 if they leave now.
    """
    if urgent or waiting_bytes >= limit_bytes:
        return 0.0
    delay_s = min(quiet_s - last_s, LONGEST_WAIT_S - first_s)
    # A timer shorter than the resolution of the clock would be due again and again.
    return delay_s if delay_s > _TICK_S else 0.0
