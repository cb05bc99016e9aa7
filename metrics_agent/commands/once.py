"""`metrics-agent once`: runs the modules for some seconds, shows the metrics, sums up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from metrics_agent.commands.diagnosing import diagnose
from metrics_agent.commands.run import logged
from metrics_agent.commands.stdout import say_error
from metrics_agent.config.output import STDOUT
from metrics_agent.diagnosis import Diagnosis
from metrics_agent.logs.observer import StderrObserver
from metrics_agent.plan import ModulePlan, Plan
from metrics_agent.process.boot import Process
from metrics_agent.process.exit import ExitCode

__all__ = ["collected", "once", "summary"]


def once(process: Process, config: str | None, seconds: float) -> ExitCode:
    """Run the modules by the rule of `diagnosis`; metrics go to stdout, log and summary to stderr.

    Args:
        process: what `boot` made.
        config: the configuration file, None to look for it.
        seconds: how long; a request to stop ends it sooner.

    Returns:
        0 if a module has collected something, 1 if none has, 78 if the configuration cannot be
        used.
    """
    lines: list[str] = []
    ran_s = seconds

    def begin(reactor: Any, agent: Any, plan: Plan, _diagnosis: Diagnosis) -> None:
        begun_s = reactor.seconds()

        def end() -> None:
            nonlocal ran_s
            ran_s = min(seconds, round(reactor.seconds() - begun_s, 1))

        reactor.addSystemEventTrigger("before", "shutdown", end)
        if plan.modules:
            reactor.callLater(seconds, agent.request_stop, f"{seconds:g} s are over")
        else:
            reactor.callLater(0, agent.request_stop, "no module is enabled")

    def work(observer: StderrObserver) -> ExitCode:
        found = diagnose(process, config, observer, STDOUT, begin)
        if isinstance(found, ExitCode):
            return found
        plan, diagnosis = found
        lines.extend(summary(plan, diagnosis, ran_s))
        found_any = any(collected(module.name, diagnosis) for module in plan.modules)
        return ExitCode.STOPPED if found_any else ExitCode.FAILED

    code = logged(StderrObserver(), work)
    for line in lines:
        say_error(line)
    # Not by `set`: why the agent itself ended, such as with each module parked, is not the answer.
    process.exit_status.code = code
    return code


def collected(module: str, diagnosis: Diagnosis) -> bool:
    """Say whether a module has metrics that a device or service gave it.

    What a module without a connection emits is its own report that the device is offline.
    """
    return bool(diagnosis.counters.of(module).metrics) and not diagnosis.problems.only_failed(
        module
    )


def summary(plan: Plan, diagnosis: Diagnosis, seconds: float) -> Iterator[str]:
    """Yield lines that say what each enabled module has collected, and what kept it from more.

    Args:
        plan: what ran.
        diagnosis: what came out.
        seconds: how long it ran.
    """
    yield f"Collected in {seconds:g} s:" if plan.modules or plan.faulty else "No module is enabled."
    for module in plan.modules:
        yield f"  {module.name}: {'; '.join(_findings(module, diagnosis, seconds))}"
    for name, faults in plan.faulty:
        yield f"  {name}: not started, wrong settings: {'; '.join(map(str, faults))}"


def _findings(module: ModulePlan, diagnosis: Diagnosis, seconds: float) -> Iterator[str]:
    counters = diagnosis.counters.of(module.name)
    yield "1 metric" if counters.metrics == 1 else f"{counters.metrics} metrics"
    problems = diagnosis.problems.of(module.name)
    for address, problem in problems.items():
        if problem != "":
            yield f"{address}: {problem or 'no answer yet'}"
    errors = sum(counters.errors.values())
    if errors:
        yield f"{errors} errors, see the log above" if errors > 1 else "1 error, see the log above"
    connected = not problems or "" in problems.values()
    if connected and module.kind.quiet_hint and seconds < module.kind.quiet_s:
        yield module.kind.quiet_hint
