"""A child process with the real reactor and the sink as writer of its fd 1.

    python output_child.py burst COUNT    writes COUNT lines in one turn, drains, ends
    python output_child.py serve          writes a line, ends when the reader or stdin does
    python output_child.py flood SEED     writes lines of any length until SIGTERM, drains, ends

It prints to number 1 what must not reach the reader, and says what it saw as JSON on stderr's last
line. It ends by itself after 20 s.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from typing import Any

from metrics_agent.process.descriptors import secure_descriptors, take_stdout

CLOSED = secure_descriptors()

from twisted.internet import reactor as global_reactor  # noqa: E402 - after securing
from twisted.logger import globalLogBeginner  # noqa: E402

# Before it becomes another user, who may not read what is imported.
import metrics_agent.output.descriptor  # noqa: E402, F401
from metrics_agent.batch import Batch  # noqa: E402
from metrics_agent.output.sink import Sink  # noqa: E402
from metrics_agent.output.target import make_output  # noqa: E402
from metrics_agent.platform import Platform  # noqa: E402
from metrics_agent.process.kernel import Kernel  # noqa: E402
from metrics_agent.process.stdin import watch_stdin  # noqa: E402

MEBI = 1024 * 1024
TIME_LIMIT_S = 20
FIRST_NS = 1_700_000_000_000_000_000
LONG = 0.01
"""The share of lines of up to 10,000 bytes, among lines of up to 300."""


class Child:
    """One run."""

    def __init__(self, reactor: Any, output: str) -> None:
        self.reactor = reactor
        self.report: dict[str, Any] = {"closed": CLOSED, "settled": 0, "eof": False, "lost": ""}
        self.sink = Sink(
            reactor,
            make_output(Platform(), reactor, output, take_stdout),
            limit_bytes=16 * MEBI,
            high_mark_bytes=8 * MEBI,
            low_mark_bytes=4 * MEBI,
            on_pressure=lambda _pressed: None,
            on_lost=self.lost,
        )

    def run(self, mode: str, count: int, drain_s: float) -> None:
        """Write, and end when the mode says so."""
        self.sink.startService()
        if mode == "flood":
            signal.signal(
                signal.SIGTERM, lambda *_: self.reactor.callFromThread(self.stop, drain_s)
            )
            self.flood(random.Random(count), 0)
            return
        os.write(1, b"a stray line\n")
        for number in range(count):
            self.sink.write(Batch(b"m,a=b n=%di\n" % number, 1, self.settle))
        if mode == "burst":
            self.stop(drain_s)
        else:
            self.stdin = watch_stdin(Kernel(), self.reactor, self.eof)
            self.reactor.callLater(TIME_LIMIT_S, self.stop, 0)

    def flood(self, chance: random.Random, number: int) -> None:
        """Keep a megabyte queued."""
        while self.sink.queued_bytes < MEBI:
            lines = []
            for _ in range(chance.randrange(1, chance.choice((10, 50, 1000)))):
                number += 1
                length = chance.randrange(10_000 if chance.random() < LONG else 300)
                lines.append(
                    b'm,a=b n=%di,length=%di,text="%s" %d\n'
                    % (number, length, b"x" * length, FIRST_NS + number)
                )
            self.sink.write(Batch(b"".join(lines), len(lines), self.settle))
        self.reactor.callLater(0.01, self.flood, chance, number)

    def settle(self) -> None:
        """Count a delivery."""
        self.report["settled"] += 1

    def lost(self, reason: str) -> None:
        """End without a reader."""
        self.report["lost"] = reason
        self.stop(0)

    def eof(self) -> None:
        """End, as the parent wishes."""
        self.report["eof"] = True
        self.stop(5)

    def stop(self, drain_s: float) -> None:
        """Drain, close, report, end."""
        self.sink.drain(drain_s).addCallback(self.drained)

    def drained(self, left: int) -> None:
        """Say what was seen."""
        self.report.update(left=left, problem=self.sink.problem)
        self.sink.stopService()
        os.write(2, b"\n" + json.dumps(self.report).encode() + b"\n")
        if self.reactor.running:
            self.reactor.stop()


def main() -> None:
    """Run what the arguments say: mode, count, seconds to drain, output, perhaps a user."""
    mode, count, drain_s, output, *become = sys.argv[1:]
    if become:
        os.setuid(int(become[0]))
    globalLogBeginner.beginLoggingTo([], redirectStandardIO=False, discardBuffer=True)
    child = Child(global_reactor, output)
    global_reactor.callWhenRunning(child.run, mode, int(count), float(drain_s))
    global_reactor.callLater(TIME_LIMIT_S, os._exit, 3)
    global_reactor.run()


if __name__ == "__main__":
    main()
