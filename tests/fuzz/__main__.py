"""The long run: ``python -m tests.fuzz --cases 1000000``.

Prints a line for each target, in the end how many cases it were and how long they took. A case
that fails is made as small as possible, shown, and ends its target; the status is then 1. The same
seed gives the same cases. A process that hangs in C, where no signal reaches Python, is ended
with all stacks on stderr.

With ``--coverage`` the branches of the decoders that the cases have reached are measured and
printed; below 90 % the status is 1 too.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from tests.fuzz.oracle import Target

__all__ = ["DECODERS", "main"]

DECODERS: Final = (
    *("modules/tasmota/decode.py", "modules/tasmota/discovery.py", "modules/tasmota/energy.py"),
    *("modules/tasmota/meters.py", "modules/tasmota/sensors.py", "modules/tasmota/state.py"),
    *("modules/tasmota/meter_keys.py", "modules/tasmota/meter_statistics.py"),
    *("modules/tasmota/meter_words.py", "modules/tasmota/meter_parts.py"),
    "modules/tasmota/zigbee.py",
    *("modules/tasmota/totals.py", "modules/tasmota/values.py", "modules/tasmota/go_compat.py"),
    *("modules/hadiscovery/abbreviations.py", "modules/hadiscovery/checks.py"),
    *("modules/hadiscovery/components.py", "modules/hadiscovery/discovery.py"),
    *("modules/hadiscovery/availability.py", "modules/hadiscovery/entity.py"),
    "modules/hadiscovery/naming.py",
    *("modules/hadiscovery/other_keys.py", "modules/hadiscovery/payload.py"),
    *("modules/hadiscovery/registry.py", "modules/hadiscovery/schema.py"),
    *("modules/hadiscovery/topics.py", "modules/hadiscovery/values.py"),
    *("modules/opendtu/decode.py", "modules/opendtu/quantities.py", "modules/opendtu/topics.py"),
    *("modules/opendtu/tracker.py", "modules/opendtu/go_compat.py"),
    *("modules/netatmo/answers.py", "modules/netatmo/decode.py", "modules/netatmo/go_compat.py"),
    *(
        "transports/mqtt/packets.py",
        "transports/mqtt/splitter.py",
        "transports/mqtt/topics.py",
        "topic_filters.py",
    ),
    *("transports/mqtt/intake.py", "transports/mqtt/websocket_stream.py"),
    *("transports/http.py", "transports/http_faults.py"),
    *("transports/websocket/conversation.py", "transports/websocket/refusals.py"),
    *("oauth2/quoting.py", "oauth2/replies.py"),
    *("oauth2/tokens.py", "json_payload.py"),
    *("config/document.py", "config/faults.py", "config/load.py", "config/shapes.py"),
    *("config/structure.py", "config/types.py"),
)
"""What turns bytes of others into values, in the package.

Not of config/: agent.py reads the environment, secret.py the states of files, half of compound.py
is what `describe` shows or types that no module has, setting.py and describe.py take nothing from
a file.
"""
_FLOOR: Final = 90.0
_TOLD_EVERY: Final = 20_000
_SILENT_S: Final = 600.0
"""A portion takes some seconds."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=100_000, help="of all targets (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="other cases (%(default)s)")
    parser.add_argument("--coverage", action="store_true", help="measure the decoders' branches")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="all without any")
    given = parser.parse_args(arguments)
    coverage = _start_coverage() if given.coverage else None
    # Imported now, so that what runs at the import of the decoders is measured too.
    from tests.fuzz.targets import TARGETS

    names = [target.name for target in TARGETS]
    unknown = sorted({*given.targets} - {*names})
    if unknown:
        parser.error(f"unknown target {unknown[0]!r}, expected one of {', '.join(names)}")
    wanted = [target for target in TARGETS if target.name in (given.targets or names)]
    began_s = time.monotonic()
    shares = sum(target.share for target in wanted)
    results = [
        _run(target, -(-given.cases * target.share // shares), given.seed) for target in wanted
    ]
    done = sum(count for count, _ in results)
    failed = sum(not well for _, well in results)
    sys.stdout.write(
        f"{done:,} cases in {time.monotonic() - began_s:.0f} s, {failed} of {len(wanted)} targets "
        "failed\n"
    )
    enough = coverage is None or _report(coverage) >= _FLOOR
    return 1 if failed or not enough else 0


def _run(target: Target, cases: int, seed: int) -> tuple[int, bool]:
    """Return how many cases it were, and whether all was well."""
    from tests.fuzz.explore import explore

    began_s = time.monotonic()
    done = 0

    def progress(count: int) -> None:
        nonlocal done
        done = count
        if count % _TOLD_EVERY == 0 and count:
            sys.stderr.write(f"{target.name}: {count:,} of {cases:,}\n")
        faulthandler.dump_traceback_later(_SILENT_S, exit=True)

    progress(0)
    try:
        explore(target, cases, seed, progress)
    except Exception:
        traceback.print_exc()
        sys.stdout.write(f"{target.name}: FAILED after {done:,} cases\n")
        return done, False
    finally:
        faulthandler.cancel_dump_traceback_later()
    seconds = time.monotonic() - began_s
    sys.stdout.write(f"{target.name}: {done:,} cases in {seconds:.0f} s, {target.about}\n")
    sys.stdout.flush()
    return done, True


def _start_coverage() -> Any:
    from coverage import Coverage

    import metrics_agent

    package = Path(metrics_agent.__file__).parent
    coverage = Coverage(
        data_file=None,
        config_file=False,
        branch=True,
        include=[str(package / name) for name in DECODERS],
    )
    coverage.set_option(
        "report:exclude_also", ["if TYPE_CHECKING:", "except ImportError", r"\.\.\.$"]
    )
    coverage.start()
    return coverage


def _report(coverage: Any) -> float:
    """Print a table, and return how many percent of all branches were taken."""
    coverage.stop()
    coverage.report(file=sys.stdout, show_missing=True)
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        coverage.json_report(outfile=file.name)
        totals = json.loads(Path(file.name).read_text("utf-8"))["totals"]
    percent = 100 * totals["covered_branches"] / totals["num_branches"]
    sys.stdout.write(
        f"{totals['covered_branches']} of {totals['num_branches']} branches: {percent:.1f} %\n"
    )
    return float(percent)


if __name__ == "__main__":
    sys.exit(main())
