"""The reactor, with no more than the plan needs."""

from __future__ import annotations

from typing import Any

from metrics_agent.config.output import needs_tls
from metrics_agent.modules import BUILT_IN
from metrics_agent.plan import Plan
from metrics_agent.process.bounded_thread import use_bounded_threads
from metrics_agent.process.host_names import look_up_in_own_threads
from metrics_agent.process.openssl import leave_out_openssl
from metrics_agent.process.running import use_monotonic_clock

__all__ = ["import_reactor"]


def import_reactor(plan: Plan) -> Any:
    """Import the reactor and give it a clock that does not jump.

    OpenSSL is left out as long as only modules of ours run, which ask for it where they need it; a
    module of another package may take it for granted, and so does an output over TLS.
    """
    foreign = any(module.kind.name not in BUILT_IN for module in plan.modules)
    if not foreign and not needs_tls(plan.config.settings.output):
        leave_out_openssl()

    from twisted.internet import reactor
    from twisted.internet.interfaces import IReactorThreads

    use_monotonic_clock(reactor)
    look_up_in_own_threads(reactor)
    if IReactorThreads.providedBy(reactor):
        use_bounded_threads(reactor.getThreadPool())
    return reactor
