"""What descriptors 0, 1 and 2 are, and how to use them without harm to those who share them.

A descriptor number points at an *open file description*, and that is shared with the parent, the
shell and our own other numbers (``2>&1``). O_NONBLOCK, the position and O_APPEND belong to the
description: setting O_NONBLOCK on "our" fd 1 makes the shell's terminal non-blocking too, and
makes writes to stderr fail with EAGAIN. So no flag of a description that we were given is ever
changed. Who needs a non-blocking descriptor opens a private description by `reopen`.
"""

from __future__ import annotations

import array
import enum
import errno
import fcntl
import os
import select
import stat
import termios

__all__ = [
    "Kind",
    "ask_kernel",
    "hung_up",
    "is_writable",
    "kind_of",
    "reopen",
    "secure_descriptors",
    "take_stdout",
    "unread_bytes",
]

STDOUT = 1
STDERR = 2
FIRST_FREE = 3

_MEMORY_DEVICES = 1  # major number of /dev/null, /dev/zero, /dev/full
_PTMX = (5, 2)  # opening this one again makes a new terminal


class Kind(enum.Enum):
    """What a descriptor is, as far as reading, writing and waiting differ."""

    PIPE = "pipe"
    SOCKET = "socket"
    TERMINAL = "terminal"
    FILE = "file"
    NULL = "null"
    """/dev/null and its like: neither blocks nor can be waited for."""
    DEVICE = "device"
    """Anything else: may block, may not be pollable."""
    CLOSED = "closed"


def kind_of(fd: int) -> Kind:
    """Return what a descriptor is; `Kind.CLOSED` where the number is not open."""
    try:
        status = os.fstat(fd)
    except OSError as error:
        if error.errno != errno.EBADF:
            raise
        return Kind.CLOSED
    mode = status.st_mode
    if stat.S_ISFIFO(mode):
        return Kind.PIPE
    if stat.S_ISSOCK(mode):
        return Kind.SOCKET
    if stat.S_ISREG(mode):
        return Kind.FILE
    if stat.S_ISCHR(mode) and os.major(status.st_rdev) == _MEMORY_DEVICES:
        return Kind.NULL
    return Kind.TERMINAL if os.isatty(fd) else Kind.DEVICE


def hung_up(fd: int) -> bool:
    """Return whether the other side is gone, without waiting and without reading.

    True for a pipe without a reader, a socket whose peer has closed (not: has only
    stopped sending) and a terminal whose window is closed.
    """
    poll = select.poll()
    poll.register(fd, 0)
    wrong = select.POLLERR | select.POLLHUP | select.POLLNVAL
    return any(events & wrong for _fd, events in poll.poll(0))


def is_writable(fd: int) -> bool:
    """Return whether an open descriptor was opened for writing."""
    return fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY


def ask_kernel(fd: int, request: int) -> int:
    """Return what an ioctl that fills in one int says, such as FIONREAD or TIOCOUTQ."""
    answer = array.array("i", [0])
    fcntl.ioctl(fd, request, answer)
    return answer[0]


def unread_bytes(fd: int) -> int:
    """Return how many bytes in a pipe wait for a reader that is there; 0 for all else."""
    if kind_of(fd) is not Kind.PIPE or hung_up(fd):
        return 0
    return ask_kernel(fd, termios.FIONREAD)


def reopen(fd: int) -> int:
    """Open a private, non-blocking description for writing of the pipe or terminal behind fd.

    Returns:
        A new descriptor above 2, closed on exec. Its flags are not shared.

    Raises:
        OSError: there is no /proc, the object belongs to another user (EACCES, after a change
            of user), it is a socket or a pipe without a reader (ENXIO), or it is a device that
            gives something new at each opening.
    """
    status = os.fstat(fd)
    number = (os.major(status.st_rdev), os.minor(status.st_rdev))
    if stat.S_ISCHR(status.st_mode) and number == _PTMX:
        raise OSError(errno.ENXIO, "a terminal's master side cannot be opened again")
    # Python itself opens everything closed on exec (PEP 446); what `fcntl` makes is not.
    # O_NOCTTY: a service without a terminal must not get one by writing to it.
    flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY
    opened = os.open(f"/proc/self/fd/{fd}", flags)
    if opened >= FIRST_FREE:
        return opened
    try:
        return fcntl.fcntl(opened, fcntl.F_DUPFD_CLOEXEC, FIRST_FREE)
    finally:
        os.close(opened)


def secure_descriptors() -> tuple[int, ...]:
    """Open /dev/null on each of 0, 1 and 2 that is closed. Call before importing a reactor.

    Otherwise the reactor's own epoll descriptor takes the free number, and a print goes into it.
    Harmless when called again.

    Returns:
        The numbers that were closed, usually none.
    """
    closed = tuple(fd for fd in (0, STDOUT, STDERR) if kind_of(fd) is Kind.CLOSED)
    for fd in closed:
        opened = os.open(os.devnull, os.O_RDWR)
        if opened == fd:
            os.set_inheritable(fd, True)
        else:  # a lower number was free all the same
            os.dup2(opened, fd)
            os.close(opened)
    return closed


def take_stdout() -> int:
    """Take fd 1 for the metrics alone, and point number 1 at stderr. Call once a process.

    From then on neither a print nor a library in C can write into the stream of metrics: what
    they write ends up on stderr. Works by numbers, so it does not matter what `sys.stdout` is.

    Returns:
        A descriptor above 2, closed on exec, of what fd 1 was. Its description is still shared
        with others: do not change its flags.
    """
    taken = fcntl.fcntl(STDOUT, fcntl.F_DUPFD_CLOEXEC, FIRST_FREE)
    os.dup2(STDERR, STDOUT)
    return taken
