"""`metrics-agent check --connect`: tries what the configuration names, and changes nothing.

The modules themselves are run, by the rule of `diagnosis`, until each of their connections has
worked or failed: what is tried is what the agent does, down to the filters that it subscribes to.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, Final

from attrs import define, evolve, field

from metrics_agent.commands.check import check
from metrics_agent.commands.diagnosing import diagnose
from metrics_agent.commands.run import logged
from metrics_agent.commands.stdout import say
from metrics_agent.config.output import read_output, without_query
from metrics_agent.diagnosis import Diagnosis
from metrics_agent.logs.observer import StderrObserver
from metrics_agent.output.probe import probe
from metrics_agent.plan import ModulePlan, Plan
from metrics_agent.process.boot import Process
from metrics_agent.process.exit import ExitCode
from metrics_agent.supervision.lifecycle import State
from metrics_agent.timer import Timer
from metrics_agent.transports.mqtt.settings import mqtt_tables

__all__ = ["connect", "each_address"]

_LIMIT_S: Final = 10.0
"""For all connections, which are tried at the same time."""
_LOOK_S: Final = 0.05
_STARTS: Final = frozenset({"make", "start"})
"""Places of faults that kept a module from starting."""
_OVER: Final = frozenset({State.RUNNING, State.BACKING_OFF, State.PARKED})


def connect(process: Process, config: str | None) -> ExitCode:
    """Check the configuration, then try all connections at once; write a line for each to stdout.

    Args:
        process: what `boot` made.
        config: the configuration file, None to look for it.

    Returns:
        0 if all work, 1 if one does not, 78 if the configuration has a fault.
    """
    code = check(config)
    if code is not ExitCode.STOPPED:
        return code
    trial = _Trial()

    def work(observer: StderrObserver) -> ExitCode:
        code = diagnose(process, config, observer, os.devnull, trial.begin, each_address)
        return code if isinstance(code, ExitCode) else trial.judge(*code)

    # What the log would say of a connection is in the line about it.
    code = logged(StderrObserver(target=_Nowhere()), work)
    for line in trial.lines:
        say(line)
    # Not by `set`: why the agent itself ended, such as with each module parked, is not the answer.
    process.exit_status.code = code
    return code


def each_address(plan: Plan) -> Plan:
    """Return a plan in which a module with a list of brokers is there once for each of them."""
    return evolve(plan, modules=tuple(one for module in plan.modules for one in _split(module)))


def _split(module: ModulePlan) -> Iterator[ModulePlan]:
    whole: Any = module.settings
    found = [*mqtt_tables(whole)]
    if len(found) != 1 or len(module.brokers) != 1:
        yield module
        return
    [(name, settings)] = found
    for address in settings.brokers:
        one: Any = evolve(settings, broker=address.url)
        changed = evolve(whole, **{name: one}) if name else one
        yield evolve(module, settings=changed, brokers=(one.connection_settings(),))


@define
class _Trial:
    """Waits until all is known, and says what is.

    Attributes:
        lines: one for each connection.
    """

    lines: list[str] = field(factory=list)
    _output: dict[str, str | None] = field(factory=dict)
    _unfinished: frozenset[str] = frozenset()
    _waited_s: float = _LIMIT_S

    def begin(self, reactor: Any, agent: Any, plan: Plan, diagnosis: Diagnosis) -> None:
        """Try the output; look until everything has an answer, or the time is over."""
        setting = plan.config.settings.output
        if read_output(setting).kind not in {"stdout", "file"}:
            name = without_query(setting)
            self._output[name] = None
            settings = plan.config.settings.output_settings
            reached = probe(reactor, setting, _LIMIT_S - 2 * _LOOK_S, settings)
            reached.addCallback(lambda problem: self._output.update({name: problem}))
        for module in plan.modules:
            for broker in module.brokers:  # so that the lines come in the order of the file
                diagnosis.problems.note(module.name, str(broker.brokers[0]), None)
        begun_s = reactor.seconds()

        def look() -> float | None:
            self._waited_s = reactor.seconds() - begun_s  # a signal may end it at any time
            unfinished = frozenset(
                supervisor.module_name
                for supervisor in agent.supervisors
                if supervisor.state not in _OVER
            )
            names = [module.name for module in plan.modules]
            pending = (
                unfinished
                or len(agent.supervisors) < len(names)
                or None in self._output.values()
                or any(None in diagnosis.problems.of(name).values() for name in names)
            )
            if pending and self._waited_s < _LIMIT_S:
                return _LOOK_S
            self._unfinished = unfinished
            agent.request_stop("the connections were tried")
            return None

        Timer(reactor, look).start(_LOOK_S)

    def judge(self, plan: Plan, diagnosis: Diagnosis) -> ExitCode:
        """Make the lines."""
        found: list[tuple[str, str | None]] = []
        for name in dict.fromkeys(module.name for module in plan.modules):
            problems = diagnosis.problems.of(name)
            stuck = name in self._unfinished or bool(
                _STARTS & diagnosis.counters.of(name).errors.keys()
            )
            # What a broker answers is read only for a module that runs.
            found += [
                (f"{name}: {address}", problem)
                for address, problem in problems.items()
                if problem is not None or not stuck
            ]
            if stuck:
                found.append((name, "it does not start, `metrics-agent once` logs why"))
            elif not problems:
                found.append((f"{name}: started, it connects to nothing", ""))
        found += [(f"output: {setting}", problem) for setting, problem in self._output.items()]
        no_answer = f"no answer in {min(round(self._waited_s, 1), _LIMIT_S):g} s"
        for what, problem in found:
            if problem == "":
                self.lines.append(f"ok: {what}")
            else:
                self.lines.append(f"error: {what}: {problem or no_answer}")
        return ExitCode.FAILED if any(problem != "" for _, problem in found) else ExitCode.STOPPED


class _Nowhere:
    """Takes the log and keeps nothing."""

    def write(self, data: bytes) -> int:
        return len(data)

    def wait(self, _timeout_s: float) -> bool:
        return True
