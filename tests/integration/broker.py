"""A real mosquitto for the integration tests.

Usage::

    broker = Mosquitto.start(self)               # anonymous, stopped by the test's cleanup
    broker = Mosquitto.start(self, users={"anna": "secret"}, settings=["max_queued_messages 0"])
    broker.port; broker.kill(); broker.start_again(); broker.freeze(); broker.thaw()

Everything here blocks for some milliseconds (a start takes about 20), which is fine for the
reactor of a test. The process is ended by its own id and its files live in a directory that the
cleanup removes.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from twisted.trial.unittest import SynchronousTestCase

from tests.needs import find, missing

__all__ = ["Mosquitto", "free_port", "other_mosquitto", "with_both_mosquittos"]

START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0


DEBIAN_13 = "mosquitto-debian13"

Case = TypeVar("Case", bound=type[SynchronousTestCase])


def with_both_mosquittos(case: Case) -> Case:
    """Run a class of tests with the machine's mosquitto and with that of Debian 13.

    Theirs differ: Debian 12 has 2.0.11, whose window of messages in flight leaks, and Debian 13 has
    2.0.21. The second class stands beside the first, with "Debian13" before "Tests" in its name.
    """
    name = case.__name__.replace("Tests", "Debian13Tests")
    members = {
        "__doc__": case.__doc__,
        "__module__": case.__module__,
        "mosquitto_program": DEBIAN_13,
        "skip": missing(DEBIAN_13),
    }
    setattr(sys.modules[case.__module__], name, type(name, (case,), members))
    return case


def program_of(case: SynchronousTestCase) -> str:
    """Return which mosquitto a test uses, by its name in `tests.needs`."""
    return getattr(case, "mosquitto_program", "mosquitto")


def other_mosquitto(case: SynchronousTestCase) -> str:
    """Return the one that a test does not use, where there are two."""
    own = program_of(case)
    other = "mosquitto" if own == DEBIAN_13 else DEBIAN_13
    return own if missing(other) else other


def free_port() -> int:
    """Return a TCP port of the loopback interface that no one listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Mosquitto:
    """One broker on one port; it can be killed and started again with the same settings.

    Args:
        port: the TCP port of the first listener; None takes a free one.
        settings: further lines of mosquitto.conf, such as ``max_queued_messages 0``.
        listener: lines that belong to the first listener, such as ``cafile ...``.
        users: names and passwords; without any, everybody may log in.
        persistent: keep sessions and retained messages over an orderly stop; with
            ``autosave_on_changes`` among the settings also over a kill.
        program: which mosquitto, by its name in `tests.needs`.

    Attributes:
        directory: a directory of this broker's own, removed by `remove`.
        log_path: what mosquitto wrote to its log.
        process: the running process, or None.
    """

    def __init__(
        self,
        *,
        port: int | None = None,
        settings: Sequence[str] = (),
        listener: Sequence[str] = (),
        users: Mapping[str, str] | None = None,
        persistent: bool = False,
        program: str = "mosquitto",
    ) -> None:
        self.path = find(program)
        self.port = free_port() if port is None else port
        self.directory = Path(tempfile.mkdtemp(prefix="mosquitto-"))
        self.log_path = self.directory / "log"
        self.process: subprocess.Popen[bytes] | None = None
        self._write_config(settings, listener, users, persistent=persistent)

    @classmethod
    def start(
        cls,
        case: SynchronousTestCase,
        *,
        port: int | None = None,
        settings: Sequence[str] = (),
        listener: Sequence[str] = (),
        users: Mapping[str, str] | None = None,
        persistent: bool = False,
        program: str = "",
    ) -> Mosquitto:
        """Start a broker that ends with the test; see the class for the arguments.

        By default it is the mosquitto that an attribute of the case names, see
        `with_both_mosquittos`.
        """
        broker = cls(
            port=port,
            settings=settings,
            listener=listener,
            users=users,
            persistent=persistent,
            program=program or program_of(case),
        )
        case.addCleanup(broker.remove)
        broker.start_again()
        return broker

    @property
    def url(self) -> str:
        """The address of the first listener as a URL."""
        return f"mqtt://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """Everything that the broker has logged."""
        return self.log_path.read_text("utf-8", "replace") if self.log_path.exists() else ""

    @property
    def version(self) -> tuple[int, ...]:
        """Its three numbers, once it has started."""
        numbers = re.findall(r"^mosquitto version (\d+)\.(\d+)\.(\d+)", self.log, re.MULTILINE)[0]
        return tuple(map(int, numbers))

    def ended_connections(self, client_id: str) -> int:
        """Return how many connections of a client have ended; the texts differ by version."""
        found = re.findall(rf"^Client {re.escape(client_id)} (\[\S+\])?", self.log, re.MULTILINE)
        # 2.1 says of a connection that has ended that it is taken over, when the next one comes.
        return found.count("") + len({address for address in found if address})

    def configure(self, *lines: str) -> None:
        """Append lines to the settings; they hold from the next start."""
        with (self.directory / "conf").open("a", encoding="utf-8") as conf:
            conf.writelines(f"{line}\n" for line in lines)

    def start_again(self) -> None:
        """Start the process and wait until it accepts connections."""
        assert self.process is None, "the broker is running"
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [self.path, "-v", "-c", str(self.directory / "conf")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._accepts():
            if self.process.poll() is not None:
                raise AssertionError(f"mosquitto ended at once:\n{self.log}")
            if time.monotonic() > deadline:
                raise AssertionError(f"mosquitto did not accept connections:\n{self.log}")
            time.sleep(0.005)

    def stop(self) -> None:
        """End it in order (SIGTERM), so that it writes its persistence file."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        self._end(signal.SIGKILL)

    def set_users(self, users: Mapping[str, str]) -> None:
        """Change names and passwords; they hold from the next `reload`."""
        self._write_passwords(users)

    def reload(self) -> None:
        """Have it read its password file and certificates again."""
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)

    def freeze(self) -> None:
        """Stop the process as SIGSTOP does: connections stay, nothing answers."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen process go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def remove(self) -> None:
        """Kill the process if it runs and remove its files; safe to call twice."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _end(self, number: signal.Signals) -> None:
        if self.process is None:
            return
        process, self.process = self.process, None
        process.send_signal(signal.SIGCONT)
        process.send_signal(number)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_TIMEOUT_S)

    def _accepts(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def _write_config(
        self,
        settings: Sequence[str],
        listener: Sequence[str],
        users: Mapping[str, str] | None,
        *,
        persistent: bool,
    ) -> None:
        lines = [f"persistence {str(persistent).lower()}", "log_timestamp false"]
        # The most that MQTT has; 2 MB by default from mosquitto 2.1 on.
        lines.append("max_packet_size 268435455")
        if persistent:
            lines.append(f"persistence_location {self.directory}/")
        if os.getuid() == 0:
            lines.append("user root")
        if users:
            lines += ["allow_anonymous false", f"password_file {self._write_passwords(users)}"]
        else:
            lines.append("allow_anonymous true")
        lines += [*settings, f"listener {self.port} 127.0.0.1", *listener]
        (self.directory / "conf").write_text("".join(f"{line}\n" for line in lines), "utf-8")

    def _write_passwords(self, users: Mapping[str, str]) -> Path:
        path = self.directory / "passwords"
        path.write_text("".join(f"{name}:{word}\n" for name, word in users.items()), "utf-8")
        path.chmod(0o600)
        tool = find("mosquitto", "mosquitto_passwd")
        subprocess.run([tool, "-U", str(path)], check=True, capture_output=True)
        return path
