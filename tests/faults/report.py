"""The matrix as a page: the expected rows, and what a run has measured for each.

    python -m tests.faults.report RESULTS                  says what is missing; exits with 1 then
    python -m tests.faults.report RESULTS docs/robustness.md    writes the figures into the page,
                                                           which needs all of them

RESULTS is the file that METRICS_AGENT_FAULT_RESULTS named while the tests ran.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from metrics_agent.describe import update
from tests.faults.expected import ROWS, SECTIONS
from tests.faults.ledger import Account
from tests.faults.row import Measured, Row, results

__all__ = ["expected_cells", "main", "table"]

_ACCOUNT: Final[Mapping[str, Callable[[Account], int]]] = {
    "sent": lambda account: account.sent,
    "delivered": lambda account: account.delivered,
    "duplicates": lambda account: account.duplicates,
    "dropped and counted": lambda account: account.counted + account.unread,
    "at the broker": lambda account: account.at_broker,
    "not passed on": lambda account: account.not_passed,
    "cut off": lambda account: account.cut,
    "killed": lambda account: account.killed,
    "lost": lambda account: account.lost,
}
"""What is shown of the messages, at QoS 1 and at QoS 0."""

_COLUMNS: Final = (
    "where",
    "fault",
    "what must happen",
    "works again after",
    "longest gap of others",
    "lost of others",
    *_ACCOUNT,
)

HEAD: Final = f"| {' | '.join(_COLUMNS)} |\n{'|---' * len(_COLUMNS)}|"


def table(rows: tuple[Row, ...], measured: Mapping[str, Measured]) -> str:
    """Return one section's table."""
    return "\n".join((HEAD, *(_line(row, measured[row.name]) for row in rows)))


def _line(row: Row, seen: Measured) -> str:
    cells = expected_cells(row)
    cells += [_ms(seen.recovered_ms), _ms(seen.gap_ms), str(seen.others_lost)]
    cells += [_sum(get(seen.qos1), get(seen.qos0)) for get in _ACCOUNT.values()]
    return f"| {' | '.join(cells)} |"


def expected_cells(row: Row) -> list[str]:
    """Return the cells of a row that do not come from a run."""
    must = f"*next layer*: {row.must}; healed by {row.next_layer}" if row.next_layer else row.must
    return [row.place, row.fault, must]


def _sum(one: int, zero: int) -> str:
    return f"{one} + {zero}" if one or zero else "0"


def _ms(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value / 1000:.1f} s" if value >= 1000 else f"{value:.0f} ms"


def main(results_path: str, page: str = "") -> int:
    """Check a run and write the page, if every row was shown; return the exit code."""
    path = Path(results_path)
    measured = results(path) if path.exists() else {}
    missing = [row.name for row in ROWS if row.name not in measured]
    sys.stdout.write(f"fault matrix: {len(ROWS) - len(missing)} of {len(ROWS)} rows shown\n")
    for name in missing:
        sys.stdout.write(f"  not shown: {name}\n")
    if missing and page:
        sys.stdout.write(f"{page} is left as it is\n")
    elif page:
        text = Path(page).read_text("utf-8")
        for name, rows in SECTIONS.items():
            text = update(text, name, table(rows, measured))
        Path(page).write_text(text, "utf-8")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
