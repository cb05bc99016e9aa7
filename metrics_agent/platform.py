"""What the agent asks of the machine beside the reactor, in one place.

A simulation hands in another one, see tests/simulation. Outside of it stay the watchdog, the dumps
of faulthandler, the installation of signal handlers and `os._exit`: they are there for when the
process itself is not well, which cannot be simulated in a process that is. So does what must not
be guessed, such as the tokens of the login page.
"""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Callable, Mapping
from typing import Any

from attrs import field, frozen

from metrics_agent.clock import wall_ns
from metrics_agent.logs.logger import ModuleLogger, make_logger
from metrics_agent.point_clock import steady_ns
from metrics_agent.process.kernel import Kernel
from metrics_agent.process.threads import make_pool
from metrics_agent.process.usage import Usage, usage
from metrics_agent.state.files import Files
from metrics_agent.state.local_socket import Listening, listen

__all__ = ["Platform"]


def _environ() -> Mapping[str, str]:
    return os.environ


@frozen
class Platform:
    """The machine; the real one as it is made.

    Attributes:
        environ: environment variables.
        files: the system calls for state files.
        host_name: the name of this host.
        kernel: the system calls for the output and stdin.
        listen: takes connections on a Unix socket, see `state.local_socket.listen`.
        make_logger: the log of a module, by its name; of the agent without one.
        make_pool: makes threads for a module, see `process.threads.make_pool`.
        random: floats from 0 to below 1.
        steady_ns: a clock that never jumps.
        stdin: the descriptor whose end means stop.
        usage: what this process uses.
        wall_ns: the wall clock.
    """

    environ: Mapping[str, str] = field(factory=_environ)
    files: Files = field(factory=Files)
    host_name: Callable[[], str] = socket.gethostname
    kernel: Kernel = field(factory=Kernel)
    listen: Callable[..., Listening] = listen
    make_logger: Callable[..., ModuleLogger] = make_logger
    make_pool: Callable[..., Any] = make_pool
    random: Callable[[], float] = random.random
    steady_ns: Callable[[], int] = steady_ns
    stdin: int = 0
    usage: Callable[[], Usage] = usage
    wall_ns: Callable[[], int] = wall_ns
