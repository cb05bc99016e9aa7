"""Between the agent and Telegraf: writes down what the agent's reader has taken.

    python -m benchmarks.endurance.recorder TAKEN PID COMMAND [ARGUMENT ...]

It is the agent's reader, and as careless as Telegraf: what the agent has written and the reader has
not read when either of them ends is lost. So the file TAKEN holds what the agent may take for
delivered. PID gets the process id of the agent; stdin, stderr and the exit status are passed on.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path
from typing import Final

_READ_BYTES: Final = 1 << 16


def main(taken: str, pid_path: str, *command: str) -> int:
    """Run the agent; return its status, or 1 when Telegraf is gone."""
    file = os.open(taken, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    with subprocess.Popen(command, stdout=subprocess.PIPE) as agent:
        assert agent.stdout is not None
        Path(pid_path).write_text(str(agent.pid), "ascii")
        ended = os.pidfd_open(agent.pid)
        poll = select.poll()
        poll.register(ended, select.POLLIN)
        poll.register(agent.stdout, select.POLLIN)
        # Only whether the other end is still there.
        poll.register(1, 0)
        while True:
            events = dict(poll.poll())
            if ended in events:
                break
            if 1 in events:
                os._exit(1)
            data = os.read(agent.stdout.fileno(), _READ_BYTES)
            if not data:
                break
            os.write(file, data)
            try:
                _write_all(data)
            except OSError:
                os._exit(1)
        agent.wait()
    return agent.returncode if agent.returncode >= 0 else 128 - agent.returncode


def _write_all(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
