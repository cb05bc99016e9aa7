"""How the process ends, and with which code.

`twistd` always exits with 0 (or dies by the signal), whatever happens inside. So the code is kept
here and applied by an atexit handler; it is registered before anything else, hence runs after
all others. A stop that hangs (a thread that never returns is joined by the reactor) is ended
by a daemon thread.
"""

from __future__ import annotations

import atexit
import os
import threading
from enum import IntEnum

__all__ = ["ExitCode", "ExitStatus"]


class ExitCode(IntEnum):
    """The codes of the contract with the parent; see docs/deployment.md."""

    STOPPED = 0
    GAVE_UP = 1
    HUNG = 70
    CONFIG = 78


class ExitStatus:
    """The code this process will end with; the first that is not 0 wins.

    Args:
        hard_exit: ends the process at once; ``os._exit`` but in tests.
    """

    def __init__(self, hard_exit: object = None) -> None:
        self.code = ExitCode.STOPPED
        self._hard_exit = hard_exit if callable(hard_exit) else os._exit
        self._deadline: threading.Timer | None = None

    def set(self, code: ExitCode) -> None:
        """Remember the code, unless another than 0 is remembered already."""
        if self.code is ExitCode.STOPPED:
            self.code = code

    def register(self) -> None:
        """Make the code that of the process, also where the caller of us exits with 0."""
        atexit.register(self._at_exit)

    def _at_exit(self) -> None:
        if self.code is not ExitCode.STOPPED:
            self._hard_exit(int(self.code))

    def end_within(self, seconds: float) -> None:
        """End the process after that long, however it hangs; the first call counts."""
        if self._deadline is None:
            self._deadline = threading.Timer(seconds, self.now)
            self._deadline.daemon = True
            self._deadline.start()

    def cancel_deadline(self) -> None:
        """Take the deadline back: the stop went through."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def now(self) -> None:
        """End the process at once, with the code so far."""
        self._hard_exit(int(self.code))
