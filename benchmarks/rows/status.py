"""What it costs that devices are watched, and that someone looks."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from benchmarks.bench import Bench, Running, environment
from benchmarks.broker import free_port
from benchmarks.rows.base import Notebook, Row
from benchmarks.subjects import Agent, Setup

__all__ = ["ROW"]

_DEVICES: Final = 500
_MANY: Final = 10_000
_PACE: Final = 10_000.0
_QOS: Final = 1
_KB: Final = 1000
_ALLOWED: Final = 1.05
_ALL: Final = "page and --watch open"
_AS_IT_COMES: Final = "as it comes"
_WITHOUT: Final = "without devices"
_WITHOUT_LINES: Final = "without last lines"
_FULL: Final = f"CPU per message, QoS {_QOS}, full speed"
_PACED: Final = f"CPU per message, QoS {_QOS}, {_PACE:,.0f} msg/s"


class _Watched(Agent):
    """The agent with a status page; remembers where that and the configuration are."""

    port = 0
    config = ""

    def command(self, setup: Setup) -> Sequence[str]:
        """Add the page to the configuration."""
        command = super().command(setup)
        self.port = free_port()
        self.config = command[-1]
        with Path(self.config).open("a", encoding="utf-8") as file:
            file.write(f'[status]\nlisten = "tcp:{self.port}:interface=127.0.0.1"\n')
        return command


def measure(bench: Bench, notebook: Notebook) -> None:
    """Measure the agent with all of it, as it comes, and without, in turns."""
    agents = (
        _without("devices", _WITHOUT),
        Agent(bench.agent.argv, _AS_IT_COMES),
        _Watched(bench.agent.argv, _ALL),
    )
    for repetition in range(bench.repeat(3)):
        for agent in agents:
            bench.say(f"status: {agent.name}, repetition {repetition + 1}")
            _costs(bench, notebook, agent)
        bench.say(f"status: memory, repetition {repetition + 1}")
        _memory(bench, notebook)
    for how in (_FULL, _PACED):
        for name in (_AS_IT_COMES, _ALL):
            notebook.ratio(
                f"ratio, {how}",
                (how, name),
                (how, _WITHOUT),
                target=_ALLOWED if name == _ALL else None,
            )


def _costs(bench: Bench, notebook: Notebook, agent: Agent) -> None:
    with bench.running(agent, devices=_DEVICES, qos=_QOS) as running, ExitStack() as stack:
        if isinstance(agent, _Watched):
            stack.enter_context(_looking(agent, running))
        full = running.send(running.load(bench.size(600, 40)))
        # More than one sweep of the devices, and some answers to the page.
        paced = running.send(running.load(bench.size(240, 20), rate=_PACE))
        if isinstance(agent, _Watched):
            share, _wakeups = running.idle(bench.size(9.0, 3.0))
            what = f"CPU of page and --watch, {_DEVICES} devices"
            notebook.add(what, agent.name, 100 * share, "%")
    notebook.add(_FULL, agent.name, full.cpu_us, "us")
    notebook.add(_PACED, agent.name, paced.cpu_us, "us")
    notebook.add("lost", agent.name, full.lost + paced.lost, target=0, floor=0)


def _memory(bench: Bench, notebook: Notebook) -> None:
    """Take the memory of many devices, and what of it is for watching them."""
    rss = {}
    for agent in (
        _without("devices", _WITHOUT),
        _without("lines", _WITHOUT_LINES),
        Agent(bench.agent.argv, _AS_IT_COMES),
    ):
        with bench.running(agent, devices=_MANY) as running:
            running.send(running.load(bench.size(5, 1), rate=20_000))
            rss[agent.name] = running.child.memory.rss
    for what, more, less, target in (
        ("memory of a device beside its last line", _WITHOUT_LINES, _WITHOUT, 0.4),
        ("memory of its last line", _AS_IT_COMES, _WITHOUT_LINES, None),
    ):
        notebook.add(
            what, bench.agent.name, (rss[more] - rss[less]) / _MANY / _KB, "KB", target=target
        )


def _without(part: str, name: str) -> Agent:
    return Agent((sys.executable, "-m", "benchmarks.without", part), name)


@contextmanager
def _looking(agent: _Watched, running: Running) -> Iterator[None]:
    """Have a page and `status --watch` open."""
    commands = (
        [sys.executable, "-m", "benchmarks.clients.page_reader", str(agent.port)],
        [*agent.argv, "status", "--watch", "-c", agent.config],
    )
    directory = Path(agent.config).parent
    processes = []
    try:
        for number, command in enumerate(commands):
            with (directory / f"looking-{number}").open("wb") as file:
                processes.append(
                    subprocess.Popen(
                        command,
                        stdin=subprocess.DEVNULL,
                        stdout=file,
                        stderr=subprocess.STDOUT,
                        env={**os.environ, **environment()},
                    )
                )
        yield
        for process in processes:
            if process.poll() is not None:
                raise running.child.explain(f"{process.args} has ended")
    finally:
        for process in processes:
            process.terminate()
            process.wait()


ROW: Final = Row("status", "what liveness, last lines, the page and --watch cost", measure)
