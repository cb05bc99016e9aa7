"""Telling systemd how we are: the sd_notify protocol, datagrams to the socket it names.

The environment of a service is inherited by its children, so an agent that Telegraf started finds
Telegraf's NOTIFY_SOCKET, and telegraf.service takes messages from any of its processes
(NotifyAccess=all): a READY or STOPPING of ours would be taken for Telegraf's. So we speak only
when SYSTEMD_EXEC_PID, the process that systemd itself started, is this process. systemd before 248
does not set it; there we say nothing.

A send never blocks and never raises. What could not be sent is kept, newest state and newest status
only, and sent later: a service of Type=notify whose READY is lost would be ended as one that
never started.

Watchdog pings (WATCHDOG_USEC) say that the reactor turns, so a timer of the reactor sends them.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from twisted.application.service import Service
from twisted.logger import Logger, LogLevel

from metrics_agent.characters import visible
from metrics_agent.logs.logger import make_logger
from metrics_agent.timer import Timer

__all__ = ["Notifier", "make_notifier"]

_RETRY_S: Final = 1.0
_STATUS_LIMIT: Final = 500
_MICROSECONDS: Final = re.compile(r"0*[1-9][0-9]{0,17}")
_FLAGS: Final = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL


class Notifier(Service):
    """Says what state the service is in, and pings while it runs.

    Its methods may be called at any time, also without a listener. Before the start they take
    effect, after the stop they do nothing.

    Args:
        reactor: IReactorTime.
        address: of the socket: a path, or ``@`` and a name in the abstract namespace; None where
            there is no one to notify.
        watchdog_s: systemd ends us when it hears nothing for so long; a ping goes out twice in that
            time; 0 = no pings.
        log: says once that systemd cannot be reached, and once that it can again.
        monotonic_us: CLOCK_MONOTONIC in microseconds.
    """

    def __init__(
        self,
        reactor: Any,
        address: str | None,
        *,
        watchdog_s: float = 0.0,
        log: Logger | None = None,
        monotonic_us: Callable[[], int] | None = None,
    ) -> None:
        self._address = None if address is None else _socket_address(address)
        self._watchdog_s = watchdog_s
        self._log = make_logger() if log is None else log
        self._monotonic_us = _monotonic_us if monotonic_us is None else monotonic_us
        self._socket: socket.socket | None = None
        self._state = b""
        self._status = b""
        self._last_status = b""
        self._retries = Timer(reactor, self._flush)
        self._pings = Timer(reactor, self._ping)
        self._in_trouble = False

    @property
    def active(self) -> bool:
        """There is someone to notify."""
        return self._address is not None

    # -- what the agent says -----------------------------------------------------------------

    def ready(self) -> None:
        """The agent has started, or a reload is over, however it ended."""
        self._say(b"READY=1\n")

    def reloading(self) -> None:
        """A reload begins; ``ready`` must follow."""
        # The time is for Type=notify-reload, which must distinguish reloads.
        self._say(b"RELOADING=1\nMONOTONIC_USEC=%d\n" % self._monotonic_us())

    def stopping(self) -> None:
        """The agent begins to stop."""
        self._say(b"STOPPING=1\n")

    def status(self, text: str) -> None:
        """Show a line in ``systemctl status``; one that is shown already is not sent again."""
        status = b"STATUS=%s\n" % visible(" ".join(text.split()))[:_STATUS_LIMIT].encode()
        if status != self._last_status:
            self._last_status = self._status = status
            self._flush()

    # -- the service -------------------------------------------------------------------------

    def startService(self) -> None:
        """Begin to ping, if systemd wants that."""
        super().startService()
        if self._address is not None and self._watchdog_s:
            self._pings.start(self._ping())

    def stopService(self) -> None:
        """End the pings, and try a last time to say what could not be said."""
        super().stopService()
        self._pings.stop()
        self._flush()
        self._address = None
        self._retries.stop()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    # -- inside ------------------------------------------------------------------------------

    def _ping(self) -> float:
        self._send(b"WATCHDOG=1\n")
        return self._watchdog_s / 2

    def _say(self, state: bytes) -> None:
        # One that was not sent yet is out of date: systemd needs to know what is, not what was.
        self._state = state
        self._flush()

    def _flush(self) -> None:
        if (self._state or self._status) and not self._send(b"") and not self._retries.active:
            self._retries.start(_RETRY_S)

    def _send(self, ping: bytes) -> bool:
        """Send the ping with all that waits, in one datagram; return whether it was taken."""
        if self._address is None:
            self._state = self._status = b""
            return True
        try:
            if self._socket is None:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            message = self._state + self._status + ping
            self._socket.sendto(message, _FLAGS, self._address)
        except OSError as error:
            self._trouble(error.strerror or str(error))
            return False
        self._state = self._status = b""
        if self._in_trouble:
            self._in_trouble = False
            self._log.info("Connection to systemd's notify socket restored.")
        return True

    def _trouble(self, reason: str) -> None:
        if not self._in_trouble:
            self._in_trouble = True
            self._log.warn(
                "Cannot notify systemd at {address!r}: {reason}; retrying every second.",
                address=self._address,
                reason=reason,
            )


def make_notifier(
    reactor: Any,
    environ: Mapping[str, str],
    *,
    pid: int | None = None,
    log: Logger | None = None,
) -> Notifier:
    """Make the notifier that the environment asks for; it does nothing unless systemd started us.

    Args:
        reactor: see `Notifier`.
        environ: for NOTIFY_SOCKET, SYSTEMD_EXEC_PID, WATCHDOG_USEC and WATCHDOG_PID.
        pid: of this process.
        log: see `Notifier`.
    """
    log = make_logger() if log is None else log
    own = str(os.getpid() if pid is None else pid)
    address = environ.get("NOTIFY_SOCKET", "")
    if not address or environ.get("SYSTEMD_EXEC_PID") != own:
        return Notifier(reactor, None, log=log)
    if address[0] not in "/@" or len(address) == 1:
        log.emit(
            LogLevel.warn,
            "NOTIFY_SOCKET is {address!r}, expected a path or @ and a name; systemd is not "
            "notified.",
            address=address,
        )
        return Notifier(reactor, None, log=log)
    watchdog_s = 0.0
    if environ.get("WATCHDOG_PID", own) == own:
        watchdog_s = _watchdog_s(environ.get("WATCHDOG_USEC", ""), log)
    return Notifier(reactor, address, watchdog_s=watchdog_s, log=log)


def _watchdog_s(text: str, log: Logger) -> float:
    if not text:
        return 0.0
    if not _MICROSECONDS.fullmatch(text):
        log.emit(
            LogLevel.warn,
            "WATCHDOG_USEC is {text!r}, expected microseconds as a whole number above 0: no pings "
            "are sent.",
            text=text,
        )
        return 0.0
    return int(text) / 1e6


def _socket_address(address: str) -> bytes:
    name = os.fsencode(address)
    return b"\0" + name[1:] if name.startswith(b"@") else name


def _monotonic_us() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
