"""What the ways to a database have lost, side by side: a table for docs/deployment.md.

    python -m tests.faults.way_report RESULTS docs/deployment.md

RESULTS is the file that METRICS_AGENT_FAULT_RESULTS named while the tests ran with
``METRICS_AGENT_DATABASES=all``.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from attrs import asdict, frozen

from metrics_agent.describe import update
from tests.faults.database import DATABASE, ON_REQUEST
from tests.faults.ledger import Account
from tests.faults.row import RESULTS_VARIABLE, Row

__all__ = ["COLUMNS", "Outcome", "cells", "main", "record_ways", "table"]

COLUMNS: Final[Mapping[str, str]] = {
    "http": '`output = "http://..."`',
    "mqtt": '`output = "mqtt://..."`, Telegraf',
    "execd": "Telegraf, `inputs.execd`",
    "consumer": "Telegraf's `inputs.mqtt_consumer`",
}
"""The ways, in the order of the table."""


@frozen
class Outcome:
    """What became of the messages of one way.

    Attributes:
        qos1: of those published at QoS 1.
        qos0: the same at QoS 0, which the broker upgrades.
    """

    qos1: Account
    qos0: Account


def record_ways(row: Row, outcomes: Mapping[str, Outcome]) -> None:
    """Append the outcomes of a row to the file that the environment names, if it names one."""
    path = os.environ.get(RESULTS_VARIABLE)
    if path:
        ways = {name: asdict(outcome) for name, outcome in outcomes.items()}
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"row": row.name, "ways": ways}) + "\n")


def _results(path: Path) -> dict[str, dict[str, Outcome]]:
    """Read what a run has recorded: the last result of each row."""
    found: dict[str, dict[str, Outcome]] = {}
    for line in path.read_text("utf-8").splitlines():
        values: dict[str, Any] = json.loads(line)
        if "ways" in values:
            found[values["row"]] = {
                name: Outcome(Account(**each["qos1"]), Account(**each["qos0"]))
                for name, each in values["ways"].items()
            }
    return found


def cells(row: Row) -> list[str]:
    """Return the cells of a row that do not come from a run."""
    return [row.place, row.fault]


def table(measured: Mapping[str, Mapping[str, Outcome]]) -> str:
    """Return the table: lost and duplicates of each way."""
    names = [name for name in COLUMNS if any(name in each for each in measured.values())]
    heads = ["what fails", "how", "sent", *(COLUMNS[name] for name in names)]
    lines = [f"| {' | '.join(heads)} |", f"|---|---|---:|{'---:|' * len(names)}"]
    for row in (*DATABASE, *ON_REQUEST):
        outcomes = measured[row.name]
        each = next(iter(outcomes.values()))
        shown = [*cells(row), f"{each.qos1.sent:,} + {each.qos0.sent:,}"]
        shown += [_cell(outcomes.get(name)) for name in names]
        lines.append(f"| {' | '.join(shown)} |")
    return "\n".join(lines)


def _cell(outcome: Outcome | None) -> str:
    if outcome is None:
        return "-"
    one, zero = outcome.qos1, outcome.qos0
    text = f"{one.lost:,} + {zero.lost:,}"
    if one.duplicates or zero.duplicates:
        text += f"; twice {one.duplicates:,} + {zero.duplicates:,}"
    return text


def main(results_path: str, page: str) -> int:
    """Write the page, if every row was shown; return the exit code."""
    measured = _results(Path(results_path))
    missing = [row.name for row in (*DATABASE, *ON_REQUEST) if row.name not in measured]
    for name in missing:
        sys.stdout.write(f"not shown: {name}\n")
    if missing:
        return 1
    path = Path(page)
    path.write_text(update(path.read_text("utf-8"), "ways", table(measured)), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
