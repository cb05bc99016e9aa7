"""The command: which rows, which peers, what to do with the result."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path

from attrs import evolve

from benchmarks.bench import Bench, Options
from benchmarks.broker import find_mosquitto, mosquitto_version
from benchmarks.figures import Figure, Note
from benchmarks.machine import describe, load_average
from benchmarks.report import FIGURES, Report, has_block, read
from benchmarks.rows import ROWS, Row
from benchmarks.rows.base import Notebook
from benchmarks.subjects import (
    BEFORE,
    CLIENTS,
    Agent,
    CommandSubject,
    ParsingClient,
    Subject,
    Telegraf,
)

__all__ = ["choose_brokers", "choose_peers", "main", "not_updatable"]

_TELEGRAF = "telegraf"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the rows that are asked for, and print the table.

    Returns:
        0; 1 if a row could not be measured or a floor was not reached; 2 for wrong arguments.
    """
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.list:
        for row in ROWS:
            sys.stdout.write(f"{row.name:10} {row.about}\n")
        return 0
    try:
        earlier = read(Path(given.result).read_text("utf-8")) if given.result else None
    except (OSError, ValueError) as error:
        parser.error(f"--from: {error}")
    rows = list(earlier.about) if earlier else given.rows
    if given.update and (reason := not_updatable(Path(given.update), rows)):
        parser.error(f"--update: {reason}")
    if earlier:
        return _publish(earlier, given)
    try:
        brokers = choose_brokers(given.mosquitto or ["mosquitto"])
        peers = choose_peers(given.peers, given.command, given.peer_json, given.before)
    except ValueError as error:
        parser.error(str(error))
    options = Options(
        agent=Agent(shlex.split(given.agent)),
        peers=peers,
        repeat=given.repeat,
        quick=given.quick,
    )
    for agent in (options.agent, *peers):
        if isinstance(agent, Agent) and (reason := agent.missing()):
            parser.error(reason)
    wanted = [row for row in ROWS if not given.rows or row.name in given.rows]
    report, failed = _run(wanted, options, brokers)
    return _publish(report, given) or int(failed)


def _publish(report: Report, given: argparse.Namespace) -> int:
    """Print the tables, and put them where they are wanted; return 1 if a floor was missed."""
    sys.stdout.write(report.as_text())
    if given.json:
        Path(given.json).write_text(report.as_json(), "utf-8")
    if given.update:
        report.update(Path(given.update))
    return int(any(_below_floor(figure) for figure in report.figures))


def not_updatable(document: Path, rows: Sequence[str]) -> str:
    """Return why the tables of a run cannot be put into a document; empty if they can."""
    text = document.read_text("utf-8") if document.is_file() else ""
    if not has_block(text, FIGURES):
        return f"expected a document with a block {FIGURES!r}, got {document}"
    without = [name for name in rows if not has_block(text, name)]
    if without and set(rows) != {row.name for row in ROWS}:
        return (
            f"{', '.join(without)} {'has' if len(without) == 1 else 'have'} no block in {document} "
            f"and the block {FIGURES!r} takes all rows: it would lose the others"
        )
    return ""


def _run(rows: Sequence[Row], options: Options, brokers: Mapping[str, str]) -> tuple[Report, bool]:
    started_s = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - started_s:6.0f} s] {text}", file=sys.stderr, flush=True)

    before = load_average()
    figures: list[Figure] = []
    notes: list[Note] = []
    failed = False
    interrupted = False
    for row, broker in _turns(rows, brokers):
        if interrupted:
            break
        notebook = Notebook(row.name, f"mosquitto {broker}" if row.needs_broker else "")
        bench = Bench(evolve(options, mosquitto=brokers[broker]), say)
        try:
            row.measure(bench, notebook)
        except (OSError, RuntimeError) as error:
            failed = True
            say(f"{row.name} could not be measured: {error}")
            notebook.note(f"could not be measured to its end: {str(error).splitlines()[0]}")
        except KeyboardInterrupt:
            failed = interrupted = True
            notebook.note("stopped by hand before its end; what was measured stands here.")
        for result in notebook.results():
            if isinstance(result, Figure):
                figures.append(result)
            else:
                notes.append(result)
    report = Report(
        taken=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        machine=describe([options.agent, *options.peers], list(brokers)),
        load_average=(before, load_average()),
        figures=figures,
        notes=notes,
        about={row.name: row.about for row in rows},
        quick=options.quick,
    )
    return report, failed


def _turns(rows: Sequence[Row], brokers: Iterable[str]) -> Iterator[tuple[Row, str]]:
    """Yield each row with each version of the broker, or with the first if it needs none."""
    for row in rows:
        for broker in list(brokers)[: None if row.needs_broker else 1]:
            yield row, broker


def _below_floor(figure: Figure) -> bool:
    return figure.floor is not None and figure.verdict == "missed"


def choose_brokers(names: Iterable[str]) -> dict[str, str]:
    """Return the mosquittos that are asked for: by version, the path.

    Args:
        names: of programs, or their paths.

    Raises:
        ValueError: one is not there, or two have one version.
    """
    found: dict[str, str] = {}
    for name in names:
        path = find_mosquitto(name)
        if path is None:
            raise ValueError(f"got the broker {name!r}, which is not installed; expected mosquitto")
        version = mosquitto_version(path)
        if version in found:
            raise ValueError(f"{path} and {found[version]} are both mosquitto {version}")
        found[version] = path
    return found


def choose_peers(
    names: str, commands: Sequence[str], json_module: str, before: str = ""
) -> tuple[Subject, ...]:
    """Return the peers that are asked for, an earlier agent first.

    Raises:
        ValueError: one is unknown, or a command has no name.
    """
    peers: list[Subject] = [Agent(shlex.split(before), BEFORE)] if before else []
    for name in filter(None, names.split(",")):
        if name in CLIENTS:
            peers.append(ParsingClient(name, json_module))
        elif name == _TELEGRAF:
            peers.append(Telegraf())
        else:
            raise ValueError(f"unknown peer {name!r}, expected {_TELEGRAF}, {', '.join(CLIENTS)}")
    for text in commands:
        name, equals, line = text.partition("=")
        if not equals or not name or not line.strip():
            raise ValueError(f"--command {text!r}, expected NAME=COMMAND LINE")
        peers.append(CommandSubject(name, line))
    return tuple(peers)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measures the agent and its peers side by side, at a mosquitto of its own on "
        "the loopback interface, and prints tables.",
    )
    parser.add_argument(
        "rows",
        nargs="*",
        choices=[[], *(row.name for row in ROWS)],
        metavar="ROW",
        help="what to measure; all rows without any. See --list",
    )
    parser.add_argument("--list", action="store_true", help="say which rows there are")
    parser.add_argument("--repeat", type=_positive, metavar="N", help="repetitions of each row")
    parser.add_argument("--quick", action="store_true", help="small loads, to see that all works")
    parser.add_argument(
        "--peers",
        default=",".join([*CLIENTS, _TELEGRAF]),
        metavar="NAMES",
        help="whom to compare with, by commas; those not installed are left out (%(default)s)",
    )
    parser.add_argument(
        "--peer-json",
        default="json",
        choices=("json", "orjson"),
        help="what the clients in Python parse with (%(default)s)",
    )
    parser.add_argument(
        "--command",
        action="append",
        default=[],
        metavar="NAME=LINE",
        help="one more peer by its command line; {config}, {url} and {port} are replaced",
    )
    parser.add_argument(
        "--agent",
        default="",
        metavar="LINE",
        help="how to start the agent (this Python with -m metrics_agent)",
    )
    parser.add_argument(
        "--before",
        default="",
        metavar="LINE",
        help="how to start an earlier version of the agent, which is a peer then",
    )
    parser.add_argument(
        "--mosquitto",
        action="append",
        default=[],
        metavar="PATH",
        help="the broker (mosquitto); given twice, each row that needs one is run with both",
    )
    parser.add_argument("--json", metavar="FILE", help="write all values to a file as well")
    parser.add_argument(
        "--from",
        dest="result",
        metavar="FILE",
        help="measure nothing: take the result of an earlier run, written by --json",
    )
    parser.add_argument(
        "--update", metavar="FILE", help="put the tables into the generated blocks of a document"
    )
    return parser


def _positive(text: str) -> int:
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a number above 0")
    return int(text)
