"""Which writer suits a descriptor that is open, such as fd 1 as the parent made it.

- Pipe, terminal: opened again, privately and non-blocking; the reactor says when to write.
- Socket: it cannot be opened again, but each send can be non-blocking by itself.
- File, /dev/null: written at once, they never make anyone wait and epoll refuses them.
- The rest, and pipes and terminals that cannot be opened again: written by a thread.
"""

from __future__ import annotations

from typing import Any

from metrics_agent.output.direct import DirectWriter
from metrics_agent.output.pollable import PollWriter
from metrics_agent.output.threaded import ThreadWriter
from metrics_agent.output.writer import Source, Writer
from metrics_agent.process.descriptors import Kind
from metrics_agent.process.kernel import Kernel

__all__ = ["descriptor_writer"]


def descriptor_writer(kernel: Kernel, reactor: Any, fd: int, source: Source) -> Writer:
    """Make the writer for an open descriptor, which the writer owns from now on.

    Args:
        kernel: its calls.
        reactor: IReactorTime, IReactorFDSet and IReactorFromThreads.
        fd: open for writing. No flag of its description is changed.
        source: where the bytes come from.
    """
    kind = kernel.kind_of(fd)
    if kind is Kind.SOCKET:
        return PollWriter(kernel, reactor, fd, kind, source)
    if kind in {Kind.FILE, Kind.NULL, Kind.CLOSED}:
        return DirectWriter(kernel, reactor, fd, source)
    if kind in {Kind.PIPE, Kind.TERMINAL}:
        try:
            private = kernel.reopen(fd)
        except OSError:
            # Not ours to open again, or no /proc: the thread is made for this.
            return ThreadWriter(kernel, reactor, fd, kind, source)
        kernel.close(fd)
        return PollWriter(kernel, reactor, private, kind, source)
    return ThreadWriter(kernel, reactor, fd, kind, source)
