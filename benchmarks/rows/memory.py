"""Memory after a million messages, and for each further device."""

from __future__ import annotations

import sys
from typing import Final

from benchmarks.bench import Bench, environment, scratch
from benchmarks.child import Child, Memory
from benchmarks.rows.base import Notebook, Row

__all__ = ["ROW"]

_DEVICES: Final = 500
_MANY: Final = 10_000
_STEP_ROUNDS: Final = 200
_BACKLOG: Final = 20_000
_MB: Final = 1e6
_BARE: Final = {
    "bare Python": "",
    "with the reactor, OpenSSL kept out": "import sys\nsys.modules['OpenSSL'] = None\n"
    "import twisted.internet.reactor",
    "with the reactor and TLS": "import twisted.internet.reactor, twisted.internet.ssl",
}


def measure(bench: Bench, notebook: Notebook) -> None:
    """Take the memory of bare interpreters and of the agent after its messages."""
    name = bench.agent.name
    for repetition in range(bench.repeat(2)):
        bench.say(f"memory: repetition {repetition + 1}")
        bare = {what: _bare(statement) for what, statement in _BARE.items()}
        for what, memory in bare.items():
            notebook.add(f"RSS, {what}", "", memory.rss / _MB, "MB")
        early, after = _after_messages(bench, notebook, _DEVICES, bench.size(1_000_000, 200_000))
        _early, many = _after_messages(bench, notebook, _MANY, bench.size(200_000, 100_000))
        base = bare["with the reactor and TLS"]
        what = f"RSS, {_DEVICES} devices, all messages"
        notebook.add(what, name, after.rss / _MB, "MB", target=40)
        notebook.add(f"PSS, {_DEVICES} devices, all messages", name, after.pss / _MB, "MB")
        notebook.add(
            "RSS above reactor and TLS", name, (after.rss - base.rss) / _MB, "MB", target=8
        )
        notebook.add(
            "growth of RSS since the first fifth", name, (after.rss - early.rss) / _MB, "MB"
        )
        notebook.add(f"RSS, {_MANY:,} devices", name, many.rss / _MB, "MB")
        further = (many.rss - early.rss) / (_MANY - _DEVICES) / 1000
        notebook.add("RSS per further device", name, further, "KB", target=1.2)


def _bare(statement: str) -> Memory:
    """Return the memory of an interpreter that has run a statement and waits."""
    code = f"{statement}\nimport os\nos.write(1, b'x')\nos.read(0, 1)"
    with (
        scratch() as directory,
        Child([sys.executable, "-c", code], directory, environment()) as child,
    ):
        assert child.process.stdout is not None
        if child.process.stdout.read(1) != b"x":
            raise child.explain("a bare interpreter did not start")
        return child.memory


def _after_messages(
    bench: Bench, notebook: Notebook, devices: int, messages: int
) -> tuple[Memory, Memory]:
    """Return the memory after the first 100,000 or a fifth of the messages, and after all."""
    rounds = messages // devices
    lost = 0
    early: Memory | None = None
    with bench.running(bench.agent, devices=devices) as running:
        while rounds:
            step = min(rounds, max(1, _STEP_ROUNDS * _DEVICES // devices))
            rounds -= step
            outcome = running.send(running.load(step, backlog=_BACKLOG))
            lost += outcome.lost
            done = messages - rounds * devices
            if early is None and done >= min(messages / 5, 200_000):
                early = outcome.after
        assert early is not None
        after = running.child.memory
    notebook.add("lost", bench.agent.name, lost, target=0, floor=0)
    return early, after


ROW: Final = Row("memory", "after 1,000,000 messages of 500 devices, and per device", measure)
