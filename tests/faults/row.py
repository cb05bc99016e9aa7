"""A row of the matrix, and where the tests leave what they measured."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

from attrs import asdict, field, frozen

from tests.faults.ledger import Account

__all__ = ["RESULTS_VARIABLE", "Measured", "Row", "record", "results"]

RESULTS_VARIABLE: Final = "METRICS_AGENT_FAULT_RESULTS"
"""Names the file to which each test of a row appends a line of JSON."""


@frozen
class Row:
    """What is broken, where, and what must happen.

    Attributes:
        name: of the test: ``test_<name>``; also the row's id.
        place: where the fault is.
        fault: what it is.
        must: what must happen.
        next_layer: who heals what this process cannot heal itself; empty where it can.
    """

    name: str
    place: str
    fault: str
    must: str
    next_layer: str = ""


@frozen
class Measured:
    """What a test of a row saw.

    Attributes:
        recovered_ms: from the fault until what was broken works again; None where nothing
            recovers by itself.
        gap_ms: the longest gap between two metrics of a healthy module, beyond the 10 ms of its
            interval; None where none ran beside.
        others_lost: metrics of healthy modules that are missing.
        qos1: what became of the numbered messages at QoS 1.
        qos0: the same at QoS 0.
    """

    recovered_ms: float | None = None
    gap_ms: float | None = None
    others_lost: int = 0
    qos1: Account = field(factory=Account)
    qos0: Account = field(factory=Account)


def record(row: Row, measured: Measured) -> None:
    """Append a result to the file that the environment names, if it names one."""
    path = os.environ.get(RESULTS_VARIABLE)
    if path:
        line = json.dumps({"name": row.name, **asdict(measured)})
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")


def results(path: Path) -> dict[str, Measured]:
    """Read what a run has recorded: the last result of each row."""
    found: dict[str, Measured] = {}
    for line in path.read_text("utf-8").splitlines():
        values = json.loads(line)
        if "ways" in values:  # of `way_report`
            continue
        name = values.pop("name")
        accounts = {qos: Account(**values.pop(qos)) for qos in ("qos1", "qos0")}
        found[name] = Measured(**values, **accounts)
    return found
